//! Embeddings against a played Bedrock.

use aigate_contract::{Error, ErrorKind, Serve};
use serde_json::{Value, json};

use crate::testing::{Answer, check_golden, embed, goldens, keys, played};

#[tokio::test]
async fn requests_and_answers_have_each_model_s_own_form() {
    for (path, golden) in goldens("embed") {
        let answers = golden["answers"].as_array().unwrap().iter().map(|answer| {
            let plain = Answer::json(200, &answer["body"]);
            match answer["tokens"].as_str() {
                Some(tokens) => plain.with("x-amzn-bedrock-input-token-count", tokens),
                None => plain,
            }
        });
        let (aws, bedrock) = played(keys(), answers);
        let target = golden["target"].as_str().unwrap();
        let reply = aws.serve(embed(target, &golden["request"])).await.unwrap();
        let reply: Value = serde_json::from_slice(&reply.json).unwrap();
        check_golden(&path, &golden, "reply", &reply);
        let asked: Vec<Value> =
            bedrock.asked().iter().map(|asked| json!([asked.uri, asked.json()])).collect();
        check_golden(&path, &golden, "wire", &json!(asked));
    }
}

#[tokio::test]
async fn a_hundred_texts_go_to_cohere_in_two_requests_and_come_back_in_order() {
    let vectors = |from: usize, to: usize| -> Vec<Vec<f64>> { (from..to).map(|n| vec![n as f64]).collect() };
    let answers = [(0, 96, "96"), (96, 100, "4")].map(|(from, to, tokens)| {
        Answer::json(200, &json!({"embeddings": vectors(from, to)}))
            .with("x-amzn-bedrock-input-token-count", tokens)
    });
    let (aws, bedrock) = played(keys(), answers);
    let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let call = embed("cohere.embed-english-v3", &json!({"model": "m", "input": texts}));
    let reply: Value = serde_json::from_slice(&aws.serve(call).await.unwrap().json).unwrap();
    assert_eq!(bedrock.asked().len(), 2);
    assert_eq!(reply["data"][99]["embedding"], json!([99.0]));
    assert_eq!(reply["usage"]["prompt_tokens"], 100);
}

async fn failed(target: &str, more: Value, answers: Vec<Answer>) -> Error {
    let mut body = json!({"model": "m", "input": "x"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let (aws, _) = played(keys(), answers);
    aws.serve(embed(target, &body)).await.unwrap_err()
}

#[tokio::test]
async fn what_the_model_cannot_do_is_refused_by_name() {
    const TITAN: &str = "amazon.titan-embed-text-v2:0";
    for (target, more, kind, field) in [
        (TITAN, json!({"input": [1, 2]}), ErrorKind::Unsupported, Some("input")),
        (TITAN, json!({"dimensions": 300}), ErrorKind::Unsupported, Some("dimensions")),
        (TITAN, json!({"input_type": "search_query"}), ErrorKind::Unsupported, Some("input_type")),
        ("cohere.embed-english-v3", json!({"dimensions": 256}), ErrorKind::Unsupported, Some("dimensions")),
        ("cohere.embed-v4:0", json!({"input_type": "poem"}), ErrorKind::Invalid, Some("input_type")),
        ("cohere.embed-v4:0", json!({"input_type": 3}), ErrorKind::Invalid, Some("input_type")),
        ("amazon.nova-lite-v1:0", json!({}), ErrorKind::Missing, None),
    ] {
        let error = failed(target, more.clone(), Vec::new()).await;
        assert_eq!((error.kind(), error.param()), (kind, field), "{target} {more}");
    }
}

#[tokio::test]
async fn an_answer_of_another_form_or_number_is_malformed() {
    for body in [json!({"vectors": []}), json!({"embeddings": []}), json!([])] {
        let error = failed("cohere.embed-v4:0", json!({}), vec![Answer::json(200, &body)]).await;
        assert_eq!(error.kind(), ErrorKind::Malformed, "{body}");
    }
}

#[tokio::test]
async fn a_refusal_of_one_part_fails_the_whole() {
    let answers = vec![
        Answer::json(200, &json!({"embedding": [1.0], "inputTextTokenCount": 1})),
        Answer::refusal(429, "ThrottlingException", "slow down"),
    ];
    let error = failed("amazon.titan-embed-text-v2:0", json!({"input": ["a", "b"]}), answers).await;
    assert_eq!(error.kind(), ErrorKind::Throttled);
}
