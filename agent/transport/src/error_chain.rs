//! An error with its causes on one line. Never shortens and never hides anything.

use std::error::Error;

/// An error and its causes, outermost first, without those an outer text already says.
pub fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    join_causes(texts)
}

/// Texts of an error and its causes, outermost first, as [`chain`] joins them.
pub fn join_causes(texts: impl IntoIterator<Item = String>) -> String {
    let mut known: Vec<String> = Vec::new();
    for text in texts {
        if !known.iter().any(|earlier| earlier.contains(&text)) {
            known.push(text);
        }
    }
    known.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn causes_are_said_once() {
        let layer = |text, source| Layer { text, source };
        let inner = layer("refused", None);
        let middle = layer("connect: refused", Some(Box::new(inner)));
        let outer = layer("cannot list", Some(Box::new(middle)));
        assert_eq!(chain(&outer), "cannot list: connect: refused");
    }
}
