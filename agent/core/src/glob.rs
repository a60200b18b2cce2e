//! Patterns of names as AppProjects, settings and sources write them.
//!
//! Two dialects, because Argo CD uses two: the one of its globs (`*`, `**`, `?`, `[a-z]`, `{a,b}`)
//! and the one of Go's `filepath.Match` for kinds (no `**`, no braces). Never looks at files.
//!
//! Every pattern is admitted here before anything works on it: whoever wrote it may be hostile, and
//! what it costs to read and to match grows with its length and its braces. A pattern that is not
//! admitted is an error and never a plain "no match": a rule that denies must deny then, a rule that
//! allows must not allow, and only the caller knows which of the two it is.

/// Longest pattern, in bytes. URLs and names that are matched are a few hundred.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// Most opening braces of one pattern.
pub const MAX_BRACES: usize = 16;
/// Deepest braces within braces.
pub const MAX_NESTING: usize = 4;
/// Most patterns that the braces of one pattern stand for.
pub const MAX_ALTERNATIVES: usize = 256;
/// Most bytes of all patterns that the braces of one pattern stand for, taken together.
pub const MAX_EXPANDED_BYTES: usize = 16 << 10;
/// Longest text that is compared with a pattern, in bytes; with [`MAX_EXPANDED_BYTES`] it bounds the
/// steps of one comparison.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Why a pattern says nothing about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// More bytes than [`MAX_PATTERN_BYTES`].
    #[error("it is longer than {MAX_PATTERN_BYTES} bytes; write a shorter pattern, or several")]
    TooLong,
    /// More braces than [`MAX_BRACES`].
    #[error("it has more than {MAX_BRACES} braces; write several patterns")]
    TooManyBraces,
    /// Braces deeper than [`MAX_NESTING`].
    #[error("its braces are nested more than {MAX_NESTING} deep; write several patterns")]
    TooDeep,
    /// More than [`MAX_ALTERNATIVES`] or [`MAX_EXPANDED_BYTES`].
    #[error(
        "its braces stand for more than {MAX_ALTERNATIVES} patterns or {MAX_EXPANDED_BYTES} bytes; write several patterns"
    )]
    TooManyAlternatives,
    /// A brace, a bracket or a backslash without what belongs to it.
    #[error("a brace, bracket or backslash in it is not complete; close it, or write \\ before it")]
    Malformed,
    /// The text, not the pattern, is beyond [`MAX_TEXT_BYTES`].
    #[error("what it is compared with is longer than {MAX_TEXT_BYTES} bytes; shorten that")]
    TextTooLong,
}

/// A pattern that was admitted and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// What its braces stand for; one without braces.
    alternatives: Vec<Vec<Token>>,
    separator: Option<char>,
}

impl Glob {
    /// A glob in which `*` also crosses `/` (destinations, namespaces, names).
    pub fn text(pattern: &str) -> Result<Self, GlobError> {
        Self::new(pattern, Dialect::Glob, None)
    }

    /// A glob in which `*` stops at `/` and `**` does not (repositories, files).
    pub fn path(pattern: &str) -> Result<Self, GlobError> {
        Self::new(pattern, Dialect::Glob, Some('/'))
    }

    /// A pattern by the rules of Go's `filepath.Match` (API groups, kinds, names).
    pub fn name(pattern: &str) -> Result<Self, GlobError> {
        Self::new(pattern, Dialect::Go, Some('/'))
    }

    fn new(pattern: &str, dialect: Dialect, separator: Option<char>) -> Result<Self, GlobError> {
        admit(pattern)?;
        let patterns = match dialect {
            Dialect::Glob => expand(pattern)?,
            Dialect::Go => vec![pattern.to_owned()],
        };
        let alternatives = patterns
            .iter()
            .map(|pattern| parse(pattern, dialect).ok_or(GlobError::Malformed))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            alternatives,
            separator,
        })
    }

    /// Whether `text` matches.
    ///
    /// # Errors
    /// [`GlobError::TextTooLong`] only.
    pub fn matches(&self, text: &str) -> Result<bool, GlobError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(GlobError::TextTooLong);
        }
        Ok(self
            .alternatives
            .iter()
            .any(|tokens| accepts(tokens, text, self.separator)))
    }
}

/// Whether `text` matches a glob in which `*` also crosses `/` (destinations, namespaces, names).
pub fn matches(pattern: &str, text: &str) -> Result<bool, GlobError> {
    Glob::text(pattern)?.matches(text)
}

/// Whether `text` matches a glob in which `*` stops at `/` and `**` does not (repositories).
pub fn matches_path(pattern: &str, text: &str) -> Result<bool, GlobError> {
    Glob::path(pattern)?.matches(text)
}

/// Whether `text` matches by the rules of Go's `filepath.Match` (API groups, kinds, names).
pub fn matches_name(pattern: &str, text: &str) -> Result<bool, GlobError> {
    Glob::name(pattern)?.matches(text)
}

/// Whether a pattern is small enough to be read by this module, or handed to another glob library,
/// some of which recurse once per brace. Braces count wherever they stand, escaped ones too: that
/// errs on the safe side for every dialect.
pub fn admit(pattern: &str) -> Result<(), GlobError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(GlobError::TooLong);
    }
    let (mut braces, mut depth) = (0_usize, 0_usize);
    for byte in pattern.bytes() {
        match byte {
            b'{' => {
                braces += 1;
                depth += 1;
                if depth > MAX_NESTING {
                    return Err(GlobError::TooDeep);
                }
            }
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if braces > MAX_BRACES {
        return Err(GlobError::TooManyBraces);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Glob,
    Go,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `**`
    Anything,
    /// `[a-z]`, `[!a-z]`
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

/// Replaces `{a,b}` by all combinations, in the order they are written. Works off a list instead of
/// calling itself, and stops at [`MAX_ALTERNATIVES`] and [`MAX_EXPANDED_BYTES`].
fn expand(pattern: &str) -> Result<Vec<String>, GlobError> {
    let mut expanded = Vec::new();
    let mut bytes = 0;
    let mut pending = vec![pattern.to_owned()];
    while let Some(pattern) = pending.pop() {
        let Some(group) = first_group(&pattern)? else {
            bytes += pattern.len();
            expanded.push(pattern);
            if bytes > MAX_EXPANDED_BYTES {
                return Err(GlobError::TooManyAlternatives);
            }
            continue;
        };
        let (before, after) = (&pattern[..group.open], &pattern[group.close + 1..]);
        let starts = std::iter::once(group.open).chain(group.commas.iter().copied());
        let ends = group.commas.iter().copied().chain([group.close]);
        let alternatives: Vec<_> = starts
            .zip(ends)
            .map(|(start, end)| format!("{before}{}{after}", &pattern[start + 1..end]))
            .collect();
        // Each of them stands for at least one pattern in the end.
        if expanded.len() + pending.len() + alternatives.len() > MAX_ALTERNATIVES {
            return Err(GlobError::TooManyAlternatives);
        }
        pending.extend(alternatives.into_iter().rev());
    }
    Ok(expanded)
}

/// The first `{a,b}` that is in no other: positions of its braces and of the commas between.
struct Group {
    open: usize,
    commas: Vec<usize>,
    close: usize,
}

/// The first group of a pattern; none in one without braces.
fn first_group(pattern: &str) -> Result<Option<Group>, GlobError> {
    let mut open = None;
    let mut depth = 0_usize;
    let mut commas = Vec::new();
    let mut escaped = false;
    for (position, character) in pattern.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => {
                if depth == 0 {
                    open = Some(position);
                }
                depth += 1;
            }
            ',' if depth == 1 => commas.push(position),
            '}' => {
                depth = depth.checked_sub(1).ok_or(GlobError::Malformed)?;
                if let (0, Some(open)) = (depth, open) {
                    return Ok(Some(Group {
                        open,
                        commas,
                        close: position,
                    }));
                }
            }
            _ => {}
        }
    }
    if depth == 0 {
        Ok(None)
    } else {
        Err(GlobError::Malformed)
    }
}

fn parse(pattern: &str, dialect: Dialect) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '\\' => Token::Literal(rest.next()?),
            '?' => Token::One,
            '*' => {
                let mut stars = 1;
                while rest.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                if stars > 1 && dialect == Dialect::Glob {
                    Token::Anything
                } else {
                    Token::Many
                }
            }
            '[' => parse_class(&mut rest)?,
            other => Token::Literal(other),
        });
    }
    Some(tokens)
}

fn parse_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            ']' if ranges.is_empty() => return None,
            ']' => return Some(Token::Class { ranges, negated }),
            '\\' => rest.next()?,
            other => other,
        };
        let high = if rest.next_if_eq(&'-').is_some() {
            match rest.next()? {
                ']' => return None,
                '\\' => rest.next()?,
                other => other,
            }
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// Walks the text once, keeping every position of the pattern that is still possible, so that no
/// pattern takes more than length x length steps.
fn accepts(tokens: &[Token], text: &str, separator: Option<char>) -> bool {
    let mut possible = vec![false; tokens.len() + 1];
    possible[0] = true;
    skip_stars(tokens, &mut possible);
    for character in text.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (position, token) in tokens.iter().enumerate().filter(|(p, _)| possible[*p]) {
            let separates = Some(character) == separator;
            match token {
                Token::Literal(wanted) => next[position + 1] |= *wanted == character,
                Token::One => next[position + 1] |= !separates,
                Token::Many => next[position] |= !separates,
                Token::Anything => next[position] = true,
                Token::Class { ranges, negated } => {
                    let inside = ranges
                        .iter()
                        .any(|(low, high)| (*low..=*high).contains(&character));
                    next[position + 1] |= inside != *negated && !separates;
                }
            }
        }
        skip_stars(tokens, &mut next);
        possible = next;
    }
    possible[tokens.len()]
}

/// Stars also stand for nothing.
fn skip_stars(tokens: &[Token], possible: &mut [bool]) {
    for (position, token) in tokens.iter().enumerate() {
        if possible[position] && matches!(token, Token::Many | Token::Anything) {
            possible[position + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests;
