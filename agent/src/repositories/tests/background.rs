//! Servers that keep everybody waiting, and who waits for them: nobody.

use std::collections::BTreeSet;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gitops_git::{LocalAddresses, RepositoryAccess};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;

use super::super::error::RepositoryError;
use super::super::identity::{Scope, ScopedAccess};
use super::super::manager::{Followed, ManagerConfig, RepositoryManager};
use super::{Origin, TEST_TIMEOUT, config, manager, manager_of, next, target};

/// A manager whose polls are no help, and whom it wakes.
fn unpolled(origin: &Origin) -> (RepositoryManager<u32>, UnboundedReceiver<BTreeSet<u32>>) {
    manager_of(ManagerConfig {
        interval: Duration::from_hours(1),
        ..config(origin.path("mirrors"))
    })
}

/// A server that takes connections, and says nothing until it is dropped.
struct Tarpit {
    address: SocketAddr,
    /// Those that are open; `None` once it is dropped.
    open: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Tarpit {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        let tarpit = Self {
            address: listener.local_addr().unwrap(),
            open: open.clone(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                match open.lock().as_mut() {
                    Some(open) => open.push(stream),
                    None => return,
                }
            }
        });
        tarpit
    }

    fn connections(&self) -> usize {
        self.open.lock().as_ref().map_or(0, Vec::len)
    }

    fn access(&self, path: &str) -> ScopedAccess {
        let access = RepositoryAccess {
            url: format!("http://{}/{path}", self.address),
            local_addresses: LocalAddresses::Allowed,
            ..RepositoryAccess::default()
        };
        ScopedAccess::new(Scope::Anonymous, access)
    }
}

impl Drop for Tarpit {
    fn drop(&mut self) {
        for stream in self.open.lock().take().into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

#[tokio::test]
async fn a_tarpit_holds_no_worker_of_its_followers() {
    let (origin, tarpit) = (Origin::new(), Tarpit::new());
    let first = origin.commit("a.yaml", "a: 1\n");
    let (manager, _woken) = manager(&origin);
    let main = target("main");
    // Eight workers, one repository; and then eight repositories of one host.
    for path in [
        "x", "x", "x", "x", "x", "x", "x", "x", "a", "b", "c", "d", "e", "f", "g", "h",
    ] {
        let access = tarpit.access(path);
        let answer = manager
            .checkout(&access, &main, false, Duration::ZERO)
            .await;
        let error = answer.err().unwrap();
        assert!(matches!(error, RepositoryError::Fetching(_)), "{error}");
        assert!(
            error.to_string().contains("fetching http://127.0.0.1"),
            "{error}"
        );
    }
    // Everybody else goes on.
    let healthy = origin.scoped();
    let checkout = manager.checkout(&healthy, &main, false, TEST_TIMEOUT).await;
    assert_eq!(checkout.unwrap().revision, first);
    assert!(tarpit.connections() <= 4, "at most four with one host");
}

#[tokio::test]
async fn what_is_known_is_told_while_the_server_keeps_everybody_waiting() {
    let origin = Origin::new();
    let first = origin.commit("a.yaml", "a: 1\n");
    let (repository, _) = origin.repository();
    let main = target("main");
    repository.checkout(&main, false, None).await.unwrap();
    let conversation = repository.converse().await;
    let known = repository.known_checkout(&main, None).await;
    assert_eq!(known.unwrap().unwrap().revision, first);
    drop(conversation);
}

#[tokio::test]
async fn followers_are_woken_when_what_they_did_not_wait_for_is_there() {
    let origin = Origin::new();
    let first = origin.commit("a.yaml", "a: 1\n");
    let (manager, mut woken) = unpolled(&origin);
    let (main, access) = (target("main"), origin.scoped());
    for key in [1, 2] {
        let followed = Followed {
            access: access.clone(),
            target: main.clone(),
        };
        manager.follow(&key, [followed]);
    }
    let answer = manager
        .checkout(&access, &main, false, Duration::ZERO)
        .await;
    assert!(matches!(answer, Err(RepositoryError::Fetching(_))));
    assert_eq!(next(&mut woken).await, BTreeSet::from([1, 2]));
    let answer = manager
        .checkout(&access, &main, false, Duration::ZERO)
        .await;
    assert_eq!(answer.unwrap().revision, first);
}

/// An answer that nobody came back for in time is about the commit of then.
#[tokio::test]
async fn what_is_found_late_is_not_told_of_a_later_commit() {
    let origin = Origin::new();
    origin.commit("a.yaml", "a: 1\n");
    let (manager, mut woken) = unpolled(&origin);
    let (main, other) = (target("main"), target("other"));
    let access = origin.scoped();
    let followed = Followed {
        access: access.clone(),
        target: main.clone(),
    };
    manager.follow(&1, [followed]);
    for refresh in [false, true] {
        // The first one goes on without an answer, and so may one that asks again.
        let asked = manager.checkout(&access, &main, refresh, Duration::ZERO);
        assert!(matches!(asked.await, Err(RepositoryError::Fetching(_))));
        drop(
            manager
                .checkout(&access, &main, refresh, Duration::ZERO)
                .await,
        );
        next(&mut woken).await;
        let second = origin.commit("a.yaml", if refresh { "a: 3\n" } else { "a: 2\n" });
        let listed = manager.checkout(&access, &other, true, TEST_TIMEOUT);
        assert!(listed.await.is_err(), "there is no such branch");
        for refresh in [refresh, refresh, false] {
            let answer = manager
                .checkout(&access, &main, refresh, TEST_TIMEOUT)
                .await;
            assert_eq!(answer.unwrap().revision, second);
        }
        // Another one that is not there yet, so that the next round has to wait for it.
        origin.commit("b.yaml", if refresh { "b: 2\n" } else { "b: 1\n" });
        let listed = manager.checkout(&access, &other, true, TEST_TIMEOUT);
        assert!(listed.await.is_err(), "there is no such branch");
    }
}
