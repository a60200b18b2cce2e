//! Which paths of a commit a git generator means. Three dialects, as in Argo CD: Go's `path.Match`
//! for directories, git's pathspec for files, and the new globbing for files where it is switched on.

/// How patterns of files are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileGlobbing {
    /// As git's pathspec: `*` also matches `/`, and a directory means everything below it.
    #[default]
    Pathspec,
    /// `*` stays within a segment, `**` is one or more of them
    /// (`applicationsetcontroller.enable.new.git.file.globbing`).
    DoubleStar,
}

/// Most characters of a pattern: what a comparison costs grows with it.
const MAX_PATTERN_CHARS: usize = 1024;

/// A pattern that was read.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
    literal: Option<String>,
    prefix_counts: bool,
}

#[derive(Clone, Debug)]
enum Token {
    Char(char),
    /// `?`; whether it matches `/`, too.
    One(bool),
    /// `*`; whether it matches `/`, too.
    Many(bool),
    /// `**/`: nothing, or directories.
    Directories,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
        slash: bool,
    },
}

impl Pattern {
    /// A pattern of directories: `*` within a segment; `**` is no more than that.
    pub(super) fn directories(pattern: &str) -> Result<Self, String> {
        Self::read(pattern, false, false)
    }

    /// A pattern of files.
    pub(super) fn files(pattern: &str, globbing: FileGlobbing) -> Result<Self, String> {
        match globbing {
            FileGlobbing::DoubleStar => Self::read(pattern, false, true),
            FileGlobbing::Pathspec => {
                if pattern.starts_with(":(")
                    || pattern.starts_with(":!")
                    || pattern.starts_with(":^")
                {
                    return Err(
                        "git's own words at the beginning of a pattern are not supported; to leave \
                         files out, use an entry with exclude: true"
                            .into(),
                    );
                }
                if pattern.starts_with('/') || pattern.split('/').any(|part| part == "..") {
                    return Err(
                        "it leads out of the repository; write it from the root of the repository, \
                         without a slash in front"
                            .into(),
                    );
                }
                let plain = pattern
                    .split('/')
                    .filter(|part| *part != "." && !part.is_empty());
                let plain: Vec<&str> = plain.collect();
                let mut read = Self::read(&plain.join("/"), true, false)?;
                read.prefix_counts = true;
                Ok(read)
            }
        }
    }

    fn read(pattern: &str, crosses: bool, double_star: bool) -> Result<Self, String> {
        if pattern.chars().count() > MAX_PATTERN_CHARS {
            return Err(format!("it is longer than {MAX_PATTERN_CHARS} characters"));
        }
        let mut tokens = Vec::new();
        let mut literal = Some(String::new());
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        while let Some(&char) = chars.get(at) {
            at += 1;
            let token = match char {
                '*' => {
                    let mut stars = 1;
                    while chars.get(at) == Some(&'*') {
                        stars += 1;
                        at += 1;
                    }
                    let is_first = at == stars || chars.get(at - stars - 1) == Some(&'/');
                    match (double_star && stars == 2 && is_first, chars.get(at)) {
                        (true, Some('/')) => {
                            at += 1;
                            Token::Directories
                        }
                        (true, None) => Token::Many(true),
                        _ => Token::Many(crosses),
                    }
                }
                '?' => Token::One(crosses),
                '[' => class(&chars, &mut at, crosses, crosses || double_star)?,
                '\\' => {
                    let escaped = chars.get(at).copied();
                    at += 1;
                    Token::Char(escaped.ok_or("it ends with a backslash")?)
                }
                other => Token::Char(other),
            };
            literal = match (literal, &token) {
                (Some(mut text), Token::Char(char)) => {
                    text.push(*char);
                    Some(text)
                }
                _ => None,
            };
            tokens.push(token);
        }
        Ok(Self {
            tokens,
            literal,
            prefix_counts: false,
        })
    }

    /// Whether a path is meant.
    pub(super) fn matches(&self, path: &str) -> bool {
        if let Some(literal) = &self.literal {
            return path == literal
                || self.prefix_counts
                    && path
                        .strip_prefix(literal.as_str())
                        .is_some_and(|rest| rest.starts_with('/') || literal.is_empty());
        }
        // Where in the pattern one may be after each character: the cost is the product of both lengths.
        let mut places = vec![false; self.tokens.len() + 1];
        places[0] = true;
        self.skip(&mut places, true);
        let mut previous = '/';
        for char in path.chars() {
            let mut next = vec![false; places.len()];
            for (place, token) in self.tokens.iter().enumerate() {
                if !places[place] {
                    continue;
                }
                match token {
                    Token::Char(expected) => next[place + 1] |= *expected == char,
                    Token::One(slash) => next[place + 1] |= *slash || char != '/',
                    Token::Many(slash) => next[place] |= *slash || char != '/',
                    Token::Directories => {
                        next[place] = true;
                        next[place + 1] |= char == '/';
                    }
                    Token::Class {
                        negated,
                        ranges,
                        slash,
                    } => {
                        let within = ranges
                            .iter()
                            .any(|(low, high)| (*low..=*high).contains(&char));
                        next[place + 1] |= within != *negated && (*slash || char != '/');
                    }
                }
            }
            previous = char;
            self.skip(&mut next, previous == '/');
            places = next;
        }
        let _ = previous;
        places.last().copied().unwrap_or(false)
    }

    /// Goes past what may match nothing.
    fn skip(&self, places: &mut [bool], after_slash: bool) {
        for (place, token) in self.tokens.iter().enumerate() {
            let empty = match token {
                Token::Many(_) => true,
                Token::Directories => after_slash,
                _ => false,
            };
            if places[place] && empty {
                places[place + 1] = true;
            }
        }
    }
}

/// `!` negates as `^` does, but not for Go's `path.Match`.
fn class(chars: &[char], at: &mut usize, slash: bool, bang: bool) -> Result<Token, String> {
    let negated = match chars.get(*at) {
        Some('^') => true,
        Some('!') => bang,
        _ => false,
    };
    *at += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let mut char = *chars.get(*at).ok_or("a [ is not closed by ]")?;
        *at += 1;
        if char == ']' && !ranges.is_empty() {
            return Ok(Token::Class {
                negated,
                ranges,
                slash,
            });
        }
        if char == '\\' {
            char = *chars.get(*at).ok_or("it ends with a backslash")?;
            *at += 1;
        }
        let mut high = char;
        if chars.get(*at) == Some(&'-') && chars.get(*at + 1).is_some_and(|c| *c != ']') {
            high = chars[*at + 1];
            *at += 2;
            if high < char {
                return Err(format!("the range {char}-{high} is empty"));
            }
        }
        ranges.push((char, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_means_what_it_means_in_argo_cd() {
        let dirs = |pattern: &str, path: &str| Pattern::directories(pattern).unwrap().matches(path);
        for (pattern, path, expected) in [
            ("apps/*", "apps/web", true),
            ("apps/*", "apps/web/base", false),
            ("apps/**", "apps/web/base", false),
            ("*", "apps", true),
            ("apps/we?", "apps/web", true),
            ("apps/[a-c]*", "apps/blog", true),
            ("apps/[^a-c]*", "apps/blog", false),
            ("apps/[!x]ns", "apps/dns", false),
            ("/apps/*", "apps/web", false),
            ("./apps/*", "apps/web", false),
            ("apps/*/", "apps/web", false),
        ] {
            assert_eq!(dirs(pattern, path), expected, "{pattern} {path}");
        }
        let files = |pattern: &str, path: &str| {
            Pattern::files(pattern, FileGlobbing::Pathspec)
                .unwrap()
                .matches(path)
        };
        for (pattern, path, expected) in [
            ("a/*.yaml", "a/b/c.yaml", true),
            ("a/*.yaml", "b/c.yaml", false),
            ("**/c.yaml", "a/b/c.yaml", true),
            ("a/b", "a/b/c.yaml", true),
            ("a/b/", "a/b/c.yaml", true),
            ("a/b", "a/bc", false),
            ("./a/c.yaml", "a/c.yaml", true),
            ("a/{b,c}.yaml", "a/b.yaml", false),
            ("*", ".hidden", true),
        ] {
            assert_eq!(files(pattern, path), expected, "{pattern} {path}");
        }
        let new = |pattern: &str, path: &str| {
            Pattern::files(pattern, FileGlobbing::DoubleStar)
                .unwrap()
                .matches(path)
        };
        for (pattern, path, expected) in [
            ("a/*.yaml", "a/b/c.yaml", false),
            ("a/**/c.yaml", "a/b/d/c.yaml", true),
            ("a/**/c.yaml", "a/c.yaml", true),
            ("a/**/c.yaml", "a/xc.yaml", false),
            ("**/c.yaml", "c.yaml", true),
            ("a/**", "a/b/c.yaml", true),
            ("a/x**/c.yaml", "a/xy/c.yaml", true),
        ] {
            assert_eq!(new(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert!(Pattern::directories("apps/[a-").is_err());
        assert!(Pattern::directories("apps/\\").is_err());
        for pattern in [
            "/a.yaml",
            "../a.yaml",
            "a/../../b",
            ":(exclude)a.yaml",
            ":!a",
            "[",
            "[b-a]",
        ] {
            assert!(
                Pattern::files(pattern, FileGlobbing::Pathspec).is_err(),
                "{pattern}"
            );
        }
        assert!(Pattern::directories(&"*".repeat(2000)).is_err());
    }

    #[test]
    fn hostile_patterns_cost_little() {
        let pattern = Pattern::files(&"*a".repeat(400), FileGlobbing::Pathspec).unwrap();
        assert!(!pattern.matches(&"a".repeat(4000).replace("aaaa", "aaab")));
    }
}
