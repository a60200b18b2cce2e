//! The build environment of Argo CD: `$ARGOCD_APP_…` and `$KUBE_…` in some fields of a source. It knows no variable of
//! this process. Unknown names become nothing, `$$` is a dollar sign.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::error::RenderError;
use crate::request::{AppContext, SourceRequest};

/// Bytes that all variables of one render may stand for. A field may hold thousands of them, and the API versions of a
/// cluster alone are some kilobytes.
const MAX_SUBSTITUTED_BYTES: usize = 1 << 20;

/// Variables, and whether the revision was one of those used.
pub(crate) struct Environment {
    variables: BTreeMap<&'static str, String>,
    used_revision: Cell<bool>,
    /// What is left of [`MAX_SUBSTITUTED_BYTES`].
    left: Cell<usize>,
}

impl Environment {
    pub(crate) fn new(app: &AppContext, source: &SourceRequest) -> Self {
        let spec = &source.spec;
        let revision = &source.revision;
        let short = |length: usize| revision.chars().take(length).collect::<String>();
        let variables = BTreeMap::from([
            ("ARGOCD_APP_NAME", app.name.clone()),
            ("ARGOCD_APP_NAMESPACE", app.destination_namespace.clone()),
            ("ARGOCD_APP_PROJECT_NAME", app.project.clone()),
            ("ARGOCD_APP_REVISION", revision.clone()),
            ("ARGOCD_APP_REVISION_SHORT", short(7)),
            ("ARGOCD_APP_REVISION_SHORT_8", short(8)),
            (
                "ARGOCD_APP_SOURCE_PATH",
                spec.path.clone().unwrap_or_default(),
            ),
            ("ARGOCD_APP_SOURCE_REPO_URL", spec.repo_url.clone()),
            (
                "ARGOCD_APP_SOURCE_TARGET_REVISION",
                spec.target_revision.clone().unwrap_or_default(),
            ),
            ("KUBE_VERSION", app.kube_version.clone()),
            ("KUBE_API_VERSIONS", app.api_versions.join(",")),
        ]);
        Self {
            variables,
            used_revision: Cell::new(false),
            left: Cell::new(MAX_SUBSTITUTED_BYTES),
        }
    }

    pub(crate) fn used_revision(&self) -> bool {
        self.used_revision.get()
    }

    /// Whether a name is a variable.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    fn value(&self, name: &str) -> &str {
        if name == "$" {
            return "$";
        }
        if name.starts_with("ARGOCD_APP_REVISION") {
            self.used_revision.set(true);
        }
        self.variables.get(name).map_or("", String::as_str)
    }

    /// Expands `$name` and `${name}` with the rules of Go's `os.Expand`, which Argo CD uses. `field` is where the text
    /// is, for the error when variables of one render stand for more than a mebibyte.
    pub(crate) fn substitute(&self, field: &str, text: &str) -> Result<String, RenderError> {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            result.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, width) = variable_name(after);
            match (name, width) {
                // A dollar sign that no name follows stays; malformed braces are eaten.
                ("", 0) => result.push('$'),
                ("", _) => {}
                (name, _) => {
                    let value = self.value(name);
                    let left = self.left.get().checked_sub(value.len());
                    self.left.set(left.unwrap_or(0));
                    if left.is_none() {
                        return Err(RenderError::BadRequest {
                            message: format!(
                                "{field}: the variables ($ARGOCD_APP_…, $KUBE_…) of the source stand for more than {} KiB in all; use fewer of them",
                                MAX_SUBSTITUTED_BYTES >> 10
                            ),
                        });
                    }
                    result.push_str(value);
                }
            }
            rest = &after[width..];
        }
        result.push_str(rest);
        Ok(result)
    }
}

/// The name after a dollar sign and how many bytes it takes.
fn variable_name(text: &str) -> (&str, usize) {
    let special = |byte: u8| {
        matches!(
            byte,
            b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9'
        )
    };
    match text.as_bytes() {
        [] => ("", 0),
        [b'{', rest @ ..] => match rest.iter().position(|byte| *byte == b'}') {
            Some(0) => ("", 2),
            Some(end) => (&text[1..=end], end + 2),
            None => ("", 1),
        },
        [first, ..] if special(*first) => (&text[..1], 1),
        bytes => {
            let end = bytes
                .iter()
                .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
                .unwrap_or(bytes.len());
            (&text[..end], end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    #[test]
    fn variables_are_expanded_as_go_does() {
        let environment = Environment {
            variables: BTreeMap::from([
                ("ARGOCD_APP_NAME", "web".to_owned()),
                ("ARGOCD_APP_REVISION", "abc".to_owned()),
            ]),
            used_revision: Cell::new(false),
            left: Cell::new(100),
        };
        let substitute = |text: &str| environment.substitute("a field", text).unwrap();
        for (text, expected) in [
            ("plain", "plain"),
            ("$ARGOCD_APP_NAME", "web"),
            ("a-${ARGOCD_APP_NAME}-b", "a-web-b"),
            ("$ARGOCD_APP_NAME.example.com", "web.example.com"),
            ("$UNKNOWN!", "!"),
            ("$$HOME", "$HOME"),
            ("costs 5$", "costs 5$"),
            ("$ ", "$ "),
            ("${}x", "x"),
            ("${open", "open"),
            ("$1st", "st"),
            ("ü$ARGOCD_APP_NAMEü", "üwebü"),
        ] {
            assert_eq!(substitute(text), expected, "{text}");
        }
        assert!(!environment.used_revision());
        assert_eq!(substitute("v-$ARGOCD_APP_REVISION"), "v-abc");
        assert!(environment.used_revision());
    }

    #[test]
    fn variables_stand_for_a_bounded_number_of_bytes() {
        let environment = Environment {
            variables: BTreeMap::from([("KUBE_API_VERSIONS", "v1,apps/v1".to_owned())]),
            used_revision: Cell::new(false),
            left: Cell::new(1000),
        };
        let substitute = |count: usize| {
            environment.substitute("spec.source.x", &"$KUBE_API_VERSIONS".repeat(count))
        };
        // All fields of a render share the bytes.
        assert_eq!(substitute(60).unwrap().len(), 600);
        let error = substitute(60).unwrap_err().to_string();
        assert!(error.starts_with("spec.source.x: "), "{error}");
        assert!(substitute(0).is_ok());
    }
}
