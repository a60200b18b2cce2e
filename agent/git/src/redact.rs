//! Removes secrets and noise from texts that servers and programs produce, before they become part
//! of an error or a log line. Never decides what an error means.

use base64::Engine as _;
use gitops_transport::redact::{one_line, percent_decode, without_user_information};

use crate::access::{Credentials, RepositoryAccess};

/// Texts shorter than this are not searched for: replacing every "a" helps no reader, and such a
/// secret protects nothing.
const MIN_SECRET: usize = 3;
/// Longest text taken over from a server or a program, in characters.
const MAX_TEXT: usize = 400;

/// The secrets of one repository, to be taken out of texts.
#[derive(Clone)]
pub(crate) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Collects the secrets of `access` in every spelling they are sent in.
    pub(crate) fn new(access: &RepositoryAccess) -> Self {
        let mut secrets = Vec::new();
        match &access.credentials {
            Credentials::None => {}
            Credentials::Basic { username, password } => {
                add_basic(&mut secrets, username, password);
            }
            Credentials::Bearer(token) => secrets.push(token.clone()),
            Credentials::SshKey(pem) => {
                secrets.extend(pem.lines().map(str::trim).map(String::from));
            }
        }
        if let Some(certificate) = &access.client_certificate {
            secrets.extend(certificate.key_pem.lines().map(str::trim).map(String::from));
        }
        for text in [
            Some(&access.url),
            access.proxy.as_ref().map(|proxy| &proxy.url),
        ]
        .into_iter()
        .flatten()
        {
            if let Ok(url) = url::Url::parse(text)
                && let Some(password) = url.password()
            {
                let decoded = percent_decode(password);
                add_basic(&mut secrets, &percent_decode(url.username()), &decoded);
                secrets.push(password.to_owned());
            } else if let Ok(url) = url::Url::parse(text)
                && !url.username().is_empty()
                && url.scheme().starts_with("http")
            {
                // `https://TOKEN@host`: the user name alone is the secret.
                secrets.push(url.username().to_owned());
                secrets.push(percent_decode(url.username()));
            }
        }
        secrets.retain(|secret| secret.len() >= MIN_SECRET && !secret.starts_with("-----"));
        // Longest first, so that no secret is cut up by a shorter one inside it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// `text` on one line, without control characters, secrets and user information in URLs,
    /// shortened.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        let words = text.split(|c: char| c.is_whitespace() || c.is_control());
        let words = words.map(without_user_information).collect::<Vec<_>>();
        one_line(&words.join(" "), MAX_TEXT)
    }
}

fn add_basic(secrets: &mut Vec<String>, username: &str, password: &str) {
    let header = format!("{username}:{password}");
    secrets.push(base64::engine::general_purpose::STANDARD.encode(header));
    secrets.push(url::form_urlencoded::byte_serialize(password.as_bytes()).collect());
    secrets.push(password.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_secret_goes() {
        let redactor = Redactor::new(&RepositoryAccess {
            url: "https://x:inurl%2Fpw@example.com/r".into(),
            credentials: Credentials::Basic {
                username: "joe".into(),
                password: "pa/ss word".into(),
            },
            ..RepositoryAccess::default()
        });
        let encoded = base64::engine::general_purpose::STANDARD.encode("joe:pa/ss word");
        let text =
            format!("a pa/ss word b\n{encoded} pa%2Fss+word inurl/pw inurl%2Fpw \u{1b}[31mred");
        let cleaned = redactor.clean(&text);
        assert_eq!(cleaned, "a *** b *** *** *** *** [31mred");
        assert!(redactor.clean(&"x".repeat(5000)).chars().count() <= MAX_TEXT + 1);
    }

    #[test]
    fn a_token_used_as_the_user_name_is_a_secret() {
        let redactor = Redactor::new(&RepositoryAccess {
            url: "https://ghp_abc@example.com/r".into(),
            ..RepositoryAccess::default()
        });
        assert_eq!(redactor.clean("sent ghp_abc there"), "sent *** there");
    }
}
