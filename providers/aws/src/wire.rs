//! Tests over real sockets on this machine: credentials on the wire, their renewal, and the end of a dropped call.

use std::{sync::Arc, time::Duration};

use aigate_contract::{Call, Chat, ChatStream, ErrorKind, Predict, Provider, Serve};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{
    Aws, build,
    testing::{chat, event, fetcher, predict},
};

const LIMIT: Duration = Duration::from_secs(20);

/// One request's head and body, lower case head.
async fn read_request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut held = Vec::new();
    let end = loop {
        if let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut held).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&held[..end]).to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    while held.len() < end + length {
        if socket.read_buf(&mut held).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, held[end..end + length].to_vec()))
}

fn response(status: &str, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-amzn-errortype: {kind}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn answer() -> Vec<u8> {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}}, "stopReason": "end_turn",
    });
    response("200 OK", "", &body.to_string())
}

/// A server that answers each request with what `answer` makes of it. Gives its address and the heads asked.
async fn server(
    answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heads, asked) = mpsc::unbounded_channel();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (heads, answer) = (heads.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                if let Some((head, body)) = read_request(&mut socket).await {
                    let bytes = answer(&head, &body);
                    let _ = heads.send(head);
                    let _ = socket.write_all(&bytes).await;
                    let _ = socket.shutdown().await;
                }
            });
        }
    });
    (address, asked)
}

fn provider(settings: Value) -> Arc<Aws> {
    build(serde_json::from_value(settings).unwrap(), fetcher()).unwrap()
}

/// One row for an endpoint that takes CSV.
fn score() -> Call<Predict> {
    let model = json!({
        "inputs": [{"name": "age", "datatype": "INT64"}], "outputs": [{"name": "score", "datatype": "FP64"}],
    });
    let rows = json!({"inputs": [{"name": "age", "datatype": "INT64", "shape": [1], "data": [42]}]});
    predict("credit", &model, &json!({"body": "csv"}), &rows)
}

fn hi() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn an_api_key_travels_as_a_bearer_token_with_the_trace() {
    let (address, mut asked) = server(|_, _| answer()).await;
    let aws = provider(json!({"region": "eu-central-1", "endpoint": address, "api_key": "key-1"}));
    aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("post /model/amazon.nova-lite-v1%3a0/converse "), "{head}");
    assert!(head.contains("authorization: bearer key-1\r\n"), "{head}");
    assert!(head.contains("traceparent: 00-trace-span-01\r\n"), "{head}");
    assert!(!format!("{aws:?}").contains("key-1"));
}

#[tokio::test]
async fn static_keys_sign_the_request_and_are_not_tried_again_when_refused() {
    let (address, mut asked) =
        server(|_, _| response("403 Forbidden", "ExpiredTokenException", r#"{"message":"expired"}"#)).await;
    let aws = provider(json!({
        "region": "eu-central-1", "endpoint": address, "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": "s3cr3t", "session_token": "sess",
    }));
    let error = aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some("ExpiredTokenException")));
    let head = asked.recv().await.unwrap();
    assert!(head.contains("authorization: aws4-hmac-sha256 credential=akiaexample/"), "{head}");
    assert!(head.contains("/eu-central-1/bedrock/aws4_request"), "{head}");
    assert!(head.contains("x-amz-security-token: sess\r\n"), "{head}");
    assert!(asked.try_recv().is_err());
    assert!(!format!("{aws:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn predictions_go_to_sagemaker_s_own_endpoint_signed_for_it() {
    let (address, mut asked) = server(|_, body| {
        assert_eq!(body, b"42");
        response("200 OK", "", "0.5")
    })
    .await;
    let aws = provider(json!({
        "region": "eu-central-1", "endpoint": "http://127.0.0.1:1", "sagemaker_endpoint": address,
        "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cr3t", "session_token": "sess",
    }));
    aws.serve(score()).await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("post /endpoints/credit/invocations "), "{head}");
    assert!(head.contains("/eu-central-1/sagemaker/aws4_request"), "{head}");
    assert!(head.contains("x-amz-security-token: sess\r\n"), "{head}");
    assert!(head.contains("content-type: text/csv\r\n") && head.contains("accept: text/csv\r\n"), "{head}");
    assert!(head.contains("traceparent: 00-trace-span-01\r\n"), "{head}");
}

const STRAY: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// Runs some of this file's tests again with a key in the environment.
#[test]
fn a_key_in_the_environment_counts_only_when_the_settings_name_no_credential() {
    if std::env::var_os(STRAY).is_some() {
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wire::an_api_key_travels_as_a_bearer_token_with_the_trace"])
        .arg("wire::static_keys_sign_the_request_and_are_not_tried_again_when_refused")
        .arg("wire::a_role_s_session_that_is_refused_is_renewed_once")
        .arg("wire::predictions_go_to_sagemaker_s_own_endpoint_signed_for_it")
        .arg("wire::the_environment_s_key_is_sent_when_there_is_one")
        .env(STRAY, "stray-key")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("5 passed"), "{text}");
}

#[tokio::test]
async fn the_environment_s_key_is_sent_when_there_is_one() {
    let Ok(key) = std::env::var(STRAY) else { return };
    let (address, mut asked) = server(|_, _| answer()).await;
    let aws = provider(json!({"region": "eu-central-1", "endpoint": address}));
    assert_eq!(aws.describe().credentials, "api key (AWS_BEARER_TOKEN_BEDROCK)");
    aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(head.contains(&format!("authorization: bearer {key}\r\n")), "{head}");
}

fn session(number: usize) -> String {
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>x</SecretAccessKey>\
         <SessionToken>session-{number}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

#[tokio::test]
async fn a_role_s_session_that_is_refused_is_renewed_once() {
    let sessions = std::sync::atomic::AtomicUsize::new(0);
    let (sts, mut roles) = server(move |_, body| {
        let text = String::from_utf8_lossy(body);
        assert!(text.contains("RoleSessionName=aigate") && text.contains("ExternalId=ext"), "{text}");
        let number = sessions.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        response("200 OK", "", &session(number))
    })
    .await;
    let (address, mut asked) = server(|head, _| {
        if head.contains("x-amz-security-token: session-1") {
            return response("403 Forbidden", "ExpiredTokenException", r#"{"message":"expired"}"#);
        }
        answer()
    })
    .await;
    let aws = provider(json!({
        "region": "eu-central-1", "endpoint": address, "sagemaker_endpoint": address, "sts_endpoint": sts,
        "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cr3t",
        "assume_role": "arn:aws:iam::123456789012:role/R", "external_id": "ext",
    }));
    for _ in 0..2 {
        aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap();
    }
    // SageMaker's client has the same session; Bedrock's answer is none of its own.
    assert_eq!(aws.serve(score()).await.unwrap_err().kind(), ErrorKind::Malformed);
    let mut sessions = Vec::new();
    while let Ok(head) = asked.try_recv() {
        sessions.push(head.contains("session-2"));
    }
    assert_eq!(sessions, [false, true, true, true]);
    assert!(roles.try_recv().is_ok() && roles.try_recv().is_ok() && roles.try_recv().is_err());
}

#[tokio::test]
async fn a_role_that_sts_refuses_is_denied_and_an_sts_that_is_away_is_unavailable() {
    let (sts, _roles) = server(|_, _| {
        let body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>";
        response("403 Forbidden", "", body)
    })
    .await;
    for (sts, kind) in [(sts, ErrorKind::Denied), ("http://127.0.0.1:1".to_owned(), ErrorKind::Unavailable)] {
        let aws = provider(json!({
            "region": "eu-central-1", "endpoint": "http://127.0.0.1:1", "sts_endpoint": sts,
            "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cr3t",
            "assume_role": "arn:aws:iam::123456789012:role/R",
        }));
        let error = aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}

const PROFILE: &str = "AIGATE_TEST_PROFILE";

/// Runs the next test with keys in the environment and another one's in a file.
#[test]
fn a_profile_in_the_settings_wins_over_keys_in_the_environment() {
    let file = std::env::temp_dir().join(format!("aigate-aws-{}.credentials", std::process::id()));
    std::fs::write(&file, "[gate]\naws_access_key_id = AKIAFILE\naws_secret_access_key = x\n").unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wire::the_profile_s_key_signs"])
        .envs([(PROFILE, "gate"), ("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "y")])
        .env("AWS_SHARED_CREDENTIALS_FILE", &file)
        .env("AWS_CONFIG_FILE", "/nowhere/config")
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn the_profile_s_key_signs() {
    let Ok(profile) = std::env::var(PROFILE) else { return };
    let (address, mut asked) = server(|_, _| answer()).await;
    let aws = provider(json!({"region": "eu-central-1", "endpoint": address, "profile": profile}));
    aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(head.contains("credential=akiafile/"), "{head}");
}

#[tokio::test]
async fn calls_go_through_the_proxy_but_not_to_this_machine() {
    let (proxy, mut asked) = server(|_, _| answer()).await;
    let (here, mut direct) = server(|_, _| answer()).await;
    for endpoint in ["http://bedrock.invalid".to_owned(), here] {
        let aws = provider(json!({
            "region": "eu-central-1", "endpoint": endpoint, "proxy": proxy, "access_key_id": "AKIAEXAMPLE",
            "secret_access_key": "s3cr3t",
        }));
        aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap();
    }
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("post http://bedrock.invalid/model/"), "{head}");
    assert!(asked.try_recv().is_err() && direct.recv().await.is_some());
}

#[tokio::test]
async fn a_profile_that_is_not_there_is_denied_by_name() {
    let aws = provider(json!({
        "region": "eu-central-1", "endpoint": "http://127.0.0.1:1", "profile": "no-such-profile-of-aigate",
    }));
    let error = aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
}

const NO_INSTANCE: &str = "AWS_EC2_METADATA_DISABLED";

/// Runs the next test where nothing gives credentials.
#[test]
fn a_machine_without_credentials_says_where_it_looked() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    let output = command
        .args(["--exact", "wire::without_any_credential_the_call_is_denied"])
        .envs([(NO_INSTANCE, "true"), ("HOME", "/nowhere"), ("AWS_CONFIG_FILE", "/nowhere/config")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn without_any_credential_the_call_is_denied() {
    if std::env::var_os(NO_INSTANCE).is_none() {
        return;
    }
    let aws = provider(json!({"region": "eu-central-1", "endpoint": "http://127.0.0.1:1"}));
    let error = aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().starts_with("no AWS credentials found"), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let aws = provider(json!({"region": "eu-central-1", "endpoint": "http://127.0.0.1:1", "api_key": "k"}));
    let error = aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &hi(), false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

fn chunk(bytes: &Bytes) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A server that sends `pieces` of a stream, then waits until the caller is gone and says so.
async fn silent(pieces: Vec<Bytes>) -> (String, mpsc::UnboundedReceiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (said, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await.unwrap();
        if !pieces.is_empty() {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n\
                        transfer-encoding: chunked\r\n\r\n";
            socket.write_all(head.as_bytes()).await.unwrap();
        }
        for piece in &pieces {
            socket.write_all(&chunk(piece)).await.unwrap();
        }
        let _ = said.send("asked");
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        let _ = said.send("gone");
    });
    (address, heard)
}

#[tokio::test]
async fn a_dropped_call_ends_upstream_before_the_answer_before_the_first_chunk_and_in_mid_stream() {
    let start = event("messageStart", &json!({"role": "assistant"}));
    let text = event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": "hi"}}));
    for pieces in [vec![], vec![start.clone()], vec![start, text]] {
        let streams = pieces.len() == 2;
        let (address, mut heard) = silent(pieces).await;
        let aws = provider(json!({"region": "eu-central-1", "endpoint": address, "api_key": "k"}));
        let mut serving = Box::pin(aws.serve(chat::<ChatStream>("amazon.nova-lite-v1:0", &hi(), false)));
        if streams {
            let mut stream = serving.await.unwrap();
            assert!(stream.next().await.unwrap().is_ok());
            assert_eq!(heard.recv().await, Some("asked"));
            drop(stream);
        } else {
            tokio::select! {
                _ = &mut serving => panic!("an answer came"),
                said = heard.recv() => assert_eq!(said, Some("asked")),
            }
            drop(serving);
        }
        assert_eq!(tokio::time::timeout(LIMIT, heard.recv()).await.unwrap(), Some("gone"));
    }
}
