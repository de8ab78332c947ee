//! Bad input at the edge: the right status, words that help, and a gateway that goes on.

use std::time::Duration;

use aigate_sim::CloudKind;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{House, eventually};

const CHAT: &str = "/v1/chat/completions";

async fn send(house: &House, kind: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let request = house.client.post(house.url(CHAT)).header("content-type", kind).body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"));
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_bad_request_gets_its_status_and_a_message_that_helps() {
    let house = House::new("[server]\nlisten = \"127.0.0.1:0\"\nmax_body_bytes = 20000\n").await;
    let json = "application/json";
    let message = |body: &Value| body["error"]["message"].as_str().unwrap().to_owned();

    let (status, body) = send(&house, json, "{\"model\": \"all\",\n oops").await;
    assert_eq!(status, 400);
    assert!(message(&body).contains("line 2 column 2"), "{body}");
    assert_eq!(body["error"]["type"], "invalid_request_error");

    let question = r#"{"model":"alll","messages":[{"role":"user","content":"hi"}]}"#;
    let (status, body) = send(&house, json, question).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("model_not_found")));
    assert!(message(&body).contains("`all`"), "{body}");

    let (status, body) = send(&house, json, format!("{{\"x\":\"{}\"}}", "y".repeat(30_000))).await;
    assert_eq!(status, 413);
    assert!(message(&body).contains("20000 bytes"), "{body}");

    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let (status, body) = send(&house, kind, question).await;
        assert_eq!(status, 415, "{kind}");
        assert!(message(&body).contains("application/json"), "{body}");
    }

    let flood: String = (0..50_000).map(|number| format!(",\"f{number}\":0")).collect();
    let house_with_room = House::new("").await;
    let (status, body) = send(&house_with_room, json, format!(r#"{{"model":"all"{flood}}}"#)).await;
    assert_eq!(status, 400);
    assert!(message(&body).contains("at most 256"), "{body}");

    for (fields, param) in [
        (r#""temperature":9"#, "temperature"),
        (r#""n":"two""#, "n"),
        (r#""tools":[{"type":"function","function":{}}]"#, "tools[0].function"),
    ] {
        let rest =
            if fields.contains("messages") { "" } else { r#","messages":[{"role":"user","content":"x"}]"# };
        let (status, body) = send(&house, json, format!(r#"{{"model":"all",{fields}{rest}}}"#)).await;
        assert_eq!(status, 400, "{fields}");
        let named = body["error"]["param"].as_str().unwrap_or_default();
        assert!(named.starts_with(param.split('.').next().unwrap()), "{fields}: {body}");
    }

    let response = house.client.get(house.url("/v1/chat")).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert!(response.text().await.unwrap().contains("there is no GET /v1/chat"));
    let response = house.client.get(house.url(CHAT)).send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert!(house.answer("all", "still there?", false).await.is_ok());
}

/// Sends bytes as they are, and reads until the other side closes or a while has passed.
async fn raw(house: &House, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(house.running.address).await.unwrap();
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return String::from_utf8_lossy(&text).into_owned(),
            Ok(Ok(count)) => text.extend_from_slice(&buffer[..count]),
            Err(_) => panic!("the gateway kept the connection open: {}", String::from_utf8_lossy(&text)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_for_which_there_is_no_room_are_refused_until_there_is() {
    let tight = "[server]\nlisten = \"127.0.0.1:0\"\nmax_body_bytes = 8192\nmax_buffered_bytes = 8192\n";
    let house = House::new(tight).await;
    let text = "wait-first ".to_owned() + &"x".repeat(5000);
    let first = house.ask("azure", &text, false);
    let second = async {
        eventually("the first is under way", || house.cloud(CloudKind::Azure).stats().in_flight > 0).await;
        house.ask("azure", &text, false).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 503));
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(house.ask("azure", &"x".repeat(5000), false).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_floods_slow_heads_and_slow_bodies_are_cut_off() {
    let quick = "[server]\nlisten = \"127.0.0.1:0\"\nheader_timeout = \"200ms\"\nbody_timeout = \"200ms\"\n";
    let house = House::new(quick).await;

    let flood: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    let answer = raw(&house, &[b"GET /v1/models HTTP/1.1\r\nhost: a\r\n", flood.as_bytes(), b"\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");

    let long = format!("x: {}\r\n\r\n", "y".repeat(200_000));
    let answer = raw(&house, &[b"GET /v1/models HTTP/1.1\r\nhost: a\r\n", long.as_bytes()]).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");

    let answer = raw(&house, &[b"GET /v1/models HTTP/1.1\r\nho"]).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");

    for silent in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        assert_eq!(raw(&house, &[silent]).await, "", "closed without a word: {silent:?}");
    }

    let head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let answer = raw(&house, &[head]).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("did not arrive within 200ms"), "{answer}");
    assert!(house.answer("all", "still there?", true).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_caller_who_is_still_sending_and_the_connection_goes_on() {
    let hash = aigate_keys::secret::format_hash(&aigate_keys::secret::hash("aig_secret"));
    let house = House::new(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nmax_body_bytes = 8192\n[keys.team-a]\nhash = \"{hash}\"\n"
    ))
    .await;
    let mut stream = TcpStream::connect(house.running.address).await.unwrap();
    let large = 4 * 1024 * 1024;
    for (key, status) in [("aig_wrong", "401"), ("aig_secret", "413")] {
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {large}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The answer is here before the first byte of the body is sent.
        assert!(stream.peek(&mut [0; 1]).await.unwrap() > 0);
        stream.write_all(&vec![b'x'; large]).await.unwrap();
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

/// Reads one answer with a `Content-Length`, whole.
async fn one_answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection was closed: {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return text;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_let_callers_in_and_no_others() {
    let hash = aigate_keys::secret::format_hash(&aigate_keys::secret::hash("aig_secret"));
    let house = House::new(&format!("[keys.team-a]\nhash = \"{hash}\"\n")).await;
    let models = || house.client.get(house.url("/v1/models"));
    let none = models().send().await.unwrap();
    assert_eq!(none.status(), 401);
    let body: Value = serde_json::from_str(&none.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "invalid_api_key");
    for wrong in ["Bearer aig_wrong", "Bearer ", "Basic aig_secret", "aig_secret"] {
        assert_eq!(models().header("authorization", wrong).send().await.unwrap().status(), 401, "{wrong}");
    }
    assert_eq!(models().header("authorization", "Bearer aig_secret").send().await.unwrap().status(), 200);
    assert_eq!(models().header("api-key", "aig_secret").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_s_request_id_comes_back_and_an_unfit_one_is_replaced() {
    let house = House::new("").await;
    let get =
        |id: &str| house.client.get(house.url("/v1/models")).header("x-request-id", id.to_owned()).send();
    assert_eq!(get("abc-123").await.unwrap().headers()["x-request-id"], "abc-123");
    let long = "x".repeat(300);
    let replaced = get(&long).await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(replaced.len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_and_retrieved_by_name() {
    let house = House::new(
        "[models.\"team/a.b\"]\ntask = \"chat\"\ndeployments = [{ provider = \"azure\", target = \"x\" }]\n",
    )
    .await;
    let get = |path: &str| house.client.get(house.url(path)).send();
    let list: Value = serde_json::from_str(&get("/v1/models").await.unwrap().text().await.unwrap()).unwrap();
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["all", "aws", "azure", "google", "openai", "team/a.b"]);
    let one: Value =
        serde_json::from_str(&get("/v1/models/team/a.b").await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!((&one["id"], &one["object"]), (&json!("team/a.b"), &json!("model")));
    assert_eq!(get("/v1/models/nobody").await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cloud_embeds_in_both_encodings() {
    let embedder = |provider: &str, target: &str| {
        format!(
            "[models.e-{provider}]\ntask = \"embed\"\ndeployments = [{{ provider = \"{provider}\", target = \"{target}\" }}]\n"
        )
    };
    let more = embedder("azure", "text-embedding-3-small")
        + &embedder("openai", "text-embedding-3-small")
        + &embedder("aws", "amazon.titan-embed-text-v2:0")
        + &embedder("google", "text-embedding-005");
    let house = House::new(&more).await;
    for provider in ["azure", "openai", "aws", "google"] {
        for format in ["float", "base64"] {
            let body =
                json!({ "model": format!("e-{provider}"), "input": ["a b", "c"], "encoding_format": format });
            let response = house.post("/v1/embeddings", &body).await;
            let status = response.status();
            let text = response.text().await.unwrap();
            assert_eq!(status, 200, "{provider}: {text}");
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(answer["data"].as_array().unwrap().len(), 2, "{provider}");
            assert_eq!(answer["data"][0]["embedding"].is_string(), format == "base64", "{provider}");
            assert_eq!(answer["usage"]["prompt_tokens"], 3, "{provider}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_to_those_who_begin_with_it() {
    let house = House::new("").await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let body = json!({ "model": "azure", "stream": true, "messages": [{ "role": "user", "content": "over http 2" }] });
    let request =
        client.post(house.url(CHAT)).header("content-type", "application/json").body(body.to_string());
    let response = request.send().await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_bound_waits_until_another_one_closes() {
    let house = House::new("[server]\nlisten = \"127.0.0.1:0\"\nmax_connections = 1\n").await;
    let mut first = TcpStream::connect(house.running.address).await.unwrap();
    first.write_all(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 4096]).await.unwrap() > 0, "the first is served, and kept alive");
    let second = house.client.get(house.url("/v1/models")).send();
    tokio::pin!(second);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut second).await.is_err(), "the second waits");
    drop(first);
    assert_eq!(second.await.unwrap().status(), 200);
}
