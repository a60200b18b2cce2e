//! The one place that hides secret values: in objects, in pairs that are compared, and in text.
//!
//! An object is hidden by one recursive walk ([`Mask`]): the values of a Secret wherever it is
//! nested, values whose name tells what they are (`names`), annotations the installation names,
//! and all of that again in strings that hold JSON, YAML or settings. What is displayed of an object
//! is a [`Masked`] or a [`Shown`], which only this module makes.
//!
//! What cannot be understood is hidden whole. Whether something is shown at all, and to whom, is
//! decided elsewhere; nothing here keeps a value.

mod embedded;
mod names;
mod object;
mod output;
mod shown;
mod text;

pub use object::Mask;
pub use output::mask_output;
pub use shown::{Masked, MaskedChange, Shown};
pub use text::mask_text;

/// What stands where a secret value was.
pub const PLACEHOLDER: &str = "***";
/// The old one of two different values, as `kubectl diff` writes it.
pub const BEFORE: &str = "*** (before)";
/// The new one of two different values, as `kubectl diff` writes it.
pub const AFTER: &str = "*** (after)";

/// Whether a kind holds secret values, of any group: a custom kind of that name holds them just as
/// well (`SealedSecret`, `ExternalSecret`).
pub fn is_secret_kind(kind: &str) -> bool {
    kind.ends_with("Secret") || kind == "SecretList"
}
