//! An identity provider for tests: it signs tokens and publishes its keys on loopback.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::JwtConfig;

/// What the tests' tokens name as their issuer.
pub(crate) const ISSUER: &str = "https://id.bank.example";

/// A private key of the identity provider.
pub(crate) struct Signer {
    kid: &'static str,
    how: Algorithm,
    key: EncodingKey,
    /// The public key, without its name.
    public: Value,
}

impl Signer {
    fn new(kid: &'static str, how: Algorithm, key: EncodingKey) -> Self {
        let public = serde_json::to_value(Jwk::from_encoding_key(&key, how).unwrap()).unwrap();
        Self { kid, how, key, public }
    }

    pub(crate) fn rsa(kid: &'static str) -> Self {
        // Making one takes long.
        static PAIR: LazyLock<KeyPair> =
            LazyLock::new(|| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());
        // Within PKCS #8, the RSA key itself begins after 26 bytes.
        Self::new(kid, Algorithm::RS256, EncodingKey::from_rsa_der(&PAIR.serialize_der()[26..]))
    }

    pub(crate) fn ec(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::new(kid, Algorithm::ES256, EncodingKey::from_ec_der(&pair.serialize_der()))
    }

    pub(crate) fn ed(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let public =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()) });
        Self { kid, how: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&pair.serialize_der()), public }
    }

    /// The same key under another name.
    pub(crate) fn named(self, kid: &'static str) -> Self {
        Self { kid, ..self }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.how) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut public = self.public.clone();
        public["kid"] = self.kid.into();
        public
    }
}

/// The JWK Set of these keys.
pub(crate) fn jwks(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

/// Seconds since 1970, `offset` from now.
pub(crate) fn at(offset: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + offset
}

/// The claims of a good token, with changes: a `null` takes a claim away.
pub(crate) fn claims(changes: Value) -> Value {
    let mut claims = json!({ "iss": ISSUER, "aud": "aigate", "sub": "alice", "exp": at(600) });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A config for the tests' issuer, with changes.
pub(crate) fn config(changes: Value) -> JwtConfig {
    let mut config = json!({ "issuer": ISSUER, "audience": "aigate" });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

/// An HTTP server on loopback that counts what it is asked.
pub(crate) struct Server {
    pub(crate) base: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
    down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    /// No answer is sent while a test holds it.
    pub(crate) hold: Arc<tokio::sync::Mutex<()>>,
}

impl Server {
    /// Begins with these keys under `/keys`.
    pub(crate) async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::default(),
            down: Arc::default(),
            asked: Arc::default(),
            hold: Arc::default(),
        };
        server.publish("/keys", jwks(signers));
        let (answers, down) = (Arc::clone(&server.answers), Arc::clone(&server.down));
        let (asked, hold) = (Arc::clone(&server.asked), Arc::clone(&server.hold));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 8192];
                let length = stream.read(&mut head).await.unwrap_or(0);
                asked.fetch_add(1, Ordering::SeqCst);
                if down.load(Ordering::SeqCst) {
                    continue;
                }
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let body = answers.lock().unwrap().get(path).cloned();
                let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                let body = body.unwrap_or_default();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                drop(hold.lock().await);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/keys", self.base)
    }

    pub(crate) fn publish(&self, path: &str, body: String) {
        self.answers.lock().unwrap().insert(path.to_owned(), body);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Lets time pass without waiting. The clock stands still only for this: a paused clock would run ahead while a test waits for
/// its server.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}
