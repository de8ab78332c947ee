//! Golden files both ways, the rules of turns, and calls from end to end against a server on loopback.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aigate_contract::{
    Call, Chat, ChatStream, Error, ErrorKind, OnUnsupported, Provider, Result, Serve, Target, Task, Trail,
    chat::{ChatRequest, ChunkStream},
};
use aigate_transport::Fetcher;
use bytes::Bytes;
use futures_util::StreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{reply, request};
use crate::{
    Config, Google, build_in,
    config::Environment,
    site::{Api, Site},
    stub::{Answer, Stub},
};

/// Compares each file of a folder with what `make` makes of it. `UPDATE_GOLDEN=1` writes the files anew.
pub(crate) async fn golden(folder: &str, make: impl AsyncFn(&Value) -> Value) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut differing = Vec::new();
    for path in files {
        let known: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let made = make(&known).await;
        if made != known {
            let pretty = format!("{}\n", serde_json::to_string_pretty(&made).unwrap());
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, pretty).unwrap();
            } else {
                let known = serde_json::to_string_pretty(&known).unwrap();
                differing.push(format!("{}\n--- golden\n{known}\n--- now\n{pretty}", path.display()));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

pub(crate) fn call<T: Task>(request: T::Request, model: &str, on_unsupported: OnUnsupported) -> Call<T> {
    let target = Target { on_unsupported, ..Target::new("google", model) };
    Call {
        request: Arc::new(request),
        target: Arc::new(target),
        deadline: Instant::now() + Duration::from_secs(30),
        trail: Arc::new(Trail::new("test", Some("00-trace-span-01".to_owned()))),
    }
}

fn chat(request: &Value) -> ChatRequest {
    ChatRequest::parse(Bytes::from(request.to_string())).unwrap()
}

pub(crate) fn refusal(error: &Error) -> Value {
    json!({"kind": error.kind().as_str(), "message": error.message(), "param": error.param(), "code": error.code()})
}

fn api(name: &Value) -> Api {
    match name.as_str() {
        Some("gemini") => Api::Gemini,
        _ => Api::Vertex { project: "p".to_owned(), location: "eu".to_owned() },
    }
}

#[tokio::test]
async fn requests_become_google_s_own() {
    let fetcher = Fetcher::new();
    golden("requests", async |case| {
        let on_unsupported = if case["drop"] == true { OnUnsupported::Drop } else { OnUnsupported::Refuse };
        let call: Call<Chat> = call(chat(&case["request"]), case["model"].as_str().unwrap(), on_unsupported);
        let mut made = case.clone();
        let fields = made.as_object_mut().unwrap();
        fields.retain(|name, _| ["api", "model", "drop", "request"].contains(&name.as_str()));
        match request::translate(&call, &api(&case["api"]), &fetcher).await {
            Ok(wire) => fields.insert("wire".to_owned(), serde_json::to_value(&wire).unwrap()),
            Err(error) => fields.insert("refused".to_owned(), refusal(&error)),
        };
        let dropped = call.trail.dropped();
        if !dropped.is_empty() {
            fields.insert("dropped".to_owned(), json!(dropped));
        }
        made
    })
    .await;
}

/// Ids made here differ from run to run.
fn without_made_ids(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(without_made_ids),
        Value::Array(items) => items.iter_mut().for_each(without_made_ids),
        Value::String(text) if text.starts_with("call_") && text.len() == 37 => *text = "call_*".to_owned(),
        Value::String(text) if text.starts_with("chatcmpl-") => *text = "chatcmpl-*".to_owned(),
        _ => {}
    }
}

#[tokio::test]
async fn replies_become_openai_s() {
    golden("replies", async |case| {
        let mut made = json!({"reply": case["reply"]});
        match reply::read(case["reply"].to_string().as_bytes(), "asked-for", 1) {
            Ok(reply) => {
                let mut completion = serde_json::from_slice(&reply.json).unwrap();
                without_made_ids(&mut completion);
                made["completion"] = completion;
                made["usage"] = json!(format!("{:?}", reply.facts.usage));
            }
            Err(error) => made["refused"] = refusal(&error),
        }
        made
    })
    .await;
}

#[test]
fn arguments_are_compact_and_in_google_s_order() {
    let body = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{
        "b" : 1.50 , "a": "x \" , { y\\" ,  "c": [ 1, 2 ]
    }}}]}}]}"#;
    let reply = reply::read(body.as_bytes(), "m", 1).unwrap();
    let json: Value = serde_json::from_slice(&reply.json).unwrap();
    let arguments = &json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
    assert_eq!(arguments, r#"{"b":1.50,"a":"x \" , { y\\","c":[1,2]}"#);
}

fn google(stub: &Stub) -> Arc<Google> {
    google_with(json!({"api_key": "secret-key", "base_url": stub.url}))
}

pub(crate) fn google_with(config: Value) -> Arc<Google> {
    let config: Config = serde_json::from_value(config).unwrap();
    build_in(&config, Fetcher::new(), &Environment::default()).unwrap()
}

fn hello() -> ChatRequest {
    chat(&json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
}

async fn stream(stub: &Stub, model: &str) -> Result<ChunkStream> {
    google(stub).serve(call::<ChatStream>(hello(), model, OnUnsupported::Refuse)).await
}

#[tokio::test]
async fn a_call_carries_its_credentials_and_its_trace() {
    let body = json!({"candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}]});
    let stub = Stub::start(move |_, _| Answer::new(200, &body)).await;
    let reply = google(&stub).serve(call::<Chat>(hello(), "gemini-2.5-flash", OnUnsupported::Refuse)).await;
    let json: Value = serde_json::from_slice(&reply.unwrap().json).unwrap();
    assert_eq!(json["model"], "gemini-2.5-flash");
    let seen = &stub.seen()[0];
    assert_eq!(seen.line, "POST /v1beta/models/gemini-2.5-flash:generateContent");
    assert_eq!(seen.header("x-goog-api-key"), "secret-key");
    assert_eq!(seen.header("traceparent"), "00-trace-span-01");
    assert_eq!(seen.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_look_counts_tokens_which_costs_nothing_and_fails_as_a_call_would() {
    let stub =
        Stub::start(|_, number| Answer::new(if number == 0 { 200 } else { 503 }, json!({"totalTokens": 1})))
            .await;
    let look = || Provider::probe(google(&stub), Chat::NAME, "gemini-2.5-flash").unwrap();
    assert!(look().await.is_ok());
    assert_eq!(look().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let seen = &stub.seen()[0];
    assert_eq!(seen.line, "POST /v1beta/models/gemini-2.5-flash:countTokens");
    assert_eq!(seen.header("x-goog-api-key"), "secret-key");
    assert!(Provider::probe(google(&stub), "embed", "text-embedding-005").is_none());
}

#[tokio::test]
async fn a_refusal_before_the_first_chunk_is_an_ordinary_error() {
    let body = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota",
        "details": [{"retryDelay": "3s"}]}}]);
    let stub = Stub::start(move |_, _| Answer::new(429, &body)).await;
    let error = stream(&stub, "gemini-2.5-flash").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(&*error.target().unwrap().model, "gemini-2.5-flash");
}

#[tokio::test]
async fn a_stream_is_asked_for_as_events_and_a_broken_body_is_an_interruption() {
    let event = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]});
    let stub = Stub::start(move |_, number| Answer {
        cut: number == 1,
        ..Answer::new(200, format!("data: {event}\r\n\r\n"))
    })
    .await;
    let whole: Vec<_> = stream(&stub, "m").await.unwrap().collect().await;
    assert!(whole.iter().all(Result::is_ok));
    assert_eq!(stub.seen()[0].line, "POST /v1beta/models/m:streamGenerateContent?alt=sse");
    let broken: Vec<_> = stream(&stub, "m").await.unwrap().collect().await;
    assert_eq!(broken.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Interrupted);
}

#[tokio::test]
async fn an_unknown_key_is_not_tried_twice_and_never_shown() {
    let body = json!({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no"}});
    let stub = Stub::start(move |_, _| Answer::new(401, &body)).await;
    let provider = google(&stub);
    let error = provider.serve(call::<Chat>(hello(), "m", OnUnsupported::Refuse)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(stub.seen().len(), 1);
    assert!(!format!("{provider:?} {:?} {error:?}", provider.describe()).contains("secret-key"));
}

#[test]
fn targets_are_checked_when_the_config_is_loaded() {
    let provider = google_with(json!({"api_key": "k"}));
    assert_eq!(provider.check_target("chat", "gemini-2.5-flash"), Ok(()));
    assert!(provider.check_target("chat", "../../v1/secrets").unwrap_err().contains("not a model's name"));
}

#[test]
fn the_site_of_a_test_is_vertex_ai() {
    let config = Config { project: Some("p".to_owned()), ..Config::default() };
    assert!(matches!(Site::of(&config).unwrap().api, Api::Vertex { .. }));
}

fn message() -> impl Strategy<Value = Value> {
    let text = "[a-c]{0,3}";
    prop_oneof![
        text.prop_map(|text| json!({"role": "user", "content": text})),
        text.prop_map(|text| json!({"role": "system", "content": text})),
        text.prop_map(|text| json!({"role": "assistant", "content": text})),
        (text, "[a-b]").prop_map(|(text, id)| json!({"role": "tool", "tool_call_id": id, "content": text})),
        (text, proptest::collection::vec("[a-b]", 1..3)).prop_map(|(text, ids)| {
            let call =
                |id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
            let calls: Vec<_> = ids.into_iter().map(call).collect();
            json!({"role": "assistant", "content": text, "tool_calls": calls})
        }),
    ]
}

static FETCHER: OnceLock<Fetcher> = OnceLock::new();

proptest! {
    #[test]
    fn turns_alternate_and_none_is_empty(messages in proptest::collection::vec(message(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let request = chat(&json!({"model": "m", "messages": messages}));
        let call: Call<Chat> = call(request, "gemini-2.5-flash", OnUnsupported::Refuse);
        let fetcher = FETCHER.get_or_init(Fetcher::new);
        let translated = runtime.block_on(request::translate(&call, &api(&Value::Null), fetcher));
        let wire = match translated {
            Ok(wire) => serde_json::to_value(&wire).unwrap(),
            Err(error) => {
                // Only a result without its call, or nothing to say, is refused.
                prop_assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported));
                return Ok(());
            }
        };
        let contents = wire["contents"].as_array().unwrap();
        let said: usize = messages.iter().filter(|message| {
            message["role"] != "system" && (message["role"] == "tool" || message["content"] != "")
        }).count();
        let calls: usize = messages.iter().filter_map(|message| message["tool_calls"].as_array()).map(Vec::len).sum();
        let mut parts_seen = 0;
        for pair in contents.windows(2) {
            prop_assert_ne!(&pair[0]["role"], &pair[1]["role"]);
        }
        for content in contents {
            let parts = content["parts"].as_array().unwrap();
            prop_assert!(!parts.is_empty());
            prop_assert!(parts.iter().all(|part| part["text"] != ""));
            parts_seen += parts.len();
        }
        prop_assert_eq!(parts_seen, said + calls);
    }

    #[test]
    fn no_reply_panics(text in r#"\{("(candidates|content|parts|text|finishReason|usageMetadata|error)":(\[|\]|\{|\}|"[a-z]*"|[0-9]|null|,)*,?)*\}"#) {
        let _ = reply::read(text.as_bytes(), "m", 1);
    }
}
