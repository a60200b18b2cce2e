//! Random secrets at every place where secrets are kept, through everything that makes something to
//! be read: nothing of it holds one, in any form.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use gitops_api::constants::{annotation, condition, label};
use gitops_api::preview::{PreviewPhase, PreviewStatus};
use gitops_api::status::{HealRecord, RevisionHistory};
use gitops_api::{AppProject, Application, ApplicationSpec, ApplicationStatus};
use gitops_core::compare::comparison::{self, Comparison, State};
use gitops_core::compare::{drift, pipeline};
use gitops_core::live::admission::{self, MutatedByAdmission};
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::{Context, DesiredSet, Manifest, Scope, prepare};
use gitops_core::manifest::object::{ObjectKey, Origin};
use gitops_core::mask::{Mask, mask_output, mask_text};
use gitops_core::project::{ProjectRules, Surroundings};
use gitops_core::reason::Reason;
use gitops_core::report::preview::{DryRun, SyncPreview, refused};
use gitops_core::report::refusal::Refusal;
use gitops_core::report::status::{Compared, Condition, Report, build};
use gitops_core::report::{heals, hook_log, preview, size};
use gitops_core::source;
use gitops_core::source::{RepositorySecret, RepositorySecrets};
use gitops_views::diff::change;
use gitops_views::explain::{Evidence, explain};
use gitops_views::history::History;
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::Summary;
use gitops_views::status::drift as views;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

/// An annotation the installation hides.
const SENSITIVE: &str = "acme.test/code";

fn now() -> Timestamp {
    Timestamp::from_second(1_767_268_800).unwrap()
}

/// A secret at every place where secrets are kept; `other` is what is beside it and may be read.
fn objects(secret: &str, other: &str) -> Vec<Value> {
    let encoded = STANDARD.encode(secret);
    let nested = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "n"},
        "data": {"a": encoded, "same": "c2FtZQ=="}, "stringData": {"b": secret}});
    let object = |kind: &str, name: &str, rest: Value| {
        let mut object = json!({"apiVersion": "acme.test/v1", "kind": kind,
            "metadata": {"name": name, "namespace": "n", "uid": "u", "resourceVersion": "1"}, "other": other});
        for (field, value) in rest.as_object().unwrap() {
            object[field] = value.clone();
        }
        object
    };
    let mut annotated = object("Thing", "annotated", json!({}));
    annotated["metadata"]["annotations"] = json!({SENSITIVE: secret,
        annotation::LAST_APPLIED: json!({"kind": "Thing", "spec": {"password": secret}}).to_string()});
    let mut applied = object("Secret", "applied", json!({"data": {"k": encoded}}));
    applied["metadata"]["annotations"] = json!({annotation::LAST_APPLIED: nested.to_string()});
    let yaml = format!("db:\n  password: '{secret}'\nother: {other}\n");
    vec![
        object(
            "Secret",
            "plain",
            json!({"data": {"k": encoded}, "stringData": {"x": secret}}),
        ),
        applied,
        annotated,
        object(
            "Object",
            "crossplane",
            json!({"spec": {"forProvider": {"manifest": nested}}}),
        ),
        object(
            "ManifestWork",
            "work",
            json!({"spec": {"workload": {"manifests": [nested, nested]}}}),
        ),
        object(
            "SealedSecret",
            "sealed",
            json!({"spec": {"template": {"data": {"k": secret}}}}),
        ),
        object(
            "HelmChart",
            "chart",
            json!({"spec": {"valuesContent": yaml}}),
        ),
        object(
            "ConfigMap",
            "settings",
            json!({"data": {
            "DB_PASSWORD": secret, "tls.key": secret, "app.yaml": yaml,
            "manifest.json": nested.to_string(), "app.properties": format!("a=b\ndb.password={secret}\n"),
            "key.pem": format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n")}}),
        ),
        object(
            "Deployment",
            "web",
            json!({"spec": {"containers": [{"name": "a",
            "env": [{"name": "API_TOKEN", "value": secret}, {"name": "MODE", "value": other}],
            "args": [format!("--password={secret}"), format!("--db=postgres://u:{encoded}@db/x")]}]}}),
        ),
        object(
            "Cluster",
            "custom",
            json!({"spec": {"auth": {"adminPassword": secret, "apiKey": encoded}}}),
        ),
    ]
}

fn desired(manifests: &[Value], mask: &Mask) -> DesiredSet {
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    let manifests = manifests.iter().map(|value| Manifest {
        value: value.clone(),
        origin: Origin::default(),
    });
    let set = prepare(manifests.collect(), context, |_| Some(Scope::Namespaced));
    set.unwrap().masked_by(mask)
}

/// Everything that is said of objects that are other than Git states.
fn outputs(wanted: &str, found: &str) -> Vec<(&'static str, String)> {
    let mask = Mask::new([SENSITIVE.to_owned()]);
    let git = desired(&objects(wanted, "one"), &mask);
    let live = objects(found, "two");
    let mut said: Vec<(&'static str, String)> = Vec::new();
    let spec = ApplicationSpec::default();
    let asks = SyncPreview {
        spec: &spec,
        desired: &git,
        mask: &mask,
        whole: true,
        now: now(),
    };
    let mut comparison = Comparison::new();
    let mut records = HashMap::new();
    let mut conditions = BTreeSet::new();
    let mut previews = Vec::new();
    let mut healed = Vec::new();
    for live in &live {
        let key = ObjectKey::of(live).unwrap();
        let object = &git.objects[&key];
        let sent = object.manifest();
        let confirmed = comparison::confirm(live, &sent, object, Timestamp::UNIX_EPOCH);
        if let State::Drifted(fields) = &confirmed.state {
            let events: Vec<String> = fields.iter().map(drift::describe).collect();
            said.push(("event and log", events.join("; ")));
            healed.push((key.clone(), fields.clone()));
        }
        said.push(("comparison", format!("{confirmed:?}")));
        let changed = MutatedByAdmission {
            fields: admission::fields(&sent, live, object),
            by: vec![],
        };
        conditions.insert(Condition::new(
            condition::OVERRULED_WARNING,
            Reason::AdmissionMutated {
                object: key.clone(),
                detail: changed.to_string(),
            },
        ));
        let quoting = format!("spec.x: Invalid value: \"{wanted}\": must be shorter");
        let refusal = Refusal {
            code: 422,
            reason: "Invalid",
            message: &quoting,
            fields: &["spec.x"],
        };
        let message = mask.message(&refusal.text(&key), &sent);
        let denied = DryRun::Refused {
            code: 422,
            message: &message,
        };
        let answers = [
            asks.with_dry_run(object, Some(live), DryRun::Applied(&sent)),
            asks.with_dry_run(object, None, DryRun::Applied(&sent)),
            asks.with_dry_run(object, Some(live), denied),
            asks.extra(&key, "v1", live).into(),
            refused(object, &quoting).into(),
        ];
        let answers = answers.into_iter().map(|answer| (key.clone(), answer));
        previews.extend(preview::collect(answers).0);
        said.push(("refusal", message));
        comparison.insert(key.clone(), confirmed.state);
        records.insert(key, LiveObject::observe(live, true).unwrap());
    }
    for shown in &previews {
        for field in &shown.fields {
            let lines = change::lines(field.live.as_deref(), field.desired.as_deref());
            said.push(("diff", format!("{lines:?}")));
        }
    }
    let answer = PreviewStatus {
        phase: PreviewPhase::Succeeded,
        digest: git.digest().to_owned(),
        objects: previews,
        warnings: pipeline::notes(&git).collect(),
        ..PreviewStatus::default()
    };
    said.push(("preview", json!(answer).to_string()));

    let mut records_of_heals: Vec<HealRecord> = Vec::new();
    heals::record(&mut records_of_heals, &healed, "abc", now());
    let status = build(&Report {
        tracked: None,
        previous: &ApplicationStatus {
            heals: records_of_heals,
            history: vec![RevisionHistory::default()],
            ..ApplicationStatus::default()
        },
        spec: &spec,
        compared: Some(Compared {
            desired: &git,
            comparison: &comparison,
            live: &records,
            hooks: &[],
            denied: &[],
            ignored: &HashMap::new(),
            revisions: &["abc".to_owned()],
            source_types: &["Directory".to_owned()],
        }),
        conditions: &conditions,
        reasons: &[],
        operation: None,
        live: None,
        namespace: "argocd",
        max_bytes: size::MAX_STATUS,
        now: now(),
    });
    said.push(("status", json!(status).to_string()));
    for drift in status.resources.iter().flat_map(|resource| &resource.drift) {
        said.push(("drift", views::in_short(drift, now(), true)));
        said.push(("drift", views::values(drift, 200, true)));
    }
    let application = Application {
        spec,
        status: Some(status),
        ..Application::default()
    };
    let summary = Summary::of(&application, now(), true);
    said.push(("summary", format!("{summary:?}")));
    said.push((
        "history",
        format!("{:?}", History::of(&application, Timestamp::UNIX_EPOCH)),
    ));
    let explained = explain(&Evidence {
        application: Some(application),
        subject: None,
        agent: Agent::Absent,
        agent_namespace: "argocd".into(),
        workloads: Workloads::default(),
        claims: vec![],
        live: vec![],
        events: vec![],
        flags: String::new(),
        now: now(),
        unicode: true,
    });
    said.push(("explain", format!("{explained:?}")));
    said
}

/// What is said of repositories and of programs that know the secret.
fn words(secret: &str) -> Vec<(&'static str, String)> {
    let labels = BTreeMap::from([(label::SECRET_TYPE.to_owned(), "repository".to_owned())]);
    let fields = [
        "password",
        "bearerToken",
        "sshPrivateKey",
        "tlsClientCertKey",
        "githubAppPrivateKey",
        "gcpServiceAccountKey",
        "proxy",
        "insecure",
        "githubAppID",
        "enableLfs",
    ];
    let mut data: BTreeMap<String, Vec<u8>> = fields
        .map(|field| (field.to_owned(), secret.as_bytes().to_vec()))
        .into();
    let url = format!("https://bob:{}@git.test/a/b", percent(secret));
    data.insert("url".into(), url.clone().into_bytes());
    let repository = RepositorySecret {
        name: "repository",
        labels: &labels,
        data: &data,
    };
    let secrets = RepositorySecrets::from_secrets([repository]);
    let problems: Vec<String> = secrets.problems().iter().map(ToString::to_string).collect();
    let entry = secrets.select(&url, "");
    let known = entry.iter().flat_map(|entry| entry.secrets());
    let known: Vec<&str> = known.collect();
    let failure = format!(
        "fatal: {url}: remote said {secret} and {}",
        STANDARD.encode(secret)
    );
    let spec: ApplicationSpec = serde_json::from_value(json!({
        "source": {"repoURL": url, "targetRevision": "a..b", "path": "../x"}, "destination": {"namespace": "n"}}))
    .unwrap();
    let invalid = source::validate(&spec).unwrap_err();
    let denied = ProjectRules::of(&AppProject::default(), &Surroundings::default())
        .unwrap()
        .permits_source(&url);
    let pod = json!({"data": {"k": STANDARD.encode(secret)}});
    vec![
        ("problems of repository Secrets", problems.join("; ")),
        ("repository entry", format!("{entry:?} {secrets:?}")),
        ("git error", mask_text(&failure, &known)),
        ("git error", mask_text(&failure, &[secret])),
        ("invalid spec", format!("{invalid:?}")),
        (
            "denied",
            denied.map_err(|denial| denial.to_string()).unwrap_err(),
        ),
        (
            "hook log",
            hook_log::told(&failure, &hook_log::values(&pod)).unwrap(),
        ),
        (
            "program output",
            mask_output::<&str>(&format!("DB_PASSWORD={secret} --token {secret}"), &[]),
        ),
    ]
}

fn percent(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    bytes.concat()
}

/// Every form in which a text may hold a secret: as it is, in base64 at any of three alignments and
/// as JSON writes it.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![
        secret.to_owned(),
        percent(secret),
        STANDARD.encode(secret),
        json!(secret).to_string().trim_matches('"').to_owned(),
    ];
    for skipped in 0..3 {
        let middle = STANDARD_NO_PAD.encode(&secret[skipped..]);
        // The last character depends on what follows.
        forms.push(middle[..middle.len() - 2].to_owned());
    }
    forms
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_secret_is_in_anything_that_can_be_read(
        wanted in "[A-Za-z0-9!$%&/+=._-]{3}q7Z[A-Za-z0-9!$%&/+=._-]{4,18}",
        found in "[A-Za-z0-9!$%&/+=._-]{3}k9X[A-Za-z0-9!$%&/+=._-]{4,18}",
    ) {
        let mut said = outputs(&wanted, &found);
        said.extend(words(&wanted));
        for secret in [&wanted, &found] {
            for form in forms(secret) {
                for (what, text) in &said {
                    prop_assert!(!text.contains(&form), "{} shows {}: {}", what, form, text);
                }
            }
        }
        let status = said.iter().find(|(what, _)| *what == "status");
        let shows_the_rest = status.is_some_and(|(_, text)| text.contains(".other"));
        prop_assert!(shows_the_rest, "what is no secret is told");
    }
}
