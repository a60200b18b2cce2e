//! Lua's patterns (reference manual 5.2, §6.4.1) with a bound on the work they may cause.
//!
//! Lua's own matcher is C that nothing can interrupt, and a pattern of twenty characters can keep
//! it busy for years. This one counts its steps. It decides nothing but whether a text matches.

/// Most captures of one pattern, as in Lua.
const MAX_CAPTURES: usize = 32;
/// Deepest recursion, as in Lua.
const DEEPEST: usize = 200;

/// Why a pattern gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("malformed pattern (ends with '%')")]
    EndsWithEscape,
    #[error("malformed pattern (missing ']')")]
    MissingBracket,
    #[error("malformed pattern (missing arguments to '%b')")]
    MissingBalance,
    #[error("missing '[' after '%f' in pattern")]
    MissingFrontier,
    #[error("invalid capture index")]
    CaptureIndex,
    #[error("invalid pattern capture")]
    InvalidCapture,
    #[error("unfinished capture")]
    UnfinishedCapture,
    #[error("too many captures")]
    TooManyCaptures,
    #[error("pattern too complex")]
    TooComplex,
    /// The steps allowed are used up.
    #[error("the search takes too long")]
    OutOfSteps,
}

/// What a capture holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured {
    /// From, to (exclusive), in bytes of the subject.
    Text(usize, usize),
    /// `()`: a place, counted from 0.
    Position(usize),
}

/// Where a pattern matched: from, to (exclusive).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) captures: Vec<Captured>,
}

/// Searches `pattern` in `subject` from byte `from` on. Each step is taken off `steps`.
/// `anchors` says whether a leading `^` is an anchor (in `gmatch` it is not).
pub(super) fn find(
    subject: &[u8],
    pattern: &[u8],
    from: usize,
    anchors: bool,
    steps: &mut u64,
) -> Result<Option<Found>, PatternError> {
    let anchored = anchors && pattern.first() == Some(&b'^');
    let pattern = if anchored { &pattern[1..] } else { pattern };
    let mut start = from;
    while start <= subject.len() {
        let mut search = Search {
            subject,
            pattern,
            captures: Vec::new(),
            steps,
            depth: 0,
        };
        if let Some(end) = search.run(start, 0)? {
            let captures = search
                .captures
                .iter()
                .map(|open| match open.length {
                    Length::Known(length) => Ok(Captured::Text(open.start, open.start + length)),
                    Length::Position => Ok(Captured::Position(open.start)),
                    Length::Open => Err(PatternError::UnfinishedCapture),
                })
                .collect::<Result<_, _>>()?;
            return Ok(Some(Found {
                start,
                end,
                captures,
            }));
        }
        if anchored {
            break;
        }
        start += 1;
    }
    Ok(None)
}

/// Searches a plain text. Counts as [`find`] does.
pub(super) fn find_plain(
    subject: &[u8],
    text: &[u8],
    from: usize,
    steps: &mut u64,
) -> Result<Option<Found>, PatternError> {
    let found = |start| {
        Some(Found {
            start,
            end: start + text.len(),
            captures: Vec::new(),
        })
    };
    let Some(first) = text.first() else {
        return Ok(found(from));
    };
    let rest = subject.get(from..).unwrap_or_default();
    for (at, part) in rest.windows(text.len()).enumerate() {
        spend(steps, if part[0] == *first { text.len() } else { 1 })?;
        if part == text {
            return Ok(found(from + at));
        }
    }
    Ok(None)
}

fn spend(steps: &mut u64, cost: usize) -> Result<(), PatternError> {
    *steps = steps
        .checked_sub(cost as u64)
        .ok_or(PatternError::OutOfSteps)?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Length {
    Open,
    Position,
    Known(usize),
}

#[derive(Clone, Copy)]
struct Capture {
    start: usize,
    length: Length,
}

struct Search<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<Capture>,
    steps: &'a mut u64,
    depth: usize,
}

type Outcome = Result<Option<usize>, PatternError>;

impl Search<'_> {
    /// Matches the pattern from `p` at `s`; where the match ends.
    fn run(&mut self, s: usize, p: usize) -> Outcome {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(PatternError::TooComplex);
        }
        let outcome = self.run_here(s, p);
        self.depth -= 1;
        outcome
    }

    fn run_here(&mut self, mut s: usize, mut p: usize) -> Outcome {
        loop {
            spend(self.steps, 1)?;
            let Some(&item) = self.pattern.get(p) else {
                return Ok(Some(s));
            };
            match (item, self.pattern.get(p + 1)) {
                (b'(', Some(b')')) => return self.open(s, p + 2, Length::Position),
                (b'(', _) => return self.open(s, p + 1, Length::Open),
                (b')', _) => return self.close(s, p + 1),
                (b'$', None) => return Ok((s == self.subject.len()).then_some(s)),
                (b'%', Some(b'b')) => match self.balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => match self.frontier(s, p + 2)? {
                    Some(next) => p = next,
                    None => return Ok(None),
                },
                (b'%', Some(digit @ b'0'..=b'9')) => match self.again(s, *digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.item_end(p)?;
                    let fits = self.fits(s, p, end)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if fits && let Some(found) = self.run(s + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'+') if !fits => return Ok(None),
                        Some(b'+') => return self.longest(s + 1, p, end),
                        Some(b'*') => return self.longest(s, p, end),
                        Some(b'-') => return self.shortest(s, p, end),
                        _ if !fits => return Ok(None),
                        _ => (s, p) = (s + 1, end),
                    }
                }
            }
        }
    }

    fn open(&mut self, s: usize, p: usize, length: Length) -> Outcome {
        if self.captures.len() >= MAX_CAPTURES {
            return Err(PatternError::TooManyCaptures);
        }
        self.captures.push(Capture { start: s, length });
        let outcome = self.run(s, p)?;
        if outcome.is_none() {
            self.captures.pop();
        }
        Ok(outcome)
    }

    fn close(&mut self, s: usize, p: usize) -> Outcome {
        let last_open = self
            .captures
            .iter()
            .rposition(|capture| matches!(capture.length, Length::Open))
            .ok_or(PatternError::InvalidCapture)?;
        self.captures[last_open].length = Length::Known(s - self.captures[last_open].start);
        let outcome = self.run(s, p)?;
        if outcome.is_none() {
            self.captures[last_open].length = Length::Open;
        }
        Ok(outcome)
    }

    /// `%bxy`: from an x to its y.
    fn balance(&mut self, s: usize, p: usize) -> Outcome {
        let (Some(&opening), Some(&closing)) = (self.pattern.get(p), self.pattern.get(p + 1))
        else {
            return Err(PatternError::MissingBalance);
        };
        if self.subject.get(s) != Some(&opening) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for (at, &byte) in self.subject.iter().enumerate().skip(s + 1) {
            spend(self.steps, 1)?;
            if byte == closing {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == opening {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between a byte outside and one inside the set; gives the rest of the pattern.
    fn frontier(&mut self, s: usize, p: usize) -> Outcome {
        if self.pattern.get(p) != Some(&b'[') {
            return Err(PatternError::MissingFrontier);
        }
        let end = self.item_end(p)?;
        let before = s.checked_sub(1).map_or(0, |at| self.subject[at]);
        let after = self.subject.get(s).copied().unwrap_or(0);
        let between = !self.in_set(before, p, end - 1)? && self.in_set(after, p, end - 1)?;
        Ok(between.then_some(end))
    }

    /// `%1`: the text of a capture once more.
    fn again(&mut self, s: usize, digit: u8) -> Outcome {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let Some(&Capture {
            start,
            length: Length::Known(length),
        }) = self.captures.get(index)
        else {
            return Err(PatternError::CaptureIndex);
        };
        spend(self.steps, length)?;
        let text = &self.subject[start..start + length];
        Ok(self.subject[s..].starts_with(text).then_some(s + length))
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Outcome {
        let mut count = 0;
        while self.fits(s + count, p, end)? {
            count += 1;
        }
        loop {
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Outcome {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.fits(s, p, end)? {
                return Ok(None);
            }
            s += 1;
        }
    }

    /// Where the single-character item at `p` ends.
    fn item_end(&self, p: usize) -> Result<usize, PatternError> {
        match self.pattern[p] {
            b'%' if p + 1 >= self.pattern.len() => Err(PatternError::EndsWithEscape),
            b'%' => Ok(p + 2),
            b'[' => {
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // A bracket that comes first stands for itself.
                loop {
                    match self.pattern.get(at) {
                        None => return Err(PatternError::MissingBracket),
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.pattern.get(at) == Some(&b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    fn fits(&mut self, s: usize, p: usize, end: usize) -> Result<bool, PatternError> {
        spend(self.steps, 1)?;
        let Some(&byte) = self.subject.get(s) else {
            return Ok(false);
        };
        Ok(match self.pattern[p] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1)?,
            literal => literal == byte,
        })
    }

    /// Whether a byte is in the set from `p` (its `[`) to `last` (its `]`).
    fn in_set(&mut self, byte: u8, p: usize, last: usize) -> Result<bool, PatternError> {
        spend(self.steps, last - p)?;
        let negated = self.pattern[p + 1] == b'^';
        let mut at = p + 1 + usize::from(negated);
        while at < last {
            if self.pattern[at] == b'%' && at + 1 < last {
                if in_class(byte, self.pattern[at + 1]) {
                    return Ok(!negated);
                }
                at += 2;
            } else if self.pattern[at + 1] == b'-' && at + 2 < last {
                if (self.pattern[at]..=self.pattern[at + 2]).contains(&byte) {
                    return Ok(!negated);
                }
                at += 3;
            } else {
                if self.pattern[at] == byte {
                    return Ok(!negated);
                }
                at += 1;
            }
        }
        Ok(negated)
    }
}

/// `%a`, `%d` …; an upper-case letter is the opposite, anything else stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let belongs = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        // C's isspace also takes the vertical tab.
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return byte == class,
    };
    belongs != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(subject: &str, pattern: &str) -> Result<Option<(usize, usize)>, PatternError> {
        find(
            subject.as_bytes(),
            pattern.as_bytes(),
            0,
            true,
            &mut 100_000,
        )
        .map(|found| found.map(|found| (found.start, found.end)))
    }

    #[test]
    fn a_catastrophic_pattern_ends() {
        let subject = "a".repeat(5_000);
        assert_eq!(
            search(&subject, "a*a*a*a*a*b"),
            Err(PatternError::OutOfSteps)
        );
        let plain = [subject.as_str(), "b"].concat();
        assert_eq!(
            find_plain(
                subject.as_bytes(),
                &plain.as_bytes()[2_500..],
                0,
                &mut 100_000
            ),
            Err(PatternError::OutOfSteps)
        );
    }

    #[test]
    fn deep_patterns_do_not_use_up_the_stack() {
        assert_eq!(
            search(&"x".repeat(1_000), &"x?".repeat(1_000)),
            Err(PatternError::TooComplex)
        );
    }

    #[test]
    fn odd_patterns() {
        for (pattern, expected) in [
            ("%", Err(PatternError::EndsWithEscape)),
            ("[", Err(PatternError::MissingBracket)),
            ("[]", Err(PatternError::MissingBracket)),
            ("[^", Err(PatternError::MissingBracket)),
            ("[%", Err(PatternError::MissingBracket)),
            ("[%]", Err(PatternError::MissingBracket)),
            ("%b", Err(PatternError::MissingBalance)),
            ("%bx", Err(PatternError::MissingBalance)),
            ("%f", Err(PatternError::MissingFrontier)),
            ("%f[", Err(PatternError::MissingBracket)),
            ("%1", Err(PatternError::CaptureIndex)),
            ("%0", Err(PatternError::CaptureIndex)),
            ("(%1)", Err(PatternError::CaptureIndex)),
            ("(a", Err(PatternError::UnfinishedCapture)),
            (")", Err(PatternError::InvalidCapture)),
            ("", Ok(Some((0, 0)))),
            ("^", Ok(Some((0, 0)))),
            ("$", Ok(Some((3, 3)))),
            ("[]]", Ok(None)),
            ("[a-]", Ok(Some((0, 1)))),
            ("[^a]", Ok(Some((1, 2)))),
        ] {
            assert_eq!(search("abc", pattern), expected, "{pattern}");
        }
        assert_eq!(
            search("a", &"(".repeat(40)),
            Err(PatternError::TooManyCaptures)
        );
    }
}
