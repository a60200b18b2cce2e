//! Work that reads files, waits for a server or takes long, beside the async threads.

/// Runs `work` beside the async threads; `None` when it was cut off.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
