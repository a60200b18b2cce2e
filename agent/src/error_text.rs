//! Errors of other libraries as text for logs and conditions.

use std::error::Error;

use gitops_core::mask;

/// An error with its causes: `kube` shows only the outermost.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A text from outside, without credentials in URLs.
pub(crate) fn mask_url(text: &str) -> String {
    mask::mask_text::<&str>(text, &[])
}
