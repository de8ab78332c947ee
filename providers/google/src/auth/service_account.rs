//! A service account's key: signs an assertion, gets a token for it.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use std::time::{SystemTime, UNIX_EPOCH};

use aigate_contract::{Error, ErrorKind, Result};
use aigate_transport::Token;
use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{server::Server, source::SCOPE};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The clock of the token server may be a little behind.
const SKEW_SECS: u64 = 10;
const LIFE_SECS: u64 = 3600;

/// A service account with its key.
#[derive(Debug)]
pub(super) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: KeyPair,
    /// Whom the assertion is meant for: always what the file says, also when another URL is asked.
    audience: String,
    url: Url,
}

#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: String,
}

impl ServiceAccount {
    /// Reads a key file's content.
    pub(super) fn parse(json: serde_json::Value, token_url: Option<&Url>) -> Result<Self, String> {
        let file: File = serde_json::from_value(json).map_err(|error| error.to_string())?;
        let own = super::source::url("token_uri", &file.token_uri)?;
        Ok(Self {
            key: read_key(&file.private_key)?,
            email: file.client_email,
            key_id: file.private_key_id,
            audience: file.token_uri,
            url: token_url.cloned().unwrap_or(own),
        })
    }

    pub(super) fn email(&self) -> &str {
        &self.email
    }

    /// Gets a token.
    pub(super) async fn fetch(&self, server: &Server) -> Result<Token> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let assertion = self.assertion(now)?;
        server.exchange(&self.url, &[("grant_type", GRANT), ("assertion", &assertion)], None).await
    }

    fn assertion(&self, now: u64) -> Result<String> {
        let issued = now.saturating_sub(SKEW_SECS);
        let mut head = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.key_id {
            head["kid"] = json!(id);
        }
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.audience,
            "iat": issued,
            "exp": issued + LIFE_SECS,
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(head), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| Error::new(ErrorKind::Denied, "the service account's key cannot sign"))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn read_key(pem: &str) -> Result<KeyPair, String> {
    let wrong = |_| "`private_key` is not an RSA key in PEM form".to_owned();
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(wrong),
        Ok(PrivateKeyDer::Pkcs1(der)) => KeyPair::from_der(der.secret_pkcs1_der()).map_err(wrong),
        _ => Err("`private_key` is not a private key in PEM form".to_owned()),
    }
}
