//! Paths of fields inside an object, as people read them: `.spec.containers[name=app].image`.

use std::fmt;

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// A key of a map.
    Field(String),
    /// An element of a list found by the value of a merge key.
    Key(String, Value),
    /// An element of a list found by its position.
    Index(usize),
}

/// Path from the root of an object to a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path(Vec<Segment>);

impl Path {
    /// A path that only goes through maps.
    pub fn from_fields(names: &[&str]) -> Self {
        Self(
            names
                .iter()
                .map(|name| Segment::Field((*name).into()))
                .collect(),
        )
    }

    /// This path, one step further.
    #[must_use]
    pub fn child(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Sets the field, or removes it; does nothing where its parents are not there.
    pub fn put(&self, object: &mut Value, value: Option<Value>) {
        let Some((last, parents)) = self.0.split_last() else {
            return;
        };
        let parent = parents.iter().try_fold(object, |place, segment| {
            let position = position(place, segment);
            match segment {
                Segment::Field(name) => place.get_mut(name),
                _ => place.get_mut(position?),
            }
        });
        let Some(parent) = parent else { return };
        let position = position(parent, last);
        match (last, parent, value) {
            (Segment::Field(name), Value::Object(map), Some(value)) => {
                map.insert(name.clone(), value);
            }
            (Segment::Field(name), Value::Object(map), None) => {
                map.remove(name);
            }
            (_, Value::Array(items), value) => match (position, value) {
                (Some(position), Some(value)) => items[position] = value,
                (Some(position), None) => {
                    items.remove(position);
                }
                (None, _) => {}
            },
            _ => {}
        }
    }

    /// Whether the path begins with these map keys.
    pub fn starts_with(&self, names: &[&str]) -> bool {
        self.0.len() >= names.len()
            && self
                .0
                .iter()
                .zip(names)
                .all(|(segment, name)| matches!(segment, Segment::Field(field) if field == name))
    }
}

/// Where in a list a segment leads, if anywhere.
pub(crate) fn position(list: &Value, segment: &Segment) -> Option<usize> {
    let items = list.as_array()?;
    match segment {
        Segment::Field(_) => None,
        Segment::Key(name, value) => items.iter().position(|item| item.get(name) == Some(value)),
        Segment::Index(index) => (*index < items.len()).then_some(*index),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Field(name)
                    if !name.is_empty()
                        && name
                            .chars()
                            .all(|c| c.is_alphanumeric() || c == '_' || c == '-') =>
                {
                    write!(f, ".{name}")?;
                }
                Segment::Field(name) => write!(f, "[{name:?}]")?,
                Segment::Key(name, Value::String(value)) => write!(f, "[{name}={value}]")?,
                Segment::Key(name, value) => write!(f, "[{name}={value}]")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_people_write_them() {
        let path = Path::from_fields(&["spec", "template", "metadata", "annotations", "a.b/c"]);
        assert_eq!(
            path.to_string(),
            r#".spec.template.metadata.annotations["a.b/c"]"#
        );
        let path = Path::from_fields(&["spec", "containers"])
            .child(Segment::Key("name".into(), "app".into()))
            .child(Segment::Field("ports".into()))
            .child(Segment::Index(0));
        assert_eq!(path.to_string(), ".spec.containers[name=app].ports[0]");
        assert!(path.starts_with(&["spec"]) && !path.starts_with(&["status"]));
    }
}
