//! What the agent found and did, in Argo CD's shape plus field-level drift.
//!
//! Times are written in UTC with a precision of one second, as Argo CD does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::codes::{
    HealthStatusCode, HookType, OperationPhase, ResultCode, SyncPhase, SyncStatusCode,
};
use crate::destination::ApplicationDestination;
use crate::operation::{Operation, OperationInitiator};
use crate::source::{ApplicationSource, SourceHydrator};
use crate::sync_policy::{ManagedNamespaceMetadata, ResourceIgnoreDifferences};

/// Schema of what a status copies from a spec: any object. Its fields were checked in the spec,
/// and repeating their schema at each place would make the definition too big for
/// `kubectl apply`.
type Loose = serde_json::Map<String, serde_json::Value>;

api_struct! {
    /// What the agent found and did.
    pub struct ApplicationStatus {
        optional {
            /// The application's objects.
            resources: Vec<ResourceStatus>,
            /// Whether live is what Git says.
            sync: Option<SyncStatus>,
            /// The worst health of the objects.
            health: Option<HealthStatus>,
            /// Completed syncs, oldest first.
            history: Vec<RevisionHistory>,
            /// Errors and warnings.
            conditions: Vec<ApplicationCondition>,
            /// Last comparison.
            reconciled_at: Option<Time>,
            /// The sync under way, or the last one.
            operation_state: Option<OperationState>,
            /// Deprecated by Argo CD.
            observed_at: Option<Time>,
            /// Kind of the source: Helm, Kustomize, Directory or Plugin.
            source_type: String,
            /// What was found, in short.
            summary: Option<ApplicationSummary>,
            /// Where health per object is kept; empty or `inline` means in `resources`.
            resource_health_source: String,
            /// Kinds of the sources.
            source_types: Vec<String>,
            /// Namespace of the controller that wrote this.
            controller_namespace: String,
            /// State of source hydration.
            source_hydrator: Option<Box<SourceHydratorStatus>>,
            /// Which commit is live (gitops-agent).
            live: Option<LiveRevision>,
            /// The tip of what is followed, when that is not what was compared: it does not render, or
            /// another revision is held (gitops-agent).
            tracked: Option<CommitSummary>,
            /// What self-heal took back lately, oldest first (gitops-agent).
            heals: Vec<HealRecord>,
            /// Why it is as it is, what matters most first (gitops-agent). Codes: docs/reasons.md.
            reasons: Vec<StatusReason>,
        }
    }
}

api_struct! {
    /// Why something is as it is. An extension of this project.
    closed pub struct StatusReason {
        required {
            /// Stable, for programs.
            "code" => code: String,
            /// For people; the text of the condition or operation it explains.
            "message" => message: String,
        }
        optional {
            /// Since when it is so, without a change of anything it says.
            since: Option<Time>,
            /// The object it is about, when it is one.
            object: Option<ReasonObject>,
            /// What the message says, as data.
            parameters: Loose,
        }
    }
}

api_struct! {
    /// The object a reason is about. An extension of this project.
    closed pub struct ReasonObject {
        required {
            /// Kind.
            "kind" => kind: String,
            /// Name.
            "name" => name: String,
        }
        optional {
            /// API group; empty is the core group.
            group: String,
            /// Namespace; empty when cluster-scoped.
            namespace: String,
        }
    }
}

api_struct! {
    /// A change of a live object that self-heal took back. An extension of this project.
    pub struct HealRecord {
        required {
            /// Kind.
            "kind" => kind: String,
            /// Name.
            "name" => name: String,
            /// When it was taken back, the last time.
            #[serde(skip_serializing_if = "Option::is_none")]
            "healedAt" => healed_at: Option<Time>,
        }
        optional {
            /// API group; empty is the core group.
            group: String,
            /// Namespace; empty when cluster-scoped.
            namespace: String,
            /// What was changed, by whom and when; none: somebody deleted the object.
            fields: Vec<FieldDrift>,
            /// Revision that was put back.
            revision: String,
            /// How often the same change was taken back after the first time.
            repeated: i64,
        }
    }
}

api_struct! {
    /// Which commit of the first Git source is live. An extension of this project.
    pub struct LiveRevision {
        required {
            /// The commit whose manifests are live.
            "commit" => commit: CommitSummary,
        }
        optional {
            /// The newest commit up to it that changed anything the application reads.
            changed: Option<CommitSummary>,
            /// Commits of the tracked revision that are not live yet.
            behind: i64,
        }
    }
}

api_struct! {
    /// A commit, as far as people want to see it. An extension of this project.
    closed pub struct CommitSummary {
        required {
            /// Full id.
            "revision" => revision: String,
        }
        optional {
            /// Name of the author.
            author: String,
            /// First line of the message.
            subject: String,
            /// When it was made.
            time: Option<Time>,
        }
    }
}

api_struct! {
    /// Whether live is what Git says.
    pub struct SyncStatus {
        required {
            /// Synced, OutOfSync or Unknown.
            "status" => status: SyncStatusCode,
        }
        optional {
            /// Revision that was compared.
            revision: String,
            /// Revisions that were compared, one a source.
            revisions: Vec<String>,
            /// Digest of the manifests that were compared. Not in Argo CD.
            desired_digest: String,
            /// What the spec said at that time.
            compared_to: Option<ComparedTo>,
        }
    }
}

impl SyncStatus {
    /// The revisions that were compared, one a source, whichever field has them.
    pub fn compared_revisions(&self) -> &[String] {
        if self.revisions.is_empty() {
            std::slice::from_ref(&self.revision)
        } else {
            &self.revisions
        }
    }
}

api_struct! {
    /// The parts of a spec that a comparison depends on.
    pub struct ComparedTo {
        required {
            /// Where to.
            "destination" => destination: ApplicationDestination,
        }
        optional {
            /// From where.
            #[schemars(with = "Option<Loose>")]
            source: Option<ApplicationSource>,
            /// From where, several.
            #[schemars(with = "Vec<Loose>")]
            sources: Vec<ApplicationSource>,
            /// What was ignored.
            ignore_differences: Vec<ResourceIgnoreDifferences>,
        }
    }
}

api_struct! {
    /// Health, and what says so.
    closed pub struct HealthStatus {
        always {
            /// Healthy, Suspended, Progressing, Missing, Degraded or Unknown.
            "status" => status: HealthStatusCode,
        }
        optional {
            /// Why.
            message: String,
            /// Since when.
            last_transition_time: Option<Time>,
        }
    }
}

api_struct! {
    /// One object of the application.
    closed pub struct ResourceStatus {
        always {
            /// Kind.
            "kind" => kind: String,
            /// Name.
            "name" => name: String,
        }
        optional {
            /// API group; empty is the core group.
            group: String,
            /// API version without the group.
            version: String,
            /// Namespace; empty when cluster-scoped.
            namespace: String,
            /// Synced, OutOfSync or Unknown; hooks have none.
            status: Option<SyncStatusCode>,
            /// Health; kinds without a rule have none.
            health: Option<HealthStatus>,
            /// The object is a hook.
            hook: bool,
            /// The object is not in Git and a sync with prune deletes it.
            requires_pruning: bool,
            /// Wave within its phase.
            sync_wave: i64,
            /// Deleting the object has to be confirmed.
            requires_deletion_confirmation: bool,
            /// Fields that differ from Git, and who changed them (gitops-agent).
            drift: Vec<FieldDrift>,
            /// Fields that differ from Git and do not count, by `ignoreDifferences` (gitops-agent).
            ignored_fields: Vec<String>,
            /// Digest of the manifest for which an object that ends by itself did its work; it may
            /// then be gone (gitops-agent).
            completed: String,
        }
    }
}

api_struct! {
    /// One field that is not as Git says. An extension of this project.
    closed pub struct FieldDrift {
        required {
            /// The field: `.spec.replicas`, `.spec.containers[name="web"].image`.
            "path" => path: String,
        }
        optional {
            /// Value in Git as JSON text, secrets masked; absent: Git does not set the field.
            desired: Option<String>,
            /// Live value as JSON text, secrets masked; absent: the field is gone.
            live: Option<String>,
            /// Field manager that changed it, when known.
            manager: String,
            /// When it was changed, or noticed.
            since: Option<Time>,
        }
    }
}

api_struct! {
    /// One completed sync.
    pub struct RevisionHistory {
        required {
            /// When it ended.
            #[serde(skip_serializing_if = "Option::is_none")]
            "deployedAt" => deployed_at: Option<Time>,
            /// Number; grows by one.
            "id" => id: i64,
        }
        optional {
            /// Revision.
            revision: String,
            /// When it began.
            deploy_started_at: Option<Time>,
            /// Source it came from.
            #[schemars(with = "Option<Loose>")]
            source: Option<ApplicationSource>,
            /// Sources it came from.
            #[schemars(with = "Vec<Loose>")]
            sources: Vec<ApplicationSource>,
            /// Revisions, one a source.
            revisions: Vec<String>,
            /// Who asked for it.
            initiated_by: Option<OperationInitiator>,
            /// The commit of the first Git source (gitops-agent).
            commit: Option<CommitSummary>,
            /// Digest of what was rendered (gitops-agent).
            desired_digest: String,
            /// When it was first found synced and healthy (gitops-agent).
            healthy_at: Option<Time>,
            /// Since when it has been synced and healthy without a break (gitops-agent).
            healthy_since: Option<Time>,
            /// When it last lost its health without a commit (gitops-agent).
            lost_at: Option<Time>,
            /// What was not healthy any more (gitops-agent).
            lost_because: String,
            /// When it was last found degraded (gitops-agent).
            degraded_at: Option<Time>,
            /// What was degraded (gitops-agent).
            degraded_because: String,
        }
    }
}

api_struct! {
    /// An error or a warning.
    closed pub struct ApplicationCondition {
        required {
            /// Type; the suffix `Error` or `Warning` says how bad it is.
            "type" => condition_type: String,
            /// For people.
            "message" => message: String,
        }
        optional {
            /// Since when.
            last_transition_time: Option<Time>,
        }
    }
}

impl ApplicationCondition {
    /// Whether something failed, by the type's suffix.
    pub fn is_error(&self) -> bool {
        crate::constants::condition::is_error(&self.condition_type)
    }
}

api_struct! {
    /// A sync under way, or ended.
    pub struct OperationState {
        required {
            /// What was asked for.
            #[schemars(with = "Loose")]
            "operation" => operation: Operation,
            /// Where it stands.
            "phase" => phase: OperationPhase,
            /// When it began.
            #[serde(skip_serializing_if = "Option::is_none")]
            "startedAt" => started_at: Option<Time>,
        }
        optional {
            /// For people.
            message: String,
            /// What was done.
            sync_result: Option<SyncOperationResult>,
            /// When it, or its last attempt, ended.
            finished_at: Option<Time>,
            /// Attempts after the first.
            retry_count: i64,
            /// Why it is as it is, when it has not ended well (gitops-agent).
            reason: Option<StatusReason>,
        }
    }
}

api_struct! {
    /// What a sync did.
    pub struct SyncOperationResult {
        required {
            /// Revision.
            "revision" => revision: String,
        }
        optional {
            /// Object by object.
            resources: Vec<ResourceResult>,
            /// Source.
            #[schemars(with = "Option<Loose>")]
            source: Option<ApplicationSource>,
            /// Sources.
            #[schemars(with = "Vec<Loose>")]
            sources: Vec<ApplicationSource>,
            /// Revisions, one a source.
            revisions: Vec<String>,
            /// Metadata put on the namespace.
            managed_namespace_metadata: Option<ManagedNamespaceMetadata>,
        }
    }
}

api_struct! {
    /// What a sync did with one object.
    closed pub struct ResourceResult {
        required {
            /// API group; empty is the core group.
            "group" => group: String,
            /// API version without the group.
            "version" => version: String,
            /// Kind.
            "kind" => kind: String,
            /// Namespace; empty when cluster-scoped.
            "namespace" => namespace: String,
            /// Name.
            "name" => name: String,
        }
        optional {
            /// Synced, SyncFailed, Pruned or PruneSkipped; hooks may have none.
            status: Option<ResultCode>,
            /// For people.
            message: String,
            /// Hook type, when it is one.
            hook_type: Option<HookType>,
            /// Where a hook stands, or an object is waited for.
            hook_phase: Option<OperationPhase>,
            /// Phase of the sync.
            sync_phase: Option<SyncPhase>,
            /// Images of the object.
            images: Vec<String>,
            /// Code of the reason behind the message (gitops-agent).
            reason: String,
        }
    }
}

impl ResourceResult {
    /// Whether it is of a hook that failed. Argo CD gives plain objects a phase, too.
    pub fn is_failed_hook(&self) -> bool {
        let failed = matches!(
            self.hook_phase,
            Some(OperationPhase::Failed | OperationPhase::Error)
        );
        self.hook_type.is_some() && failed
    }
}

api_struct! {
    /// What was found, in short.
    pub struct ApplicationSummary {
        optional {
            /// Addresses people can open.
            #[serde(rename = "externalURLs")]
            external_urls: Vec<String>,
            /// Images in use.
            images: Vec<String>,
            /// Some of the objects are Applications.
            is_app_of_apps: bool,
        }
    }
}

api_struct! {
    /// State of source hydration.
    pub struct SourceHydratorStatus {
        optional {
            /// Last that ended well.
            last_successful_operation: Option<SuccessfulHydrateOperation>,
            /// Under way, or last.
            current_operation: Option<HydrateOperation>,
        }
    }
}

api_struct! {
    /// A hydration that ended well.
    pub struct SuccessfulHydrateOperation {
        optional {
            /// Commit that was rendered.
            #[serde(rename = "drySHA")]
            dry_sha: String,
            /// Commit that holds the result.
            #[serde(rename = "hydratedSHA")]
            hydrated_sha: String,
            /// What the spec said.
            #[schemars(with = "Option<Loose>")]
            source_hydrator: Option<Box<SourceHydrator>>,
        }
    }
}

api_struct! {
    /// A hydration.
    pub struct HydrateOperation {
        required {
            /// Where it stands: Hydrating, Failed or Hydrated.
            "phase" => phase: String,
            /// For people.
            "message" => message: String,
        }
        optional {
            /// When it began.
            started_at: Option<Time>,
            /// When it ended.
            finished_at: Option<Time>,
            /// Commit that is rendered.
            #[serde(rename = "drySHA")]
            dry_sha: String,
            /// Commit that holds the result.
            #[serde(rename = "hydratedSHA")]
            hydrated_sha: String,
            /// What the spec said.
            #[schemars(with = "Option<Loose>")]
            source_hydrator: Option<Box<SourceHydrator>>,
        }
    }
}
