//! What people asked for on an Application.

/// What was asked for on an Application and is done: the agent takes it off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HandledRequests {
    /// The operation has ended.
    pub(crate) operation: bool,
    /// It was refreshed.
    pub(crate) refresh: bool,
    /// The hold on it has ended.
    pub(crate) hold: bool,
}
