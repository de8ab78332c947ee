//! Tokens of an identity provider on loopback, in place of keys.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{MORE_MODELS, as_caller, chat, embed, get, listed, scrape, told};
use crate::harness::{House, key, metrics, secret};

/// An identity provider on loopback: it signs tokens and publishes its keys.
struct Bank {
    base: String,
    published: Arc<Mutex<String>>,
    down: Arc<AtomicBool>,
}

/// One of its private keys.
struct Signer {
    kid: &'static str,
    key: EncodingKey,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { kid, key: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        let mut public = serde_json::to_value(jwk).unwrap();
        public["kid"] = self.kid.into();
        public
    }

    /// A token that is good for ten minutes, with some claims of its own.
    fn sign(&self, bank: &Bank, more: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({ "iss": bank.base, "aud": "aigate", "sub": "alice", "exp": now + 600 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

impl Bank {
    async fn open(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let bank = Self { base: base.clone(), published: Arc::default(), down: Arc::default() };
        bank.publish(signers);
        let (published, down) = (Arc::clone(&bank.published), Arc::clone(&bank.down));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 8192];
                let length = stream.read(&mut head).await.unwrap_or(0);
                if down.load(Ordering::SeqCst) {
                    continue;
                }
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let body = match head.split(' ').nth(1) {
                    Some("/keys") => published.lock().unwrap().clone(),
                    // What it says of itself.
                    _ => json!({ "issuer": base, "jwks_uri": format!("{base}/keys") }).to_string(),
                };
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
        });
        bank
    }

    fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        *self.published.lock().unwrap() = json!({ "keys": keys }).to_string();
    }

    fn stanza(&self, more: &str) -> String {
        format!("[jwt.bank]\nissuer = \"{}\"\naudience = \"aigate\"\n{more}\n", self.base)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_s_claims_become_rights_a_name_and_labels() {
    let signer = Signer::new("a");
    let bank = Bank::open(&[&signer]).await;
    let more = bank.stanza(&format!(
        "jwks_url = \"{}/keys\"\nmodels_claim = \"/aigate/models\"\ntasks_claim = \"tasks\"\n\
         subject_claim = \"client\"\nlabels = {{ team = \"department\" }}\nrequired = {{ scope = \"aigate\" }}",
        bank.base
    )) + MORE_MODELS;
    let house = House::new(&more).await;
    let claims = |changes: Value| {
        let mut claims = json!({
            "client": "letters app", "scope": "openid aigate", "department": "retail",
            "aigate": { "models": ["az*", "embedder"] }, "tasks": "chat predict",
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let good = signer.sign(&bank, claims(json!({})));
    assert_eq!(listed(&house, &good).await, ["azure"]);
    let (status, body) = as_caller(chat(&house, "azure"), &good).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(as_caller(chat(&house, "google"), &good).await.0, 403);
    assert_eq!(as_caller(embed(&house, "embedder"), &good).await.0, 403, "not a task of the token");
    for (changes, status, words) in [
        (json!({ "scope": "openid" }), 403, "does not hold `aigate`"),
        (json!({ "tasks": [] }), 403, "grants nothing"),
        (json!({ "aud": "other" }), 401, "for somebody else"),
        (json!({ "exp": 1000 }), 401, "expired at 1970-01-01T00:16:40Z"),
    ] {
        let token = signer.sign(&bank, claims(changes));
        let (got, body) = as_caller(chat(&house, "azure"), &token).await;
        assert_eq!(got, status, "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains(&token), "{message}");
    }
    let forged = Signer::new("a").sign(&bank, claims(json!({})));
    let (status, body) = as_caller(chat(&house, "azure"), &forged).await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("invalid_api_key")), "{body}");
    let text = scrape(&house).await;
    let calls = r#"aigate_calls_total{model="azure",task="chat",key="bank:letters%20app",outcome="ok"}"#;
    assert_eq!(metrics::value(&text, calls), Some(1.0), "{text}");
    assert_eq!(metrics::value(&text, r#"aigate_label_calls_total{label="team",value="retail"}"#), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signing_key_is_found_by_itself_and_a_withdrawn_one_is_good_no_more() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let bank = Bank::open(&[&old]).await;
    // Without an address of its keys the issuer's own description tells it.
    let house = House::new(&(bank.stanza("") + &key("team", ""))).await;
    let of = |signer: &Signer| signer.sign(&bank, json!({}));
    assert_eq!(as_caller(chat(&house, "azure"), &of(&old)).await.0, 200);
    bank.publish(&[&new]);
    assert_eq!(as_caller(chat(&house, "azure"), &of(&new)).await.0, 200, "no restart, no reload");
    let (status, body) = as_caller(chat(&house, "azure"), &of(&old)).await;
    assert_eq!(status, 401, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("does not publish"), "{body}");
    assert_eq!(as_caller(chat(&house, "azure"), &secret("team")).await.0, 200, "keys are good as well");

    let stranger = new.sign(&bank, json!({ "iss": "https://elsewhere.example" }));
    let (status, body) = as_caller(chat(&house, "azure"), &stranger).await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("invalid_api_key")), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("issuer"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_issuer_s_keys_are_not_to_be_had_its_callers_are_told_when_to_come_back() {
    let signer = Signer::new("a");
    let bank = Bank::open(&[&signer]).await;
    bank.down.store(true, Ordering::SeqCst);
    let house = House::new(&(bank.stanza("") + &key("team", "") + MORE_MODELS)).await;
    let token = signer.sign(&bank, json!({}));
    for path in ["/v1/models", "/v2/models/credit-risk"] {
        let request = get(&house, path).header("authorization", format!("Bearer {token}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        let (_, body) = told(response).await;
        let message = body["error"]["message"].as_str().or(body["error"].as_str()).unwrap();
        assert!(message.contains("tokens of `bank` cannot be verified now"), "{message}");
        assert!(!message.contains("127.0.0.1"), "{message}");
    }
    assert_eq!(as_caller(chat(&house, "azure"), &secret("team")).await.0, 200, "keys need no issuer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_s_keys_are_fetched_through_its_proxy() {
    let signer = Signer::new("a");
    let bank = Bank::open(&[&signer]).await;
    let (proxy, mut asked) = crate::acting::proxy().await;
    let more = format!("jwks_url = \"https://id.invalid/keys\"\nproxy = \"{proxy}\"");
    let house = House::new(&bank.stanza(&more)).await;
    assert_eq!(as_caller(chat(&house, "azure"), &signer.sign(&bank, json!({}))).await.0, 503);
    assert_eq!(asked.recv().await.unwrap(), "CONNECT id.invalid:443 HTTP/1.1");
}
