//! kubectl's `-o jsonpath` templates: text, `{.a.b[*].c}`, `{range .items[*]}…{end}`, `{"\n"}`.
//!
//! Paths are translated to RFC 9535 and evaluated by `serde_json_path`; a field that is missing
//! prints nothing, as with `kubectl get`.

use serde_json::Value;
use serde_json_path::JsonPath;

/// A template, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    Range(Path, Vec<Part>),
}

/// A query, and what it starts from.
#[derive(Clone, Debug, PartialEq)]
struct Path {
    from_top: bool,
    query: JsonPath,
}

impl Template {
    /// Reads a template; the error is for users.
    pub fn parse(template: &str) -> Result<Self, String> {
        if template.is_empty() {
            return Err("a template is missing, such as jsonpath='{.applications[*].name}'".into());
        }
        let mut open: Vec<(Path, Vec<Part>)> = Vec::new();
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(start) = rest.find('{') {
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            let inside = &rest[start + 1..];
            let end =
                closing(inside).ok_or_else(|| format!("{{ without }}: {}", &rest[start..]))?;
            let action = inside[..end].trim();
            rest = &inside[end + 1..];
            if let Some(path) = action.strip_prefix("range ") {
                open.push((read_path(path)?, std::mem::take(&mut parts)));
            } else if action == "end" {
                let (path, before) = open.pop().ok_or("{end} without {range}")?;
                let body = std::mem::replace(&mut parts, before);
                parts.push(Part::Range(path, body));
            } else if action.starts_with(['"', '\'']) {
                parts.push(Part::Text(read_literal(action)?));
            } else {
                parts.push(Part::Path(read_path(action)?));
            }
        }
        if !open.is_empty() {
            return Err("{range} without {end}".into());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Fills the template in.
    pub fn fill(&self, document: &Value) -> String {
        let mut output = String::new();
        fill(&self.parts, document, document, &mut output);
        output
    }
}

fn fill(parts: &[Part], top: &Value, here: &Value, output: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => output.push_str(text),
            Part::Path(path) => {
                let found: Vec<String> = path.find(top, here).into_iter().map(plain).collect();
                output.push_str(&found.join(" "));
            }
            Part::Range(path, body) => {
                for element in path.find(top, here) {
                    fill(body, top, element, output);
                }
            }
        }
    }
}

impl Path {
    fn find<'v>(&self, top: &'v Value, here: &'v Value) -> Vec<&'v Value> {
        self.query
            .query(if self.from_top { top } else { here })
            .all()
    }
}

/// A value as kubectl prints it: strings as they are, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where the `}` is that ends an action; quoted ones do not.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            _ if character == '\\' => escaped = true,
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if character == '}' => return Some(index),
            _ => {}
        }
    }
    None
}

/// `"…"` or `'…'` with the escapes of Go's strings that matter here.
fn read_literal(action: &str) -> Result<String, String> {
    let wrong = || format!("{{{action}}} is not a text in quotes");
    let quote = action.chars().next().ok_or_else(wrong)?;
    let inside = action[1..].strip_suffix(quote).ok_or_else(wrong)?;
    let mut text = String::new();
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next().ok_or_else(wrong)? {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            other => text.push(other),
        }
    }
    Ok(text)
}

fn read_path(path: &str) -> Result<Path, String> {
    let path = path.trim();
    let from_top = path.starts_with('$');
    let body = path.strip_prefix(['$', '@']).unwrap_or(path);
    let query = format!("${}", standard(body, path)?);
    let query = JsonPath::parse(&query).map_err(|error| format!("{{{path}}}: {error}"))?;
    Ok(Path { from_top, query })
}

/// kubectl's path in the standard's notation: each name in brackets, since kubectl allows more
/// characters in a bare name, with `\.` for a dot in it.
fn standard(body: &str, whole: &str) -> Result<String, String> {
    let mut result = String::new();
    let mut rest = body;
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        return Err(format!(
            "{{{whole}}}: a path starts with a dot: {{.{whole}}}"
        ));
    }
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            let end = bracket(rest).ok_or_else(|| format!("{{{whole}}}: [ without ]"))?;
            let inside = rest[1..end].trim();
            if let Some(filter) = inside
                .strip_prefix("?(")
                .and_then(|filter| filter.strip_suffix(')'))
            {
                result.push_str("[?");
                result.push_str(&filter_paths(filter, whole)?);
                result.push(']');
            } else {
                result.push_str(&rest[..=end]);
            }
            rest = &rest[end + 1..];
            continue;
        }
        // A dot, two for any depth.
        let deep = rest.starts_with("..");
        rest = &rest[if deep { 2 } else { 1 }..];
        if deep {
            result.push_str("..");
        }
        let (name, length) = bare_name(rest);
        rest = &rest[length..];
        match name.as_str() {
            "" if rest.starts_with('[') || (rest.is_empty() && !deep) => {}
            "" => return Err(format!("{{{whole}}}: a name is missing")),
            "*" => result.push_str("[*]"),
            name => {
                let quoted = serde_json::to_string(name).unwrap_or_default();
                result.push('[');
                result.push_str(&quoted);
                result.push(']');
            }
        }
    }
    Ok(result)
}

/// A name up to the next dot, bracket, blank or operator; and its length in the text.
fn bare_name(text: &str) -> (String, usize) {
    let mut name = String::new();
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        if escaped {
            name.push(character);
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if ".[]()=!<>&|,".contains(character) || character.is_whitespace() {
            return (name, index);
        } else {
            name.push(character);
        }
    }
    (name, text.len())
}

/// Where the bracket that the text starts with is closed.
fn bracket(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// A filter with the paths in it in the standard's notation.
fn filter_paths(filter: &str, whole: &str) -> Result<String, String> {
    let mut result = String::new();
    let mut rest = filter;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '"' | '\'') {
            let end = rest[1..]
                .find(first)
                .ok_or_else(|| format!("{{{whole}}}: a quote is not closed"))?;
            result.push_str(&rest[..end + 2]);
            rest = &rest[end + 2..];
        } else if matches!(first, '@' | '$') {
            let end = path_end(&rest[1..]) + 1;
            result.push(first);
            result.push_str(&standard(&rest[1..end], whole)?);
            rest = &rest[end..];
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(result)
}

/// Length of the path a text starts with.
fn path_end(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if let Some(name) = rest.strip_prefix('.') {
            at += 1 + bare_name(name).1;
        } else if rest.starts_with('[')
            && let Some(end) = bracket(rest)
        {
            at += end + 1;
        } else {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "version": "v1",
            "apps": [
                {"name": "web", "ok": true, "labels": {"app.kubernetes.io/name": "w"}, "n": 1},
                {"name": "shop", "ok": false, "labels": {"team-a": "x"}, "n": 2},
            ],
        })
    }

    #[test]
    fn templates_print_what_kubectl_prints() {
        let table = [
            ("{.version}", "v1"),
            ("version: {.version}!", "version: v1!"),
            ("{.apps[*].name}", "web shop"),
            ("{.apps[0].ok}", "true"),
            ("{.apps[-1].name}", "shop"),
            ("{.apps[0:1].name}", "web"),
            ("{.apps[0,1]['name','n']}", "web 1 shop 2"),
            ("{$.version}{@.version}", "v1v1"),
            ("{..name}", "web shop"),
            (r"{.apps[0].labels.app\.kubernetes\.io/name}", "w"),
            ("{.apps[1].labels.team-a}", "x"),
            ("{.apps[1].labels}", r#"{"team-a":"x"}"#),
            ("{.missing.field}", ""),
            (
                r#"{range .apps[*]}{.name}{"\t"}{.ok}{"\n"}{end}"#,
                "web\ttrue\nshop\tfalse\n",
            ),
            (
                r#"{range .apps[*]}{$.version}{"}"}{@.name} {end}"#,
                "v1}web v1}shop ",
            ),
            (r#"{.apps[?(@.name=="shop")].n}"#, "2"),
            (r"{.apps[?(@.n > 1)].name}", "shop"),
            (r"{.apps[?(@.labels.team-a)].name}", "shop"),
            (
                r"{.apps[?(@.labels.app\.kubernetes\.io/name=='w')].name}",
                "web",
            ),
            ("{ .version }", "v1"),
            ("plain", "plain"),
        ];
        for (template, expected) in table {
            let read = Template::parse(template).unwrap_or_else(|e| panic!("{template}: {e}"));
            assert_eq!(read.fill(&document()), expected, "{template}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let table = [
            ("", "template is missing"),
            ("{.a", "without }"),
            ("{range .a[*]}x", "{range} without {end}"),
            ("{end}", "{end} without {range}"),
            ("{a}", "starts with a dot"),
            ("{.a[}", "[ without ]"),
            ("{.a[foo(]}", ".a[foo(]"),
            ("{\"x}", "without }"),
        ];
        for (template, expected) in table {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(expected), "{template}: {error}");
        }
    }
}
