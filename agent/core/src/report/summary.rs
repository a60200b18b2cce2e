//! `status.summary`: what runs, and where it is reached; not what Git wishes.

use std::collections::BTreeSet;

use gitops_api::HealthStatusCode;
use gitops_api::status::ApplicationSummary;

use crate::live::object::LiveObject;
use crate::live::shown::Shown;
use crate::report::compared::Compared;

/// The summary of what is live. Until a rollout is through, what ran before may still run: its images
/// stay in the list as long as a workload is not healthy.
pub(crate) fn of(
    compared: Compared<'_>,
    previous: Option<&ApplicationSummary>,
) -> ApplicationSummary {
    let objects = || compared.live.values().chain(compared.hooks);
    let shown = || objects().filter_map(|live| Some((live, live.shown.as_deref()?)));
    let runs = |(_, shown): &(&LiveObject, &Shown)| !shown.images.is_empty();
    let mut images: BTreeSet<&str> = BTreeSet::new();
    let mut urls: BTreeSet<&str> = BTreeSet::new();
    for (_, shown) in shown() {
        images.extend(shown.images.iter().map(String::as_str));
        urls.extend(shown.urls.iter().map(String::as_str));
    }
    let under_way = shown().filter(runs).any(|(live, _)| {
        let health = live.health.as_ref().map(|health| health.status);
        !live.hook && health.is_some_and(|health| health != HealthStatusCode::Healthy)
    });
    if under_way {
        let before = previous.iter().flat_map(|summary| &summary.images);
        images.extend(before.map(String::as_str));
    }
    let owned = |texts: BTreeSet<&str>| texts.into_iter().map(str::to_owned).collect();
    ApplicationSummary {
        images: owned(images),
        external_urls: owned(urls),
        is_app_of_apps: compared
            .desired
            .objects
            .keys()
            .any(|key| key.group == gitops_api::constants::GROUP && key.kind == "Application"),
        ..ApplicationSummary::default()
    }
}
