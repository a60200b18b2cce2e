//! Preview: a question to the agent, "what would the cluster look like if …?", and its answer.
//!
//! Nothing is changed by asking. The agent renders with its own credentials, so that whoever asks
//! needs no access to a repository; who may ask is decided by RBAC on this kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::status::FieldDrift;

/// API group of Preview.
pub const GROUP: &str = "gitops-agent.io";
/// API version of Preview.
pub const VERSION: &str = "v1alpha1";
/// Seconds an answered Preview is kept before the agent deletes it.
pub const KEPT_SECONDS: i64 = 600;
/// Most bytes of objects an answer holds; what does not fit is counted in `truncated`.
pub const LARGEST_ANSWER: usize = 900 << 10;

api_resource! {
    in "gitops-agent.io", "v1alpha1";
    /// A question about an Application of the same namespace, answered once.
    pub struct Preview, "Preview", "previews" {
        /// The question.
        "spec" => spec: PreviewSpec,
        /// The answer.
        "status" => status: Option<PreviewStatus>,
    }
}

codes! {
    /// How far the answer is.
    pub enum PreviewPhase {
        /// The agent is at it.
        Running,
        /// Answered.
        Succeeded,
        /// Cannot be answered; the message says why.
        Failed,
    }
}

codes! {
    /// What a sync would do with an object.
    pub enum PreviewAction {
        /// It does not exist.
        Create,
        /// It differs.
        Change,
        /// It is not in Git any more, and a sync with prune deletes it.
        Prune,
        /// The API server refuses the manifest; the message says why.
        Refuse,
        /// Not shown: whoever asks may not read the object.
        Withheld,
    }
}

codes! {
    /// What Git cannot undo, or not reliably.
    pub enum CautionCode {
        /// A volume claim, or an object that owns volumes, is deleted or created again.
        Data,
        /// A CustomResourceDefinition loses a version or is deleted.
        DefinitionVersion,
        /// Hooks or Jobs ran in between; what they did stays done.
        Hook,
        /// An image or a file is named by something that can change: a tag, a branch.
        MutableReference,
        /// A chart's version is a range, so the same commit may render another chart.
        ChartRange,
        /// A commit in between says that it must not be taken back.
        ForwardOnly,
        /// A field that cannot be changed in place is different.
        Immutable,
        /// A Namespace, and with it everything in it, is deleted.
        Namespace,
        /// Image automation writes to a restored file and may undo the rollback.
        Automation,
    }
}

api_struct! {
    /// What is asked.
    pub struct PreviewSpec {
        required {
            /// Name of the Application.
            "application" => application: String,
        }
        optional {
            /// Branch, tag or commit to use instead of the Application's target revision.
            revision: String,
            /// The same, one a source.
            revisions: Vec<String>,
            /// Ask what it would be with the files the Application reads restored to an earlier
            /// revision.
            restore: Option<PreviewRestoreSpec>,
            /// Ask what it would be with these files changed.
            files: Vec<PreviewFile>,
            /// Repository the files belong to; empty means that of the first Git source.
            #[serde(rename = "filesRepoURL")]
            files_repo_url: String,
            /// Answer with whole objects (masked) besides fields.
            objects: bool,
            /// Who asks, which an admission policy holds to the truth. Of an object that they may
            /// not read only the name is shown.
            requester: Option<PreviewRequester>,
        }
    }
}

api_struct! {
    /// Who asks with a Preview, as the API server knows them (SelfSubjectReview).
    closed pub struct PreviewRequester {
        required {
            /// Name.
            "username" => username: String,
        }
        optional {
            /// Groups.
            groups: Vec<String>,
        }
    }
}

api_struct! {
    /// An earlier revision whose files are wanted back.
    pub struct PreviewRestoreSpec {
        optional {
            /// Revision to restore to.
            revision: String,
            /// The same, one a source.
            revisions: Vec<String>,
            /// Restore files that other Applications read too.
            include_shared: bool,
        }
    }
}

api_struct! {
    /// A changed file.
    closed pub struct PreviewFile {
        required {
            /// Path from the top of the repository.
            "path" => path: String,
        }
        optional {
            /// Content, in base64; absent: the file is deleted.
            content: Option<String>,
            /// Content is a symbolic link's target.
            symlink: bool,
        }
    }
}

api_struct! {
    /// The answer.
    pub struct PreviewStatus {
        optional {
            /// How far it is; Unknown: nobody took notice yet.
            phase: PreviewPhase,
            /// Why it failed.
            message: String,
            /// Revisions that were rendered, one a source.
            revisions: Vec<String>,
            /// Whether the first revision asked for is live: what was compared last is that commit or
            /// a descendant. Absent when no revision was asked for.
            contained: Option<bool>,
            /// Digest of what was rendered; equal digests mean equal manifests. Absent when files were
            /// changed and there are Secrets that whoever asks may not read: it would tell a right
            /// guess from a wrong one.
            digest: String,
            /// How many objects would be created, changed, …
            counts: Option<PreviewCounts>,
            /// What differs; equal objects are only counted.
            objects: Vec<PreviewObject>,
            /// Objects left out because the answer would be too large.
            truncated: i64,
            /// Files that were read, one entry a source.
            inputs: Vec<PreviewInputs>,
            /// What restoring means, one entry a repository.
            restores: Vec<PreviewRestore>,
            /// What Git cannot undo.
            cautions: Vec<PreviewCaution>,
            /// Notes for people.
            warnings: Vec<String>,
            /// When it was answered.
            completed_at: Option<Time>,
        }
    }
}

api_struct! {
    /// Numbers of objects.
    closed pub struct PreviewCounts {
        always {
            /// Would be created.
            "create" => create: i64,
            /// Would be changed.
            "change" => change: i64,
            /// Would be deleted by a sync with prune.
            "prune" => prune: i64,
            /// Are as they should be.
            "equal" => equal: i64,
            /// Are refused by the API server.
            "refuse" => refuse: i64,
            /// Differences that are ignored by `ignoreDifferences`.
            "ignored" => ignored: i64,
        }
    }
}

api_struct! {
    /// One object that differs.
    pub struct PreviewObject {
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
            /// What a sync would do.
            "action" => action: PreviewAction,
        }
        optional {
            /// File and line the manifest comes from: `apps/web/deploy.yaml:9`.
            origin: String,
            /// Why, for people: the API server's refusal, the reason a prune is skipped.
            message: String,
            /// Fields that differ, secrets masked.
            fields: Vec<FieldDrift>,
            /// The live object, masked and without bookkeeping, when objects were asked for.
            live: Option<serde_json::Map<String, serde_json::Value>>,
            /// The object after a sync, masked and without bookkeeping, when objects were asked for.
            merged: Option<serde_json::Map<String, serde_json::Value>>,
        }
    }
}

api_struct! {
    /// Files one source was rendered from.
    pub struct PreviewInputs {
        required {
            /// Repository.
            "repoURL" => repo_url: String,
            /// Commit or chart version.
            "revision" => revision: String,
        }
        optional {
            /// Files that were read, and files whose absence mattered.
            paths: Vec<String>,
        }
    }
}

api_struct! {
    /// What restoring an earlier revision means for one repository.
    pub struct PreviewRestore {
        required {
            /// Repository.
            "repoURL" => repo_url: String,
            /// Branch that the Application follows; empty when it follows something else.
            "branch" => branch: String,
            /// Commit the files are restored upon.
            "from" => from: String,
            /// Commit they are restored from.
            "to" => to: String,
        }
        optional {
            /// Files that differ between the two and are read by the Application.
            files: Vec<RestoredFile>,
            /// The result renders exactly as `to` did.
            exact: bool,
            /// Why it does not.
            inexact_because: String,
            /// Applications of the same repository whose files are not known, so that they may
            /// share some.
            unknown_applications: Vec<String>,
        }
    }
}

api_struct! {
    /// A file that restoring touches, or would touch.
    closed pub struct RestoredFile {
        required {
            /// Path from the top of the repository.
            "path" => path: String,
        }
        optional {
            /// It does not exist in the earlier revision.
            delete: bool,
            /// Other Applications that read it.
            shared_with: Vec<String>,
            /// It is left as it is, because others read it.
            left: bool,
        }
    }
}

api_struct! {
    /// One thing Git cannot undo.
    closed pub struct PreviewCaution {
        required {
            /// What kind of thing.
            "code" => code: CautionCode,
            /// For people.
            "message" => message: String,
        }
        optional {
            /// Kind/name it is about.
            object: String,
        }
    }
}
