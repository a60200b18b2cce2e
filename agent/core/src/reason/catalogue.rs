//! Every reason: its code, its parameters, what it means and what to do about it.
//!
//! A code is part of the API: it is never renamed, and never means something else later. To add
//! one: here, its sentence in `text`, an example in `tests`, its section in docs/reasons.md.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::parts::{Fight, Names, ObjectState, PruneQuestion, RequestedBy, SyncStep, WaitedFor};
use crate::manifest::object::ObjectKey;
use crate::manifest::phase::Phase;
use crate::sync::approval::Approval;

/// Defines the reasons. Each has its meaning as documentation, then the advice, then the name,
/// which is the code, and the parameters:
///
/// ```text
/// /// The project of the application does not exist.
/// "Create the AppProject, or correct spec.project."
/// ProjectMissing { project: String, namespace: String }
/// ```
macro_rules! reasons {
    ($(
        $(#[doc = $meaning:literal])+
        $advice:literal
        $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? }
    )*) => {
        /// Why something is as it is. `Display` says it to people.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(tag = "code", content = "parameters", rename_all_fields = "camelCase")]
        pub enum Reason {
            $(
                $(#[doc = $meaning])+
                $name { $($(#[$attribute])* $field: $type),* },
            )*
            /// What a newer or older agent, or Argo CD, says in words only, or with a code that
            /// this version does not know.
            #[serde(skip)]
            Unknown {
                /// The code; empty when there is none.
                code: String,
                /// The words, as they are.
                message: String,
            },
        }

        /// The stable name of a kind of [`Reason`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(
                $(#[doc = $meaning])+
                $name,
            )*
        }

        impl Reason {
            /// The code; `None` for what this version does not know.
            pub const fn code(&self) -> Option<Code> {
                match self {
                    $(Self::$name { .. } => Some(Code::$name),)*
                    Self::Unknown { .. } => None,
                }
            }
        }

        impl Code {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it is written in a status.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning),+).trim(),)*
                }
            }

            /// What to do about it.
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)*
                }
            }
        }
    };
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut codes = Self::ALL.iter();
        codes.find(|code| code.as_str() == text).copied().ok_or(())
    }
}

reasons! {
    // The spec, the project and the sources.

    /// The spec of the Application cannot be carried out.
    "Correct the field that the message names."
    SpecInvalid { detail: String }

    /// The project of the application does not exist.
    "Create the AppProject, or correct spec.project."
    ProjectMissing { project: String, namespace: String }

    /// The project does not allow a source, the destination, or an object.
    "Change what is not allowed, or let the AppProject allow it with the field that the message names."
    ProjectDenies { detail: String }

    /// The project has rules that the agent could not follow, so nothing is done in its name.
    "Correct the rule that the message names, or remove it to sync without it."
    ProjectUnusable { detail: String }

    /// The destination is not a cluster that the agent delivers to.
    "Correct spec.destination: the agent delivers to the cluster it runs in."
    DestinationUnknown { destination: String }

    /// The server of a repository cannot be reached, or does not answer in time.
    "Check the URL, DNS, network policies and the proxy; the agent tries again by itself."
    RepositoryUnreachable {
        detail: String,
        /// The last known commit, when live is still compared with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_known: Option<String>,
    }

    /// There is no such repository, or none that the credentials may see.
    "Check the URL, and what the credentials of its repository Secret may read."
    RepositoryNotFound {
        detail: String,
        /// As in `RepositoryUnreachable`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_known: Option<String>,
    }

    /// A repository does not accept the agent's credentials, or wants some.
    "Check the credentials in its repository Secret and what they may read."
    RepositoryAccessDenied {
        detail: String,
        /// As in `RepositoryUnreachable`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_known: Option<String>,
    }

    /// The TLS certificate of a repository's server is not trusted.
    "Add its authority to the ConfigMap argocd-tls-certs-cm, under the name of the host."
    CertificateUntrusted {
        detail: String,
        /// As in `RepositoryUnreachable`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_known: Option<String>,
    }

    /// The ssh host key of a repository's server is not trusted.
    "Compare the key with what the host publishes, and add it to the ConfigMap argocd-ssh-known-hosts-cm."
    HostKeyUntrusted {
        detail: String,
        /// As in `RepositoryUnreachable`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_known: Option<String>,
    }

    /// There is no such branch, tag or commit, or several.
    "Correct spec.source.targetRevision; the message names what is near."
    RevisionUnknown {
        detail: String,
        /// As in `RepositoryUnreachable`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_known: Option<String>,
    }

    /// A repository cannot be used or read for another reason: its URL, its answer, the cache.
    "Follow the message: it names the repository and what is wrong."
    RepositoryFailed {
        detail: String,
        /// As in `RepositoryUnreachable`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_known: Option<String>,
    }

    /// A server is still being asked for a repository or chart that was never had. Nothing has failed.
    "Wait; if it stays, look at the server's answers, or set depth in the repository Secret of a large one."
    RepositoryFetching { detail: String }

    /// The repository or registry has no such chart or version.
    "Correct chart or targetRevision; the message names the versions that are there."
    ChartNotFound { detail: String }

    /// A chart, an index or a dependency of a chart cannot be used.
    "Follow the message: it names the chart and what is wrong with it."
    ChartInvalid { detail: String }

    /// The path of a source does not exist at the revision, or is a file.
    "Correct spec.source.path, or commit the directory."
    PathMissing { detail: String }

    /// Rendering the manifests failed.
    "Correct the file that the message names; kubectl gitops diff --local tries it before you commit."
    RenderFailed {
        detail: String,
        /// The file, when it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    }

    /// Rendering took more time, memory or space than it may.
    "Look for endless loops, split the application, or raise the agent's limit."
    RenderLimit { detail: String }

    /// The render worker cannot be started, or ended by itself.
    "Look at the agent's log; the agent tries again by itself."
    RendererFailed { detail: String }

    /// What was rendered is not a valid Kubernetes manifest.
    "Correct the manifests that the message names."
    ManifestInvalid { detail: String }

    /// The cluster does not serve a kind that the application uses.
    "Install its CustomResourceDefinition, or correct apiVersion and kind."
    KindUnknown { objects: Names }

    /// Git and live cannot be compared for another reason: often the API server does not answer.
    "Follow the message; the agent tries again by itself."
    ComparisonFailed { detail: String }

    // What should be known about the manifests and the settings.

    /// Git holds no manifests for the application, and deleting all its objects is not allowed.
    "Check spec.source.path; to delete everything, set syncPolicy.automated.allowEmpty or delete the application."
    EmptyRender {}

    /// An object is part of another application, too, and stays with it.
    "Remove the object from one of the two applications."
    SharedResource { object: ObjectKey, owner: String, application: String }

    /// An object is in the manifests more than once.
    "Remove one of them."
    RepeatedResource { detail: String }

    /// What rendering says besides its result: a file that is no manifest, a key that is there twice,
    /// a chart that gives another result at every render or looks for objects of the cluster.
    "Do what the message says; what is delivered is as it was rendered."
    RenderWarning { detail: String }

    /// A tag and a branch have the name that targetRevision says; the tag is followed, as in Git.
    "Write the full name, refs/tags/NAME or refs/heads/NAME, in targetRevision."
    RevisionAmbiguous { target: String, taken: String, other: String }

    /// A tag that was deployed by its name is at another commit now; it is followed.
    "If the tag should not have moved, put it back, or write the commit in targetRevision."
    TagMoved { tag: String, before: String, after: String }

    /// An object or a file was left out by configuration.
    "If it should be delivered, change the exclusion that the message names."
    ExcludedResource { detail: String }

    /// A setting cannot be read and is ignored.
    "Correct the setting that the message names."
    InvalidSetting { detail: String }

    /// Admission changes values that Git states.
    "State in Git what admission makes of it, change the webhook or policy, or ignore the field."
    AdmissionMutated { object: ObjectKey, detail: String }

    /// Git gave up a field, and another manager keeps it.
    "If nobody is to set it, change what the message names, or delete the field by hand; to decide it in Git again, write it back."
    FieldKept { object: ObjectKey, field: String, manager: String }

    /// A manifest has a field that the API server does not know, or an entry of a list more than once.
    "Correct the manifest in Git. To have it refused instead, set the sync option Validate=strict."
    FieldLeftOut { object: ObjectKey, field: String, repeated: bool, origin: String }

    /// A known good revision is delivered instead of the tracked one.
    "Commit the repair: the hold ends by itself. To end it now, remove the annotation gitops-agent.io/hold."
    HoldInForce {
        revision: String,
        instead_of: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
        /// Why, in the words of who set it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    }

    /// The annotation of a hold cannot be read; the tracked revision is delivered.
    "Correct or remove the annotation gitops-agent.io/hold."
    HoldInvalid { detail: String }

    /// The application is paused: it is compared, and nothing of it is changed in the cluster.
    "kubectl gitops resume APP (or --all, when everything is paused) shows first what will be reverted."
    Paused {
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
        /// Why, in the words of who paused it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
        /// It ends then by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// Every Application is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        everything: bool,
    }

    // Why live is not as Git says, and what is done about it.

    /// Objects are in Git and not in the cluster.
    "Nothing, when a sync is to come; else kubectl gitops sync APP."
    ObjectsMissing { objects: Names }

    /// Git says something else than was applied last.
    "kubectl gitops diff APP shows what; kubectl gitops sync APP delivers it, when no sync is to come."
    ObjectsChanged { objects: Names }

    /// Objects were changed in the cluster.
    "kubectl gitops diff APP shows the fields and who changed them; kubectl gitops sync APP puts them back."
    ObjectsDrifted { objects: Names }

    /// Objects are in the cluster and no longer in Git.
    "kubectl gitops sync APP --prune deletes them; it shows the list first."
    ObjectsNotInGit { objects: Names }

    /// Another application gave objects up, and this one is to take them over.
    "Nothing: they are taken over without being deleted at the next sync."
    ObjectsHandedOver { objects: Names }

    /// Automated sync is off.
    "kubectl gitops sync APP delivers what Git says; spec.syncPolicy.automated does so from then on."
    AutoSyncOff {}

    /// Automated sync is off because an ApplicationSet rolls and syncs it when its step has its turn.
    "kubectl gitops appset get SET shows which step has its turn, and why it goes no further; a sync by hand does not wait for it."
    SetDecidesSync { set: String }

    /// Only objects to delete are left, and pruning is off.
    "kubectl gitops sync APP --prune; or set spec.syncPolicy.automated.prune."
    PruneOff {}

    /// This revision was delivered, the cluster was changed since, and self-heal is off.
    "kubectl gitops sync APP; or set spec.syncPolicy.automated.selfHeal."
    SelfHealOff {}

    /// All attempts to deliver this revision failed.
    "Repair what the last sync names; it is tried again when Git or the Application changes, or by kubectl gitops sync APP."
    RetriesExhausted { retries: u32 }

    /// A sync failed and is tried again.
    "Repair what the last sync names; it is tried again by itself."
    RetryScheduled {
        /// Attempts after the first, with the one to come.
        attempt: u32,
        at: Timestamp,
    }

    /// Somebody changes what self-heal takes back again and again; it heals ever less often.
    "Stop whoever changes it, or leave the field out of Git or name it under spec.ignoreDifferences."
    SelfHealBackoff {
        /// So many changes within a minute are taken back at once.
        times: usize,
        objects: Vec<Fight>,
    }

    /// Objects may change hands: nothing is done before the other applications observed the revision.
    "Nothing: it goes on when they have; if one of them never does, look at its own conditions."
    HandoverWaiting { applications: Names }

    /// The Application waits for others that it depends on (gitops-agent.io/depends-on).
    "Look at what keeps those from being Synced and Healthy; to go on without them, sync it by hand or correct the annotation."
    DependencyWaiting { applications: Vec<WaitedFor> }

    /// Applications depend on each other in a circle, so that none of them would ever be synced.
    "Take one of them out of the annotation gitops-agent.io/depends-on of another."
    DependencyCircle {
        /// In order; the last one is the first.
        applications: Vec<String>,
    }

    /// A sync window of the project blocks the sync.
    "Wait for the time that the message names, or change spec.syncWindows of the AppProject."
    SyncWindow {
        by: RequestedBy,
        project: String,
        /// The windows, as the project has them.
        windows: Vec<String>,
        /// An open deny window; otherwise an allow window that is closed.
        denied: bool,
        /// The next opening, as far as it can be seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opens: Option<Timestamp>,
    }

    /// A sync window of the project cannot be read, and so blocks every sync.
    "Correct the window in spec.syncWindows of the AppProject."
    SyncWindowInvalid { detail: String }

    /// A sync window of the project is read otherwise than it may be meant.
    "Correct the window in spec.syncWindows of the AppProject."
    SyncWindowProblem { detail: String }

    /// Objects are no longer in Git and are deleted only after approval.
    "kubectl gitops diff APP shows what would be deleted; kubectl gitops approve APP approves it; or bring the manifests back in Git."
    PruneApproval {
        revision: String,
        question: PruneQuestion,
        /// When it was asked: only a later approval counts.
        asked: Timestamp,
        /// What was answered so far.
        #[serde(default, skip_serializing_if = "Approval::is_missing")]
        approval: Approval,
        namespace: String,
        application: String,
    }

    // The sync under way, or the last one.

    /// A sync is under way.
    "Nothing; kubectl gitops status APP -w follows it."
    Syncing {}

    /// A sync waits for a hook.
    "Look at the hook's log; kubectl gitops terminate APP ends the sync."
    HookWaiting { step: SyncStep, objects: Vec<ObjectState>, #[serde(default)] more: usize }

    /// A sync waits until objects are healthy, or gone.
    "Look at the objects: kubectl gitops explain says why they are not; kubectl gitops terminate APP ends the sync."
    WaveWaiting { step: SyncStep, objects: Vec<ObjectState>, #[serde(default)] more: usize }

    /// A user ended the sync.
    "kubectl gitops sync APP begins another one."
    Terminated {}

    /// The sync took longer than it may and was ended.
    "Look at what it waited for; the limit is controller.sync.timeout.seconds in argocd-cmd-params-cm."
    SyncTimeout {
        seconds: u64,
        /// What it waited for.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        waiting: String,
    }

    /// A newer commit came while the sync was waiting; the newer one is delivered instead.
    "Nothing."
    Superseded { waiting: String }

    /// Objects or hooks of the sync failed.
    "Repair the objects that the message names; each result says why."
    ObjectsFailed { objects: Vec<ObjectState>, #[serde(default)] more: usize }

    /// The sync was of one commit and failed; said on the application until a later one succeeds.
    "Repair what the message names; kubectl gitops explain APP says how."
    SyncFailed { revision: String, detail: String }

    /// A sync that a user asked for failed and is tried again.
    "Repair what failed, or wait for the next attempt; kubectl gitops terminate APP ends it."
    SyncRetrying { failure: String, attempt: i64, at: Timestamp }

    /// The namespace of the application could not be created.
    "Create the namespace, or let the agent's service account create it."
    NamespaceNotCreated { namespace: String, detail: String }

    /// A sync was asked for with manifests of its own, which is not supported.
    "Commit the manifests."
    ManifestsUnsupported {}

    /// Nothing was applied, because an object is shared and the option FailOnSharedResource is set.
    "Remove the object from one of the applications, or remove the option."
    SharedResourceRefused { objects: Names }

    /// The API server would refuse objects of a dry run.
    "Correct the objects that the message names."
    DryRunRefused { summary: String, objects: Names }

    // One object of a sync: `reason` of an entry in `operationState.syncResult.resources`.

    /// The API server refuses a change of a field that cannot change once it is set.
    "Take the change back, or let the agent recreate the object with the annotation argocd.argoproj.io/sync-options: Force=true."
    ImmutableField { detail: String }

    /// The object exceeds a quota of its namespace.
    "kubectl describe resourcequotas shows what is used and allowed."
    QuotaExceeded { detail: String }

    /// A webhook or policy of the cluster refuses the object.
    "Change the object in Git as the policy says."
    AdmissionDenied { detail: String }

    /// The namespace of the object does not exist.
    "Add the sync option CreateNamespace=true, or a Namespace manifest."
    NamespaceMissing { detail: String }

    /// The namespace of the object is being deleted.
    "Nothing: the sync is tried again; look at what the namespace's finalizers wait for if it stays."
    NamespaceTerminating { detail: String }

    /// The cluster does not serve the kind of the object.
    "Install its CustomResourceDefinition first, or correct apiVersion and kind."
    ObjectKindUnknown { detail: String }

    /// An object of this name exists that is not this application's: it is neither deleted nor
    /// replaced.
    "Delete the object that is there, or give one of the two another name."
    ObjectNotOwn { detail: String }

    /// The agent may not change the object.
    "Grant it to the agent's service account; its rights are in its ClusterRole."
    AgentForbidden { detail: String }

    /// The API server could not be reached, or did not answer properly.
    "Nothing: the sync is tried again by itself."
    ApiServerUnreachable { detail: String }

    /// The API server refuses the object for another reason.
    "Correct the object in Git as the message says; kubectl gitops diff APP shows what would be applied."
    ObjectRefused { detail: String }

    /// The object was applied and did not become healthy, or is gone, and later objects wait for it.
    "Repair the object; kubectl gitops explain KIND/NAME says why it is not healthy."
    ObjectDegraded { detail: String }

    /// A hook failed, or somebody deleted it.
    "Look at its log and correct the hook in Git."
    HookFailed { detail: String }

    /// A hook is running.
    "Nothing; look at its log."
    HookRunning { detail: String }

    /// A CustomResourceDefinition was applied and was not Established in time.
    "Look at the conditions of the CustomResourceDefinition."
    DefinitionNotEstablished { seconds: u64 }

    /// The object is no longer in Git, and the sync was not to prune.
    "kubectl gitops sync APP --prune deletes it."
    PruneNotRequested {}

    /// The object is no longer in Git, and its options or annotations keep it.
    "Remove the option Prune=false or the annotation to have it deleted, or delete it by hand."
    PruneForbidden {}

    /// The object is no longer in Git, and is deleted only after approval.
    "kubectl gitops approve APP; or bring the manifest back in Git."
    PruneAwaitsApproval {}

    /// The object is not deleted, because Git holds no manifests at all.
    "Check spec.source.path; to delete everything, set syncPolicy.automated.allowEmpty or delete the application."
    PruneWouldDeleteAll {}

    /// The object is the Deployment of an agent that somebody scaled to zero.
    "kubectl scale deployment/gitops-agent --replicas=1 starts it again; no agent does so by itself."
    AgentStopped {}

    /// The object belongs to another application.
    "Remove it from one of the two applications."
    OwnedByOther { owner: String }

    /// The object is being deleted already.
    "Nothing; if it stays, look at what its finalizers wait for."
    AlreadyDeleting {}

    /// The API server has still to confirm that the object differs.
    "Nothing: the agent asks again."
    Unconfirmed {}

    // The deletion of an Application.

    /// The objects of an Application that is deleted cannot be reached, or must not be touched.
    "Repair what the message names, or remove the finalizers to leave the objects as they are."
    DeletionBlocked { detail: String, finalizers: Names, namespace: String, application: String }

    /// Objects that go with the Application are deleted only after approval.
    "kubectl gitops approve APP."
    DeletionApproval {
        objects: Names,
        /// What lives in Namespaces among them and is not of the application.
        #[serde(default, skip_serializing_if = "Names::is_empty")]
        guests: Names,
        /// What was answered so far.
        #[serde(default, skip_serializing_if = "Approval::is_missing")]
        approval: Approval,
        namespace: String,
        application: String,
    }

    /// The hooks of a deletion have to run and cannot be rendered.
    "Repair the source, or remove the finalizer that the message names to go on without them."
    DeletionHooksUnknown { phase: Phase, detail: String, finalizer: String }

    /// A hook of a deletion failed.
    "Correct the hook in Git, or delete its object to run it again, or remove the finalizer that the message names."
    DeletionHookFailed {
        phase: Phase,
        hooks: Names,
        finalizer: String,
        /// The last lines of their logs, one text per hook.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        logs: Vec<String>,
    }

    /// A hook of a deletion is running.
    "Nothing; look at its log."
    DeletionHookWaiting { phase: Phase, hooks: Names }

    /// A deletion waits until objects are gone.
    "Look at what the finalizers of the objects wait for."
    DeletionWaiting { wave: i64, objects: Names }

    /// A step of a deletion failed.
    "Follow the message; the agent tries again by itself."
    DeletionFailed { detail: String }
}
