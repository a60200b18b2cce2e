//! Access to the servers of these tests, which are on this machine.

use gitops_git::{LocalAddresses, RepositoryAccess};

/// Nothing but the permission to ask them.
pub(crate) fn local() -> RepositoryAccess {
    RepositoryAccess {
        local_addresses: LocalAddresses::Allowed,
        ..RepositoryAccess::default()
    }
}
