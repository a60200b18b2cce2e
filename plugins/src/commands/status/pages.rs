//! Reads many Applications fast: the next page is asked for while the last one is read.

use gitops_api::Application;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_views::status::listing;
use kube::Resource;
use kube::api::ListParams;
use kube::core::Request;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::cluster::application::place;
use crate::cluster::connection::Connection;
use crate::cluster::failure;

/// Applications asked for at a time. The API server answers the first page from its cache, and
/// reads later ones from etcd, which takes many times as long: nearly everybody needs one.
const PAGE: u32 = 5_000;

type Reading = JoinHandle<Result<Vec<Application>, serde_json::Error>>;

/// Applications of a namespace (`None`: of all), as far as `status` needs them.
pub(super) async fn list(
    namespace: Option<&str>,
    mut params: ListParams,
    connection: &Connection,
) -> Result<Vec<Application>, CommandError> {
    let what = format!("list Applications in {}", place(namespace));
    let not_understood =
        |error| failure::of(kube::Error::SerdeError(error), &what, &connection.endpoint);
    let request = Request::new(Application::url_path(&(), namespace));
    params.limit = Some(PAGE);
    let mut pages: Vec<Reading> = Vec::new();
    loop {
        let request = request.list(&params).map_err(|error| {
            CommandError::new(CommandErrorKind::Usage, format!("cannot {what}: {error}"))
        })?;
        let page = connection
            .ask(&what, connection.client.request_text(request))
            .await?;
        let next = listing::next(&page).map_err(not_understood)?;
        pages.push(spawn_blocking(move || listing::read(&page)));
        match next {
            Some(token) => params.continue_token = Some(token),
            None => break,
        }
    }
    let mut applications = Vec::new();
    for page in pages {
        let page = page.await.map_err(|error| {
            CommandError::new(CommandErrorKind::Server, format!("cannot {what}: {error}"))
        })?;
        applications.extend(page.map_err(not_understood)?);
    }
    Ok(applications)
}
