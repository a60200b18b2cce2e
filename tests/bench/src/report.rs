//! What the benchmark prints.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::agent::Memory;
use crate::command_line::CommandLine;
use crate::measure::{Commits, Idle};
use crate::percentile::Spread;

/// What was measured while the agent ran.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// From the first Application created to the last one synced.
    pub(crate) rollout_seconds: f64,
    /// The agent's requests until then, by verb and resource.
    pub(crate) rollout_requests: BTreeMap<String, u64>,
    /// Commits.
    pub(crate) commits: Commits,
    /// Drifts by what was done, and all of them.
    pub(crate) heals: BTreeMap<&'static str, Spread>,
    /// Idling.
    pub(crate) idle: Idle,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Number of Applications.
    pub(crate) applications: usize,
    /// Number of objects.
    pub(crate) objects: usize,
    /// Writes under way at the same time.
    pub(crate) concurrency: usize,
    /// The bare loop, before and after.
    pub(crate) bare_seconds: [f64; 2],
    /// While the agent ran.
    #[serde(flatten)]
    pub(crate) measured: Measured,
    /// Peak memory.
    pub(crate) memory: Memory,
    /// What a person waits for.
    pub(crate) command_line: CommandLine,
}

impl Report {
    /// Prints a table, or JSON.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let text = if json {
            serde_json::to_string_pretty(self)? + "\n"
        } else {
            self.table()
        };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(())
    }

    fn table(&self) -> String {
        let rate = |seconds: f64| self.objects as f64 / seconds;
        let bare = rate(f64::midpoint(self.bare_seconds[0], self.bare_seconds[1]));
        let rollout = rate(self.measured.rollout_seconds);
        let Measured {
            commits,
            heals,
            idle,
            ..
        } = &self.measured;
        let mib = |kib: u64| kib as f64 / 1024.0;
        let verdict = |met: bool| if met { "met" } else { "MISSED" };
        let heal = heals.get("all");
        let mut rows = vec![
            row("measured", "value", "target", ""),
            row(
                "bare server-side apply",
                &format!(
                    "{bare:.0} objects/s ({:.2} s, {:.2} s)",
                    self.bare_seconds[0], self.bare_seconds[1]
                ),
                "",
                "",
            ),
            row(
                "rollout, all Synced",
                &format!(
                    "{:.2} s, {rollout:.0} objects/s",
                    self.measured.rollout_seconds
                ),
                &format!("{:.0} objects/s", bare / 2.0),
                verdict(rollout * 2.0 >= bare),
            ),
            row(
                "  API requests of the agent",
                &self
                    .measured
                    .rollout_requests
                    .values()
                    .sum::<u64>()
                    .to_string(),
                "",
                "",
            ),
            row(
                "commit to applied, polled at 1 s",
                &spread(&commits.polled),
                "",
                "",
            ),
            row(
                "commit to applied, refresh asked",
                &spread(&commits.asked),
                "",
                "",
            ),
            row(
                "renders per one-app commit",
                &format!("{:.2}", commits.renders),
                "1",
                verdict((commits.renders - 1.0).abs() < f64::EPSILON),
            ),
            row(
                "drift to healed",
                &heal.map_or_else(String::new, spread),
                "p99 < 500 ms",
                verdict(heal.is_some_and(|heal| heal.p99_ms < 500.0)),
            ),
        ];
        for (kind, sample) in heals.iter().filter(|(kind, _)| **kind != "all") {
            rows.push(row(&format!("  {kind}"), &spread(sample), "", ""));
        }
        rows.push(row(
            &format!("API requests, idle for {} s", idle.seconds),
            &format!("{} besides watches and lease", idle.other_requests),
            "0",
            verdict(idle.other_requests == 0),
        ));
        for (what, count) in &idle.requests {
            rows.push(row(&format!("  {what}"), &count.to_string(), "", ""));
        }
        rows.push(row(
            "  Git requests",
            &format!("{:.0}", idle.git_requests),
            "",
            "",
        ));
        rows.push(row(
            "peak memory of the agent",
            &format!(
                "{:.1} MiB ({:.1} at the end)",
                mib(self.memory.agent_peak_kib),
                mib(self.memory.agent_at_end_kib)
            ),
            "< 48 MiB",
            verdict(mib(self.memory.agent_peak_kib) < 48.0),
        ));
        rows.push(row(
            "peak memory of a render worker",
            &format!(
                "{:.1} MiB ({} at most, none when idle)",
                mib(self.memory.worker_peak_kib),
                self.memory.workers
            ),
            "",
            "",
        ));
        let CommandLine { status, help, .. } = &self.command_line;
        rows.push(row(
            &format!("status of {} Applications", self.command_line.applications),
            &spread(status),
            "p50 < 300 ms",
            verdict(status.p50_ms < 300.0),
        ));
        rows.push(row(
            "kubectl gitops --help",
            &spread(help),
            "p50 < 20 ms",
            verdict(help.p50_ms < 20.0),
        ));
        format!(
            "{} Applications, {} objects, {} writes at a time\n\n{}",
            self.applications,
            self.objects,
            self.concurrency,
            rows.concat()
        )
    }
}

fn row(what: &str, value: &str, target: &str, verdict: &str) -> String {
    let row = format!("{what:<34} {value:<48} {target:<16} {verdict}");
    format!("{}\n", row.trim_end())
}

fn spread(spread: &Spread) -> String {
    format!(
        "p50 {:.0} ms, p99 {:.0} ms (of {})",
        spread.p50_ms, spread.p99_ms, spread.count
    )
}

/// Says what is being done; standard output is for the result.
pub(crate) fn progress(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what} …");
}

/// Says what went wrong.
pub(crate) fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "error: {what}");
}
