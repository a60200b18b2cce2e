//! Job and CronJob: has the work been done?

use serde_json::Value;

use super::{Health, status_conditions, text};

/// Judged by the conditions that are there; the status of `Failed` and `Complete` is not looked
/// at, and `Suspended` counts as an end even when it says False, exactly as Argo CD does.
pub(super) fn job(object: &Value) -> Health {
    let mut failure = None;
    let mut complete = false;
    let mut suspended = false;
    let mut message = "";
    for condition in status_conditions(object) {
        match text(&condition["type"]) {
            "Failed" => failure = Some(text(&condition["message"])),
            "Complete" => {
                complete = true;
                message = text(&condition["message"]);
            }
            "Suspended" => {
                complete = true;
                message = text(&condition["message"]);
                suspended |= condition["status"] == "True";
            }
            _ => {}
        }
    }
    match failure {
        Some(failure) => Health::degraded(failure),
        None if suspended => Health::suspended(message),
        None if complete => Health::healthy(message),
        None => Health::progressing(message),
    }
}

/// Suspended on purpose is Healthy; only a schedule whose last run did not succeed is Degraded.
pub(super) fn cron_job(object: &Value) -> Health {
    if object["spec"]["suspend"] == true {
        return Health::healthy("CronJob is suspended");
    }
    let status = &object["status"];
    if !status.is_object() {
        return Health::progressing("Waiting for the controller to see the CronJob");
    }
    let (scheduled, succeeded) = (
        text(&status["lastScheduleTime"]),
        text(&status["lastSuccessfulTime"]),
    );
    if scheduled.is_empty() {
        return Health::healthy("CronJob has not run yet");
    }
    if succeeded.is_empty() {
        return Health::healthy("CronJob has not completed a run yet");
    }
    if status["active"]
        .as_array()
        .is_some_and(|active| !active.is_empty())
    {
        return Health::healthy("CronJob is running");
    }
    // Times of the API are RFC 3339 in UTC with seconds, so text order is time order.
    if succeeded < scheduled {
        return Health::degraded("CronJob has not completed its last run successfully");
    }
    Health::healthy("CronJob has completed its last run successfully")
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing, Suspended};
    use serde_json::{Value, json};

    use crate::live::health::tests::check;

    #[test]
    fn jobs() {
        let job = |conditions: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": conditions}});
        check(&[
            (job(json!(null)), Progressing, ""),
            (
                job(json!([{"type": "Complete", "status": "True", "message": "done"}])),
                Healthy,
                "done",
            ),
            (
                job(json!([{"type": "Failed", "message": "too often"}, {"type": "Complete"}])),
                Degraded,
                "too often",
            ),
            (
                job(json!([{"type": "Suspended", "status": "True"}])),
                Suspended,
                "",
            ),
            (
                job(json!([{"type": "Suspended", "status": "False"}])),
                Healthy,
                "",
            ),
            (
                job(json!([{"type": "FailureTarget", "status": "True"}])),
                Progressing,
                "",
            ),
        ]);
    }

    #[test]
    fn cron_jobs() {
        let cron = |suspend: bool, status: Value| json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"suspend": suspend}, "status": status});
        let times = |scheduled: &str, succeeded: &str, active: Value| {
            cron(
                false,
                json!({"lastScheduleTime": scheduled, "lastSuccessfulTime": succeeded, "active": active}),
            )
        };
        let (one, two) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        check(&[
            (cron(true, json!(null)), Healthy, "suspended"),
            (cron(false, json!(null)), Progressing, ""),
            (cron(false, json!({})), Healthy, "not run yet"),
            (
                cron(false, json!({"lastScheduleTime": one})),
                Healthy,
                "not completed a run",
            ),
            (times(two, one, json!([{"name": "x"}])), Healthy, "running"),
            (times(two, one, json!([])), Degraded, "last run"),
            (times(one, two, json!(null)), Healthy, "completed"),
        ]);
    }
}
