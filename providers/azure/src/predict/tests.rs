//! Golden files both ways, through a server on loopback; keys and tokens, and what is checked when the config is loaded.

use std::{path::PathBuf, sync::Arc};

use aigate_contract::{
    Call, ErrorKind, OnUnsupported, Predict, Provider, Serve, Target,
    predict::{FormConfig, Input, Output, PredictRequest, Signature},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{OnlineEndpoints, build_in};
use crate::stub::{Seen, Stub, call, config};

const SCORED: (u16, &str) = (200, "[0.5]");

fn target(case: &Value) -> Target {
    let inputs: Vec<Input> = serde_json::from_value(case["inputs"].clone()).unwrap();
    let outputs: Vec<Output> = serde_json::from_value(case["outputs"].clone()).unwrap();
    let config: FormConfig = serde_json::from_value(case["wire"].clone()).unwrap();
    let form =
        config.resolve(&Signature { inputs, outputs }, provider("https://x.example").usual_body()).unwrap();
    let on_unsupported = if case["drop"] == true { OnUnsupported::Drop } else { OnUnsupported::Refuse };
    let (version, form) = (Some("7".into()), Some(Arc::new(form)));
    Target { version, form, on_unsupported, ..Target::new("azureml", case["target"].as_str().unwrap()) }
}

fn case(wire: Value) -> Value {
    json!({"target": "credit", "wire": wire, "inputs": [{"name": "age", "datatype": "INT64"}],
        "outputs": [{"name": "score", "datatype": "FP64"}],
        "request": {"inputs": [{"name": "age", "datatype": "INT64", "shape": [1], "data": [41]}]}})
}

fn predict(case: &Value) -> Call<Predict> {
    let body = Bytes::from(case["request"].to_string());
    let request = PredictRequest::parse("credit", None, &body, None).unwrap();
    Call { target: Arc::new(target(case)), ..call(request) }
}

fn build(settings: &Value) -> Result<Arc<OnlineEndpoints>, Vec<String>> {
    let built = build_in(&config(&settings.to_string()), &|_| None);
    built.map_err(|faults| faults.into_iter().map(|fault| fault.path).collect())
}

fn provider(endpoint: &str) -> Arc<OnlineEndpoints> {
    build(&json!({"api": "ml", "endpoint": endpoint, "api_key": "k-secret"})).unwrap()
}

fn sent(seen: &Seen) -> Value {
    let known = ["authorization", "content-type", "accept", "azureml-model-deployment"];
    let headers = seen.headers.iter().filter(|(name, _)| known.contains(&name.as_str()));
    let headers: serde_json::Map<String, Value> =
        headers.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let body = serde_json::from_str(&seen.body).unwrap_or_else(|_| Value::from(seen.body.as_str()));
    json!({"line": seen.line, "headers": headers, "body": body})
}

/// What becomes of a golden file's request and answer.
async fn made(case: &Value) -> Value {
    let known = ["target", "wire", "drop", "inputs", "outputs", "request", "answer"];
    let mut made = case.clone();
    made.as_object_mut().unwrap().retain(|name, _| known.contains(&name.as_str()));
    let told = &case["answer"];
    let body = told["body"].as_str().map_or_else(|| told["body"].to_string(), str::to_owned);
    let status = told["status"].as_u64().map_or(200, |status| status.try_into().unwrap());
    let stub = Stub::start_with(told["headers"].as_str().unwrap_or_default(), &[(status, &body)]).await;
    let call = predict(case);
    match provider(&stub.url).serve(call.clone()).await {
        Ok(reply) => {
            assert_eq!(reply.facts.usage.as_ref().unwrap().rows, Some(2));
            made["reply"] = serde_json::from_slice(&reply.write(&call.request).unwrap().body).unwrap();
        }
        Err(error) => {
            assert!(error.target().is_some());
            made["refused"] = json!({"kind": error.kind().as_str(), "message": error.message(),
                "param": error.param(), "retry_after": error.retry_after().map(|wait| wait.as_secs())});
        }
    }
    if let Some(seen) = stub.seen().first() {
        made["sent"] = sent(seen);
    }
    if !call.trail.dropped().is_empty() {
        made["dropped"] = json!(call.trail.dropped());
    }
    made
}

/// `UPDATE_GOLDEN=1` writes the files anew.
#[tokio::test]
async fn each_form_becomes_azure_ml_s_and_its_answer_becomes_tensors() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/predict");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let known: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let made = made(&known).await;
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&made).unwrap())).unwrap();
        } else {
            assert_eq!(made, known, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_token_for_azure_ml_is_renewed_when_it_is_refused() {
    let token = |name: &str| format!(r#"{{"expires_in":3600,"access_token":"{name}"}}"#);
    let cloud = Stub::start(&[(401, ""), SCORED]).await;
    let entra = Stub::start(&[(200, &token("t1")), (200, &token("t2"))]).await;
    let provider = build(&json!({"api": "ml", "endpoint": cloud.url, "auth": "client_secret",
        "token_url": entra.url, "tenant_id": "t", "client_id": "app", "client_secret": "s3cr3t"}))
    .unwrap();
    for _ in 0..2 {
        provider.serve(predict(&case(json!({})))).await.unwrap();
    }
    let sent: Vec<_> =
        cloud.seen().iter().map(|call| call.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, ["Bearer t1", "Bearer t2", "Bearer t2"]);
    let scopes: Vec<_> = entra.seen().iter().map(|asked| asked.form("scope").unwrap()).collect();
    assert_eq!(scopes, ["https://ml.azure.com/.default"; 2]);
    assert_eq!(cloud.seen()[0].body, cloud.seen()[1].body);
}

#[tokio::test]
async fn a_machine_s_identity_asks_for_azure_ml_s_resource() {
    let cloud = Stub::start(&[SCORED]).await;
    let machine = Stub::start(&[(200, r#"{"expires_in":"3600","access_token":"t"}"#)]).await;
    let settings =
        json!({"api": "ml", "endpoint": cloud.url, "auth": "managed_identity", "token_url": machine.url});
    build(&settings).unwrap().serve(predict(&case(json!({})))).await.unwrap();
    assert!(machine.seen()[0].line.ends_with("resource=https%3A%2F%2Fml.azure.com"), "{:?}", machine.seen());
}

#[tokio::test]
async fn a_refused_key_is_the_call_s_error_at_once() {
    let cloud =
        Stub::start(&[(401, r#"{"error":{"code":"AuthenticationFailed","message":"bad key"}}"#)]).await;
    let error = provider(&cloud.url).serve(predict(&case(json!({})))).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some("AuthenticationFailed")));
    assert_eq!(cloud.seen().len(), 1);
}

#[tokio::test]
async fn a_length_that_is_none_is_not_believed() {
    let answer = r#"{"outputs":[{"name":"score","datatype":"FP64","shape":[1],"data":[0.5]}]}"#;
    for (length, good) in
        [(answer.len().to_string(), true), ("-1".to_owned(), false), ("9999".to_owned(), false)]
    {
        let header = format!("inference-header-content-length: {length}\r\n");
        let cloud = Stub::start_with(&header, &[(200, answer)]).await;
        let reply = provider(&cloud.url).serve(predict(&case(json!({"body": "oip"})))).await;
        assert_eq!(reply.is_ok(), good, "{length} {reply:?}");
    }
}

#[test]
fn a_provider_of_online_endpoints_predicts_and_does_nothing_else() {
    let provider = provider("https://{target}.westeurope.inference.ml.azure.com");
    let told = provider.describe();
    assert_eq!(told.system, "azure.ml");
    assert_eq!(told.endpoint, "https://{target}.westeurope.inference.ml.azure.com");
    assert_eq!(told.credentials, "api key");
    assert!(!format!("{provider:?}").contains("k-secret"));
    assert!(provider.check_target("predict", "credit").is_ok());
    assert!(provider.check_target("predict", "cr edit").is_err());
    assert!(provider.check_target("chat", "credit").unwrap_err().contains("predict"));
    let offers = provider.offers();
    assert!(offers.predict.is_some());
    assert!(offers.chat.is_none() && offers.chat_stream.is_none() && offers.embed.is_none());
}

#[test]
fn the_other_apis_do_not_predict() {
    for api in [json!({"api": "v1"}), json!({"api": "models"})] {
        let mut settings = json!({"endpoint": "https://x.openai.azure.com", "api_key": "k"});
        settings["api"] = api["api"].clone();
        let provider = crate::build(&config(&settings.to_string())).unwrap();
        assert!(provider.check_target("predict", "credit").unwrap_err().contains("`api = \"ml\"`"));
        assert!(provider.offers().predict.is_none());
    }
}

#[test]
fn settings_without_effect_are_refused_all_at_once() {
    assert_eq!(
        build(&json!({"api": "ml", "endpoint": "x", "api_version": "2024-10-21", "stream_usage": false,
            "token_limit_field": "as_sent", "proxy": "::"}))
        .unwrap_err(),
        ["endpoint", "api_version", "stream_usage", "token_limit_field", "", "proxy"]
    );
}

#[test]
fn a_form_that_azure_ml_cannot_have_is_refused_when_the_config_is_loaded() {
    let provider = provider("https://x.example");
    let faults = |wire: Value| -> Vec<String> {
        let faults = provider.check_form(&target(&case(wire))).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.path).collect()
    };
    for body in ["input_data", "csv", "json", "json_lines", "oip"] {
        let wire = json!({"body": body, "path": "/v2/models/m/infer", "azureml_deployment": "blue-1"});
        assert_eq!(faults(wire), [""; 0], "{body}");
    }
    assert_eq!(
        faults(json!({"body": "instances", "variant": "v", "target_model": "m", "inference_component": "c",
            "host": "h", "azureml_deployment": "a b", "path": "score"})),
        ["body", "variant", "target_model", "inference_component", "host", "azureml_deployment", "path"]
    );
}
