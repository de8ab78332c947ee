//! From what the SDK says went wrong to an error of ours: by the exception's name first, by the HTTP status last.

use std::fmt::Debug;

use aigate_contract::{Error, ErrorKind};
use aigate_transport::{kind_of_status, retry_after};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::{
    config::http::HttpResponse,
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
    types::error::ConverseStreamOutputError,
};
use aws_smithy_types::event_stream::RawMessage;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The longest message of the provider that is passed on, in characters.
const LONGEST: usize = 600;

/// What came with an error: an HTTP answer, or a frame of a stream.
pub(crate) trait Answer: Debug + 'static {
    /// The HTTP status.
    fn status(&self) -> Option<u16>;
    /// A header's value.
    fn header(&self, name: &'static str) -> Option<&str>;
    /// Whether the stream's bytes ended inside a frame.
    fn is_cut(&self) -> bool;
}

impl Answer for HttpResponse {
    fn status(&self) -> Option<u16> {
        Some(self.status().as_u16())
    }

    fn header(&self, name: &'static str) -> Option<&str> {
        self.headers().get(name)
    }

    fn is_cut(&self) -> bool {
        false
    }
}

impl Answer for RawMessage {
    fn status(&self) -> Option<u16> {
        None
    }

    fn header(&self, _name: &'static str) -> Option<&str> {
        None
    }

    fn is_cut(&self) -> bool {
        // The SDK keeps the bytes left over at the end; a frame that it cannot decode has none.
        matches!(self, Self::Invalid(Some(_)))
    }
}

/// A service's errors, which know their exception's name.
pub(crate) trait Named: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static {
    /// The service, in words.
    const SERVICE: &'static str = "Bedrock";

    /// The name, from the header or the body, or from the frame.
    fn name(&self) -> Option<&str> {
        self.code()
    }
}

impl Named for aws_sdk_bedrockruntime::operation::converse::ConverseError {}
impl Named for aws_sdk_bedrockruntime::operation::converse_stream::ConverseStreamError {}
impl Named for aws_sdk_bedrockruntime::operation::invoke_model::InvokeModelError {}

impl Named for aws_sdk_sagemakerruntime::operation::invoke_endpoint::InvokeEndpointError {
    const SERVICE: &'static str = "SageMaker";
}

impl Named for ConverseStreamOutputError {
    fn name(&self) -> Option<&str> {
        // A frame tells its exception in a header, which the SDK turns into the variant and does not keep as a code.
        match self {
            Self::InternalServerException(_) => Some("InternalServerException"),
            Self::ModelStreamErrorException(_) => Some("ModelStreamErrorException"),
            Self::ServiceUnavailableException(_) => Some("ServiceUnavailableException"),
            Self::ThrottlingException(_) => Some("ThrottlingException"),
            Self::ValidationException(_) => Some("ValidationException"),
            _ => self.code(),
        }
    }
}

/// The one way from the SDK's errors to ours.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>,
/// <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html#API_runtime_InvokeEndpoint_Errors>
pub(crate) fn from_sdk<E: Named, R: Answer>(error: SdkError<E, R>) -> Error {
    let service = E::SERVICE;
    let ours = match &error {
        SdkError::ServiceError(refusal) => {
            refused(refusal.err(), refusal.raw().status()).with_retry_after(wait(refusal.raw()))
        }
        SdkError::TimeoutError(_) => {
            Error::new(ErrorKind::Timeout, format!("{service} did not answer in time"))
        }
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) => unreachable(service, connector),
            None => Error::new(ErrorKind::Unavailable, format!("{service} could not be reached")),
        },
        SdkError::ResponseError(broken) if broken.raw().is_cut() => cut(),
        SdkError::ResponseError(broken) => {
            let message = format!("{service}'s answer is not of its documented form");
            with_status(Error::new(ErrorKind::Malformed, message), broken.raw().status())
        }
        other => Error::new(ErrorKind::Internal, format!("the request could not be built: {}", chain(other))),
    };
    // AWS quotes the signed request, session token and all, when a signature is wrong.
    if ours.code().is_some_and(is_signature) {
        return ours;
    }
    match error.into_source() {
        Ok(source) => ours.with_source(source),
        Err(_) => ours,
    }
}

/// An error while a stream is read: what was a broken connection before is now an answer that broke off.
pub(crate) fn from_stream(error: SdkError<ConverseStreamOutputError, RawMessage>) -> Error {
    match error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => match error.into_source() {
            Ok(source) => cut().with_source(source),
            Err(_) => cut(),
        },
        other => from_sdk(other),
    }
}

/// The stream ended before its final event.
pub(crate) fn cut() -> Error {
    Error::new(ErrorKind::Interrupted, "Bedrock's stream ended before its final event")
}

fn refused<E: Named>(error: &E, status: Option<u16>) -> Error {
    let message = error.message().unwrap_or_default();
    let code = error.name();
    let kind = match (code, status.and_then(|status| StatusCode::from_u16(status).ok())) {
        (Some(code), status) => kind_of(code, message).or_else(|| status.map(kind_of_status)),
        (None, status) => status.map(kind_of_status),
    };
    let said = match code {
        Some(code) if is_signature(code) => "the request's signature is not valid".to_owned(),
        _ if message.is_empty() => "no reason given".to_owned(),
        _ => shortened(message),
    };
    let ours = Error::new(kind.unwrap_or(ErrorKind::Unavailable), format!("{}: {said}", E::SERVICE));
    let ours = match code {
        Some(code) => ours.with_code(code),
        None => ours,
    };
    with_status(ours, status)
}

/// What an exception's name means; `None` for a name that is not known. AWS throttles with 400 as well as with 429,
/// so the name counts and not the status.
fn kind_of(code: &str, message: &str) -> Option<ErrorKind> {
    Some(match code {
        "ThrottlingException"
        | "TooManyRequestsException"
        | "ServiceQuotaExceededException"
        | "ModelNotReadyException"
        | "RequestLimitExceeded"
        | "SlowDown" => ErrorKind::Throttled,
        "ValidationException" => kind_of_validation(message),
        "ValidationError" => kind_of_sagemaker_validation(message),
        "RequestEntityTooLargeException" | "RequestTooLargeException" => ErrorKind::TooLarge,
        "AccessDenied"
        | "AccessDeniedException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => ErrorKind::Denied,
        "ResourceNotFoundException" => ErrorKind::Missing,
        "ModelTimeoutException" | "RequestTimeout" | "RequestTimeoutException" => ErrorKind::Timeout,
        "ModelErrorException"
        | "InternalDependencyException"
        | "InternalServerException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => ErrorKind::Unavailable,
        "ModelStreamErrorException" => ErrorKind::Interrupted,
        "SerializationException" | "UnknownOperationException" => ErrorKind::Invalid,
        _ => return None,
    })
}

/// One name for many faults; only the text tells which.
fn kind_of_validation(message: &str) -> ErrorKind {
    let text = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if says(&[
        "too long for requested model",
        "prompt is too long",
        "input is too long",
        "maximum context length",
        "context window",
        "too many input tokens",
        "input tokens exceeded",
        "exceeds the maximum number of tokens",
        "max input tokens",
    ]) {
        ErrorKind::TooLarge
    } else if says(&["model identifier is invalid", "on-demand throughput isn", "provided model doesn"]) {
        ErrorKind::Missing
    } else if says(&[
        "this model doesn't support",
        "the model doesn't support",
        "is not supported by this model",
    ]) {
        ErrorKind::Unsupported
    } else {
        ErrorKind::Invalid
    }
}

/// SageMaker reads nothing of the body but its size: what else it refuses is the endpoint, the variant, the model or the
/// component, which the operator named.
fn kind_of_sagemaker_validation(message: &str) -> ErrorKind {
    let about_size = message.contains("'body'") || message.to_ascii_lowercase().contains("payload");
    if about_size { ErrorKind::TooLarge } else { ErrorKind::Missing }
}

fn unreachable(service: &str, connector: &ConnectorError) -> Error {
    if let Some(error) = credentials(connector) {
        return error;
    }
    if connector.is_user() {
        return Error::new(
            ErrorKind::Internal,
            format!("the request could not be sent: {}", chain(connector)),
        );
    }
    let (kind, said) = if connector.is_timeout() && !chain(connector).contains("connect") {
        (ErrorKind::Timeout, "did not answer in time")
    } else {
        (ErrorKind::Unavailable, "could not be reached")
    };
    Error::new(kind, format!("{service} {said}: {}", chain(connector)))
}

/// The credentials could not be had: nobody has any, the profile is not there, STS refused, STS is away.
fn credentials(connector: &ConnectorError) -> Option<Error> {
    let found = causes(connector).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    let away = causes(found).skip(1).any(|cause| cause.is::<ConnectorError>());
    let (kind, said) = match found {
        CredentialsError::CredentialsNotLoaded(_) => (
            ErrorKind::Denied,
            "no AWS credentials found in the settings, the environment, the profile files, a web identity, the \
             container or the instance"
                .to_owned(),
        ),
        CredentialsError::ProviderTimedOut(_) => {
            (ErrorKind::Timeout, "the AWS credentials could not be had in time".to_owned())
        }
        _ if away => {
            (ErrorKind::Unavailable, format!("AWS's credential service is away: {}", chain(found)))
        }
        _ => (ErrorKind::Denied, format!("the AWS credentials could not be had: {}", chain(found))),
    };
    Some(Error::new(kind, said))
}

fn is_signature(code: &str) -> bool {
    matches!(
        code,
        "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
    )
}

fn with_status(error: Error, status: Option<u16>) -> Error {
    match status {
        Some(status) => error.with_status(status),
        None => error,
    }
}

fn wait(answer: &impl Answer) -> Option<std::time::Duration> {
    let header = |name: &'static str| {
        let value = HeaderValue::from_str(answer.header(name)?).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    let headers: HeaderMap = ["retry-after-ms", "retry-after"].into_iter().filter_map(header).collect();
    retry_after(&headers)
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The causes in one line, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if said.last() != Some(&text) {
            said.push(text);
        }
    }
    shortened(&said.join(": "))
}

/// A provider's words, cut.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_s_name_and_words_give_the_kind_and_an_unknown_name_leaves_it_to_the_status() {
        for (code, message, kind) in [
            ("ThrottlingException", "Too many tokens", Some(ErrorKind::Throttled)),
            ("ValidationException", "max_tokens must be positive", Some(ErrorKind::Invalid)),
            ("ValidationException", "Input is too long for requested model.", Some(ErrorKind::TooLarge)),
            ("ValidationException", "prompt is too long: 210000 tokens > 200000", Some(ErrorKind::TooLarge)),
            ("ValidationException", "The provided model identifier is invalid.", Some(ErrorKind::Missing)),
            (
                "ValidationException",
                "This model doesn't support the toolConfig.toolChoice.any field.",
                Some(ErrorKind::Unsupported),
            ),
            ("ExpiredTokenException", "", Some(ErrorKind::Denied)),
            ("ModelStreamErrorException", "", Some(ErrorKind::Interrupted)),
            ("ValidationError", "Endpoint x of account 1 not found.", Some(ErrorKind::Missing)),
            ("ValidationError", "Variant blue not found for Request.", Some(ErrorKind::Missing)),
            (
                "ValidationError",
                "Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 6291456",
                Some(ErrorKind::TooLarge),
            ),
            ("InternalDependencyException", "", Some(ErrorKind::Unavailable)),
            ("SomethingNewException", "", None),
        ] {
            assert_eq!(kind_of(code, message), kind, "{code}: {message}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(shortened(&"ä".repeat(700)).chars().count(), LONGEST + 1);
    }
}
