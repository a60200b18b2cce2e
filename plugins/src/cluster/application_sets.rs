//! ApplicationSets, as a user may read them.

use gitops_api::application_set::ApplicationSet;
use gitops_api::constants::annotation;
use gitops_kit::exit::CommandError;
use gitops_views::appsets::Set;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::cluster::application::place;
use crate::cluster::connection::Connection;

/// The sets of a namespace (`None`: of all), all pages of them.
pub async fn list(
    namespace: Option<&str>,
    connection: &Connection,
) -> Result<Vec<ApplicationSet>, CommandError> {
    let api: Api<ApplicationSet> = match namespace {
        Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
        None => Api::all(connection.client.clone()),
    };
    let what = format!("list ApplicationSets in {}", place(namespace));
    connection.list(&api, ListParams::default(), &what).await
}

/// What a set says.
pub fn told(set: &ApplicationSet) -> Set {
    let held = set.annotations().get(annotation::ROLLOUT);
    Set::of(set, held.map(String::as_str))
}
