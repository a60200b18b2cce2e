//! Documents inside strings: JSON of an annotation, YAML of a ConfigMap or of `valuesContent`.

use serde_json::Value;

/// A string that holds maps or lists.
pub(super) struct Document {
    values: Vec<Value>,
    form: Form,
}

enum Form {
    Json { pretty: bool },
    Yaml,
}

impl Document {
    /// Reads a string; `None` when it is plain text.
    pub(super) fn read(text: &str) -> Option<Self> {
        let trimmed = text.trim_start();
        if trimmed.starts_with(['{', '['])
            && let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(trimmed)
        {
            let pretty = text.trim().contains('\n');
            return Some(Self {
                values: vec![value],
                form: Form::Json { pretty },
            });
        }
        if !(text.contains('\n') && text.contains(':')) {
            return None;
        }
        let options = serde_saphyr::options! {
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
            legacy_octal_numbers: true,
        };
        let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).ok()?;
        let structured = values
            .iter()
            .any(|value| value.is_object() || value.is_array());
        structured.then_some(Self {
            values,
            form: Form::Yaml,
        })
    }

    /// Its documents as one list, as they are compared.
    pub(super) fn values(&self) -> Value {
        Value::from(self.values.clone())
    }

    /// Writes such a list in the form the string had; `None` when that is not possible.
    pub(super) fn write(&self, values: &Value) -> Option<String> {
        let values = values.as_array()?;
        match self.form {
            Form::Json { pretty } => {
                let value = values.first()?;
                if pretty {
                    serde_json::to_string_pretty(value).ok()
                } else {
                    Some(value.to_string())
                }
            }
            Form::Yaml => {
                let texts: Result<Vec<String>, _> =
                    values.iter().map(serde_saphyr::to_string).collect();
                Some(texts.ok()?.join("---\n"))
            }
        }
    }
}
