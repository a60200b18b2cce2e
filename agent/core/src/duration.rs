//! Durations as Argo CD's settings and specs write them: Go's syntax, or plain seconds.
//!
//! Decides nothing about what a duration is used for.

use std::time::Duration;

/// Nanoseconds of each unit. `d` is no unit of Go; Argo CD's settings accept it.
const UNITS: [(&str, u128); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Most digits after the point that are looked at; the rest is below a nanosecond.
const FRACTION_DIGITS: usize = 18;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a duration ({why}); write a number of seconds, or units as in \"90s\" or \"1h30m\""
)]
pub struct DurationError {
    text: String,
    why: &'static str,
}

/// Reads a Go duration (`1h30m`, `1.5s`, `300ms`) or a whole number of seconds (`180`).
/// Negative durations are refused: nothing here can wait for one.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let fail = |why| DurationError {
        text: text.to_owned(),
        why,
    };
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(fail("it is negative"));
    }
    let digits = trimmed.strip_prefix('+').unwrap_or(trimmed);
    if digits.is_empty() {
        return Err(fail("it is empty"));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits
            .parse()
            .map(Duration::from_secs)
            .map_err(|_| fail("it is too long"));
    }
    let mut rest = digits;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .ok_or_else(|| fail("a unit is missing"))?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| fail("a unit is not known"))?;
        let nanoseconds = scaled(number, *scale).ok_or_else(|| fail("a number is malformed"))?;
        total = total
            .checked_add(nanoseconds)
            .ok_or_else(|| fail("it is too long"))?;
        rest = next;
    }
    let nanoseconds = u64::try_from(total).map_err(|_| fail("it is too long"))?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let part = if fraction.is_empty() {
        0
    } else {
        let unit = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        fraction.parse::<u128>().ok()?.checked_mul(scale)? / unit
    };
    whole.checked_mul(scale)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        let ms = Duration::from_millis;
        let cases = [
            ("0", Some(ms(0))),
            ("180", Some(ms(180_000))),
            ("180s", Some(ms(180_000))),
            ("+5s", Some(ms(5_000))),
            ("1h30m", Some(ms(5_400_000))),
            ("1.5s", Some(ms(1_500))),
            (".5s", Some(ms(500))),
            ("1.s", Some(ms(1_000))),
            ("300ms", Some(ms(300))),
            ("2m3.5s", Some(ms(123_500))),
            ("1500µs", Some(Duration::from_micros(1_500))),
            ("7ns", Some(Duration::from_nanos(7))),
            ("1d", Some(ms(86_400_000))),
            (" 5s ", Some(ms(5_000))),
            ("", None),
            ("-5s", None),
            ("5 s", None),
            ("1.5", None),
            ("s", None),
            (".s", None),
            ("1..5s", None),
            ("5x", None),
            ("5S", None),
            ("1h30", None),
            ("99999999999999999999", None),
            ("9999999999999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
        assert!(
            parse("soon")
                .unwrap_err()
                .to_string()
                .contains("\"soon\" is not a duration")
        );
    }

    proptest! {
        #[test]
        fn sums_of_units(hours in 0..1000_u64, minutes in 0..60_u64, seconds in 0..60_u64) {
            let text = format!("{hours}h{minutes}m{seconds}s");
            prop_assert_eq!(parse(&text).unwrap().as_secs(), hours * 3600 + minutes * 60 + seconds);
        }

        #[test]
        fn never_panics(text in "[0-9.hmsnuµ+-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
