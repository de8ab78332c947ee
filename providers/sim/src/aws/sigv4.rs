//! Checks signatures of version 4: builds the canonical request anew and signs it.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::refuse;
use crate::{
    answer::{Ask, Refusal, Result, Wrong, decode},
    clock,
};

/// Seconds by which clocks may differ.
const SKEW: u64 = 300;

/// The parts of an `Authorization` header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature<'a> {
    pub(super) access_key: &'a str,
    /// Date, region, service, `aws4_request`.
    scope: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Signature<'a> {
    /// Reads `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
    pub(super) fn read(authorization: &'a str) -> Option<Self> {
        let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let part = |name: &str| {
            let mut parts = rest.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let (access_key, scope) = part("Credential")?.split_once('/')?;
        let mut parts = scope.split('/');
        let (date, region, service) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next() != Some("aws4_request") || parts.next().is_some() {
            return None;
        }
        let (signed_headers, signature) = (part("SignedHeaders")?, part("Signature")?);
        Some(Self { access_key, scope, date, region, service, signed_headers, signature })
    }

    /// Whether the request was signed with this secret, for this service, now.
    pub(super) fn check(&self, ask: &Ask<'_>, secret: &str, service: &str) -> Result<()> {
        let time = ask.header("x-amz-date").unwrap_or_default();
        let seconds = clock::from_amz(time).filter(|_| time.starts_with(self.date));
        let Some(seconds) = seconds else {
            return Err(refuse::signature(
                "The request needs an x-amz-date that fits the credential's scope.",
            ));
        };
        if seconds.abs_diff(clock::now()) > SKEW {
            return Err(refuse::signature("Signature expired: the request's time is too far from now."));
        }
        if self.service != service {
            let message = format!("Credential should be scoped to correct service: '{service}'.");
            return Err(refuse::signature(&message));
        }
        self.check_headers(ask)?;
        let signature = self.sign(ask, secret, time);
        if signature == self.signature { Ok(()) } else { Err(Refusal::Credentials(Wrong::Signature)) }
    }

    /// The host and every `x-amz-` header must be signed; a hash of the body, if sent, must be right.
    fn check_headers(&self, ask: &Ask<'_>) -> Result<()> {
        let signed = |name: &str| self.signed_headers.split(';').any(|signed| signed == name);
        if !signed("host") {
            return Err(refuse::signature("'Host' must be a 'SignedHeader' in the AWS Authorization."));
        }
        let names = ask.headers.keys().map(http::HeaderName::as_str);
        if let Some(name) = names.into_iter().find(|name| name.starts_with("x-amz-") && !signed(name)) {
            let message = format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.");
            return Err(refuse::signature(&message));
        }
        match ask.header("x-amz-content-sha256") {
            Some(hash) if hash != hex(&Sha256::digest(ask.body)) => Err(refuse::signature(
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )),
            _ => Ok(()),
        }
    }

    /// The signature that the request should have.
    fn sign(&self, ask: &Ask<'_>, secret: &str, time: &str) -> String {
        let canonical = self.canonical(ask);
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{}\n{hash}", self.scope);
        let key = format!("AWS4{secret}");
        let steps = [self.date, self.region, self.service, "aws4_request", &text];
        hex(&steps.iter().fold(key.into_bytes(), |key, step| mac(&key, step)))
    }

    fn canonical(&self, ask: &Ask<'_>) -> String {
        let mut text = String::with_capacity(512);
        text.push_str(ask.method.as_str());
        text.push('\n');
        // Every service but S3 encodes the path once more than it is sent.
        encode(ask.path.as_bytes(), b"/", &mut text);
        text.push('\n');
        canonical_query(ask.query, &mut text);
        text.push('\n');
        for name in self.signed_headers.split(';') {
            text.push_str(name);
            text.push(':');
            let values = ask.headers.get_all(name).iter().map(|value| {
                let value = String::from_utf8_lossy(value.as_bytes());
                value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
            });
            text.push_str(&values.collect::<Vec<_>>().join(","));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(self.signed_headers);
        text.push('\n');
        text.push_str(&hex(&Sha256::digest(ask.body)));
        text
    }
}

/// Parameters by name, then by value, each encoded anew.
fn canonical_query(query: &str, text: &mut String) {
    let encoded = |part: &str| {
        let mut encoded = String::with_capacity(part.len());
        encode(decode(part, false).as_bytes(), b"", &mut encoded);
        encoded
    };
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        let and = if index == 0 { "" } else { "&" };
        // Writing to a string cannot fail.
        let _written = write!(text, "{and}{name}={value}");
    }
}

/// Percent-encodes all but letters, digits, `-._~` and what `keep` has.
fn encode(bytes: &[u8], keep: &[u8], text: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _written = write!(text, "%{byte:02X}");
        }
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length are fine for an HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TIME: &str = "20150830T123600Z";

    fn sign(
        method: &Method,
        path: &str,
        query: &str,
        extra: &[(&'static str, &'static str)],
        body: &str,
    ) -> String {
        let mut headers = HeaderMap::new();
        let all = [("host", "example.amazonaws.com"), ("x-amz-date", TIME)];
        let mut names: Vec<_> = all.iter().chain(extra).map(|(name, _)| *name).collect();
        names.sort_unstable();
        for (name, value) in all.iter().chain(extra) {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let ask = Ask { method, path, query, headers: &headers, body: &body, number: 1, keys_expired: false };
        let names = names.join(";");
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, \
             Signature=x"
        );
        Signature::read(&authorization).unwrap().sign(&ask, SECRET, TIME)
    }

    /// Examples of the test suite that AWS publishes.
    #[test]
    fn signatures_are_those_of_the_published_suite() {
        assert_eq!(
            sign(&Method::GET, "/", "", &[], ""),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert_eq!(
            sign(&Method::GET, "/", "Param2=value2&Param1=value1", &[], ""),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(
            sign(&Method::POST, "/", "", &form, "Param1=value1"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    #[test]
    fn paths_are_encoded_twice() {
        let mut text = String::new();
        encode(b"/model/a.b%3A0/converse", b"/", &mut text);
        assert_eq!(text, "/model/a.b%253A0/converse");
    }

    #[test]
    fn odd_authorizations_are_not_read() {
        for odd in ["", "Basic x", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=x"] {
            assert_eq!(Signature::read(odd), None, "{odd}");
        }
    }
}
