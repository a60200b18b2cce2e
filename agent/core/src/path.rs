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
