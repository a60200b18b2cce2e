//! `Authorization` header values. Marked sensitive, so that `Debug` hides them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::HeaderValue;

/// Basic authentication of a user name and a password.
pub fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    let pair = STANDARD.encode(format!("{username}:{password}"));
    sensitive(&format!("Basic {pair}"))
}

/// A bearer token; none when it holds what no header can carry.
pub fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

/// Any value; none when it holds what no header can carry.
pub fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden() {
        let value = basic("ada", "pa:ss/word").unwrap();
        assert_eq!(value, "Basic YWRhOnBhOnNzL3dvcmQ=");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert_eq!(bearer("t0ken").unwrap(), "Bearer t0ken");
        assert_eq!(bearer("line\nbreak"), None);
    }
}
