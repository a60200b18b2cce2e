//! Places in an object: JSON pointers (RFC 6901), and concrete paths that expressions answer.
//!
//! Finds and removes; never decides what is ignored.

use serde_json::Value;

/// One step of a concrete path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A key of a map.
    Field(String),
    /// A position in a list; negative counts from the end.
    Index(i64),
}

/// A JSON pointer; whether a step is a key or a position is seen in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// Reads a pointer; the error says what is wrong and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(if text.is_empty() {
                "it is empty, which means the whole object".into()
            } else {
                "it does not begin with /".into()
            });
        };
        let mut tokens = Vec::new();
        for token in rest.split('/') {
            let mut read = String::with_capacity(token.len());
            let mut characters = token.chars();
            while let Some(character) = characters.next() {
                read.push(match character {
                    '~' => match characters.next() {
                        Some('0') => '~',
                        Some('1') => '/',
                        _ => return Err(format!("~ in {token:?} is not followed by 0 or 1")),
                    },
                    character => character,
                });
            }
            tokens.push(read);
        }
        Ok(Self(tokens))
    }

    /// Where it leads in an object; `None` when nothing is there.
    pub(super) fn path_in(&self, object: &Value) -> Option<Vec<Step>> {
        let mut place = object;
        let mut path = Vec::with_capacity(self.0.len());
        for token in &self.0 {
            place = match place {
                Value::Object(map) => {
                    path.push(Step::Field(token.clone()));
                    map.get(token)?
                }
                Value::Array(items) => {
                    let index: usize = token.parse().ok()?;
                    path.push(Step::Index(i64::try_from(index).ok()?));
                    items.get(index)?
                }
                _ => return None,
            };
        }
        Some(path)
    }
}

/// A position counted from the end becomes one from the start, so that paths can be ordered;
/// `None` when nothing is there.
pub(super) fn existing(path: Vec<Step>, object: &Value) -> Option<Vec<Step>> {
    let mut place = object;
    let mut found = Vec::with_capacity(path.len());
    for step in path {
        match (&step, place) {
            (Step::Field(name), Value::Object(map)) => {
                place = map.get(name)?;
                found.push(step);
            }
            (Step::Index(index), Value::Array(items)) => {
                let index = if *index < 0 {
                    items
                        .len()
                        .checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
                } else {
                    usize::try_from(*index).ok()?
                };
                place = items.get(index)?;
                found.push(Step::Index(i64::try_from(index).ok()?));
            }
            _ => return None,
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Removes what is at these paths, which must be ordered: from the last, so that positions in
/// lists stay true.
pub(super) fn remove_all(object: &mut Value, paths: &[Vec<Step>]) {
    for path in paths.iter().rev() {
        let Some((last, parents)) = path.split_last() else {
            continue;
        };
        let parent = parents
            .iter()
            .try_fold(&mut *object, |place, step| match step {
                Step::Field(name) => place.get_mut(name),
                Step::Index(index) => place.get_mut(usize::try_from(*index).ok()?),
            });
        match (parent, last) {
            (Some(Value::Object(map)), Step::Field(name)) => {
                map.remove(name);
            }
            (Some(Value::Array(items)), Step::Index(index)) => {
                if let Ok(index) = usize::try_from(*index)
                    && index < items.len()
                {
                    items.remove(index);
                }
            }
            _ => {}
        }
    }
}
