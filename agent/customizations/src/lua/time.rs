//! `os.time`, `os.date` and `os.clock`: all of `os` that a rule gets. Everything is in UTC, so
//! that a verdict does not depend on where it is made.

use jiff::{Span, Timestamp, civil, fmt::strtime, tz::TimeZone};
use mlua::{Lua, Table, Value};

/// Seconds since 1970, now or of a table {year, month, day, hour, min, sec}.
pub(super) fn time(_: &Lua, fields: Option<Table>) -> mlua::Result<f64> {
    let Some(fields) = fields else {
        return Ok(Timestamp::now().as_second() as f64);
    };
    let field = |name: &str, default: Option<i64>| -> mlua::Result<i64> {
        let value: Option<f64> = fields.raw_get(name)?;
        value
            .map(|value| value as i64)
            .or(default)
            .ok_or_else(|| mlua::Error::runtime(format!("field '{name}' missing in date table")))
    };
    let (day, hour) = (field("day", None)?, field("hour", Some(12))?);
    let (minute, second) = (field("min", Some(0))?, field("sec", Some(0))?);
    // Months and days may lie outside of their range, as in C's mktime.
    let year = field("year", None)?.clamp(-9999, 9999);
    let moment = civil::date(i16::try_from(year).unwrap_or(1970), 1, 1);
    let span = Span::new()
        .try_months(field("month", None)?.saturating_sub(1))
        .and_then(|span| span.try_days(day.saturating_sub(1)));
    span.and_then(|span| span.try_hours(hour))
        .and_then(|span| span.try_minutes(minute))
        .and_then(|span| span.try_seconds(second))
        .and_then(|span| moment.at(0, 0, 0, 0).checked_add(span))
        .and_then(|moment| moment.to_zoned(TimeZone::UTC))
        .map(|moment| moment.timestamp().as_second() as f64)
        .map_err(mlua::Error::runtime)
}

/// A time as text by a strftime format, or as a table for `*t`. A leading `!` changes nothing.
pub(super) fn date(
    lua: &Lua,
    (format, seconds): (Option<String>, Option<f64>),
) -> mlua::Result<Value> {
    let moment = match seconds {
        Some(seconds) => Timestamp::from_second(seconds as i64).map_err(mlua::Error::runtime)?,
        None => Timestamp::now(),
    };
    let moment = moment.to_zoned(TimeZone::UTC);
    let format = format.unwrap_or_else(|| "%a %b %e %H:%M:%S %Y".into());
    let format = format.strip_prefix('!').unwrap_or(&format);
    if !format.starts_with("*t") {
        let text = strtime::format(format, &moment).map_err(mlua::Error::runtime)?;
        return lua.create_string(text).map(Value::String);
    }
    let table = lua.create_table()?;
    for (name, value) in [
        ("year", i32::from(moment.year())),
        ("month", i32::from(moment.month())),
        ("day", i32::from(moment.day())),
        ("hour", i32::from(moment.hour())),
        ("min", i32::from(moment.minute())),
        ("sec", i32::from(moment.second())),
        ("wday", i32::from(moment.weekday().to_sunday_one_offset())),
        ("yday", i32::from(moment.day_of_year())),
    ] {
        table.raw_set(name, value)?;
    }
    table.raw_set("isdst", false)?;
    Ok(Value::Table(table))
}

/// Seconds, for differences.
pub(super) fn clock() -> f64 {
    Timestamp::now().as_duration().as_secs_f64()
}
