//! `status --watch`: on a terminal the screen is drawn anew when something changes; elsewhere each
//! change is a line.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::StreamExt;
use gitops_api::Application;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output::print;
use gitops_kit::terminal;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::Summary;
use jiff::Timestamp;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::MissedTickBehavior;

use crate::cluster::connection::Connection;
use crate::cluster::failure;
use crate::cluster::pods::workloads;
use crate::commands::status::{Seen, Selection, StatusArgs, agent, chosen, render, unwell};

/// How often the screen is drawn at most.
const REDRAW: Duration = Duration::from_millis(250);
/// Every how many redraw ticks ages move on, when nothing else changes.
const AGES_EVERY: u32 = 4;
/// Every how many redraw ticks the Pods of the one application shown are read.
const PODS_EVERY: u32 = 8;
/// Every how many redraw ticks the Pods of the Applications in the list that are not well are read.
const LIST_PODS_EVERY: u32 = 40;
/// Every how many redraw ticks the agent's Lease is read.
const LEASE_EVERY: u32 = 20;

type Key = (String, String);

/// Shows changes until interrupted.
pub(super) async fn watch(
    args: &StatusArgs,
    selection: &Selection,
    connection: &Connection,
    view: View,
) -> Result<ExitStatus, CommandError> {
    // The first answer decides whether there is anything to watch, with the usual messages.
    crate::commands::status::fetch(selection, connection).await?;
    let mut config = watcher::Config::default();
    if let Some(selector) = &selection.selector {
        config = config.labels(selector);
    }
    if let Some(name) = &selection.name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    let mut events = watcher(selection.api(connection), config)
        .default_backoff()
        .boxed();
    let mut screen = Screen {
        args,
        selection,
        connection,
        view,
        applications: BTreeMap::new(),
        shown: Vec::new(),
        next: BTreeMap::new(),
        workloads: Workloads::default(),
        agent: agent(selection, connection).await,
        said: HashMap::new(),
        drawn: String::new(),
        changed: false,
        unreachable_since: None,
    };
    if let Some(warning) = screen
        .agent
        .warning(selection.agent_namespace(), Timestamp::now())
    {
        warn(&warning);
    }
    let mut ticks = tokio::time::interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick: u32 = 0;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    screen.unreachable_since = None;
                    if let Event::Apply(application) | Event::InitApply(application) = &event
                        && selection.name.is_some()
                        && !view.interactive
                    {
                        let application = std::slice::from_ref(application);
                        screen.workloads = workloads(application, connection).await;
                    }
                    screen.take(event)?;
                }
                Some(Err(error)) => screen.fails(error)?,
                None => return Ok(ExitStatus::Success),
            },
            _ = ticks.tick(), if view.interactive => {
                tick = tick.wrapping_add(1);
                if tick.is_multiple_of(LEASE_EVERY) {
                    screen.agent = agent(selection, connection).await;
                }
                let pods_every = if selection.name.is_some() { PODS_EVERY } else { LIST_PODS_EVERY };
                if (screen.changed && selection.name.is_some()) || tick.is_multiple_of(pods_every) {
                    screen.read_workloads().await;
                }
                if screen.changed || tick.is_multiple_of(AGES_EVERY) {
                    screen.draw()?;
                }
            }
        }
    }
}

struct Screen<'a> {
    args: &'a StatusArgs,
    selection: &'a Selection,
    connection: &'a Connection,
    view: View,
    applications: BTreeMap<Key, Application>,
    /// The same, as it is drawn.
    shown: Vec<Application>,
    /// What a new listing has brought so far.
    next: BTreeMap<Key, Application>,
    workloads: Workloads,
    agent: Agent,
    /// Without a terminal: what was last said of each application.
    said: HashMap<Key, String>,
    drawn: String,
    changed: bool,
    /// Since when the watch fails; what is shown is as old.
    unreachable_since: Option<Timestamp>,
}

impl Screen<'_> {
    fn take(&mut self, event: Event<Application>) -> Result<(), CommandError> {
        match event {
            Event::Init => self.next.clear(),
            Event::InitApply(application) => {
                self.next.insert(key(&application), application);
            }
            Event::InitDone => {
                self.applications = std::mem::take(&mut self.next);
                let headings = self.said.is_empty() && !self.args.output.no_headers;
                let all: Vec<Application> = self.applications.values().cloned().collect();
                self.say(&all, headings)?;
            }
            Event::Apply(application) => {
                self.applications
                    .insert(key(&application), application.clone());
                self.say(&[application], false)?;
            }
            Event::Delete(application) => {
                let key = key(&application);
                self.applications.remove(&key);
                self.said.remove(&key);
            }
        }
        self.changed = true;
        Ok(())
    }

    /// The watch begins again by itself; only what asking again does not cure ends it.
    fn fails(&mut self, error: watcher::Error) -> Result<(), CommandError> {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error)
                if failure::is_final(&error) =>
            {
                return Err(failure::of(
                    error,
                    "watch Applications",
                    &self.connection.endpoint,
                ));
            }
            _ => {}
        }
        if self.unreachable_since.is_none() {
            self.unreachable_since = Some(Timestamp::now());
            if !self.view.interactive {
                warn(&self.out_of_reach());
            }
        }
        Ok(())
    }

    fn out_of_reach(&self) -> String {
        format!(
            "the API server at {} cannot be reached; trying again",
            self.connection.endpoint.server
        )
    }

    /// The Pods of the one Application, or of those in the list that are not well.
    async fn read_workloads(&mut self) {
        let applications: Vec<Application> = self.applications.values().cloned().collect();
        let applications = if self.selection.name.is_some() {
            applications
        } else {
            let now = Timestamp::now();
            unwell(&chosen(applications, &self.args.filter, now), now)
        };
        let found = workloads(&applications, self.connection).await;
        self.changed |= found != self.workloads;
        self.workloads = found;
    }

    /// Without a terminal: a line for each application whose state is new.
    fn say(&mut self, applications: &[Application], headings: bool) -> Result<(), CommandError> {
        if self.view.interactive {
            return Ok(());
        }
        let now = Timestamp::now();
        let news: Vec<Application> = applications
            .iter()
            .filter(|application| {
                let summary = Summary::of(application, now, self.view.unicode);
                if !self.args.filter.accepts(application, &summary) {
                    // It is news when it is chosen again.
                    self.said.remove(&key(application));
                    return false;
                }
                let state = format!(
                    "{} {} {} {:?}",
                    summary.sync,
                    summary.health,
                    summary.revision,
                    summary.reason.map(|reason| reason.code)
                );
                self.said.insert(key(application), state.clone()) != Some(state)
            })
            .cloned()
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        let mut args = self.args.clone();
        args.output.no_headers = !headings;
        self.print(&args, &news, now)
    }

    fn print(
        &self,
        args: &StatusArgs,
        applications: &[Application],
        now: Timestamp,
    ) -> Result<(), CommandError> {
        print(&self.render(args, applications, now)?)
    }

    fn render(
        &self,
        args: &StatusArgs,
        applications: &[Application],
        now: Timestamp,
    ) -> Result<String, CommandError> {
        let Self {
            selection,
            connection,
            workloads,
            agent,
            view,
            ..
        } = self;
        let seen = Seen {
            applications,
            workloads,
            agent,
        };
        render(args, selection, connection, &seen, view, now)
    }

    fn nothing(&self) -> String {
        if self.args.filter.is_empty() || self.applications.is_empty() {
            return "no Applications\n".to_owned();
        }
        format!(
            "none of the {} Applications is like that\n",
            self.applications.len()
        )
    }

    /// On a terminal: the whole screen, when it has changed.
    fn draw(&mut self) -> Result<(), CommandError> {
        if !self.changed && self.drawn.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.changed) {
            let all = self.applications.values().cloned().collect();
            self.shown = chosen(all, &self.args.filter, Timestamp::now());
        }
        // The terminal may have been resized.
        self.view = View::of_stdout(self.args.output.color);
        let text = if self.shown.is_empty() {
            self.nothing()
        } else {
            self.render(self.args, &self.shown, Timestamp::now())?
        };
        let text = match self.unreachable_since {
            None => text,
            Some(since) => format!(
                "{} (for {})\n{text}",
                self.out_of_reach(),
                text::age(since, Timestamp::now())
            ),
        };
        let rows = terminal::height().map_or(usize::MAX, |rows| rows.saturating_sub(1));
        let text: String = text.split_inclusive('\n').take(rows).collect();
        if text != self.drawn {
            // Home, each line cleared to its end, then everything below: no flicker.
            let lines = text.replace('\n', "\u{1b}[K\n");
            let start = if self.drawn.is_empty() {
                "\u{1b}[2J"
            } else {
                ""
            };
            print(&format!("{start}\u{1b}[H{lines}\u{1b}[J"))?;
            self.drawn = text;
        }
        Ok(())
    }
}

fn key(application: &Application) -> Key {
    let metadata = &application.metadata;
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}
