//! When a cron schedule comes round, in a time zone.
//!
//! The five fields of cron as Argo CD reads them (robfig/cron, "standard"): names, ranges, steps,
//! lists and `@daily` and its kin. A day matches when day of month and day of week both do, or,
//! when both are restricted, when either does. Where clocks go forward, a time that does not exist
//! is the same distance after the gap; where they go back, it is the first of the two, and both
//! for schedules of every hour.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};

/// Longest search: a 29 February that is also skipped in a year like 2100. A month in which no day is
/// meant counts as one day.
const DAYS: u32 = 9 * 366;
/// How far apart civil and absolute order may be.
const DISORDER: i64 = 2;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Not restricted.
    any_hour: bool,
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

impl Schedule {
    /// Reads a schedule; the error says which field is wrong and why.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let expanded = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ if text.starts_with('@') => {
                return Err(format!("\"{text}\" is not a schedule with fixed times"));
            }
            _ if text.contains("TZ=") => {
                return Err("the time zone belongs into timeZone".into());
            }
            fields => fields,
        };
        let fields: Vec<&str> = expanded.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "it has {} fields, not the five of cron (minute hour day month weekday)",
                fields.len()
            ));
        };
        let field = |name, text, low, high, names| {
            Field {
                name,
                low,
                high,
                names,
            }
            .parse(text)
        };
        let schedule = Self {
            minutes: field("minute", minute, 0, 59, &[])?,
            hours: field("hour", hour, 0, 23, &[])?,
            days: field("day of month", day, 1, 31, &[])?,
            months: field("month", month, 1, 12, &MONTHS)?,
            weekdays: {
                // 7 is Sunday too.
                let days = field("day of week", weekday, 0, 7, &WEEKDAYS)?;
                (days | (days >> 7)) & 0x7f
            },
            any_hour: is_any(hour),
            any_day: is_any(day),
            any_weekday: is_any(weekday),
        };
        // Whether it ever comes round does not depend on where.
        if schedule
            .next(Timestamp::UNIX_EPOCH, &TimeZone::UTC)
            .is_none()
        {
            return Err("there is no such day".into());
        }
        Ok(schedule)
    }

    fn in_month(&self, date: Date) -> bool {
        self.months & (1 << date.month()) != 0
    }

    fn on(&self, date: Date) -> bool {
        let has = |set: u64, value: i8| set & (1 << value) != 0;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        self.in_month(date)
            && if self.any_day || self.any_weekday {
                day && weekday
            } else {
                day || weekday
            }
    }

    /// Times of a day, in civil order.
    fn times(&self, date: Date) -> impl DoubleEndedIterator<Item = DateTime> + use<'_> {
        (0..24_i8)
            .filter(|hour| self.hours & (1 << hour) != 0)
            .flat_map(move |hour| {
                (0..60_i8)
                    .filter(|minute| self.minutes & (1 << minute) != 0)
                    .map(move |minute| date.at(hour, minute, 0, 0))
            })
    }

    /// The moments of a civil time.
    fn moments(&self, time: DateTime, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
        let offsets = match zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
            AmbiguousOffset::Gap { before, .. } => [Some(before), None],
            AmbiguousOffset::Fold { before, after } => {
                [Some(before), self.any_hour.then_some(after)]
            }
        };
        offsets
            .into_iter()
            .flatten()
            .filter_map(move |offset| offset.to_timestamp(time).ok())
    }

    /// The first moment after `now`.
    pub(super) fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = now.to_zoned(zone.clone()).datetime();
        let earliest = local.checked_sub(Span::new().hours(DISORDER)).ok()?;
        let mut date = local.date().yesterday().ok()?;
        for _ in 0..DAYS {
            if !self.in_month(date) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            let mut best: Option<(Timestamp, DateTime)> = None;
            if self.on(date) {
                for time in self.times(date).filter(|time| *time >= earliest) {
                    let late = |(_, of): (_, DateTime)| {
                        of.checked_add(Span::new().hours(DISORDER))
                            .is_ok_and(|limit| time > limit)
                    };
                    if best.is_some_and(late) {
                        break;
                    }
                    for moment in self.moments(time, zone).filter(|moment| *moment > now) {
                        if best.is_none_or(|(found, _)| moment < found) {
                            best = Some((moment, time));
                        }
                    }
                }
            }
            if let Some((moment, _)) = best {
                return Some(moment);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last moment up to `now`.
    pub(super) fn last(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = now.to_zoned(zone.clone()).datetime();
        let latest = local.checked_add(Span::new().hours(DISORDER)).ok()?;
        let mut date = latest.date();
        for _ in 0..DAYS {
            if !self.in_month(date) {
                date = date.first_of_month().yesterday().ok()?;
                continue;
            }
            let mut best: Option<(Timestamp, DateTime)> = None;
            if self.on(date) {
                for time in self.times(date).rev().filter(|time| *time <= latest) {
                    let early = |(_, of): (_, DateTime)| {
                        of.checked_sub(Span::new().hours(DISORDER))
                            .is_ok_and(|limit| time < limit)
                    };
                    if best.is_some_and(early) {
                        break;
                    }
                    for moment in self.moments(time, zone).filter(|moment| *moment <= now) {
                        if best.is_none_or(|(found, _)| moment > found) {
                            best = Some((moment, time));
                        }
                    }
                }
            }
            if let Some((moment, _)) = best {
                return Some(moment);
            }
            date = date.yesterday().ok()?;
        }
        None
    }
}

/// Whether a field restricts nothing; a step of everything counts as that, as in robfig/cron.
fn is_any(field: &str) -> bool {
    field
        .split(',')
        .any(|part| part.starts_with('*') || part.starts_with('?'))
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |set, part| {
            self.part(part)
                .map(|values| set | values)
                .map_err(|problem| format!("{} \"{text}\": {problem}", self.name))
        })
    }

    fn part(&self, part: &str) -> Result<u64, String> {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => (range, Some(step)),
        };
        let step_size = match step.map(str::parse::<u32>) {
            None => 1,
            Some(Ok(size)) if size > 0 => size,
            Some(_) => return Err(format!("the step of \"{part}\" is no number above 0")),
        };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (self.low, self.high),
            Some((low, high)) => (self.value(low)?, self.value(high)?),
            None => {
                let value = self.value(range)?;
                // "5/15" goes on to the end.
                (value, if step.is_some() { self.high } else { value })
            }
        };
        if low > high {
            return Err(format!("\"{range}\" begins after its end"));
        }
        Ok((low..=high)
            .step_by(step_size as usize)
            .fold(0, |set, value| set | (1 << value)))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(place) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.low + u32::try_from(place).unwrap_or(0));
        }
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|value| number(text) && (self.low..=self.high).contains(value))
            .ok_or_else(|| format!("\"{text}\" is not between {} and {}", self.low, self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        // Europe/Berlin by its rule, so that the test needs no database.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn next(schedule: &str, now: &str, zone: &TimeZone) -> String {
        let schedule = Schedule::parse(schedule).unwrap();
        let now: Timestamp = now.parse().unwrap();
        let next = schedule.next(now, zone).unwrap();
        let last = schedule.last(next, zone).unwrap();
        assert_eq!(last, next, "a moment is the last one up to itself");
        next.to_string()
    }

    #[test]
    fn schedules() {
        for (schedule, now, expected) in [
            ("* * * * *", "2026-11-21T10:00:30Z", "2026-11-21T10:01:00Z"),
            ("0 22 * * *", "2026-11-21T22:00:00Z", "2026-11-22T22:00:00Z"),
            (
                "*/15 9-17 * * MON-FRI",
                "2026-11-21T10:00:00Z",
                "2026-11-23T09:00:00Z",
            ),
            (
                "5/20 * * * *",
                "2026-11-21T10:26:00Z",
                "2026-11-21T10:45:00Z",
            ),
            (
                "0 0 1,15 * *",
                "2026-11-21T10:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            // Either of both, when both are restricted.
            ("0 0 13 * 5", "2026-11-21T10:00:00Z", "2026-11-27T00:00:00Z"),
            (
                "0 0 */2 * 5",
                "2026-11-21T10:00:00Z",
                "2026-11-27T00:00:00Z",
            ),
            ("0 0 29 2 *", "2026-11-21T10:00:00Z", "2028-02-29T00:00:00Z"),
            (
                "0 0 * dec sun",
                "2026-11-21T10:00:00Z",
                "2026-12-06T00:00:00Z",
            ),
            ("0 0 * * 7", "2026-11-21T10:00:00Z", "2026-11-22T00:00:00Z"),
            ("@weekly", "2026-11-21T10:00:00Z", "2026-11-22T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, now, &TimeZone::UTC), expected, "{schedule}");
        }
    }

    #[test]
    fn clocks_that_change() {
        let zone = berlin();
        for (schedule, now, expected) in [
            ("0 22 * * *", "2026-07-01T00:00:00Z", "2026-07-01T20:00:00Z"),
            ("0 22 * * *", "2026-12-01T00:00:00Z", "2026-12-01T21:00:00Z"),
            // 02:30 does not exist on 29 March: an hour later by the clock.
            ("30 2 * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z"),
            // 02:30 is there twice on 25 October: the first.
            ("30 2 * * *", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            // Every hour is every hour.
            ("30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
            ("30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(
                next(schedule, now, &zone),
                expected,
                "{schedule} after {now}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (schedule, expected) in [
            ("", "it has 0 fields"),
            ("* * * *", "it has 4 fields"),
            ("0 0 0 * * *", "it has 6 fields"),
            (
                "60 * * * *",
                "minute \"60\": \"60\" is not between 0 and 59",
            ),
            ("* 5-2 * * *", "hour \"5-2\": \"5-2\" begins after its end"),
            ("*/0 * * * *", "no number above 0"),
            ("* * 0 * *", "day of month"),
            ("* * * foo *", "month \"foo\""),
            ("* * * * 8", "day of week"),
            ("* * -1 * *", "day of month"),
            ("+1 * * * *", "minute"),
            ("1,, * * * *", "minute"),
            ("0 0 30 2 *", "no such day"),
            ("@every 1h", "not a schedule with fixed times"),
            ("CRON_TZ=UTC 0 0 * * *", "timeZone"),
        ] {
            let problem = Schedule::parse(schedule).unwrap_err();
            assert!(problem.contains(expected), "{schedule}: {problem}");
        }
    }
}
