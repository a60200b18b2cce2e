//! Asking those who decide for a generator: objects that name clusters, and plugins. What is wrong with the
//! answer is an error and never a smaller one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitops_core::applicationset::{Answer, DecisionSource, Param, Unmet};
use gitops_core::attempts::Ask;
use gitops_transport::http::header::CONTENT_TYPE;
use gitops_transport::http::{HeaderMap, HeaderValue};
use gitops_transport::{
    Client as HttpClient, ClientPool, ClientSettings, CredentialScope, Limits, LocalAddresses,
    Pace, Request, TransportError, Trust, authorization, chain, is_temporary_status, redact,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ApiResource, ListParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use url::Url;

use crate::cluster::discovery::{Discovery, api_resource};
use crate::patience::patiently;

/// How the agent calls itself.
pub(super) const USER_AGENT: &str = concat!("gitops-agent/", env!("CARGO_PKG_VERSION"));
/// Where a plugin answers, beneath its address.
const EXECUTE: &str = "api/v1/getparams.execute";
/// How long a plugin may take when its ConfigMap does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time a ConfigMap may give it.
const MAX_TIMEOUT: u64 = 300;
/// Largest answer of a plugin, in bytes.
const MAX_ANSWER: u64 = 8 << 20;
/// Longest rendition of what a plugin said in a message, in characters.
const MAX_SAID: usize = 300;
/// Where Argo CD's settings keep what is referred to without the name of a Secret.
const ARGO_CD_SECRET: &str = "argocd-secret";

/// Asks in the agent's own namespace.
pub(super) struct Outside<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    pub(super) discovery: &'a Discovery,
    pub(super) local_addresses: LocalAddresses,
    /// Clients of forges.
    pub(super) clients: &'a ClientPool,
    /// Only Secrets that say that they are for forges are sent to one.
    pub(super) only_labelled_tokens: bool,
}

impl Outside<'_> {
    /// The decisions of the objects that a ConfigMap describes.
    pub(super) async fn decisions(&self, source: &DecisionSource) -> Result<Answer, Unmet> {
        let settings = self.config_map(&source.config_map).await?;
        let setting = |name: &str| {
            let value = settings.get(name).map(String::as_str);
            value.unwrap_or_default().trim().to_owned()
        };
        let missing = |name: &str| {
            let config_map = &source.config_map;
            Unmet::permanent(format!("the ConfigMap {config_map} has no {name}"))
        };
        let (api_version, plural) = (setting("apiVersion"), setting("kind"));
        if api_version.is_empty() || plural.is_empty() {
            let name = if plural.is_empty() {
                "kind"
            } else {
                "apiVersion"
            };
            return Err(missing(name));
        }
        let match_key = setting("matchKey");
        // Without it nothing could match, and every Application would go.
        if match_key.is_empty() {
            return Err(missing("matchKey"));
        }
        let list_key = Some(setting("statusListKey")).filter(|key| !key.is_empty());
        let list_key = list_key.unwrap_or_else(|| "clusters".to_owned());
        let resource = self.resource(&api_version, &plural).await?;
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        let mut objects = if source.name.is_empty() {
            let params = ListParams::default().labels(&source.selector);
            let found = patiently(Ask::Read, || api.list(&params)).await;
            found.map_err(|error| unreadable(&plural, &error))?.items
        } else {
            let found = patiently(Ask::Read, || api.get_opt(&source.name)).await;
            let found = found.map_err(|error| unreadable(&plural, &error))?;
            found.into_iter().collect()
        };
        if objects.is_empty() {
            let which = if source.name.is_empty() {
                format!("with {}", source.selector)
            } else {
                format!("named {}", source.name)
            };
            return Err(Unmet::permanent(format!(
                "there are no {plural} {which} in namespace {}",
                self.namespace
            )));
        }
        objects.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let mut decisions = Vec::new();
        for object in &objects {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            match &object.data["status"][&list_key] {
                Value::Null => {}
                Value::Array(list) => decisions.extend(list.iter().map(Param::of)),
                _ => {
                    return Err(Unmet::permanent(format!(
                        "status.{list_key} of {plural} {name} is no list"
                    )));
                }
            }
        }
        Ok(Answer::Decisions {
            match_key,
            decisions: decisions.into(),
        })
    }

    async fn resource(&self, api_version: &str, plural: &str) -> Result<ApiResource, Unmet> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self
            .discovery
            .find(|kinds| kinds.of_plural(group, version, plural))
            .await;
        let found = found.map_err(|error| unreadable(plural, &error))?;
        found.as_ref().map(api_resource).ok_or_else(|| {
            Unmet::permanent(format!(
                "the cluster serves no {plural} of {api_version}; the ConfigMap's kind is the resource's \
                 plural, such as placementdecisions"
            ))
        })
    }

    /// What a plugin answers for a set.
    pub(super) async fn plugin(
        &self,
        config_map: &str,
        set: &str,
        input: Option<&Param>,
    ) -> Result<Answer, Unmet> {
        let settings = self.config_map(config_map).await?;
        let wrong = |why: &str| Unmet::permanent(format!("the ConfigMap {config_map}: {why}"));
        let setting = |name: &str| settings.get(name).map_or("", |value| value.trim());
        let base = setting("baseUrl");
        if base.is_empty() {
            return Err(wrong("baseUrl is missing"));
        }
        let url = format!("{}/{EXECUTE}", base.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| wrong(&format!("baseUrl: {error}")))?;
        let timeout = match setting("requestTimeout") {
            "" => TIMEOUT,
            text => match text.parse() {
                Ok(seconds @ 1..=MAX_TIMEOUT) => Duration::from_secs(seconds),
                _ => {
                    return Err(wrong(&format!(
                        "requestTimeout is {text:?}, and should be a number of seconds up to {MAX_TIMEOUT}"
                    )));
                }
            },
        };
        let token = self.token(setting("token")).await.map_err(|unmet| Unmet {
            message: format!("the ConfigMap {config_map}: {}", unmet.message),
            ..unmet
        })?;
        let mut asked = json!({"applicationSetName": set, "input": {}});
        if let Some(input) = input {
            asked["input"]["parameters"] = input.to_wire();
        }
        let (local_addresses, body) = (self.local_addresses, asked.to_string().into_bytes());
        let exchange = move || post(&url, &token, &body, timeout, local_addresses);
        let answered = tokio::task::spawn_blocking(exchange).await;
        let (status, body) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(why)) => return Err(temporary(format!("the plugin of {config_map}: {why}"))),
            Err(error) => return Err(temporary(chain(&error))),
        };
        if !(200..300).contains(&status) {
            let text = String::from_utf8_lossy(&body);
            let said = redact::one_line(&text, MAX_SAID);
            let message = format!("the plugin of {config_map} answered {status}: {said}");
            return Err(if is_temporary_status(status) {
                temporary(message)
            } else {
                Unmet::permanent(message)
            });
        }
        sets(&body).map_err(|why| Unmet::permanent(format!("the plugin of {config_map}: {why}")))
    }

    /// The text a reference of settings means: `$key` of Argo CD's own Secret, or `$secret:key`.
    async fn token(&self, reference: &str) -> Result<String, Unmet> {
        let Some(reference) = reference.strip_prefix('$').filter(|it| !it.is_empty()) else {
            return Err(Unmet::permanent(
                "token is no reference to a Secret; write $KEY for a key of argocd-secret, or $SECRET:KEY",
            ));
        };
        let (name, key) = reference
            .split_once(':')
            .unwrap_or((ARGO_CD_SECRET, reference));
        text_of(self.secret(name).await?, key)
    }

    pub(super) async fn secret(&self, name: &str) -> Result<Secret, Unmet> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        let found = patiently(Ask::Read, || api.get_opt(name)).await;
        let found = found.map_err(|error| unreadable("Secret", &error))?;
        found.ok_or_else(|| Unmet::permanent(format!("there is no Secret {name}")))
    }

    pub(super) async fn config_map(&self, name: &str) -> Result<BTreeMap<String, String>, Unmet> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let found = patiently(Ask::Read, || api.get_opt(name)).await;
        let found = found.map_err(|error| unreadable("ConfigMap", &error))?;
        let found = found.ok_or_else(|| {
            Unmet::permanent(format!(
                "there is no ConfigMap {name} in namespace {}",
                self.namespace
            ))
        })?;
        Ok(found.data.unwrap_or_default())
    }
}

/// Asks a plugin; its status and its answer.
fn post(
    url: &Url,
    token: &str,
    body: &[u8],
    timeout: Duration,
    local_addresses: LocalAddresses,
) -> Result<(u16, Vec<u8>), String> {
    let said = |error: &TransportError| chain(error);
    let client = HttpClient::new(ClientSettings {
        user_agent: USER_AGENT,
        trust: Trust::System,
        client_certificate: None,
        proxy: None,
        limits: Limits {
            connect: timeout.min(Limits::DEFAULT.connect),
            idle: timeout,
            total: timeout,
            pace: Pace::DEFAULT,
        },
        local_addresses,
    });
    let client = client.map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let request = Request {
        url: url.clone(),
        headers,
        authorization: authorization::bearer(token),
        scope: CredentialScope::of(url.clone()),
        body: Some(body),
        deadline: client.deadline(),
    };
    let answer = client.send(&request).map_err(|error| said(&error))?;
    let status = answer.status().as_u16();
    let body = answer.read(MAX_ANSWER).map_err(|error| said(&error))?;
    Ok((status, body))
}

/// `output.parameters` of an answer.
fn sets(body: &[u8]) -> Result<Answer, String> {
    let answer: Value =
        serde_json::from_slice(body).map_err(|error| format!("its answer is no JSON: {error}"))?;
    let Value::Array(list) = &answer["output"]["parameters"] else {
        return Err("output.parameters of its answer is no list".into());
    };
    let sets: Arc<[Result<Param, String>]> = list.iter().map(|one| Ok(Param::of(one))).collect();
    Ok(Answer::Values(sets))
}

/// The text a Secret has under a key.
pub(super) fn text_of(secret: Secret, key: &str) -> Result<String, Unmet> {
    let name = secret.name_any();
    let value = secret.data.and_then(|mut data| data.remove(key));
    let value =
        value.ok_or_else(|| Unmet::permanent(format!("the Secret {name} has no key {key}")))?;
    String::from_utf8(value.0)
        .map(|text| text.trim().to_owned())
        .map_err(|_| Unmet::permanent(format!("{key} of the Secret {name} is no text")))
}

pub(super) fn temporary(message: String) -> Unmet {
    Unmet {
        message,
        is_temporary: true,
        is_pending: false,
    }
}

fn unreadable(what: &str, error: &kube::Error) -> Unmet {
    temporary(format!("{what} cannot be read: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_sets_is_an_answer() {
        for (body, expected) in [
            (r#"{"output": {"parameters": [{"a": 1}]}}"#, Ok(1)),
            (r#"{"output": {"parameters": []}}"#, Ok(0)),
            (r#"{"output": {"parameters": {"a": 1}}}"#, Err("no list")),
            (r#"{"output": {}}"#, Err("no list")),
            ("<html>", Err("no JSON")),
        ] {
            let found = sets(body.as_bytes()).map(|answer| match answer {
                Answer::Values(values) => values.len(),
                _ => usize::MAX,
            });
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{body}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{body}: {found:?}"),
            }
        }
    }
}
