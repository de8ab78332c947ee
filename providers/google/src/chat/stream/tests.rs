//! Golden streams: events in, chunks out, and how they end.

use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::*;
use crate::chat::tests::{golden, refusal};

fn events(events: &Value) -> impl Stream<Item = Result<Event>> + Send + Unpin + 'static + use<> {
    let events: Vec<_> = events.as_array().unwrap().iter().map(Value::to_string).collect();
    stream::iter(events.into_iter().map(|text| Ok(Event { name: None, data: Bytes::from(text) })))
}

#[tokio::test]
async fn streams_become_openai_s() {
    golden("streams", async |case| {
        let mut made = json!({"events": case["events"]});
        let chunks = match start(events(&case["events"]), "asked-for".to_owned(), 1).await {
            Ok(chunks) => chunks.collect::<Vec<_>>().await,
            Err(error) => {
                made["refused"] = refusal(&error);
                return made;
            }
        };
        let show = |chunk: &Result<ChatChunk>| match chunk {
            Ok(chunk) => serde_json::from_slice(&chunk.json).unwrap(),
            Err(error) => json!({"error": refusal(error)}),
        };
        made["chunks"] = chunks.iter().map(show).collect();
        made
    })
    .await;
}

#[tokio::test]
async fn facts_are_told_beside_the_json() {
    let given = json!([{"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 1}}]);
    let chunks = start(events(&given), "m".to_owned(), 1).await.unwrap().collect::<Vec<_>>().await;
    let chunks: Vec<_> = chunks.into_iter().map(Result::unwrap).collect();
    assert_eq!(chunks.iter().flat_map(|chunk| &chunk.finish).collect::<Vec<_>>(), [&FinishReason::Stop]);
    let last = chunks.last().unwrap();
    assert!(last.usage_only);
    assert_eq!(last.usage.as_ref().unwrap().output, Some(1));
}

#[tokio::test]
async fn an_event_that_is_not_json_is_malformed() {
    let broken = || stream::iter([Ok(Event { name: None, data: Bytes::from_static(b"{oops") })]);
    assert_eq!(start(broken(), "m".to_owned(), 1).await.err().unwrap().kind(), ErrorKind::Malformed);
    let given = json!([{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}]);
    let chunks = start(events(&given).chain(broken()), "m".to_owned(), 1).await.unwrap();
    let last = chunks.collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!(last.unwrap_err().kind(), ErrorKind::Malformed);
}
