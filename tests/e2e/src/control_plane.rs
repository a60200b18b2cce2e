//! Access to a control plane: clients, definitions installed once, ServiceAccounts with tokens.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::DynamicObject;
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::must;

/// Field manager of what the harness itself applies.
const MANAGER: &str = "gitops-e2e";

/// A control plane and an administrator's access to it.
#[derive(Clone)]
pub struct ControlPlane {
    /// Administrator's client.
    pub client: Client,
    kubeconfig: PathBuf,
}

impl ControlPlane {
    /// The one all tests share.
    pub async fn shared() -> Self {
        Self::connect(&Environment::get().kubeconfig).await
    }

    /// Connects, and installs definitions and roles unless that was done before.
    pub async fn connect(kubeconfig: &Path) -> Self {
        let plane = Self::bare(kubeconfig).await;
        plane.install(kubeconfig);
        plane
    }

    /// Connects, and installs nothing.
    pub async fn bare(kubeconfig: &Path) -> Self {
        // Fails when a test has done it already; that is fine.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let read = must(Kubeconfig::read_from(kubeconfig), "read the kubeconfig");
        let options = KubeConfigOptions::default();
        let config = must(
            Config::from_custom_kubeconfig(read, &options).await,
            "use the kubeconfig",
        );
        let client = must(Client::try_from(config), "make a client");
        Self {
            client,
            kubeconfig: kubeconfig.into(),
        }
    }

    /// Applies the definitions and the ClusterRole of the installation once a cluster: the first
    /// test does it, the others wait for its lock.
    fn install(&self, kubeconfig: &Path) {
        let done = kubeconfig.with_extension("installed");
        let lock = must(
            File::create(kubeconfig.with_extension("lock")),
            "make the lock file",
        );
        must(lock.lock(), "wait for the lock file");
        if done.exists() {
            return;
        }
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests");
        let applied = self.kubectl(&[
            "apply",
            "--server-side",
            "-f",
            &manifests.join("base/cluster-role.yaml").to_string_lossy(),
        ]);
        must(applied, "apply the ClusterRole");
        let applied = self.kubectl(&[
            "apply",
            "--server-side",
            "-k",
            &manifests.join("crds").to_string_lossy(),
        ]);
        must(applied, "apply the definitions");
        must(
            self.kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "crd/applications.argoproj.io",
                "crd/appprojects.argoproj.io",
                "crd/applicationsets.argoproj.io",
                "crd/previews.gitops-agent.io",
            ]),
            "wait for the definitions",
        );
        let applied = self.kubectl(&[
            "apply",
            "--server-side",
            "-f",
            &manifests.join("base/preview-policy.yaml").to_string_lossy(),
        ]);
        must(applied, "apply the policy of Previews");
        self.wait_for_policy(kubeconfig);
        must(
            File::create(done).map(drop),
            "note that the definitions are installed",
        );
    }

    /// Waits until nobody can ask in the name of another: a policy comes into force some time after
    /// it was stored.
    fn wait_for_policy(&self, kubeconfig: &Path) {
        let forged = kubeconfig.with_extension("forged.yaml");
        let written = std::fs::write(
            &forged,
            "apiVersion: gitops-agent.io/v1alpha1
kind: Preview
metadata: {name: forged, namespace: default}
spec: {application: x, requester: {username: nobody}}
",
        );
        must(written, "write a forged Preview");
        let forged = forged.to_string_lossy().into_owned();
        let create = ["create", "--dry-run=server", "-f", forged.as_str()];
        for _ in 0..300 {
            match self.kubectl(&create) {
                Err(refusal) if refusal.contains("gitops-preview-requester") => return,
                _ => std::thread::sleep(std::time::Duration::from_millis(100)),
            }
        }
        must(
            Err::<(), _>("it refuses nothing"),
            "wait for the policy of Previews",
        );
    }

    /// Runs kubectl as an administrator; returns what it printed.
    ///
    /// # Errors
    /// What it complained about.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&Environment::get().cluster)
            .arg("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Applies YAML as a manager, server-side; the answer is the object.
    pub async fn apply_as(&self, manager: &str, yaml: &str) -> Value {
        let value: Value = must(serde_saphyr::from_str(yaml), "read a manifest of the test");
        self.apply_value_as(manager, value).await
    }

    /// Applies YAML as the harness.
    pub async fn apply(&self, yaml: &str) -> Value {
        self.apply_as(MANAGER, yaml).await
    }

    /// Applies an object as a manager, server-side.
    pub async fn apply_value_as(&self, manager: &str, value: Value) -> Value {
        let object: DynamicObject =
            must(serde_json::from_value(value), "read an object of the test");
        let types = object.types.clone().unwrap_or_default();
        let gvk = must(
            kube::core::GroupVersionKind::try_from(types),
            "read apiVersion and kind",
        );
        let (resource, capabilities) = must(
            kube::discovery::pinned_kind(&self.client, &gvk).await,
            "find the kind",
        );
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let api: Api<DynamicObject> = match capabilities.scope {
            kube::discovery::Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            kube::discovery::Scope::Namespaced => {
                Api::namespaced_with(self.client.clone(), &namespace, &resource)
            }
        };
        let name = object.metadata.name.clone().unwrap_or_default();
        let params = PatchParams::apply(manager).force();
        let applied = must(
            api.patch(&name, &params, &Patch::Apply(&object)).await,
            &format!("apply {} {name}", gvk.kind),
        );
        must(serde_json::to_value(applied), "read the answer")
    }

    /// Creates a namespace.
    pub async fn namespace(&self, name: &str) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = typed(json!({"metadata": {"name": name}}));
        must(
            api.create(&PostParams::default(), &namespace).await,
            "create a namespace",
        );
    }

    /// A kubeconfig with a token of the agent's ServiceAccount, bound to the ClusterRole of the
    /// installation.
    pub async fn agent_kubeconfig(&self, namespace: &str, folder: &Path) -> PathBuf {
        let token = self.account(namespace, "gitops-agent").await;
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        let binding = typed(json!({
            "metadata": {"name": format!("gitops-agent-{namespace}")},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gitops-agent",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "gitops-agent", "namespace": namespace}],
        }));
        must(
            bindings.create(&PostParams::default(), &binding).await,
            "bind the ClusterRole",
        );
        let path = folder.join("agent.kubeconfig");
        let config = self.kubeconfig_of(&json!({"token": token}));
        must(
            std::fs::write(&path, config.to_string()),
            "write the agent's kubeconfig",
        );
        path
    }

    /// Creates a ServiceAccount without rights; returns a token of it.
    pub async fn account(&self, namespace: &str, name: &str) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let account = typed(json!({"metadata": {"name": name}}));
        must(
            accounts.create(&PostParams::default(), &account).await,
            "create the ServiceAccount",
        );
        self.token(namespace, name).await
    }

    /// A token of a ServiceAccount.
    pub async fn token(&self, namespace: &str, name: &str) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(7200),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await;
        must(answer, "ask for a token")
            .status
            .map(|status| status.token)
            .unwrap_or_default()
    }

    /// Gives a ServiceAccount rights in a namespace; `rules` are those of a Role.
    pub async fn allow(&self, namespace: &str, account: (&str, &str), rules: Value) {
        let (home, name) = account;
        self.apply_value_as(
            MANAGER,
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": name, "namespace": namespace}, "rules": rules,
            }),
        )
        .await;
        self.apply_value_as(
            MANAGER,
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": name, "namespace": namespace},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name,
                },
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": home}],
            }),
        )
        .await;
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig for this control plane with another `user`.
    pub fn kubeconfig_of(&self, user: &Value) -> Value {
        let text = must(std::fs::read_to_string(&self.kubeconfig), "read it");
        let mut config: Value = must(serde_saphyr::from_str(&text), "read the kubeconfig");
        config["users"][0]["user"] = user.clone();
        config
    }
}

/// An object of a type from its JSON form.
pub fn typed<T: DeserializeOwned>(value: Value) -> T {
    must(serde_json::from_value(value), "read an object of the test")
}
