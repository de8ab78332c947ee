//! From a refusal of an online endpoint to an error of ours.
//!
//! <https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#http-status-codes>

use aigate_contract::{Error, ErrorKind};
use aigate_transport::{Response, excerpt, kind_of_status, retry_after};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// More than this of an error's body is not read.
const MAX_BODY: usize = 256 * 1024;

/// Reads a refusal.
pub(super) async fn from_response(response: Response) -> Error {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes(MAX_BODY).await.unwrap_or_default();
    from_answer(status, &headers, &body)
}

/// The one place where a status, headers and a body become an error.
fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let (code, said) = said(body);
    let said = if said.is_empty() { " without a word".to_owned() } else { format!(": {said}") };
    let error = match status {
        StatusCode::FAILED_DEPENDENCY => of_the_model(headers, &said),
        _ => {
            let advice = advice(status).map(|advice| format!(" ({advice})")).unwrap_or_default();
            Error::new(kind_of_status(status), format!("azure ml answered {status}{said}{advice}"))
        }
    };
    let error = error.with_status(status.as_u16()).with_retry_after(retry_after(headers));
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// 424: the endpoint is well, but the code in the deployment's container failed, with a status of its own.
fn of_the_model(headers: &HeaderMap, said: &str) -> Error {
    let text = |name: &str| headers.get(name).map(|value| excerpt(value.as_bytes()));
    let inner = text("ms-azureml-model-error-statuscode");
    let status = inner.as_deref().and_then(|status| status.parse().ok());
    let kind = match status.and_then(|status| StatusCode::from_u16(status).ok()).map(kind_of_status) {
        // The rows fit the model's signature: this deployment's code wants others, another's may not.
        Some(ErrorKind::Invalid) => ErrorKind::Unsupported,
        Some(kind) => kind,
        None => ErrorKind::Unavailable,
    };
    let answered = match (inner, text("ms-azureml-model-error-reason")) {
        (Some(status), Some(reason)) => format!(" with {status} {reason}"),
        (Some(word), None) | (None, Some(word)) => format!(" with {word}"),
        (None, None) => String::new(),
    };
    let advice =
        if kind == ErrorKind::Missing { " (is `path` in `wire` what the container serves?)" } else { "" };
    Error::new(kind, format!("the deployment's own code failed{answered}{said}{advice}"))
}

/// What the operator can do about it.
fn advice(status: StatusCode) -> Option<&'static str> {
    Some(match status {
        StatusCode::FORBIDDEN => "an identity needs the right to score on this endpoint",
        StatusCode::NOT_FOUND => {
            "there is no such endpoint or path, or no deployment behind it that takes calls"
        }
        StatusCode::REQUEST_TIMEOUT => "the model took longer than the deployment's `request_timeout_ms`",
        _ => return None,
    })
}

/// An error's code and message, from whichever form the body has: Azure's `{"error": {"code", "message"}}`, a container's
/// `{"message"}` or `{"detail"}`, plain text.
fn said(body: &[u8]) -> (Option<String>, String) {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = told.get("error").filter(|error| error.is_object()).unwrap_or(&told);
    let text = |names: &[&str]| names.iter().find_map(|name| error.get(name)?.as_str());
    let code = text(&["code"]).map(|code| excerpt(code.as_bytes()));
    let message = text(&["message", "detail", "error", "error_message"]).map(str::as_bytes);
    (code.filter(|code| !code.is_empty()), excerpt(message.unwrap_or(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
        let headers =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        from_answer(StatusCode::from_u16(status).unwrap(), &headers.collect(), body.as_bytes())
    }

    #[test]
    fn each_status_has_its_kind() {
        use ErrorKind::*;
        for (status, kind) in [
            (400, Invalid),
            (401, Denied),
            (403, Denied),
            (404, Missing),
            (408, Timeout),
            (409, Unavailable),
            (413, TooLarge),
            (424, Unavailable),
            (429, Throttled),
            (500, Unavailable),
            (502, Unavailable),
            (503, Unavailable),
            (504, Timeout),
        ] {
            for body in ["", "text", "null", "[]", r#"{"error":{"code":"c","message":"m"}}"#] {
                assert_eq!(error(status, &[], body).kind(), kind, "{status} {body}");
                assert_eq!(error(status, &[], body).status(), Some(status));
            }
        }
    }

    #[test]
    fn a_failure_of_the_model_s_code_has_the_kind_of_its_own_status() {
        use ErrorKind::*;
        for (status, kind) in [
            ("400", Unsupported),
            ("422", Unsupported),
            ("404", Missing),
            ("413", TooLarge),
            ("429", Throttled),
            ("500", Unavailable),
            ("503", Unavailable),
            ("504", Timeout),
            ("0", Unavailable),
            ("oops", Unavailable),
        ] {
            let error = error(424, &[("ms-azureml-model-error-statuscode", status)], "");
            assert_eq!(error.kind(), kind, "{status}");
        }
        let error = error(
            424,
            &[
                ("ms-azureml-model-error-statuscode", "500"),
                ("ms-azureml-model-error-reason", "model_error"),
                ("retry-after", "3"),
            ],
            r#"{"message":"An unexpected error occurred in scoring script. Check the logs for more info."}"#,
        );
        assert_eq!(
            error.message(),
            "the deployment's own code failed with 500 model_error: An unexpected error occurred in scoring script. \
             Check the logs for more info."
        );
        assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(3)));
    }

    #[test]
    fn a_refusal_says_what_azure_said_and_what_the_operator_can_do() {
        let error = error(403, &[], r#"{"error":{"code":"Forbidden","message":"no score action"}}"#);
        assert_eq!(
            error.message(),
            "azure ml answered 403 Forbidden: no score action (an identity needs the right to score on this endpoint)"
        );
        assert_eq!(error.code(), Some("Forbidden"));
    }
}
