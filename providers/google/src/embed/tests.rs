//! Each embedding method against a server on loopback.

use aigate_contract::{Embed, ErrorKind, OnUnsupported, Result, Serve, embed::EmbedRequest};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    chat::tests::{call, google_with},
    stub::{Answer, Stub},
};

/// A Vertex AI whose tokens come from the same server.
async fn vertex(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Stub {
    Stub::start(move |seen, _| match seen.line.as_str() {
        line if line.starts_with("GET") => Answer::new(200, json!({"access_token": "t", "expires_in": 3600})),
        _ => Answer::new(200, answer(&serde_json::from_str(&seen.body).unwrap())),
    })
    .await
}

async fn embed(stub: &Stub, key: bool, model: &str, request: Value) -> Result<Value> {
    let request = EmbedRequest::parse(Bytes::from(request.to_string())).unwrap();
    let google = match key {
        true => google_with(json!({"api_key": "k", "base_url": stub.url})),
        false => google_with(json!({"project": "p", "base_url": stub.url, "token_url": stub.url})),
    };
    let reply = google.serve(call::<Embed>(request, model, OnUnsupported::Refuse)).await?;
    Ok(serde_json::from_slice(&reply.json).unwrap())
}

/// The bodies sent to the model, with the last part of the path.
fn sent(stub: &Stub) -> Vec<(String, Value)> {
    let calls = stub.seen().into_iter().filter(|seen| seen.line.starts_with("POST"));
    let place = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
    calls.map(|seen| (place(&seen.line), serde_json::from_str(&seen.body).unwrap())).collect()
}

fn predictions(body: &Value) -> Value {
    let one = |instance: &Value| {
        let length = instance["content"].as_str().unwrap().len();
        json!({"embeddings": {"values": [length as f64, 0.5], "statistics": {"token_count": 2.0, "truncated": false}}})
    };
    json!({"predictions": body["instances"].as_array().unwrap().iter().map(one).collect::<Vec<_>>()})
}

#[tokio::test]
async fn many_texts_go_in_one_prediction_and_nothing_is_cut_in_silence() {
    let stub = vertex(predictions).await;
    let request = json!({"model": "m", "input": ["a", "bb"], "dimensions": 2});
    let reply = embed(&stub, false, "text-embedding-005", request).await.unwrap();
    assert_eq!(
        sent(&stub),
        [(
            "text-embedding-005:predict".to_owned(),
            json!({"instances": [{"content": "a"}, {"content": "bb"}],
                "parameters": {"autoTruncate": false, "outputDimensionality": 2}})
        )]
    );
    assert_eq!(
        reply,
        json!({"object": "list", "model": "text-embedding-005",
            "data": [{"object": "embedding", "index": 0, "embedding": [1.0, 0.5]},
                {"object": "embedding", "index": 1, "embedding": [2.0, 0.5]}],
            "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    );
}

#[tokio::test]
async fn a_long_list_is_split_and_comes_back_in_order() {
    let stub = vertex(predictions).await;
    let texts: Vec<_> = (1..=300).map(|length| "x".repeat(length)).collect();
    let reply =
        embed(&stub, false, "text-embedding-005", json!({"model": "m", "input": texts})).await.unwrap();
    assert_eq!(sent(&stub).len(), 2);
    let firsts: Vec<_> =
        reply["data"].as_array().unwrap().iter().map(|item| item["embedding"][0].as_f64()).collect();
    assert_eq!(firsts, (1..=300).map(|length| Some(f64::from(length))).collect::<Vec<_>>());
}

#[tokio::test]
async fn gemini_embedding_001_takes_one_text_at_a_time() {
    let stub = vertex(predictions).await;
    let request = json!({"model": "m", "input": ["a", "bb", "ccc"]});
    let reply = embed(&stub, false, "gemini-embedding-001", request).await.unwrap();
    assert_eq!(sent(&stub).len(), 3);
    assert_eq!(reply["data"][2]["embedding"][0], 3.0);
    assert_eq!(reply["usage"]["prompt_tokens"], 6);
}

#[tokio::test]
async fn newer_gemini_models_embed_content() {
    let stub =
        vertex(|_| json!({"embedding": {"values": [0.1]}, "usageMetadata": {"promptTokenCount": 3}})).await;
    let request = json!({"model": "m", "input": "a", "dimensions": 1});
    let reply = embed(&stub, false, "gemini-embedding-2", request).await.unwrap();
    assert_eq!(
        sent(&stub),
        [(
            "gemini-embedding-2:embedContent".to_owned(),
            json!({"content": {"parts": [{"text": "a"}]},
                "embedContentConfig": {"autoTruncate": false, "outputDimensionality": 1}})
        )]
    );
    assert_eq!(reply["usage"]["prompt_tokens"], 3);
}

#[tokio::test]
async fn the_multimodal_model_embeds_text_and_tells_no_usage() {
    let stub = vertex(|_| json!({"predictions": [{"textEmbedding": [0.25]}], "deployedModelId": "1"})).await;
    let request = json!({"model": "m", "input": "a", "dimensions": 128});
    let reply = embed(&stub, false, "multimodalembedding@001", request).await.unwrap();
    let body = json!({"instances": [{"text": "a"}], "parameters": {"dimension": 128}});
    assert_eq!(sent(&stub), [("multimodalembedding@001:predict".to_owned(), body)]);
    assert_eq!(reply["data"][0]["embedding"], json!([0.25]));
    assert!(reply.get("usage").is_none());
}

#[tokio::test]
async fn the_gemini_api_embeds_batches_of_a_hundred() {
    let stub = Stub::start(|seen, _| {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        let count = body["requests"].as_array().unwrap().len();
        Answer::new(200, json!({"embeddings": vec![json!({"values": [0.5]}); count]}))
    })
    .await;
    let request = json!({"model": "m", "input": vec!["a"; 101], "dimensions": 1, "user": "u"});
    let reply = embed(&stub, true, "gemini-embedding-001", request).await.unwrap();
    assert_eq!(reply["data"].as_array().unwrap().len(), 101);
    assert!(reply.get("usage").is_none());
    let sent = sent(&stub);
    assert_eq!(sent.len(), 2);
    let (place, body) = sent.iter().min_by_key(|(_, body)| body.to_string().len()).unwrap();
    assert_eq!(place, "gemini-embedding-001:batchEmbedContents");
    assert_eq!(
        *body,
        json!({"requests": [{"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]},
            "outputDimensionality": 1}]})
    );
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    for (answer, kind) in [
        (json!({"predictions": []}), ErrorKind::Malformed),
        (json!({"predictions": [{"embeddings": {"values": []}}]}), ErrorKind::Malformed),
        (
            json!({"predictions": [{"embeddings": {"values": [1.0], "statistics": {"truncated": true}}}]}),
            ErrorKind::TooLarge,
        ),
        (json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}), ErrorKind::Throttled),
    ] {
        let stub = vertex(move |_| answer.clone()).await;
        let error =
            embed(&stub, false, "text-embedding-005", json!({"model": "m", "input": "a"})).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn tokens_and_unknown_fields_are_refused_by_name() {
    let stub = vertex(predictions).await;
    for (request, param) in [
        (json!({"model": "m", "input": [1, 2]}), "input"),
        (json!({"model": "m", "input": "a", "input_type": "query"}), "input_type"),
    ] {
        let error = embed(&stub, false, "text-embedding-005", request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.param(), Some(param));
    }
    assert!(stub.seen().is_empty());
}
