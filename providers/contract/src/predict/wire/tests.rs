//! Each form both ways, and that no answer whatever brings the gateway down.

mod answers;
mod bodies;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::predict::{
    BodyForm, Data, Datatype, Form, FormConfig, Input, Output, PredictRequest, Signature, Tensor, Wanted,
};

fn tensor(name: &str, data: Data) -> Tensor {
    Tensor::new(name, vec![data.len()], data).unwrap()
}

fn texts(texts: &[&'static str]) -> Data {
    Data::Bytes(texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect())
}

fn request(inputs: Vec<Tensor>) -> PredictRequest {
    PredictRequest {
        model: "credit".to_owned(),
        version: None,
        id: Some("42".to_owned()),
        parameters: Map::new(),
        inputs,
        outputs: Vec::new(),
        binary_output: false,
    }
}

fn wanted(name: &str) -> Wanted {
    Wanted { name: name.to_owned(), binary: None, parameters: Map::new() }
}

/// Two applicants: the second's income is not known, nor how they live.
fn applicants() -> PredictRequest {
    request(vec![
        tensor("age", Data::Int64(vec![42, 19])),
        tensor("income", Data::Fp64(vec![0.1, f64::NAN])),
        tensor("housing", texts(&["own", ""])),
        tensor("new", Data::Bool(vec![true, false])),
    ])
}

fn signature() -> Signature {
    let nullable = |name: &str, datatype| Input { nullable: true, ..Input::scalar(name, datatype) };
    Signature {
        inputs: vec![
            Input::scalar("age", Datatype::Int64),
            nullable("income", Datatype::Fp64),
            nullable("housing", Datatype::Bytes),
            Input::scalar("new", Datatype::Bool),
        ],
        outputs: vec![Output::scalar("score", Datatype::Fp64)],
    }
}

/// A form as the config declares it.
fn form_of(signature: &Signature, config: Value) -> Form {
    let config: FormConfig = serde_json::from_value(config).unwrap();
    config.resolve(signature, Some(BodyForm::Json)).unwrap()
}

fn form(config: Value) -> Form {
    form_of(&signature(), config)
}

fn call(request: PredictRequest, drops: bool) -> crate::Call<crate::Predict> {
    let on_unsupported = if drops { crate::OnUnsupported::Drop } else { crate::OnUnsupported::Refuse };
    crate::Call {
        request: Arc::new(request),
        target: Arc::new(crate::Target { on_unsupported, ..crate::Target::new("aws", "credit") }),
        deadline: tokio::time::Instant::now() + std::time::Duration::from_secs(30),
        trail: Arc::new(crate::Trail::new("test", None)),
    }
}

#[test]
fn an_output_that_the_deployment_does_not_give_is_refused_or_dropped_by_name() {
    let mut signature = signature();
    signature.outputs.push(Output { on_request: true, ..Output::scalar("base", Datatype::Fp64) });
    let form = form_of(&signature, json!({"body": "csv"}));
    let asking = |names: &[&str]| PredictRequest {
        outputs: names.iter().map(|name| wanted(name)).collect(),
        ..applicants()
    };
    assert!(form.admit(&call(asking(&["score"]), false)).is_ok());
    let error = form.admit(&call(asking(&["score", "base"]), false)).unwrap_err();
    assert_eq!((error.kind(), error.param()), (crate::ErrorKind::Unsupported, Some("outputs")));
    assert!(error.message().contains("`base`"), "{error}");
    let dropping = call(asking(&["score", "base"]), true);
    assert!(form.admit(&dropping).is_ok());
    assert_eq!(dropping.trail.dropped(), ["outputs"]);
    assert!(form.admit(&call(asking(&["base"]), true)).is_err());
    let given = form_of(&signature, json!({"body": "csv", "outputs": {"score": "/0", "base": "/1"}}));
    assert!(given.admit(&call(asking(&["base"]), false)).is_ok());
}

#[test]
fn an_answer_with_a_list_for_each_output_is_read_row_by_row() {
    let mut signature = signature();
    signature.outputs.push(Output::scalar("label", Datatype::Bytes));
    let outputs = json!({"score": "/proba/*/1", "label": "/labels/*"});
    let form = form_of(&signature, json!({"body": "json", "outputs": outputs}));
    let body = Bytes::from(json!({"labels": ["a", "b"], "proba": [[0.75, 0.25], [0.5, 0.5]]}).to_string());
    let request = PredictRequest { outputs: Vec::new(), ..applicants() };
    assert_eq!(request.rows(), 2);
    let tensors = form.decode(&request, &body, None).unwrap();
    assert_eq!(tensors[0].data, Data::Fp64(vec![0.25, 0.5]));
    assert_eq!(tensors[1].data, Data::Bytes(vec!["a".into(), "b".into()]));
    let short = Bytes::from(json!({"labels": ["a"], "proba": [[0.75, 0.25], [0.5, 0.5]]}).to_string());
    let error = form.decode(&request, &short, None).unwrap_err();
    assert!(error.message().contains("1 rows where 2 were sent"), "{error}");
    for wrong in ["/proba/*/*", "/proba/*x"] {
        let config: FormConfig =
            serde_json::from_value(json!({"outputs": {"score": wrong, "label": "/labels/*"}})).unwrap();
        let faults = config.resolve(&signature, Some(BodyForm::Json)).unwrap_err();
        assert_eq!(faults[0].path, "outputs.score", "{faults:?}");
    }
}

#[test]
fn parameters_are_refused_by_name_where_the_form_has_no_place_for_them() {
    let mut asked = applicants();
    asked.parameters.insert("threshold".to_owned(), json!(0.5));
    let of_request = call(asked.clone(), false);
    for (body, fits) in [
        ("csv", false),
        ("json", false),
        ("json_lines", false),
        ("input_data", false),
        ("instances", true),
        ("oip", true),
    ] {
        let told = form(json!({"body": body})).admit(&of_request);
        assert_eq!(told.is_ok(), fits, "{body}");
        if let Err(error) = told {
            assert_eq!((error.kind(), error.param()), (crate::ErrorKind::Unsupported, Some("threshold")));
        }
    }
    asked.parameters.clear();
    asked.inputs[0].parameters.insert("content_type".to_owned(), json!("np"));
    let of_input = call(asked, false);
    assert!(form(json!({"body": "oip"})).admit(&of_input).is_ok());
    let error = form(json!({"body": "instances"})).admit(&of_input).unwrap_err();
    assert_eq!(error.param(), Some("content_type"));
    assert!(error.message().contains("age"), "{error}");
}
