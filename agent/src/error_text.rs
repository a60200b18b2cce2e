//! Texts of other programs as they may be shown.

use gitops_core::mask;

/// A text from outside, without credentials in URLs.
pub(crate) fn mask_url(text: &str) -> String {
    mask::mask_text::<&str>(text, &[])
}
