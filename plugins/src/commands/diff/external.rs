//! `KUBECTL_EXTERNAL_DIFF`, as kubectl reads it: which program, with which arguments, and which
//! files it compares. Never runs anything.

use gitops_api::preview::PreviewObject;
use serde_json::Value;

/// The variable.
pub const VARIABLE: &str = "KUBECTL_EXTERNAL_DIFF";

/// A program and what follows the two directories on its command line. `None`: none is set.
pub fn program(variable: Option<&str>) -> Option<(String, Vec<String>)> {
    let variable = variable.filter(|value| !value.is_empty())?;
    let mut words = variable.split(' ');
    let program = words.next()?.to_owned();
    // kubectl passes over everything that is not letters, digits, dashes and equals signs.
    let is_passed_on = |word: &&str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'='))
    };
    let arguments = words.filter(is_passed_on).map(str::to_owned).collect();
    Some((program, arguments))
}

/// Name of an object's file: `apps.v1.Deployment.team-a.web`.
pub fn file_name(object: &PreviewObject) -> String {
    let group = if object.group.is_empty() {
        String::new()
    } else {
        format!("{}.", object.group)
    };
    let name = format!(
        "{group}{}.{}.{}.{}",
        object.version, object.kind, object.namespace, object.name
    );
    // Names of objects hold no separators; an answer that says otherwise must not lead elsewhere.
    name.replace(['/', '\\', ':', '\0'], "_")
}

/// Content of a file.
pub fn content(object: &serde_json::Map<String, Value>) -> Result<String, String> {
    serde_saphyr::to_string(object).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_as_kubectl_does() {
        let read = |text: &str| {
            program(Some(text)).map(|(program, arguments)| (program, arguments.join(" ")))
        };
        let is = |program: &str, arguments: &str| Some((program.to_owned(), arguments.to_owned()));
        assert_eq!(program(None), None);
        assert_eq!(read(""), None);
        assert_eq!(read("meld"), is("meld", ""));
        assert_eq!(
            read("dyff between --omit-header --set-exit-code"),
            is("dyff", "between --omit-header --set-exit-code")
        );
        assert_eq!(
            read("diff -u  -N --color=always /etc/passwd a,b; --label=x"),
            is("diff", "-u -N --color=always --label=x")
        );
    }

    #[test]
    fn files_are_named_as_kubectl_does() {
        let object = |group: &str, version: &str, kind: &str, namespace: &str, name: &str| {
            file_name(&PreviewObject {
                group: group.into(),
                version: version.into(),
                kind: kind.into(),
                namespace: namespace.into(),
                name: name.into(),
                ..PreviewObject::default()
            })
        };
        assert_eq!(
            object("apps", "v1", "Deployment", "team-a", "web"),
            "apps.v1.Deployment.team-a.web"
        );
        assert_eq!(
            object("", "v1", "Namespace", "", "web"),
            "v1.Namespace..web"
        );
        assert_eq!(
            object("", "v1", "ConfigMap", "a", "../../x"),
            "v1.ConfigMap.a..._.._x"
        );
    }
}
