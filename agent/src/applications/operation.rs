//! The operation of a pass: which sync is under way, its beginning, and what it leaves behind.

use gitops_api::{OperationPhase, status::OperationState};
use gitops_core::{
    history::{self, Delivery},
    status::{self, Condition},
};
use jiff::Timestamp;

use super::{
    Memory, commits,
    reconcile::{Findings, Pass},
    report::Answered,
    request::{Request, TERMINATED},
    results::sync_result,
    sync::Advanced,
};

impl Pass<'_> {
    /// The sync that somebody asked for, or one that began in an earlier pass and is not at its
    /// end.
    pub(super) fn underway(&mut self) -> Option<Request> {
        let spec = &self.app.spec;
        let state = self.previous.operation_state.as_mut().filter(|state| {
            matches!(
                state.phase,
                OperationPhase::Running | OperationPhase::Terminating
            )
        });
        let resumable = state
            .as_ref()
            .is_some_and(|state| state.sync_result.is_some());
        match (state, &self.app.operation) {
            (Some(state), _) if resumable => Some(Request::resumed(state, spec)),
            (state, Some(operation)) => {
                if state.is_some_and(|state| state.phase == OperationPhase::Terminating) {
                    let request = Request::asked_for(operation, spec);
                    self.operation = Some(request.refused(TERMINATED, Timestamp::now()));
                    return None;
                }
                Some(Request::asked_for(operation, spec))
            }
            // Nobody works on it any more: it was ended while it ended, or its controller is gone.
            (Some(state), None) => {
                state.phase = OperationPhase::Failed;
                state.message = TERMINATED.into();
                self.operation = Some(state.clone());
                None
            }
            (None, None) => None,
        }
    }

    /// Says that a sync has begun, so that it can be followed, ended, and taken up again.
    pub(super) async fn announce(
        &mut self,
        memory: &mut Memory,
        request: &Request,
        findings: &Findings,
        started: Timestamp,
    ) -> anyhow::Result<()> {
        let mut operation = request.operation.clone();
        operation.sync.get_or_insert_default();
        self.previous.operation_state = Some(OperationState {
            operation,
            phase: OperationPhase::Running,
            message: "syncing".into(),
            started_at: Some(status::seconds(started)),
            retry_count: i64::from(request.retry),
            sync_result: Some(sync_result(self.app, findings)),
            ..OperationState::default()
        });
        self.controller
            .reporter
            .write(self.app, memory, self.previous.clone(), Answered::default())
            .await
    }

    pub(super) async fn sync(
        &mut self,
        memory: &mut Memory,
        findings: Findings,
        request: Request,
    ) -> anyhow::Result<Findings> {
        let head = findings.wanted.desired.digest();
        let findings = match self.findings_of(memory, findings, &request).await {
            Ok(findings) => findings,
            Err((findings, condition)) => {
                self.operation = Some(request.refused(&condition.message, Timestamp::now()));
                return Ok(findings);
            }
        };
        let advanced = Box::pin(self.advance(memory, findings, &request, &head)).await?;
        let Advanced {
            findings,
            operation,
            started,
            healed,
        } = advanced;
        let phase = operation.phase;
        if phase.is_completed() {
            self.controller
                .reporter
                .operation(self.app, &findings, &operation, &healed);
        }
        if phase.is_successful() && request.is_complete() {
            let finished = Timestamp::now();
            let delivery = Delivery {
                revisions: &findings.wanted.revisions,
                commit: commits::delivered(&findings).await,
                digest: findings.wanted.desired.digest(),
                started,
                finished,
                initiated_by: operation.operation.initiated_by.clone().unwrap_or_default(),
            };
            history::record_history(&mut self.previous, &self.app.spec, delivery);
        }
        self.operation = Some(operation);
        if phase.is_completed() && !phase.is_successful() {
            self.note_failed_attempt();
        }
        Ok(findings)
    }

    /// The findings a request is about: those at hand, or those of another revision it names.
    async fn findings_of(
        &mut self,
        memory: &mut Memory,
        findings: Findings,
        request: &Request,
    ) -> Result<Findings, (Findings, Condition)> {
        let Some(sources) = request.other_sources(&self.app.spec) else {
            return Ok(findings);
        };
        if request.pinned() == findings.wanted.revisions {
            return Ok(findings);
        }
        let other = async {
            let found = self
                .controller
                .look_up(&self.app.spec, &sources, true, &mut self.conditions)
                .await?;
            let wanted = self
                .controller
                .wanted(self.key, self.app, found, &mut memory.operating, false)
                .await?;
            self.want(&wanted);
            self.check_kinds(&wanted.desired)?;
            self.compare(wanted).await
        }
        .await;
        other.map_err(|condition| (findings, condition))
    }
}
