//! Refusals in OpenAI's form.
//!
//! <https://platform.openai.com/docs/guides/error-codes>

use bytes::Bytes;
use serde_json::{Value, json};

use super::bytes;
use crate::answer::{Ask, Events, Framing, Refusal, Whole, Wrong};

/// OpenAI's refusal.
pub(crate) fn refuse(ask: &Ask<'_>, refusal: &Refusal) -> Whole {
    let invalid = "invalid_request_error";
    let (status, kind, code, param, message) = match refusal {
        Refusal::Own(whole) => return (**whole).clone(),
        Refusal::Invalid { message, field } => (400, invalid, None, field.as_deref(), message.clone()),
        Refusal::Credentials(Wrong::Missing) => {
            let message = "You didn't provide an API key. You need to provide your API key in an Authorization header \
                           using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
            (401, invalid, None, None, message.to_owned())
        }
        Refusal::Credentials(Wrong::Expired) => {
            (401, invalid, Some("expired_api_key"), None, "Your API key has expired.".to_owned())
        }
        Refusal::Credentials(_) => {
            (401, invalid, Some("invalid_api_key"), None, "Incorrect API key provided.".to_owned())
        }
        Refusal::Denied(model) => {
            let message = format!("Project `proj_sim` does not have access to model `{model}`");
            (403, invalid, Some("model_not_found"), None, message)
        }
        Refusal::UnknownModel(model) => {
            let message = format!("The model `{model}` does not exist or you do not have access to it.");
            (404, invalid, Some("model_not_found"), None, message)
        }
        Refusal::UnknownPath => {
            let message = format!("Invalid URL ({} {})", ask.method, ask.path);
            (404, invalid, None, None, message)
        }
        Refusal::Throttled(_) => {
            let message = "Rate limit reached for requests. Please try again later.".to_owned();
            (429, "requests", Some("rate_limit_exceeded"), None, message)
        }
        Refusal::Server(status) => (*status, "server_error", None, None, SERVER.to_owned()),
        Refusal::Filtered => {
            let message =
                "Invalid prompt: your prompt was flagged as potentially violating our usage policy.";
            (400, invalid, Some("invalid_prompt"), None, message.to_owned())
        }
    };
    let body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    let whole = Whole::json(status, &body).with("x-request-id", format!("req_sim{}", ask.number));
    match refusal {
        Refusal::Throttled(after) => retry_after(whole, *after),
        _ => whole,
    }
}

const SERVER: &str = "The server had an error while processing your request. Sorry about that!";

/// Says when to come back, as OpenAI and Azure do: whole seconds, and milliseconds.
pub(crate) fn retry_after(whole: Whole, after: Option<std::time::Duration>) -> Whole {
    let Some(after) = after else { return whole };
    let seconds = after.as_millis().div_ceil(1000);
    whole.with("retry-after", seconds.to_string()).with("retry-after-ms", after.as_millis().to_string())
}

/// OpenAI's words for a body that cannot be read.
pub(crate) fn serde_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`')) {
        Some((field, _)) => format!("Unrecognized request argument supplied: {field}"),
        None if error.is_data() => format!("Invalid request: {text}"),
        None => "We could not parse the JSON body of your request.".to_owned(),
    }
}

fn server_error() -> Value {
    json!({"error": {"message": SERVER, "type": "server_error", "param": null, "code": null}})
}

/// An error as the body of a 200.
pub(crate) fn error_body() -> Bytes {
    bytes(&server_error())
}

/// A stream that is an error.
pub(crate) fn error_events() -> Events {
    let mut events = Events::new(Framing::Sse("\n"));
    events.json(&server_error());
    events
}
