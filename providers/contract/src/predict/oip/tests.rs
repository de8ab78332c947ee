//! The protocol's own examples, its corners, and round trips of every datatype and shape.

use half::{bf16, f16};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::predict::Scalar;

fn parsed(body: Value) -> Result<PredictRequest, BodyError> {
    PredictRequest::parse("credit", None, &Bytes::from(body.to_string()), None)
}

fn input(datatype: &str, shape: Value, data: Value) -> Result<Tensor, BodyError> {
    let body = json!({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]});
    parsed(body).map(|mut request| request.inputs.remove(0))
}

fn refusal(body: Value) -> String {
    parsed(body).unwrap_err().message
}

fn reply(outputs: Vec<Tensor>) -> PredictReply {
    let (parameters, facts) = (Map::new(), crate::Facts::default());
    PredictReply { version: "3".to_owned(), parameters, outputs, facts }
}

/// The example of the specification's section "Inference Request Examples".
#[test]
fn the_specification_s_example_is_read() {
    let request = parsed(json!({
        "id": "42",
        "inputs": [
            {"name": "input0", "shape": [2, 2], "datatype": "UINT32", "data": [1, 2, 3, 4]},
            {"name": "input1", "shape": [3], "datatype": "BOOL", "data": [true, false, true]},
        ],
        "outputs": [{"name": "output0"}],
    }))
    .unwrap();
    assert_eq!(request.id.as_deref(), Some("42"));
    assert_eq!(request.inputs[0].data, Data::Uint32(vec![1, 2, 3, 4]));
    assert_eq!(request.inputs[1].shape, [3]);
    assert!(request.asks_for("output0") && !request.wants_binary("output0"));
    let answer = reply(vec![
        Tensor::new("output0", vec![3, 2], Data::Fp32(vec![1.0, 1.1, 2.0, 2.1, 3.0, 3.1])).unwrap(),
    ]);
    let packed = answer.write(&request).unwrap();
    assert_eq!(
        std::str::from_utf8(&packed.body).unwrap(),
        concat!(
            r#"{"model_name":"credit","model_version":"3","id":"42","outputs":["#,
            r#"{"name":"output0","datatype":"FP32","shape":[3,2],"data":[1.0,1.1,2.0,2.1,3.0,3.1]}]}"#,
        )
    );
    assert_eq!(packed.json_length, None);
}

/// The example of the binary extension.
#[test]
fn the_binary_extension_s_example_is_read() {
    let head = json!({
        "model_name": "mymodel",
        "inputs": [
            {"name": "input0", "shape": [2, 2], "datatype": "UINT32", "parameters": {"binary_data_size": 16}},
            {"name": "input1", "shape": [3], "datatype": "BOOL", "parameters": {"binary_data_size": 3}},
        ],
        "outputs": [{"name": "output0", "parameters": {"binary_data": true}}],
    })
    .to_string();
    let mut body = head.clone().into_bytes();
    body.extend([1_u32, 2, 3, 4].map(u32::to_le_bytes).concat());
    body.extend([1, 0, 1]);
    let request = PredictRequest::parse("mymodel", None, &body.into(), Some(head.len())).unwrap();
    assert_eq!(request.inputs[0].data, Data::Uint32(vec![1, 2, 3, 4]));
    assert_eq!(request.inputs[1].data, Data::Bool(vec![true, false, true]));
    assert!(request.inputs.iter().all(|tensor| tensor.parameters.is_empty()));
    let output = Tensor::new("output0", vec![3, 2], Data::Fp32(vec![1.0; 6])).unwrap();
    let packed = reply(vec![output.clone()]).write(&request).unwrap();
    let length = packed.json_length.unwrap();
    let head: Value = serde_json::from_slice(&packed.body[..length]).unwrap();
    assert_eq!(head["outputs"][0]["parameters"], json!({"binary_data_size": 24}));
    assert!(head["outputs"][0].get("data").is_none() && head.get("id").is_none());
    assert_eq!(packed.body.len() - length, 24);
    assert_eq!(head["model_version"], "3");
    let outputs = PredictReply::read(&packed.body, Some(length)).unwrap();
    assert_eq!(outputs, [output]);
}

#[test]
fn an_output_s_own_word_on_binary_data_counts_more_than_the_request_s() {
    let asked = |all: Value, one: Value| {
        let request =
            parsed(json!({"parameters": {"binary_data_output": all, "more": 1}, "inputs": [], "outputs": [
            {"name": "a", "parameters": one}, {"name": "b"}]}))
            .unwrap();
        assert_eq!(request.parameters, *json!({"more": 1}).as_object().unwrap());
        (request.wants_binary("a"), request.wants_binary("b"))
    };
    assert_eq!(asked(json!(true), json!({"binary_data": false})), (false, true));
    assert_eq!(asked(json!(false), json!({"binary_data": true})), (true, false));
    assert_eq!(asked(json!(true), json!({})), (true, true));
    let wrong = json!({"parameters": {"binary_data_output": "yes"}, "inputs": []});
    assert!(refusal(wrong).contains("`binary_data_output` is true or false, not \"yes\""));
    // Unasked outputs follow the request.
    let unasked = parsed(json!({"parameters": {"binary_data_output": true}, "inputs": []})).unwrap();
    let empty = reply(vec![Tensor::new("a", vec![0, 2], Data::Fp32(Vec::new())).unwrap()]);
    let packed = empty.write(&unasked).unwrap();
    assert_eq!(packed.json_length, Some(packed.body.len()));
    let outputs = PredictReply::read(&packed.body, packed.json_length).unwrap();
    assert_eq!(outputs, empty.outputs);
}

#[test]
fn data_is_nested_as_its_shape_or_flat() {
    let flat = Data::Int64(vec![1, 2, 3, 4, 5, 6]);
    for data in [json!([1, 2, 3, 4, 5, 6]), json!([[1, 2, 3], [4, 5, 6]])] {
        assert_eq!(input("INT64", json!([2, 3]), data).unwrap().data, flat);
    }
    for (shape, data, why) in [
        (json!([2, 3]), json!([[1, 2], [3, 4], [5, 6]]), "2 items at nesting 2 where its shape has 3"),
        (json!([2, 3]), json!([[1, 2, 3], [4, 5]]), "2 items at nesting 2 where its shape has 3"),
        (json!([2, 3]), json!([[1, 2, 3], 4, 5, 6]), "nested deeper in one place than in another"),
        (json!([2, 3]), json!([1, 2, 3, 4]), "its shape [2, 3] needs 6 elements, its data has 4"),
        (json!([6]), json!([[1], [2], [3], [4], [5], [6]]), "its data is nested deeper than its shape"),
        (json!([2, 2, 2]), json!([[1, 2, 3, 4], [5, 6, 7, 8]]), "4 items at nesting 2 where its shape has 2"),
        (json!([1]), json!(7), "its data is not an array"),
        (json!([4_294_967_296_u64, 4_294_967_296_u64]), json!([]), "larger than any memory"),
        (json!(vec![1; 17]), json!([1]), "more than 16 dimensions"),
    ] {
        let error = input("INT64", shape, data.clone()).unwrap_err();
        assert!(error.message.contains(why), "{data}: {}", error.message);
        assert_eq!(error.param.as_deref(), Some("x"));
    }
}

#[test]
fn tensors_without_elements_and_without_dimensions_are_tensors() {
    for data in [json!([]), json!([[], [], []])] {
        assert_eq!(input("FP64", json!([3, 0]), data).unwrap().data, Data::Fp64(Vec::new()));
    }
    assert_eq!(input("BYTES", json!([0]), json!([])).unwrap().data.len(), 0);
    let scalar = input("FP64", json!([]), json!([7])).unwrap();
    assert_eq!((scalar.shape.len(), scalar.rows(), scalar.row_width()), (0, 1, 1));
    assert!(input("FP64", json!([]), json!([[7]])).is_err());
    assert!(input("FP64", json!([]), json!([])).is_err());
}

#[test]
fn elements_are_of_their_datatype() {
    for (datatype, data, held) in [
        ("FP16", json!([0.5, 1]), Some(Data::Fp16(vec![f16::from_f32(0.5), f16::ONE]))),
        ("FP16", json!([1e6]), None),
        ("BF16", json!([1.0]), Some(Data::Bf16(vec![bf16::ONE]))),
        ("FP32", json!([1e39]), None),
        ("FP32", json!(["1"]), None),
        ("UINT8", json!([255]), Some(Data::Uint8(vec![255]))),
        ("UINT8", json!([256]), None),
        ("UINT8", json!([-1]), None),
        ("INT64", json!([i64::MIN]), Some(Data::Int64(vec![i64::MIN]))),
        ("UINT64", json!([u64::MAX]), Some(Data::Uint64(vec![u64::MAX]))),
        ("INT32", json!([2.0]), Some(Data::Int32(vec![2]))),
        ("INT32", json!([2.5]), None),
        ("INT32", json!([null]), None),
        ("BOOL", json!([true, 0]), Some(Data::Bool(vec![true, false]))),
        ("BOOL", json!(["true"]), None),
        ("BYTES", json!(["ä", "\"\n"]), Some(Data::Bytes(vec!["ä".into(), "\"\n".into()]))),
        ("BYTES", json!([null]), Some(Data::Bytes(vec![Bytes::new()]))),
        ("BYTES", json!([1]), None),
    ] {
        let read = input(datatype, json!([data.as_array().unwrap().len()]), data.clone());
        match held {
            Some(held) => assert_eq!(read.unwrap().data, held, "{datatype} {data}"),
            None => {
                let error = read.unwrap_err().message;
                assert!(error.contains(&format!("is not a {datatype}")), "{datatype} {data}: {error}");
            }
        }
    }
    let missing = input("FP64", json!([1]), json!([null])).unwrap();
    assert!(matches!(missing.data.get(0), Some(Scalar::Real(value)) if value.is_nan()));
    assert!(input("FP8", json!([1]), json!([1])).unwrap_err().message.contains("`FP8` is not a datatype"));
}

#[test]
fn what_is_not_a_message_is_told_apart() {
    let tensor = |more: Value| {
        let mut tensor = json!({"name": "x", "datatype": "INT32", "shape": [1]});
        tensor.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"inputs": [tensor]})
    };
    for (body, why) in [
        (json!({}), "missing field `inputs`"),
        (json!([1]), "the body is not a JSON object"),
        (
            json!({"inputs": [{"name": "x", "datatype": "INT32", "shape": [-1], "data": []}]}),
            "tensor `x`: its shape is [-1]",
        ),
        (
            json!({"inputs": [{"name": "x", "datatype": "int32", "shape": [1], "data": [1]}]}),
            "tensor `x`: `int32` is not",
        ),
        (tensor(json!({"data": [1], "dtype": "INT32"})), "inputs[0].dtype: unknown field `dtype`"),
        (
            tensor(json!({"parameters": {"shared_memory_region": "r"}})),
            "input `x`: `shared_memory_region` belongs to",
        ),
        (tensor(json!({})), "neither `data` nor `binary_data_size`"),
        (tensor(json!({"data": null})), "neither `data` nor `binary_data_size`"),
        (tensor(json!({"data": [1], "parameters": {"binary_data_size": 4}})), "it has both"),
        (tensor(json!({"parameters": {"binary_data_size": -4}})), "is not a number of bytes"),
        (tensor(json!({"parameters": {"binary_data_size": 4}})), "4 bytes of binary data where 0 are left"),
    ] {
        let told = refusal(body.clone());
        assert!(told.contains(why), "{body}: {told}");
    }
    for (body, length, why) in [
        (&b"{\"inputs\": []}more"[..], Some(14), "4 bytes of binary data belong to no tensor"),
        (b"{}", Some(3), "`Inference-Header-Content-Length` is 3, the body has only 2 bytes"),
        (b"\xff", None, "not UTF-8"),
        (
            br#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [NaN]}]}"#,
            None,
            "inputs[0].data: expected value at line 1 column 70; JSON has no NaN and no Infinity",
        ),
    ] {
        let error = PredictRequest::parse("m", None, &Bytes::from_static(body), length).unwrap_err();
        assert!(error.message.contains(why), "{}", error.message);
    }
}

#[test]
fn binary_data_is_whole_elements() {
    for (datatype, bytes, why) in [
        (Datatype::Fp32, &[0; 6][..], "its 6 bytes are not whole FP32 elements of 4 bytes"),
        (Datatype::Bool, &[2], "a BOOL is 0 or 1, not 2"),
        (Datatype::Bytes, &[1, 0, 0], "no whole length before it"),
        (Datatype::Bytes, &[2, 0, 0, 0, b'x'], "says it has 2 bytes where 1 are left"),
    ] {
        assert!(Data::read_binary(datatype, &Bytes::from_static(bytes)).unwrap_err().contains(why));
    }
    let held = Data::read_binary(Datatype::Bytes, &Bytes::from_static(b"\x00\0\0\0\x02\0\0\0hi")).unwrap();
    assert_eq!(held, Data::Bytes(vec![Bytes::new(), Bytes::from_static(b"hi")]));
}

#[test]
fn what_json_has_no_word_for_is_refused_by_name() {
    let request = parsed(json!({"inputs": []})).unwrap();
    for data in [
        Data::Fp64(vec![f64::NAN]),
        Data::Fp16(vec![f16::INFINITY]),
        Data::Bytes(vec![Bytes::from_static(b"\xff")]),
    ] {
        let error = reply(vec![Tensor::new("score", vec![1], data).unwrap()]).write(&request).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("score"));
        assert!(error.message.contains("only binary data can carry"), "{error}");
    }
}

/// Elements of a datatype for a shape, from any bytes.
fn elements(datatype: Datatype, count: usize, finite: bool) -> BoxedStrategy<Data> {
    let Some(size) = datatype.size() else {
        let element = if finite {
            any::<String>().prop_map(|text| text.into_bytes()).boxed()
        } else {
            proptest::collection::vec(any::<u8>(), 0..9).boxed()
        };
        let all = proptest::collection::vec(element.prop_map(Bytes::from), count);
        return all.prop_map(Data::Bytes).boxed();
    };
    let bytes = proptest::collection::vec(any::<u8>(), count * size);
    let held = move |mut bytes: Vec<u8>| {
        if datatype == Datatype::Bool {
            bytes.iter_mut().for_each(|byte| *byte &= 1);
        }
        let data = Data::read_binary(datatype, &bytes.into()).unwrap();
        match data {
            Data::Fp16(mut v) if finite => {
                v.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = f16::ONE);
                Data::Fp16(v)
            }
            Data::Bf16(mut v) if finite => {
                v.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = bf16::ONE);
                Data::Bf16(v)
            }
            Data::Fp32(mut v) if finite => {
                v.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 1.0);
                Data::Fp32(v)
            }
            Data::Fp64(mut v) if finite => {
                v.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 1.0);
                Data::Fp64(v)
            }
            data => data,
        }
    };
    bytes.prop_map(held).boxed()
}

fn any_tensor(finite: bool) -> impl Strategy<Value = Tensor> {
    let datatype = proptest::sample::select(&Datatype::ALL[..]);
    let shape = proptest::collection::vec(0_usize..4, 0..4);
    (datatype, shape).prop_flat_map(move |(datatype, shape)| {
        elements(datatype, shape.iter().product(), finite)
            .prop_map(move |data| Tensor::new("x", shape.clone(), data).unwrap())
    })
}

/// A tensor's data as nested arrays.
fn nested(shape: &[usize], flat: &mut std::vec::IntoIter<Value>) -> Value {
    match shape.split_first() {
        None => flat.next().unwrap(),
        Some((length, rest)) => Value::Array((0..*length).map(|_| nested(rest, flat)).collect()),
    }
}

proptest! {
    #[test]
    fn each_tensor_comes_back_from_json_flat_and_nested(tensor in any_tensor(true)) {
        let request = PredictRequest { inputs: vec![tensor.clone()], ..parsed(json!({"inputs": []})).unwrap() };
        let packed = request.write().unwrap();
        let read = PredictRequest::parse("credit", None, &packed.body, packed.json_length).unwrap();
        prop_assert_eq!(&read.inputs, &vec![tensor.clone()]);
        if !tensor.shape.is_empty() {
            let mut body: Value = serde_json::from_slice(&packed.body).unwrap();
            let flat = body["inputs"][0]["data"].as_array().unwrap().clone();
            body["inputs"][0]["data"] = nested(&tensor.shape, &mut flat.into_iter());
            prop_assert_eq!(parsed(body).unwrap().inputs, vec![tensor]);
        }
    }

    #[test]
    fn each_tensor_comes_back_from_binary(first in any_tensor(false), second in any_tensor(false)) {
        let request = parsed(json!({"inputs": [], "parameters": {"binary_data_output": true}})).unwrap();
        let sent = reply(vec![first, second]);
        let packed = sent.write(&request).unwrap();
        let outputs = PredictReply::read(&packed.body, packed.json_length).unwrap();
        for (read, sent) in outputs.iter().zip(&sent.outputs) {
            // Bytes, since no NaN equals itself.
            let bytes = |tensor: &Tensor| {
                let mut bytes = Vec::new();
                tensor.data.write_binary(&mut bytes);
                bytes
            };
            prop_assert_eq!(bytes(read), bytes(sent));
            prop_assert_eq!((&read.name, &read.shape, read.datatype()), (&sent.name, &sent.shape, sent.datatype()));
        }
        prop_assert_eq!(outputs.len(), 2);
    }

    #[test]
    fn no_body_brings_the_gateway_down(
        body in proptest::collection::vec(any::<u8>(), 0..100),
        length in proptest::option::of(0_usize..120),
        size in any::<u16>(),
        datatype in proptest::sample::select(&Datatype::ALL[..]),
        dimension in any::<u64>(),
    ) {
        let _ = PredictRequest::parse("m", None, &Bytes::from(body.clone()), length);
        let head = json!({"inputs": [{"name": "x", "datatype": datatype, "shape": [dimension],
            "parameters": {"binary_data_size": size}}]}).to_string();
        let whole = [head.as_bytes(), &body].concat();
        let _ = PredictRequest::parse("m", None, &Bytes::from(whole), Some(head.len()));
    }
}
