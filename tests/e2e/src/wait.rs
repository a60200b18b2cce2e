//! Waiting for objects: by watching them, never by asking again after a pause.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest wait for anything: long enough for a machine that is busy with much else.
pub const LIMIT: Duration = Duration::from_mins(3);

/// Watches one object until `found` says yes about it, or about its absence.
///
/// # Errors
/// After [`LIMIT`]: the object as it was seen last.
pub async fn until<K>(
    api: Api<K>,
    name: &str,
    mut found: impl FnMut(Option<&K>) -> bool,
) -> Result<Option<K>, String>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let mut last = None;
    let mut trouble = String::new();
    let watching = Box::pin(async {
        let mut states = watcher::watch_object(api, name).boxed();
        while let Some(state) = states.next().await {
            match state {
                Ok(object) => {
                    let done = found(object.as_ref());
                    last = object;
                    if done {
                        return;
                    }
                }
                Err(error) => trouble = format!("\nthe watch said: {error}"),
            }
        }
    });
    if tokio::time::timeout(LIMIT, watching).await.is_ok() {
        return Ok(last);
    }
    Err(match last {
        Some(object) => serde_json::to_string_pretty(&object).unwrap_or_default() + &trouble,
        None => format!("there is no {name}{trouble}"),
    })
}
