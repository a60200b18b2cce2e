//! The series of Argo CD's application controller and repository server that dashboards and alerts ask
//! for, by its names and labels. Each has as many series as there are Applications, repositories, kinds.
//!
//! Source: Argo CD, operator manual, "Metrics".

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gitops_api::status::OperationState;
use gitops_api::{Application, HealthStatusCode, SyncStatusCode};
use gitops_core::source::shown;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the buckets of a reconciliation, in seconds.
const RECONCILE: [f64; 10] = [0.01, 0.05, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0];
/// Upper bounds of the buckets of a request to a Git server, in seconds.
const GIT: [f64; 6] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
/// The one cluster there is, as Applications name it.
const SERVER: &str = "https://kubernetes.default.svc";

/// An ended operation.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Sync {
    namespace: String,
    name: String,
    project: String,
    dest_server: String,
    phase: String,
    dry_run: bool,
}

/// What a reconciliation was about.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Destination {
    namespace: String,
    dest_server: String,
}

/// A kind of object in the cluster.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SeenKind {
    server: &'static str,
    group: String,
    kind: String,
}

/// A request to a Git server.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GitRequest {
    repo: String,
    request_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AppInfo {
    namespace: String,
    name: String,
    project: String,
    autosync_enabled: bool,
    repo: String,
    dest_server: String,
    dest_namespace: String,
    sync_status: String,
    health_status: String,
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AppCondition {
    namespace: String,
    name: String,
    condition: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClusterInfo {
    server: &'static str,
    k8s_version: String,
    name: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Server {
    server: &'static str,
}

/// The kind of a request to a Git server, in Argo CD's words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GitRequestKind {
    /// Its refs were listed.
    List,
    /// Commits were fetched.
    Fetch,
}

/// What only a scrape asks for.
#[derive(Debug, Default)]
struct Known {
    applications: OnceLock<Store<Application>>,
    version: Mutex<Option<String>>,
}

/// The series that are counted where things happen.
#[derive(Debug)]
pub(crate) struct ArgoCdMetrics {
    syncs: Family<Sync, Counter>,
    reconcile: Family<Destination, Histogram>,
    events: Family<SeenKind, Counter>,
    git: Family<GitRequest, Counter>,
    git_seconds: Family<GitRequest, Histogram>,
    known: Arc<Known>,
}

impl ArgoCdMetrics {
    /// Registers all of them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let known = Arc::new(Known::default());
        registry.register_collector(Box::new(Scrape(Arc::clone(&known))));
        let syncs = Family::default();
        registry.register("argocd_app_sync", "Ended operations", syncs.clone());
        let reconcile = Family::<_, Histogram>::new_with_constructor(|| Histogram::new(RECONCILE));
        registry.register(
            "argocd_app_reconcile",
            "Time of one reconciliation of one application in seconds",
            reconcile.clone(),
        );
        let events = Family::default();
        registry.register(
            "argocd_cluster_events",
            "Changes of objects that were seen",
            events.clone(),
        );
        let git = Family::default();
        registry.register("argocd_git_request", "Requests to Git servers", git.clone());
        let git_seconds = Family::<_, Histogram>::new_with_constructor(|| Histogram::new(GIT));
        registry.register(
            "argocd_git_request_duration_seconds",
            "Time of requests to Git servers in seconds",
            git_seconds.clone(),
        );
        Self {
            syncs,
            reconcile,
            events,
            git,
            git_seconds,
            known,
        }
    }

    /// From now on a scrape tells of these Applications.
    pub(crate) fn tell_of(&self, applications: Store<Application>) {
        drop(self.known.applications.set(applications));
    }

    /// The version of the API server.
    pub(crate) fn serves(&self, version: &str) {
        *self.known.version.lock() = Some(version.into());
    }

    /// Counts an operation that has ended.
    pub(crate) fn ended(&self, app: &Application, state: &OperationState) {
        let sync = Sync {
            namespace: app.namespace().unwrap_or_default(),
            name: app.name_any(),
            project: app.spec.effective_project().into(),
            dest_server: server(app).into(),
            phase: state.phase.to_string(),
            dry_run: state.operation.is_dry_run(),
        };
        self.syncs.get_or_create(&sync).inc();
    }

    /// Takes note of a reconciliation.
    pub(crate) fn reconciled(&self, namespace: &str, took: Duration) {
        let destination = Destination {
            namespace: namespace.into(),
            dest_server: SERVER.into(),
        };
        let reconcile = self.reconcile.get_or_create(&destination);
        reconcile.observe(took.as_secs_f64());
    }

    /// Counts a change of an object that was seen.
    pub(crate) fn saw(&self, group: &str, kind: &str) {
        let kind = SeenKind {
            server: SERVER,
            group: group.into(),
            kind: kind.into(),
        };
        self.events.get_or_create(&kind).inc();
    }

    /// Takes note of a request to a Git server.
    pub(crate) fn asked(&self, repository: &str, what: GitRequestKind, took: Duration) {
        let request = GitRequest {
            repo: shown(repository),
            request_type: match what {
                GitRequestKind::List => "ls-remote",
                GitRequestKind::Fetch => "fetch",
            },
        };
        self.git.get_or_create(&request).inc();
        self.git_seconds
            .get_or_create(&request)
            .observe(took.as_secs_f64());
    }
}

/// Asked by each scrape: what the Applications say now.
#[derive(Debug)]
struct Scrape(Arc<Known>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(applications) = self.0.applications.get() else {
            return Ok(());
        };
        let applications = applications.state();
        let one = ConstGauge::new(1_u64);
        let gauge = MetricType::Gauge;
        let mut family =
            encoder.encode_descriptor("argocd_app_info", "What an application is", None, gauge)?;
        for app in &applications {
            one.encode(family.encode_family(&info(app))?)?;
        }
        let help = "A condition of an application";
        let mut family = encoder.encode_descriptor("argocd_app_condition", help, None, gauge)?;
        for app in &applications {
            for labels in conditions(app) {
                one.encode(family.encode_family(&labels)?)?;
            }
        }
        let version = self.0.version.lock().clone().unwrap_or_default();
        let labels = ClusterInfo {
            server: SERVER,
            k8s_version: version,
            name: "in-cluster",
        };
        let help = "What a cluster is";
        let mut family = encoder.encode_descriptor("argocd_cluster_info", help, None, gauge)?;
        one.encode(family.encode_family(&labels)?)?;
        let help = "1 while the cluster can be reached";
        let name = "argocd_cluster_connection_status";
        let mut family = encoder.encode_descriptor(name, help, None, gauge)?;
        one.encode(family.encode_family(&Server { server: SERVER })?)
    }
}

fn info(app: &Application) -> AppInfo {
    let status = app.status.as_ref();
    let sync = status.and_then(|status| status.sync.as_ref());
    let health = status.and_then(|status| status.health.as_ref());
    let sources = app.spec.effective_sources();
    let automation = app.spec.sync_policy.as_ref();
    let destination = &app.spec.destination;
    AppInfo {
        namespace: app.namespace().unwrap_or_default(),
        name: app.name_any(),
        project: app.spec.effective_project().into(),
        autosync_enabled: automation.is_some_and(|policy| policy.automation().is_some()),
        repo: sources
            .first()
            .map_or_else(String::new, |source| shown(&source.repo_url)),
        dest_server: server(app).into(),
        dest_namespace: destination.namespace.clone(),
        sync_status: sync
            .map_or(SyncStatusCode::Unknown, |sync| sync.status)
            .to_string(),
        health_status: health
            .map_or(HealthStatusCode::Unknown, |health| health.status)
            .to_string(),
        operation: if app.metadata.deletion_timestamp.is_some() {
            "delete"
        } else if app.operation.is_some() {
            "sync"
        } else {
            ""
        },
    }
}

/// The types of the conditions of an application, each once.
fn conditions(app: &Application) -> Vec<AppCondition> {
    let conditions = app.status.iter().flat_map(|status| &status.conditions);
    let mut types: Vec<&str> = conditions
        .map(|found| found.condition_type.as_str())
        .collect();
    types.sort_unstable();
    types.dedup();
    let labels = types.into_iter().map(|condition| AppCondition {
        namespace: app.namespace().unwrap_or_default(),
        name: app.name_any(),
        condition: condition.into(),
    });
    labels.collect()
}

fn server(app: &Application) -> &str {
    let destination = &app.spec.destination;
    if destination.server.is_empty() && destination.name == "in-cluster" {
        SERVER
    } else {
        &destination.server
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};
    use serde_json::json;

    use super::super::Metrics;
    use super::*;

    /// The queries of Argo CD's public dashboard and of the usual alerts find what they select by.
    #[test]
    fn what_dashboards_and_alerts_ask_for_is_there() {
        let app: Application = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop", "namespace": "argocd"},
            "spec": {"project": "team", "syncPolicy": {"automated": {}},
                "source": {"repoURL": "https://bot:hunter2@git.example.org/Team/config.git", "path": "."},
                "destination": {"name": "in-cluster", "namespace": "shop"}},
            "status": {"sync": {"status": "OutOfSync"}, "health": {"status": "Degraded"},
                "conditions": [{"type": "SyncError", "message": "a"}, {"type": "SyncError", "message": "b"}],
                "operationState": {"phase": "Failed", "operation": {"sync": {}}, "startedAt": null}},
        }))
        .unwrap();
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&watcher::Event::Apply(app.clone()));
        let metrics = Metrics::new();
        let argo_cd = &metrics.argo_cd;
        argo_cd.tell_of(store);
        argo_cd.serves("1.35");
        let state = app
            .status
            .as_ref()
            .and_then(|status| status.operation_state.clone());
        argo_cd.ended(&app, &state.unwrap());
        argo_cd.reconciled("argocd", Duration::from_millis(300));
        argo_cd.saw("apps", "Deployment");
        let repository = "https://bot:hunter2@git.example.org/Team/config.git";
        argo_cd.asked(repository, GitRequestKind::Fetch, Duration::from_secs(1));
        let text = metrics.text().unwrap();
        for line in [
            r#"argocd_app_info{namespace="argocd",name="shop",project="team",autosync_enabled="true",repo="https://git.example.org/team/config",dest_server="https://kubernetes.default.svc",dest_namespace="shop",sync_status="OutOfSync",health_status="Degraded",operation=""} 1"#,
            r#"argocd_app_condition{namespace="argocd",name="shop",condition="SyncError"} 1"#,
            r#"argocd_app_sync_total{namespace="argocd",name="shop",project="team",dest_server="https://kubernetes.default.svc",phase="Failed",dry_run="false"} 1"#,
            r#"argocd_app_reconcile_bucket{le="0.5",namespace="argocd",dest_server="https://kubernetes.default.svc"} 1"#,
            r#"argocd_app_reconcile_count{namespace="argocd",dest_server="https://kubernetes.default.svc"} 1"#,
            r#"argocd_cluster_info{server="https://kubernetes.default.svc",k8s_version="1.35",name="in-cluster"} 1"#,
            r#"argocd_cluster_connection_status{server="https://kubernetes.default.svc"} 1"#,
            r#"argocd_cluster_events_total{server="https://kubernetes.default.svc",group="apps",kind="Deployment"} 1"#,
            r#"argocd_git_request_total{repo="https://git.example.org/team/config",request_type="fetch"} 1"#,
            "gitops_agent_leader 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("argocd_app_condition{").count(), 1, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
