use aigate_sim::{CloudKind, Fault};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{ask, client, cloud, json_events, post};

const KEY: (&str, &str) = ("x-goog-api-key", "simulated-key");
const VERTEX: &str = "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-flash";
const GEMINI: &str = "/v1beta/models/gemini-2.5-flash";

fn hello(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

fn with(mut body: Value, pointer: &[&str], value: Value) -> Value {
    let mut place = &mut body;
    for name in pointer {
        place = &mut place[*name];
    }
    *place = value;
    body
}

fn jwt(claims: &Value) -> String {
    let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(json!({"alg": "RS256"}).to_string()),
        part(claims.to_string()),
        part("sign".into())
    )
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[tokio::test]
async fn both_houses_answer() {
    let cloud = cloud(CloudKind::Google).await;
    let mut body = hello("hi cached-prompt think");
    body["systemInstruction"] = json!({"parts": [{"text": "be kind"}]});
    let (status, reply) = ask(&format!("{}{VERTEX}:generateContent", cloud.url()), KEY, &body).await;
    assert_eq!(status, 200, "{reply}");
    let candidate = &reply["candidates"][0];
    assert_eq!(candidate["content"]["parts"][0]["text"], "SIM google heard: hi cached-prompt think");
    assert_eq!((&candidate["finishReason"], candidate.get("index")), (&json!("STOP"), None));
    let usage = json!({"promptTokenCount": 5, "candidatesTokenCount": 6, "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 2, "totalTokenCount": 14});
    assert_eq!(reply["usageMetadata"], usage);
    let (_, reply) = ask(&format!("{}{GEMINI}:generateContent", cloud.url()), KEY, &hello("hi")).await;
    assert_eq!(reply["candidates"][0]["index"], 0);
}

#[tokio::test]
async fn streams_are_events_or_an_array() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{VERTEX}:streamGenerateContent", cloud.url());
    let (_, text) = post(&format!("{url}?alt=sse"), KEY, &hello("a b")).await;
    let all = json_events(&text);
    let said = |all: &[Value]| -> String {
        all.iter()
            .filter_map(|event| event["candidates"][0]["content"]["parts"][0]["text"].as_str())
            .collect()
    };
    assert_eq!((all.len(), said(&all).as_str()), (5, "SIM google heard: a b"));
    assert!(all[3]["candidates"][0].get("finishReason").is_none());
    assert_eq!(all[4]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(all[4]["usageMetadata"]["totalTokenCount"], 7);
    let (_, array) = ask(&url, KEY, &hello("a b")).await;
    assert_eq!(said(array.as_array().unwrap()), "SIM google heard: a b");
}

#[tokio::test]
async fn functions_are_called_and_their_results_repeated() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{VERTEX}:generateContent", cloud.url());
    let tools = json!([{"functionDeclarations": [
        {"name": "add", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}}}, {"name": "now"}]}]);
    let body = with(hello("call: add({\"x\": 1})\ncall: now({})"), &["tools"], tools);
    let (_, reply) = ask(&url, KEY, &body).await;
    let content = &reply["candidates"][0]["content"];
    assert_eq!(content["parts"][0]["functionCall"], json!({"name": "add", "args": {"x": 1}}));
    assert_eq!(content["parts"].as_array().unwrap().len(), 2);
    let response =
        |name: &str, value: Value| json!({"functionResponse": {"name": name, "response": {"output": value}}});
    let mut more = body.clone();
    let contents = more["contents"].as_array_mut().unwrap();
    contents.push(content.clone());
    contents.push(json!({"role": "user", "parts": [response("now", json!("noon"))]}));
    assert_eq!(ask(&url, KEY, &more).await.0, 400);
    more["contents"][2]["parts"].as_array_mut().unwrap().push(response("add", json!(3)));
    let (_, reply) = ask(&url, KEY, &more).await;
    let text = r#"SIM google results: {"output":3}; noon"#;
    assert_eq!(reply["candidates"][0]["content"]["parts"][0]["text"], text);
    let forced = with(
        body,
        &["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["now"]}}),
    );
    let (_, reply) = ask(&url, KEY, &forced).await;
    assert_eq!(
        reply["candidates"][0]["content"]["parts"],
        json!([{"functionCall": {"name": "now", "args": {}}}])
    );
}

#[tokio::test]
async fn options_of_the_answer_are_honoured() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{VERTEX}:generateContent", cloud.url());
    let config = |value: Value| with(hello("a b c"), &["generationConfig"], value);
    let (_, reply) = ask(&url, KEY, &config(json!({"maxOutputTokens": 4}))).await;
    assert_eq!(reply["candidates"][0]["finishReason"], "MAX_TOKENS");
    let (_, reply) = ask(&url, KEY, &config(json!({"candidateCount": 2}))).await;
    assert_eq!(reply["candidates"][1]["index"], 1);
    let (_, reply) = ask(&url, KEY, &config(json!({"responseLogprobs": true, "logprobs": 2}))).await;
    let result = &reply["candidates"][0]["logprobsResult"];
    assert_eq!(result["chosenCandidates"][0]["logProbability"], -0.5);
    assert_eq!(result["topCandidates"][0]["candidates"].as_array().unwrap().len(), 2);
    let schema = json!({"responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "NUMBER"}}}});
    let (_, reply) = ask(&url, KEY, &config(schema)).await;
    assert_eq!(reply["candidates"][0]["content"]["parts"][0]["text"], r#"{"a":0.5}"#);
    let (_, reply) = ask(&url, KEY, &hello("filter-me")).await;
    assert_eq!((reply.get("candidates"), &reply["promptFeedback"]["blockReason"]), (None, &json!("SAFETY")));
    let (_, reply) = ask(&url, KEY, &hello("filter-output")).await;
    assert_eq!(reply["candidates"][0]["finishReason"], "SAFETY");
    let (_, reply) = ask(&url, KEY, &hello("finish: ODD\nno-usage")).await;
    assert_eq!((&reply["candidates"][0]["finishReason"], reply.get("usageMetadata")), (&json!("ODD"), None));
    let image = json!({"contents": [{"parts": [{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}]});
    let (_, reply) = ask(&url, KEY, &image).await;
    let text = "SIM google heard: see [image/png 3 bytes]";
    assert_eq!(reply["candidates"][0]["content"]["parts"][0]["text"], text);
}

#[tokio::test]
async fn requests_are_checked_strictly() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{VERTEX}:generateContent", cloud.url());
    for (pointer, value) in [
        (&["colour"][..], json!(1)),
        (&["contents"], json!([])),
        (&["contents"], json!([{"role": "robot", "parts": [{"text": "x"}]}])),
        (&["contents"], json!([{"role": "user", "parts": []}])),
        (
            &["contents"],
            json!([{"role": "user", "parts": [{"text": "x", "inlineData": {"mimeType": "a", "data": ""}}]}]),
        ),
        (&["generationConfig"], json!({"temperature": 3})),
        (&["generationConfig"], json!({"max_tokens": 3})),
        (&["generationConfig"], json!({"logprobs": 3})),
        (&["generationConfig"], json!({"responseSchema": {"type": "OBJECT"}})),
        (
            &["tools"],
            json!([{"functionDeclarations": [{"name": "a", "parameters": {"$schema": "x", "type": "OBJECT"}}]}]),
        ),
    ] {
        let (status, reply) = ask(&url, KEY, &with(hello("a"), pointer, value.clone())).await;
        assert_eq!((status, &reply["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{value}");
    }
    let labels = with(hello("a"), &["labels"], json!({"team": "x"}));
    assert_eq!(ask(&url, KEY, &labels).await.0, 200);
    assert_eq!(ask(&format!("{}{GEMINI}:generateContent", cloud.url()), KEY, &labels).await.0, 400);
}

#[tokio::test]
async fn models_and_credentials_are_refused_by_name() {
    let cloud = cloud(CloudKind::Google).await;
    let url = |model: &str| {
        format!("{}/v1/projects/p/locations/l/publishers/google/models/{model}:generateContent", cloud.url())
    };
    for (model, status) in [("missing-1", 404), ("busy-1", 429), ("denied-1", 403)] {
        assert_eq!(ask(&url(model), KEY, &hello("a")).await.0, status);
    }
    let (status, reply) = ask(&url("m"), ("x-goog-api-key", "wrong"), &hello("a")).await;
    assert_eq!((status, &reply["error"]["details"][0]["reason"]), (400, &json!("API_KEY_INVALID")));
    let (status, reply) = ask(&url("m"), ("authorization", "Bearer wrong"), &hello("a")).await;
    assert_eq!((status, &reply["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    assert_eq!(ask(&url("m"), ("x-none", "x"), &hello("a")).await.0, 401);
}

#[tokio::test]
async fn tokens_come_from_every_source() {
    let cloud = cloud(CloudKind::Google).await;
    let chat = format!("{}{VERTEX}:generateContent", cloud.url());
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    let assertion = jwt(&json!({"iss": "me", "aud": "x", "scope": scope, "exp": now() + 60}));
    for form in [
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"),
        "grant_type=refresh_token&client_id=a&client_secret=b&refresh_token=c".to_owned(),
        json!({"grant_type": "refresh_token", "client_id": "a", "client_secret": "b", "refresh_token": "c"})
            .to_string(),
        format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&audience=a&subject_token=b\
                 &subject_token_type=c&scope={scope}"
        ),
    ] {
        let response =
            client().post(format!("{}/token", cloud.url())).body(form.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{form}");
        let reply: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let bearer = format!("Bearer {}", reply["access_token"].as_str().unwrap());
        assert_eq!(ask(&chat, ("authorization", &bearer), &hello("a")).await.0, 200, "{form}");
    }
    let metadata = format!("{}/computeMetadata/v1/instance/service-accounts/default/token", cloud.url());
    assert_eq!(client().get(&metadata).send().await.unwrap().status(), 403);
    let reply = client().get(&metadata).header("metadata-flavor", "Google").send().await.unwrap();
    let reply: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    let bearer = format!("Bearer {}", reply["access_token"].as_str().unwrap());
    assert_eq!(ask(&chat, ("authorization", &bearer), &hello("a")).await.0, 200);
    cloud.set_fault(Some(Fault::ExpiredToken));
    let (status, reply) = ask(&chat, ("authorization", &bearer), &hello("a")).await;
    assert_eq!((status, &reply["error"]["details"][0]["reason"]), (401, &json!("ACCESS_TOKEN_EXPIRED")));

    let own =
        format!("Bearer {}", jwt(&json!({"iss": "me", "scope": scope, "iat": now(), "exp": now() + 60})));
    assert_eq!(ask(&chat, ("authorization", &own), &hello("a")).await.0, 200);
    let other =
        format!("Bearer {}", jwt(&json!({"iss": "me", "scope": "x", "iat": now(), "exp": now() + 60})));
    assert_eq!(ask(&chat, ("authorization", &other), &hello("a")).await.0, 403);
}

#[tokio::test]
async fn embeddings_have_three_forms() {
    let cloud = cloud(CloudKind::Google).await;
    let url = |model: &str, method: &str| {
        format!("{}/v1/projects/p/locations/l/publishers/google/models/{model}:{method}", cloud.url())
    };
    let two = json!({"instances": [{"content": "a b", "task_type": "RETRIEVAL_QUERY"}, {"content": "c"}],
        "parameters": {"outputDimensionality": 4}});
    let (_, reply) = ask(&url("text-embedding-005", "predict"), KEY, &two).await;
    assert_eq!(reply["predictions"][0]["embeddings"]["statistics"]["token_count"], 2);
    assert_eq!(reply["predictions"][1]["embeddings"]["values"].as_array().unwrap().len(), 4);
    assert_eq!(ask(&url("gemini-embedding-001", "predict"), KEY, &two).await.0, 400);
    let picture = json!({"instances": [{"text": "a", "image": {"bytesBase64Encoded": "AAAA"}}]});
    let (_, reply) = ask(&url("multimodalembedding@001", "predict"), KEY, &picture).await;
    assert_eq!(reply["predictions"][0]["imageEmbedding"].as_array().unwrap().len(), 8);
    let one =
        json!({"content": {"parts": [{"text": "a b"}]}, "embedContentConfig": {"outputDimensionality": 4}});
    let (_, reply) = ask(&url("gemini-embedding-2", "embedContent"), KEY, &one).await;
    assert_eq!(reply["embedding"]["values"].as_array().unwrap().len(), 4);
    assert_eq!(reply["usageMetadata"]["promptTokenCount"], 2);
    let batch = json!({"requests": [{"model": "models/e", "content": {"parts": [{"text": "a b"}]}}]});
    let (_, reply) = ask(&format!("{}/v1beta/models/e:batchEmbedContents", cloud.url()), KEY, &batch).await;
    assert_eq!(reply["embeddings"][0]["values"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn field_names_are_taken_in_snake_case_too() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{VERTEX}:generateContent", cloud.url());
    let config = json!({"max_output_tokens": 4, "thinking_config": {"include_thoughts": true}});
    let (status, reply) = ask(&url, KEY, &with(hello("a b"), &["generation_config"], config)).await;
    assert_eq!((status, &reply["candidates"][0]["finishReason"]), (200, &json!("MAX_TOKENS")));
}
