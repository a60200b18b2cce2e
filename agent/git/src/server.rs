//! The server of one repository: connects to it over HTTP, ssh or a local process, and says what it
//! means when an exchange fails. Knows nothing of the Git protocol beyond its complaints.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use gitops_transport::address::{self, ResolveError};
use gitops_transport::{Client, Limits};
use gix_transport::Protocol;
use gix_transport::client::blocking_io::Transport;
use gix_transport::client::blocking_io::http::Transport as HttpTransport;
use gix_transport::client::git::ConnectMode;
use gix_transport::client::git::blocking_io::Connection as StreamTransport;

use crate::access::RepositoryAccess;
use crate::allowance::MAX_OBJECT_BYTES;
use crate::allowance::{Allowance, Metered};
use crate::error::GitError;
use crate::failure::{Failure, FailureSlot};
use crate::generation::chain;
use crate::http::{self, HttpClient};
use crate::location::{Location, RemoteUrl};
use crate::process::ChildProcess;
use crate::redact::Redactor;
use crate::ssh;

/// Where ssh listens, by default.
const SSH_PORT: u16 = 22;

/// The server of one repository.
pub(crate) struct Server {
    pub(crate) access: RepositoryAccess,
    pub(crate) remote: RemoteUrl,
    redactor: Redactor,
    client: Option<Client>,
}

/// What carries one exchange.
pub(crate) struct Carrier {
    pub(crate) transport: Box<dyn Transport>,
    process: Option<ChildProcess>,
    pub(crate) failure: FailureSlot,
    /// How much of the server's answers is taken.
    pub(crate) allowance: Allowance,
    /// Key and known hosts of ssh, which must outlive it.
    _files: Option<tempfile::TempDir>,
}

impl Server {
    pub(crate) fn new(access: RepositoryAccess) -> Result<Self, GitError> {
        let remote = RemoteUrl::parse(&access.url, access.allow_file)?;
        let client = match &remote.location {
            Location::Http(_) => Some(http::client(&access, &remote.display)?),
            Location::Ssh { .. } if access.proxy.is_some() => {
                let reason = "a proxy is supported for https only; remove `proxy` from the repository Secret or use https".into();
                return Err(GitError::InvalidUrl {
                    url: remote.display,
                    reason,
                });
            }
            Location::Ssh { .. } | Location::File(_) => None,
        };
        let redactor = Redactor::new(&access);
        Ok(Self {
            access,
            remote,
            redactor,
            client,
        })
    }

    /// The URL for messages.
    pub(crate) fn url(&self) -> &str {
        &self.remote.display
    }

    /// Opens what carries one exchange. Nothing is sent yet.
    pub(crate) fn carrier(&self) -> Result<Carrier, GitError> {
        let failure: FailureSlot = Rc::new(RefCell::new(None));
        let allowance = Allowance::listing();
        let (command, path, files) = match &self.remote.location {
            Location::Http(url) => {
                let Some(client) = self.client.clone() else {
                    return Err(self.meaning(Failure::Unreachable("no HTTP client".into())));
                };
                let user = self.remote.user_information.as_ref();
                let client = HttpClient::new(
                    client,
                    url.clone(),
                    &self.access.credentials,
                    user,
                    failure.clone(),
                    allowance.clone(),
                );
                let client = client.map_err(|failure| self.meaning(failure))?;
                let gix_url = gix::url::parse(url.as_str());
                let gix_url =
                    gix_url.map_err(|error| self.meaning(Failure::Protocol(chain(&error))))?;
                let transport = Box::new(HttpTransport::new_http(
                    client,
                    gix_url,
                    Protocol::V2,
                    false,
                ));
                return Ok(Carrier {
                    transport,
                    process: None,
                    failure,
                    allowance,
                    _files: None,
                });
            }
            Location::Ssh {
                user,
                host,
                port,
                path,
            } => {
                let local = self.access.local_addresses;
                let address = address::resolve(host, port.unwrap_or(SSH_PORT), local);
                let address = address.map_err(|error| {
                    self.meaning(match error {
                        ResolveError::NotFound => Failure::Unreachable(error.to_string()),
                        ResolveError::Refused(refused) => Failure::Address(refused.to_string()),
                    })
                })?;
                let destination = ssh::Destination {
                    user,
                    host,
                    port: *port,
                    path,
                    address: Some(address),
                };
                let prepared = ssh::prepare(&self.access, &destination);
                let prepared =
                    prepared.map_err(|error| GitError::storage(std::env::temp_dir(), &error))?;
                (prepared.command, path.clone(), Some(prepared.files))
            }
            Location::File(path) => {
                if !path.exists() {
                    return Err(
                        self.meaning(Failure::NotFound("there is no such directory".into()))
                    );
                }
                (upload_pack(path), path.to_string_lossy().into_owned(), None)
            }
        };
        let executable = command.get_program().to_string_lossy().into_owned();
        let started = ChildProcess::start(command, self.access.limits).map_err(|error| {
            self.meaning(Failure::Unreachable(format!(
                "cannot run `{executable}`: {error}; it must be installed"
            )))
        })?;
        let (process, output, input) = started;
        let pace = self.access.limits.pace;
        let output = Metered::new(output, allowance.clone(), pace, failure.clone());
        let transport = StreamTransport::new(
            output,
            input,
            Protocol::V2,
            path,
            None::<(String, _)>,
            ConnectMode::Process,
            false,
        );
        Ok(Carrier {
            transport: Box::new(transport),
            process: Some(process),
            failure,
            allowance,
            _files: files,
        })
    }

    /// What a failed exchange means: the transport's own word, then what the process said, then
    /// what the protocol layer said.
    pub(crate) fn explain(&self, carrier: Carrier, error: &gix::Error) -> GitError {
        let Carrier {
            transport,
            process,
            failure,
            allowance: _,
            _files,
        } = carrier;
        // Closes the process's input and output, so that it ends.
        drop(transport);
        let ending = process.map(ChildProcess::finish);
        if let Some(failure) = failure.borrow_mut().take() {
            return self.meaning(failure);
        }
        let text = chain(error);
        if let Some(ending) = ending {
            if ending.expired {
                let Limits { idle, total, .. } = self.access.limits;
                let reason = format!(
                    "no answer for {} s, or not all of it within {} s",
                    idle.as_secs(),
                    total.as_secs()
                );
                return self.meaning(Failure::Timeout(reason));
            }
            if !text.contains("not our ref")
                && let Some(failure) = ssh::failure(&ending.messages)
            {
                return self.meaning(failure);
            }
        }
        if error.is_resource_exhausted() {
            return self.too_large(format!(
                "it has an object of more than {} MiB, or millions of objects in one pack; take large files out of it, or set `depth` in the repository Secret",
                MAX_OBJECT_BYTES >> 20
            ));
        }
        if let Some(revision) = refused_revision(&text) {
            let (url, revision) = (self.url().to_owned(), revision.to_owned());
            return GitError::RevisionNotFound { url, revision };
        }
        let out_of_space = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::ReadOnlyFilesystem
            )
        };
        let storage = error
            .iter_errors()
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .find(|error| out_of_space(error));
        if let Some(storage) = storage {
            return GitError::storage("the mirror", storage);
        }
        let closed = error
            .iter_errors()
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(|error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::BrokenPipe
                        | io::ErrorKind::ConnectionReset
                )
            });
        if closed {
            return self.meaning(Failure::Unreachable(format!(
                "the connection was closed in the middle ({text})"
            )));
        }
        let lower = text.to_lowercase();
        if lower.contains("repository not found") || lower.contains("repository not exported") {
            return self.meaning(Failure::NotFound(text));
        }
        self.meaning(Failure::Protocol(text))
    }

    pub(crate) fn too_large(&self, reason: String) -> GitError {
        self.meaning(Failure::TooLarge(reason))
    }

    fn meaning(&self, failure: Failure) -> GitError {
        let url = self.url().to_owned();
        match failure {
            Failure::Unreachable(text) => GitError::Unreachable {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::Certificate(text) => GitError::Certificate {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::Authentication(text) => GitError::Authentication {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::HostKey(text) => GitError::HostKey {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::NotFound(text) => GitError::RepositoryNotFound {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::Timeout(text) => GitError::Timeout {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::TooLarge(text) => GitError::TooLarge {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::Address(text) => GitError::AddressRefused {
                url,
                reason: self.redactor.clean(&text),
            },
            Failure::Protocol(text) => GitError::Protocol {
                url,
                reason: self.redactor.clean(&text),
            },
        }
    }
}

/// `git-upload-pack` on a local repository, with no configuration but the repository's own.
fn upload_pack(path: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("GIT_PROTOCOL", "version=2")
        .env("LC_ALL", "C");
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    if let Some(search_path) = std::env::var_os("PATH") {
        command.env("PATH", search_path);
    }
    command
        .args(["upload-pack", "--strict", "--timeout=0"])
        .arg(path);
    command
}

/// The id in `upload-pack: not our ref ID` and what other servers say instead.
fn refused_revision(text: &str) -> Option<&str> {
    let position = ["not our ref ", "want "]
        .iter()
        .find_map(|mark| text.find(mark).map(|at| at + mark.len()))?;
    let id = text[position..]
        .split(|c: char| !c.is_ascii_hexdigit())
        .next()?;
    (id.len() == 40).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_revisions_are_found_in_what_servers_say() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        for text in [
            format!("ERR upload-pack: not our ref {id}"),
            format!("want {id} not valid"),
        ] {
            assert_eq!(refused_revision(&text), Some(id));
        }
        assert_eq!(refused_revision("I want more"), None);
    }
}
