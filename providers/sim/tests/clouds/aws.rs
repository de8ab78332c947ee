use aigate_sim::{Cloud, CloudKind, Fault};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ask, client, cloud};

const KEY: (&str, &str) = ("authorization", "Bearer simulated-key");
const MODEL: &str = "/model/eu.amazon.nova-lite-v1%3A0";

pub(crate) fn hello(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

/// One frame: its kind, its name, its payload.
pub(crate) type Frame = (String, String, Value);

/// Reads frames; an error says what is wrong.
pub(crate) fn frames(mut bytes: &[u8]) -> Result<Vec<Frame>, &'static str> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let total = usize::try_from(number(bytes.get(..4).ok_or("short")?)).unwrap();
        let (frame, rest) = bytes.split_at_checked(total).ok_or("short")?;
        bytes = rest;
        if crc32fast::hash(&frame[..8]) != number(&frame[8..12]) {
            return Err("prelude checksum");
        }
        if crc32fast::hash(&frame[..total - 4]) != number(&frame[total - 4..]) {
            return Err("message checksum");
        }
        let end = 12 + usize::try_from(number(&frame[4..8])).unwrap();
        let mut headers = std::collections::HashMap::new();
        let mut at = 12;
        while at < end {
            let name = usize::from(frame[at]);
            let value = at + 1 + name + 3;
            let length = usize::from(u16::from_be_bytes([frame[value - 2], frame[value - 1]]));
            assert_eq!(frame[value - 3], 7);
            let text =
                |from: usize, length: usize| String::from_utf8(frame[from..from + length].to_vec()).unwrap();
            headers.insert(text(at + 1, name), text(value, length));
            at = value + length;
        }
        let kind = headers[":message-type"].clone();
        let name = headers[&format!(":{kind}-type")].clone();
        frames.push((kind, name, serde_json::from_slice(&frame[end..total - 4]).unwrap()));
    }
    Ok(frames)
}

async fn stream(cloud: &Cloud, body: &Value) -> Vec<Frame> {
    let url = format!("{}{MODEL}/converse-stream", cloud.url());
    let response = client().post(url).header(KEY.0, KEY.1).body(body.to_string()).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
    frames(&response.bytes().await.unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request, signed by the book.
pub(crate) fn sign(
    cloud: &Cloud,
    path: &str,
    service: &str,
    keys: (&str, &str),
    token: Option<&str>,
    body: &str,
) -> reqwest::RequestBuilder {
    let time = amz_now();
    let (host, date) = (cloud.addr().to_string(), &time[..8]);
    let mut headers = vec![("host", host.as_str()), ("x-amz-date", time.as_str())];
    headers.extend(token.map(|token| ("x-amz-security-token", token)));
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical =
        format!("POST\n{}\n\n{lines}\n{names}\n{}", path.replace('%', "%25"), hex(&Sha256::digest(body)));
    let scope = format!("{date}/eu-west-1/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", keys.1).into_bytes();
    for step in [date, "eu-west-1", service, "aws4_request", &text] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(step.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        keys.0,
        hex(&key)
    );
    let mut request = client().post(format!("{}{path}", cloud.url())).header("authorization", authorization);
    for (name, value) in headers.iter().skip(1) {
        request = request.header(*name, *value);
    }
    request.body(body.to_owned())
}

/// Signs a request and sends it.
async fn signed(
    cloud: &Cloud,
    path: &str,
    service: &str,
    keys: (&str, &str),
    token: Option<&str>,
    body: &str,
) -> (u16, String) {
    let response = sign(cloud, path, service, keys, token, body).send().await.unwrap();
    let kind = response.headers().get("x-amzn-errortype").map(|kind| kind.to_str().unwrap().to_owned());
    let (status, body) = (response.status().as_u16(), response.text().await.unwrap());
    (status, kind.unwrap_or(body))
}

/// Now, as AWS writes it, by way of the HTTP date of the cloud's own answer.
fn amz_now() -> String {
    let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // Days to a civil date, by counting years and months.
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, mut year) = (seconds / 86_400, 1970);
    while days >= if leap(year) { 366 } else { 365 } {
        days -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let rest = seconds % 86_400;
    format!("{year}{:02}{:02}T{:02}{:02}{:02}Z", month + 1, days + 1, rest / 3600, rest / 60 % 60, rest % 60)
}

fn tag<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0
}

#[tokio::test]
async fn a_plain_answer_echoes_and_counts() {
    let cloud = cloud(CloudKind::Aws).await;
    let url = format!("{}{MODEL}/converse", cloud.url());
    let (status, reply) = ask(&url, KEY, &hello("one two cached-prompt")).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(
        reply["output"]["message"]["content"],
        json!([{"text": "SIM aws heard: one two cached-prompt"}])
    );
    assert_eq!(reply["stopReason"], "end_turn");
    let usage = json!({"inputTokens": 1, "outputTokens": 6, "totalTokens": 9, "cacheReadInputTokens": 2,
        "cacheWriteInputTokens": 0});
    assert_eq!(reply["usage"], usage);
    let (_, reply) = ask(&url, KEY, &hello("filter-me")).await;
    assert_eq!(reply["stopReason"], "guardrail_intervened");
}

#[tokio::test]
async fn a_stream_is_frames_in_converse_order() {
    let cloud = cloud(CloudKind::Aws).await;
    let mut body = hello("call: add({\"x\": 1})");
    let spec = json!({"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}});
    body["toolConfig"] = json!({"tools": [spec]});
    let names: Vec<_> = stream(&cloud, &body).await.into_iter().map(|(_, name, _)| name).collect();
    let expected = [
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ];
    assert_eq!(names, expected);
    let all = stream(&cloud, &hello("a b")).await;
    let text: String = all.iter().filter_map(|(_, _, payload)| payload["delta"]["text"].as_str()).collect();
    assert_eq!(text, "SIM aws heard: a b");
    let last = all.last().unwrap();
    assert_eq!((last.0.as_str(), &last.2["usage"]["totalTokens"]), ("event", &json!(7)));
}

#[tokio::test]
async fn tool_results_are_repeated_and_their_order_checked() {
    let cloud = cloud(CloudKind::Aws).await;
    let url = format!("{}{MODEL}/converse", cloud.url());
    let spec = |name: &str| json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}});
    let use_ = |id: &str, name: &str| json!({"toolUse": {"toolUseId": id, "name": name, "input": {}}});
    let result = |id: &str, text: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": text}]}});
    let body = |results: Vec<Value>| {
        json!({"messages": [
            {"role": "user", "content": [{"text": "go"}]},
            {"role": "assistant", "content": [use_("1", "a"), use_("2", "b")]},
            {"role": "user", "content": results},
        ], "toolConfig": {"tools": [spec("a"), spec("b")]}})
    };
    let (_, reply) = ask(&url, KEY, &body(vec![result("2", "two"), result("1", "one")])).await;
    assert_eq!(reply["output"]["message"]["content"][0]["text"], "SIM aws results: one; two");
    let (status, reply) = ask(&url, KEY, &body(vec![result("2", "two")])).await;
    assert_eq!(status, 400);
    let message = "Expected toolResult blocks at messages.2.content for the following Ids: 1";
    assert_eq!(reply["message"], message);
    let mut without = body(vec![result("2", "two"), result("1", "one")]);
    without.as_object_mut().unwrap().remove("toolConfig");
    assert_eq!(ask(&url, KEY, &without).await.0, 400);
}

#[tokio::test]
async fn requests_are_checked_strictly() {
    let cloud = cloud(CloudKind::Aws).await;
    let url = format!("{}{MODEL}/converse", cloud.url());
    let user = |content: Value| json!({"role": "user", "content": content});
    for (field, value) in [
        ("colour", json!(1)),
        ("messages", json!([])),
        ("messages", json!([{"role": "assistant", "content": [{"text": "x"}]}])),
        ("messages", json!([user(json!([{"text": "x"}])), user(json!([{"text": "x"}]))])),
        ("messages", json!([user(json!([{"text": " "}]))])),
        ("messages", json!([user(json!([]))])),
        ("messages", json!([user(json!([{"text": "x", "image": {}}]))])),
        ("messages", json!([user(json!([{"image": {"format": "bmp", "source": {"bytes": "AAAA"}}}]))])),
        ("inferenceConfig", json!({"temperature": 1.5})),
        ("inferenceConfig", json!({"maxTokens": 0})),
        ("inferenceConfig", json!({"topK": 1})),
        ("toolConfig", json!({"tools": []})),
        (
            "toolConfig",
            json!({"tools": [{"toolSpec": {"name": "a b", "inputSchema": {"json": {"type": "object"}}}}]}),
        ),
        ("serviceTier", json!({"type": "golden"})),
    ] {
        let mut body = hello("a");
        body[field] = value.clone();
        assert_eq!(ask(&url, KEY, &body).await.0, 400, "{field} {value}");
    }
    for (model, status) in [("missing", 404), ("busy", 429), ("denied", 403)] {
        let url = format!("{}/model/{model}-1/converse", cloud.url());
        assert_eq!(ask(&url, KEY, &hello("a")).await.0, status);
    }
}

#[tokio::test]
async fn signatures_are_verified() {
    let cloud = cloud(CloudKind::Aws).await;
    let path = format!("{MODEL}/converse");
    let body = hello("a").to_string();
    let good = ("SIMULATED", "simulated-secret");
    assert_eq!(signed(&cloud, &path, "bedrock", good, None, &body).await.0, 200);
    for (keys, service, name) in [
        (("SIMULATED", "wrong"), "bedrock", "InvalidSignatureException"),
        (("OTHER", "simulated-secret"), "bedrock", "UnrecognizedClientException"),
        (good, "s3", "InvalidSignatureException"),
    ] {
        let (status, kind) = signed(&cloud, &path, service, keys, None, &body).await;
        assert_eq!((status, kind.split_once(':').unwrap().0), (403, name));
    }
    let (status, reply) = ask(&format!("{}{path}", cloud.url()), ("x-none", "x"), &hello("a")).await;
    assert_eq!((status, &reply["message"]), (403, &json!("Missing Authentication Token")));
    assert_eq!(
        ask(&format!("{}{path}", cloud.url()), ("authorization", "Bearer wrong"), &hello("a")).await.0,
        403
    );
}

#[tokio::test]
async fn lent_keys_work_until_they_expire() {
    let cloud = cloud(CloudKind::Aws).await;
    let path = format!("{MODEL}/converse");
    let body = hello("a").to_string();
    let good = ("SIMULATED", "simulated-secret");
    let form = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx\
                &RoleSessionName=me&DurationSeconds=900";
    let (status, xml) = signed(&cloud, "/", "sts", good, None, form).await;
    assert_eq!(status, 200, "{xml}");
    let keys = (tag(&xml, "AccessKeyId"), tag(&xml, "SecretAccessKey"));
    let token = Some(tag(&xml, "SessionToken"));
    assert_eq!(signed(&cloud, &path, "bedrock", keys, token, &body).await.0, 200);
    assert_eq!(signed(&cloud, &path, "bedrock", good, token, &body).await.0, 403);
    cloud.set_fault(Some(Fault::ExpiredToken));
    let (status, kind) = signed(&cloud, &path, "bedrock", keys, token, &body).await;
    assert_eq!((status, kind.split_once(':').unwrap().0), (403, "ExpiredTokenException"));
    assert_eq!(signed(&cloud, "/", "sts", ("SIMULATED", "wrong"), None, form).await.0, 403);
    let (_, xml) = signed(&cloud, "/", "sts", good, None, form).await;
    let keys = (tag(&xml, "AccessKeyId"), tag(&xml, "SecretAccessKey"));
    let token = Some(tag(&xml, "SessionToken"));
    assert_eq!(signed(&cloud, &path, "bedrock", keys, token, &body).await.0, 200);
}

#[tokio::test]
async fn embeddings_come_from_titan_and_cohere() {
    let cloud = cloud(CloudKind::Aws).await;
    let url = |model: &str| format!("{}/model/{model}/invoke", cloud.url());
    let titan = url("amazon.titan-embed-text-v2%3A0");
    let (_, reply) = ask(&titan, KEY, &json!({"inputText": "a b", "dimensions": 256})).await;
    assert_eq!(
        (reply["embedding"].as_array().unwrap().len(), &reply["inputTextTokenCount"]),
        (256, &json!(2))
    );
    assert_eq!(ask(&titan, KEY, &json!({"inputText": "a", "dimensions": 7})).await.0, 400);
    let cohere = json!({"texts": ["a", "b"], "input_type": "search_query"});
    let (_, reply) = ask(&url("cohere.embed-english-v3"), KEY, &cohere).await;
    assert_eq!(
        (&reply["response_type"], reply["embeddings"].as_array().unwrap().len()),
        (&json!("embeddings_floats"), 2)
    );
    let cohere = json!({"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 256});
    let (_, reply) = ask(&url("eu.cohere.embed-v4%3A0"), KEY, &cohere).await;
    assert_eq!(reply["embeddings"]["float"][0].as_array().unwrap().len(), 256);
    assert_eq!(ask(&url("cohere.embed-english-v3"), KEY, &cohere).await.0, 400);
    assert_eq!(ask(&url("amazon.nova-lite"), KEY, &cohere).await.0, 400);
}
