//! Which cluster: what messages call it.

/// A cluster as the user knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Context of the kubeconfig, or `in-cluster`.
    pub context: String,
    /// Address of the API server.
    pub server: String,
}
