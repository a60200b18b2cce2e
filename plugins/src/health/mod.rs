//! What `health` reads and shows: manifests in, verdicts out. The rules are
//! `gitops_core::live::health`'s and those of argocd-cm.

pub mod manifests;
pub mod report;
