//! A token's text: its parts, and what they claim before anything is verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::refused::TokenFault;

/// A token whose signature may not have been verified yet.
pub(super) struct Token<'a> {
    /// Header and claims as they were signed.
    signed: &'a str,
    signature: &'a str,
    pub(super) header: Header,
    claims: Map<String, Value>,
}

/// The part of the header that counts. A token's own keys and URLs (`jwk`, `jku`, `x5u`) do not.
#[derive(Deserialize)]
pub(super) struct Header {
    alg: String,
    pub(super) kid: Option<String>,
    /// Extensions without which the token must not be understood; none are known here.
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    /// Reads a token.
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenFault> {
        let (signed, header, claims, signature) = parts(text).ok_or(TokenFault::Malformed)?;
        let header: Header = decoded(header).ok_or(TokenFault::Malformed)?;
        let claims = decoded(claims).ok_or(TokenFault::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenFault::Malformed);
        }
        Ok(Self { signed, signature, header, claims })
    }

    /// How it says that it is signed, if that is one of `allowed`.
    pub(super) fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, TokenFault> {
        let named = self.header.alg.parse().map_err(|_| TokenFault::Algorithm)?;
        if allowed.contains(&named) { Ok(named) } else { Err(TokenFault::Algorithm) }
    }

    /// Its claims, which the holder of the key has signed.
    pub(super) fn verified(
        self,
        key: &DecodingKey,
        how: Algorithm,
    ) -> Result<Map<String, Value>, TokenFault> {
        match crypto::verify(self.signature, self.signed.as_bytes(), key, how) {
            Ok(true) => Ok(self.claims),
            Ok(false) | Err(_) => Err(TokenFault::Signature),
        }
    }
}

/// Who a token says issued it, unverified; `None` when the text is no token.
pub(crate) fn claimed_issuer(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        iss: String,
    }

    let (_, _, claims, _) = parts(text)?;
    decoded::<Claimed>(claims).map(|claimed| claimed.iss)
}

/// What is signed, header, claims and signature: `HEADER.CLAIMS.SIGNATURE` in base64url. The signature of an unsigned token is
/// empty.
fn parts(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let base64 =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let good =
        !header.is_empty() && !claims.is_empty() && [header, claims, signature].into_iter().all(base64);
    good.then_some((signed, header, claims, signature))
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
