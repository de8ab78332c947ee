//! Tokens that a cloud issued: which there are, and which have expired.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::time::Instant;

use crate::clock;

/// Older tokens than so many are forgotten, which is as good as expired.
const KEPT: usize = 4096;

/// How tokens begin; a number follows.
const PREFIX: &str = "simulated-token-";

/// Seconds by which clocks may differ.
const SKEW: u64 = 300;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// It was never issued, or is not of this form.
    Unknown,
    /// It was valid once.
    Expired,
    /// It was issued for another service.
    Audience,
}

/// The services that a token was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The cloud's models, and at Google and AWS its endpoints too.
    Models,
    /// Azure ML's endpoints.
    Endpoints,
    /// Others, which are not here.
    Elsewhere,
}

/// The tokens of one cloud.
#[derive(Debug)]
pub(crate) struct Tokens {
    lifetime: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    issued: u64,
    live: VecDeque<Issued>,
    /// Hashes of self-signed tokens that were seen.
    jwts: VecDeque<(u64, bool)>,
}

#[derive(Debug)]
struct Issued {
    number: u64,
    expires: Instant,
    audience: Audience,
    expired: bool,
}

impl Tokens {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime: lifetime.min(Duration::from_secs(7 * 86_400)), state: Mutex::default() }
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A new token, and its number.
    pub(crate) fn issue(&self, audience: Audience) -> (String, u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.issued += 1;
        let number = state.issued;
        let expires = Instant::now() + self.lifetime;
        state.live.push_back(Issued { number, expires, audience, expired: false });
        if state.live.len() > KEPT {
            state.live.pop_front();
        }
        (format!("{PREFIX}{number}"), number)
    }

    /// Every token so far expires.
    pub(crate) fn expire_all(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.live.iter_mut().for_each(|issued| issued.expired = true);
        state.jwts.iter_mut().for_each(|(_, expired)| *expired = true);
    }

    /// Checks a token of ours that is shown to this service, and gives its number.
    pub(crate) fn check(&self, token: &str, service: Audience) -> Result<u64, TokenFault> {
        let number = token.strip_prefix(PREFIX).and_then(|number| number.parse::<u64>().ok());
        let number = number.ok_or(TokenFault::Unknown)?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if number == 0 || number > state.issued {
            return Err(TokenFault::Unknown);
        }
        let back = usize::try_from(state.issued - number).unwrap_or(usize::MAX);
        let place = state.live.len().checked_sub(back.saturating_add(1));
        let issued = place.and_then(|place| state.live.get(place)).filter(|issued| issued.number == number);
        match issued {
            Some(issued) if issued.expired || issued.expires <= Instant::now() => Err(TokenFault::Expired),
            Some(issued) if issued.audience != service => Err(TokenFault::Audience),
            Some(_) => Ok(number),
            None => Err(TokenFault::Expired),
        }
    }

    /// Checks a token that the caller signed itself (its form and claims: there is no key to check the signature with).
    /// `for_us` looks at its claims.
    pub(crate) fn check_jwt(
        &self,
        token: &str,
        for_us: impl FnOnce(&Value) -> bool,
    ) -> Result<(), TokenFault> {
        let claims = jwt_claims(token).ok_or(TokenFault::Unknown)?;
        let time = |name| claims.get(name).and_then(Value::as_u64);
        let (Some(issued), Some(expires)) = (time("iat"), time("exp")) else {
            return Err(TokenFault::Unknown);
        };
        let now = clock::now();
        if expires.saturating_add(SKEW) < now {
            return Err(TokenFault::Expired);
        }
        if issued > now + SKEW || expires <= issued {
            return Err(TokenFault::Unknown);
        }
        if !for_us(&claims) {
            return Err(TokenFault::Audience);
        }
        let mut hasher = DefaultHasher::new();
        token.hash(&mut hasher);
        let hash = hasher.finish();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.jwts.iter().find(|(seen, _)| *seen == hash) {
            Some((_, true)) => return Err(TokenFault::Expired),
            Some(_) => {}
            None => {
                state.jwts.push_back((hash, false));
                if state.jwts.len() > 64 {
                    state.jwts.pop_front();
                }
            }
        }
        Ok(())
    }
}

/// The claims of a well-formed, signed JSON web token.
pub(crate) fn jwt_claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || signature.is_empty() {
        return None;
    }
    BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    let read = |part: &str| -> Option<Value> {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let algorithm = read(header)?.get("alg")?.as_str()?.to_owned();
    if !["RS256", "ES256"].contains(&algorithm.as_str()) {
        return None;
    }
    read(claims).filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_live_until_their_time_or_until_all_expire() {
        let tokens = Tokens::new(Duration::from_secs(60));
        let (first, number) = tokens.issue(Audience::Models);
        assert_eq!(tokens.check(&first, Audience::Models), Ok(number));
        assert_eq!(tokens.check("simulated-token-2", Audience::Models), Err(TokenFault::Unknown));
        assert_eq!(tokens.check("something", Audience::Models), Err(TokenFault::Unknown));
        tokens.expire_all();
        assert_eq!(tokens.check(&first, Audience::Models), Err(TokenFault::Expired));
        let (second, _) = tokens.issue(Audience::Models);
        assert!(tokens.check(&second, Audience::Models).is_ok());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(tokens.check(&second, Audience::Models), Err(TokenFault::Expired));
        let (other, _) = tokens.issue(Audience::Endpoints);
        assert_eq!(tokens.check(&other, Audience::Models), Err(TokenFault::Audience));
        assert!(tokens.check(&other, Audience::Endpoints).is_ok());
    }

    #[test]
    fn a_self_signed_token_is_read_and_expires_with_the_rest() {
        let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
        let now = clock::now();
        let claims = format!(r#"{{"iss":"me","scope":"s","iat":{now},"exp":{}}}"#, now + 3600);
        let token = format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#.into()), part(claims), part("sign".into()));
        let tokens = Tokens::new(Duration::from_secs(60));
        assert_eq!(tokens.check_jwt(&token, |claims| claims["scope"] == "s"), Ok(()));
        assert_eq!(tokens.check_jwt(&token, |_| false), Err(TokenFault::Audience));
        assert_eq!(tokens.check_jwt("a.b.c", |_| true), Err(TokenFault::Unknown));
        tokens.expire_all();
        assert_eq!(tokens.check_jwt(&token, |_| true), Err(TokenFault::Expired));
    }
}
