//! Answers read into tensors, and refused where they do not fit.

use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

fn outputs(outputs: &[(&str, Datatype, &[i64])]) -> Signature {
    let output = |(name, datatype, shape): &(&str, Datatype, &[i64])| Output {
        shape: shape.to_vec(),
        ..Output::scalar(*name, *datatype)
    };
    Signature { inputs: signature().inputs, outputs: outputs.iter().map(output).collect() }
}

fn score() -> Signature {
    outputs(&[("score", Datatype::Fp64, &[-1])])
}

fn decoded(form: &Form, body: impl Into<Bytes>) -> crate::Result<Vec<Tensor>> {
    form.decode(&applicants(), &body.into(), None)
}

fn refusal(form: &Form, body: &'static str) -> String {
    let error = decoded(form, body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    error.message().to_owned()
}

#[test]
fn csv_answers_have_a_line_a_row_or_one_line_with_a_value_a_row() {
    let form = form_of(&score(), json!({"body": "csv"}));
    let scores = vec![tensor("score", Data::Fp64(vec![0.25, 1e-3]))];
    for body in ["0.25\n0.001\n", "0.25\r\n0.001", "0.25,0.001\n", "\n0.25\n 0.001 \n", "\"0.25\"\n1e-3"] {
        assert_eq!(decoded(&form, body).unwrap(), scores, "{body:?}");
    }
    for (body, why) in [
        ("0.25", "it has 1 rows where 2 were sent"),
        ("0.25\n0.5\n0.75", "it has 3 rows where 2 were sent"),
        ("0.25\n0.5,0.75", "row 1 has 2 fields, expected 1"),
        ("0.25\nhigh", "row 1 is \"high\", expected FP64"),
        ("0.25\nNaN", "row 1 is \"NaN\", expected FP64"),
        ("0.25\ninf", "row 1 is \"inf\", expected FP64"),
        ("", "it has 0 rows"),
    ] {
        assert!(refusal(&form, body).contains(why), "{body:?}: {}", refusal(&form, body));
    }
}

#[test]
fn columns_of_a_csv_line_are_outputs_by_their_number() {
    let signature = outputs(&[
        ("label", Datatype::Bytes, &[-1]),
        ("classes", Datatype::Fp32, &[-1, 2]),
        ("rest", Datatype::Int64, &[-1, -1]),
    ]);
    let form = form_of(
        &signature,
        json!({"body": "csv", "outputs": {"label": "/0", "classes": "/1", "rest": "/3"}}),
    );
    let read = decoded(&form, "good,0.9,0.1,1,2.0\n\"b,d\",0.2,0.8,3,4").unwrap();
    assert_eq!(read[0], tensor("label", texts(&["good", "b,d"])));
    assert_eq!(read[1], Tensor::new("classes", vec![2, 2], Data::Fp32(vec![0.9, 0.1, 0.2, 0.8])).unwrap());
    assert_eq!(read[2], Tensor::new("rest", vec![2, 2], Data::Int64(vec![1, 2, 3, 4])).unwrap());
    assert!(refusal(&form, "good,0.9\nbad,0.2,0.8,3,4").contains("`/1` of row 0 is not there"));
    assert!(refusal(&form, "good,0.9,0.1,1\nbad,0.2,0.8,3,4").contains("row 1 has 2 fields, expected 1"));
}

#[test]
fn json_answers_are_found_at_their_pointers() {
    let signature = outputs(&[("score", Datatype::Fp64, &[-1]), ("classes", Datatype::Fp64, &[-1, -1])]);
    let form = form_of(
        &signature,
        json!({"answer_rows": "/result/rows", "outputs": {"score": "/scores/1", "classes": "/scores"}}),
    );
    let body = r#"{"result": {"rows": [{"scores": [0.9, 0.1]}, {"scores": [0.2, 0.8]}]}}"#;
    let read = decoded(&form, body).unwrap();
    assert_eq!(read[0], tensor("score", Data::Fp64(vec![0.1, 0.8])));
    assert_eq!(read[1], Tensor::new("classes", vec![2, 2], Data::Fp64(vec![0.9, 0.1, 0.2, 0.8])).unwrap());
    for (body, why) in [
        ("<html>", "it is not JSON"),
        (r#"{"error": "no"}"#, "there is no `/result/rows`; there are error"),
        (r#"{"result": {"rows": 3}}"#, "`/result/rows` is not an array of rows"),
        (r#"{"result": {"rows": [{"scores": [1, 2]}]}}"#, "it has 1 rows where 2 were sent"),
        (
            r#"{"result": {"rows": [{"scores": [1, 2]}, {"score": 3}]}}"#,
            "`/scores/1` of row 1 is not there; there are score",
        ),
        (
            r#"{"result": {"rows": [{"scores": [1, 2]}, {"scores": [1, 2, 3]}]}}"#,
            "`/scores` of row 1 is an array of 3, expected one of 2",
        ),
        (r#"{"result": {"rows": [{"scores": [1, null]}, {}]}}"#, "row 0 is null, expected FP64"),
        (r#"{"result": {"rows": [{"scores": [1, "2"]}, {}]}}"#, "row 0 is \"2\", expected FP64"),
    ] {
        assert!(refusal(&form, body).contains(why), "{body}: {}", refusal(&form, body));
    }
}

#[test]
fn one_value_and_an_array_of_one_are_the_same() {
    let form = form_of(&score(), json!({}));
    assert_eq!(
        decoded(&form, r#"{"predictions": [[0.5], 1]}"#).unwrap(),
        [tensor("score", Data::Fp64(vec![0.5, 1.0]))]
    );
    let column = form_of(&outputs(&[("score", Datatype::Fp64, &[-1, 1])]), json!({}));
    assert_eq!(
        decoded(&column, r#"{"predictions": [[0.5], 1]}"#).unwrap(),
        [Tensor::new("score", vec![2, 1], Data::Fp64(vec![0.5, 1.0])).unwrap()]
    );
    assert!(refusal(&form, r#"{"predictions": [[0.5, 0.5], 1]}"#).contains("row 0 is an array of 2"));
    assert!(refusal(&form, r#"{"predictions": [[[0.5]], 1]}"#).contains("row 0 is an array"));
}

#[test]
fn each_datatype_takes_what_it_can_hold_and_nothing_else() {
    for (datatype, item, held) in [
        (Datatype::Int64, "3", Some(Data::Int64(vec![3, 3]))),
        (Datatype::Int64, "3.0", Some(Data::Int64(vec![3, 3]))),
        (Datatype::Int64, "3.5", None),
        (Datatype::Int64, "9223372036854775807", Some(Data::Int64(vec![i64::MAX; 2]))),
        (Datatype::Int64, "9223372036854775808", None),
        (Datatype::Uint64, "18446744073709551615", Some(Data::Uint64(vec![u64::MAX; 2]))),
        (Datatype::Uint8, "256", None),
        (Datatype::Int8, "-128", Some(Data::Int8(vec![-128; 2]))),
        (Datatype::Uint8, "-1", None),
        (Datatype::Bool, "true", Some(Data::Bool(vec![true; 2]))),
        (Datatype::Bool, "0", Some(Data::Bool(vec![false; 2]))),
        (Datatype::Bool, "2", None),
        (Datatype::Fp32, "0.1", Some(Data::Fp32(vec![0.1; 2]))),
        (Datatype::Fp32, "1e39", None),
        (Datatype::Fp64, "true", None),
        (Datatype::Fp64, "{}", None),
        (Datatype::Bytes, "\"good\"", Some(texts(&["good", "good"]))),
        (Datatype::Bytes, "1", None),
    ] {
        let form = form_of(&outputs(&[("out", datatype, &[-1])]), json!({"body": "json_lines"}));
        let read = decoded(&form, format!("{item}\n{item}\n"));
        match held {
            Some(held) => assert_eq!(read.unwrap(), [tensor("out", held)], "{item} as {datatype}"),
            None => assert!(read.unwrap_err().message().contains("row 0 is"), "{item} as {datatype}"),
        }
    }
}

#[test]
fn json_lines_answers_have_a_document_a_row() {
    let form = form_of(&score(), json!({"body": "json_lines", "outputs": {"score": "/score"}}));
    let read = decoded(&form, "{\"score\": 0.5}\n\n{\"score\": 1}\n").unwrap();
    assert_eq!(read, [tensor("score", Data::Fp64(vec![0.5, 1.0]))]);
    assert!(refusal(&form, "{\"score\": 0.5}\n{\"score\"").contains("it is not JSON Lines"));
}

#[test]
fn the_protocol_s_answers_come_under_the_caller_s_names_widened_and_in_the_model_s_order() {
    let signature = outputs(&[("label", Datatype::Bytes, &[-1]), ("score", Datatype::Fp64, &[-1])]);
    let form = form_of(&signature, json!({"body": "oip", "outputs": {"score": "output-0"}}));
    let body = json!({"model_name": "x", "outputs": [
        {"name": "more", "datatype": "FP32", "shape": [1], "data": [0]},
        {"name": "output-0", "datatype": "FP32", "shape": [2, 1], "data": [[0.5], [0.25]]},
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["good", "bad"]},
    ]});
    let expected =
        vec![tensor("label", texts(&["good", "bad"])), tensor("score", Data::Fp64(vec![0.5, 0.25]))];
    assert_eq!(decoded(&form, body.to_string()).unwrap(), expected);
    for (body, why) in [
        (r#"{"outputs": []}"#, "there is no tensor `label`"),
        (
            r#"{"outputs": [{"name": "label", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}"#,
            "tensor `label`: it has 1 rows where 2 were sent",
        ),
        (
            r#"{"outputs": [{"name": "label", "datatype": "FP64", "shape": [2], "data": [1, 2]}]}"#,
            "tensor `label`: its datatype is FP64, expected BYTES",
        ),
        (
            r#"{"outputs": [{"name": "label", "datatype": "BYTES", "shape": [2, 2], "data": ["a", "b", "c", "d"]}]}"#,
            "tensor `label`: its shape is [2, 2], expected [-1]",
        ),
    ] {
        assert!(refusal(&form, body).contains(why), "{body}: {}", refusal(&form, body));
    }
}

#[test]
fn binary_tensors_of_the_protocol_are_read_too() {
    let form = form_of(&score(), json!({"body": "oip"}));
    let head = json!({"outputs": [
        {"name": "score", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
    ]})
    .to_string();
    let mut body = head.clone().into_bytes();
    body.extend([0.5_f32, 0.25].map(f32::to_le_bytes).concat());
    let read = form.decode(&applicants(), &body.into(), Some(head.len())).unwrap();
    assert_eq!(read, [tensor("score", Data::Fp64(vec![0.5, 0.25]))]);
}

#[test]
fn only_the_outputs_that_are_wanted_come_back() {
    let mut signature = outputs(&[
        ("score", Datatype::Fp64, &[-1]),
        ("label", Datatype::Int64, &[-1]),
        ("base", Datatype::Fp64, &[-1]),
    ]);
    signature.outputs[2].on_request = true;
    let form =
        form_of(&signature, json!({"body": "csv", "outputs": {"score": "/0", "label": "/1", "base": "/2"}}));
    let names = |asked: &[&str]| {
        let asked =
            PredictRequest { outputs: asked.iter().map(|name| wanted(name)).collect(), ..applicants() };
        let read = form.decode(&asked, &Bytes::from_static(b"0.5,1,0.1\n0.5,0,0.1"), None).unwrap();
        read.into_iter().map(|tensor| tensor.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["score", "label"]);
    assert_eq!(names(&["base", "score"]), ["score", "base"]);
}

proptest! {
    #[test]
    fn no_answer_brings_the_gateway_down(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[\\[\\]{}:,\"0-9a-e.\\\\ \n-]{0,60}",
        length in proptest::option::of(0_usize..300),
    ) {
        let signature = outputs(&[("score", Datatype::Fp64, &[-1]), ("more", Datatype::Int8, &[-1, -1])]);
        for (kind, at) in [("csv", "/1"), ("json", "/1"), ("json_lines", "/0"), ("oip", "more"), ("instances", "/a")] {
            let more = if kind == "csv" { "/0" } else { at };
            let score = if kind == "oip" { "score" } else { "" };
            let form = form_of(&signature, json!({"body": kind, "outputs": {"score": score, "more": more}}));
            for body in [Bytes::from(body.clone()), Bytes::from(text.clone())] {
                if let Ok(read) = form.decode(&applicants(), &body, length) {
                    for tensor in read {
                        prop_assert_eq!(tensor.rows(), 2);
                        prop_assert_eq!(tensor.shape.iter().product::<usize>(), tensor.data.len());
                    }
                }
            }
        }
    }
}
