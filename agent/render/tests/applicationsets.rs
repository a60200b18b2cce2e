//! What real ApplicationSets become, against what Argo CD 3.5.1 made of the same (tests/fixtures/applicationsets): generated
//! with the render worker, planned against the Applications of the step before. No cluster.
//!
//! Cases marked `differs` are those in which Argo CD's outcome is a fault; [`OURS`] says what we do instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // a test that cannot go on has failed

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use gitops_core::applicationset::{
    Account, Answer, Answers, Cluster, Credential, Destinations, Environment, Existing,
    FileGlobbing, Forges, Generation, Names, Need, Param, PathKind, Plan, PlanInput, Policy,
    Problem, Report, SetIdentity, SetSpec, Tree, Unmet, Verb, conditions, generate, plan, validate,
};
use gitops_forge::catalog::{Catalog, Connection, Login};
use gitops_http_double::{Answer as Told, HttpDouble};
use gitops_render::{Renderer, RendererConfig};
use gitops_transport::{ClientPool, LocalAddresses};
use serde_json::{Map, Value, json};

/// Cases whose outcome is a fault of Argo CD, and a text our messages hold instead; empty: it just works.
const OURS: &[(&str, &str)] = &[
    (
        "clusters-one-name-twice",
        "both describe a cluster of the name",
    ),
    (
        "clusters-payments-mistake",
        "has no parameter .values.env; did you mean .env?",
    ),
    ("fast-key-collision", "both become"),
    ("go-key-collision", "both become"),
    ("fast-unresolved-path", "stays as it is: no parameter"),
    ("git-dirs-invalid-pattern", "is no usable pattern"),
    (
        "git-dirs-leading-slash",
        "matches nothing: paths are written from the root",
    ),
    ("git-dirs-project-missing", "does not exist"),
    ("git-files-null-and-bool-fast", "is null and no text"),
    ("git-files-numbers-fast", ""),
    ("git-files-numbers-go", ""),
    (
        "git-files-symlink-outside-yaml",
        "is a symbolic link that leads to no file of the repository",
    ),
    // Not called a fault there; exact numbers are asked for all the same.
    ("git-files-json-numbers", ""),
    ("matrix-elements-yaml-from-first", ""),
    ("go-label-value-invalid", "the label"),
    ("go-now", "the function now gives another result each time"),
    ("go-random", "the function randAlpha"),
    ("ignore-added-field", ""),
    ("list-duplicate-elements", ""),
    ("list-elements-yaml-fast", ""),
    (
        "list-fast-number",
        "it is a number, and without goTemplate: true every parameter is a text",
    ),
    ("list-nested-missing", ".db.size"),
    (
        "matrix-nested-too-deep",
        "may be nested one in the other, and no deeper",
    ),
    ("matrix-values-both", ""),
    ("matrix-values-list-and-clusters", ""),
    ("merge-clusters-list", ""),
    ("override-project-of-git", ""),
    ("patch-spec-null", "spec is null"),
    ("patch-unknown-field", "no Application has the field"),
    ("patch-values-object", ""),
    ("selector-bool-and-null", ""),
    ("time-empty-after-success", "nothing is generated any more"),
    ("valid-project-empty", "spec.project is empty"),
    (
        "valid-refused-blocks-deletion",
        "its name is none that Kubernetes takes",
    ),
    ("valid-two-errors", "absent-b"),
    ("clusters-appear-change-vanish", "is not known any more"),
    // Not called faults there; what is wrong is named.
    ("scm-gitea-bad-protocol", "is no protocol here"),
    ("scm-gitea-branch-missing", "but not its default branch"),
    ("scm-gitea-filter-bad-regex", "is no regular expression"),
    ("scm-gitea-organisation-missing", "it answered 404"),
    ("pr-gitea-filter-bad", "is no regular expression"),
];

/// What only a cluster shows: time that passes, watches, conditions of the controller itself.
const NOT_HERE: &[&str] = &[
    "clusters-unknown-to-list-set",
    "git-files-poll",
    "valid-project-appears",
    "time-refresh-annotation-on-error",
    "preserve-fields-live-wins",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/applicationsets")
}

/// The worker: `GITOPS_RENDERER`, or built here from agent/renderer.
fn renderer() -> Renderer {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        if let Some(given) = std::env::var_os("GITOPS_RENDERER") {
            return given.into();
        }
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gitops-renderer-sets");
        let status = Command::new("go")
            .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
            .arg(&built)
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../renderer"))
            .env("CGO_ENABLED", "0")
            .status()
            .expect("the go command is needed to build the render worker");
        assert!(status.success(), "go build of the render worker failed");
        built
    });
    Renderer::new(RendererConfig {
        max_workers: 2,
        ..RendererConfig::new(program)
    })
}

fn yaml(path: &Path) -> Vec<Value> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Vec::new();
    };
    let documents = text.split("\n---\n");
    let values = documents.map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    values.filter(|value| !value.is_null()).collect()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let map = value.as_object().into_iter().flatten();
    map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn cluster(secret: &Value) -> Cluster {
    let data = |key: &str| {
        secret["stringData"][key]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    Cluster {
        secret: secret["metadata"]["name"].as_str().unwrap().to_owned(),
        name: data("name"),
        server: data("server"),
        project: data("project"),
        labels: texts(&secret["metadata"]["labels"]),
        annotations: texts(&secret["metadata"]["annotations"]),
    }
}

/// Everything below a directory, as Git has it.
fn tree(root: &Path) -> Tree {
    fn walk(root: &Path, at: &Path, paths: &mut Vec<(String, PathKind)>) {
        for entry in std::fs::read_dir(at).unwrap().flatten() {
            let path = entry.path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_symlink() {
                let target = std::fs::canonicalize(&path).ok();
                let root = std::fs::canonicalize(root).unwrap();
                let target = target.filter(|target| target.is_file());
                let target = target
                    .and_then(|target| Some(target.strip_prefix(&root).ok()?.to_str()?.to_owned()));
                paths.push((name, PathKind::Link(target)));
            } else if kind.is_dir() {
                paths.push((name, PathKind::Directory));
                walk(root, &path, paths);
            } else {
                paths.push((name, PathKind::File));
            }
        }
    }
    let mut paths = Vec::new();
    walk(root, root, &mut paths);
    paths.sort();
    Tree {
        commit: root.to_str().unwrap().to_owned(),
        paths,
    }
}

/// A double of a forge, with the recorded answers of a case: by method, path and query, else by method and
/// path.
fn forge(answers: Value) -> HttpDouble {
    HttpDouble::start(move |asked, own| {
        let path = asked.target.split('?').next().unwrap();
        let target = |target: &str| answers.get(format!("{} {target}", asked.method));
        let Some(answer) = target(&asked.target).or_else(|| target(path)) else {
            return Told::json(404, &json!({"message": "Not Found"}));
        };
        let mut told = Told::json(200, &answer["json"]);
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            // The recorder's address begins with the name of the case.
            let value = value.as_str().unwrap();
            let value = value.replace("HTTP/scm-github-pages", own);
            told = told.with(name, &value);
        }
        told
    })
}

/// The state of one case between its steps.
struct World {
    name: String,
    params: BTreeMap<String, String>,
    projects: BTreeSet<String>,
    clusters: Vec<Cluster>,
    sets: BTreeMap<String, Value>,
    applications: BTreeMap<String, Value>,
    /// Directory that holds the repository now.
    repo: Option<PathBuf>,
    /// A forge of the case.
    forge: Option<HttpDouble>,
    /// Values of Secrets by name and key.
    secrets: BTreeMap<(String, String), String>,
    step: usize,
    said: Vec<String>,
}

impl World {
    fn parameter(&self, name: &str) -> &str {
        let name = format!("applicationsetcontroller.{name}");
        self.params.get(&name).map_or("", String::as_str)
    }

    fn inputs(&mut self, directory: &Path) {
        self.step += 1;
        if directory.join("repo").is_dir() {
            self.repo = Some(directory.join("repo"));
        }
        if directory.join("clusters.yaml").exists() {
            for secret in yaml(&directory.join("clusters.yaml")) {
                let new = cluster(&secret);
                self.clusters.retain(|one| one.secret != new.secret);
                self.clusters.push(new);
            }
            self.clusters.sort();
        }
        for object in yaml(&directory.join("objects.yaml")) {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            match object["kind"].as_str().unwrap() {
                "AppProject" => {
                    self.projects.insert(name);
                }
                "Application" => {
                    self.applications.insert(name, object);
                }
                "Secret" => {
                    for (key, value) in object["stringData"].as_object().into_iter().flatten() {
                        let value = value.as_str().unwrap().to_owned();
                        self.secrets.insert((name.clone(), key.clone()), value);
                    }
                }
                _ => {}
            }
        }
        if let Ok(text) = std::fs::read_to_string(directory.join("http.json")) {
            self.forge = Some(forge(serde_json::from_str(&text).unwrap()));
        }
        for set in yaml(&directory.join("set.yaml")) {
            let name = set["metadata"]["name"].as_str().unwrap().to_owned();
            self.sets.insert(name, set);
        }
        if let Ok(text) = std::fs::read_to_string(directory.join("edits.json")) {
            for edit in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
                let name = edit["name"].as_str().unwrap();
                if edit["kind"].as_str().unwrap().starts_with("applications.") {
                    let object = self.applications.get_mut(name).unwrap();
                    if edit["type"] == "json" {
                        let patch: json_patch::Patch =
                            serde_json::from_value(edit["patch"].clone()).unwrap();
                        json_patch::patch(object, &patch).unwrap();
                    } else {
                        json_patch::merge(object, &edit["patch"]);
                    }
                }
            }
        }
        if let Ok(text) = std::fs::read_to_string(directory.join("delete")) {
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let (kind, rest) = line.split_once('/').unwrap();
                let orphans = rest.contains("--cascade=orphan");
                let name = rest.split_whitespace().next().unwrap();
                match kind.split('.').next().unwrap() {
                    "secret" => self.clusters.retain(|one| one.secret != name),
                    "application" | "applications" => {
                        self.applications.remove(name);
                    }
                    "applicationset" | "applicationsets" => {
                        let set = self.sets.remove(name).unwrap();
                        assert!(set["metadata"]["finalizers"].is_null());
                        // The garbage collector's part, whatever the policy is.
                        let goes = !orphans;
                        self.applications.retain(|_, one| {
                            let is_own = one["metadata"]["ownerReferences"][0]["name"] == name;
                            if is_own {
                                one["metadata"]["ownerReferences"] = json!([]);
                            }
                            !(is_own && goes)
                        });
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }

    fn policy(&self, spec: &SetSpec) -> Policy {
        let policy = self.parameter("policy");
        Policy::of(spec.applications_sync.as_deref(), policy, policy.is_empty())
    }

    async fn generate(&self, spec: &SetSpec, renderer: &Renderer) -> Generation {
        let environment = Environment {
            clusters: self.clusters.clone(),
            file_globbing: if self.parameter("enable.new.git.file.globbing") == "true" {
                FileGlobbing::DoubleStar
            } else {
                FileGlobbing::Pathspec
            },
            hidden_directories: false,
            forges: Forges::default(),
            rolls: false,
        };
        let mut answers = Answers::new();
        for _ in 0..20 {
            match generate(spec, &environment, &answers) {
                Generation::Needs(needs) => {
                    assert!(!needs.is_empty());
                    answers.extend(renderer.meet(&needs).await);
                    for need in needs {
                        if let Some(answer) = self.answer(&need, renderer).await {
                            answers.insert(need, answer);
                        }
                    }
                }
                done => return done,
            }
        }
        panic!("{}: no end", self.name);
    }

    async fn answer(&self, need: &Need, renderer: &Renderer) -> Option<Result<Answer, Unmet>> {
        match need {
            Need::Tree(repository) => {
                if let Some(project) = &repository.project
                    && !self.projects.contains(project)
                {
                    let why = format!("the project {project} does not exist");
                    return Some(Err(Unmet::permanent(why)));
                }
                let is_own = repository.url == format!("GIT/{}.git", self.name);
                let repo = self.repo.as_ref().filter(|_| is_own);
                Some(match repo {
                    Some(repo) => Ok(Answer::Tree(Arc::new(tree(repo)))),
                    None => Err(Unmet::permanent("repository not found")),
                })
            }
            Need::Files { commit, paths, .. } => {
                let contents: Vec<String> = paths
                    .iter()
                    .map(|path| {
                        let bytes = std::fs::read(Path::new(commit).join(path)).unwrap();
                        String::from_utf8_lossy(&bytes).into_owned()
                    })
                    .collect();
                let values = renderer.read_yaml(&contents).await.unwrap();
                Some(Ok(Answer::Values(values.into())))
            }
            Need::Forge { account, question } => {
                let catalog = self.catalog(account);
                let question = question.clone();
                let asked = tokio::task::spawn_blocking(move || catalog.ask(&question));
                let listing = asked.await.unwrap();
                Some(match listing {
                    Ok(listing) => Ok(Answer::Forge(listing)),
                    Err(failure) => Err(Unmet::permanent(failure.to_string())),
                })
            }
            _ => None,
        }
    }

    fn catalog(&self, account: &Account) -> Catalog {
        let login = match &account.credential {
            Credential::Token(token) => {
                let place = (token.name.clone(), token.key.clone());
                Login::Token(self.secrets[&place].clone())
            }
            _ => Login::None,
        };
        let own = format!("HTTP/{}", self.name);
        assert_eq!(account.api, own);
        let account = Account {
            api: self.forge.as_ref().unwrap().address.clone(),
            ..account.clone()
        };
        let connection = Connection {
            clients: &ClientPool::default(),
            user_agent: "test",
            authorities: None,
            local_addresses: LocalAddresses::Allowed,
        };
        Catalog::new(&account, &login, connection).unwrap()
    }

    /// One look at every set; what its conditions are then.
    async fn look(&mut self, renderer: &Renderer) -> BTreeMap<String, Value> {
        let mut seen = BTreeMap::new();
        for (name, set) in self.sets.clone() {
            let spec = SetSpec::read(&set["spec"]);
            let mut report = Report::default();
            match self.generate(&spec, renderer).await {
                Generation::Needs(_) => unreachable!(),
                Generation::Failed(problems) => {
                    self.said.extend(problems.iter().map(Problem::to_string));
                    report.problems = problems;
                }
                Generation::Done {
                    applications,
                    warnings,
                } => {
                    self.said.extend(warnings.iter().map(ToString::to_string));
                    report.warnings = warnings;
                    let known = Destinations {
                        projects: self.projects.clone(),
                        clusters: self.clusters.clone(),
                    };
                    let validated = validate(applications, &known);
                    let list = |name: &str| {
                        let text = self.parameter(name);
                        text.split(',').map(str::to_owned).collect::<Vec<_>>()
                    };
                    let mut preserved = Names::default();
                    preserved
                        .annotations
                        .extend(spec.preserved_annotations.clone());
                    preserved
                        .annotations
                        .extend(list("global.preserved.annotations"));
                    preserved.labels.extend(spec.preserved_labels.clone());
                    preserved.labels.extend(list("global.preserved.labels"));
                    let existing = self.applications.iter().map(|(name, value)| {
                        let existing = Existing {
                            value: value.clone(),
                            is_leaving: false,
                        };
                        (name.clone(), existing)
                    });
                    let existing = existing.collect();
                    let plan = plan(&PlanInput {
                        set: &SetIdentity {
                            namespace: "argocd".into(),
                            name: name.clone(),
                            uid: "u".into(),
                        },
                        validated: &validated,
                        existing: &existing,
                        policy: self.policy(&spec),
                        preserved: &preserved,
                        ignored: &spec.ignored_differences,
                        known: &known,
                        rivals: &BTreeMap::new(),
                        held: &BTreeSet::new(),
                        is_approved: false,
                    });
                    self.carry_out(&plan);
                    report.held.clone_from(&plan.held_why);
                    self.said.push(plan.held_why.clone());
                    self.said
                        .extend(plan.invalid.iter().map(|one| one.message.clone()));
                    report.invalid = plan.invalid;
                }
            }
            let conditions = conditions(&report, &[], jiff::Timestamp::UNIX_EPOCH);
            let conditions = conditions
                .iter()
                .map(|one| json!([one.condition_type, one.status, one.reason]));
            seen.insert(name, conditions.collect());
        }
        seen
    }

    fn carry_out(&mut self, plan: &Plan) {
        for change in &plan.changes {
            match &change.verb {
                Verb::Create(object) => {
                    self.applications
                        .insert(change.name.clone(), object.clone());
                }
                Verb::Update(patch) => {
                    let object = self.applications.get_mut(&change.name).unwrap();
                    json_patch::merge(object, patch);
                }
                Verb::Delete => {
                    self.applications.remove(&change.name);
                }
                Verb::Keep => {}
            }
        }
    }

    fn shown(&self) -> Value {
        let applications = self.applications.iter().map(|(name, one)| {
            let mut view = Map::new();
            for key in ["labels", "annotations", "finalizers"] {
                let value = &one["metadata"][key];
                if !value.is_null() && *value != json!({}) && *value != json!([]) {
                    view.insert(key.into(), value.clone());
                }
            }
            let owners = one["metadata"]["ownerReferences"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let owners = owners.iter().map(|one| {
                json!({"kind": one["kind"], "name": one["name"],
                "controller": one["controller"], "blockOwnerDeletion": one["blockOwnerDeletion"]})
            });
            view.insert("ownerReferences".into(), owners.collect());
            view.insert("spec".into(), one["spec"].clone());
            if !one["operation"].is_null() {
                view.insert("operation".into(), one["operation"].clone());
            }
            (name.clone(), Value::Object(view))
        });
        Value::Object(applications.collect())
    }
}

/// Runs a case; the answer is where it first differs from what is expected, and all that was said.
async fn run(name: &str, renderer: &Renderer) -> (Option<String>, Vec<String>) {
    let directory = fixtures().join(name);
    let expected = std::fs::read_to_string(directory.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let common = yaml(&fixtures().join("_common/projects.yaml"));
    let mut world = World {
        name: name.to_owned(),
        params: texts(&expected["params"]),
        projects: common
            .iter()
            .map(|one| one["metadata"]["name"].as_str().unwrap().to_owned())
            .collect(),
        clusters: Vec::new(),
        sets: BTreeMap::new(),
        applications: BTreeMap::new(),
        repo: None,
        forge: None,
        secrets: BTreeMap::new(),
        step: 0,
        said: Vec::new(),
    };
    for (index, step) in expected["steps"].as_array().unwrap().iter().enumerate() {
        let inputs = match index {
            0 => directory.clone(),
            _ => directory.join(format!("step{}", index + 1)),
        };
        // The definition of the kind refuses these; the controller never sees them.
        if step["refused"] == true {
            return (None, world.said);
        }
        world.inputs(&inputs);
        let mut seen = world.look(renderer).await;
        // A second look finds nothing to do.
        let before = world.applications.clone();
        seen.extend(world.look(renderer).await);
        if before != world.applications {
            return (
                Some(format!("step {}: it does not come to rest", index + 1)),
                world.said,
            );
        }
        let shown = world.shown();
        if shown != step["applications"] {
            let difference = format!(
                "step {}: applications are {shown}, expected {}",
                index + 1,
                step["applications"]
            );
            return (Some(difference), world.said);
        }
        for (set, expected) in step["sets"].as_object().unwrap() {
            if seen.get(set) != Some(&expected["conditions"]) {
                let seen = seen.get(set).map(Value::to_string).unwrap_or_default();
                let difference = format!(
                    "step {}: conditions are {seen}, expected {}",
                    index + 1,
                    expected["conditions"]
                );
                return (Some(difference), world.said);
            }
        }
    }
    (None, world.said)
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_become_what_argo_cd_makes_of_them_but_for_its_faults() {
    let renderer = renderer();
    let mut names: Vec<String> = std::fs::read_dir(fixtures())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != "_common" && !NOT_HERE.contains(&name.as_str()))
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in &names {
        let (difference, said) = run(name, &renderer).await;
        let said = said.join("\n");
        match OURS.iter().find(|(ours, _)| ours == name) {
            Some((_, text)) if said.contains(text) => {}
            Some((_, text)) => wrong.push(format!("{name}: nothing says {text:?}, but:\n{said}")),
            None => {
                if let Some(difference) = difference {
                    wrong.push(format!("{name}: {difference}\n{said}"));
                }
            }
        }
    }
    assert!(names.len() > 200);
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        names.len(),
        wrong.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_come_out_as_written() {
    let renderer = renderer();
    for (case, set) in [
        ("git-files-numbers-go", "go"),
        ("git-files-numbers-fast", "fast"),
    ] {
        let directory = fixtures().join(case);
        let text = std::fs::read_to_string(directory.join("repo/n.yaml")).unwrap();
        let values = renderer.read_yaml(&[text]).await.unwrap();
        let Ok(Param::Map(values)) = &values[0] else {
            panic!("{set}")
        };
        for (key, expected) in [
            ("int", "3"),
            ("big", "123456789012"),
            ("bigger", "9007199254740993"),
            ("float", "1.5"),
            ("whole", "2.0"),
            ("exp", "1e3"),
            ("version", "1.10"),
            ("hex", "31"),
            ("quoted", "0123"),
        ] {
            assert_eq!(values[key].text().as_deref(), Some(expected), "{key}");
        }
    }
}
