//! Golden files both ways, through a server on loopback; refusals, tokens, and the check of a deployment's form.

use std::sync::Arc;

use aigate_contract::{
    Call, ErrorKind, OnUnsupported, Predict, Provider, Result, Serve, Target,
    predict::{FormConfig, Input, Output, PredictReply, PredictRequest, Signature},
    settings::Fault,
};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Google,
    chat::tests::{call, golden, google_with, refusal},
    stub::{Answer, Seen, Stub},
};

fn target(case: &Value) -> Result<Target, Vec<Fault>> {
    let inputs: Vec<Input> = serde_json::from_value(case["inputs"].clone()).unwrap();
    let outputs: Vec<Output> = serde_json::from_value(case["outputs"].clone()).unwrap();
    let config: FormConfig = serde_json::from_value(case["wire"].clone()).unwrap();
    let usual = google_with(json!({"project": "p"})).usual_body();
    let form = config.resolve(&Signature { inputs, outputs }, usual)?;
    let on_unsupported = if case["drop"] == true { OnUnsupported::Drop } else { OnUnsupported::Refuse };
    let (version, form) = (Some("7".into()), Some(Arc::new(form)));
    Ok(Target { version, form, on_unsupported, ..Target::new("google", case["target"].as_str().unwrap()) })
}

fn case(wire: Value) -> Value {
    json!({"target": "endpoints/123", "wire": wire, "inputs": [{"name": "age", "datatype": "INT64"}],
        "outputs": [{"name": "score", "datatype": "FP64"}, {"name": "base", "datatype": "FP64", "on_request": true}],
        "request": {"inputs": [{"name": "age", "datatype": "INT64", "shape": [1], "data": [41]}]}})
}

fn predict(case: &Value) -> Call<Predict> {
    let body = Bytes::from(case["request"].to_string());
    let request = PredictRequest::parse("credit", None, &body, None).unwrap();
    Call { target: Arc::new(target(case).unwrap()), ..call(request, "", OnUnsupported::Refuse) }
}

fn vertex(stub: &Stub) -> Arc<Google> {
    google_with(
        json!({"project": "p", "location": "europe-west4", "base_url": stub.url, "token_url": stub.url}),
    )
}

/// A cloud that gives tokens `t0`, `t1`, …, and one answer.
async fn cloud(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Stub {
    Stub::start(move |seen, before| match seen.line.starts_with("GET") {
        true => Answer::new(200, json!({"access_token": format!("t{before}"), "expires_in": 3600})),
        false => answer(seen),
    })
    .await
}

fn told(case: &Value) -> Answer {
    let told = &case["answer"];
    let body = told["body"].as_str().map_or_else(|| told["body"].to_string(), str::to_owned);
    let status = told["status"].as_u64().map_or(200, |status| status.try_into().unwrap());
    let headers = told["headers"].as_str().unwrap_or_default().to_owned();
    Answer { headers, ..Answer::new(status, body) }
}

fn sent(seen: &Seen) -> Value {
    let body = serde_json::from_str(&seen.body).unwrap_or_else(|_| Value::from(seen.body.as_str()));
    let (sent, wanted) = (seen.header("content-type"), seen.header("accept"));
    json!({"line": seen.line, "content_type": sent, "accept": wanted, "body": body})
}

fn shown(reply: &PredictReply, request: &PredictRequest) -> Value {
    let packed = reply.write(request).unwrap();
    serde_json::from_slice(&packed.body).unwrap()
}

#[tokio::test]
async fn each_form_becomes_vertex_ai_s_and_its_answer_becomes_tensors() {
    golden("predict", async |case| {
        let mut made = case.clone();
        let known = ["target", "wire", "drop", "inputs", "outputs", "request", "answer"];
        made.as_object_mut().unwrap().retain(|name, _| known.contains(&name.as_str()));
        let answer = told(case);
        let stub = cloud(move |_| answer.clone()).await;
        let mut there = case.clone();
        if let Some(host) = case["wire"]["host"].as_str() {
            there["wire"]["host"] = host.replace("STUB", &stub.url).into();
        }
        let call = predict(&there);
        match vertex(&stub).serve(call.clone()).await {
            Ok(reply) => {
                assert_eq!(reply.facts.usage.as_ref().unwrap().rows, Some(2));
                made["reply"] = shown(&reply, &call.request);
            }
            Err(error) => {
                assert!(error.target().is_some());
                made["refused"] = refusal(&error);
            }
        }
        if let Some(seen) = stub.seen().iter().find(|seen| seen.line.starts_with("POST")) {
            made["sent"] = sent(seen);
        }
        let dropped = call.trail.dropped();
        if !dropped.is_empty() {
            made["dropped"] = json!(dropped);
        }
        made
    })
    .await;
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_trace_is_handed_on() {
    let stub = cloud(|seen| match seen.header("authorization") {
        "Bearer t0" => Answer::new(401, json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}})),
        _ => Answer::new(200, json!({"predictions": [0.5]})),
    })
    .await;
    let google = vertex(&stub);
    for _ in 0..2 {
        google.serve(predict(&case(json!({})))).await.unwrap();
    }
    let seen = stub.seen();
    let calls: Vec<&Seen> = seen.iter().filter(|seen| seen.line.starts_with("POST")).collect();
    assert_eq!(calls.len(), 3);
    assert!(calls[1..].iter().all(|seen| seen.header("authorization") == "Bearer t2"));
    assert!(calls.iter().all(|seen| seen.header("traceparent") == "00-trace-span-01"));
    assert_eq!(calls[0].body, calls[1].body);
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    for (status, body, kind) in [
        (
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"bad instance"}}"#,
            ErrorKind::Invalid,
        ),
        (401, "", ErrorKind::Denied),
        (403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}"#, ErrorKind::Denied),
        (404, r#"{"error":{"code":404,"status":"NOT_FOUND","message":"no endpoint"}}"#, ErrorKind::Missing),
        (413, "", ErrorKind::TooLarge),
        (
            429,
            r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"quota"}}"#,
            ErrorKind::Throttled,
        ),
        (500, "the container crashed", ErrorKind::Unavailable),
        (
            503,
            r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"not ready"}}"#,
            ErrorKind::Unavailable,
        ),
        (504, "", ErrorKind::Timeout),
        (200, "not json", ErrorKind::Malformed),
    ] {
        let stub = cloud(move |_| Answer::new(status, body)).await;
        let error = vertex(&stub).serve(predict(&case(json!({})))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert_eq!(error.status().is_some(), status != 200, "{error}");
    }
}

#[tokio::test]
async fn a_length_that_is_none_is_not_believed() {
    let answer = json!({"outputs": [{"name": "score", "datatype": "FP64", "shape": [1], "data": [0.5]}]});
    let length = |text: &str| format!("inference-header-content-length: {text}\r\n");
    let right = answer.to_string().len().to_string();
    for (text, good) in [(right.as_str(), true), ("-1", false), ("99999999", false), ("x", false)] {
        let (headers, answer) = (length(text), answer.clone());
        let stub = cloud(move |_| Answer { headers: headers.clone(), ..Answer::new(200, &answer) }).await;
        let reply = vertex(&stub).serve(predict(&case(json!({"body": "oip"})))).await;
        match reply {
            Ok(reply) => assert!(good, "{text} {reply:?}"),
            Err(error) => assert!(!good && error.kind() == ErrorKind::Malformed, "{text} {error}"),
        }
    }
}

#[test]
fn a_form_that_vertex_ai_cannot_have_is_refused_when_the_config_is_loaded() {
    let google = google_with(json!({"project": "p"}));
    let faults = |wire: Value| -> Vec<String> {
        let faults = google.check_form(&target(&case(wire)).unwrap()).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.path).collect()
    };
    for body in ["instances", "csv", "json", "json_lines", "oip"] {
        assert_eq!(
            faults(json!({"body": body, "host": "1.eu-2.prediction.vertexai.goog"})),
            [""; 0],
            "{body}"
        );
    }
    assert_eq!(
        faults(json!({"body": "input_data", "variant": "v", "target_model": "m", "inference_component": "c",
            "azureml_deployment": "blue", "path": "/score", "host": "a b"})),
        ["body", "variant", "target_model", "inference_component", "azureml_deployment", "path", "host"]
    );
}

#[test]
fn only_vertex_ai_predicts_and_only_endpoints_can_be_asked() {
    let vertex = google_with(json!({"project": "p"}));
    assert!(Arc::clone(&vertex).offers().predict.is_some());
    assert_eq!(vertex.system("predict"), "gcp.vertex_ai");
    for (target, good) in [("endpoints/1", true), ("1", true), ("gemini-2.5-flash", false), ("", false)] {
        assert_eq!(vertex.check_target("predict", target).is_ok(), good, "{target}");
    }
    let gemini = google_with(json!({"api_key": "k"}));
    assert!(Arc::clone(&gemini).offers().predict.is_none());
    let why = gemini.check_target("predict", "endpoints/1").unwrap_err();
    assert!(why.contains("Vertex AI"), "{why}");
}
