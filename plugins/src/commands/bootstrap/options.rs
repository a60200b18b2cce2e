//! What a bootstrap is asked for.

use crate::commands::bootstrap::access::Offer;
use crate::commands::bootstrap::image::Image;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct BootstrapOptions {
    /// Address of the repository.
    pub url: String,
    /// Directory.
    pub path: String,
    /// Branch; `None`: the one the server shows first.
    pub branch: Option<String>,
    /// Namespace.
    pub namespace: String,
    /// Image.
    pub image: Option<Image>,
    /// Propose the commit instead of pushing it.
    pub propose: bool,
    /// Take over from Argo CD.
    pub adopt: bool,
    /// How the agent may read the repository.
    pub offer: Offer,
    /// Which forge it is.
    pub forge: Option<gitops_forge::Choice>,
}
