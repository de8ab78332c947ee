//! Why a caller is not let in, in words that help and tell no secret.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::StatusCode;

use crate::moment::format_time;

/// Why a caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing was sent.
    NoKey,
    /// The key or token is longer than any that is read.
    TooLarge,
    /// The key is none of ours.
    WrongKey,
    /// The key was ours until then.
    Expired {
        /// When it expired.
        since: SystemTime,
    },
    /// The operator withdrew the key.
    Revoked,
    /// The token is not good.
    Token(TokenFault),
    /// The issuer's keys are not to be had, so its tokens cannot be verified now.
    Unavailable {
        /// The issuer's name in the config.
        issuer: Arc<str>,
    },
}

/// What is wrong with a token. Nothing but its form, algorithm and key is told of a token whose signature is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// It is no JSON Web Token.
    Malformed,
    /// Nobody we know issued it.
    Issuer,
    /// It is signed in a way that its issuer is not trusted for.
    Algorithm,
    /// It names no key, or one that the issuer does not publish.
    Key,
    /// The signature does not fit.
    Signature,
    /// It has no such claim, or not in the right form.
    Claim(Arc<str>),
    /// It is for somebody else.
    Audience,
    /// Its time is over.
    Expired {
        /// When it expired.
        since: SystemTime,
    },
    /// Its time has not come.
    NotYet {
        /// When it begins.
        from: SystemTime,
    },
    /// It is good, but a claim that callers need does not hold the value for it.
    Lacks {
        /// The claim.
        claim: Arc<str>,
        /// The value.
        value: Arc<str>,
    },
    /// It is good, but a claim that should grant rights grants none.
    GrantsNothing {
        /// The claim.
        claim: Arc<str>,
    },
}

/// The longest key or token that is read, in bytes.
const MAX_BYTES: usize = 16 * 1024;

impl Refused {
    /// Refuses what is too long to be looked at.
    pub(crate) fn if_too_large(secret: &str) -> Result<(), Self> {
        if secret.len() > MAX_BYTES { Err(Self::TooLarge) } else { Ok(()) }
    }

    /// What to tell the caller.
    pub fn message(&self) -> String {
        match self {
            Self::NoKey => "no API key: send `Authorization: Bearer YOUR_KEY`".to_owned(),
            Self::TooLarge => format!("the key or token is longer than {MAX_BYTES} bytes"),
            Self::WrongKey => "the API key is not known here: ask this gateway's operator for one".to_owned(),
            Self::Expired { since } => {
                let since = format_time(*since);
                format!("the API key expired at {since}: ask this gateway's operator for a new one")
            }
            Self::Revoked => "the API key was revoked: ask this gateway's operator for a new one".to_owned(),
            Self::Token(fault) => fault.message(),
            Self::Unavailable { issuer } => format!(
                "tokens of `{issuer}` cannot be verified now, because its keys are not to be had: try again later"
            ),
        }
    }

    /// 401: who calls is not established. 403: it is, and may not. 503: it cannot be now.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token(TokenFault::Lacks { .. } | TokenFault::GrantsNothing { .. }) => StatusCode::FORBIDDEN,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// When it is worth trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Unavailable { .. }).then_some(crate::jwt::RETRY)
    }
}

impl TokenFault {
    fn message(&self) -> String {
        let plain = match self {
            Self::Malformed => "the token is not a JSON Web Token that can be read",
            Self::Issuer => "the token's issuer (claim `iss`) is not known here",
            Self::Algorithm => "the token is signed with an algorithm that its issuer is not trusted for",
            Self::Key => {
                "the token is signed with a key (`kid`) that its issuer does not publish: get a new token"
            }
            Self::Signature => "the token's signature does not fit its content",
            Self::Audience => {
                "the token is for somebody else (claim `aud`): ask its issuer for one for this gateway"
            }
            Self::Claim(claim) => {
                return format!("the token's claim `{claim}` is missing or not of the right form");
            }
            Self::Expired { since } => {
                return format!("the token expired at {}: get a new one", format_time(*since));
            }
            Self::NotYet { from } => {
                return format!("the token is not valid before {} (claim `nbf`)", format_time(*from));
            }
            Self::Lacks { claim, value } => {
                return format!(
                    "the token's claim `{claim}` does not hold `{value}`, which callers need here"
                );
            }
            Self::GrantsNothing { claim } => {
                return format!("the token's claim `{claim}` grants nothing that can be used here");
            }
        };
        plain.to_owned()
    }
}

impl From<TokenFault> for Refused {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}
