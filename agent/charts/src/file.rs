//! A single file behind an address, and what is known about it. Its bytes are counted while it is in use.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::store::Validators;

/// A file as it was fetched.
#[derive(Debug)]
pub struct RemoteFile {
    /// What is in it.
    pub content: Arc<[u8]>,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    pub(crate) in_use: Arc<AtomicU64>,
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        self.in_use
            .fetch_sub(self.content.len() as u64, Ordering::Relaxed);
    }
}

/// What is known about one file.
#[derive(Default)]
pub(crate) struct KnownFile {
    pub(crate) file: Weak<RemoteFile>,
    pub(crate) validators: Validators,
    /// When the server last said this is current.
    pub(crate) checked: Option<Instant>,
}
