//! One error type. Its kind is the whole policy table: what is retried, what fails over, who is to blame.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use crate::{AttemptRecord, Cost, Money, Target};

/// Any error, as a cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call or an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller's request is wrong; it would be wrong anywhere.
    Invalid,
    /// This deployment cannot honour a field of the request; another one may.
    Unsupported,
    /// The request is too large for this deployment (context window, payload limit); another one may hold it.
    TooLarge,
    /// The provider's content filter refused the request. Never fails over: a filter is not to be shopped around.
    Filtered,
    /// The provider refuses the gateway's own credentials: the operator's fault.
    Denied,
    /// The provider does not know the deployment: the operator's fault.
    Missing,
    /// The provider says: too many requests.
    Throttled,
    /// The gateway's own bound on calls to this deployment is reached.
    Overloaded,
    /// Our share of the deployment's quota is used up for the moment.
    OverShare,
    /// The caller's own limit is reached.
    Limited,
    /// The caller's own budget is spent.
    OverBudget,
    /// The limits are kept elsewhere, that place cannot be reached, and the config wants no call without them.
    LimitsUnknown,
    /// Nobody waited for the answer any more: the caller left, or another deployment was first.
    Abandoned,
    /// The deployment's circuit breaker is open.
    CircuitOpen,
    /// The provider asked for patience a while ago; it is left alone until then.
    AskedToWait,
    /// The call's own time is over.
    Deadline,
    /// No answer in time.
    Timeout,
    /// Not reachable, or a server error.
    Unavailable,
    /// A stream ended before its final event.
    Interrupted,
    /// The provider answered with something that is not its documented form.
    Malformed,
    /// Every deployment of the model failed; the attempts say how.
    Exhausted,
    /// A defect of the gateway.
    Internal,
}

impl ErrorKind {
    /// The word for logs, metrics and error bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_request",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::Filtered => "content_filter",
            Self::Denied => "provider_denied",
            Self::Missing => "deployment_missing",
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::OverShare => "over_share",
            Self::Limited => "rate_limited",
            Self::OverBudget => "over_budget",
            Self::LimitsUnknown => "limits_unknown",
            Self::Abandoned => "abandoned",
            Self::CircuitOpen => "circuit_open",
            Self::AskedToWait => "asked_to_wait",
            Self::Deadline => "deadline",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Interrupted => "interrupted",
            Self::Malformed => "malformed_answer",
            Self::Exhausted => "exhausted",
            Self::Internal => "internal",
        }
    }

    /// Whether the same deployment may do better in a moment.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable | Self::Interrupted | Self::Malformed => true,
            // A deployment that was silent for the whole of an attempt's time would cost as much again.
            Self::Timeout
            | Self::Invalid
            | Self::Unsupported
            | Self::TooLarge
            | Self::Filtered
            | Self::Denied
            | Self::Missing
            | Self::Overloaded
            | Self::OverShare
            | Self::Limited
            | Self::OverBudget
            | Self::LimitsUnknown
            | Self::Abandoned
            | Self::CircuitOpen
            | Self::AskedToWait
            | Self::Deadline
            | Self::Exhausted
            | Self::Internal => false,
        }
    }

    /// Whether another deployment may do better.
    pub const fn fails_over(self) -> bool {
        match self {
            Self::Unsupported
            | Self::TooLarge
            | Self::Denied
            | Self::Missing
            | Self::Throttled
            | Self::Overloaded
            | Self::OverShare
            | Self::CircuitOpen
            | Self::AskedToWait
            | Self::Deadline
            | Self::Timeout
            | Self::Unavailable
            | Self::Interrupted
            | Self::Malformed
            | Self::Internal => true,
            Self::Invalid
            | Self::Filtered
            | Self::Limited
            | Self::OverBudget
            | Self::LimitsUnknown
            | Self::Abandoned
            | Self::Exhausted => false,
        }
    }

    /// Whether the failure counts against the deployment in its circuit breaker.
    pub const fn blames_provider(self) -> bool {
        match self {
            Self::Denied
            | Self::Missing
            | Self::Throttled
            | Self::Timeout
            | Self::Unavailable
            | Self::Interrupted
            | Self::Malformed => true,
            Self::Invalid
            | Self::Unsupported
            | Self::TooLarge
            | Self::Filtered
            | Self::Overloaded
            | Self::OverShare
            | Self::Limited
            | Self::OverBudget
            | Self::LimitsUnknown
            | Self::Abandoned
            | Self::CircuitOpen
            | Self::AskedToWait
            | Self::Deadline
            | Self::Exhausted
            | Self::Internal => false,
        }
    }

    /// Whether the gateway refused by itself, without asking the provider.
    pub const fn is_own_refusal(self) -> bool {
        matches!(self, Self::Overloaded | Self::OverShare | Self::CircuitOpen | Self::AskedToWait)
    }

    /// What an attempt cost that failed in this way. A provider does not bill what it refuses or fails to begin.
    pub fn cost(self) -> Cost {
        match self {
            Self::Invalid
            | Self::Unsupported
            | Self::TooLarge
            | Self::Denied
            | Self::Missing
            | Self::Throttled
            | Self::Overloaded
            | Self::OverShare
            | Self::Limited
            | Self::OverBudget
            | Self::LimitsUnknown
            | Self::CircuitOpen
            | Self::AskedToWait
            | Self::Unavailable
            | Self::Exhausted => Cost::Reported(Money::ZERO),
            Self::Filtered => Cost::Absent("the provider may bill what its filter looked at".to_owned()),
            Self::Deadline
            | Self::Timeout
            | Self::Interrupted
            | Self::Malformed
            | Self::Abandoned
            | Self::Internal => {
                Cost::Absent("the provider may bill what it had done, and did not tell".to_owned())
            }
        }
    }
}

/// Why a call or an attempt failed, in words an operator can act on. Never holds a secret or a whole provider body.
pub struct Error(Box<Parts>);

struct Parts {
    kind: ErrorKind,
    message: Cow<'static, str>,
    param: Option<String>,
    code: Option<String>,
    status: Option<u16>,
    retry_after: Option<Duration>,
    at: Option<Arc<Target>>,
    attempts: Vec<AttemptRecord>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of this kind. The message is lower case, without a final stop.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            kind,
            message: message.into(),
            param: None,
            code: None,
            status: None,
            retry_after: None,
            at: None,
            attempts: Vec::new(),
            source: None,
        }))
    }

    /// This deployment cannot honour `field`.
    pub fn unsupported(field: &str, why: &str) -> Self {
        Self::new(ErrorKind::Unsupported, format!("`{field}` is not supported here: {why}")).with_param(field)
    }

    /// Names the request's field that is at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Adds the provider's own error code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Adds the provider's HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn with_retry_after(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.0.retry_after = after.into();
        self
    }

    /// Says which deployment failed; the first one told stays.
    #[must_use]
    pub fn with_target(mut self, target: &Arc<Target>) -> Self {
        self.0.at.get_or_insert_with(|| Arc::clone(target));
        self
    }

    /// Adds the attempts that led here.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<AttemptRecord>) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message, without the cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The request's field at fault.
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// The provider's own error code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The provider's HTTP status.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// When to come back, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The deployment that failed.
    pub fn target(&self) -> Option<&Arc<Target>> {
        self.0.at.as_ref()
    }

    /// The attempts that led to an [`ErrorKind::Exhausted`].
    pub fn attempts(&self) -> &[AttemptRecord] {
        &self.0.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &self.0;
        f.debug_struct("Error")
            .field("kind", &parts.kind)
            .field("message", &parts.message)
            .field("param", &parts.param)
            .field("code", &parts.code)
            .field("status", &parts.status)
            .field("retry_after", &parts.retry_after)
            .field("source", &parts.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorKind;

    #[test]
    fn what_is_retried_also_fails_over_and_counts_against_the_provider() {
        use ErrorKind::*;
        for kind in [
            Invalid,
            Unsupported,
            TooLarge,
            Filtered,
            Denied,
            Missing,
            Throttled,
            Overloaded,
            OverShare,
            Limited,
            OverBudget,
            LimitsUnknown,
            Abandoned,
            CircuitOpen,
            AskedToWait,
            Deadline,
            Timeout,
            Unavailable,
            Interrupted,
            Malformed,
            Exhausted,
            Internal,
        ] {
            if kind.is_retryable() {
                assert!(kind.fails_over(), "{kind:?}");
                assert!(kind.blames_provider(), "{kind:?}");
            }
        }
    }
}
