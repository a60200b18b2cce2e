//! `ssh`, against a real `sshd` where it is installed. The whole way is also tested end to end,
//! where the tests bring their own ssh server.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gitops_git::{Credentials, GitError, Mirror, RepositoryAccess, Want};

use crate::origin::Origin;

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn installed(program: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&search).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = directories
        .map(|directory| directory.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

#[test]
fn ssh_without_a_server_reports_what_ssh_said() {
    if installed("ssh").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n-----END OPENSSH PRIVATE KEY-----";
    let access = RepositoryAccess {
        url: format!("ssh://git@127.0.0.1:{}/repo.git", free_port()),
        credentials: Credentials::SshKey(pem.into()),
        ..crate::local::local()
    };
    let error = Mirror::open(directory.path(), access)
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

/// An ssh server on a port of its own; stops when dropped.
struct Sshd {
    child: Child,
    port: u16,
    host_key: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a key pair and returns its private and public half.
fn key_pair(path: &Path) -> (String, String) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (fs::read_to_string(path).unwrap(), public)
}

fn start_sshd(program: &Path, directory: &Path, authorized: &str) -> Sshd {
    let (_, host_key) = key_pair(&directory.join("host"));
    let port = free_port();
    fs::write(directory.join("authorized"), authorized).unwrap();
    let configuration = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\nPidFile none\n\
         UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\n",
        directory.display()
    );
    fs::write(directory.join("config"), configuration).unwrap();
    let mut command = Command::new(program);
    command
        .args(["-D", "-e", "-f"])
        .arg(directory.join("config"));
    let child = command
        .stdin(Stdio::null())
        .stderr(fs::File::create(directory.join("log")).unwrap())
        .spawn()
        .unwrap();
    let mut server = Sshd {
        child,
        port,
        host_key,
    };
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = server.child.try_wait().unwrap();
        assert!(
            ended.is_none(),
            "{}",
            fs::read_to_string(directory.join("log")).unwrap()
        );
        std::thread::yield_now();
    }
    server
}

#[test]
fn fetches_over_ssh_with_its_own_key_and_known_hosts() {
    let (Some(_), Some(program), Some(_)) =
        (installed("ssh"), installed("sshd"), installed("ssh-keygen"))
    else {
        return;
    };
    let (origin, first) = Origin::with_one_commit();
    let (key, public) = key_pair(&origin.root().join("client"));
    let server = start_sshd(&program, origin.root(), &public);
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let known = |host_key: &str| Some(format!("[127.0.0.1]:{} {host_key}", server.port));
    let access = |path: &Path| RepositoryAccess {
        url: format!(
            "ssh://{}@127.0.0.1:{}{}",
            user.trim(),
            server.port,
            path.display()
        ),
        credentials: Credentials::SshKey(key.clone()),
        known_hosts: known(&server.host_key),
        ..crate::local::local()
    };
    let list = |access: RepositoryAccess| {
        let directory = tempfile::tempdir_in(origin.root()).unwrap();
        Mirror::open(directory.path(), access)
            .unwrap()
            .list_refs()
            .map(|refs| refs.by_name.len())
    };
    let mirror = origin.open(access(&origin.bare()));
    mirror
        .fetch(&[Want::Ref("refs/heads/main".into())])
        .unwrap();
    origin.write("app/a.yaml", "a: 2\n");
    let second = origin.commit("second");
    let report = mirror.fetch(&[Want::Sha(second.clone())]).unwrap();
    assert!(report.objects <= 6, "{report:?}");
    assert_eq!(mirror.count_between(&first, &second).unwrap(), 1);

    let (other_key, other_public) = key_pair(&origin.root().join("other"));
    let unknown = RepositoryAccess {
        known_hosts: known(&other_public),
        ..access(&origin.bare())
    };
    let error = list(unknown.clone()).unwrap_err();
    assert!(matches!(error, GitError::HostKey { .. }), "{error}");
    let error = list(RepositoryAccess {
        known_hosts: None,
        ..unknown.clone()
    })
    .unwrap_err();
    assert!(matches!(error, GitError::HostKey { .. }), "{error}");
    assert_eq!(
        list(RepositoryAccess {
            insecure_ignore_host_key: true,
            ..unknown
        })
        .unwrap(),
        1
    );
    let wrong_key = RepositoryAccess {
        credentials: Credentials::SshKey(other_key),
        ..access(&origin.bare())
    };
    let error = list(wrong_key).unwrap_err();
    assert!(matches!(error, GitError::Authentication { .. }), "{error}");
    let error = list(RepositoryAccess {
        credentials: Credentials::SshKey("no key".into()),
        ..access(&origin.bare())
    });
    assert!(
        matches!(error, Err(GitError::Authentication { .. })),
        "{error:?}"
    );
    let error = list(access(&origin.root().join("missing.git"))).unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error}"
    );
}
