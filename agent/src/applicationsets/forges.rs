//! Asking forges for generators: with the Secret a generator names, and never with one that is for
//! something else.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use gitops_api::constants::label;
use gitops_api::constants::secret_type::{CLUSTER, SCM_CREDS};
use gitops_core::applicationset::{
    Account, Answer, Answers, Credential, KeyReference, Need, Question, Unmet,
};
use gitops_forge::catalog::{Catalog, Connection, Failure, Login};
use gitops_transport::chain;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::outside::{Outside, USER_AGENT, temporary, text_of};

/// How many requests of one set are under way at the same time.
const CONCURRENT: usize = 8;
/// Secrets of Argo CD's own that open more than a forge.
const NEVER: [&str; 2] = ["argocd-secret", "argocd-initial-admin-secret"];
/// Types of Secrets that open the cluster.
const NEVER_TYPES: [&str; 2] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
];

impl Outside<'_> {
    /// What forges answer, several at a time, with one look at each Secret.
    pub(super) async fn forges(&self, needs: &[Need]) -> Answers {
        let mut catalogs: HashMap<Arc<Account>, Result<Catalog, Unmet>> = HashMap::new();
        let mut asked = Vec::new();
        for need in needs {
            let Need::Forge { account, question } = need else {
                continue;
            };
            let catalog = if let Some(known) = catalogs.get(account) {
                known.clone()
            } else {
                let catalog = self.catalog(account).await;
                catalogs.insert(Arc::clone(account), catalog.clone());
                catalog
            };
            asked.push((need.clone(), Arc::clone(account), question.clone(), catalog));
        }
        let answers = stream::iter(asked).map(|(need, account, question, catalog)| async move {
            let answer = match catalog {
                Ok(catalog) => ask(&account, catalog, question).await,
                Err(unmet) => Err(unmet),
            };
            (need, answer)
        });
        answers.buffer_unordered(CONCURRENT).collect().await
    }

    async fn catalog(&self, account: &Account) -> Result<Catalog, Unmet> {
        let login = match &account.credential {
            Credential::None => Login::None,
            Credential::Token(reference) => Login::Token(self.secret_for_forges(reference).await?),
            Credential::Basic { user, password } => Login::Basic {
                user: user.clone(),
                password: self.secret_for_forges(password).await?,
            },
        };
        let authorities = match &account.authorities {
            None => None,
            Some(KeyReference { name, key }) => {
                let mut data = self.config_map(name).await?;
                let pem = data.remove(key);
                let missing = || Unmet::permanent(format!("the ConfigMap {name} has no key {key}"));
                Some(pem.ok_or_else(missing)?)
            }
        };
        let connection = Connection {
            clients: self.clients,
            user_agent: USER_AGENT,
            authorities,
            local_addresses: self.local_addresses,
        };
        Catalog::new(account, &login, connection).map_err(|failure| unmet(account, &failure))
    }

    /// The value of a Secret that may be sent to a forge.
    async fn secret_for_forges(&self, reference: &KeyReference) -> Result<String, Unmet> {
        let KeyReference { name, key } = reference;
        let secret = self.secret(name).await?;
        may_be_sent(&secret, self.only_labelled_tokens).map_err(Unmet::permanent)?;
        text_of(secret, key)
    }
}

/// Whether a set may send a Secret to an address of its choice.
fn may_be_sent(secret: &Secret, only_labelled: bool) -> Result<(), String> {
    let name = secret.name_any();
    let kind = secret.labels().get(label::SECRET_TYPE).map(String::as_str);
    if kind == Some(SCM_CREDS) {
        return Ok(());
    }
    let type_ = secret.type_.as_deref().unwrap_or_default();
    if kind == Some(CLUSTER) || NEVER.contains(&&*name) || NEVER_TYPES.contains(&type_) {
        return Err(format!(
            "the Secret {name} opens more than a forge and is not sent to one; put the token into a \
             Secret of its own, with the label {}: {SCM_CREDS}",
            label::SECRET_TYPE
        ));
    }
    if only_labelled {
        return Err(format!(
            "the Secret {name} has no label {}: {SCM_CREDS}, without which none is sent to a forge \
             here (applicationsetcontroller.enable.tokenref.strict.mode)",
            label::SECRET_TYPE
        ));
    }
    Ok(())
}

async fn ask(account: &Account, catalog: Catalog, question: Question) -> Result<Answer, Unmet> {
    let asked = tokio::task::spawn_blocking(move || catalog.ask(&question)).await;
    match asked {
        Ok(Ok(listing)) => Ok(Answer::Forge(listing)),
        Ok(Err(failure)) => Err(unmet(account, &failure)),
        Err(error) => Err(temporary(chain(&error))),
    }
}

fn unmet(account: &Account, failure: &Failure) -> Unmet {
    let name = account.provider.name();
    let at = if account.api.is_empty() {
        name.to_owned()
    } else {
        format!("{name} at {}", account.api)
    };
    Unmet {
        message: format!("{at}: {failure}"),
        is_temporary: failure.is_temporary,
        is_pending: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_secrets_for_forges_are_sent_to_one() {
        let secret = |name: &str, kind: Option<&str>, type_: &str| -> Secret {
            let mut value = json!({"metadata": {"name": name, "labels": {}}, "type": type_});
            if let Some(kind) = kind {
                value["metadata"]["labels"][label::SECRET_TYPE] = json!(kind);
            }
            serde_json::from_value(value).unwrap()
        };
        let table = [
            (secret("forge", None, "Opaque"), true, false),
            (secret("forge", Some("scm-creds"), "Opaque"), true, true),
            (secret("forge", Some("repo-creds"), "Opaque"), true, false),
            (secret("prod", Some("cluster"), "Opaque"), false, false),
            (secret("argocd-secret", None, "Opaque"), false, false),
            (
                secret("agent", None, "kubernetes.io/service-account-token"),
                false,
                false,
            ),
        ];
        for (secret, usually, strictly) in table {
            assert_eq!(may_be_sent(&secret, false).is_ok(), usually, "{secret:?}");
            assert_eq!(may_be_sent(&secret, true).is_ok(), strictly, "{secret:?}");
        }
    }
}
