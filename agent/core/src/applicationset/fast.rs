//! fasttemplate: `{{tag}}` becomes a parameter's text. A tag nobody knows stays as it is, as in Argo
//! CD, but is told of.

use super::param::{Param, ParamMap};

/// What became of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// The text.
    pub text: String,
    /// Tags that stayed, because nothing has that name or it is no text.
    pub unresolved: Vec<String>,
}

/// A text with an opening that is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unclosed {
    /// What follows the opening.
    pub rest: String,
}

/// Fills a text. Only one with a whole tag on one line is a template at all.
/// Source: applicationset/utils, github.com/valyala/fasttemplate.
pub(super) fn fill(text: &str, parameters: &ParamMap) -> Result<Filled, Unclosed> {
    if !is_template(text) {
        return Ok(Filled {
            text: text.to_owned(),
            unresolved: Vec::new(),
        });
    }
    let mut filled = Filled::default();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.text.push_str(before);
        let Some((tag, after)) = after.split_once("}}") else {
            return Err(Unclosed {
                rest: after.chars().take(60).collect(),
            });
        };
        if let Some(Param::Text(value)) = parameters.get(tag.trim()) {
            filled.text.push_str(value);
        } else {
            filled.text.push_str("{{");
            filled.text.push_str(tag);
            filled.text.push_str("}}");
            filled.unresolved.push(tag.trim().to_owned());
        }
        rest = after;
    }
    filled.text.push_str(rest);
    Ok(filled)
}

fn is_template(text: &str) -> bool {
    text.lines().any(|line| {
        line.split_once("{{")
            .is_some_and(|(_, after)| after.contains("}}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_filled_and_others_stay() {
        let parameters = ParamMap::from([
            ("env".to_owned(), Param::Text("dev".into())),
            ("n".to_owned(), Param::Number("3".into())),
            ("path[0]".to_owned(), Param::Text("apps".into())),
        ]);
        let cases = [
            ("plain", "plain", &[][..]),
            ("{{env}}-{{ env }}", "dev-dev", &[]),
            ("{{path[0]}}", "apps", &[]),
            ("{{n}}", "{{n}}", &["n"]),
            ("a {{nope}} b", "a {{nope}} b", &["nope"]),
            ("{{{env}}}", "{{{env}}}", &["{env"]),
            ("x {{env", "x {{env", &[]),
            ("}} {{", "}} {{", &[]),
            ("{{env\n}}", "{{env\n}}", &[]),
            ("{{env\n}} {{env}}", "dev dev", &[]),
        ];
        for (text, expected, unresolved) in cases {
            let filled = fill(text, &parameters).unwrap();
            assert_eq!(filled.text, expected, "{text}");
            assert_eq!(filled.unresolved, unresolved, "{text}");
        }
        assert!(fill("{{env}} and {{ns", &parameters).is_err());
    }
}
