//! Bodies as they stand on the wire.

use proptest::prelude::*;

use super::*;
use crate::{ErrorKind, predict::Encoded};

fn encoded(config: Value) -> Encoded {
    form(config).encode(&applicants()).unwrap()
}

fn text(encoded: &Encoded) -> &str {
    std::str::from_utf8(&encoded.body).unwrap()
}

#[test]
fn csv_has_a_line_a_row_with_nothing_for_what_is_missing() {
    let csv = encoded(json!({"body": "csv"}));
    assert_eq!(text(&csv), "42,0.1,own,true\n19,,,false");
    assert_eq!((csv.content_type, csv.accept), ("text/csv", "text/csv"));
    let csv = encoded(json!({
        "body": "csv", "header": true, "features": ["new", "age"], "names": {"age": "Age, in years"},
        "datatypes": {"age": "FP64", "new": "INT64"}, "answer": "json",
    }));
    assert_eq!(text(&csv), "new,\"Age, in years\"\n1,42.0\n0,19.0");
    assert_eq!((csv.content_type, csv.accept), ("text/csv", "application/json"));
}

#[test]
fn csv_quotes_as_rfc_4180_says_and_a_lone_missing_value_is_still_a_line() {
    let signature = Signature {
        inputs: vec![Input { nullable: true, ..Input::scalar("text", Datatype::Bytes) }],
        outputs: vec![Output::scalar("score", Datatype::Fp64)],
    };
    let asked = request(vec![tensor("text", texts(&["say \"hi\"", "", "a,b", "two\nlines", "plain"]))]);
    let csv = form_of(&signature, json!({"body": "csv"})).encode(&asked).unwrap();
    assert_eq!(text(&csv), "\"say \"\"hi\"\"\"\n\"\"\n\"a,b\"\n\"two\nlines\"\nplain");
}

#[test]
fn json_rows_are_lists_or_objects_with_null_for_what_is_missing() {
    for (config, body) in [
        (json!({}), r#"{"instances":[[42,0.1,"own",true],[19,null,null,false]]}"#),
        (json!({"rows_field": "inputs"}), r#"{"inputs":[[42,0.1,"own",true],[19,null,null,false]]}"#),
        (json!({"rows_field": ""}), r#"[[42,0.1,"own",true],[19,null,null,false]]"#),
        (
            json!({"rows": "object", "names": {"age": "Age \"y\""}, "features": ["age", "income"]}),
            r#"{"instances":[{"Age \"y\"":42,"income":0.1},{"Age \"y\"":19,"income":null}]}"#,
        ),
        (json!({"body": "instances"}), r#"{"instances":[[42,0.1,"own",true],[19,null,null,false]]}"#),
        (
            json!({"body": "input_data", "features": ["housing", "age"], "names": {"age": "Age"}}),
            r#"{"input_data":{"columns":["housing","Age"],"index":[0,1],"data":[["own",42],[null,19]]}}"#,
        ),
    ] {
        let written = encoded(config);
        assert_eq!(text(&written), body);
        assert_eq!((written.content_type, written.accept), ("application/json", "application/json"));
    }
}

#[test]
fn json_lines_have_a_row_each() {
    let lines = encoded(json!({"body": "json_lines", "rows": "object", "features": ["age"]}));
    assert_eq!(text(&lines), "{\"age\":42}\n{\"age\":19}\n");
    assert_eq!((lines.content_type, lines.accept), ("application/jsonlines", "application/jsonlines"));
}

#[test]
fn instances_carry_the_request_s_parameters() {
    let mut asked = applicants();
    asked.parameters.insert("threshold".to_owned(), json!(0.5));
    let body = form(json!({"body": "instances", "features": ["age"]})).encode(&asked).unwrap();
    assert_eq!(text(&body), r#"{"instances":[[42],[19]],"parameters":{"threshold":0.5}}"#);
}

#[test]
fn the_protocol_itself_goes_out_with_the_deployment_s_names() {
    let config = json!({"body": "oip", "names": {"age": "Age"}, "outputs": {"score": "output-0"}});
    let mut asked =
        request(vec![tensor("age", Data::Int64(vec![42])), tensor("new", Data::Bool(vec![true]))]);
    asked.parameters.insert("threshold".to_owned(), json!(0.5));
    asked.outputs = vec![wanted("score")];
    let body = form(config).encode(&asked).unwrap();
    assert_eq!(
        text(&body),
        concat!(
            r#"{"id":"42","parameters":{"threshold":0.5},"inputs":["#,
            r#"{"name":"Age","datatype":"INT64","shape":[1],"data":[42]},"#,
            r#"{"name":"new","datatype":"BOOL","shape":[1],"data":[true]}],"outputs":[{"name":"output-0"}]}"#,
        )
    );
}

#[test]
fn a_missing_number_is_null_in_the_protocol_too() {
    let body: Value = serde_json::from_slice(&encoded(json!({"body": "oip"})).body).unwrap();
    assert_eq!(body["inputs"][1]["data"], json!([0.1, null]));
    let infinite = request(vec![tensor("income", Data::Fp64(vec![f64::INFINITY]))]);
    let error = form(json!({"body": "oip"})).encode(&infinite).unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::Unsupported, Some("income")));
}

#[test]
fn an_input_left_out_is_missing_in_each_row() {
    let mut asked = applicants();
    asked.inputs.retain(|tensor| tensor.name == "age" || tensor.name == "new");
    let body = form(json!({"body": "csv"})).encode(&asked).unwrap();
    assert_eq!(text(&body), "42,,,true\n19,,,false");
    asked.inputs.retain(|tensor| tensor.name == "age");
    let error = form(json!({"body": "csv"})).encode(&asked).unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::Invalid, Some("new")));
}

#[test]
fn the_columns_of_a_matrix_are_features_by_name() {
    let matrix = |columns: &[&str]| Signature {
        inputs: vec![Input {
            shape: vec![-1, 2],
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            ..Input::scalar("x", Datatype::Fp32)
        }],
        outputs: vec![Output::scalar("score", Datatype::Fp64)],
    };
    let asked = request(vec![Tensor::new("x", vec![2, 2], Data::Fp32(vec![0.1, 2.0, 3.0, 4.5])).unwrap()]);
    let body = form_of(&matrix(&["a", "b"]), json!({"rows": "object", "features": ["b", "a"]}));
    assert_eq!(body.row_names().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(text(&body.encode(&asked).unwrap()), r#"{"instances":[{"b":2.0,"a":0.1},{"b":4.5,"a":3.0}]}"#);
    let unnamed = form_of(&matrix(&[]), json!({"body": "csv", "header": true}));
    assert_eq!(text(&unnamed.encode(&asked).unwrap()), "x[0],x[1]\n0.1,2.0\n3.0,4.5");
    // Not the model's shape: the edge refuses it, and nothing breaks if it comes here.
    let narrow = request(vec![tensor("x", Data::Fp32(vec![0.1, 2.0]))]);
    assert_eq!(unnamed.encode(&narrow).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn codes_stand_for_texts_and_other_texts_are_refused() {
    let config = json!({"body": "csv", "features": ["housing"], "codes": {"housing": {"own": 0, "rent": "R", "": -1}}});
    let coded = form(config.clone());
    assert_eq!(text(&coded.encode(&applicants()).unwrap()), "0\n-1");
    let asked = |text| request(vec![tensor("age", Data::Int64(vec![1])), tensor("housing", texts(&[text]))]);
    assert_eq!(text(&coded.encode(&asked("rent")).unwrap()), "R");
    let error = coded.encode(&asked("Own")).unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::Unsupported, Some("housing")));
    assert!(error.message().contains("no code for \"Own\""), "{error}");
}

#[test]
fn what_a_declared_datatype_cannot_hold_is_refused() {
    for (data, datatype, body) in [
        (Data::Fp64(vec![3.0]), "INT64", Some("3")),
        (Data::Fp64(vec![3.5]), "INT64", None),
        (Data::Fp64(vec![300.0]), "UINT8", None),
        (Data::Int64(vec![-1]), "UINT64", None),
        (Data::Uint64(vec![u64::MAX]), "UINT64", Some("18446744073709551615")),
        (Data::Uint64(vec![u64::MAX]), "INT64", None),
        (Data::Uint64(vec![u64::MAX]), "FP64", None),
        (Data::Int64(vec![(1 << 24) + 1]), "FP32", None),
        (Data::Int64(vec![1 << 24]), "FP32", Some("16777216.0")),
        (Data::Fp64(vec![0.1]), "FP32", Some("0.1")),
        (Data::Fp32(vec![0.1]), "FP64", Some("0.10000000149011612")),
        (Data::Fp64(vec![1e39]), "FP32", None),
        (Data::Fp64(vec![1e5]), "FP16", None),
        (Data::Fp64(vec![f64::INFINITY]), "FP64", None),
        (Data::Int64(vec![1]), "BOOL", Some("true")),
        (Data::Int64(vec![2]), "BOOL", None),
        (Data::Int64(vec![7]), "BYTES", Some("7")),
        (Data::Fp64(vec![7.0]), "BYTES", Some("7.0")),
        (Data::Bool(vec![true]), "FP64", Some("1.0")),
    ] {
        let signature = Signature {
            inputs: vec![Input::scalar("x", data.datatype())],
            outputs: vec![Output::scalar("score", Datatype::Fp64)],
        };
        let form = form_of(&signature, json!({"body": "csv", "datatypes": {"x": datatype}}));
        let written = form.encode(&request(vec![tensor("x", data.clone())]));
        match body {
            Some(body) => assert_eq!(text(&written.unwrap()), body, "{data:?} as {datatype}"),
            None => {
                let error = written.unwrap_err();
                assert_eq!((error.kind(), error.param()), (ErrorKind::Unsupported, Some("x")), "{data:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn numbers_come_back_from_the_text_as_they_were(
        doubles in proptest::collection::vec(proptest::num::f64::NORMAL | proptest::num::f64::ZERO, 1..20),
        singles in proptest::collection::vec(proptest::num::f32::NORMAL, 1..20),
        whole in any::<i64>(),
    ) {
        let signature = |datatype| Signature {
            inputs: vec![Input::scalar("x", datatype)],
            outputs: vec![Output::scalar("score", Datatype::Fp64)],
        };
        let lines = |data: Data| {
            let form = form_of(&signature(data.datatype()), json!({"body": "csv"}));
            let body = form.encode(&request(vec![tensor("x", data)])).unwrap().body;
            String::from_utf8(body.to_vec()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let read: Vec<f64> =
            lines(Data::Fp64(doubles.clone())).iter().map(|text| text.parse().unwrap()).collect();
        prop_assert_eq!(read, doubles);
        let read: Vec<f32> =
            lines(Data::Fp32(singles.clone())).iter().map(|text| text.parse().unwrap()).collect();
        prop_assert_eq!(read, singles);
        prop_assert_eq!(lines(Data::Int64(vec![whole])), vec![whole.to_string()]);
    }
}
