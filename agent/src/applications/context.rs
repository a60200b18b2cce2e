//! What all work on one application is done with: the application, and the cluster it is delivered
//! to.

use std::sync::Arc;

use gitops_api::Application;
use gitops_core::project::Gate;

use crate::app_key::AppKey;
use crate::applications::controller::Controller;
use crate::applications::error::ReconcileError;
use crate::applications::permission;
use crate::applications::sources::render::RenderTarget;
use crate::cluster::Cluster;

/// One application in the cluster it is delivered to.
pub(crate) struct ReconcileContext<'a> {
    /// The parts of the agent.
    pub(crate) controller: &'a Controller,
    /// The cluster of the destination. Nothing that is done for the application reads or changes
    /// another one.
    pub(crate) cluster: Arc<Cluster>,
    /// Which application.
    pub(crate) key: &'a AppKey,
    /// The Application as it is now.
    pub(crate) app: &'a Application,
    /// Name under which its objects are tracked.
    pub(crate) instance: String,
}

impl<'a> ReconcileContext<'a> {
    /// Checks what can be checked without Git, and finds the cluster.
    ///
    /// # Errors
    /// When the Application is invalid, its project does not allow it, or it is to be delivered to
    /// a cluster the agent does not know.
    pub(crate) fn new(
        controller: &'a Controller,
        key: &'a AppKey,
        app: &'a Application,
    ) -> Result<Self, ReconcileError> {
        permission::validate(&controller.configuration, &app.spec)?;
        let cluster = controller.clusters.of(&app.spec.destination)?;
        Ok(Self {
            controller,
            cluster,
            key,
            app,
            instance: controller.configuration.instance(key),
        })
    }

    /// What the application may change now that was made from these repositories.
    ///
    /// # Errors
    /// When its project allows one of them, or the destination, no more.
    pub(crate) fn gate(&self, repositories: &[String]) -> Result<Gate, ReconcileError> {
        let configuration = &self.controller.configuration;
        permission::gate(configuration, self.key, &self.app.spec, repositories)
    }

    /// What its manifests are rendered for.
    pub(crate) fn target(&self) -> RenderTarget<'_> {
        RenderTarget {
            key: self.key,
            app: self.app,
            kinds: self.cluster.discovery.kinds(),
        }
    }
}
