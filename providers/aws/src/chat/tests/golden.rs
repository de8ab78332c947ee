//! Requests and answers as they stand on the wire, both ways.

use aigate_contract::{Chat, ChatStream, Serve};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::testing::{Answer, chat, check_golden, event, goldens, keys, played};

fn answer() -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
    })
}

/// The settings beside the keys, if the golden file has any.
fn settings(golden: &Value) -> Value {
    let mut settings = keys();
    for (name, value) in golden["settings"].as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    settings
}

#[tokio::test]
async fn requests_go_out_in_converse_s_form() {
    for (path, golden) in goldens("request") {
        let target = golden["target"].as_str().unwrap();
        let (aws, bedrock) = played(settings(&golden), [Answer::json(200, &answer())]);
        let call = chat::<Chat>(target, &golden["request"], golden["drops"] == json!(true));
        if let Err(error) = aws.serve(call.clone()).await {
            panic!("{}: {error:?}", path.display());
        }
        let asked = bedrock.asked().remove(0);
        check_golden(&path, &golden, "wire", &asked.json());
        check_golden(&path, &golden, "uri", &json!(asked.uri));
        check_golden(&path, &golden, "dropped", &json!(call.trail.dropped()));
    }
}

#[tokio::test]
async fn both_operations_send_the_same_body() {
    for (path, golden) in goldens("request") {
        let target = golden["target"].as_str().unwrap();
        let stream = Answer::stream(vec![event("messageStop", &json!({"stopReason": "end_turn"}))]);
        let (aws, bedrock) = played(settings(&golden), [stream]);
        let call = chat::<ChatStream>(target, &golden["request"], golden["drops"] == json!(true));
        assert!(aws.serve(call).await.is_ok(), "{}", path.display());
        let asked = bedrock.asked().remove(0);
        assert!(asked.uri.ends_with("/converse-stream"), "{}", asked.uri);
        let mut body = asked.json();
        if let Some(guardrail) = body.get_mut("guardrailConfig").and_then(Value::as_object_mut) {
            guardrail.remove("streamProcessingMode");
        }
        assert_eq!(body, golden["wire"], "{}", path.display());
    }
}

#[tokio::test]
async fn answers_come_back_in_openai_s_form() {
    for (path, golden) in goldens("reply") {
        let answer = Answer::json(200, &golden["answer"]).with("x-amzn-requestid", "req-1");
        let (aws, _) = played(keys(), [answer]);
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        let reply = match aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &body, false)).await {
            Ok(reply) => {
                let mut reply: Value = serde_json::from_slice(&reply.json).unwrap();
                reply["created"] = json!(0);
                reply
            }
            Err(error) => json!({"kind": error.kind().as_str(), "message": error.message()}),
        };
        check_golden(&path, &golden, "reply", &reply);
    }
}

#[tokio::test]
async fn streams_come_back_in_openai_s_form() {
    for (path, golden) in goldens("stream") {
        let frames = golden["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| event(pair[0].as_str().unwrap(), &pair[1]));
        let answer = Answer::stream(frames.collect()).with("x-amzn-requestid", "req-1");
        let (aws, _) = played(keys(), [answer]);
        let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
        let stream = aws.serve(chat::<ChatStream>("amazon.nova-lite-v1:0", &body, false)).await.unwrap();
        let chunks: Vec<Value> = stream
            .map(|item| match item {
                Ok(chunk) => {
                    let mut chunk: Value = serde_json::from_slice(&chunk.json).unwrap();
                    chunk["created"] = json!(0);
                    chunk
                }
                Err(error) => json!({"kind": error.kind().as_str(), "message": error.message()}),
            })
            .collect()
            .await;
        check_golden(&path, &golden, "chunks", &json!(chunks));
    }
}
