//! Refusals in Google's form.
//!
//! <https://google.aip.dev/193>

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{endpoint, target};
use crate::{
    answer::{Ask, Events, Framing, Refusal, Whole, Wrong},
    container,
};

/// Google's refusal.
pub(crate) fn refuse(ask: &Ask<'_>, refusal: &Refusal) -> Whole {
    match refusal {
        Refusal::Own(whole) => (**whole).clone(),
        Refusal::Invalid { message, field } => {
            let violation = json!({"field": field.as_deref().unwrap_or_default(), "description": message});
            let details = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]);
            whole(400, "INVALID_ARGUMENT", message, details)
        }
        Refusal::Credentials(wrong) => credentials(ask, *wrong),
        Refusal::Denied(model) => {
            let message = format!(
                "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/{model}' (or \
                 it may not exist)."
            );
            whole(403, "PERMISSION_DENIED", &message, info("IAM_PERMISSION_DENIED"))
        }
        Refusal::UnknownModel(model) => {
            let message = format!(
                "Publisher Model `{model}` was not found or your project does not have access to it."
            );
            whole(404, "NOT_FOUND", &message, Value::Null)
        }
        // Google's front end answers paths that it does not know with a page, not with JSON.
        Refusal::UnknownPath => {
            let page = "<!DOCTYPE html>\n<title>Error 404 (Not Found)!!1</title>\n<p>That's an error.\n";
            Whole::new(404, "text/html; charset=UTF-8", page)
        }
        Refusal::Throttled(after) => whole(429, "RESOURCE_EXHAUSTED", EXHAUSTED, retry(*after)),
        Refusal::Server(status) => {
            let word = match status {
                503 => "UNAVAILABLE",
                504 => "DEADLINE_EXCEEDED",
                501 => "UNIMPLEMENTED",
                _ => "INTERNAL",
            };
            whole(*status, word, "Internal error encountered.", Value::Null)
        }
        // Google answers a filtered prompt with 200; this is for the tasks that have no such answer.
        Refusal::Filtered => whole(400, "INVALID_ARGUMENT", "The prompt was blocked.", Value::Null),
    }
}

const EXHAUSTED: &str = "Resource exhausted. Please try again later. Please refer to \
                         https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.";

/// An error without details.
pub(super) fn error(status: u16, word: &str, message: &str) -> Whole {
    whole(status, word, message, Value::Null)
}

fn whole(status: u16, word: &str, message: &str, details: Value) -> Whole {
    let mut error = json!({"code": status, "message": message, "status": word});
    if let (Some(error), false) = (error.as_object_mut(), details.is_null()) {
        error.insert("details".to_owned(), details);
    }
    Whole { content_type: "application/json; charset=UTF-8", ..Whole::json(status, &json!({"error": error})) }
}

fn info(reason: &str) -> Value {
    json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
    }])
}

/// When to come back, as Google says it: seconds with a fraction.
fn retry(after: Option<Duration>) -> Value {
    let Some(after) = after else { return Value::Null };
    let millis = after.subsec_millis();
    let delay = if millis == 0 {
        format!("{}s", after.as_secs())
    } else {
        format!("{}.{millis:03}s", after.as_secs())
    };
    json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}])
}

/// Wrong API keys are an invalid argument at Google; wrong tokens are unauthenticated.
fn credentials(ask: &Ask<'_>, wrong: Wrong) -> Whole {
    let by_key = ask.header("x-goog-api-key").is_some() || ask.parameter("key").is_some();
    let gemini = target(ask.path).is_some_and(|target| target.house == super::House::Gemini);
    match wrong {
        Wrong::Expired if by_key => whole(
            400,
            "INVALID_ARGUMENT",
            "API key expired. Please renew the API key.",
            info("API_KEY_INVALID"),
        ),
        _ if by_key => {
            let message = "API key not valid. Please pass a valid API key.";
            whole(400, "INVALID_ARGUMENT", message, info("API_KEY_INVALID"))
        }
        Wrong::Missing if gemini => {
            let message = "Method doesn't allow unregistered callers (callers without established identity). Please use \
                           API Key or other form of API consumer identity to call this API.";
            whole(403, "PERMISSION_DENIED", message, Value::Null)
        }
        Wrong::Missing => {
            let message = "Request is missing required authentication credential. Expected OAuth 2 access token, login \
                           cookie or other valid authentication credential.";
            whole(401, "UNAUTHENTICATED", message, info("CREDENTIALS_MISSING"))
        }
        Wrong::Expired => whole(401, "UNAUTHENTICATED", INVALID, info("ACCESS_TOKEN_EXPIRED")),
        Wrong::Unknown | Wrong::Signature => {
            whole(401, "UNAUTHENTICATED", INVALID, info("ACCESS_TOKEN_TYPE_UNSUPPORTED"))
        }
        Wrong::Audience => {
            let message = "Request had insufficient authentication scopes.";
            whole(403, "PERMISSION_DENIED", message, info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"))
        }
    }
}

const INVALID: &str = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
                       valid authentication credential.";

/// Google's words for a body that cannot be read.
pub(super) fn serde_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`')) {
        Some((field, _)) => {
            format!("Invalid JSON payload received. Unknown name \"{field}\": Cannot find field.")
        }
        None => format!("Invalid JSON payload received. {text}"),
    }
}

fn exhausted() -> Value {
    json!({"error": {"code": 429, "message": EXHAUSTED, "status": "RESOURCE_EXHAUSTED"}})
}

/// An error as the body of a 200; of a raw prediction it is the container's own.
pub(crate) fn error_body(path: &str) -> Bytes {
    if endpoint::target(path).is_some_and(|endpoint| endpoint.is_raw()) {
        return container::error_body();
    }
    Bytes::from(exhausted().to_string())
}

/// A stream that is an error; without server-sent events it is an array.
pub(crate) fn error_events(framing: Framing) -> Events {
    let mut events = Events::new(framing);
    events.json(&exhausted());
    events
}
