//! Each kind of credentials against token servers on loopback.

use std::path::PathBuf;

use aigate_contract::{Chat, ErrorKind, OnUnsupported, Provider, Result, Serve, chat::ChatRequest};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    Config, Google, build_in,
    chat::tests::{call, google_with},
    config::Environment,
    stub::{Answer, Seen, Stub},
};

/// A file of its own for each test, gone with it.
struct TempFile(PathBuf);

impl TempFile {
    fn new(content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aigate-{}.json", uuid::Uuid::now_v7()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Google on loopback: token servers that give `t0`, `t1`, …, and a model that says which token it got.
async fn cloud(refused: &'static [&'static str]) -> Stub {
    let tokens = std::sync::atomic::AtomicUsize::new(0);
    Stub::start(move |seen, _| {
        let number = tokens.load(std::sync::atomic::Ordering::SeqCst);
        let next = || format!("t{}", tokens.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        if seen.line.contains(":generateContent") {
            let bearer = seen.header("authorization");
            if refused.iter().any(|token| bearer == format!("Bearer {token}")) {
                return Answer::new(401, json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}}));
            }
            let part = json!({"text": format!("{bearer} after {number}")});
            return Answer::new(
                200,
                json!({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}),
            );
        }
        if seen.line.contains("generateAccessToken") {
            return Answer::new(200, json!({"accessToken": next(), "expireTime": "2999-01-01T00:00:00.5Z"}));
        }
        if seen.line.starts_with("GET /subject") {
            return Answer::new(200, json!({"value": "subject-from-url"}));
        }
        Answer::new(200, json!({"access_token": next(), "expires_in": 3600, "token_type": "Bearer"}))
    })
    .await
}

fn hello() -> ChatRequest {
    ChatRequest::parse(Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#))
        .unwrap()
}

async fn ask(google: &Google) -> Result<String> {
    let reply = google.serve(call::<Chat>(hello(), "m", OnUnsupported::Refuse)).await?;
    let reply: Value = serde_json::from_slice(&reply.json).unwrap();
    Ok(reply["choices"][0]["message"]["content"].as_str().unwrap().to_owned())
}

fn vertex(stub: &Stub, credentials: &TempFile) -> std::sync::Arc<Google> {
    google_with(json!({"project": "p", "base_url": stub.url, "credentials": credentials.0}))
}

fn form(seen: &Seen, name: &str) -> String {
    let pairs = form_urlencoded::parse(seen.body.as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn user(stub: &Stub) -> Value {
    json!({"type": "authorized_user", "client_id": "id", "client_secret": "sec&ret", "refresh_token": "refresh",
        "token_uri": format!("{}/token", stub.url), "quota_project_id": "quota"})
}

#[tokio::test]
async fn a_user_s_refresh_token_is_exchanged_once_and_the_quota_project_is_named() {
    let stub = cloud(&[]).await;
    let google = vertex(&stub, &TempFile::new(&user(&stub).to_string()));
    assert_eq!(ask(&google).await.unwrap(), "Bearer t0 after 1");
    assert_eq!(ask(&google).await.unwrap(), "Bearer t0 after 1");
    let seen = stub.seen();
    assert_eq!(seen[0].line, "POST /token");
    assert_eq!(seen[0].header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(form(&seen[0], "client_secret"), "sec&ret");
    assert_eq!(form(&seen[0], "grant_type"), "refresh_token");
    let path = "/v1/projects/p/locations/global/publishers/google/models/m:generateContent";
    assert_eq!(seen[1].line, format!("POST {path}"));
    assert_eq!(seen[1].header("x-goog-user-project"), "quota");
    let shown = format!("{google:?} {:?}", google.describe());
    assert!(!["sec&ret", "refresh\"", "t0"].iter().any(|secret| shown.contains(secret)), "{shown}");
}

#[tokio::test]
async fn a_refused_token_leads_to_a_really_new_one_and_no_further() {
    let stub = cloud(&["t0", "t2", "t3"]).await;
    let google = vertex(&stub, &TempFile::new(&user(&stub).to_string()));
    assert_eq!(ask(&google).await.unwrap(), "Bearer t1 after 2");
    let stub = cloud(&["t0", "t1"]).await;
    let google = vertex(&stub, &TempFile::new(&user(&stub).to_string()));
    assert_eq!(ask(&google).await.unwrap_err().kind(), ErrorKind::Denied);
    let calls = stub.seen().iter().filter(|seen| seen.line.contains("generateContent")).count();
    assert_eq!(calls, 2);
}

#[tokio::test]
async fn a_service_account_signs_for_its_own_audience_wherever_the_token_url_leads() {
    let stub = cloud(&[]).await;
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let file = TempFile::new(
        &json!({"type": "service_account", "client_email": "a@p.iam", "private_key": pem, "private_key_id": "k1",
            "token_uri": "https://oauth2.googleapis.com/token", "universe_domain": "googleapis.com"})
        .to_string(),
    );
    let google = google_with(json!({"project": "p", "base_url": stub.url, "credentials": file.0,
        "token_url": format!("{}/other", stub.url)}));
    assert_eq!(ask(&google).await.unwrap(), "Bearer t0 after 1");
    assert_eq!(google.describe().credentials, "service account a@p.iam");
    let seen = &stub.seen()[0];
    assert_eq!(seen.line, "POST /other");
    assert_eq!(form(seen, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let assertion = form(seen, "assertion");
    let (text, signature) = assertion.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let parts: Vec<Value> = text
        .split('.')
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    assert_eq!(parts[1]["aud"], "https://oauth2.googleapis.com/token");
    assert_eq!(parts[1]["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(parts[1]["exp"].as_u64().unwrap() - parts[1]["iat"].as_u64().unwrap(), 3600);
}

#[tokio::test]
async fn a_metadata_server_gives_tokens_below_its_known_path_or_at_the_whole_url() {
    let stub = cloud(&[]).await;
    for (token_url, path) in [
        (stub.url.clone(), "GET /computeMetadata/v1/instance/service-accounts/default/token"),
        (format!("{}/my/token", stub.url), "GET /my/token"),
    ] {
        let before = stub.seen().len();
        let google = google_with(json!({"project": "p", "base_url": stub.url, "token_url": token_url}));
        assert!(ask(&google).await.unwrap().starts_with("Bearer t"));
        let seen = &stub.seen()[before];
        assert_eq!(seen.line, path);
        assert_eq!(seen.header("metadata-flavor"), "Google");
    }
}

#[tokio::test]
async fn the_environment_names_a_metadata_host_and_a_file_goes_before_it() {
    let stub = cloud(&[]).await;
    let config =
        Config { project: Some("p".to_owned()), base_url: Some(stub.url.clone()), ..Config::default() };
    let host = stub.url.strip_prefix("http://").unwrap().to_owned();
    let mut environment = Environment { metadata_host: Some(host), ..Environment::default() };
    let fetcher = aigate_transport::Fetcher::new();
    let google = build_in(&config, fetcher.clone(), &environment).unwrap();
    assert!(ask(&google).await.is_ok());
    assert!(google.describe().credentials.starts_with("metadata server"));
    let file = TempFile::new(&user(&stub).to_string());
    environment.credentials = Some(file.0.clone());
    let google = build_in(&config, fetcher, &environment).unwrap();
    assert_eq!(google.describe().credentials, "authorized user");
}

fn external(stub: &Stub, source: Value, more: Value) -> Value {
    let mut file = json!({"type": "external_account", "audience": "//iam/aud",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/sts", stub.url), "credential_source": source});
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    file
}

#[tokio::test]
async fn workload_identity_exchanges_the_token_of_a_file_read_anew_each_time() {
    let stub = cloud(&["t0"]).await;
    let subject = TempFile::new("first\n");
    let file = external(&stub, json!({"file": subject.0}), json!({}));
    let google = vertex(&stub, &TempFile::new(&file.to_string()));
    let first = ask(&google).await.unwrap();
    assert_eq!(first, "Bearer t1 after 2");
    let seen = stub.seen();
    assert_eq!(seen[0].line, "POST /sts");
    assert_eq!(form(&seen[0], "subject_token"), "first");
    assert_eq!(form(&seen[0], "audience"), "//iam/aud");
    assert_eq!(form(&seen[0], "grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
    std::fs::remove_file(&subject.0).unwrap();
    let google = vertex(&stub, &TempFile::new(&file.to_string()));
    let error = ask(&google).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("cannot read the subject token"), "{error}");
}

#[tokio::test]
async fn workload_identity_reads_a_url_and_impersonates_a_service_account() {
    let stub = cloud(&[]).await;
    let source = json!({"url": format!("{}/subject?x=1", stub.url), "headers": {"Metadata": "True"},
        "format": {"type": "json", "subject_token_field_name": "value"}});
    let impersonation = format!("{}/v1/sa:generateAccessToken", stub.url);
    let more =
        json!({"service_account_impersonation_url": impersonation, "client_id": "c", "client_secret": "s"});
    let google = vertex(&stub, &TempFile::new(&external(&stub, source, more).to_string()));
    assert_eq!(ask(&google).await.unwrap(), "Bearer t1 after 2");
    let seen = stub.seen();
    assert_eq!(seen[0].header("metadata"), "True");
    assert_eq!(form(&seen[1], "subject_token"), "subject-from-url");
    assert_eq!(seen[1].header("authorization"), format!("Basic {}", STANDARD.encode("c:s")));
    assert_eq!(seen[2].header("authorization"), "Bearer t0");
    assert!(seen[2].body.contains("cloud-platform"));
}

#[tokio::test]
async fn an_impersonated_account_has_source_credentials() {
    let stub = cloud(&[]).await;
    let file = json!({"type": "impersonated_service_account", "delegates": ["d"],
        "service_account_impersonation_url": format!("{}/sa:generateAccessToken", stub.url),
        "source_credentials": user(&stub)});
    let google = vertex(&stub, &TempFile::new(&file.to_string()));
    assert_eq!(ask(&google).await.unwrap(), "Bearer t1 after 2");
    assert_eq!(google.describe().credentials, "authorized user, impersonating a service account");
    assert!(stub.seen()[1].body.contains(r#""delegates":["d"]"#));
}

#[tokio::test]
async fn a_token_server_s_refusal_is_the_operator_s_fault_and_shows_no_secret() {
    for (status, kind) in
        [(400, ErrorKind::Denied), (429, ErrorKind::Throttled), (503, ErrorKind::Unavailable)]
    {
        let body =
            json!({"error": "invalid_grant", "error_description": "Bad Request", "echo": "refresh-secret"});
        let stub = Stub::start(move |_, _| Answer::new(status, &body)).await;
        let google = vertex(&stub, &TempFile::new(&user(&stub).to_string()));
        let error = ask(&google).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        assert!(error.message().contains("invalid_grant Bad Request"), "{error}");
        assert!(!format!("{error:?}").contains("refresh-secret"));
    }
}

#[tokio::test]
async fn a_token_answer_without_a_lifetime_is_malformed_and_not_quoted() {
    let stub = Stub::start(|_, _| Answer::new(200, json!({"access_token": "top-secret"}))).await;
    let google = vertex(&stub, &TempFile::new(&user(&stub).to_string()));
    let error = ask(&google).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(!format!("{error:?}").contains("top-secret"));
}

#[tokio::test]
async fn token_calls_go_through_the_proxy() {
    let proxy = cloud(&[]).await;
    let file = TempFile::new(
        &json!({"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r",
            "token_uri": "http://tokens.invalid/token"})
        .to_string(),
    );
    let google = google_with(json!({"project": "p", "base_url": "http://vertex.invalid", "proxy": proxy.url,
        "credentials": file.0}));
    assert_eq!(ask(&google).await.unwrap(), "Bearer t0 after 1");
    assert_eq!(proxy.seen()[0].line, "POST http://tokens.invalid/token");
}

#[test]
fn files_that_are_not_usable_are_faults_in_words_an_operator_can_act_on() {
    for (content, expected) in [
        ("{", "not JSON (line 1, column 1)"),
        (
            r#"{"type":"gdch_service_account"}"#,
            "credentials of type `gdch_service_account` are not supported",
        ),
        (r#"{"type":"authorized_user","client_id":"i"}"#, "missing field `client_secret`"),
        (
            r#"{"type":"service_account","client_email":"e","private_key":"x","token_uri":"https://t"}"#,
            "`private_key` is not a private key in PEM form",
        ),
        (
            r#"{"type":"external_account","audience":"a","subject_token_type":"t","token_url":"https://t",
                "credential_source":{"environment_id":"aws1","url":"https://u"}}"#,
            "expected `file` or `url`",
        ),
        (r#"{"type":"impersonated_service_account"}"#, "`service_account_impersonation_url` is missing"),
    ] {
        let file = TempFile::new(content);
        let config =
            Config { project: Some("p".to_owned()), credentials: Some(file.0.clone()), ..Config::default() };
        let faults = config.check(&Environment::default()).unwrap_err();
        assert_eq!(faults[0].path, "credentials");
        assert!(faults[0].message.contains(expected), "{}", faults[0].message);
    }
}
