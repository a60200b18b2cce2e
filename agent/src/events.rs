//! Kubernetes Events. Nothing waits for one and nothing depends on one.

use std::sync::Arc;

use gitops_api::constants;
use gitops_transport::chain;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};

use crate::metrics::Metrics;

/// Records Events in one cluster.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Records through this client.
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter {
            controller: constants::FIELD_MANAGER.into(),
            instance: std::env::var("HOSTNAME").ok(),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            metrics,
        }
    }

    /// Records an Event about an object, without waiting for it.
    pub(crate) fn publish(&self, event: Event, about: ObjectReference) {
        self.metrics.write("event");
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &about).await {
                tracing::debug!(error = chain(&error), "an event could not be recorded");
            }
        });
    }
}
