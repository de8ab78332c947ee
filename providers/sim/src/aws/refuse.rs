//! Refusals in the form of AWS's JSON services: the name in a header, the message in the body.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>

use bytes::Bytes;
use serde_json::json;

use super::{frame, request_id, sagemaker};
use crate::{
    answer::{Ask, Events, Framing, Refusal, Whole, Wrong},
    container,
};

/// AWS's refusal.
pub(crate) fn refuse(ask: &Ask<'_>, refusal: &Refusal) -> Whole {
    if sagemaker::is_path(ask.path) {
        return sagemaker::refuse(ask, refusal);
    }
    let (status, name, message) = match refusal {
        Refusal::Own(whole) => return (**whole).clone(),
        Refusal::Invalid { message, .. } => (400, "ValidationException", message.as_str()),
        Refusal::Credentials(wrong) => unauthorized(ask, *wrong),
        Refusal::Denied(_) => {
            (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.")
        }
        Refusal::UnknownModel(_) => (
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
        ),
        Refusal::UnknownPath => {
            (404, "UnknownOperationException", "The requested operation is not recognized.")
        }
        Refusal::Throttled(_) => (429, "ThrottlingException", THROTTLED),
        Refusal::Server(503) => {
            (503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
        }
        Refusal::Server(status) => (
            *status,
            "InternalServerException",
            "The system encountered an unexpected error during processing.",
        ),
        Refusal::Filtered => (400, "ValidationException", "The prompt was blocked."),
    };
    if ask.path == "/" {
        return super::sts::error(status, name, message, ask);
    }
    exception(status, name, message).with("x-amzn-requestid", request_id(ask))
}

const THROTTLED: &str = "Too many requests, please wait before trying again.";

fn exception(status: u16, name: &str, message: &str) -> Whole {
    // The name comes with a link, which readers must cut off.
    let named = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    Whole::json(status, &json!({"message": message})).with("x-amzn-errortype", named)
}

/// Status, name and words for wrong credentials.
pub(super) fn unauthorized(ask: &Ask<'_>, wrong: Wrong) -> (u16, &'static str, &'static str) {
    match wrong {
        Wrong::Missing => (403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        Wrong::Unknown if ask.bearer().is_some() => {
            (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.")
        }
        Wrong::Expired if ask.bearer().is_some() => {
            (403, "ExpiredTokenException", "Bearer Token has expired")
        }
        Wrong::Unknown | Wrong::Audience => {
            (403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        }
        Wrong::Expired => {
            (403, "ExpiredTokenException", "The security token included in the request is expired")
        }
        Wrong::Signature => (
            403,
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
             Key and signing method. Consult the service documentation for details.",
        ),
    }
}

/// A signature that cannot be right, for this reason.
pub(super) fn signature(message: &str) -> Refusal {
    Refusal::Own(Box::new(exception(403, "InvalidSignatureException", message)))
}

/// An authorization that is not one.
pub(super) fn incomplete() -> Refusal {
    let message = "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' parameters.";
    Refusal::Own(Box::new(exception(403, "IncompleteSignatureException", message)))
}

/// Bedrock's words for a body that cannot be read.
pub(super) fn serde_message(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("The format of the request is invalid: {error}")
    } else {
        "Malformed input request, please reformat your input and try again.".to_owned()
    }
}

/// An error as the body of a 200; at SageMaker it is the container's own.
pub(crate) fn error_body(path: &str) -> Bytes {
    if sagemaker::is_path(path) {
        return container::error_body();
    }
    let output = json!({"__type": "com.amazon.bedrock#ThrottlingException", "message": THROTTLED});
    Bytes::from(json!({"Output": output, "Version": "1.0"}).to_string())
}

/// A stream that is an exception.
pub(crate) fn error_events() -> Events {
    let mut events = Events::new(Framing::Frames);
    frame::exception(&mut events, "throttlingException", &json!({"message": THROTTLED}));
    events
}
