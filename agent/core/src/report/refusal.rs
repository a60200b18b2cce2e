//! An API server's refusal in words: shortened, without secrets, with advice.

use crate::manifest::object::{GroupVersionKind, ObjectKey};
use crate::mask;
use crate::reason::Code;

/// Longest message that is kept, in characters.
const LONGEST: usize = 1000;

/// What the API server answered instead of an object.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// HTTP status.
    pub code: u16,
    /// `Invalid`, `Forbidden`, …
    pub reason: &'a str,
    /// Its message.
    pub message: &'a str,
    /// Fields it names.
    pub fields: &'a [&'a str],
}

/// Whether a text of an API server says that a field cannot be changed once the object exists.
pub fn is_immutable(message: &str) -> bool {
    [
        "immutable",
        "may not be changed",
        "may not change once set",
        "cannot change roleRef",
        "updates to statefulset spec",
        "updates to parameters are forbidden",
        "updates to provisioner are forbidden",
        "pod updates may not change fields",
        "is forbidden after creation",
    ]
    .iter()
    .any(|text| message.contains(text))
}

/// Whether an internal error of an API server is the manifest's fault after all: what server-side
/// apply cannot read against the schema is answered with 500.
pub fn blames_the_manifest(message: &str) -> bool {
    message.contains("failed to create typed patch object")
}

/// Whether asking again later, without a change in Git, may get another answer than this refusal.
pub fn is_transient(code: u16, message: &str) -> bool {
    matches!(code, 409 | 429 | 500..=599) && !blames_the_manifest(message)
}

/// That a cluster does not serve the kind of an object, and what to do.
pub fn unknown_kind(gvk: &GroupVersionKind) -> String {
    format!(
        "the cluster does not serve {gvk}; install its CustomResourceDefinition or correct \
         apiVersion and kind"
    )
}

/// The webhook that refused, as the API server names it before the webhook's own words.
fn webhook(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("admission webhook \"")?;
    let (name, _) = rest.split_once("\" denied the request")?;
    Some(name)
}

impl Refusal<'_> {
    /// The refusal of an object in words that say what to do.
    pub fn text(&self, key: &ObjectKey) -> String {
        let message = mask::mask_text::<&str>(&self.shortened(key), &[]);
        format!("{message}{}", self.advice(key))
    }

    /// Which kind of refusal it is. The API server has no code for most of them: its own words are
    /// read here, and nowhere else.
    pub fn kind(&self) -> Code {
        let says = |words: &str| self.message.contains(words);
        if says("is being terminated") {
            Code::NamespaceTerminating
        } else if self.code == 404 && says("namespaces ") {
            Code::NamespaceMissing
        } else if self.code == 422 && is_immutable(self.message) {
            Code::ImmutableField
        } else if says("exceeded quota") {
            Code::QuotaExceeded
        } else if webhook(self.message).is_some()
            || says("AdmissionPolicy")
            || says("violates PodSecurity")
        {
            Code::AdmissionDenied
        } else if self.code == 403 && says("\" cannot ") {
            Code::AgentForbidden
        } else {
            Code::ObjectRefused
        }
    }

    fn shortened(&self, key: &ObjectKey) -> String {
        let secret = mask::is_secret_kind(&key.kind);
        // An API server quotes values it cannot parse; for a Secret that would be the secret.
        let message = if secret && !self.is_of_the_server() {
            let reason = if self.reason.is_empty() {
                "invalid"
            } else {
                self.reason
            };
            let at = if self.fields.is_empty() { "" } else { " at " };
            let who = webhook(self.message).map_or_else(
                || "the API server".to_owned(),
                |name| format!("admission webhook \"{name}\""),
            );
            format!(
                "{who} refused {} {}/{} ({reason}{at}{}); its message is withheld because it \
                 may quote values",
                key.kind,
                key.namespace,
                key.name,
                self.fields.join(", "),
            )
        } else {
            self.message.to_owned()
        };
        match message.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &message[..end]),
            None => message,
        }
    }

    /// Whether the words are the API server's own, which knows nothing of an object's content yet:
    /// a webhook or a policy may quote it, and its refusals are Forbidden, too.
    fn is_of_the_server(&self) -> bool {
        match self.reason {
            "NotFound" => true,
            "Forbidden" => {
                ["\" cannot ", "exceeded quota", "is being terminated"]
                    .iter()
                    .any(|words| self.message.contains(words))
                    && webhook(self.message).is_none()
                    && !self.message.contains("AdmissionPolicy")
            }
            _ => false,
        }
    }

    fn advice(&self, key: &ObjectKey) -> String {
        let message = self.message;
        if self.code == 404 && message.contains("namespaces ") {
            format!(
                "; namespace {} does not exist: add the sync option CreateNamespace=true, or a \
                 Namespace manifest",
                key.namespace
            )
        } else if self.code == 422 && is_immutable(message) {
            "; the field cannot be changed in place: take the change back in Git, or let the agent \
             delete the object and create it again with the annotation \
             argocd.argoproj.io/sync-options: Force=true"
                .into()
        } else if self.code == 403 && message.contains("is being terminated") {
            "; the namespace is being deleted: the sync is tried again".into()
        } else {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_quoted_and_advice_is_given() {
        let key = |group: &str, kind: &str| ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: "n".into(),
            name: "a".into(),
        };
        let refusal = Refusal {
            code: 400,
            reason: "BadRequest",
            message: "json: cannot unmarshal \"hunter2\"",
            fields: &["data.k"],
        };
        for group in ["", "example.com"] {
            let text = refusal.text(&key(group, "Secret"));
            assert!(
                !text.contains("hunter2") && text.contains("data.k"),
                "{text}"
            );
        }
        assert!(refusal.text(&key("", "ConfigMap")).contains("hunter2"));
        let denied = Refusal {
            code: 422,
            reason: "Invalid",
            message: "admission webhook \"policy.test\" denied the request: hunter2 is too short",
            fields: &[],
        };
        let text = denied.text(&key("", "Secret"));
        assert!(
            !text.contains("hunter2") && text.contains("webhook \"policy.test\" refused"),
            "{text}"
        );
        let immutable = Refusal {
            code: 422,
            reason: "Invalid",
            message: "spec.selector: Invalid value: field is immutable",
            fields: &[],
        };
        assert!(
            immutable
                .text(&key("apps", "Deployment"))
                .contains("sync-options: Force=true")
        );
        let missing = Refusal {
            code: 404,
            reason: "NotFound",
            message: "namespaces \"n\" not found",
            fields: &[],
        };
        assert!(
            missing
                .text(&key("", "Secret"))
                .contains("CreateNamespace=true")
        );
        let kinds = [&refusal, &denied, &immutable, &missing].map(Refusal::kind);
        assert_eq!(
            kinds,
            [
                Code::ObjectRefused,
                Code::AdmissionDenied,
                Code::ImmutableField,
                Code::NamespaceMissing
            ]
        );
        let long = "x".repeat(2000);
        let long = Refusal {
            message: &long,
            ..immutable
        };
        assert!(long.text(&key("", "ConfigMap")).chars().count() < 1100);
    }

    #[test]
    fn of_what_is_forbidden_only_the_servers_own_words_are_shown() {
        let key = ObjectKey {
            group: String::new(),
            kind: "Secret".into(),
            namespace: "n".into(),
            name: "a".into(),
        };
        let text = |message| {
            let refusal = Refusal {
                code: 403,
                reason: "Forbidden",
                message,
                fields: &[],
            };
            refusal.text(&key)
        };
        for own in [
            "secrets \"a\" is forbidden: User \"system:serviceaccount:x:y\" cannot patch resource \"secrets\" in API group \"\" in the namespace \"n\"",
            "secrets \"a\" is forbidden: exceeded quota: count, requested: secrets=1, used: secrets=1, limited: secrets=1",
        ] {
            assert_eq!(text(own), own);
        }
        for quoting in [
            "admission webhook \"policy.test\" denied the request: you \" cannot hunter2",
            "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: hunter2 is too short",
            "secrets \"a\" is forbidden: hunter2",
        ] {
            assert!(!text(quoting).contains("hunter2"), "{}", text(quoting));
        }
    }

    #[test]
    fn what_the_schema_does_not_know_is_no_fault_of_the_server() {
        let typo = "failed to create typed patch object (a/web; apps/v1, Kind=Deployment): \
                    .spec.replcas: field not declared in schema";
        assert!(blames_the_manifest(typo));
        let down = "Internal error occurred: failed calling webhook \"a.b\": connection refused";
        assert!(!blames_the_manifest(down));
    }
}
