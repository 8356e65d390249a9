//! Site Recovery and Azure Migrate: codes of jobs and of health errors that Microsoft documents, and how the error of a
//! job becomes words. Most of its errors bring causes and a recommendation along; those are shown as they are.
//!
//! Codes: Microsoft, "Troubleshoot changed block tracking replication"
//! (troubleshoot-changed-block-tracking-replication, 28 November 2022), with the service's name.
//!
//! Unverified: a job's codes. Microsoft publishes no list; only the shape is known.

use super::{Advice, Row, row};
use crate::recovery::{Cause, HealthError};

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    Row("181008 DisposeArtefactsTimedOut", "The appliance could not tidy up a replication cycle", "A component of the appliance did not answer in time, or has no way to Azure.", "On the appliance, check outbound 443 and restart the service \"Microsoft Azure Gateway Service\" (Restart-Service asrgwy); the next cycle goes on by itself."),
    Row("1011 DiskUploadTimedOut", "A disk could not be uploaded within the time", "The appliance or its service \"Microsoft Azure Gateway Service\" is down, its way to Azure is too slow or blocked, or vCenter throttles the reading of the disk.", "On the appliance, check that the service runs (Get-Service asrgwy), bandwidth, and outbound 443 to the cache storage account; move machines to another appliance if it is overloaded."),
];

fn either(text: &str, otherwise: &str) -> String {
    let text = text.trim();
    (if text.is_empty() { otherwise } else { text }).to_owned()
}

fn words(code: &str, what: &str, message: &str, causes: &str, recommended: &str) -> Advice {
    let said = [message, causes]
        .iter()
        .map(|t| t.trim())
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let code = either(code, "no code");
    match row(&code) {
        Some(Row(_, title, why, fix)) => Advice {
            title: (*title).into(),
            detail: format!("{why} Azure says: {} [{code}]", either(&said, "nothing more")),
            hint: either(recommended, fix),
        },
        None => Advice {
            title: what.into(),
            detail: format!("Azure says: {} [{code}]", either(&said, "nothing about the cause")),
            hint: either(
                recommended,
                "Open the job in the portal (the vault > Site Recovery jobs), correct the cause there and choose Retry.",
            ),
        },
    }
}

impl Cause {
    /// Says in words why a job failed; `what` is the job, such as "Enable replication of WEBVM failed".
    pub fn advice(&self, what: &str) -> Advice {
        words(
            &self.code,
            what,
            &self.message,
            &self.possible_causes,
            &self.recommended_action,
        )
    }
}

impl HealthError {
    /// Says in words what is wrong with a machine, an appliance or a vault.
    pub fn advice(&self) -> Advice {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let summary = text(&self.summary_message);
        words(
            &text(&self.error_code),
            &either(&summary, "Azure reports a problem with the replication"),
            &text(&self.error_message),
            &text(&self.possible_causes),
            &text(&self.recommended_action),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::recovery::{HealthError, JobProperties};
    use serde_json::json;

    fn job(errors: serde_json::Value) -> JobProperties {
        serde_json::from_value(json!({"state": "Failed", "errors": errors})).unwrap()
    }

    #[test]
    fn both_shapes_of_a_jobs_error_become_words() {
        let of_service = job(json!([{
            "serviceErrorDetails": {"code": "539", "message": "No.", "possibleCauses": "Because.", "recommendedAction": "Do it.", "activityId": "a-1"},
            "providerErrorDetails": {"errorCode": 0, "errorMessage": "hidden"},
        }]));
        let cause = of_service.cause().unwrap();
        assert_eq!(cause.activity_id.as_deref(), Some("a-1"));
        let advice = cause.advice("Enable replication of WEBVM failed");
        assert_eq!(advice.title, "Enable replication of WEBVM failed");
        assert_eq!(
            (advice.detail.as_str(), advice.hint.as_str()),
            ("Azure says: No. Because. [539]", "Do it.")
        );

        let of_appliance = job(json!([{"serviceErrorDetails": null, "providerErrorDetails": {
            "errorCode": 181008, "errorMessage": "Timed out.", "errorId": "DisposeArtefactsTimedOut"}}]));
        let advice = of_appliance.cause().unwrap().advice("x");
        assert_eq!(advice.title, "The appliance could not tidy up a replication cycle");
        assert!(advice.hint.contains("Restart-Service"), "{advice:?}");

        let of_task: JobProperties = serde_json::from_value(
            json!({"errors": [], "tasks": [{"errors": [{"serviceErrorDetails": {"code": "1", "message": "In a task."}}]}]}),
        )
        .unwrap();
        let advice = of_task.cause().unwrap().advice("x");
        assert!(
            advice.detail.contains("In a task.") && advice.hint.contains("Site Recovery jobs"),
            "{advice:?}"
        );
        assert_eq!(job(json!([])).cause(), None);
    }

    #[test]
    fn health_errors_become_words() {
        let error: HealthError = serde_json::from_value(json!({
            "errorCode": "78223", "summaryMessage": "The appliance has no connection", "errorMessage": "Lost.",
            "possibleCauses": "Network.", "recommendedAction": "Connect it.", "creationTimeUtc": "1753-01-01T01:01:01Z"}))
        .unwrap();
        let advice = error.advice();
        assert_eq!(advice.title, "The appliance has no connection");
        assert!(advice.detail.contains("[78223]") && advice.hint == "Connect it.");
        assert!(!HealthError::default().advice().hint.is_empty());
    }
}
