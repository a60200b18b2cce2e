//! Why a set generates nothing, and what its owner should know besides: each with the generator, the
//! element, the field of the template, and what to do.

use std::fmt;

/// Where something went wrong. Empty parts are not known or do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Path of the generator in the set, such as `spec.generators[0].list`.
    pub generator: String,
    /// The element: its index and its parameters.
    pub element: String,
    /// Path of the field in the set, such as `spec.template.metadata.name`.
    pub field: String,
}

impl Place {
    /// A generator.
    pub fn generator(path: &str) -> Self {
        Self {
            generator: path.to_owned(),
            ..Self::default()
        }
    }

    /// A field.
    pub fn field(path: &str) -> Self {
        Self {
            field: path.to_owned(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.field, &self.generator, &self.element];
        let parts: Vec<&str> = parts
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// At which step of generating. The names are Argo CD's reasons of the condition `ErrorOccurred`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Getting parameters.
    Parameters,
    /// Filling the template.
    Template,
}

impl Step {
    /// Argo CD's word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Parameters => "ApplicationGenerationFromParamsError",
            Self::Template => "RenderTemplateParamsError",
        }
    }
}

/// Why nothing is generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// At which step.
    pub step: Step,
    /// Where.
    pub place: Place,
    /// What, why and what to do.
    pub message: String,
    /// Whether it may pass by itself: a server that does not answer.
    pub is_temporary: bool,
    /// It is no fault yet: the answer is on its way.
    pub is_pending: bool,
}

impl Problem {
    /// A problem of a generator.
    pub fn parameters(generator: &str, message: impl Into<String>) -> Self {
        Self {
            step: Step::Parameters,
            place: Place::generator(generator),
            message: message.into(),
            is_temporary: false,
            is_pending: false,
        }
    }

    /// A problem of the template.
    pub fn template(place: Place, message: impl Into<String>) -> Self {
        Self {
            step: Step::Template,
            place,
            message: message.into(),
            is_temporary: false,
            is_pending: false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        if place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{place}: {}", self.message)
        }
    }
}

/// What the owner of a set should know although Applications are generated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where.
    pub place: String,
    /// What, why and what to do.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
