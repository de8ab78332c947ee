//! What Azure's errors say beyond OpenAI's: which categories of the content filter triggered, which fields a model does
//! not know, and a path that leads nowhere.
//!
//! <https://learn.microsoft.com/azure/foundry/openai/concepts/content-filter>

use aigate_contract::{Error, ErrorKind};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What is looked at in an error's body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Value,
    /// How the servers behind `/models` complain of fields.
    detail: Value,
}

/// The most categories and fields that a message names.
const MOST: usize = 16;

/// The error behind an answer whose status is not a success.
pub(crate) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let plain = aigate_openai::from_answer(status, headers, body);
    let said: Body = serde_json::from_slice(body).unwrap_or_default();
    let fields = unknown_fields(&said.detail);
    if let Some(first) = fields.first() {
        let message = format!("the model does not know {}: {}", named(&fields), plain.message());
        return again(&plain, ErrorKind::Unsupported, message).with_param(first.clone());
    }
    let triggered = triggered(&said.error);
    if !triggered.is_empty() {
        let message = format!("{} (triggered: {})", plain.message(), triggered.join(", "));
        return again(&plain, ErrorKind::Filtered, message);
    }
    match plain.code() {
        Some("unknown_model" | "unavailable_model") => {
            let message = plain.message().to_owned();
            again(&plain, ErrorKind::Missing, message)
        }
        Some("404") => {
            let message = format!("{}: check `endpoint`, `api` and `api_version`", plain.message());
            again(&plain, plain.kind(), message)
        }
        _ => plain,
    }
}

/// The same error with another kind and message.
fn again(error: &Error, kind: ErrorKind, message: String) -> Error {
    let mut ours = Error::new(kind, message).with_retry_after(error.retry_after());
    if let Some(status) = error.status() {
        ours = ours.with_status(status);
    }
    if let Some(code) = error.code() {
        ours = ours.with_code(code);
    }
    if let Some(param) = error.param() {
        ours = ours.with_param(param);
    }
    ours
}

/// The categories of `innererror.content_filter_result` that triggered, with what is said of each, e.g. `jailbreak`,
/// `violence (high)`, `custom_blocklists (names)`.
fn triggered(error: &Value) -> Vec<String> {
    let inner = error.get("innererror");
    let result = inner.and_then(|inner| {
        inner
            .get("content_filter_result")
            .or_else(|| inner.get("content_filter_results"))
            .and_then(Value::as_object)
    });
    let categories = result.into_iter().flatten();
    let mut said: Vec<String> = categories.filter_map(|(name, verdict)| category(name, verdict)).collect();
    said.sort();
    said.truncate(MOST);
    said
}

fn category(name: &str, verdict: &Value) -> Option<String> {
    // Block lists are named one by one: a bare list in older versions, under `details` in newer ones.
    let lists = verdict.as_array().or_else(|| verdict.get("details").and_then(Value::as_array));
    let ids: Vec<String> = lists
        .into_iter()
        .flatten()
        .filter(|list| is_true(list.as_object(), "filtered"))
        .filter_map(|list| list.get("id").and_then(Value::as_str).map(short))
        .take(MOST)
        .collect();
    if ids.is_empty() && !is_true(verdict.as_object(), "filtered") {
        return None;
    }
    let severity = verdict.get("severity").and_then(Value::as_str).map(short);
    let more: Vec<String> = severity.into_iter().chain(ids).collect();
    Some(if more.is_empty() { short(name) } else { format!("{} ({})", short(name), more.join(", ")) })
}

fn is_true(object: Option<&Map<String, Value>>, field: &str) -> bool {
    object.and_then(|object| object.get(field)).and_then(Value::as_bool).unwrap_or(false)
}

/// Fields that the server or the model behind `/models` refuses because it does not know them.
///
/// Two forms: `Extra parameters ['a', 'b'] are not allowed when …` from Azure itself, and a list of
/// `{"type":"extra_forbidden","loc":["body","a"]}` from model servers.
fn unknown_fields(detail: &Value) -> Vec<String> {
    if let Some(text) = detail.as_str() {
        let list = text.strip_prefix("Extra parameters [").and_then(|rest| rest.split_once(']'));
        let names = list.map(|(names, _)| names).unwrap_or_default().split(',');
        let bare = names.map(|name| name.trim().trim_matches(['\'', '"']));
        return bare.filter(|name| !name.is_empty()).map(short).take(MOST).collect();
    }
    let faults = detail.as_array().into_iter().flatten();
    let unknown = faults.filter(|fault| fault.get("type").and_then(Value::as_str) == Some("extra_forbidden"));
    let last = |fault: &Value| fault.get("loc")?.as_array()?.last()?.as_str().map(short);
    unknown.filter_map(last).take(MOST).collect()
}

fn named(fields: &[String]) -> String {
    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
}

/// A name from outside, cut to 64 characters.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> Error {
        from_answer(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_filtered_prompt_names_the_categories_that_triggered_and_only_those() {
        let error = error(
            400,
            r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter",
                "status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{
                "hate":{"filtered":false,"severity":"safe"},"jailbreak":{"detected":true,"filtered":true},
                "violence":{"filtered":true,"severity":"high"},
                "custom_blocklists":{"filtered":true,"details":[{"filtered":true,"id":"names"},{"filtered":false,"id":"x"}]}}}}}"#,
        );
        assert_eq!(error.kind(), ErrorKind::Filtered);
        assert_eq!(error.code(), Some("content_filter"));
        assert_eq!(error.param(), Some("prompt"));
        assert_eq!(error.status(), Some(400));
        assert_eq!(
            error.message(),
            "the provider answered with 400 Bad Request: The response was filtered \
             (triggered: custom_blocklists (names), jailbreak, violence (high))"
        );
    }

    #[test]
    fn a_filter_that_names_no_category_is_still_a_filter() {
        for inner in
            ["{}", "null", "[]", r#"{"content_filter_result":null}"#, r#"{"content_filter_result":[1]}"#]
        {
            let body =
                format!(r#"{{"error":{{"message":"x","code":"content_filter","innererror":{inner}}}}}"#);
            let error = error(400, &body);
            assert_eq!(error.kind(), ErrorKind::Filtered);
            assert!(!error.message().contains("triggered"), "{error}");
        }
    }

    #[test]
    fn a_field_that_the_model_does_not_know_is_unsupported_and_named() {
        let azure = "Extra parameters ['logprobs', 'n'] are not allowed when extra-parameters is not set";
        let model = r#"[{"type":"extra_forbidden","loc":["body","logprobs"],"msg":"Extra inputs are not permitted"}]"#;
        for body in [format!(r#"{{"detail":"{azure}"}}"#), format!(r#"{{"detail":{model}}}"#)] {
            let error = error(422, &body);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(error.param(), Some("logprobs"));
            assert!(error.message().contains("`logprobs`"), "{error}");
        }
        for body in
            [r#"{"detail":"Extra parameters ["}"#, r#"{"detail":[1,{"loc":1}]}"#, r#"{"detail":"Not Found"}"#]
        {
            assert_eq!(error(400, body).kind(), ErrorKind::Invalid, "{body}");
        }
    }

    #[test]
    fn what_azure_does_not_know_is_missing_and_the_operator_is_told_where_to_look() {
        let unknown = error(400, r#"{"error":{"code":"unknown_model","message":"Unknown model: x"}}"#);
        assert_eq!(unknown.kind(), ErrorKind::Missing);
        let path = error(404, r#"{"error":{"code":"404","message":"Resource not found"}}"#);
        assert_eq!(path.kind(), ErrorKind::Missing);
        assert!(path.message().contains("`api_version`"));
        let name = error(
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist"}}"#,
        );
        assert_eq!((name.kind(), name.code()), (ErrorKind::Missing, Some("DeploymentNotFound")));
    }

    #[test]
    fn a_body_of_any_form_is_an_error_by_its_status() {
        for body in ["", "null", "[]", "<html>", r#"{"statusCode":401,"message":"Access token is missing"}"#]
        {
            assert_eq!(error(401, body).kind(), ErrorKind::Denied, "{body}");
        }
    }
}
