//! Asking the agent what the cluster would look like: a Preview is created, watched until it is
//! answered, and deleted again, also when the user does not wait for the answer.
//!
//! Decides when to give up and what to say then. What is asked, and what the answer means, is the
//! business of the commands; nothing but the Preview itself is ever written.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use futures::StreamExt;
use gitops_api::constants::LEASE_NAME;
use gitops_api::preview::{Preview, PreviewPhase, PreviewRequester, PreviewSpec, PreviewStatus};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::{interrupt, text};
use gitops_views::status::agent::Agent;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, watcher};

use crate::cluster::connection::Connection;
use crate::cluster::failure;
use crate::cluster::installation::AGENT_PODS;

/// Who creates the question, for the cluster's audit log.
const FIELD_MANAGER: &str = "kubectl-gitops";
/// After this long without a sign of the agent its Lease is looked at.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without a sign of an agent that lives, it cannot know the question.
const MAX_NOTICE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer when nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Beginning of the Preview's name: `diff-`.
    pub name: &'static str,
    /// Namespace of the Application.
    pub namespace: String,
    /// What is asked.
    pub spec: PreviewSpec,
    /// Longest wait for the answer; zero waits without end.
    pub timeout: Duration,
}

impl Question {
    /// A question with the usual timeout.
    pub fn new(name: &'static str, namespace: impl Into<String>, spec: PreviewSpec) -> Self {
        Self {
            name,
            namespace: namespace.into(),
            spec,
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreviewError {
    /// The agent's answer is that there is none: what is asked about does not exist, or does not
    /// render.
    Failed {
        /// Name of the Application.
        application: String,
        /// What the agent says.
        reason: String,
    },
    /// It could not be asked, or did not answer.
    Unanswered(CommandError),
}

impl From<CommandError> for PreviewError {
    fn from(error: CommandError) -> Self {
        Self::Unanswered(error)
    }
}

impl From<PreviewError> for CommandError {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Failed {
                application,
                reason,
            } => Self::new(
                CommandErrorKind::Usage,
                format!("the agent cannot answer for Application {application:?}: {reason}"),
            ),
            PreviewError::Unanswered(error) => error,
        }
    }
}

/// Asks, waits and tidies up. `progress` is told, in a few words, what is being waited for. An
/// answer that says why there is none comes back as an error.
pub async fn ask(
    connection: &Connection,
    question: Question,
    mut progress: impl FnMut(&str),
) -> Result<PreviewStatus, PreviewError> {
    let api: Api<Preview> = Api::namespaced(connection.client.clone(), &question.namespace);
    // Named here and not by the server: what is interrupted while it is created has a name, too.
    let name = format!("{}{}", question.name, random());
    let preview = Preview {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        spec: PreviewSpec {
            requester: requester(connection).await,
            ..question.spec.clone()
        },
        ..Preview::default()
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    progress("asking the agent");
    let mut asked = Asked {
        name,
        api,
        is_there: true,
    };
    let created = connection.wait(asked.api.create(&params, &preview)).await?;
    if let Err(error) = created {
        asked.is_there = false;
        return Err(not_asked(error, &question, connection).into());
    }
    let answer = wait(connection, &question, &asked, &mut progress).await;
    asked.delete(connection).await;
    let answer = answer?;
    if answer.phase == PreviewPhase::Failed {
        return Err(PreviewError::Failed {
            application: question.spec.application,
            reason: text::one_line(&answer.message),
        });
    }
    Ok(answer)
}

/// Who asks, as the API server knows them; `None` where it does not say: then the agent shows what
/// anybody may read.
async fn requester(connection: &Connection) -> Option<PreviewRequester> {
    let api: Api<SelfSubjectReview> = Api::all(connection.client.clone());
    let params = PostParams::default();
    let review = SelfSubjectReview::default();
    let answer = connection.wait(api.create(&params, &review)).await.ok()?;
    let user = answer.ok()?.status?.user_info?;
    Some(PreviewRequester {
        username: user.username?,
        groups: user.groups.unwrap_or_default(),
    })
}

/// Eight letters and digits nobody else thinks of at the same time.
fn random() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let number = RandomState::new().build_hasher().finish();
    (0..8)
        .map(|place| char::from(ALPHABET[(number >> (place * 5)) as usize % 32]))
        .collect()
}

/// A Preview in the cluster; what is dropped before it was deleted is deleted at the end.
struct Asked {
    api: Api<Preview>,
    name: String,
    is_there: bool,
}

impl Asked {
    async fn delete(mut self, connection: &Connection) {
        // A failure is nothing to speak of: the agent deletes what was answered, too.
        let _ = connection
            .wait(self.api.delete(&self.name, &DeleteParams::default()))
            .await;
        self.is_there = false;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.is_there {
            let (api, name) = (self.api.clone(), std::mem::take(&mut self.name));
            interrupt::leave(async move {
                // As above.
                let _ = api.delete(&name, &DeleteParams::default()).await;
            });
        }
    }
}

async fn wait(
    connection: &Connection,
    question: &Question,
    asked: &Asked,
    progress: &mut impl FnMut(&str),
) -> Result<PreviewStatus, CommandError> {
    let started = Instant::now();
    let mut states = watcher::watch_object(asked.api.clone(), &asked.name)
        .default_backoff()
        .boxed();
    let mut noticed = false;
    let mut agent = None;
    loop {
        let pause = next_look(
            question.timeout,
            started.elapsed(),
            noticed,
            agent.is_some(),
        );
        let state = match pause {
            None => Ok(states.next().await),
            Some(pause) => tokio::time::timeout(pause, states.next()).await,
        };
        match state {
            Ok(Some(Ok(Some(preview)))) => {
                let answer = preview.status.unwrap_or_default();
                match answer.phase {
                    PreviewPhase::Succeeded | PreviewPhase::Failed => return Ok(answer),
                    PreviewPhase::Running if !noticed => {
                        noticed = true;
                        progress("the agent is rendering");
                    }
                    PreviewPhase::Running | PreviewPhase::Unknown => {}
                }
            }
            Ok(Some(Ok(None)) | None) => return Err(gone(question, asked)),
            Ok(Some(Err(error))) => {
                if let Some(refused) = refusal(error) {
                    return Err(not_asked(refused, question, connection));
                }
            }
            Err(_) => {}
        }
        let waited = started.elapsed();
        if !question.timeout.is_zero() && waited >= question.timeout {
            return Err(no_answer(question, waited, noticed));
        }
        if noticed || waited < NOTICE_TIMEOUT {
            continue;
        }
        if agent.is_none() {
            let found = lease(connection, &question.namespace).await;
            let now = Timestamp::now();
            if matches!(found, Agent::Stale { .. } | Agent::Absent) {
                return Err(nobody(question, &found, now));
            }
            progress("the agent has not responded yet: is it busy, or older than this command?");
            agent = Some(found);
        }
        if waited >= MAX_NOTICE_TIMEOUT
            && let Some(found) = &agent
        {
            return Err(nobody(question, found, Timestamp::now()));
        }
    }
}

/// How long to wait before something has to be decided; `None`: for ever.
fn next_look(
    timeout: Duration,
    waited: Duration,
    noticed: bool,
    lease_read: bool,
) -> Option<Duration> {
    let end = (!timeout.is_zero()).then_some(timeout);
    let notice = if noticed {
        None
    } else if lease_read {
        Some(MAX_NOTICE_TIMEOUT)
    } else {
        Some(NOTICE_TIMEOUT)
    };
    let next = [end, notice].into_iter().flatten().min()?;
    Some(next.saturating_sub(waited).max(Duration::from_millis(1)))
}

async fn lease(connection: &Connection, namespace: &str) -> Agent {
    let leases: Api<Lease> = Api::namespaced(connection.client.clone(), namespace);
    match connection.wait(leases.get_opt(LEASE_NAME)).await {
        Ok(Ok(Some(lease))) => Agent::of(&lease, Timestamp::now()),
        Ok(Ok(None)) => Agent::Absent,
        // Not everybody may read Leases.
        Ok(Err(_)) | Err(_) => Agent::Unknown,
    }
}

/// What will not go away by itself.
fn refusal(error: watcher::Error) -> Option<kube::Error> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return None;
    };
    let is_refusal = match &error {
        kube::Error::Api(status) => matches!(status.code, 401 | 403 | 404),
        kube::Error::Auth(_) => true,
        _ => false,
    };
    is_refusal.then_some(error)
}

fn not_asked(error: kube::Error, question: &Question, connection: &Connection) -> CommandError {
    let namespace = &question.namespace;
    let kube::Error::Api(status) = &error else {
        return failure::of(error, "ask the agent", &connection.endpoint);
    };
    match status.code {
        403 if status.reason == "Forbidden" => CommandError::new(
            CommandErrorKind::Forbidden,
            format!(
                "you may not ask the agent in namespace {namespace}: {}",
                text::one_line(&status.message)
            ),
        )
        .hint(format!(
            "a cluster administrator can grant it: kubectl create role gitops-preview -n {namespace} \
             --resource=previews.gitops-agent.io --verb=create,get,list,watch,delete"
        ))
        .hint(format!(
            "and then: kubectl create rolebinding gitops-preview -n {namespace} \
             --role=gitops-preview {}; the ClusterRole gitops-operator allows it, too",
            subject(&status.message)
        )),
        404 if status.details.is_none() || status.message.contains("page not found") => {
            CommandError::new(
                CommandErrorKind::Server,
                format!(
                    "the cluster of context {:?} does not know Previews: it has no gitops-agent, \
                     or an older one",
                    connection.endpoint.context
                ),
            )
            .hint("its definition comes with the agent: manifests/install.yaml")
        }
        _ => failure::of(error, "ask the agent", &connection.endpoint),
    }
}

/// Who was refused, as kubectl's flag for a role binding.
fn subject(refusal: &str) -> String {
    let name = refusal
        .split_once("User \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(name, _)| text::one_line(name))
        .filter(|name| !name.is_empty());
    subject_flag(name.as_deref())
}

/// A user as kubectl's flag for a role binding.
pub fn subject_flag(name: Option<&str>) -> String {
    match name {
        None => "--user=YOU".to_owned(),
        Some(name) => match name.strip_prefix("system:serviceaccount:") {
            Some(account) => format!("--serviceaccount={account}"),
            None => format!("--user={name}"),
        },
    }
}

fn gone(question: &Question, asked: &Asked) -> CommandError {
    CommandError::new(
        CommandErrorKind::Conflict,
        format!(
            "somebody deleted the question (Preview {} in namespace {}) before it was answered",
            asked.name, question.namespace
        ),
    )
    .hint("ask again")
}

fn no_answer(question: &Question, waited: Duration, noticed: bool) -> CommandError {
    let state = if noticed {
        "is still at it"
    } else {
        "has not responded"
    };
    CommandError::new(
        CommandErrorKind::Connection,
        format!(
            "no answer within {}: the agent in namespace {} {state}",
            text::duration(i64::try_from(waited.as_secs()).unwrap_or(i64::MAX)),
            question.namespace
        ),
    )
    .hint("wait longer with --timeout")
}

/// Nobody took notice of the question.
fn nobody(question: &Question, agent: &Agent, now: Timestamp) -> CommandError {
    let namespace = &question.namespace;
    let message = match agent {
        Agent::Absent => format!("no gitops-agent runs in namespace {namespace}"),
        Agent::Stale { renewed } => format!(
            "the agent in namespace {namespace} is not running: silent for {}",
            text::age(*renewed, now)
        ),
        Agent::Running { .. } => format!(
            "the agent in namespace {namespace} runs but takes no notice of the question: it may \
             be older than this command"
        ),
        Agent::Unknown => format!(
            "nobody in namespace {namespace} takes notice of the question: the agent may be down, \
             or older than this command"
        ),
    };
    CommandError::new(CommandErrorKind::Connection, message).hint(format!(
        "look at it: kubectl -n {namespace} get pods -l {AGENT_PODS}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_next() {
        let seconds = Duration::from_secs;
        let table = [
            (seconds(120), 0, false, false, Some(seconds(5))),
            (seconds(120), 5, false, true, Some(seconds(25))),
            (seconds(120), 20, true, false, Some(seconds(100))),
            (seconds(2), 0, false, false, Some(seconds(2))),
            (seconds(0), 7, true, false, None),
            // Time is up: decide at once.
            (seconds(10), 11, true, false, Some(Duration::from_millis(1))),
        ];
        for (timeout, waited, noticed, lease_read, expected) in table {
            assert_eq!(
                next_look(timeout, seconds(waited), noticed, lease_read),
                expected,
                "{timeout:?} {waited}"
            );
        }
    }

    #[test]
    fn who_was_refused_is_named_for_a_binding() {
        let of = |user: &str| {
            subject(&format!(
                "previews.gitops-agent.io is forbidden: User \"{user}\" cannot create resource"
            ))
        };
        assert_eq!(of("ana@example.com"), "--user=ana@example.com");
        assert_eq!(
            of("system:serviceaccount:ci:runner"),
            "--serviceaccount=ci:runner"
        );
        assert_eq!(subject("forbidden"), "--user=YOU");
    }

    #[test]
    fn silence_is_explained_by_the_lease() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let question = Question::new("diff-", "argocd", PreviewSpec::default());
        let renewed: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let said = |agent: Agent| nobody(&question, &agent, now).message;
        assert!(said(Agent::Stale { renewed }).contains("silent for 3h"));
        assert!(said(Agent::Absent).contains("no gitops-agent runs in namespace argocd"));
        assert!(said(Agent::Running { renewed }).contains("older than this command"));
        assert!(said(Agent::Unknown).contains("may be down"));
    }
}
