//! The Applications a storm is about: one of each kind of work the engine does, all of one
//! repository, so that each commit changes all of them.

use gitops_api::constants::finalizer;
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Repo, World};
use serde_json::{Value, json};

use crate::runs::Runs;

/// Applications that are there for the whole storm. `asked` syncs on request only; all others by
/// themselves.
pub(crate) const STANDING: [&str; 8] = [
    "plain",
    "hooks",
    "prune",
    "kustomize",
    "helm",
    "force",
    "asked",
    "parent",
];
/// Hooks that every sync runs, by the name of their Job.
pub(crate) const HOOKS: [&str; 4] = ["pre", "mid", "post", "helm-hook"];

/// A world with its repository.
pub(crate) struct Workload {
    pub(crate) world: World,
    pub(crate) repo: Repo,
    pub(crate) runs: Runs,
    /// How many commits were made; every manifest says it.
    pub(crate) count: u64,
    /// Commits of this round.
    pub(crate) commits: Vec<String>,
    /// What was seen to be wrong while faults were injected.
    pub(crate) wrong: Vec<String>,
}

fn job(name: &str, annotations: &[(&str, &str)]) -> String {
    let lines = annotations
        .iter()
        .map(|(name, value)| format!("    {name}: \"{value}\"\n"));
    let annotations = lines.collect::<Vec<_>>().concat();
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n{annotations}\
         spec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      \
         containers:\n        - name: work\n          image: work:1\n"
    )
}

fn hook(name: &str, phase: &str) -> String {
    job(
        name,
        &[
            ("argocd.argoproj.io/hook", phase),
            ("argocd.argoproj.io/hook-delete-policy", "HookSucceeded"),
        ],
    )
}

fn in_wave(name: &str, value: &str, wave: i32) -> String {
    config_map(name, value).replace(
        &format!("  name: {name}"),
        &format!("  name: {name}\n  annotations: {{argocd.argoproj.io/sync-wave: \"{wave}\"}}"),
    )
}

/// Replaced by force, because it cannot be changed.
fn immutable(name: &str, value: &str) -> String {
    let marked = config_map(name, value).replace(
        &format!("  name: {name}"),
        &format!(
            "  name: {name}\n  annotations: {{argocd.argoproj.io/sync-options: \"Force=true,Replace=true\"}}"
        ),
    );
    format!("{marked}immutable: true\n")
}

fn has_child(count: u64) -> bool {
    count % 2 == 1
}

impl Workload {
    /// A new world, with its first commit delivered.
    pub(crate) async fn start() -> Self {
        let world = World::behind_proxy("storm").await;
        let repo = world.repo("config");
        let runs = Runs::record(world.api());
        let mut workload = Self {
            world,
            repo,
            runs,
            count: 0,
            commits: Vec::new(),
            wrong: Vec::new(),
        };
        workload.commit();
        for name in STANDING {
            workload.create(name).await;
        }
        workload
    }

    /// Commits the next state of every Application.
    pub(crate) fn commit(&mut self) {
        self.commits.clear();
        self.runs.forget();
        self.count += 1;
        self.write();
    }

    /// Commits the state of now, whatever became of the repository meanwhile.
    pub(crate) fn write(&mut self) {
        let files = self.files();
        let files: Vec<(&str, Option<&str>)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_deref()))
            .collect();
        let commit = self.repo.commit(&files);
        self.commits.push(commit);
    }

    fn files(&self) -> Vec<(String, Option<String>)> {
        let (count, world) = (self.count, &self.world);
        let n = count.to_string();
        let file = |path: &str, text: String| (path.to_owned(), Some(text));
        let mut files = vec![
            file("plain/a.yaml", in_wave("plain-a", &n, -1)),
            file("plain/b.yaml", config_map("plain-b", &n)),
            file("plain/c.yaml", in_wave("plain-c", &n, 1)),
            file("hooks/a.yaml", config_map("hooks-a", &n)),
            file("hooks/pre.yaml", hook("pre", "PreSync")),
            file("hooks/mid.yaml", hook("mid", "Sync")),
            file("hooks/post.yaml", hook("post", "PostSync")),
            file("hooks/alarm.yaml", hook("alarm", "SyncFail")),
            file("prune/stays.yaml", config_map("prune-stays", &n)),
            file(
                &format!("prune/{count}.yaml"),
                config_map(&format!("prune-{count}"), &n),
            ),
            file(
                "kustomize/kustomization.yaml",
                format!(
                    "configMapGenerator:\n  - name: kust\n    literals: [\"value={n}\"]\n\
                     generatorOptions: {{disableNameSuffixHash: true}}\n"
                ),
            ),
            file(
                "helm/Chart.yaml",
                "apiVersion: v2\nname: storm\nversion: 1.0.0\n".into(),
            ),
            file("helm/values.yaml", format!("value: \"{n}\"\n")),
            file(
                "helm/templates/map.yaml",
                config_map("helm-a", "{{ .Values.value }}"),
            ),
            file(
                "helm/templates/hook.yaml",
                job(
                    "helm-hook",
                    &[
                        ("helm.sh/hook", "pre-install,pre-upgrade"),
                        ("helm.sh/hook-delete-policy", "hook-succeeded"),
                    ],
                ),
            ),
            file("force/a.yaml", immutable("force-a", &n)),
            file("asked/a.yaml", config_map("asked-a", &n)),
            file("child/a.yaml", config_map("child-a", &n)),
            file(
                "parent/mark.yaml",
                config_map("parent-a", &n).replace(
                    "metadata:\n",
                    &format!("metadata:\n  namespace: {}\n", world.target),
                ),
            ),
        ];
        let child = has_child(count).then(|| self.application("child").to_string());
        files.push(("parent/child.yaml".into(), child));
        if count > 1 {
            files.push((format!("prune/{}.yaml", count - 1), None));
        }
        files
    }

    fn application(&self, name: &str) -> Value {
        let automated = json!({
            "automated": {"prune": true, "selfHeal": true},
            "retry": {"limit": 20, "backoff": {"duration": "1s", "maxDuration": "5s"}}});
        let policy = if name == "asked" {
            json!({})
        } else {
            automated
        };
        let namespace = if name == "parent" {
            &self.world.namespace
        } else {
            &self.world.target
        };
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": self.world.namespace,
                         "finalizers": [finalizer::RESOURCES]},
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                "source": {"repoURL": self.repo.url(), "path": name, "targetRevision": "main"},
                "syncPolicy": policy}})
    }

    async fn create(&self, name: &str) {
        let app = self.application(name);
        self.world.plane.apply_value_as("gitops-storm", app).await;
    }

    /// Applications that have to be there now.
    pub(crate) fn applications(&self) -> Vec<&'static str> {
        let child = has_child(self.count).then_some("child");
        STANDING.into_iter().chain(child).collect()
    }

    /// ConfigMaps that have to be there now, with the number of the commit.
    pub(crate) fn config_maps(&self) -> Vec<String> {
        let always = [
            "plain-a",
            "plain-b",
            "plain-c",
            "hooks-a",
            "prune-stays",
            "kust",
            "helm-a",
            "force-a",
            "asked-a",
            "parent-a",
        ];
        let child = has_child(self.count).then(|| "child-a".to_owned());
        let always = always.into_iter().map(str::to_owned);
        always
            .chain(child)
            .chain([format!("prune-{}", self.count)])
            .collect()
    }
}
