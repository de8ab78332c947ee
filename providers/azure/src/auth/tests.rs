//! Tokens against a server on loopback; faults of the settings.

use std::collections::HashMap;

use aigate_contract::{Chat, ErrorKind, Provider, Result, Serve, chat::ChatReply, chat::ChatRequest};
use bytes::Bytes;

use crate::{
    build_in,
    stub::{Stub, call, config},
};

const REPLY: (u16, &str) = (200, r#"{"choices":[{"finish_reason":"stop"}]}"#);
const REFUSED: (u16, &str) = (401, r#"{"error":{"code":"401","message":"token expired"}}"#);

fn token(name: &str, seconds: u32) -> String {
    format!(r#"{{"token_type":"Bearer","expires_in":{seconds},"access_token":"{name}"}}"#)
}

fn environment<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    move |name: &str| variables.get(name).map(|value| (*value).to_owned())
}

fn provider(settings: &serde_json::Value, variables: &[(&str, &str)]) -> std::sync::Arc<crate::Azure> {
    build_in(&config(&settings.to_string()), &environment(variables)).unwrap()
}

async fn ask(provider: &crate::Azure) -> Result<ChatReply> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let request = ChatRequest::parse(Bytes::from_static(body.as_bytes())).unwrap();
    provider.serve(call::<Chat>(request)).await
}

fn with_secret(cloud: &Stub, entra: &Stub) -> serde_json::Value {
    serde_json::json!({
        "endpoint": cloud.url, "auth": "client_secret", "token_url": entra.url,
        "tenant_id": "bank.example", "client_id": "app", "client_secret": "s3cr3t &+",
    })
}

#[tokio::test]
async fn a_client_secret_is_exchanged_once_for_many_calls() {
    let (cloud, entra) = (Stub::start(&[REPLY]).await, Stub::start(&[(200, &token("t1", 3600))]).await);
    let provider = provider(&with_secret(&cloud, &entra), &[]);
    for _ in 0..3 {
        ask(&provider).await.unwrap();
    }
    let asked = entra.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST /bank.example/oauth2/v2.0/token");
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    for (field, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", "app"),
        ("client_secret", "s3cr3t &+"),
        ("scope", "https://ai.azure.com/.default"),
    ] {
        assert_eq!(asked[0].form(field).as_deref(), Some(value));
    }
    assert!(cloud.seen().iter().all(|call| call.header("authorization") == Some("Bearer t1")));
    assert!(cloud.seen().iter().all(|call| call.header("api-key").is_none()));
    assert_eq!(provider.describe().credentials, "entra id (client secret)");
    assert!(!format!("{provider:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_renewed() {
    let cloud = Stub::start(&[REPLY]).await;
    let entra = Stub::start(&[(200, &token("t1", 60)), (200, &token("t2", 3600))]).await;
    let provider = provider(&with_secret(&cloud, &entra), &[]);
    for _ in 0..3 {
        ask(&provider).await.unwrap();
    }
    let sent: Vec<_> =
        cloud.seen().iter().map(|call| call.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, ["Bearer t1", "Bearer t2", "Bearer t2"]);
    assert_eq!(entra.seen().len(), 2);
}

#[tokio::test]
async fn a_refused_token_leads_to_exactly_one_new_one() {
    let cloud = Stub::start(&[REFUSED, REPLY]).await;
    let entra = Stub::start(&[(200, &token("t1", 3600)), (200, &token("t2", 3600))]).await;
    let provider = provider(&with_secret(&cloud, &entra), &[]);
    ask(&provider).await.unwrap();
    ask(&provider).await.unwrap();
    let sent: Vec<_> =
        cloud.seen().iter().map(|call| call.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, ["Bearer t1", "Bearer t2", "Bearer t2"]);
    assert_eq!(entra.seen().len(), 2);
}

#[tokio::test]
async fn a_second_refusal_is_the_call_s_error() {
    let (cloud, entra) = (Stub::start(&[REFUSED]).await, Stub::start(&[(200, &token("t", 3600))]).await);
    let error = ask(&provider(&with_secret(&cloud, &entra), &[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!((cloud.seen().len(), entra.seen().len()), (2, 2));
}

#[tokio::test]
async fn the_federated_token_s_file_is_read_anew_for_each_token() {
    let cloud = Stub::start(&[REPLY]).await;
    let entra = Stub::start(&[(200, &token("t", 60))]).await;
    let folder = std::env::temp_dir().join(format!("aigate-azure-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("token");
    std::fs::write(&file, "first\n").unwrap();
    let settings = serde_json::json!({
        "endpoint": cloud.url, "api": "models", "auth": "workload_identity", "token_url": entra.url,
    });
    let provider = provider(
        &settings,
        &[
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_CLIENT_ID", "pod"),
            ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
        ],
    );
    ask(&provider).await.unwrap();
    std::fs::write(&file, "second").unwrap();
    ask(&provider).await.unwrap();
    std::fs::write(&file, "").unwrap();
    // A token that still lives serves while no new one can be had.
    ask(&provider).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    let asked = entra.seen();
    let assertions: Vec<_> = asked.iter().map(|call| call.form("client_assertion").unwrap()).collect();
    assert_eq!(assertions, ["first", "second"]);
    assert_eq!(asked[0].line, "POST /tenant/oauth2/v2.0/token");
    assert_eq!(asked[0].form("scope").as_deref(), Some("https://cognitiveservices.azure.com/.default"));
    assert_eq!(
        asked[0].form("client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert_eq!(provider.describe().credentials, "entra id (workload identity)");
}

#[tokio::test]
async fn a_managed_identity_asks_the_machine_and_after_a_refusal_not_for_the_kept_token() {
    let cloud = Stub::start(&[REFUSED, REPLY]).await;
    let machine = Stub::start(&[(
        200,
        r#"{"access_token":"m","expires_in":"3599","expires_on":"1","token_type":"Bearer"}"#,
    )]);
    let machine = machine.await;
    let settings = serde_json::json!({
        "endpoint": cloud.url, "auth": "managed_identity", "client_id": "id-1", "token_url": machine.url,
    });
    let provider = provider(&settings, &[]);
    ask(&provider).await.unwrap();
    let asked = machine.seen();
    let line = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fai.azure.com&client_id=id-1";
    assert_eq!(asked[0].line, line);
    assert_eq!(asked[0].header("metadata"), Some("true"));
    assert_eq!(asked[1].line, format!("{line}&bypass_cache=true"));
    assert_eq!(asked.len(), 2);
}

#[tokio::test]
async fn app_service_and_container_apps_are_asked_in_their_own_way() {
    let cloud = Stub::start(&[REPLY]).await;
    let end = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 3600;
    let service = Stub::start(&[(200, &format!(r#"{{"access_token":"a","expires_on":"{end}"}}"#))]).await;
    let settings = serde_json::json!({"endpoint": cloud.url, "auth": "entra", "scope": "api://own/.default"});
    let url = format!("{}/msi/token", service.url);
    let variables =
        [("IDENTITY_ENDPOINT", url.as_str()), ("IDENTITY_HEADER", "guid"), ("AZURE_CLIENT_ID", "id-2")];
    let provider = provider(&settings, &variables);
    ask(&provider).await.unwrap();
    ask(&provider).await.unwrap();
    let asked = service.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].line,
        "GET /msi/token?api-version=2019-08-01&resource=api%3A%2F%2Fown&client_id=id-2"
    );
    assert_eq!(asked[0].header("x-identity-header"), Some("guid"));
    assert!(!format!("{provider:?}").contains("guid"));
}

#[tokio::test]
async fn tokens_are_fetched_through_the_proxy_but_not_those_of_a_managed_identity() {
    let proxy = Stub::start(&[(200, &token("t", 3600)), REPLY]).await;
    let mut settings = with_secret(&proxy, &proxy);
    settings["endpoint"] = "http://azure.invalid".into();
    settings["token_url"] = "http://localhost:9".into();
    settings["proxy"] = proxy.url.clone().into();
    ask(&provider(&settings, &[])).await.unwrap();
    let lines: Vec<_> = proxy.seen().iter().map(|call| call.line.clone()).collect();
    assert_eq!(
        lines,
        [
            "POST http://localhost:9/bank.example/oauth2/v2.0/token",
            "POST http://azure.invalid/openai/v1/chat/completions"
        ]
    );

    let (proxy, machine) = (Stub::start(&[REPLY]).await, Stub::start(&[(200, &token("t", 3600))]).await);
    let settings = serde_json::json!({
        "endpoint": "http://azure.invalid", "auth": "managed_identity", "token_url": machine.url, "proxy": proxy.url,
    });
    ask(&provider(&settings, &[])).await.unwrap();
    assert_eq!((proxy.seen().len(), machine.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_refusal_of_entra_says_what_entra_said_and_nothing_secret() {
    let cloud = Stub::start(&[REPLY]).await;
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1","error_codes":[7000215]}"#;
    let entra = Stub::start(&[(400, refusal)]).await;
    let error = ask(&provider(&with_secret(&cloud, &entra), &[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.code(), Some("invalid_client"));
    assert_eq!(
        error.message(),
        format!(
            "{} gave no token for the client secret of `app`: 400 Bad Request: invalid_client: \
             AADSTS7000215: Invalid client secret provided.",
            entra.url
        )
    );
    assert!(cloud.seen().is_empty());
}

#[tokio::test]
async fn whatever_a_token_server_answers_is_an_error_of_the_right_kind() {
    let cloud = Stub::start(&[REPLY]).await;
    for (status, body, kind) in [
        (401, "", ErrorKind::Denied),
        (403, "<html>proxy</html>", ErrorKind::Denied),
        (404, "{}", ErrorKind::Denied),
        (429, r#"{"error":"x"}"#, ErrorKind::Unavailable),
        (400, r#"{"error":"temporarily_unavailable"}"#, ErrorKind::Unavailable),
        (503, "{}", ErrorKind::Unavailable),
        (302, "", ErrorKind::Malformed),
        (200, "", ErrorKind::Malformed),
        (200, r#"{"access_token":"","expires_in":1}"#, ErrorKind::Malformed),
        (200, r#"{"access_token":"s3cr3t"}"#, ErrorKind::Malformed),
        (200, r#"{"access_token":"s3cr3t","expires_in":-1}"#, ErrorKind::Malformed),
        (200, r#"{"access_token":["s3cr3t"]}"#, ErrorKind::Malformed),
        (200, r#"{"access_token":"s3cr3t\n","expires_in":9}"#, ErrorKind::Denied),
    ] {
        let entra = Stub::start(&[(status, body)]).await;
        let error = ask(&provider(&with_secret(&cloud, &entra), &[])).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
    }
    assert!(cloud.seen().is_empty());
}

#[tokio::test]
async fn a_machine_s_service_that_is_being_updated_is_unavailable_and_one_that_is_not_there_too() {
    let machine = Stub::start(&[(410, "")]).await;
    for url in [machine.url.as_str(), "http://127.0.0.1:1"] {
        let settings =
            serde_json::json!({"endpoint": "http://x", "auth": "managed_identity", "token_url": url});
        let error = ask(&provider(&settings, &[])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains(url), "{error}");
    }
}

#[tokio::test]
async fn a_token_larger_than_its_bound_is_not_read() {
    let cloud = Stub::start(&[REPLY]).await;
    let entra = Stub::start(&[(200, &token(&"x".repeat(70_000), 3600))]).await;
    let error = ask(&provider(&with_secret(&cloud, &entra), &[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.message().contains("larger than 65536 bytes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_server_that_does_not_answer_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let settings = serde_json::json!({"endpoint": "http://x", "auth": "managed_identity", "token_url": url});
    assert_eq!(ask(&provider(&settings, &[])).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn the_environment_s_first_complete_set_up_is_chosen() {
    let settings = serde_json::json!({"endpoint": "https://x", "auth": "entra"});
    let who = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
    let file = [("AZURE_FEDERATED_TOKEN_FILE", "/dev/null")];
    for (more, expected) in [
        (&[("AZURE_CLIENT_SECRET", "s"), file[0]][..], "entra id (client secret)"),
        (&[("AZURE_CLIENT_SECRET", " "), file[0]], "entra id (workload identity)"),
        (&[], "entra id (managed identity, user-assigned)"),
    ] {
        let variables = [&who[..], more].concat();
        assert_eq!(provider(&settings, &variables).describe().credentials, expected);
    }
    assert_eq!(provider(&settings, &[]).describe().credentials, "entra id (managed identity)");
}

fn faults(settings: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let settings = format!(r#"{{"endpoint":"https://x",{settings}"#).replace(",}", "}");
    let faults = build_in(&config(&settings), &environment(variables)).unwrap_err();
    assert!(faults.iter().all(|fault| !fault.message.contains("s3cr3t")), "{faults:?}");
    faults.into_iter().map(|fault| fault.path).collect()
}

#[test]
fn every_contradiction_is_a_fault_and_all_are_told_at_once() {
    for (settings, expected) in [
        ("}", &[""][..]),
        (r#""client_secret":"s3cr3t"}"#, &[""]),
        (r#""api_key":"s3cr3t","auth":"entra"}"#, &["auth"]),
        (r#""api_key":""}"#, &["api_key"]),
        (r#""api_key":"file:/no/such/file"}"#, &["api_key"]),
        (
            r#""api_key":"k","scope":"s","token_url":"https://t","tenant_id":"t"}"#,
            &["tenant_id", "token_url", "scope"],
        ),
        (r#""auth":"client_secret"}"#, &["client_secret", "client_id", "tenant_id"]),
        (
            r#""auth":"client_secret","tenant_id":"a/b","client_id":" ","client_secret":"s3cr3t","scope":"a b"}"#,
            &["scope", "client_id", "tenant_id"],
        ),
        (
            r#""auth":"managed_identity","tenant_id":"t","client_secret":"s3cr3t"}"#,
            &["tenant_id", "client_secret"],
        ),
        (r#""auth":"managed_identity","client_id":""}"#, &["client_id"]),
        (r#""auth":"workload_identity"}"#, &["client_id", "token_file", "tenant_id"]),
        (
            r#""auth":"workload_identity","client_id":"c","tenant_id":"t","token_file":"/no/such/file"}"#,
            &["token_file"],
        ),
        (r#""auth":"entra","client_id":"c","token_url":"nowhere"}"#, &["client_id", "token_url"]),
        (
            r#""auth":"client_secret","tenant_id":"t","client_id":"c","client_secret":"s3cr3t","token_url":"http://t"}"#,
            &["token_url"],
        ),
        (
            r#""auth":"client_secret","tenant_id":"t","client_id":"c","client_secret":"s3cr3t","token_url":"https://t/u/token"}"#,
            &["tenant_id"],
        ),
        (r#""api_key":"k","ca_file":"/no/such/file"}"#, &["ca_file"]),
        (r#""auth":"managed_identity","proxy":"::"}"#, &["proxy"]),
    ] {
        assert_eq!(faults(settings, &[]), expected, "{settings}");
    }
    let two = faults(r#""api":"deployments"}"#, &[]);
    assert_eq!(two, ["api_version", ""]);
}

#[test]
fn half_a_set_up_of_the_environment_is_a_fault_instead_of_another_identity() {
    let entra = r#""auth":"entra"}"#;
    assert_eq!(faults(entra, &[("AZURE_CLIENT_SECRET", "s3cr3t")]), ["auth", "auth"]);
    assert_eq!(faults(entra, &[("AZURE_FEDERATED_TOKEN_FILE", "f"), ("AZURE_CLIENT_ID", "c")]), ["auth"]);
    assert_eq!(faults(entra, &[("IDENTITY_ENDPOINT", "http://x")]), ["auth"]);
    assert_eq!(faults(entra, &[("MSI_ENDPOINT", "http://x")]), ["auth"]);
    let workload = r#""auth":"workload_identity","client_id":"c","tenant_id":"t","token_file":"/dev/null"}"#;
    assert_eq!(faults(workload, &[("AZURE_AUTHORITY_HOST", "http://login.example")]), ["token_url"]);
}

#[test]
fn a_sovereign_cloud_s_authority_and_a_whole_token_url_are_honoured() {
    let base = serde_json::json!({
        "endpoint": "https://x", "auth": "client_secret", "client_id": "c", "client_secret": "s",
    });
    let mut authority = base.clone();
    authority["tenant_id"] = "t".into();
    let shown = format!(
        "{:?}",
        provider(&authority, &[("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")])
    );
    assert!(shown.contains("login.microsoftonline.us"), "{shown}");
    let mut whole = base;
    whole["token_url"] = "https://login.bank.example/oauth/token".into();
    let shown =
        format!("{:?}", provider(&whole, &[("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")]));
    assert!(shown.contains("/oauth/token"), "{shown}");
    assert!(!shown.contains("v2.0"), "{shown}");
}
