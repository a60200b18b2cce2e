//! `ssh` without a server of our own: what can be seen from this side. The whole way is tested end to end against an ssh server.

use std::process::Command;

use gitops_git::{Credentials, GitError, Mirror, RepositoryAccess};

#[test]
fn ssh_to_nobody_says_what_ssh_said() {
    if Command::new("ssh").arg("-V").output().is_err() {
        eprintln!("skipped: ssh is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let access = RepositoryAccess {
        url: format!("ssh://git@127.0.0.1:{port}/repo.git"),
        credentials: Credentials::SshKey(
            "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n-----END OPENSSH PRIVATE KEY-----".into(),
        ),
        ..RepositoryAccess::default()
    };
    let error = Mirror::open(folder.path(), access)
        .unwrap()
        .list_refs()
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(matches!(error, GitError::Unreachable { .. }), "{text}");
    assert!(
        text.contains("Connection refused") && !text.contains("s3cret"),
        "{text}"
    );
}
