//! Where an application's manifests come from, and how they are rendered.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value};

api_struct! {
    /// One source of manifests.
    pub struct ApplicationSource {
        required {
            /// Repository: https, ssh or scp-style Git URL, Helm chart repository, or `oci://`.
            "repoURL" => repo_url: String,
        }
        optional {
            /// Folder within the repository.
            path: String,
            /// Branch, tag, commit, or version range; empty means HEAD.
            target_revision: String,
            /// Chart name, for Helm chart repositories.
            chart: String,
            /// Name under which other sources refer to files of this one (`$name/path`).
            #[serde(rename = "ref")]
            ref_name: String,
            /// Name of the source, shown to people.
            name: String,
            /// Prefix of the tags that version ranges look at.
            tag_prefix: String,
            /// Helm options.
            helm: Option<ApplicationSourceHelm>,
            /// Kustomize options.
            kustomize: Option<ApplicationSourceKustomize>,
            /// Options for a folder of plain manifests.
            directory: Option<ApplicationSourceDirectory>,
            /// Config management plugin.
            plugin: Option<ApplicationSourcePlugin>,
        }
    }
}

api_struct! {
    /// Helm options of a source.
    pub struct ApplicationSourceHelm {
        optional {
            /// Values files, in order.
            value_files: Vec<String>,
            /// Single values, highest precedence.
            parameters: Vec<HelmParameter>,
            /// Release name; default is the application's name.
            release_name: String,
            /// Values as a YAML text.
            values: String,
            /// Values read from files.
            file_parameters: Vec<HelmFileParameter>,
            /// Helm version; only 3 exists.
            version: String,
            /// Send credentials to all hosts.
            pass_credentials: bool,
            /// Leave out values files that do not exist.
            ignore_missing_value_files: bool,
            /// Leave out custom resource definitions.
            skip_crds: bool,
            /// Values as an object; wins over `values`.
            values_object: Option<Map<String, Value>>,
            /// Release namespace; default is the destination's.
            namespace: String,
            /// Kubernetes version charts see; default is the cluster's.
            kube_version: String,
            /// API versions charts see; default is the cluster's.
            api_versions: Vec<String>,
            /// Leave out chart tests.
            skip_tests: bool,
            /// Do not check values against the chart's schema.
            skip_schema_validation: bool,
        }
    }
}

api_struct! {
    /// One value, as `helm --set`.
    pub struct HelmParameter {
        optional {
            /// Path of the value.
            name: String,
            /// The value.
            value: String,
            /// Take the value as a string, as `helm --set-string`.
            force_string: bool,
        }
    }
}

api_struct! {
    /// One value read from a file, as `helm --set-file`.
    pub struct HelmFileParameter {
        optional {
            /// Path of the value.
            name: String,
            /// File that holds the value.
            path: String,
        }
    }
}

api_struct! {
    /// Kustomize options of a source.
    pub struct ApplicationSourceKustomize {
        optional {
            /// Prefix of every name.
            name_prefix: String,
            /// Suffix of every name.
            name_suffix: String,
            /// Image overrides: `[old=]image:tag` or `[old=]image@digest`.
            images: Vec<String>,
            /// Labels for every object.
            common_labels: BTreeMap<String, String>,
            /// Kustomize version.
            version: String,
            /// Annotations for every object.
            common_annotations: BTreeMap<String, String>,
            /// Overwrite labels that exist.
            force_common_labels: bool,
            /// Overwrite annotations that exist.
            force_common_annotations: bool,
            /// Namespace of every namespaced object.
            namespace: String,
            /// Replace variables in annotation values.
            common_annotations_envsubst: bool,
            /// Replica overrides.
            replicas: Vec<KustomizeReplica>,
            /// Patches, after those of the kustomization.
            patches: Vec<KustomizePatch>,
            /// Components, after those of the kustomization.
            components: Vec<String>,
            /// Leave out components that do not exist.
            ignore_missing_components: bool,
            /// Do not put the common labels on selectors.
            label_without_selector: bool,
            /// Put the common labels on templates too.
            label_include_templates: bool,
            /// Kubernetes version Helm charts see.
            kube_version: String,
            /// API versions Helm charts see.
            api_versions: Vec<String>,
        }
    }
}

api_struct! {
    /// Replicas of one Deployment or StatefulSet.
    pub struct KustomizeReplica {
        required {
            /// Name of the object.
            "name" => name: String,
            /// Number of replicas.
            "count" => count: IntOrString,
        }
    }
}

api_struct! {
    /// One patch.
    pub struct KustomizePatch {
        optional {
            /// File that holds the patch.
            path: String,
            /// The patch itself: strategic merge or JSON patch.
            patch: String,
            /// What the patch applies to.
            target: Option<KustomizeSelector>,
            /// Options such as allowNameChange.
            options: BTreeMap<String, bool>,
        }
    }
}

api_struct! {
    /// What a patch applies to.
    pub struct KustomizeSelector {
        optional {
            /// API group.
            group: String,
            /// API version.
            version: String,
            /// Kind.
            kind: String,
            /// Name, a regular expression.
            name: String,
            /// Namespace, a regular expression.
            namespace: String,
            /// Label selector.
            label_selector: String,
            /// Annotation selector.
            annotation_selector: String,
        }
    }
}

api_struct! {
    /// Options for a folder of plain manifests.
    pub struct ApplicationSourceDirectory {
        optional {
            /// Look into subfolders.
            recurse: bool,
            /// Jsonnet options.
            jsonnet: Option<ApplicationSourceJsonnet>,
            /// Pattern of files to leave out.
            exclude: String,
            /// Pattern of files to take.
            include: String,
            /// Take files whatever their extension.
            disable_extension_filter: bool,
        }
    }
}

api_struct! {
    /// Jsonnet options.
    pub struct ApplicationSourceJsonnet {
        optional {
            /// External variables.
            ext_vars: Vec<JsonnetVariable>,
            /// Top-level arguments.
            tlas: Vec<JsonnetVariable>,
            /// Library folders.
            libs: Vec<String>,
        }
    }
}

api_struct! {
    /// A variable of Jsonnet.
    pub struct JsonnetVariable {
        required {
            /// Name.
            "name" => name: String,
            /// Value.
            "value" => value: String,
        }
        optional {
            /// The value is code.
            code: bool,
        }
    }
}

api_struct! {
    /// Config management plugin of a source.
    pub struct ApplicationSourcePlugin {
        optional {
            /// Plugin name; empty means discovery.
            name: String,
            /// Environment.
            env: Vec<NameValue>,
            /// Parameters.
            parameters: Vec<PluginParameter>,
        }
    }
}

api_struct! {
    /// A name and a value.
    pub struct NameValue {
        required {
            /// Name.
            "name" => name: String,
            /// Value.
            "value" => value: String,
        }
    }
}

api_struct! {
    /// A parameter of a config management plugin; one of string, array and map.
    pub struct PluginParameter {
        optional {
            /// Name.
            name: String,
            /// Value of a string parameter.
            string: Option<String>,
            /// Value of a list parameter.
            array: Option<Vec<String>>,
            /// Value of a map parameter.
            map: Option<BTreeMap<String, String>>,
        }
    }
}

api_struct! {
    /// Render from one place, push the result to a branch, sync from there.
    pub struct SourceHydrator {
        required {
            /// Where the unrendered configuration is.
            "drySource" => dry_source: DrySource,
            /// Where the rendered manifests are synced from.
            "syncSource" => sync_source: SyncSource,
        }
        optional {
            /// Where the rendered manifests are pushed to, when not the sync source.
            hydrate_to: Option<HydrateTo>,
        }
    }
}

api_struct! {
    /// Unrendered configuration.
    pub struct DrySource {
        required {
            /// Repository.
            "repoURL" => repo_url: String,
            /// Revision.
            "targetRevision" => target_revision: String,
            /// Folder.
            "path" => path: String,
        }
        optional {
            /// Helm options.
            helm: Option<ApplicationSourceHelm>,
            /// Kustomize options.
            kustomize: Option<ApplicationSourceKustomize>,
            /// Options for a folder of plain manifests.
            directory: Option<ApplicationSourceDirectory>,
            /// Config management plugin.
            plugin: Option<ApplicationSourcePlugin>,
        }
    }
}

api_struct! {
    /// Rendered manifests.
    pub struct SyncSource {
        required {
            /// Branch.
            "targetBranch" => target_branch: String,
            /// Folder.
            "path" => path: String,
        }
        optional {
            /// Repository; default is the dry source's.
            #[serde(rename = "repoURL")]
            repo_url: String,
        }
    }
}

api_struct! {
    /// Branch that receives rendered manifests.
    pub struct HydrateTo {
        required {
            /// Branch.
            "targetBranch" => target_branch: String,
        }
    }
}
