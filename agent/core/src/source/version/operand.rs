//! Versions as they stand in a range: some numbers may be left out or open.

use semver::{BuildMetadata, Prerelease, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Is(u64),
    /// `x`, `X` or `*`.
    Any,
}

/// A version as it stands in a range: some numbers may be left out or open.
pub(super) struct Operand {
    pub(super) numbers: Vec<Number>,
    pre: Prerelease,
    build: BuildMetadata,
}

impl Operand {
    /// The operand at the start of `text`, and the rest.
    pub(super) fn take(text: &str) -> Option<(Self, &str)> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (first, mut rest) = take_number(text)?;
        let mut numbers = vec![first];
        while numbers.len() < 3
            && let Some(after_dot) = rest.strip_prefix('.')
        {
            let (number, after) = take_number(after_dot)?;
            numbers.push(number);
            rest = after;
        }
        let (pre, rest) = take_suffix(rest, '-');
        let (build, rest) = take_suffix(rest, '+');
        let operand = Self {
            numbers,
            pre: Prerelease::new(pre).ok()?,
            build: BuildMetadata::new(build).ok()?,
        };
        Some((operand, rest))
    }

    /// The numbers that are given before the first open one.
    pub(super) fn given(&self) -> Vec<u64> {
        self.numbers
            .iter()
            .map_while(|number| match number {
                Number::Is(number) => Some(*number),
                Number::Any => None,
            })
            .collect()
    }

    /// The smallest version meant.
    pub(super) fn version(&self) -> Version {
        let given = self.given();
        let at = |position: usize| given.get(position).copied().unwrap_or(0);
        Version {
            major: at(0),
            minor: at(1),
            patch: at(2),
            pre: self.pre.clone(),
            build: self.build.clone(),
        }
    }
}

fn take_number(text: &str) -> Option<(Number, &str)> {
    if let Some(rest) = text.strip_prefix(['x', 'X', '*']) {
        let mixed = rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, 'x' | 'X' | '*'));
        return (!mixed).then_some((Number::Any, rest));
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((Number::Is(digits.parse().ok()?), rest))
}

/// Dot-separated identifiers after `mark`, and the rest.
fn take_suffix(text: &str, mark: char) -> (&str, &str) {
    let Some(body) = text.strip_prefix(mark) else {
        return ("", text);
    };
    let mut end = 0;
    let mut start = 0;
    loop {
        let part = &body[start..];
        let length = part
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .unwrap_or(part.len());
        if length == 0 {
            break;
        }
        end = start + length;
        if !body[end..].starts_with('.') {
            break;
        }
        start = end + 1;
    }
    if end == 0 {
        ("", text)
    } else {
        body.split_at(end)
    }
}
