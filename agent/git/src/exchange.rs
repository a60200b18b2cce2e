//! The Git protocol of one exchange: handshake, listing refs, negotiating and receiving a pack.
//! Speaks protocol version 2 and falls back to what the server has. Never decides what to fetch,
//! how to connect, or what a failure means.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix::progress::Discard;
use gix::protocol::fetch::negotiate::{Action, Round, one_round};
use gix::protocol::fetch::{Arguments, Response, Shallow, Tags};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
use gix_transport::Service;

use crate::allowance::MAX_OBJECT_BYTES;
use crate::error::GitError;
use crate::failure::{Failure, FailureSlot};
use crate::generation::Generation;
use crate::refs::{MAX_REFS, Refs, listing_too_long};
use crate::room::Room;
use crate::server::{Carrier, Server};

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

impl<'a> Exchange<'a> {
    /// Connects and shakes hands.
    pub(crate) fn connect(server: &'a Server) -> Result<Self, GitError> {
        let mut carrier = server.carrier()?;
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
                    server,
                    carrier,
                    handshake,
                    advertised,
                })
            }
            Err(error) => Err(server.explain(carrier, &error)),
        }
    }

    /// Lists refs whose full names begin with one of `prefixes`.
    pub(crate) fn list(mut self, prefixes: &[&str]) -> Result<(Self, Refs), GitError> {
        if let Some(advertised) = &self.advertised {
            let wanted = |reference: &&Ref| {
                let name = reference.unpack().0;
                prefixes
                    .iter()
                    .any(|prefix| name.starts_with(prefix.as_bytes()))
            };
            self.check_number(advertised)?;
            let refs = Refs::from_advertised(advertised.iter().filter(wanted).cloned().collect());
            return Ok((self, refs));
        }
        self.carrier.allowance.renew();
        let mut filter = RefPrefixes::new();
        filter.extend(prefixes.iter().map(|prefix| (*prefix).into()));
        let command = gix::protocol::LsRefsCommand::new(
            Some(filter),
            &self.handshake.capabilities,
            agent_feature(),
        );
        match command.invoke_blocking(&mut self.carrier.transport, &mut Discard, false) {
            Ok(refs) => {
                self.check_number(&refs)?;
                Ok((self, Refs::from_advertised(refs)))
            }
            Err(error) => Err(self.server.explain(self.carrier, &error)),
        }
    }

    fn check_number(&self, refs: &[Ref]) -> Result<(), GitError> {
        if refs.len() > MAX_REFS {
            return Err(self.server.too_large(listing_too_long()));
        }
        Ok(())
    }

    /// Whether the server gives out this object. Before protocol version 2 that is what it
    /// advertises, unless it says otherwise.
    fn may_ask_for(&self, want: &gix::ObjectId) -> bool {
        let Some(advertised) = &self.advertised else {
            return true;
        };
        let capabilities = &self.handshake.capabilities;
        let generous = ["allow-any-sha1-in-want", "allow-reachable-sha1-in-want"];
        generous.iter().any(|name| capabilities.contains(name))
            || advertised
                .iter()
                .any(|reference| reference.unpack().1 == Some(want.as_ref()))
    }

    /// Fetches `wants` and what they need that `generation` does not have yet, into its pack
    /// directory.
    pub(crate) fn fetch(
        mut self,
        generation: &Generation,
        wants: &[gix::ObjectId],
    ) -> Result<Received, GitError> {
        if let Some(refused) = wants.iter().find(|want| !self.may_ask_for(want)) {
            return Err(GitError::RevisionNotFound {
                url: self.server.url().to_owned(),
                revision: refused.to_string(),
            });
        }
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
        let mut room = Room::beside(&packs, &self.server.access.disk);
        if let Some(reason) = room.exceeded(0) {
            return Err(self.server.too_large(reason));
        }
        let (allowance, failure) = (&self.carrier.allowance, self.carrier.failure.clone());
        allowance.renew();
        let result = gix::protocol::fetch(
            &mut negotiation,
            |reader, progress, interrupted| {
                // A pack goes to disk, where there is room for it or not.
                allowance.lift();
                let mut counting = Counting {
                    inner: reader,
                    bytes: 0,
                    room,
                    failure,
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
    directory: &Path,
    progress: &mut dyn gix::DynNestedProgress,
    interrupted: &AtomicBool,
    bases: Option<gix::OdbHandle>,
) -> gix::Result<gix::odb::pack::bundle::write::Outcome> {
    let options = gix::odb::pack::bundle::write::Options {
        thread_limit: Some(1),
        alloc_limit_bytes: Some(MAX_OBJECT_BYTES),
        ..Default::default()
    };
    let kind = gix::hash::Kind::Sha1;
    gix::odb::pack::Bundle::write_to_directory(
        reader,
        Some(directory),
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

/// Counts what passes, while there is room for it.
struct Counting<'a> {
    inner: &'a mut dyn BufRead,
    bytes: u64,
    room: Room<'a>,
    failure: FailureSlot,
}

impl Counting<'_> {
    fn check(&mut self) -> io::Result<()> {
        let Some(reason) = self.room.exceeded(self.bytes) else {
            return Ok(());
        };
        *self.failure.borrow_mut() = Some(Failure::TooLarge(reason));
        // The reason is in the slot; this text goes nowhere.
        Err(io::Error::other("no room is left"))
    }
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let length = self.inner.read(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }
}

impl BufRead for Counting<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes += amount as u64;
        self.inner.consume(amount);
    }
}
