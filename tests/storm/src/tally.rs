//! What became of the rounds, by kind of fault.

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
struct Row {
    faults: usize,
    failed: usize,
    longest: Duration,
}

/// The results of a storm.
#[derive(Default)]
pub(crate) struct Tally {
    rows: BTreeMap<String, Row>,
    rounds: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Adds a round with these faults, how long it took to its end, and what was wrong then.
    pub(crate) fn round(&mut self, kinds: &[&str], took: Duration, wrong: Vec<String>) {
        self.rounds += 1;
        for kind in kinds {
            let row = self.rows.entry((*kind).to_owned()).or_default();
            row.faults += 1;
            row.failed += usize::from(!wrong.is_empty());
            row.longest = row.longest.max(took);
        }
        let round = self.rounds;
        let of_round = |wrong: String| format!("round {round}, {}: {wrong}", kinds.join(" + "));
        self.failures.extend(wrong.into_iter().map(of_round));
    }

    /// Whether anything was wrong.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Prints a table in Markdown, and what was wrong.
    pub(crate) fn print(&self) {
        let faults: usize = self.rows.values().map(|row| row.faults).sum();
        println!(
            "\n{faults} faults of {} kinds in {} rounds, {} rounds with something wrong\n",
            self.rows.len(),
            self.rounds,
            self.failed_rounds(),
        );
        println!("| fault | faults | failed | longest, s |\n|---|---|---|---|");
        for (kind, row) in &self.rows {
            let longest = row.longest.as_secs();
            println!("| {kind} | {} | {} | {longest} |", row.faults, row.failed);
        }
        for failure in &self.failures {
            println!("{failure}");
        }
    }

    fn failed_rounds(&self) -> usize {
        let rounds: std::collections::BTreeSet<_> = self
            .failures
            .iter()
            .map(|failure| failure.split(',').next())
            .collect();
        rounds.len()
    }
}
