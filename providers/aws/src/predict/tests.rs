//! Predictions against a played SageMaker.

use aigate_contract::{Error, ErrorKind, Provider, Serve, predict::PredictReply};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Answer, Asked, check_golden, goldens, keys, played, predict};

/// What SageMaker is told beside the body.
const TOLD: [&str; 7] = [
    "accept",
    "content-type",
    "traceparent",
    "x-amzn-sagemaker-inference-component",
    "x-amzn-sagemaker-inference-id",
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-target-variant",
];

fn told(asked: &Asked) -> Value {
    let headers = asked.headers.iter().filter(|(name, _)| TOLD.contains(&name.as_str()));
    headers.map(|(name, value)| (name.clone(), json!(value))).collect()
}

fn shown(reply: &PredictReply) -> Value {
    let outputs: Vec<Value> = (reply.outputs.iter())
        .map(|tensor| json!([tensor.name, tensor.shape, format!("{:?}", tensor.data)]))
        .collect();
    let rows = reply.facts.usage.as_ref().and_then(|usage| usage.rows);
    json!({"version": reply.version, "parameters": reply.parameters, "outputs": outputs, "rows": rows})
}

#[tokio::test]
async fn requests_and_answers_have_the_declared_form() {
    for (path, golden) in goldens("predict") {
        let answer = &golden["answer"];
        let answer = Answer::text(200, answer["type"].as_str().unwrap(), answer["body"].as_str().unwrap())
            .with("x-amzn-invoked-production-variant", "AllTraffic");
        let (aws, sagemaker) = played(keys(), [answer]);
        let call = predict(
            golden["target"].as_str().unwrap(),
            &golden["model"],
            &golden["form"],
            &golden["request"],
        );
        assert_eq!(aws.check_form(&call.target), Ok(()), "{}", path.display());
        let reply = aws.serve(call).await.unwrap();
        check_golden(&path, &golden, "reply", &shown(&reply));
        let asked = sagemaker.asked().remove(0);
        check_golden(&path, &golden, "uri", &json!(asked.uri));
        check_golden(&path, &golden, "headers", &told(&asked));
        check_golden(&path, &golden, "body", &json!(std::str::from_utf8(&asked.body).unwrap()));
    }
}

fn model() -> Value {
    json!({
        "inputs": [{"name": "age", "datatype": "INT64"}],
        "outputs": [
            {"name": "score", "datatype": "FP64"}, {"name": "base", "datatype": "FP64", "on_request": true},
        ],
    })
}

fn call(form: Value, more: Value) -> Call<Predict> {
    let mut body = json!({"inputs": [{"name": "age", "datatype": "INT64", "shape": [2], "data": [42, 19]}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    predict("credit", &model(), &form, &body)
}

async fn answered(answer: Answer) -> Error {
    let (aws, _) = played(keys(), [answer]);
    aws.serve(call(json!({"body": "csv"}), json!({}))).await.unwrap_err()
}

fn model_error(status: i32, message: &str) -> Answer {
    let body = json!({
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL", "LogStreamArn": "arn:aws:logs:eu-central-1:1:log-group:/x",
        "Message": format!("Received error ({status}) from primary with message \"{message}\". See https://…"),
        "OriginalMessage": message, "OriginalStatusCode": status,
    });
    let named = "ModelError:http://internal.amazon.com/coral/com.amazonaws.sagemaker.runtime/";
    Answer::json(424, &body).with("x-amzn-errortype", named)
}

#[tokio::test]
async fn what_the_model_s_container_refuses_is_told_apart_from_what_sagemaker_refuses() {
    for (status, message, kind) in [
        (400, "could not convert string to float: 'own'", ErrorKind::Unsupported),
        (415, "unsupported content type", ErrorKind::Unsupported),
        (404, "no route", ErrorKind::Missing),
        (413, "too large", ErrorKind::TooLarge),
        (429, "busy", ErrorKind::Throttled),
        (500, "Traceback", ErrorKind::Unavailable),
        (503, "no worker", ErrorKind::Unavailable),
        (
            0,
            "Your invocation timed out while waiting for a response from container primary.",
            ErrorKind::Timeout,
        ),
    ] {
        let error = answered(model_error(status, message)).await;
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!((error.code(), error.status()), (Some("ModelError"), Some(424)));
        assert!(
            error.message().contains(message) && error.message().contains(&status.to_string()),
            "{error}"
        );
        assert_eq!(
            error.kind().blames_provider(),
            kind != ErrorKind::Unsupported && kind != ErrorKind::TooLarge
        );
    }
}

#[tokio::test]
async fn the_container_s_words_are_cut_and_put_on_one_line() {
    let error = answered(model_error(400, &format!("a\n  b {}", "x".repeat(5000)))).await;
    assert!(error.message().contains("answered 400: a b xxx"), "{error}");
    let told = format!("{error:?}");
    assert!(told.len() < 1000 && !told.contains("log-group"), "{told}");
}

#[tokio::test]
async fn sagemaker_s_refusals_get_their_kind_from_the_name() {
    for (status, code, message, kind) in [
        (400, "ThrottlingException", "Rate exceeded", ErrorKind::Throttled),
        (429, "ModelNotReadyException", "loading", ErrorKind::Throttled),
        (400, "ValidationError", "Endpoint credit of account 1 not found.", ErrorKind::Missing),
        (
            403,
            "AccessDeniedException",
            "not authorized to perform: sagemaker:InvokeEndpoint",
            ErrorKind::Denied,
        ),
        (403, "ExpiredTokenException", "expired", ErrorKind::Denied),
        (500, "InternalFailure", "oops", ErrorKind::Unavailable),
        (503, "ServiceUnavailable", "away", ErrorKind::Unavailable),
        (530, "InternalDependencyException", "a dependency", ErrorKind::Unavailable),
    ] {
        let error = answered(Answer::refusal(status, code, message)).await;
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
        assert_eq!((error.code(), error.status()), (Some(code), Some(status)));
        assert_eq!(error.message(), format!("SageMaker: {message}"));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_malformed() {
    for (body, why) in
        [("0.5", "it has 1 rows where 2 were sent"), ("", "it has 0 rows"), ("{}\n{}", "row 0 is \"{}\"")]
    {
        let error = answered(Answer::text(200, "text/csv", body)).await;
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.message().contains(why), "{error}");
    }
}

#[tokio::test]
async fn what_the_deployment_cannot_honour_is_refused_before_it_is_asked() {
    for (more, field) in [
        (json!({"outputs": [{"name": "score"}, {"name": "base"}]}), "outputs"),
        (json!({"parameters": {"threshold": 0.5}}), "threshold"),
    ] {
        let (aws, sagemaker) = played(keys(), []);
        let error = aws.serve(call(json!({"body": "csv"}), more)).await.unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::Unsupported, Some(field)));
        assert!(sagemaker.asked().is_empty());
    }
}

#[tokio::test]
async fn a_bedrock_api_key_alone_cannot_ask_sagemaker() {
    let (aws, _) = played(json!({"region": "eu-central-1", "api_key": "k"}), []);
    let call = call(json!({"body": "csv"}), json!({}));
    let faults = aws.check_form(&call.target).unwrap_err();
    assert_eq!(faults[0].path, "");
    assert!(faults[0].message.contains("SageMaker takes signed requests"), "{faults:?}");
    assert_eq!(aws.serve(call).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn what_belongs_to_other_clouds_is_a_fault_at_its_key() {
    let (aws, _) = played(keys(), []);
    for (form, paths) in [
        (
            json!({"body": "json", "variant": "blue", "target_model": "eu/credit.tar.gz", "inference_component": "ic-1"}),
            vec![],
        ),
        (json!({"body": "instances"}), vec!["body"]),
        (json!({"body": "input_data", "path": "/score"}), vec!["body", "path"]),
        (
            json!({"body": "csv", "azureml_deployment": "blue", "host": "h"}),
            vec!["azureml_deployment", "host"],
        ),
        (
            json!({"body": "csv", "variant": "two words", "inference_component": "-x"}),
            vec!["variant", "inference_component"],
        ),
        (json!({"body": "csv", "target_model": " x"}), vec!["target_model"]),
    ] {
        let faults = aws.check_form(&call(form.clone(), json!({})).target).err().unwrap_or_default();
        let told: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(told, paths, "{form}: {faults:?}");
    }
}

#[test]
fn a_target_is_an_endpoint_s_name() {
    for target in ["a", "credit-risk-2", &"x".repeat(63)] {
        assert_eq!(check(target), Ok(()), "{target}");
    }
    for target in ["", "-a", "a-", "a_b", "a.b", "a/b", "ä", &"x".repeat(64)] {
        assert!(check(target).is_err(), "{target}");
    }
    let why = check("arn:aws:sagemaker:eu-central-1:123456789012:endpoint/credit").unwrap_err();
    assert!(why.contains("no ARN"), "{why}");
}

#[test]
fn an_inference_id_is_given_where_sagemaker_takes_it() {
    assert_eq!(inference_id("req-1").as_deref(), Some("req-1"));
    for id in ["", " x", "a\nb", "ä", &"x".repeat(65)] {
        assert_eq!(inference_id(id), None, "{id:?}");
    }
}
