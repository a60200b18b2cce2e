//! Ways into what reads a Git server's bytes and users' URLs, for tests/fuzz.

use crate::location::{Location, RemoteUrl};
use crate::tree::Tree;

/// Reads the URL of a repository. What is handed to `ssh` is no option.
///
/// # Panics
/// When it is.
pub fn location(url: &str) {
    let Ok(remote) = RemoteUrl::parse(url, false) else {
        return;
    };
    match remote.location {
        Location::Ssh {
            user, host, path, ..
        } => {
            assert!([user, host, path].iter().all(|part| !part.starts_with('-')));
        }
        Location::Http(url) => assert!(url.password().is_none()),
        Location::File(path) => panic!("{} is a file", path.display()),
    }
}

/// Reads a directory listing, and finds each of its entries again if it is in Git's order.
pub fn tree(data: &[u8]) {
    if let Some(tree) = Tree::parse(data.to_vec()) {
        for entry in tree.entries() {
            let _ = tree.find(entry.name);
        }
    }
}
