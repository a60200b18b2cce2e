//! ApplicationSet: Applications generated from lists, clusters, Git, providers.
//!
//! What a provider of repositories or pull requests is configured with, and generators nested in
//! others, are kept as JSON: they are read when the generator is.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value};

use crate::application::ApplicationSpec;
use crate::status::{HealthStatus, ResourceStatus};

api_resource! {
    /// A template and the generators that fill it, each result an Application.
    pub struct ApplicationSet, "ApplicationSet", "applicationsets" {
        /// What is wanted.
        "spec" => spec: ApplicationSetSpec,
        /// What was generated.
        "status" => status: Option<ApplicationSetStatus>,
    }
}

api_resource! {
    /// The same resource with its spec as it is written: generators that are nested in others are
    /// templates themselves until they are filled.
    pub struct WrittenApplicationSet, "ApplicationSet", "applicationsets" {
        /// What is wanted.
        "spec" => spec: Map<String, Value>,
        /// What was generated.
        "status" => status: Option<ApplicationSetStatus>,
    }
}

api_struct! {
    /// A template and the generators that fill it.
    pub struct ApplicationSetSpec {
        required {
            /// Generators; their results are put together.
            "generators" => generators: Vec<ApplicationSetGenerator>,
            /// What each result becomes.
            "template" => template: ApplicationSetTemplate,
        }
        optional {
            /// The template is in Go's language.
            go_template: bool,
            /// Which changes to Applications are allowed.
            sync_policy: Option<ApplicationSetSyncPolicy>,
            /// In which order Applications are updated.
            strategy: Option<ApplicationSetStrategy>,
            /// Metadata of Applications that is left alone.
            preserved_fields: Option<PreservedFields>,
            /// Options of Go's template language.
            go_template_options: Vec<String>,
            /// Deprecated; nested selectors always apply.
            apply_nested_selectors: bool,
            /// Fields of Applications that are left alone.
            ignore_application_differences: Vec<ApplicationIgnoreDifferences>,
            /// A patch of the generated Application, a template too.
            template_patch: Option<String>,
        }
    }
}

api_struct! {
    /// Metadata and spec of generated Applications.
    pub struct ApplicationSetTemplate {
        required {
            /// Metadata.
            "metadata" => metadata: ApplicationSetTemplateMeta,
            /// Spec.
            "spec" => spec: ApplicationSpec,
        }
    }
}

api_struct! {
    /// Metadata of generated Applications.
    pub struct ApplicationSetTemplateMeta {
        optional {
            /// Name.
            name: String,
            /// Ignored: Applications are in the set's namespace.
            namespace: String,
            /// Labels.
            labels: BTreeMap<String, String>,
            /// Annotations.
            annotations: BTreeMap<String, String>,
            /// Finalizers.
            finalizers: Vec<String>,
        }
    }
}

api_struct! {
    /// One generator; exactly one kind is set.
    pub struct ApplicationSetGenerator {
        optional {
            /// A list in place.
            list: Option<ListGenerator>,
            /// Clusters the agent knows.
            clusters: Option<ClusterGenerator>,
            /// Folders or files in Git.
            git: Option<GitGenerator>,
            /// Repositories of an organization.
            scm_provider: Option<ScmProviderGenerator>,
            /// Decisions of another controller.
            cluster_decision_resource: Option<DuckTypeGenerator>,
            /// Open pull requests.
            pull_request: Option<PullRequestGenerator>,
            /// Every combination of two generators.
            matrix: Option<MatrixGenerator>,
            /// Generators whose results are merged by keys.
            merge: Option<MergeGenerator>,
            /// Which results count.
            selector: Option<LabelSelector>,
            /// A service that is asked.
            plugin: Option<PluginGenerator>,
        }
    }
}

api_struct! {
    /// A list in place.
    pub struct ListGenerator {
        optional {
            /// Elements: maps of parameters.
            elements: Vec<Value>,
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
            /// Elements as a YAML text.
            elements_yaml: String,
        }
    }
}

api_struct! {
    /// Clusters the agent knows.
    pub struct ClusterGenerator {
        optional {
            /// Labels of the clusters' Secrets.
            selector: Option<LabelSelector>,
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
            /// Further parameters.
            values: BTreeMap<String, String>,
            /// One result with all clusters.
            flat_list: bool,
        }
    }
}

api_struct! {
    /// Folders or files in Git.
    pub struct GitGenerator {
        required {
            /// Repository.
            "repoURL" => repo_url: String,
            /// Revision.
            "revision" => revision: String,
        }
        optional {
            /// Folders.
            directories: Vec<GitGeneratorPath>,
            /// Files.
            files: Vec<GitGeneratorPath>,
            /// How often to look.
            requeue_after_seconds: Option<i64>,
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
            /// Prefix of the parameters.
            path_param_prefix: String,
            /// Further parameters.
            values: BTreeMap<String, String>,
        }
    }
}

api_struct! {
    /// A pattern of paths.
    pub struct GitGeneratorPath {
        required {
            /// Pattern.
            "path" => path: String,
        }
        optional {
            /// Leave out what matches.
            exclude: bool,
        }
    }
}

api_struct! {
    /// Repositories of an organization. Providers are kept as JSON.
    pub struct ScmProviderGenerator {
        optional {
            /// Filters; a repository must pass one.
            filters: Vec<Map<String, Value>>,
            /// Protocol of the URL.
            clone_protocol: String,
            /// How often to look.
            requeue_after_seconds: Option<i64>,
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
            /// Further parameters.
            values: BTreeMap<String, String>,
            /// GitHub.
            github: Option<Map<String, Value>>,
            /// GitLab.
            gitlab: Option<Map<String, Value>>,
            /// Bitbucket Cloud.
            bitbucket: Option<Map<String, Value>>,
            /// Bitbucket Server.
            bitbucket_server: Option<Map<String, Value>>,
            /// Gitea.
            gitea: Option<Map<String, Value>>,
            /// Azure DevOps.
            azure_dev_ops: Option<Map<String, Value>>,
            /// AWS CodeCommit.
            aws_code_commit: Option<Map<String, Value>>,
        }
    }
}

api_struct! {
    /// Open pull requests. Providers are kept as JSON.
    pub struct PullRequestGenerator {
        optional {
            /// Filters; a pull request must pass one.
            filters: Vec<Map<String, Value>>,
            /// How often to look.
            requeue_after_seconds: Option<i64>,
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
            /// Further parameters.
            values: BTreeMap<String, String>,
            /// A repository that does not exist has no pull requests.
            continue_on_repo_not_found_error: bool,
            /// GitHub.
            github: Option<Map<String, Value>>,
            /// GitLab.
            gitlab: Option<Map<String, Value>>,
            /// Gitea.
            gitea: Option<Map<String, Value>>,
            /// Bitbucket Server.
            bitbucket_server: Option<Map<String, Value>>,
            /// Bitbucket Cloud.
            bitbucket: Option<Map<String, Value>>,
            /// Azure DevOps.
            azuredevops: Option<Map<String, Value>>,
        }
    }
}

api_struct! {
    /// Decisions of another controller.
    pub struct DuckTypeGenerator {
        required {
            /// ConfigMap that describes the resource.
            "configMapRef" => config_map_ref: String,
        }
        optional {
            /// Name of the resource.
            name: String,
            /// How often to look.
            requeue_after_seconds: Option<i64>,
            /// Labels of the resource.
            label_selector: Option<LabelSelector>,
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
            /// Further parameters.
            values: BTreeMap<String, String>,
        }
    }
}

api_struct! {
    /// A service that is asked.
    pub struct PluginGenerator {
        required {
            /// Where the service is.
            "configMapRef" => config_map_ref: PluginConfigMapRef,
        }
        optional {
            /// What the service is given.
            input: Option<PluginInput>,
            /// How often to look.
            requeue_after_seconds: Option<i64>,
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
            /// Further parameters.
            values: BTreeMap<String, String>,
        }
    }
}

api_struct! {
    /// ConfigMap that says where a service is.
    pub struct PluginConfigMapRef {
        required {
            /// Name.
            "name" => name: String,
        }
    }
}

api_struct! {
    /// What a service is given.
    pub struct PluginInput {
        optional {
            /// Parameters.
            parameters: Map<String, Value>,
        }
    }
}

api_struct! {
    /// Every combination of two generators.
    pub struct MatrixGenerator {
        required {
            /// The two generators as JSON.
            "generators" => generators: Vec<Map<String, Value>>,
        }
        optional {
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
        }
    }
}

api_struct! {
    /// Generators whose results are merged by keys.
    pub struct MergeGenerator {
        required {
            /// The generators as JSON; the first is the base.
            "generators" => generators: Vec<Map<String, Value>>,
            /// Parameters whose values must be equal.
            "mergeKeys" => merge_keys: Vec<String>,
        }
        optional {
            /// Template for this generator.
            #[schemars(with = "Option<Map<String, Value>>")]
            template: Option<ApplicationSetTemplate>,
        }
    }
}

api_struct! {
    /// Which changes to Applications are allowed.
    pub struct ApplicationSetSyncPolicy {
        optional {
            /// Deleting the set or an Application keeps its objects.
            preserve_resources_on_deletion: bool,
            /// `create-only`, `create-update`, `create-delete` or `sync`.
            #[schemars(extend("enum" = ["create-only", "create-update", "create-delete", "sync"]))]
            applications_sync: Option<String>,
        }
    }
}

api_struct! {
    /// In which order Applications are updated.
    pub struct ApplicationSetStrategy {
        optional {
            /// `AllAtOnce` or `RollingSync`.
            #[serde(rename = "type")]
            strategy_type: String,
            /// The steps.
            rolling_sync: Option<RollingSync>,
            /// `AllAtOnce` or `Reverse`.
            deletion_order: String,
        }
    }
}

api_struct! {
    /// Steps, one after the other.
    pub struct RollingSync {
        optional {
            /// The steps.
            steps: Vec<RollingSyncStep>,
        }
    }
}

api_struct! {
    /// Applications that are updated together.
    pub struct RollingSyncStep {
        optional {
            /// Labels of the Applications.
            match_expressions: Vec<MatchExpression>,
            /// How many at a time: a number or a percentage.
            max_update: Option<IntOrString>,
        }
    }
}

api_struct! {
    /// A condition on a label.
    pub struct MatchExpression {
        optional {
            /// Label.
            key: String,
            /// `In` or `NotIn`.
            operator: String,
            /// Values.
            values: Vec<String>,
        }
    }
}

api_struct! {
    /// Metadata of Applications that is left alone.
    pub struct PreservedFields {
        optional {
            /// Annotations.
            annotations: Vec<String>,
            /// Labels.
            labels: Vec<String>,
        }
    }
}

api_struct! {
    /// Fields of Applications that are left alone.
    pub struct ApplicationIgnoreDifferences {
        optional {
            /// Application; empty means all.
            name: String,
            /// Fields, as JSON pointers.
            json_pointers: Vec<String>,
            /// Fields, as jq path expressions.
            jq_path_expressions: Vec<String>,
        }
    }
}

api_struct! {
    /// What was generated.
    pub struct ApplicationSetStatus {
        optional {
            /// Conditions.
            conditions: Vec<ApplicationSetCondition>,
            /// Progress of a rolling sync.
            application_status: Vec<GeneratedApplicationStatus>,
            /// The Applications.
            resources: Vec<ResourceStatus>,
            /// Number of Applications; `resources` is capped.
            resources_count: i64,
            /// Health.
            health: Option<HealthStatus>,
        }
    }
}

api_struct! {
    /// A condition.
    pub struct ApplicationSetCondition {
        required {
            /// Type.
            "type" => condition_type: String,
            /// For people.
            "message" => message: String,
            /// True, False or Unknown.
            "status" => status: String,
            /// Why, in one word.
            "reason" => reason: String,
        }
        optional {
            /// Since when.
            last_transition_time: Option<Time>,
        }
    }
}

api_struct! {
    /// Progress of one Application in a rolling sync.
    pub struct GeneratedApplicationStatus {
        required {
            /// Name.
            "application" => application: String,
            /// For people.
            "message" => message: String,
            /// Waiting, Pending, Progressing or Healthy.
            "status" => status: String,
            /// Step.
            "step" => step: String,
            /// Revisions to sync to.
            "targetRevisions" => target_revisions: Vec<String>,
        }
        optional {
            /// Since when.
            last_transition_time: Option<Time>,
        }
    }
}
