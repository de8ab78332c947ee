//! The same request and the same answers for each API, against the files in `golden/`.

use aigate_contract::{Chat, ChatStream, Embed, Provider, Serve, chat::ChatRequest, embed::EmbedRequest};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::{
    Azure, build_in,
    stub::{Seen, Stub, call, config},
};

const CHAT: &str = include_str!("../golden/chat.request.json");
const EMBED: &str = include_str!("../golden/embed.request.json");
const REPLY: &str = include_str!("../golden/chat.reply.json");
const VECTORS: &str = include_str!("../golden/embed.reply.json");
const FILTERED: &str = include_str!("../golden/filtered.reply.json");

const APIS: [(&str, &str); 3] = [
    (r#""api":"v1""#, include_str!("../golden/chat.v1.http")),
    (r#""api":"deployments","api_version":"2024-10-21""#, include_str!("../golden/chat.deployments.http")),
    (r#""api":"models""#, include_str!("../golden/chat.models.http")),
];

fn provider(stub: &Stub, api: &str) -> std::sync::Arc<Azure> {
    let settings = format!(r#"{{"endpoint":"{}","api_key":"k",{api}}}"#, stub.url);
    build_in(&config(&settings), &|_| None).unwrap()
}

fn chat(text: &str) -> ChatRequest {
    ChatRequest::parse(Bytes::copy_from_slice(text.trim().as_bytes())).unwrap()
}

/// A request as the golden files write it: without the headers that every client sends.
fn written(seen: &Seen) -> String {
    let common = ["host", "user-agent", "accept", "content-length", "connection"];
    let mut headers: Vec<String> = seen
        .headers
        .iter()
        .filter(|(name, _)| !common.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    headers.sort();
    format!("{}\n{}\n{}\n", seen.line, headers.concat(), seen.body)
}

#[tokio::test]
async fn one_chat_request_becomes_each_api_s_url_and_body() {
    for (api, expected) in APIS {
        let stub = Stub::start(&[(200, REPLY)]).await;
        provider(&stub, api).serve(call::<Chat>(chat(CHAT))).await.unwrap();
        assert_eq!(written(&stub.seen()[0]), expected, "{api}");
    }
}

#[tokio::test]
async fn one_embeddings_request_becomes_each_api_s_url_and_body() {
    let mut all = String::new();
    for (api, _) in APIS {
        let stub = Stub::start(&[(200, VECTORS)]).await;
        let request = EmbedRequest::parse(Bytes::from_static(EMBED.trim().as_bytes())).unwrap();
        let reply = provider(&stub, api).serve(call::<Embed>(request)).await.unwrap();
        assert_eq!(reply.json, VECTORS.as_bytes());
        assert_eq!(reply.facts.usage.unwrap().fresh_input, Some(3));
        all.push_str(&written(&stub.seen()[0]));
    }
    assert_eq!(all, include_str!("../golden/embed.http"));
}

#[tokio::test]
async fn an_answer_passes_with_azure_s_own_fields() {
    let stub = Stub::start(&[(200, REPLY)]).await;
    let reply = provider(&stub, APIS[0].0).serve(call::<Chat>(chat(CHAT))).await.unwrap();
    assert_eq!(reply.json, REPLY.as_bytes());
    assert_eq!(reply.facts.usage.unwrap().cached_read, Some(2));
}

#[tokio::test]
async fn a_stream_passes_with_the_filter_s_first_event() {
    let stream = include_str!("../golden/chat.stream.sse");
    let events: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    for (api, _) in APIS {
        let stub = Stub::start(&[(200, stream)]).await;
        let request = CHAT.trim().replacen('{', r#"{"stream":true,"#, 1);
        let chunks = provider(&stub, api).serve(call::<ChatStream>(chat(&request))).await.unwrap();
        let chunks: Vec<Bytes> = chunks.map(|chunk| chunk.unwrap().json).collect().await;
        assert_eq!([&chunks[..], &[Bytes::from_static(b"[DONE]")]].concat(), events);
        // `models` sends the usage unasked and does not know the field that asks for it.
        assert_eq!(stub.seen()[0].body.contains("stream_options"), !api.contains("models"), "{api}");
    }
}

#[tokio::test]
async fn a_filtered_prompt_is_told_with_its_categories() {
    let stub = Stub::start(&[(400, FILTERED)]).await;
    let error = provider(&stub, APIS[0].0).serve(call::<Chat>(chat(CHAT))).await.unwrap_err();
    let text = format!("{}: {}\n", error.kind().as_str(), error.message());
    assert_eq!(text, include_str!("../golden/filtered.txt"));
}

#[tokio::test]
async fn each_api_is_described_by_its_name_in_the_conventions() {
    let stub = Stub::start(&[(200, REPLY)]).await;
    let told: Vec<_> = APIS.iter().map(|(api, _)| provider(&stub, api).describe()).collect();
    let systems: Vec<_> = told.iter().map(|told| told.system).collect();
    assert_eq!(systems, ["azure.ai.openai", "azure.ai.openai", "azure.ai.inference"]);
    assert_eq!(told[0].endpoint, format!("{}/openai/v1", stub.url));
    assert_eq!(told[0].credentials, "api key");
}

#[test]
fn the_settings_have_a_schema_that_describes_each_of_them() {
    let schema = schemars::schema_for!(crate::Config).to_value();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["endpoint"]));
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 16);
    assert!(properties.values().all(|property| property.get("description").is_some()), "{schema:#}");
}
