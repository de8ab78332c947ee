//! Refusals in Azure's form.
//!
//! <https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter>

use bytes::Bytes;
use serde_json::json;

use super::{request_id, score};
use crate::{
    answer::{Ask, Refusal, Whole, Wrong},
    container, openai,
};

const FILTERED: &str = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. \
                        Please modify your prompt and retry. To learn more about our content filtering policies please \
                        read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766";

/// Azure's refusal.
pub(crate) fn refuse(ask: &Ask<'_>, refusal: &Refusal) -> Whole {
    if score::is_path(ask.path) {
        return score::refuse(ask, refusal);
    }
    let whole = match refusal {
        Refusal::Own(whole) => return (**whole).clone(),
        Refusal::Invalid { .. } => openai::refuse(ask, refusal),
        Refusal::Credentials(wrong) => error(401, "401", credentials(*wrong)),
        Refusal::Denied(_) => error(
            403,
            "PermissionDenied",
            "The principal lacks the required data action to perform this operation.",
        ),
        Refusal::UnknownModel(_) => error(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 \
             minutes, please wait a moment and try again.",
        ),
        Refusal::UnknownPath => error(404, "404", "Resource not found"),
        Refusal::Throttled(after) => {
            let when = after
                .map(|after| format!(" Please retry after {} seconds.", after.as_millis().div_ceil(1000)));
            let message =
                format!("Your requests have exceeded the call rate limit.{}", when.unwrap_or_default());
            let body = json!({"error": {
                "message": message, "type": "too_many_requests", "param": null, "code": "too_many_requests",
            }});
            openai::retry_after(Whole::json(429, &body), *after)
        }
        Refusal::Server(status) => {
            error(*status, "InternalServerError", "Backend returned unexpected response.")
        }
        Refusal::Filtered => filtered(),
    };
    whole.with("apim-request-id", request_id(ask))
}

/// An error as the body of a 200; of an online endpoint it is the container's own.
pub(crate) fn error_body(path: &str) -> Bytes {
    if score::is_path(path) { container::error_body() } else { openai::error_body() }
}

fn error(status: u16, code: &str, message: &str) -> Whole {
    Whole::json(status, &json!({"error": {"code": code, "message": message}}))
}

fn credentials(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::Missing | Wrong::Unknown | Wrong::Signature => {
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for \
             an active subscription and use a correct regional API endpoint for your resource."
        }
        Wrong::Expired | Wrong::Audience => {
            "Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), \
             or have expired."
        }
    }
}

fn filtered() -> Whole {
    let safe = json!({"filtered": false, "severity": "safe"});
    let result = json!({
        "hate": {"filtered": true, "severity": "high"},
        "jailbreak": {"filtered": false, "detected": false},
        "self_harm": safe, "sexual": safe, "violence": safe,
    });
    let inner = json!({"code": "ResponsibleAIPolicyViolation", "content_filter_result": result});
    let error = json!({
        "message": FILTERED, "type": null, "param": "prompt", "code": "content_filter", "status": 400,
        "innererror": inner,
    });
    Whole::json(400, &json!({"error": error}))
}
