//! One example of each reason: what docs/reasons.md shows, and what tests walk.

use gitops_api::{HealthStatusCode, SyncPhase};
use jiff::Timestamp;

use super::{
    FieldFight, Fight, Names, ObjectState, OverBudget, PruneQuestion, Reason, RequestedBy,
    SyncStep, Unready, WaitedFor,
};
use crate::manifest::object::ObjectKey;
use crate::manifest::phase::Phase;
use crate::sync::approval::Approval;

const COMMIT: &str = "91be07a0c3f5d2e8b7a6594837261504f3e2d1c0";
const REPOSITORY: &str = "https://git.example/acme/shop";

/// One of each, in the order of [`super::Code::ALL`].
pub fn examples() -> Vec<Reason> {
    let mut all = sources();
    all.extend(warnings());
    all.extend(differences());
    all.extend(operations());
    all.extend(results());
    all.extend(deletions());
    all
}

fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
    ObjectKey {
        group: group.into(),
        kind: kind.into(),
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn web() -> ObjectKey {
    key("apps", "Deployment", "web")
}

fn settings() -> ObjectKey {
    key("", "ConfigMap", "settings")
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + minute * 60).unwrap_or_default()
}

fn state(object: ObjectKey, state: &str) -> ObjectState {
    ObjectState {
        object,
        state: state.into(),
    }
}

fn sources() -> Vec<Reason> {
    let last_known = || Some(COMMIT.to_owned());
    let of = |text: &str| text.replace("REPOSITORY", REPOSITORY);
    vec![
        Reason::SpecInvalid {
            detail: "spec.source needs a path (\".\" for the whole repository) or a chart".into(),
        },
        Reason::ProjectMissing {
            project: "payments".into(),
            namespace: "argocd".into(),
        },
        Reason::ProjectDenies {
            detail: of(
                "project payments does not allow repository REPOSITORY; to allow it, add REPOSITORY \
                 to spec.sourceRepos of the AppProject",
            ),
        },
        Reason::ProjectUnusable {
            detail:
                "project payments demands signed commits (spec.signatureKeys), which this agent \
                     does not check yet; so nothing is synced in the name of this project. Remove \
                     spec.signatureKeys to sync without it"
                    .into(),
        },
        Reason::DestinationUnknown {
            destination: "https://prod.example:6443".into(),
        },
        Reason::RepositoryUnreachable {
            detail: of(
                "cannot reach REPOSITORY: connection refused; check the URL, DNS, network policies \
                 and the proxy, the next poll tries again",
            ),
            last_known: last_known(),
        },
        Reason::RepositoryNotFound {
            detail: of(
                "no repository at REPOSITORY: 404; check the URL, and that the credentials may read \
                 it (servers answer the same when they may not)",
            ),
            last_known: None,
        },
        Reason::RepositoryAccessDenied {
            detail: of(
                "access to REPOSITORY denied: 401; check the credentials in its repository Secret \
                 and what they may read",
            ),
            last_known: None,
        },
        Reason::CertificateUntrusted {
            detail: of("cannot trust the TLS certificate of REPOSITORY: unknown issuer"),
            last_known: None,
        },
        Reason::HostKeyUntrusted {
            detail:
                "the ssh host key of ssh://git@git.example/acme/shop is not trusted: it changed"
                    .into(),
            last_known: None,
        },
        Reason::RevisionUnknown {
            detail: of("revision \"mian\" is not in REPOSITORY; did you mean main?"),
            last_known: None,
        },
        Reason::RepositoryFailed {
            detail: of("the mirror of REPOSITORY is damaged; the next fetch replaces it"),
            last_known: None,
        },
        Reason::RepositoryFetching {
            detail: of("fetching REPOSITORY since 2026-07-01T09:30:00Z; it goes on by itself"),
        },
        Reason::ChartNotFound {
            detail: "chart web 9.x not found in https://charts.example; newest is 1.0.0".into(),
        },
        Reason::ChartInvalid {
            detail: "index.yaml of https://charts.example is not an index of charts".into(),
        },
        Reason::PathMissing {
            detail:
                "path apps/wbe does not exist in revision 91be07a; correct spec.source.path or \
                     commit the directory"
                    .into(),
        },
        Reason::RenderFailed {
            detail: "apps/web/deploy.yaml:9: mapping values are not allowed here".into(),
            file: Some("apps/web/deploy.yaml:9".into()),
        },
        Reason::RenderLimit {
            detail:
                "rendering took longer than 60 s and was ended; look for endless loops or very \
                     large ranges in templates"
                    .into(),
        },
        Reason::RendererFailed {
            detail: "the render worker ended while it rendered".into(),
        },
        Reason::ManifestInvalid {
            detail: "apps/web/deploy.yaml:1: metadata.name is missing".into(),
        },
        Reason::KindUnknown {
            objects: Names::of([key("example.com", "Widget", "one")]),
        },
        Reason::ComparisonFailed {
            detail: "the API server cannot be reached: connection refused".into(),
        },
    ]
}

fn warnings() -> Vec<Reason> {
    vec![
        Reason::EmptyRender {},
        Reason::SharedResource {
            object: settings(),
            owner: "one".into(),
            application: "web".into(),
        },
        Reason::RepeatedResource {
            detail: "ConfigMap shop/settings is in the manifests twice: a.yaml:1 and b.yaml:1"
                .into(),
        },
        Reason::RenderWarning {
            detail: "notes.yaml is not a Kubernetes manifest and was left out; name it in \
                     directory.exclude to say so"
                .into(),
        },
        Reason::RevisionAmbiguous {
            target: "v1".into(),
            taken: "refs/tags/v1".into(),
            other: "refs/heads/v1".into(),
        },
        Reason::TagMoved {
            tag: "v1".into(),
            before: "0123456789abcdef0123456789abcdef01234567".into(),
            after: "89abcdef0123456789abcdef0123456789abcdef".into(),
        },
        Reason::ExcludedResource {
            detail: "Lease shop/leader is excluded by resource.exclusions of argocd-cm".into(),
        },
        Reason::InvalidSetting {
            detail: "spec.syncPolicy.syncOptions: Prun=false is not known; did you mean \
                     Prune=false?"
                .into(),
        },
        Reason::AdmissionMutated {
            object: web(),
            detail: ".spec.replicas is 3 in Git, and admission makes it 2".into(),
        },
        Reason::FieldKept {
            object: web(),
            field: ".spec.replicas".into(),
            manager: "kube-controller-manager".into(),
        },
        Reason::FieldLeftOut {
            object: web(),
            field: ".spec.replcas".into(),
            repeated: false,
            origin: "web.yaml:12".into(),
        },
        Reason::HoldInForce {
            revision: COMMIT.into(),
            instead_of: "4f2a9c1d".repeat(5),
            until: Some(at(600)),
            by: "mira".into(),
            why: "checkout broken".into(),
        },
        Reason::HoldInvalid {
            detail: "it names no revision to deliver".into(),
        },
        Reason::Paused {
            by: "mira".into(),
            why: "INC-7".into(),
            since: Some(at(0)),
            until: Some(at(120)),
            everything: false,
        },
    ]
}

fn differences() -> Vec<Reason> {
    let objects = || Names::of([web(), settings()]);
    vec![
        Reason::ObjectsMissing { objects: objects() },
        Reason::ObjectsChanged { objects: objects() },
        Reason::ObjectsDrifted { objects: objects() },
        Reason::ObjectsNotInGit { objects: objects() },
        Reason::ObjectsHandedOver { objects: objects() },
        Reason::AutoSyncOff {},
        Reason::SetDecidesSync {
            set: "fleet".into(),
        },
        Reason::PruneOff {},
        Reason::SelfHealOff {},
        Reason::RetriesExhausted { retries: 5 },
        Reason::RetryScheduled {
            attempt: 2,
            at: at(1),
        },
        Reason::SelfHealBackoff {
            times: 5,
            objects: vec![Fight {
                object: web(),
                fields: vec![FieldFight {
                    path: ".spec.replicas".into(),
                    manager: Some("autoscaler".into()),
                }],
            }],
        },
        Reason::HandoverWaiting {
            applications: Names::of(["argocd/one"]),
        },
        Reason::DependencyWaiting {
            applications: vec![WaitedFor {
                application: "database".into(),
                state: Unready::NotHealthy {
                    health: HealthStatusCode::Progressing,
                },
            }],
        },
        Reason::DependencyCircle {
            applications: vec!["shop".into(), "database".into(), "shop".into()],
        },
        Reason::SyncWindow {
            by: RequestedBy::Automation,
            project: "night".into(),
            windows: vec!["allow window \"0 2 * * *\" Europe/Berlin for 1h".into()],
            denied: false,
            opens: Some(at(60)),
        },
        Reason::SyncWindowInvalid {
            detail: "spec.syncWindows[0] of project night, allow window \"0 2 * *\" UTC for 1h: \
                     schedule \"0 2 * *\": it has 4 fields"
                .into(),
        },
        Reason::SyncWindowProblem {
            detail:
                "spec.syncWindows[0] of project night, allow window \"0 2 * * *\" Mars/Olympus \
                     for 1h: there is no time zone \"Mars/Olympus\"; UTC is used"
                    .into(),
        },
        Reason::PruneApproval {
            revision: COMMIT.into(),
            question: PruneQuestion {
                objects: objects(),
                over: Some(OverBudget {
                    total: 3,
                    budget: "1".into(),
                }),
                guests: Names::default(),
            },
            asked: at(0),
            approval: Approval::TooOld(at(-1)),
            namespace: "argocd".into(),
            application: "web".into(),
        },
    ]
}

fn operations() -> Vec<Reason> {
    let step = |phase| SyncStep {
        phase,
        wave: 0,
        prune: false,
    };
    vec![
        Reason::Syncing {},
        Reason::HookWaiting {
            step: step(SyncPhase::PreSync),
            objects: vec![state(
                key("batch", "Job", "migrate"),
                "Progressing: 1 active",
            )],
            more: 0,
        },
        Reason::WaveWaiting {
            step: step(SyncPhase::Sync),
            objects: vec![state(web(), "Progressing: 1 of 3 replicas are ready")],
            more: 2,
        },
        Reason::Terminated {},
        Reason::SyncTimeout {
            seconds: 600,
            waiting: "waiting in PreSync wave 0 for batch/Job shop/migrate".into(),
        },
        Reason::Superseded {
            waiting: "waiting in Sync wave 0 for apps/Deployment shop/web".into(),
        },
        Reason::ObjectsFailed {
            objects: vec![state(web(), "spec.selector: field is immutable")],
            more: 0,
        },
        Reason::SyncFailed {
            revision: COMMIT.into(),
            detail: "apps/Deployment shop/web: spec.selector: field is immutable".into(),
        },
        Reason::SyncRetrying {
            failure: "apps/Deployment shop/web: spec.selector: field is immutable".into(),
            attempt: 1,
            at: at(1),
        },
        Reason::NamespaceNotCreated {
            namespace: "shop".into(),
            detail: "namespaces is forbidden".into(),
        },
        Reason::ManifestsUnsupported {},
        Reason::SharedResourceRefused {
            objects: Names::of(["ConfigMap shop/settings is part of application one"]),
        },
        Reason::DryRunRefused {
            summary: "dry run: would apply 2 and prune 0 objects".into(),
            objects: Names::of(["apps/Deployment shop/web: spec.selector: field is immutable"]),
        },
    ]
}

fn results() -> Vec<Reason> {
    vec![
        Reason::ImmutableField {
            detail: "Deployment.apps \"web\" is invalid: spec.selector: field is immutable".into(),
        },
        Reason::QuotaExceeded {
            detail: "pods \"a\" is forbidden: exceeded quota: small".into(),
        },
        Reason::AdmissionDenied {
            detail: "admission webhook \"policy.example\" denied the request: no latest tags"
                .into(),
        },
        Reason::NamespaceMissing {
            detail: "namespaces \"shop\" not found; namespace shop does not exist: add the sync \
                     option CreateNamespace=true, or a Namespace manifest"
                .into(),
        },
        Reason::NamespaceTerminating {
            detail: "namespace shop is being terminated".into(),
        },
        Reason::ObjectKindUnknown {
            detail: "the cluster does not serve example.com/v1 Widget".into(),
        },
        Reason::ObjectNotOwn {
            detail: "it belongs to application bank; it is left alone".into(),
        },
        Reason::AgentForbidden {
            detail: "User \"system:serviceaccount:argocd:gitops-agent\" cannot patch resource \
                     \"roles\""
                .into(),
        },
        Reason::ApiServerUnreachable {
            detail: "the API server cannot be reached: connection refused".into(),
        },
        Reason::ObjectRefused {
            detail: "spec.replicas: Invalid value: -1".into(),
        },
        Reason::ObjectDegraded {
            detail: "Degraded: exceeded its progress deadline".into(),
        },
        Reason::HookFailed {
            detail: "Degraded: Job has reached the specified backoff limit".into(),
        },
        Reason::HookRunning {
            detail: "Progressing: 1 active".into(),
        },
        Reason::DefinitionNotEstablished { seconds: 30 },
        Reason::PruneNotRequested {},
        Reason::PruneForbidden {},
        Reason::PruneAwaitsApproval {},
        Reason::PruneWouldDeleteAll {},
        Reason::AgentStopped {},
        Reason::OwnedByOther {
            owner: "one".into(),
        },
        Reason::AlreadyDeleting {},
        Reason::Unconfirmed {},
    ]
}

fn deletions() -> Vec<Reason> {
    let finalizer = || "pre-delete-finalizer.argocd.argoproj.io".to_owned();
    let migrate = || key("batch", "Job", "migrate");
    vec![
        Reason::DeletionBlocked {
            detail: "project payments does not exist, and it says what may be deleted; create it \
                     again"
                .into(),
            finalizers: Names::of(["resources-finalizer.argocd.argoproj.io"]),
            namespace: "argocd".into(),
            application: "web".into(),
        },
        Reason::DeletionApproval {
            objects: Names::of([key("", "PersistentVolumeClaim", "data")]),
            guests: Names::default(),
            approval: Approval::Missing,
            namespace: "argocd".into(),
            application: "web".into(),
        },
        Reason::DeletionHooksUnknown {
            phase: Phase::PreDelete,
            detail: "revision \"mian\" is not in https://git.example/acme/shop".into(),
            finalizer: finalizer(),
        },
        Reason::DeletionHookFailed {
            phase: Phase::PreDelete,
            hooks: Names::of([format!("{}: Degraded", migrate())]),
            finalizer: finalizer(),
            logs: vec![],
        },
        Reason::DeletionHookWaiting {
            phase: Phase::PreDelete,
            hooks: Names::of([format!("{} (Progressing)", migrate())]),
        },
        Reason::DeletionWaiting {
            wave: 0,
            objects: Names::of([key("", "PersistentVolumeClaim", "data")]),
        },
        Reason::DeletionFailed {
            detail: "cannot look up its objects: the API server cannot be reached".into(),
        },
    ]
}
