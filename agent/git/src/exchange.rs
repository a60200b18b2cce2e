//! One exchange with a Git server, whatever carries it: handshake, listing refs, negotiating and receiving a pack. Speaks protocol version 2 and falls back
//! to what the server has. Decides what a failed exchange means. Never decides what to fetch or where mirrors live.

use std::cell::RefCell;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use gix::progress::Discard;
use gix::protocol::fetch::negotiate::{Action, Round, one_round};
use gix::protocol::fetch::{Arguments, Response, Shallow, Tags};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
use gix_transport::client::blocking_io::Transport;
use gix_transport::client::blocking_io::http::Transport as HttpTransport;
use gix_transport::client::git::ConnectMode;
use gix_transport::client::git::blocking_io::Connection as StreamTransport;
use gix_transport::{Protocol, Service};

use crate::access::RepositoryAccess;
use crate::error::GitError;
use crate::generation::{Generation, chain};
use crate::http::{Failure, FailureSlot, HttpClient};
use crate::http_agent;
use crate::location::{Location, RemoteUrl};
use crate::process::Program;
use crate::redact::Redactor;
use crate::refs::Refs;
use crate::ssh;

/// One thing to have in the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// What this ref points to now; the full name (`refs/heads/main`, `refs/tags/v1`, `HEAD`).
    Ref(String),
    /// This commit (40 hexadecimal digits).
    Sha(String),
    /// Every branch and tag.
    AllHeadsAndTags,
}

/// Largest single object accepted, decompressed: what Kubernetes could store of it is a small part of this.
const LARGEST_OBJECT: usize = 512 * 1024 * 1024;

/// The server of one repository.
pub(crate) struct Server {
    pub(crate) access: RepositoryAccess,
    pub(crate) remote: RemoteUrl,
    redactor: Redactor,
    agent: Option<ureq::Agent>,
}

/// What a pack brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
}

/// An open connection, after the handshake.
pub(crate) struct Exchange<'a> {
    server: &'a Server,
    carrier: Carrier,
    handshake: gix::protocol::Handshake,
    /// All refs, when the server sends them by itself (protocol versions 0 and 1).
    advertised: Option<Vec<Ref>>,
}

struct Carrier {
    transport: Box<dyn Transport>,
    program: Option<Program>,
    failure: FailureSlot,
    /// Key and known hosts of ssh, which must outlive it.
    _files: Option<tempfile::TempDir>,
}

impl Server {
    pub(crate) fn new(access: RepositoryAccess) -> Result<Self, GitError> {
        let remote = RemoteUrl::parse(&access.url, access.allow_file)?;
        let agent = match &remote.location {
            Location::Http(_) => Some(http_agent::agent(&access, &remote.display)?),
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
            agent,
        })
    }

    /// The URL for messages.
    pub(crate) fn url(&self) -> &str {
        &self.remote.display
    }

    /// Connects and shakes hands.
    pub(crate) fn connect(&self) -> Result<Exchange<'_>, GitError> {
        let mut carrier = self.carrier()?;
        let result = gix::protocol::handshake(
            &mut carrier.transport,
            Service::UploadPack,
            // Credentials are sent by the transport itself; nothing is ever asked for.
            |_| Ok(None),
            Vec::new(),
            &mut Discard,
        );
        match result {
            Ok(mut handshake) => {
                let advertised = handshake.refs.take();
                Ok(Exchange {
                    server: self,
                    carrier,
                    handshake,
                    advertised,
                })
            }
            Err(error) => Err(self.explain(carrier, &error)),
        }
    }

    fn carrier(&self) -> Result<Carrier, GitError> {
        let failure: FailureSlot = Rc::new(RefCell::new(None));
        let (command, path, files) = match &self.remote.location {
            Location::Http(url) => {
                let Some(agent) = self.agent.clone() else {
                    return Err(self.meaning(Failure::Unreachable("no HTTP client".into())));
                };
                let user = self.remote.user_information.as_ref();
                let client =
                    HttpClient::new(agent, url.clone(), &self.access, user, failure.clone());
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
                    program: None,
                    failure,
                    _files: None,
                });
            }
            Location::Ssh {
                user,
                host,
                port,
                path,
            } => {
                let destination = ssh::Destination {
                    user,
                    host,
                    port: *port,
                    path,
                };
                let prepared = ssh::prepare(&self.access, &destination);
                let prepared =
                    prepared.map_err(|error| GitError::storage(std::env::temp_dir(), &error))?;
                (prepared.command, path.clone(), Some(prepared.files))
            }
            Location::File(path) => {
                if !path.exists() {
                    return Err(self.meaning(Failure::NotFound("there is no such folder".into())));
                }
                (upload_pack(path), path.to_string_lossy().into_owned(), None)
            }
        };
        let program = command.get_program().to_string_lossy().into_owned();
        let started = Program::start(command, self.access.limits).map_err(|error| {
            self.meaning(Failure::Unreachable(format!(
                "cannot run `{program}`: {error}; it must be installed"
            )))
        })?;
        let (program, output, input) = started;
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
            program: Some(program),
            failure,
            _files: files,
        })
    }

    /// What a failed exchange means: the transport's own word, then what the program said, then what the protocol layer said.
    fn explain(&self, carrier: Carrier, error: &gix::Error) -> GitError {
        let Carrier {
            transport,
            program,
            failure,
            _files,
        } = carrier;
        // Closes the program's input and output, so that it ends.
        drop(transport);
        let ending = program.map(Program::finish);
        if let Some(failure) = failure.borrow_mut().take() {
            return self.meaning(failure);
        }
        let text = chain(error);
        if let Some(ending) = ending {
            if ending.expired {
                let reason = format!(
                    "nothing was heard for {} s",
                    self.access.limits.idle.as_secs()
                );
                return self.meaning(Failure::Timeout(reason));
            }
            if !text.contains("not our ref")
                && let Some(failure) = ssh::failure(&ending.messages)
            {
                return self.meaning(failure);
            }
        }
        if let Some(revision) = refused_revision(&text) {
            let (url, revision) = (self.url().to_owned(), revision.to_owned());
            return GitError::RevisionNotFound {
                url,
                revision,
                nearest: Vec::new(),
            };
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

impl Exchange<'_> {
    /// Lists refs whose full names begin with one of `prefixes`.
    pub(crate) fn list(mut self, prefixes: &[&str]) -> Result<(Self, Refs), GitError> {
        if let Some(advertised) = &self.advertised {
            let wanted = |reference: &&Ref| {
                let name = reference.unpack().0;
                prefixes
                    .iter()
                    .any(|prefix| name.starts_with(prefix.as_bytes()))
            };
            let refs = Refs::from_advertised(advertised.iter().filter(wanted).cloned().collect());
            return Ok((self, refs));
        }
        let mut filter = RefPrefixes::new();
        filter.extend(prefixes.iter().map(|prefix| (*prefix).into()));
        let command = gix::protocol::LsRefsCommand::new(
            Some(filter),
            &self.handshake.capabilities,
            agent_feature(),
        );
        match command.invoke_blocking(&mut self.carrier.transport, &mut Discard, false) {
            Ok(refs) => Ok((self, Refs::from_advertised(refs))),
            Err(error) => Err(self.server.explain(self.carrier, &error)),
        }
    }

    /// Fetches `wants` and what they need that `generation` does not have yet, into its pack folder.
    pub(crate) fn fetch(
        mut self,
        generation: &Generation,
        wants: &[gix::ObjectId],
    ) -> Result<Received, GitError> {
        let repository = {
            let mut repository = generation.repository();
            // Asking for objects we do not have must not make gix look for new packs each time.
            repository.objects.refresh = gix::odb::store::RefreshMode::Never;
            repository
        };
        let tips = generation.tips();
        let has_history = !tips.is_empty();
        let mut negotiation = Negotiation {
            wants,
            tips,
            negotiator: gix::negotiate::Algorithm::Consecutive.into_negotiator(),
            graph: repository.revision_graph(None),
        };
        let shallow = self.server.access.depth.and_then(std::num::NonZeroU32::new);
        let shallow = shallow.map_or(Shallow::NoChange, Shallow::DepthAtRemote);
        let options = gix::protocol::fetch::Options {
            shallow_file: generation.path.join("shallow"),
            shallow: &shallow,
            tags: Tags::None,
            reject_shallow_remote: false,
        };
        let context = gix::protocol::fetch::Context {
            handshake: &mut self.handshake,
            transport: &mut self.carrier.transport,
            user_agent: agent_feature(),
            trace_packetlines: false,
        };
        let mut received = Received::default();
        let packs = generation.path.join("objects/pack");
        let result = gix::protocol::fetch(
            &mut negotiation,
            |reader, progress, interrupted| {
                let mut counting = Counting {
                    inner: reader,
                    bytes: 0,
                };
                // A thin pack can only come when we said what we have.
                let bases = has_history.then(|| repository.objects.clone());
                let outcome = write_pack(&mut counting, &packs, progress, interrupted, bases)?;
                received = Received {
                    objects: outcome.index.num_objects as usize,
                    bytes: counting.bytes,
                };
                // The file keeps `git gc` away until refs point to the pack; nothing collects here.
                if let Some(keep) = &outcome.keep_path {
                    let _ = std::fs::remove_file(keep);
                }
                Ok(true)
            },
            Discard,
            &AtomicBool::new(false),
            context,
            options,
        );
        if let Err(error) = result {
            return Err(self.server.explain(self.carrier, &error));
        }
        // Politeness towards stateful servers; they see the connection end anyway.
        let _ = gix::protocol::indicate_end_of_interaction(&mut self.carrier.transport, false);
        Ok(received)
    }
}

fn write_pack(
    reader: &mut dyn BufRead,
    folder: &Path,
    progress: &mut dyn gix::DynNestedProgress,
    interrupted: &AtomicBool,
    bases: Option<gix::OdbHandle>,
) -> gix::Result<gix::odb::pack::bundle::write::Outcome> {
    let options = gix::odb::pack::bundle::write::Options {
        thread_limit: Some(1),
        alloc_limit_bytes: Some(LARGEST_OBJECT),
        ..Default::default()
    };
    let kind = gix::hash::Kind::Sha1;
    gix::odb::pack::Bundle::write_to_directory(
        reader,
        Some(folder),
        progress,
        interrupted,
        bases,
        kind,
        options,
    )
}

fn agent_feature() -> (&'static str, Option<String>) {
    // The protocol allows no spaces here.
    (
        "agent",
        Some(concat!("gitops-agent/", env!("CARGO_PKG_VERSION")).into()),
    )
}

/// Tells the server what we want and what we have.
struct Negotiation<'a, 'find> {
    wants: &'a [gix::ObjectId],
    tips: Vec<gix::ObjectId>,
    negotiator: Box<dyn gix::negotiate::Negotiator>,
    graph: gix::negotiate::Graph<'find, 'find>,
}

impl gix::protocol::fetch::Negotiate for Negotiation<'_, '_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<Action> {
        for tip in &self.tips {
            self.negotiator.add_tip(*tip, &mut self.graph)?;
        }
        Ok(Action::MustNegotiate {
            remote_ref_target_known: Vec::new(),
        })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _known: &[bool]) -> bool {
        for want in self.wants {
            arguments.want(want);
        }
        !self.wants.is_empty()
    }

    fn one_round(
        &mut self,
        state: &mut one_round::State,
        arguments: &mut Arguments,
        previous: Option<&Response>,
    ) -> gix::Result<(Round, bool)> {
        one_round(
            self.negotiator.as_mut(),
            &mut self.graph,
            state,
            arguments,
            previous,
        )
    }
}

/// Counts what passes.
struct Counting<'a> {
    inner: &'a mut dyn BufRead,
    bytes: u64,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }
}

impl BufRead for Counting<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes += amount as u64;
        self.inner.consume(amount);
    }
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
