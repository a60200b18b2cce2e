//! What whoever asks may read: the API server's own answer, by a SubjectAccessReview.

use std::collections::HashMap;

use gitops_api::preview::GROUP;
use gitops_core::attempts::Ask;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::report::requester::{Asker, POLICY};
use gitops_transport::chain;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use crate::cluster::write::Writer;
use crate::patience::patiently;

/// Asks for one asker; remembers the answers.
pub(super) struct Reader {
    client: Client,
    asker: Asker,
    known: Mutex<HashMap<ResourceAccess, bool>>,
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ResourceAccess {
    verb: &'static str,
    group: String,
    resource: String,
    subresource: Option<&'static str>,
    namespace: String,
    /// Empty: every object.
    name: String,
}

impl Reader {
    pub(super) fn new(client: Client, asker: Asker) -> Self {
        Self {
            client,
            asker,
            known: Mutex::default(),
        }
    }

    /// Who asks.
    pub(super) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Whether an object may be read. Of a kind that the cluster does not serve nobody has rights
    /// but those who have all of its group.
    pub(super) async fn may_read(
        &self,
        writer: &Writer,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<bool, String> {
        let served = writer.served(gvk).await;
        let all = ResourceAccess {
            verb: "get",
            group: gvk.group.clone(),
            resource: served.map_or_else(|_| "*".to_owned(), |served| served.plural),
            subresource: None,
            namespace: key.namespace.clone(),
            name: String::new(),
        };
        if self.may(all.clone()).await? {
            return Ok(true);
        }
        let name = key.name.clone();
        self.may(ResourceAccess { name, ..all }).await
    }

    /// Whether it may be asked what changed files would do.
    pub(super) async fn may_change_files(&self, namespace: &str) -> Result<bool, String> {
        self.may(ResourceAccess {
            verb: "create",
            group: GROUP.to_owned(),
            resource: "previews".to_owned(),
            subresource: Some("files"),
            namespace: namespace.to_owned(),
            name: String::new(),
        })
        .await
    }

    async fn may(&self, access: ResourceAccess) -> Result<bool, String> {
        if let Some(known) = self.known.lock().get(&access) {
            return Ok(*known);
        }
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let Some((user, groups)) = self.asker.subject() else {
            return Ok(true);
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user),
                groups: Some(groups),
                resource_attributes: Some(ResourceAttributes {
                    verb: some(access.verb),
                    group: Some(access.group.clone()),
                    resource: some(&access.resource),
                    subresource: access.subresource.map(Into::into),
                    namespace: some(&access.namespace),
                    name: some(&access.name),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        // A question: it may be asked twice.
        let params = PostParams::default();
        let answer = patiently(Ask::Apply, || api.create(&params, &review)).await;
        let answer = answer.map_err(|error| {
            format!(
                "the API server does not say what you may read, so nothing is shown: {}; the agent \
                 needs the ClusterRole gitops-agent-previews of manifests/base/preview-policy.yaml",
                chain(&error)
            )
        })?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        self.known.lock().insert(access, allowed);
        Ok(allowed)
    }
}

/// The policy that holds `spec.requester` to the truth, and its binding, where they can be read.
pub(super) async fn policy(client: &Client) -> (Option<Value>, Option<Value>) {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let (policy, binding) = tokio::join!(
        patiently(Ask::Read, || policies.get_opt(POLICY)),
        patiently(Ask::Read, || bindings.get_opt(POLICY)),
    );
    (found(policy), found(binding))
}

fn found<K: Serialize>(answer: kube::Result<Option<K>>) -> Option<Value> {
    match answer {
        Ok(object) => serde_json::to_value(object?).ok(),
        Err(error) => {
            tracing::warn!(
                policy = POLICY,
                error = chain(&error),
                "the admission policy of Previews cannot be read; nobody is known by name"
            );
            None
        }
    }
}
