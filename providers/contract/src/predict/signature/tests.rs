//! What the check says, and what it lets pass.

use bytes::Bytes;
use serde_json::{Map, json};

use super::*;
use crate::predict::Wanted;

fn signature() -> Signature {
    Signature {
        inputs: vec![
            Input::scalar("age", Datatype::Int64),
            Input { nullable: true, ..Input::scalar("income", Datatype::Fp64) },
            Input { nullable: true, ..Input::scalar("housing", Datatype::Bytes) },
            Input { shape: vec![-1, 2], ..Input::scalar("history", Datatype::Fp32) },
        ],
        outputs: vec![Output::scalar("score", Datatype::Fp64)],
    }
}

fn tensor(name: &str, shape: &[usize], data: Data) -> Tensor {
    Tensor::new(name, shape.to_vec(), data).unwrap()
}

/// Two rows that fit.
fn request() -> PredictRequest {
    PredictRequest {
        model: "credit".to_owned(),
        version: None,
        id: None,
        parameters: Map::new(),
        inputs: vec![
            tensor("age", &[2], Data::Int64(vec![42, 19])),
            tensor("income", &[2], Data::Fp64(vec![1.0, f64::NAN])),
            tensor("housing", &[2], Data::Bytes(vec![Bytes::from_static(b"own"), Bytes::new()])),
            tensor("history", &[2, 2], Data::Fp32(vec![0.0; 4])),
        ],
        outputs: Vec::new(),
        binary_output: false,
    }
}

fn with(tensor: Tensor) -> PredictRequest {
    let mut request = request();
    match request.inputs.iter_mut().find(|input| input.name == tensor.name) {
        Some(input) => *input = tensor,
        None => request.inputs.push(tensor),
    }
    request
}

#[test]
fn what_fits_passes_and_is_brought_into_the_model_s_form() {
    assert_eq!(signature().check(&mut request()), Ok(()));
    let mut narrow = with(tensor("age", &[2, 1], Data::Int8(vec![42, 19])));
    narrow.inputs.retain(|input| input.name != "income");
    signature().check(&mut narrow).unwrap();
    assert_eq!(narrow.inputs[0], tensor("age", &[2], Data::Int64(vec![42, 19])));
    let mut column = with(tensor("history", &[2], Data::Fp32(vec![0.0; 2])));
    let mut narrower = signature();
    narrower.inputs[3].shape = vec![-1, 1];
    narrower.check(&mut column).unwrap();
    assert_eq!(column.inputs[3].shape, [2, 1]);
}

#[test]
fn a_fault_is_told_with_the_tensor_and_what_would_be_right() {
    let asked = |output: &str| PredictRequest {
        outputs: vec![Wanted { name: output.to_owned(), binary: None, parameters: Map::new() }],
        ..request()
    };
    let mut empty = request();
    empty.inputs.clear();
    let mut missing = request();
    missing.inputs.remove(0);
    let mut all_missing = request();
    all_missing.inputs.retain(|input| input.name == "income");
    let mut twice = request();
    twice.inputs.push(twice.inputs[0].clone());
    let age = |data: Data| with(tensor("age", &[data.len()], data));
    let income = |value: f64| with(tensor("income", &[2], Data::Fp64(vec![0.0, value])));
    let history = |data: Vec<f32>| with(tensor("history", &[2, 2], Data::Fp32(data)));
    for (mut request, param, message) in [
        (empty, "inputs", "there is no input, so there is no row to score"),
        (missing, "age", "the input is missing: `age`"),
        (all_missing, "age", "the inputs are missing: `age`, `history`"),
        (twice, "age", "the input `age` stands twice"),
        (
            with(tensor("incomes", &[2], Data::Fp64(vec![0.0; 2]))),
            "incomes",
            "there is no input `incomes`: did you mean `income`?",
        ),
        (
            with(tensor("zzz", &[2], Data::Fp64(vec![0.0; 2]))),
            "zzz",
            "there is no input `zzz`: there are age, income, housing, history",
        ),
        (asked("scores"), "scores", "there is no output `scores`: did you mean `score`?"),
        (asked("reason"), "reason", "there is no output `reason`: there are score"),
        (age(Data::Fp64(vec![1.0, 2.0])), "age", "input `age`: its datatype is FP64, expected INT64"),
        (
            age(Data::Uint64(vec![1, u64::MAX])),
            "age",
            "input `age`: its datatype is UINT64, expected INT64, which cannot hold each of its values",
        ),
        (
            with(tensor("age", &[1, 2], Data::Int64(vec![1, 2]))),
            "age",
            "input `age`: its shape is [1, 2], expected [-1]",
        ),
        (
            with(tensor("age", &[], Data::Int64(vec![1]))),
            "age",
            "input `age`: its shape is [], expected [-1]",
        ),
        (
            with(tensor("history", &[2, 3], Data::Fp32(vec![0.0; 6]))),
            "history",
            "input `history`: its shape is [2, 3], expected [-1, 2]",
        ),
        (age(Data::Int64(Vec::new())), "age", "input `age`: it has no rows"),
        (
            with(tensor("income", &[3], Data::Fp64(vec![0.0; 3]))),
            "income",
            "input `income`: it has 3 rows where the first input has 2",
        ),
        (income(f64::INFINITY), "income", "input `income`: element 1 is inf, which is not finite"),
        (
            history(vec![0.0, 0.0, f32::NAN, 0.0]),
            "history",
            "input `history`: element 2 is missing or not a number",
        ),
        (
            with(tensor("housing", &[2], Data::Bytes(vec![Bytes::new(), Bytes::from_static(b"\xff")]))),
            "housing",
            "input `housing`: element 1 is not UTF-8",
        ),
    ] {
        let error = signature().check(&mut request).unwrap_err();
        assert_eq!((error.param.as_deref(), error.message.as_str()), (Some(param), message));
    }
    let mut strict = signature();
    strict.inputs[2].nullable = false;
    let error = strict.check(&mut request()).unwrap_err();
    assert_eq!(error.message, "input `housing`: element 1 is empty");
}

#[test]
fn numbers_are_taken_as_another_datatype_only_where_no_value_loses_anything() {
    for (given, to, fits) in [
        (Data::Int8(vec![-1]), Datatype::Int32, true),
        (Data::Uint8(vec![255]), Datatype::Uint64, true),
        (Data::Int64(vec![7]), Datatype::Uint8, true),
        (Data::Int64(vec![256]), Datatype::Uint8, false),
        (Data::Int64(vec![-1]), Datatype::Uint64, false),
        (Data::Int64(vec![1 << 53]), Datatype::Fp64, true),
        (Data::Int64(vec![(1 << 53) + 1]), Datatype::Fp64, false),
        (Data::Int32(vec![1 << 24]), Datatype::Fp32, true),
        (Data::Int32(vec![(1 << 24) + 1]), Datatype::Fp32, false),
        (Data::Fp32(vec![1.0]), Datatype::Int64, false),
        (Data::Fp64(vec![1.0]), Datatype::Fp32, false),
        (Data::Bool(vec![true]), Datatype::Int8, false),
    ] {
        let mut tensor = tensor("x", &[1], given.clone());
        let outcome = Output::scalar("x", to).fit(&mut tensor);
        assert_eq!(outcome.is_ok(), fits, "{given:?} {to} {outcome:?}");
        assert_eq!(tensor.datatype(), if fits { to } else { given.datatype() });
        let whole = given.datatype().is_whole();
        assert!(fits || outcome.unwrap_err().contains("cannot hold each") == whole, "{given:?} {to}");
    }
}

#[test]
fn of_many_names_some_are_told() {
    let inputs = (0..50).map(|number| Input::scalar(format!("feature-{number}"), Datatype::Fp64)).collect();
    let wide = Signature { inputs, outputs: Vec::new() };
    let mut request =
        PredictRequest { inputs: vec![tensor("zzz", &[1], Data::Fp64(vec![0.0]))], ..request() };
    let message = wide.check(&mut request).unwrap_err().message;
    assert!(message.ends_with("feature-39, …"), "{message}");
}

#[test]
fn a_declaration_has_one_value_a_row_unless_it_says_otherwise_and_knows_its_keys() {
    let input: Input = serde_json::from_value(json!({"name": "age", "datatype": "INT64"})).unwrap();
    assert_eq!(input, Input::scalar("age", Datatype::Int64));
    let error = serde_json::from_value::<Input>(json!({"name": "age", "datatype": "int64"})).unwrap_err();
    assert!(error.to_string().contains("`int64` is not a datatype: expected one of BOOL"), "{error}");
}
