//! The API server as the benchmark uses it: apply, watch, nothing else.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Config};
use serde_json::Value;

/// Longest time any single change may take before the benchmark gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A connection as administrator.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
}

impl Cluster {
    /// Connects with a kubeconfig file.
    pub(crate) async fn connect(kubeconfig: &Path) -> anyhow::Result<Self> {
        let read = Kubeconfig::read_from(kubeconfig)
            .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
            .await
            .with_context(|| format!("cannot use {}", kubeconfig.display()))?;
        let client = Client::try_from(config).context("cannot make a client")?;
        Ok(Self { client })
    }

    /// Objects of one kind in one namespace (empty: not namespaced).
    pub(crate) fn api(&self, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    /// Makes a namespace.
    pub(crate) async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        });
        self.apply("", &manifest).await
    }

    /// Applies one manifest, server-side.
    pub(crate) async fn apply(&self, namespace: &str, manifest: &Value) -> anyhow::Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&manifest["apiVersion"]), text(&manifest["kind"]));
        let name = text(&manifest["metadata"]["name"]);
        self.api(&version, &kind, namespace)
            .patch(
                &name,
                &PatchParams::apply("bench").force(),
                &Patch::Apply(manifest),
            )
            .await
            .with_context(|| format!("cannot apply {kind} {name}"))?;
        Ok(())
    }

    /// Applies many, so many at a time, and never slower than the API server answers.
    pub(crate) async fn apply_all(
        &self,
        namespace: &str,
        manifests: &[Value],
        concurrency: usize,
    ) -> anyhow::Result<()> {
        stream::iter(manifests)
            .map(|manifest| self.apply(namespace, manifest))
            .buffer_unordered(concurrency)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }
}

/// Opens a watch on one object from where it is now; the API server answers before this returns.
pub(crate) async fn watch_one(
    api: &Api<DynamicObject>,
    name: &str,
) -> anyhow::Result<impl futures::Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + use<>> {
    let version = match api.get_opt(name).await.context("cannot read an object")? {
        Some(object) => object.metadata.resource_version.unwrap_or_default(),
        None => bail!("{name} does not exist"),
    };
    let fields = format!("metadata.name={name}");
    api.watch(&WatchParams::default().fields(&fields), &version)
        .await
        .context("cannot watch")
}

/// Reads a watch until an object is as wanted.
pub(crate) async fn until(
    what: &str,
    events: impl futures::Stream<Item = kube::Result<WatchEvent<DynamicObject>>>,
    mut wanted: impl FnMut(&DynamicObject, bool) -> bool,
) -> anyhow::Result<()> {
    let mut events = pin!(events);
    let read = async {
        while let Some(event) = events.next().await {
            let (object, deleted) = match event.context("the watch broke")? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => bail!("the watch ended: {}", status.message),
            };
            if wanted(&object, deleted) {
                return Ok(());
            }
        }
        bail!("the watch ended")
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(result) => result.with_context(|| format!("waiting for {what}")),
        Err(_) => bail!("{what} did not happen within {} s", PATIENCE.as_secs()),
    }
}
