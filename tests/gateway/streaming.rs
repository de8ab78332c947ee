use aigate_sim::{CloudKind, Fault};
use serde_json::json;

use crate::harness::{Events, House, KINDS, events, name};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_after_its_first_chunk_ends_with_a_typed_error_and_no_done() {
    let house = House::new("[defaults.breaker]\nfailures = 1000\nfailure_ratio = 1.0\n").await;
    for kind in KINDS {
        for fault in [Fault::CutMidStream { after_chunks: 3 }, Fault::EndEarly { after_chunks: 3 }] {
            house.cloud(kind).set_fault(Some(fault.clone()));
            let text = "one two three four five six seven eight nine ten";
            let response = house.ask(name(kind), text, true).await;
            assert_eq!(response.status(), 200, "{kind:?} {fault:?}");
            let body = response.text().await.unwrap();
            let Events { chunks, done } = events(&body);
            assert!(!done, "{kind:?} {fault:?}: {body}");
            let last = chunks.last().unwrap();
            assert_eq!(last["error"]["type"], "server_error", "{kind:?} {fault:?}: {body}");
            assert_eq!(last["error"]["code"], "interrupted", "{kind:?} {fault:?}: {body}");
            assert!(chunks.len() > 1, "what came before the break is delivered: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_is_a_typed_error_and_not_handed_on() {
    let house = House::new("[defaults.breaker]\nfailures = 1000\nfailure_ratio = 1.0\n").await;
    for kind in KINDS {
        house.cloud(kind).set_fault(Some(Fault::Malformed));
        let outcome = house.answer(name(kind), "one two three four", true).await;
        assert!(outcome.is_err(), "{kind:?}: {outcome:?}");
        let outcome = house.answer(name(kind), "one two three four", false).await;
        assert!(outcome.as_ref().is_err_and(|error| error.starts_with("503")), "{kind:?}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_finish_reason_and_a_missing_usage_are_shown_as_what_they_are() {
    let house = House::new("").await;
    for kind in KINDS {
        let body = |stream: bool| {
            json!({ "model": name(kind), "stream": stream,
                "messages": [{ "role": "user", "content": "no-usage\nfinish: NOVEL" }] })
        };
        let whole = house.post("/v1/chat/completions", &body(false)).await.text().await.unwrap();
        let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
        let finish = whole["choices"][0]["finish_reason"].as_str().unwrap();
        assert!(finish.eq_ignore_ascii_case("novel"), "{kind:?}: {whole}");
        assert!(whole.get("usage").is_none_or(serde_json::Value::is_null), "{kind:?}: {whole}");

        let streamed = house.post("/v1/chat/completions", &body(true)).await.text().await.unwrap();
        let Events { chunks, done } = events(&streamed);
        assert!(done, "{kind:?}: {streamed}");
        let finish = chunks.iter().find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).unwrap();
        assert!(finish.eq_ignore_ascii_case("novel"), "{kind:?}: {streamed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_comes_last_for_those_who_ask_and_only_for_them() {
    let house = House::new("").await;
    for kind in KINDS {
        let body = |asked: bool| {
            json!({ "model": name(kind), "stream": true, "stream_options": { "include_usage": asked },
                "messages": [{ "role": "user", "content": "count me" }] })
        };
        let text = house.post("/v1/chat/completions", &body(true)).await.text().await.unwrap();
        let Events { chunks, .. } = events(&text);
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"], json!([]), "{kind:?}: {text}");
        assert_eq!(last["usage"]["prompt_tokens"], 2, "{kind:?}: {text}");

        let text = house.post("/v1/chat/completions", &body(false)).await.text().await.unwrap();
        let told = events(&text).chunks.iter().any(|chunk| chunk["usage"]["prompt_tokens"].is_number());
        assert!(!told, "{kind:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_cloud_s_first_chunk_reaches_the_caller_before_its_last_is_made() {
    let house = House::new("").await;
    let words = "slowly ".to_owned() + &"word ".repeat(40);
    let mut response = house.ask(name(CloudKind::Azure), &words, true).await;
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: "));
    assert_eq!(house.cloud(CloudKind::Azure).stats().in_flight, 1, "the cloud is still talking");
}
