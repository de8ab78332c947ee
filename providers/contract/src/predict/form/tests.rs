//! Faults of a declaration, each at its key.

use serde_json::{Value, json};

use super::*;
use crate::{
    predict::{Input, Output, Signature},
    settings::Fault,
};

fn signature() -> Signature {
    Signature {
        inputs: vec![
            Input::scalar("age", Datatype::Int64),
            Input::scalar("housing", Datatype::Bytes),
            Input {
                shape: vec![-1, 2],
                columns: vec!["a".to_owned(), "b".to_owned()],
                ..Input::scalar("x", Datatype::Fp32)
            },
        ],
        outputs: vec![
            Output::scalar("score", Datatype::Fp64),
            Output {
                on_request: true,
                shape: vec![-1, 4],
                ..Output::scalar("contributions", Datatype::Fp64)
            },
        ],
    }
}

fn resolved(config: Value) -> Result<Form, Vec<Fault>> {
    serde_json::from_value::<FormConfig>(config).unwrap().resolve(&signature(), None)
}

#[test]
fn each_fault_is_told_at_its_key() {
    for (config, path, message) in [
        (json!({}), "body", "is not set: one of csv, json, json_lines, oip, instances, input_data"),
        (
            json!({"body": "csv", "features": ["age", "ages"]}),
            "features[1]",
            "`ages` is not an input of the model: there are age, housing, a, b",
        ),
        (json!({"body": "csv", "features": ["age", "age"]}), "features[1]", "`age` stands twice"),
        (
            json!({"body": "input_data", "names": {"x": "y"}}),
            "names.x",
            "`x` is not an input of the model: there are age, housing, a, b",
        ),
        (json!({"body": "input_data", "names": {"a": "b"}}), "names", "two features have the name `b`"),
        (json!({"body": "csv", "names": {"a": "A"}}), "names", "has no effect where the body has no names"),
        (json!({"body": "json", "names": {"a": "A"}}), "names", "has no effect where the body has no names"),
        (json!({"body": "csv", "datatypes": {"x": "FP64"}}), "datatypes.x", "is not an input of the model"),
        (
            json!({"body": "csv", "features": ["age"], "datatypes": {"a": "FP64"}}),
            "datatypes.a",
            "is not an input",
        ),
        (
            json!({"body": "csv", "datatypes": {"housing": "INT64"}}),
            "datatypes.housing",
            "a text becomes another value by `codes` alone",
        ),
        (
            json!({"body": "csv", "codes": {"housing": {"own": 1}}, "datatypes": {"housing": "INT64"}}),
            "datatypes.housing",
            "has no effect beside the feature's `codes`",
        ),
        (
            json!({"body": "csv", "codes": {"age": {"1": 1}}}),
            "codes.age",
            "the input's datatype is not BYTES",
        ),
        (json!({"body": "csv", "codes": {"housing": {}}}), "codes.housing", "is empty"),
        (
            json!({"body": "csv", "codes": {"housing": {"own": [1]}}}),
            "codes.housing.own",
            "is not a number, a text or a truth value",
        ),
        (json!({"body": "csv", "rows": "object"}), "rows", "belongs to a body of JSON rows"),
        (json!({"body": "input_data", "rows": "list"}), "rows", "belongs to a body of JSON rows"),
        (json!({"body": "instances", "rows_field": "rows"}), "rows_field", "belongs to `body = \"json\"`"),
        (json!({"body": "json", "header": true}), "header", "belongs to `body = \"csv\"`"),
        (
            json!({"body": "oip", "features": ["age"]}),
            "features",
            "has no meaning where tensors are sent by name",
        ),
        (
            json!({"body": "oip", "codes": {"housing": {"own": 1}}}),
            "codes",
            "where tensors are sent as they are",
        ),
        (
            json!({"body": "oip", "datatypes": {"age": "FP64"}}),
            "datatypes",
            "where tensors are sent as they are",
        ),
        (json!({"body": "oip", "names": {"a": "A"}}), "names.a", "there are age, housing, x"),
        (json!({"body": "oip", "answer": "json"}), "answer", "`oip` is the answer to the body `oip`"),
        (json!({"body": "csv", "answer": "oip"}), "answer", "`oip` is the answer to the body `oip`"),
        (json!({"body": "csv", "answer_rows": "/a"}), "answer_rows", "belongs to an answer in JSON"),
        (
            json!({"body": "json", "answer_rows": "a"}),
            "answer_rows",
            "`a` is not a JSON pointer: begin with `/`",
        ),
        (json!({"body": "json", "answer_rows": "/a~b"}), "answer_rows", "`~` is written `~0`"),
        (
            json!({"body": "json", "outputs": {"scores": ""}}),
            "outputs.scores",
            "`scores` is not an output of the model: there are score, contributions",
        ),
        (json!({"body": "json", "outputs": {"score": "p"}}), "outputs.score", "`p` is not a JSON pointer"),
        (
            json!({"body": "csv", "outputs": {"score": "/p"}}),
            "outputs.score",
            "`/p` is not a column of a CSV line",
        ),
        (
            json!({"body": "oip", "outputs": {"score": ""}}),
            "outputs.score",
            "is empty: the tensor's name is wanted",
        ),
        (
            json!({"body": "oip", "outputs": {"score": "s", "contributions": "s"}}),
            "outputs.contributions",
            "the tensor `s` is another output already",
        ),
        (json!({"body": "json", "outputs": {"contributions": "/c"}}), "outputs.score", "is not set: where"),
    ] {
        let faults = resolved(config.clone()).unwrap_err();
        let told = faults.iter().any(|fault| fault.path == path && fault.message.contains(message));
        assert!(told, "{config}: {faults:?}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = resolved(json!({"body": "csv", "rows": "list", "features": ["z"], "outputs": {"y": ""}}))
        .unwrap_err();
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["rows", "features[0]", "outputs.y", "outputs.score"]);
}

#[test]
fn an_input_of_any_width_fits_the_protocol_alone() {
    let mut wide = signature();
    wide.inputs[2] = Input { shape: vec![-1, -1], ..Input::scalar("x", Datatype::Fp32) };
    let config: FormConfig = serde_json::from_value(json!({"body": "csv"})).unwrap();
    let faults = config.resolve(&wide, None).unwrap_err();
    assert_eq!(faults[0].path, "body");
    assert!(faults[0].message.contains("only `oip` can carry it"), "{faults:?}");
    let config: FormConfig = serde_json::from_value(json!({"body": "oip"})).unwrap();
    assert!(config.resolve(&wide, None).is_ok());
}

#[test]
fn the_defaults_follow_from_the_body() {
    let form = |config: Value| resolved(config).unwrap();
    let json = form(json!({"body": "json"}));
    assert_eq!(
        (json.answer, &*json.answer_rows, &*json.rows_field),
        (AnswerForm::Json, "/predictions", "instances")
    );
    assert_eq!(form(json!({"body": "instances"})).answer_rows, "/predictions");
    let frame = form(json!({"body": "input_data"}));
    assert_eq!((frame.answer, &*frame.answer_rows), (AnswerForm::Json, ""));
    assert_eq!(form(json!({"body": "csv"})).answer, AnswerForm::Csv);
    assert_eq!(form(json!({"body": "json_lines"})).answer, AnswerForm::JsonLines);
    let oip = form(json!({"body": "oip"}));
    assert_eq!(oip.places.iter().map(|place| &*place.at).collect::<Vec<_>>(), ["score"]);
    // The provider's usual body.
    let usual = FormConfig::default().resolve(&signature(), Some(BodyForm::Instances)).unwrap();
    assert_eq!(usual.body, BodyForm::Instances);
}

#[test]
fn several_outputs_each_need_their_place() {
    let mut two = signature();
    two.outputs.push(Output::scalar("label", Datatype::Int64));
    let config: FormConfig = serde_json::from_value(json!({"body": "csv"})).unwrap();
    let paths: Vec<String> =
        config.resolve(&two, None).unwrap_err().into_iter().map(|fault| fault.path).collect();
    assert_eq!(paths, ["outputs.score", "outputs.label"]);
}
