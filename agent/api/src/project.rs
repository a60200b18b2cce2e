//! AppProject: what the Applications of a team may use.

use std::collections::BTreeMap;

use crate::destination::ApplicationDestination;

api_resource! {
    /// A fence around Applications: sources, destinations and kinds they may use, and when they
    /// may sync.
    pub struct AppProject, "AppProject", "appprojects" {
        /// What is allowed.
        "spec" => spec: AppProjectSpec,
        /// State kept by Argo CD's API server.
        "status" => status: Option<AppProjectStatus>,
    }
}

api_struct! {
    /// What is allowed.
    pub struct AppProjectSpec {
        optional {
            /// Repositories: globs; `!` denies.
            source_repos: Vec<String>,
            /// Clusters and namespaces: globs; `!` denies.
            destinations: Vec<ApplicationDestination>,
            /// For people.
            description: String,
            /// Roles of Argo CD's API server; the agent does not use them.
            roles: Vec<ProjectRole>,
            /// Cluster-scoped kinds that are allowed; none when empty.
            cluster_resource_whitelist: Vec<ClusterResourceRule>,
            /// Namespaced kinds that are denied.
            namespace_resource_blacklist: Vec<GroupKindRule>,
            /// Present: look for objects of no application.
            orphaned_resources: Option<OrphanedResources>,
            /// When syncs are allowed or denied.
            sync_windows: Vec<SyncWindow>,
            /// Namespaced kinds that are allowed: all when absent, none when empty.
            namespace_resource_whitelist: Option<Vec<GroupKindRule>>,
            /// Keys commits must be signed with.
            signature_keys: Vec<SignatureKey>,
            /// Cluster-scoped kinds that are denied.
            cluster_resource_blacklist: Vec<ClusterResourceRule>,
            /// Namespaces whose Applications may use the project, besides the agent's own.
            source_namespaces: Vec<String>,
            /// Only clusters that belong to the project.
            permit_only_project_scoped_clusters: bool,
            /// ServiceAccounts the agent acts as, by destination.
            destination_service_accounts: Vec<DestinationServiceAccount>,
            /// Signatures sources must have.
            source_integrity: Option<SourceIntegrity>,
        }
    }
}

api_struct! {
    /// Kinds, by globs.
    pub struct GroupKindRule {
        required {
            /// API group, a glob.
            "group" => group: String,
            /// Kind, a glob.
            "kind" => kind: String,
        }
    }
}

api_struct! {
    /// Cluster-scoped objects, by globs.
    pub struct ClusterResourceRule {
        required {
            /// API group, a glob.
            "group" => group: String,
            /// Kind, a glob.
            "kind" => kind: String,
        }
        optional {
            /// Name, a glob; empty means all.
            name: String,
        }
    }
}

api_struct! {
    /// Objects of no application.
    pub struct OrphanedResources {
        optional {
            /// Warn on the Applications.
            warn: Option<bool>,
            /// What does not count.
            ignore: Vec<OrphanedResourceKey>,
        }
    }
}

api_struct! {
    /// Objects that do not count as orphaned, by globs.
    pub struct OrphanedResourceKey {
        optional {
            /// API group.
            group: String,
            /// Kind.
            kind: String,
            /// Name.
            name: String,
        }
    }
}

api_struct! {
    /// When syncs are allowed or denied.
    pub struct SyncWindow {
        optional {
            /// `allow` or `deny`.
            kind: String,
            /// When it opens: five cron fields.
            schedule: String,
            /// How long it stays open, with a unit (`1h`).
            duration: String,
            /// Applications, by globs.
            applications: Vec<String>,
            /// Namespaces, by globs.
            namespaces: Vec<String>,
            /// Clusters, by globs.
            clusters: Vec<String>,
            /// Allow syncs people ask for.
            manual_sync: bool,
            /// Time zone of the schedule; default UTC.
            time_zone: String,
            /// All of applications, namespaces and clusters must match, not any.
            and_operator: bool,
            /// For people.
            description: String,
            /// A sync that began while it was allowed may go on.
            sync_overrun: bool,
        }
    }
}

api_struct! {
    /// A role of Argo CD's API server.
    pub struct ProjectRole {
        required {
            /// Name.
            "name" => name: String,
        }
        optional {
            /// For people.
            description: String,
            /// Policies.
            policies: Vec<String>,
            /// Tokens.
            jwt_tokens: Vec<JwtToken>,
            /// Groups that have the role.
            groups: Vec<String>,
        }
    }
}

api_struct! {
    /// A token of a role; never the token itself.
    pub struct JwtToken {
        required {
            /// Issued at, seconds since 1970.
            "iat" => issued_at: i64,
        }
        optional {
            /// Expires at, seconds since 1970.
            #[serde(rename = "exp")]
            expires_at: i64,
            /// Identity.
            id: String,
        }
    }
}

api_struct! {
    /// A key commits must be signed with.
    pub struct SignatureKey {
        required {
            /// Key id, hexadecimal.
            "keyID" => key_id: String,
        }
    }
}

api_struct! {
    /// A ServiceAccount the agent acts as.
    pub struct DestinationServiceAccount {
        required {
            /// Address of the cluster, a glob.
            "server" => server: String,
            /// ServiceAccount: `name`, or `namespace:name`.
            "defaultServiceAccount" => default_service_account: String,
        }
        optional {
            /// Namespace, a glob.
            namespace: String,
        }
    }
}

api_struct! {
    /// Signatures sources must have.
    pub struct SourceIntegrity {
        optional {
            /// For Git.
            git: Option<GitIntegrity>,
            /// For charts.
            helm: Option<HelmIntegrity>,
        }
    }
}

api_struct! {
    /// Signatures of commits and tags.
    pub struct GitIntegrity {
        required {
            /// Policies; each applies to some repositories.
            "policies" => policies: Vec<GitIntegrityPolicy>,
        }
    }
}

api_struct! {
    /// Signatures for some repositories.
    pub struct GitIntegrityPolicy {
        required {
            /// Repositories.
            "repos" => repos: Vec<RepositoryPattern>,
            /// What is verified.
            "gpg" => gpg: GpgVerification,
        }
    }
}

api_struct! {
    /// Repositories, by a glob.
    pub struct RepositoryPattern {
        required {
            /// URL, a glob.
            "url" => url: String,
        }
    }
}

api_struct! {
    /// What is verified of commits.
    pub struct GpgVerification {
        required {
            /// `none`, `head` or `strict`.
            "mode" => mode: String,
            /// Trusted key ids.
            "keys" => keys: Vec<String>,
        }
    }
}

api_struct! {
    /// Signatures of charts.
    pub struct HelmIntegrity {
        required {
            /// Policies; each applies to some repositories.
            "policies" => policies: Vec<HelmIntegrityPolicy>,
        }
    }
}

api_struct! {
    /// Signatures of the charts of some repositories.
    pub struct HelmIntegrityPolicy {
        required {
            /// Repositories.
            "repos" => repos: Vec<RepositoryPattern>,
            /// What is verified.
            "provenance" => provenance: HelmProvenance,
        }
    }
}

api_struct! {
    /// What is verified of charts.
    pub struct HelmProvenance {
        required {
            /// Trusted key ids.
            "keys" => keys: Vec<String>,
        }
    }
}

api_struct! {
    /// State kept by Argo CD's API server.
    pub struct AppProjectStatus {
        optional {
            /// Tokens by role.
            #[serde(rename = "jwtTokensByRole")]
            tokens_by_role: BTreeMap<String, JwtTokens>,
        }
    }
}

api_struct! {
    /// Tokens of a role.
    pub struct JwtTokens {
        optional {
            /// The tokens.
            items: Vec<JwtToken>,
        }
    }
}
