//! The build environment of Argo CD: `$ARGOCD_APP_…` and `$KUBE_…` in some fields of a source. It knows no variable of
//! this process. Unknown names become nothing, `$$` is a dollar sign.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::request::{AppContext, SourceRequest};

/// Variables, and whether the revision was one of those used.
pub(crate) struct Environment {
    variables: BTreeMap<&'static str, String>,
    used_revision: Cell<bool>,
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

    /// Expands `$name` and `${name}` with the rules of Go's `os.Expand`, which Argo CD uses.
    pub(crate) fn substitute(&self, text: &str) -> String {
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
                (name, _) => result.push_str(self.value(name)),
            }
            rest = &after[width..];
        }
        result.push_str(rest);
        result
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
        };
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
            assert_eq!(environment.substitute(text), expected, "{text}");
        }
        assert!(!environment.used_revision());
        assert_eq!(environment.substitute("v-$ARGOCD_APP_REVISION"), "v-abc");
        assert!(environment.used_revision());
    }
}
