//! Names with a meaning: annotations, labels, finalizers, condition types, ConfigMaps.
//!
//! `argocd.argoproj.io/*` is Argo CD's and keeps its meaning; `gitops-agent.io/*` is ours.

/// API group of Application, ApplicationSet and AppProject.
pub const GROUP: &str = "argoproj.io";
/// API version of Application, ApplicationSet and AppProject.
pub const VERSION: &str = "v1alpha1";
/// Namespace existing Argo CD manifests say, and so the default everywhere.
pub const DEFAULT_NAMESPACE: &str = "argocd";
/// Project an Application without one belongs to.
pub const DEFAULT_PROJECT: &str = "default";
/// Address that means the cluster the agent runs in.
pub const IN_CLUSTER_SERVER: &str = "https://kubernetes.default.svc";
/// Name that means the cluster the agent runs in.
pub const IN_CLUSTER_NAME: &str = "in-cluster";
/// Entries of `status.history` kept when `revisionHistoryLimit` is not set.
pub const DEFAULT_REVISION_HISTORY_LIMIT: i64 = 10;

/// Field manager of everything the agent applies.
pub const FIELD_MANAGER: &str = "gitops-agent";
/// Name of the agent's Lease in its namespace.
pub const LEASE_NAME: &str = "gitops-agent";

/// Annotations.
pub mod annotation {
    /// On an Application: asks for a comparison now; `hard` also drops caches, any other value
    /// means `normal`. Removed by the agent when done.
    pub const REFRESH: &str = "argocd.argoproj.io/refresh";
    /// On an Application: identifies one refresh request.
    pub const REFRESH_TIMESTAMP: &str = "argocd.argoproj.io/refresh-timestamp";
    /// On an Application: source hydration is asked for.
    pub const HYDRATE: &str = "argocd.argoproj.io/hydrate";
    /// On an Application: `"true"` leaves it alone.
    pub const SKIP_RECONCILE: &str = "argocd.argoproj.io/skip-reconcile";
    /// On an Application: paths whose changes matter, separated by `;`. The agent records the
    /// inputs it reads and does not need it.
    pub const MANIFEST_GENERATE_PATHS: &str = "argocd.argoproj.io/manifest-generate-paths";
    /// On an ApplicationSet that rolls: [`ROLLOUT_PAUSED`] stops its rollout.
    pub const ROLLOUT: &str = "gitops-agent.io/rollout";
    /// The value of [`ROLLOUT`] that stops it.
    pub const ROLLOUT_PAUSED: &str = "paused";
    /// On an Application: time (RFC 3339) at which a waiting prune or deletion was approved.
    pub const DELETION_APPROVED: &str = "argocd.argoproj.io/deletion-approved";
    /// On an Application: another field manager to migrate from when adopting objects.
    pub const CLIENT_SIDE_APPLY_MIGRATION_MANAGER: &str =
        "argocd.argoproj.io/client-side-apply-migration-manager";
    /// On an ApplicationSet: `"true"` asks for a generation now.
    pub const APPLICATION_SET_REFRESH: &str = "argocd.argoproj.io/application-set-refresh";
    /// On an Application: state of notifications already sent; kept by app-of-apps.
    pub const NOTIFIED: &str = "notified.notifications.argoproj.io";

    /// On an object: `<application>:<group>/<Kind>:<namespace>/<name>`.
    pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
    /// On an object: which installation tracks it.
    pub const INSTALLATION_ID: &str = "argocd.argoproj.io/installation-id";
    /// On an object: wave within its phase, an integer.
    pub const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
    /// On an object: `Key=value` options, separated by commas.
    pub const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
    /// On an object or Application: options of the comparison.
    pub const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";
    /// On an object: the phases it is a hook of.
    pub const HOOK: &str = "argocd.argoproj.io/hook";
    /// On a hook: when it is deleted.
    pub const HOOK_DELETE_POLICY: &str = "argocd.argoproj.io/hook-delete-policy";
    /// On an object: `"true"` leaves it out of the application's health.
    pub const IGNORE_HEALTHCHECK: &str = "argocd.argoproj.io/ignore-healthcheck";
    /// On a Pod: judge it as if it did not restart.
    pub const IGNORE_RESTART_POLICY: &str = "argocd.argoproj.io/ignore-restart-policy";
    /// On an object: ignore its updates when deciding to compare.
    pub const IGNORE_RESOURCE_UPDATES: &str = "argocd.argoproj.io/ignore-resource-updates";
    /// Helm's hook annotation.
    pub const HELM_HOOK: &str = "helm.sh/hook";
    /// Helm's hook weight.
    pub const HELM_HOOK_WEIGHT: &str = "helm.sh/hook-weight";
    /// Helm's hook delete policy.
    pub const HELM_HOOK_DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
    /// Helm's resource policy; `keep` means never deleted with the application.
    pub const HELM_RESOURCE_POLICY: &str = "helm.sh/resource-policy";
    /// What client-side `kubectl apply` last applied.
    pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

    /// On an object: digest of the manifest the agent last applied.
    pub const DESIRED_DIGEST: &str = "gitops-agent.io/desired-digest";
    /// On a hook: the run of an operation that created it.
    pub const OPERATION: &str = "gitops-agent.io/operation";
    /// On an Application: a [`crate::Hold`] as JSON.
    pub const HOLD: &str = "gitops-agent.io/hold";
    /// On an Application: a [`crate::Pause`] as JSON; any other value but `false` pauses, too.
    pub const PAUSED: &str = "gitops-agent.io/paused";
    /// On an Application: how much of it a sync prunes unasked: `20` objects, `80%`, or `none` for
    /// no limit.
    pub const PRUNE_BUDGET: &str = "gitops-agent.io/prune-budget";
    /// On an Application: names of Applications that are delivered before it.
    pub const DEPENDS_ON: &str = "gitops-agent.io/depends-on";
    /// On an Application: what the agent has to know again and the status does not keep, as JSON.
    pub const MEMORY: &str = "gitops-agent.io/memory";
    /// On an AppProject: `deny` forbids kustomizations to refer to other repositories.
    pub const REMOTE_BASES: &str = "gitops-agent.io/remote-bases";
    /// On an object: why it must not be rolled back.
    pub const FORWARD_ONLY: &str = "gitops-agent.io/forward-only";
}

/// Labels.
pub mod label {
    /// On Secrets: what they configure; see [`super::secret_type`].
    pub const SECRET_TYPE: &str = "argocd.argoproj.io/secret-type";
    /// On objects, when label tracking is chosen: the application's name.
    pub const INSTANCE: &str = "app.kubernetes.io/instance";
    /// On objects the agent applies: which agent's watches see them.
    pub const MANAGED_BY: &str = "gitops-agent.io/managed-by";
    /// On generated Applications: the ApplicationSet.
    pub const APPLICATION_SET_NAME: &str = "argocd.argoproj.io/application-set-name";
}

/// Values of the label [`label::SECRET_TYPE`].
pub mod secret_type {
    /// A repository and how to authenticate to it.
    pub const REPOSITORY: &str = "repository";
    /// Credentials for every repository under a URL.
    pub const REPO_CREDS: &str = "repo-creds";
    /// Credentials for the API of a forge.
    pub const SCM_CREDS: &str = "scm-creds";
    /// A cluster to deploy to.
    pub const CLUSTER: &str = "cluster";
}

/// A Secret the agent makes.
pub mod secret {
    /// Name of the Secret with the key of the installation's digests.
    pub const DIGEST_KEY: &str = "gitops-agent-digest-key";
    /// Its field: 32 random bytes.
    pub const DIGEST_KEY_FIELD: &str = "key";
}

/// Finalizers.
pub mod finalizer {
    /// Deleting the Application deletes its objects, foreground.
    pub const RESOURCES: &str = "resources-finalizer.argocd.argoproj.io";
    /// The same, said explicitly.
    pub const FOREGROUND: &str = "resources-finalizer.argocd.argoproj.io/foreground";
    /// Deleting the Application deletes its objects, background.
    pub const BACKGROUND: &str = "resources-finalizer.argocd.argoproj.io/background";
    /// PreDelete hooks still have to run.
    pub const PRE_DELETE: &str = "pre-delete-finalizer.argocd.argoproj.io";
    /// PreDelete hooks still have to be cleaned up.
    pub const PRE_DELETE_CLEANUP: &str = "pre-delete-finalizer.argocd.argoproj.io/cleanup";
    /// PostDelete hooks still have to run.
    pub const POST_DELETE: &str = "post-delete-finalizer.argocd.argoproj.io";
    /// PostDelete hooks still have to be cleaned up.
    pub const POST_DELETE_CLEANUP: &str = "post-delete-finalizer.argocd.argoproj.io/cleanup";
    /// On hooks: their result has not been read yet.
    pub const HOOK: &str = "argocd.argoproj.io/hook-finalizer";
}

/// Types of `status.conditions`. The suffix says how bad it is: `Error` or `Warning`.
pub mod condition {
    /// Deleting the Application does not get on.
    pub const DELETION_ERROR: &str = "DeletionError";
    /// Deleting the Application waits for something.
    pub const DELETION_WARNING: &str = "DeletionWarning";
    /// The spec cannot be carried out.
    pub const INVALID_SPEC_ERROR: &str = "InvalidSpecError";
    /// Desired and live state could not be compared.
    pub const COMPARISON_ERROR: &str = "ComparisonError";
    /// Automated sync does not get on.
    pub const SYNC_ERROR: &str = "SyncError";
    /// Something else failed.
    pub const UNKNOWN_ERROR: &str = "UnknownError";
    /// An object belongs to another application too.
    pub const SHARED_RESOURCE_WARNING: &str = "SharedResourceWarning";
    /// An object is in the manifests more than once.
    pub const REPEATED_RESOURCE_WARNING: &str = "RepeatedResourceWarning";
    /// What rendering says besides its result.
    pub const RENDER_WARNING: &str = "RenderWarning";
    /// What targetRevision names is ambiguous, or has moved though it should not.
    pub const REVISION_WARNING: &str = "RevisionWarning";
    /// An option or annotation that nobody can read; it does not count.
    pub const INVALID_SETTING_WARNING: &str = "InvalidSettingWarning";
    /// Objects are deleted only when somebody agrees.
    pub const CONFIRMATION_WARNING: &str = "ConfirmationWarning";
    /// A known good revision is delivered instead of the tracked one.
    pub const HELD_WARNING: &str = "HeldWarning";
    /// Nothing is changed in the cluster until somebody resumes the application.
    pub const PAUSED_WARNING: &str = "PausedWarning";
    /// A sync window of the project keeps a sync away, or cannot be read.
    pub const SYNC_WINDOW_WARNING: &str = "SyncWindowWarning";
    /// Admission makes other values of what Git states.
    pub const OVERRULED_WARNING: &str = "OverruledWarning";
    /// Git gave up a field that another manager keeps.
    pub const FIELD_KEPT_WARNING: &str = "FieldKeptWarning";
    /// The API server does not take all of a manifest.
    pub const LEFT_OUT_WARNING: &str = "LeftOutWarning";
    /// An object is excluded by configuration.
    pub const EXCLUDED_RESOURCE_WARNING: &str = "ExcludedResourceWarning";
    /// The namespace holds objects of no application.
    pub const ORPHANED_RESOURCE_WARNING: &str = "OrphanedResourceWarning";

    /// Whether a condition type says that something failed.
    pub fn is_error(condition_type: &str) -> bool {
        condition_type.ends_with("Error")
    }
}

/// ConfigMaps the agent reads in its namespace.
pub mod config_map {
    /// Settings.
    pub const SETTINGS: &str = "argocd-cm";
    /// Parameters of the controllers.
    pub const PARAMETERS: &str = "argocd-cmd-params-cm";
    /// Keys of ssh hosts, in the form of a known_hosts file under `ssh_known_hosts`.
    pub const SSH_KNOWN_HOSTS: &str = "argocd-ssh-known-hosts-cm";
    /// Certificates of private authorities: host name to PEM.
    pub const TLS_CERTS: &str = "argocd-tls-certs-cm";
    /// Pauses every Application: a [`crate::Pause`] as JSON under [`PAUSED_KEY`].
    pub const PAUSED: &str = "gitops-agent-paused";
    /// Its entry.
    pub const PAUSED_KEY: &str = "paused";
}
