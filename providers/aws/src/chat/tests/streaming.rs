//! Streams cut, broken and refused at every place.

use aigate_contract::{ChatStream, Error, ErrorKind, Result, Serve, chat::ChunkStream};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::testing::{Answer, chat, event, frame, keys, played};

fn frames() -> Vec<Bytes> {
    vec![
        event("messageStart", &json!({"role": "assistant"})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": "häl"}})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": "lo"}})),
        event("contentBlockStop", &json!({"contentBlockIndex": 0})),
        event(
            "contentBlockStart",
            &json!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}),
        ),
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"a\""}}}),
        ),
        event("contentBlockDelta", &json!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": ":1}"}}})),
        event("contentBlockStop", &json!({"contentBlockIndex": 1})),
        event("messageStop", &json!({"stopReason": "tool_use"})),
        event(
            "metadata",
            &json!({"usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}, "metrics": {"latencyMs": 5}}),
        ),
    ]
}

async fn serve(answer: Answer) -> Result<ChunkStream> {
    let (aws, _) = played(keys(), [answer.with("x-amzn-requestid", "r")]);
    aws.serve(chat::<ChatStream>("amazon.nova-lite-v1:0", &body(), false)).await
}

fn body() -> Value {
    json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]})
}

/// The chunks' JSON without their time, and the error that ended them.
async fn drain(stream: ChunkStream) -> (Vec<Value>, Option<Error>) {
    let (mut chunks, mut error) = (Vec::new(), None);
    for item in stream.collect::<Vec<_>>().await {
        assert!(error.is_none(), "an item after the error");
        match item {
            Ok(chunk) => {
                let mut chunk: Value = serde_json::from_slice(&chunk.json).unwrap();
                chunk["created"] = json!(0);
                chunks.push(chunk);
            }
            Err(broken) => error = Some(broken),
        }
    }
    (chunks, error)
}

#[tokio::test]
async fn a_stream_split_at_every_byte_gives_the_same_chunks() {
    let whole = Bytes::from(frames().concat());
    let bytes = (0..whole.len()).map(|index| whole.slice(index..=index)).collect();
    let halves = (1..whole.len()).map(|cut| vec![whole.slice(..cut), whole.slice(cut..)]);
    let cuts: Vec<Vec<Bytes>> = [vec![whole.clone()], bytes].into_iter().chain(halves).collect();
    let answers = cuts.iter().map(|pieces| Answer::stream(pieces.clone()).with("x-amzn-requestid", "r"));
    let (aws, _) = played(keys(), answers);
    let call = chat::<ChatStream>("amazon.nova-lite-v1:0", &body(), false);
    let mut wanted = None;
    for (number, _) in cuts.iter().enumerate() {
        let (chunks, error) = drain(aws.serve(call.clone()).await.unwrap()).await;
        assert!(error.is_none(), "cut {number}: {error:?}");
        assert_eq!(chunks.len(), 8);
        assert_eq!(&chunks, wanted.get_or_insert_with(|| chunks.clone()), "cut {number}");
    }
}

/// What came of a stream that was cut.
async fn outcome(answer: Answer) -> (usize, Option<ErrorKind>) {
    match serve(answer).await {
        Err(error) => (0, Some(error.kind())),
        Ok(stream) => {
            let (chunks, error) = drain(stream).await;
            (chunks.len(), error.map(|error| error.kind()))
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_before_its_final_event_is_interrupted_wherever_it_ends() {
    let all = frames();
    for count in 0..all.len() {
        let kept = &all[..count];
        let finished = count == all.len() - 1;
        let (_, clean) = outcome(Answer::stream(kept.to_vec())).await;
        // The last frame tells the usage alone: without it the answer is whole and its usage unknown.
        assert_eq!(clean, (!finished).then_some(ErrorKind::Interrupted), "clean end after {count} frames");
        let (_, broken) = outcome(Answer::stream(kept.to_vec()).breaking()).await;
        assert_eq!(broken, Some(ErrorKind::Interrupted), "broken after {count} frames");
        let half = all[count].slice(..all[count].len() / 2);
        let (_, inside) = outcome(Answer::stream([kept, &[half]].concat())).await;
        assert_eq!(inside, Some(ErrorKind::Interrupted), "cut inside frame {count}");
    }
}

#[tokio::test]
async fn an_exception_before_the_first_content_is_an_ordinary_error() {
    for (kind, wanted) in [
        ("throttlingException", ErrorKind::Throttled),
        ("modelStreamErrorException", ErrorKind::Interrupted),
        ("internalServerException", ErrorKind::Unavailable),
        ("serviceUnavailableException", ErrorKind::Unavailable),
        ("validationException", ErrorKind::Invalid),
    ] {
        let start = event("messageStart", &json!({"role": "assistant"}));
        let exception = frame("exception", kind, &json!({"message": "not now"}));
        let Err(error) = serve(Answer::stream(vec![start, exception])).await else {
            panic!("{kind} was no error");
        };
        assert_eq!(error.kind(), wanted, "{kind}");
        assert!(error.message().contains("not now"), "{error}");
        assert!(error.code().is_some_and(|code| code.eq_ignore_ascii_case(kind)), "{error:?}");
    }
}

#[tokio::test]
async fn an_exception_after_content_is_the_stream_s_last_item() {
    let mut pieces = frames()[..3].to_vec();
    pieces.push(frame("exception", "throttlingException", &json!({"message": "slow down"})));
    let (chunks, error) = drain(serve(Answer::stream(pieces)).await.unwrap()).await;
    assert_eq!(chunks.len(), 3);
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Throttled));
}

#[tokio::test]
async fn a_damaged_frame_is_malformed_and_never_a_chunk() {
    let mut damaged = frames()[2].to_vec();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    let pieces = [&frames()[..2], &[Bytes::from(damaged)]].concat();
    let (chunks, error) = drain(serve(Answer::stream(pieces)).await.unwrap()).await;
    assert_eq!(chunks.len(), 2);
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Malformed));
}

#[tokio::test]
async fn an_event_of_an_unknown_kind_changes_nothing() {
    let mut pieces = frames();
    pieces.insert(2, event("somethingNew", &json!({"x": 1})));
    let (chunks, error) = drain(serve(Answer::stream(pieces)).await.unwrap()).await;
    assert!(error.is_none());
    assert_eq!(chunks, drain(serve(Answer::stream(frames())).await.unwrap()).await.0);
}

#[tokio::test]
async fn a_picture_in_the_stream_is_refused_rather_than_left_out() {
    let start = json!({"contentBlockIndex": 0, "start": {"image": {"format": "png"}}});
    let pieces =
        vec![event("messageStart", &json!({"role": "assistant"})), event("contentBlockStart", &start)];
    let Err(error) = serve(Answer::stream(pieces)).await else { panic!("no error") };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
