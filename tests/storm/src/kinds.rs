//! The kinds of faults, one row each.

use std::time::Duration;

use gitops_e2e::fault_proxy::{Fault, Requests, Verb};

/// A kind of fault.
#[derive(Clone)]
pub(crate) struct Kind {
    /// As it is chosen and reported.
    pub(crate) name: String,
    /// What is done.
    pub(crate) injury: Injury,
}

/// What is done.
#[derive(Clone)]
pub(crate) enum Injury {
    /// The agent is killed when it sends the n-th of these, or when that was answered.
    Kill { at: Requests, answered: bool },
    /// At a random moment.
    KillAnyTime,
    /// Each half second, for some seconds.
    KillLoop,
    /// It is told to end, and started again.
    Terminate,
    /// It stands still for some seconds (SIGSTOP).
    Freeze(u64),
    /// These requests are hurt for some seconds.
    Requests {
        which: Requests,
        fault: Fault,
        seconds: u64,
    },
    /// The n-th of these is hurt, once.
    Once { which: Requests, fault: Fault },
    /// Watches of a resource are late for some seconds.
    Late(&'static str),
    /// All watches are cut again and again for some seconds.
    CutWatches,
    /// All connections are cut, once.
    CutConnections,
    /// Nothing moves on any line for some seconds.
    Silent(u64),
    /// Nothing is reached for some seconds.
    Away(u64),
    /// What becomes of the Git server.
    Git(Git),
    /// What becomes of the cache.
    Cache(Cache),
    /// Render workers get a signal.
    Workers(&'static str),
    /// What other clients do.
    Others(Others),
    /// More agents wait for the lease, and the one that has it loses it.
    Replicas { waiting: usize, loss: Loss },
}

/// How an agent loses the lease.
#[derive(Clone, Copy)]
pub(crate) enum Loss {
    Killed,
    Ended,
    CutOff,
    Unanswered,
    Stopped,
    /// Each of them is killed in turn.
    InTurns,
}

#[derive(Clone, Copy)]
pub(crate) enum Git {
    Unavailable,
    Hangs,
    BranchAway,
    NothingIn,
    Broken,
    Rewritten,
    Collected,
    OneAfterTheOther,
}

#[derive(Clone, Copy)]
pub(crate) enum Cache {
    Gone,
    Flipped,
    Truncated,
    Locked,
}

#[derive(Clone, Copy)]
pub(crate) enum Others {
    Edit,
    Delete,
    Label,
    DeleteHooks,
}

/// Requests by the name of what they are about.
fn requests() -> Vec<(&'static str, Requests)> {
    let of = |verb, resource: &str| Requests::of(verb).resource(resource);
    vec![
        ("any write", Requests::writes()),
        ("a report", of(Verb::Patch, "applications")),
        ("an apply", of(Verb::Patch, "configmaps").dry_run(false)),
        ("a hook's creation", of(Verb::Patch, "jobs")),
        ("a delete", Requests::of(Verb::Delete)),
        ("a read", Requests::of(Verb::Get)),
        ("a list", Requests::of(Verb::List)),
        ("an event", of(Verb::Create, "events")),
    ]
}

/// All kinds.
pub(crate) fn all() -> Vec<Kind> {
    let kind = |name: String, injury| Kind { name, injury };
    let mut kinds = Vec::new();
    for (what, which) in requests() {
        if what != "a list" && what != "an event" {
            for (when, answered) in [("before", false), ("after", true)] {
                let at = which.clone();
                kinds.push(kind(
                    format!("killed {when} {what}"),
                    Injury::Kill { at, answered },
                ));
            }
        }
        for status in [403, 409, 429, 500, 503] {
            let fault = Fault::status(status);
            let which = which.clone();
            let injury = Injury::Requests {
                which,
                fault,
                seconds: 3,
            };
            kinds.push(kind(format!("{status} to {what} for 3 s"), injury));
        }
        let once = [
            ("cut before it is seen", Fault::Cut),
            ("cut before its answer", Fault::CutAnswer),
            ("cut within its answer", Fault::CutWithinAnswer),
            (
                "answered 5 s late",
                Fault::DelayAnswer(Duration::from_secs(5)),
            ),
            ("seen 5 s late", Fault::Delay(Duration::from_secs(5))),
        ];
        for (how, fault) in once {
            let injury = Injury::Once {
                which: which.clone(),
                fault,
            };
            kinds.push(kind(format!("{what}, {how}"), injury));
        }
    }
    let everything = |fault, seconds| Injury::Requests {
        which: Requests::all(),
        fault,
        seconds,
    };
    let lease = || Requests::all().resource("leases");
    let on_lease = |fault, seconds| Injury::Requests {
        which: lease(),
        fault,
        seconds,
    };
    let rest = [
        (
            "an apply, never answered",
            Injury::Once {
                which: Requests::of(Verb::Patch).resource("configmaps"),
                fault: Fault::Swallow,
            },
        ),
        (
            "a report, never answered",
            Injury::Once {
                which: Requests::of(Verb::Patch).resource("applications"),
                fault: Fault::SwallowAnswer,
            },
        ),
        (
            "401 to everything for 3 s",
            everything(Fault::status(401), 3),
        ),
        (
            "410 to watches for 3 s",
            Injury::Requests {
                which: Requests::of(Verb::Watch),
                fault: Fault::status(410),
                seconds: 3,
            },
        ),
        (
            "each request takes half a second",
            everything(Fault::Delay(Duration::from_millis(500)), 10),
        ),
        ("500 to the lease for 5 s", on_lease(Fault::status(500), 5)),
        (
            "the lease is never answered, for 20 s",
            on_lease(Fault::Swallow, 20),
        ),
        ("killed at any time", Injury::KillAnyTime),
        ("killed each half second for 5 s", Injury::KillLoop),
        ("told to end", Injury::Terminate),
        ("stands still for 3 s", Injury::Freeze(3)),
        ("stands still for 20 s", Injury::Freeze(20)),
        ("Applications told 2 s late", Injury::Late("applications")),
        ("Jobs told 2 s late", Injury::Late("jobs")),
        ("ConfigMaps told 2 s late", Injury::Late("configmaps")),
        ("watches cut each 0.2 s", Injury::CutWatches),
        ("all connections cut", Injury::CutConnections),
        ("all lines silent for 6 s", Injury::Silent(6)),
        ("API server away for 6 s", Injury::Away(6)),
        ("API server away for 16 s", Injury::Away(16)),
        (
            "Git server unavailable for 3 s",
            Injury::Git(Git::Unavailable),
        ),
        ("Git server hangs for 3 s", Injury::Git(Git::Hangs)),
        ("branch away for 2 s", Injury::Git(Git::BranchAway)),
        ("a commit that holds nothing", Injury::Git(Git::NothingIn)),
        ("a commit that cannot be parsed", Injury::Git(Git::Broken)),
        ("history rewritten", Injury::Git(Git::Rewritten)),
        ("repository collected", Injury::Git(Git::Collected)),
        (
            "commits one after the other",
            Injury::Git(Git::OneAfterTheOther),
        ),
        ("cache deleted", Injury::Cache(Cache::Gone)),
        ("cache, bytes flipped", Injury::Cache(Cache::Flipped)),
        ("cache, files cut to half", Injury::Cache(Cache::Truncated)),
        ("cache a file, for 3 s", Injury::Cache(Cache::Locked)),
        ("render workers killed", Injury::Workers("KILL")),
        ("render workers frozen for 3 s", Injury::Workers("STOP")),
        ("others edit objects", Injury::Others(Others::Edit)),
        ("others delete objects", Injury::Others(Others::Delete)),
        ("others label Applications", Injury::Others(Others::Label)),
        (
            "others delete hooks that have ended",
            Injury::Others(Others::DeleteHooks),
        ),
    ];
    let losses = [
        ("is killed", Loss::Killed),
        ("is told to end", Loss::Ended),
        ("is cut off for 18 s", Loss::CutOff),
        ("gets no answers for 18 s", Loss::Unanswered),
        ("stands still for 18 s", Loss::Stopped),
        ("is killed, and so is the next", Loss::InTurns),
    ];
    for (waiting, agents) in [(1, "two"), (2, "three")] {
        for (how, loss) in losses {
            let name = format!("of {agents} agents, the one that acts {how}");
            kinds.push(kind(name, Injury::Replicas { waiting, loss }));
        }
    }
    kinds.extend(
        rest.into_iter()
            .map(|(name, injury)| kind(name.to_owned(), injury)),
    );
    kinds
}
