use std::time::Duration;

use aigate_sim::{Cloud, CloudKind, Fault, Options, start};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{aws, client, cloud, json_events};

const KINDS: [CloudKind; 4] = [CloudKind::Google, CloudKind::Aws, CloudKind::Azure, CloudKind::OpenAi];

/// Where and how each cloud is asked.
fn request(kind: CloudKind, streamed: bool) -> (String, (&'static str, &'static str), Value) {
    let openai = |model: &str| json!({"model": model, "stream": streamed, "messages": [{"role": "user", "content": "a b c"}]});
    match kind {
        CloudKind::Google => {
            let method = if streamed { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let path = format!("/v1/projects/p/locations/l/publishers/google/models/m:{method}");
            (path, ("x-goog-api-key", "simulated-key"), json!({"contents": [{"parts": [{"text": "a b c"}]}]}))
        }
        CloudKind::Aws => {
            let operation = if streamed { "converse-stream" } else { "converse" };
            (format!("/model/m/{operation}"), ("authorization", "Bearer simulated-key"), aws::hello("a b c"))
        }
        CloudKind::Azure => ("/openai/v1/chat/completions".into(), ("api-key", "simulated-key"), openai("m")),
        CloudKind::OpenAi => {
            ("/v1/chat/completions".into(), ("authorization", "Bearer simulated-key"), openai("m"))
        }
    }
}

async fn send(cloud: &Cloud, kind: CloudKind, streamed: bool) -> reqwest::Result<reqwest::Response> {
    let (path, (name, key), body) = request(kind, streamed);
    client().post(format!("{}{path}", cloud.url())).header(name, key).body(body.to_string()).send().await
}

/// Asks OpenAI over a connection of its own, to be dropped at will.
async fn ask_raw(cloud: &Cloud, streamed: bool) -> TcpStream {
    let (path, (name, key), body) = request(CloudKind::OpenAi, streamed);
    let body = body.to_string();
    let length = body.len();
    let text =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\n{name}: {key}\r\ncontent-length: {length}\r\n\r\n{body}");
    let mut stream = TcpStream::connect(cloud.addr()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Waits until the cloud has counted what the test waits for.
async fn until(cloud: &Cloud, counted: impl Fn(aigate_sim::Stats) -> bool) {
    let waiting = async {
        while !counted(cloud.stats()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
}

#[tokio::test]
async fn throttling_is_told_in_each_vendors_way() {
    let retry_after = Some(Duration::from_millis(1500));
    for kind in KINDS {
        let cloud = cloud(kind).await;
        cloud.set_fault_times(Fault::Throttled { retry_after }, 1);
        let response = send(&cloud, kind, false).await.unwrap();
        assert_eq!(response.status(), 429);
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (seconds, millis) = (header("retry-after"), header("retry-after-ms"));
        let error = header("x-amzn-errortype");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        match kind {
            CloudKind::Google => {
                assert_eq!(seconds, None);
                assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
                assert_eq!(body["error"]["details"][0]["retryDelay"], "1.500s");
            }
            CloudKind::Aws => {
                assert!(error.unwrap().starts_with("ThrottlingException:"));
                assert!(body["message"].is_string());
            }
            CloudKind::Azure | CloudKind::OpenAi => {
                assert_eq!((seconds.as_deref(), millis.as_deref()), (Some("2"), Some("1500")));
                assert!(body["error"]["code"].is_string());
            }
        }
        assert_eq!(send(&cloud, kind, false).await.unwrap().status(), 200);
        assert_eq!((cloud.stats().seen, cloud.stats().refused, cloud.stats().faulted), (2, 1, 1));
    }
}

#[tokio::test]
async fn server_errors_keep_their_status() {
    for kind in KINDS {
        let cloud = cloud(kind).await;
        cloud.set_fault(Some(Fault::ServerError { status: 503 }));
        assert_eq!(send(&cloud, kind, false).await.unwrap().status(), 503);
        cloud.set_fault(Some(Fault::ServerError { status: 200 }));
        assert_eq!(send(&cloud, kind, true).await.unwrap().status(), 500);
    }
}

#[tokio::test]
async fn cut_answers_break_off() {
    for kind in KINDS {
        let cloud = cloud(kind).await;
        cloud.set_fault(Some(Fault::CutMidStream { after_chunks: 2 }));
        for streamed in [false, true] {
            let mut response = send(&cloud, kind, streamed).await.unwrap();
            assert_eq!(response.status(), 200);
            let mut got = 0;
            let ended = loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => got += chunk.len(),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            assert!(ended.is_err() && got > 0, "{kind:?} {streamed}");
        }
        until(&cloud, |stats| stats.in_flight == 0).await;
        let stats = cloud.stats();
        assert_eq!((stats.answered, stats.faulted, stats.abandoned_mid_stream), (0, 2, 0));
    }
}

#[tokio::test]
async fn streams_that_end_early_lack_their_final_event() {
    for kind in KINDS {
        let cloud = cloud(kind).await;
        for after_chunks in [0, 1, 1000] {
            cloud.set_fault(Some(Fault::EndEarly { after_chunks }));
            let bytes = send(&cloud, kind, true).await.unwrap().bytes().await.unwrap();
            if kind == CloudKind::Aws {
                let names: Vec<_> =
                    aws::frames(&bytes).unwrap().into_iter().map(|(_, name, _)| name).collect();
                assert!(!names.iter().any(|name| name == "messageStop"), "{names:?}");
                continue;
            }
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(!text.contains("finishReason") && !text.contains("[DONE]"), "{text}");
            assert_eq!(text.is_empty(), after_chunks == 0);
        }
        cloud.set_fault(Some(Fault::EndEarly { after_chunks: 0 }));
        let whole = send(&cloud, kind, false).await.unwrap().text().await.unwrap();
        assert!(serde_json::from_str::<Value>(&whole).is_ok());
    }
}

#[tokio::test]
async fn malformed_answers_cannot_be_read() {
    for kind in KINDS {
        let cloud = cloud(kind).await;
        cloud.set_fault(Some(Fault::Malformed));
        let whole = send(&cloud, kind, false).await.unwrap();
        assert_eq!(whole.status(), 200);
        assert!(serde_json::from_str::<Value>(&whole.text().await.unwrap()).is_err());
        let stream = send(&cloud, kind, true).await.unwrap().bytes().await.unwrap();
        if kind == CloudKind::Aws {
            assert_eq!(aws::frames(&stream), Err("message checksum"));
            continue;
        }
        let events = super::events(core::str::from_utf8(&stream).unwrap());
        assert!(serde_json::from_str::<Value>(&events[0]).is_ok());
        assert!(serde_json::from_str::<Value>(&events[1]).is_err());
    }
}

#[tokio::test]
async fn errors_can_hide_in_a_200() {
    for kind in KINDS {
        let cloud = cloud(kind).await;
        cloud.set_fault(Some(Fault::ErrorInside200));
        let whole = send(&cloud, kind, false).await.unwrap();
        assert_eq!(whole.status(), 200);
        let whole: Value = serde_json::from_str(&whole.text().await.unwrap()).unwrap();
        let stream = send(&cloud, kind, true).await.unwrap();
        assert_eq!(stream.status(), 200);
        let stream = stream.bytes().await.unwrap();
        if kind == CloudKind::Aws {
            assert!(whole["Output"]["__type"].as_str().unwrap().ends_with("#ThrottlingException"));
            let frames = aws::frames(&stream).unwrap();
            assert_eq!((frames[0].0.as_str(), frames[0].1.as_str()), ("exception", "throttlingException"));
        } else {
            assert!(whole["error"]["message"].is_string());
            let events = json_events(core::str::from_utf8(&stream).unwrap());
            assert!(events[0]["error"]["message"].is_string());
        }
    }
}

#[tokio::test]
async fn refused_connections_close_without_an_answer() {
    let cloud = cloud(CloudKind::OpenAi).await;
    cloud.set_fault(Some(Fault::Refused));
    assert!(send(&cloud, CloudKind::OpenAi, false).await.is_err());
    cloud.set_fault(None);
    // A connection that is open already closes as well.
    let keep = client();
    let (path, (name, key), body) = request(CloudKind::OpenAi, false);
    let ask = || keep.post(format!("{}{path}", cloud.url())).header(name, key).body(body.to_string()).send();
    ask().await.unwrap().text().await.unwrap();
    cloud.set_fault(Some(Fault::Refused));
    assert!(ask().await.is_err());
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_by_how_far_it_came() {
    let slow = Options { chunk_delay: Duration::from_secs(60), ..Options::default() };
    let cloud = start(CloudKind::OpenAi, slow).await.unwrap();
    cloud.set_fault(Some(Fault::Hang));
    let before_head = ask_raw(&cloud, true).await;
    until(&cloud, |stats| stats.in_flight == 1).await;
    drop(before_head);
    until(&cloud, |stats| stats.abandoned_before_head == 1).await;

    cloud.set_fault(Some(Fault::SlowFirstByte(Duration::from_secs(60))));
    let mut before_chunk = ask_raw(&cloud, true).await;
    let mut buffer = [0; 4096];
    let read = before_chunk.read(&mut buffer).await.unwrap();
    assert!(String::from_utf8_lossy(&buffer[..read]).contains("200 OK"));
    drop(before_chunk);
    until(&cloud, |stats| stats.abandoned_before_first_chunk == 1).await;

    cloud.set_fault(None);
    let mut mid_stream = ask_raw(&cloud, true).await;
    let mut got = String::new();
    while !got.contains("data: ") {
        let read = mid_stream.read(&mut buffer).await.unwrap();
        got.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    drop(mid_stream);
    until(&cloud, |stats| stats.abandoned_mid_stream == 1 && stats.in_flight == 0).await;
    assert_eq!((cloud.stats().seen, cloud.stats().streams_begun, cloud.stats().answered), (3, 2, 0));
}

#[tokio::test]
async fn a_late_whole_answer_has_a_late_head() {
    let cloud = cloud(CloudKind::OpenAi).await;
    cloud.set_fault(Some(Fault::SlowFirstByte(Duration::from_secs(60))));
    let stream = ask_raw(&cloud, false).await;
    until(&cloud, |stats| stats.in_flight == 1).await;
    drop(stream);
    until(&cloud, |stats| stats.abandoned_before_head == 1).await;
}

#[tokio::test]
async fn a_chance_strikes_some_and_spares_some() {
    let cloud = cloud(CloudKind::OpenAi).await;
    cloud.set_fault_chance(Fault::ServerError { status: 500 }, 0.5);
    for _ in 0..40 {
        send(&cloud, CloudKind::OpenAi, false).await.unwrap();
    }
    let stats = cloud.stats();
    assert!(stats.refused > 5 && stats.refused < 35, "{stats:?}");
}

#[tokio::test]
async fn requests_can_be_kept_for_inspection() {
    let cloud = start(CloudKind::OpenAi, Options { keep_requests: 1, ..Options::default() }).await.unwrap();
    send(&cloud, CloudKind::OpenAi, false).await.unwrap();
    send(&cloud, CloudKind::OpenAi, true).await.unwrap();
    let requests = cloud.requests();
    assert_eq!((requests.len(), requests[0].path.as_str()), (1, "/v1/chat/completions"));
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(body["stream"], true);
}

#[tokio::test]
async fn token_endpoints_have_faults_of_their_own() {
    let cloud = cloud(CloudKind::Azure).await;
    cloud.set_token_fault(Some(Fault::ServerError { status: 503 }));
    let response = client().post(format!("{}/t/oauth2/v2.0/token", cloud.url())).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(send(&cloud, CloudKind::Azure, false).await.unwrap().status(), 200);
    assert_eq!((cloud.stats().seen, cloud.stats().token_requests), (1, 1));
}
