//! What is displayed of objects. Only this module makes these values, so that nothing can be
//! displayed that was not masked.

use std::fmt;

use serde_json::Value;

use super::{AFTER, BEFORE, PLACEHOLDER};
use crate::compare::path::{Path, Segment, position};

/// An object, or a part of one, without secret values.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked(Value);

impl Masked {
    pub(super) fn new(value: Value) -> Self {
        Self(value)
    }

    /// The value, to be written where it is displayed.
    pub fn into_value(self) -> Value {
        self.0
    }

    /// The value, to be read.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// The same with parts left out; what remains stays masked.
    #[must_use]
    pub fn without(mut self, leave_out: impl FnOnce(&mut Value)) -> Self {
        leave_out(&mut self.0);
        self
    }

    /// The entries of a map; `None` for anything else.
    pub(crate) fn entries(&self) -> Option<Vec<(String, Self)>> {
        let entries = self.0.as_object()?.iter();
        Some(
            entries
                .map(|(name, value)| (name.clone(), Self(value.clone())))
                .collect(),
        )
    }

    /// As JSON text of at most so many characters.
    pub fn shown(&self, longest: usize) -> Shown {
        if let Some(PLACEHOLDER | BEFORE | AFTER) = self.0.as_str() {
            return Shown(PLACEHOLDER.into());
        }
        let full = self.0.to_string();
        Shown(match full.char_indices().nth(longest) {
            Some((end, _)) => format!("{}…", &full[..end]),
            None => full,
        })
    }

    /// What is at a path of the object before it was masked; hidden when masking hid the way there.
    /// The path is answered as far as it may be named.
    pub(crate) fn at(&self, path: &Path) -> (Path, Self) {
        let mut place = &self.0;
        let mut known = Path::default();
        for segment in path.segments() {
            let next = match segment {
                Segment::Field(name) => place.get(name),
                _ => position(place, segment).and_then(|index| place.get(index)),
            };
            let Some(next) = next else {
                return (known, Self(PLACEHOLDER.into()));
            };
            known = known.child(segment.clone());
            place = next;
        }
        (known, Self(place.clone()))
    }
}

/// A value as text, without secret values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Shown> for String {
    fn from(shown: Shown) -> Self {
        shown.0
    }
}

#[cfg(test)]
impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// One field that differs between two objects, without secret values.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedChange {
    /// Where in the object.
    pub path: Path,
    /// Value on the left side; `None`: it is not there.
    pub left: Option<Masked>,
    /// Value on the right side.
    pub right: Option<Masked>,
}
