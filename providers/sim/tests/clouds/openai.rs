use aigate_sim::CloudKind;
use serde_json::{Value, json};

use super::{ask, client, cloud, events, json_events, post};

const KEY: (&str, &str) = ("authorization", "Bearer simulated-key");

fn hello(text: &str) -> Value {
    json!({"model": "gpt-4.1", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]})
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test]
async fn a_plain_answer_echoes_and_counts() {
    let cloud = cloud(CloudKind::OpenAi).await;
    let url = format!("{}/v1/chat/completions", cloud.url());
    let (status, body) = ask(&url, KEY, &hello("hi there cached-prompt think")).await;
    assert_eq!(status, 200);
    assert_eq!(body["choices"][0]["message"]["content"], "SIM openai heard: hi there cached-prompt think");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 6);
    assert_eq!(body["usage"]["completion_tokens"], 10);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    assert_eq!(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
    assert_eq!((cloud.stats().seen, cloud.stats().answered, cloud.stats().in_flight), (1, 1, 0));
}

#[tokio::test]
async fn a_stream_gives_words_then_finish_then_usage_then_done() {
    let cloud = cloud(CloudKind::OpenAi).await;
    let url = format!("{}/v1/chat/completions", cloud.url());
    let body = with(hello("a b"), "stream", json!(true));
    let (_, text) =
        post(&url, KEY, &with(body.clone(), "stream_options", json!({"include_usage": true}))).await;
    let all = json_events(&text);
    let words: String =
        all.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(words, "SIM openai heard: a b");
    assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(all[all.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(all[all.len() - 1]["usage"]["total_tokens"], 9);
    assert!(all[0]["usage"].is_null());
    assert_eq!(events(&text).last().unwrap(), "[DONE]");
    let (_, text) = post(&url, KEY, &body).await;
    assert!(json_events(&text).iter().all(|event| event.get("usage").is_none()));
    assert_eq!(cloud.stats().streams_begun, 2);
}

#[tokio::test]
async fn tools_are_called_and_their_results_repeated() {
    let cloud = cloud(CloudKind::OpenAi).await;
    let url = format!("{}/v1/chat/completions", cloud.url());
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let text = "call: add({\"x\": 1, \"y\": 2})\ncall: now({})";
    let body = with(hello(text), "tools", json!([tool("add"), tool("now")]));
    let (_, reply) = ask(&url, KEY, &body).await;
    let message = &reply["choices"][0]["message"];
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(message["content"], Value::Null);
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({"name": "add", "arguments": "{\"x\":1,\"y\":2}"})
    );
    let (first, second) = (message["tool_calls"][0]["id"].clone(), message["tool_calls"][1]["id"].clone());

    let (_, stream) = post(&url, KEY, &with(body.clone(), "stream", json!(true))).await;
    let deltas: Vec<_> = json_events(&stream)
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0].as_object().cloned())
        .filter(|call| call["index"] == 0)
        .collect();
    let arguments: String = deltas.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!((deltas.len(), arguments.as_str()), (3, "{\"x\":1,\"y\":2}"));

    let mut more = body.clone();
    let messages = more["messages"].as_array_mut().unwrap();
    messages.push(message.clone());
    messages.push(json!({"role": "tool", "tool_call_id": second, "content": "noon"}));
    let (status, refusal) = ask(&url, KEY, &more).await;
    assert_eq!(status, 400);
    assert!(refusal["error"]["message"].as_str().unwrap().contains(first.as_str().unwrap()));
    let messages = more["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "tool", "tool_call_id": first, "content": [{"type": "text", "text": "3"}]}));
    let (_, reply) = ask(&url, KEY, &more).await;
    assert_eq!(reply["choices"][0]["message"]["content"], "SIM openai results: 3; noon");

    let forced = with(
        with(hello("nothing"), "tools", json!([tool("now")])),
        "tool_choice",
        json!({"type": "function", "function": {"name": "now"}}),
    );
    let (_, reply) = ask(&url, KEY, &forced).await;
    assert_eq!(reply["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}");
}

#[tokio::test]
async fn options_of_the_answer_are_honoured() {
    let cloud = cloud(CloudKind::OpenAi).await;
    let url = format!("{}/v1/chat/completions", cloud.url());
    let (_, reply) = ask(&url, KEY, &with(hello("a b c"), "max_tokens", json!(4))).await;
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    let (_, reply) = ask(&url, KEY, &with(hello("a b c"), "stop", json!("b"))).await;
    assert_eq!(reply["choices"][0]["message"]["content"], "SIM openai heard: a ");
    let (_, reply) = ask(&url, KEY, &with(hello("a"), "n", json!(2))).await;
    assert_eq!(reply["choices"][1]["message"]["content"], "SIM openai heard: a #1");
    let logprobs = with(with(hello("a"), "logprobs", json!(true)), "top_logprobs", json!(2));
    let (_, reply) = ask(&url, KEY, &logprobs).await;
    let first = &reply["choices"][0]["logprobs"]["content"][0];
    assert_eq!((&first["token"], &first["logprob"]), (&json!("SIM"), &json!(-0.5)));
    assert_eq!(first["top_logprobs"].as_array().unwrap().len(), 2);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"type": "string"}}},
    }}});
    let (_, reply) = ask(&url, KEY, &with(hello("a"), "response_format", schema)).await;
    assert_eq!(reply["choices"][0]["message"]["content"], r#"{"a":1,"b":["simulated"]}"#);
    let (_, reply) =
        ask(&url, KEY, &with(hello("a"), "response_format", json!({"type": "json_object"}))).await;
    assert_eq!(reply["choices"][0]["message"]["content"], r#"{"heard":"a"}"#);
    let (_, reply) = ask(&url, KEY, &hello("finish: weird\nno-usage")).await;
    assert_eq!((&reply["choices"][0]["finish_reason"], reply.get("usage")), (&json!("weird"), None));
    let image = json!([{"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    let body = json!({"model": "gpt-4.1", "messages": [{"role": "user", "content": image}]});
    let (_, reply) = ask(&url, KEY, &body).await;
    assert_eq!(reply["choices"][0]["message"]["content"], "SIM openai heard: see [image/png 3 bytes]");
}

#[tokio::test]
async fn requests_are_checked_strictly() {
    let cloud = cloud(CloudKind::OpenAi).await;
    let url = format!("{}/v1/chat/completions", cloud.url());
    for (field, value) in [
        ("colour", json!("red")),
        ("temperature", json!(2.5)),
        ("temperature", json!("hot")),
        ("top_logprobs", json!(1)),
        ("stream_options", json!({})),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("stop", json!(["1", "2", "3", "4", "5"])),
        ("messages", json!([])),
        ("messages", json!([{"role": "robot", "content": "x"}])),
        ("messages", json!([{"role": "user"}])),
        ("messages", json!([{"role": "tool", "tool_call_id": "x", "content": "x"}])),
        ("messages", json!([{"role": "user", "content": "x", "colour": "red"}])),
    ] {
        let (status, reply) = ask(&url, KEY, &with(hello("a"), field, value.clone())).await;
        assert_eq!(
            (status, &reply["error"]["type"]),
            (400, &json!("invalid_request_error")),
            "{field} {value}"
        );
    }
    let (status, reply) = ask(&url, KEY, &with(hello("a"), "colour", json!(1))).await;
    assert_eq!((status, &reply["error"]["param"]), (400, &json!("colour")));
    assert_eq!(reply["error"]["message"], "Unrecognized request argument supplied: colour");
    let (status, _) = post(&url, KEY, &json!("{")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn models_and_credentials_are_refused_by_name() {
    let cloud = cloud(CloudKind::OpenAi).await;
    let url = format!("{}/v1/chat/completions", cloud.url());
    for (model, status) in [("missing-1", 404), ("busy-1", 429), ("denied-1", 403)] {
        assert_eq!(ask(&url, KEY, &with(hello("a"), "model", json!(model))).await.0, status);
    }
    let (status, reply) = ask(&url, ("authorization", "Bearer wrong"), &hello("a")).await;
    assert_eq!((status, &reply["error"]["code"]), (401, &json!("invalid_api_key")));
    assert_eq!(ask(&url, ("x-none", "x"), &hello("a")).await.0, 401);
    assert_eq!(ask(&url, KEY, &hello("filter-me")).await.1["error"]["code"], "invalid_prompt");
    let models =
        client().get(format!("{}/v1/models", cloud.url())).header(KEY.0, KEY.1).send().await.unwrap();
    assert!(models.text().await.unwrap().contains("gpt-4.1"));
    assert_eq!(cloud.stats().refused, 6);
}

#[tokio::test]
async fn embeddings_are_vectors_of_the_wanted_length_and_form() {
    let cloud = cloud(CloudKind::OpenAi).await;
    let url = format!("{}/v1/embeddings", cloud.url());
    let (_, reply) = ask(&url, KEY, &json!({"model": "e", "input": ["one two", "three"]})).await;
    assert_eq!(reply["data"][0]["embedding"].as_array().unwrap().len(), 8);
    assert_eq!((&reply["data"][1]["index"], &reply["usage"]["prompt_tokens"]), (&json!(1), &json!(3)));
    let body = json!({"model": "e", "input": [1, 2], "dimensions": 3, "encoding_format": "base64"});
    let (_, reply) = ask(&url, KEY, &body).await;
    assert_eq!(reply["data"][0]["embedding"].as_str().unwrap().len(), 16);
    assert_eq!(ask(&url, KEY, &json!({"model": "e", "input": []})).await.0, 400);
    assert_eq!(ask(&url, KEY, &json!({"model": "e", "input": "x", "dimensions": 0})).await.0, 400);
    assert_eq!(ask(&url, KEY, &json!({"model": "missing", "input": "x"})).await.0, 404);
}
