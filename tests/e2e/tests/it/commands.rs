//! Every subcommand, and what there is to know about it for tests that try all of them.
//! `every_command` fails when one is missing here.

/// A subcommand.
pub(crate) struct Command {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it must be given besides an Application.
    pub(crate) needs: &'static [&'static str],
    /// Whether it names an Application.
    pub(crate) app: App,
    /// Whether it asks the cluster, so that it fails where it cannot.
    pub(crate) reads: bool,
    /// Name of its JSON document; none: it has no `-o`.
    pub(crate) document: Option<&'static str>,
}

/// Whether a command names an Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// It must name one.
    Needed,
    /// It must name one or more.
    Several,
    /// It may name one.
    Possible,
    /// It cannot.
    No,
}

/// All of them.
pub(crate) const ALL: &[Command] = &[
    Command {
        name: "appset",
        needs: &["list"],
        app: App::No,
        ..ABOUT_ONE
    },
    Command {
        name: "approve",
        ..ABOUT_ONE
    },
    Command {
        name: "bootstrap",
        needs: &[
            "--repo",
            "http://127.0.0.1:1/acme/fleet",
            "--path",
            "clusters/test",
        ],
        app: App::No,
        ..ABOUT_ONE
    },
    Command {
        name: "completion",
        needs: &["bash"],
        app: App::No,
        reads: false,
        ..ABOUT_ONE
    },
    Command {
        name: "diff",
        document: Some("diff"),
        ..ABOUT_ONE
    },
    Command {
        name: "explain",
        document: Some("explain"),
        ..ABOUT_ONE
    },
    Command {
        name: "history",
        document: Some("history"),
        ..ABOUT_ONE
    },
    Command {
        name: "doctor",
        app: App::No,
        reads: false,
        document: Some("doctor"),
        ..ABOUT_ONE
    },
    Command {
        name: "health",
        needs: &["-f", "-"],
        app: App::No,
        reads: false,
        document: Some("health"),
    },
    Command {
        name: "logs",
        ..ABOUT_ONE
    },
    Command {
        name: "pause",
        app: App::Several,
        ..ABOUT_ONE
    },
    Command {
        name: "resume",
        app: App::Several,
        ..ABOUT_ONE
    },
    Command {
        name: "refresh",
        app: App::Several,
        ..ABOUT_ONE
    },
    Command {
        name: "rollback",
        ..ABOUT_ONE
    },
    Command {
        name: "status",
        app: App::Possible,
        document: Some("status"),
        ..ABOUT_ONE
    },
    Command {
        name: "sync",
        app: App::Several,
        ..ABOUT_ONE
    },
    Command {
        name: "terminate",
        ..ABOUT_ONE
    },
    Command {
        name: "uninstall",
        needs: &["--dry-run"],
        app: App::No,
        ..ABOUT_ONE
    },
    Command {
        name: "version",
        app: App::No,
        reads: false,
        document: Some("version"),
        ..ABOUT_ONE
    },
    Command {
        name: "wait",
        ..ABOUT_ONE
    },
];

/// Most commands read one Application.
const ABOUT_ONE: Command = Command {
    name: "",
    needs: &[],
    app: App::Needed,
    reads: true,
    document: None,
};

impl Command {
    /// A command line for an Application that is read before anything else happens.
    pub(crate) fn about<'a>(&self, app: &'a str) -> Vec<&'a str> {
        let app = (self.app != App::No).then_some(app);
        let words = std::iter::once(self.name).chain(app);
        words.chain(self.needs.iter().copied()).collect()
    }
}

/// Commands that ask the cluster.
pub(crate) fn readers() -> impl Iterator<Item = &'static Command> {
    ALL.iter().filter(|command| command.reads)
}
