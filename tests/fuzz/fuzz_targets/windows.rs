//! Sync windows: schedule, duration and time zone in three lines, then patterns of applications.

use gitops_api::project::SyncWindow;
use gitops_core::project::windows::{Asked, Verdict, Windows};
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) const WORDS: &[&str] = &[
    "*",
    "*/5",
    "0",
    "59",
    "60",
    "1-5",
    "mon",
    "jan",
    "30 2 29 2 *",
    "@daily",
    "@every 1h",
    "8h",
    "1h30m",
    "0s",
    "-1h",
    "999999h",
    "UTC",
    "Europe/Berlin",
    "\n",
    ",",
    "/",
    "-",
    " ",
    "?",
    "L",
];

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let window = SyncWindow {
        kind: if data.len().is_multiple_of(2) {
            "allow"
        } else {
            "deny"
        }
        .to_owned(),
        schedule: line(),
        duration: line(),
        time_zone: line(),
        applications: std::iter::once("cart".to_owned())
            .chain(text.lines().skip(3).map(str::to_owned))
            .collect(),
        ..SyncWindow::default()
    };
    let night = SyncWindow {
        kind: "deny".to_owned(),
        schedule: "0 22 * * *".to_owned(),
        duration: "8h".to_owned(),
        applications: vec!["*".to_owned()],
        ..SyncWindow::default()
    };
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap_or(TimeZone::UTC);
    let destination = gitops_api::ApplicationDestination::default();
    let windows = [window, night];
    let windows = Windows::of("team", &windows, "cart", &destination, |name| {
        (name == "Europe/Berlin").then(|| berlin.clone())
    });
    let _ = windows.problems().count();
    // Right before a clock goes back, and when there is no summer time.
    for second in [1_793_494_799, 1_769_900_000] {
        let Ok(now) = Timestamp::from_second(second) else {
            continue;
        };
        if let Verdict::Closed(closed) = windows.judge(Asked::Automatically, None, now)
            && let Some(opens) = closed.opens
        {
            assert!(opens > now);
        }
    }
}
