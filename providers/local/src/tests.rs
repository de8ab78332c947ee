//! Models of a folder, as a gateway asks them.

use std::path::PathBuf;

use aigate_contract::{
    Call, ErrorKind, OnUnsupported, Predict, Provider, Serve, Target, Trail,
    predict::{Data, Datatype, PredictReply, PredictRequest},
};
use aigate_tabular::{
    algorithm::Algorithm,
    progress::Unwatched,
    table::read_csv,
    train::{Choice, TrainOptions, train},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::{Config, Local, SAMPLE, build};

/// A folder that goes away with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aigate-local-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn provider(&self) -> std::sync::Arc<Local> {
        build(&Config { folder: Some(self.0.clone()), ..Config::default() }).unwrap()
    }

    /// A model of two inputs; `income` is missing in some rows, so that it may be.
    fn train(&self, name: &str) {
        let mut csv = "income,home,bad\n".to_owned();
        for row in 0..200 {
            let income = if row % 10 == 3 { String::new() } else { format!("{}", 1000 + row * 7 % 900) };
            let home = if row % 3 == 0 { "rent" } else { "own" };
            let bad = u8::from(row % 3 == 0 && row % 7 < 5 || row % 11 == 0);
            csv += &format!("{income},{home},{bad}\n");
        }
        let file = self.0.join("data.csv");
        std::fs::write(&file, csv).unwrap();
        let options =
            TrainOptions { algorithm: Choice::One(Algorithm::Linear), ..TrainOptions::new("bad", name) };
        let artefact = train(&read_csv(&file).unwrap(), &options, &Unwatched).unwrap();
        artefact.save(&self.0.join(format!("{name}.json"))).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn call(target: &str, body: &Value) -> Call<Predict> {
    let request = PredictRequest::parse("m", None, &Bytes::from(body.to_string()), None).unwrap();
    let target = Target { on_unsupported: OnUnsupported::Refuse, ..Target::new("local", target) };
    Call {
        request: request.into(),
        target: target.into(),
        deadline: Instant::now() + Duration::from_secs(5),
        trail: Trail::new("test", None).into(),
    }
}

fn reals(reply: &PredictReply, name: &str) -> Vec<f64> {
    match &reply.outputs.iter().find(|tensor| tensor.name == name).unwrap().data {
        Data::Fp64(values) => values.clone(),
        other => panic!("{name} is {}", other.datatype()),
    }
}

fn home(values: &[&str]) -> Value {
    json!({ "name": "home", "datatype": "BYTES", "shape": [values.len()], "data": values })
}

#[tokio::test]
async fn an_input_that_was_missing_in_training_may_be_left_out_and_another_may_not() {
    let folder = Folder::new("missing");
    folder.train("credit");
    let local = folder.provider();
    local.check_target("predict", "credit").unwrap();
    let known = local.known("credit").unwrap();
    let inputs: Vec<_> =
        known.signature.inputs.iter().map(|i| (i.name.as_str(), i.datatype, i.nullable)).collect();
    assert_eq!(inputs, [("income", Datatype::Fp64, true), ("home", Datatype::Bytes, false)]);
    assert_eq!(known.version.len(), 12, "a part of the checksum: {}", known.version);

    let income = json!({ "name": "income", "datatype": "FP64", "shape": [2], "data": [null, 1500] });
    let both = json!({ "inputs": [income, home(&["own", "own"])] });
    let with_null = reals(&local.serve(call("credit", &both)).await.unwrap(), "score");
    let without = json!({ "inputs": [home(&["own"])] });
    let left_out = reals(&local.serve(call("credit", &without)).await.unwrap(), "score");
    assert_eq!(with_null[0], left_out[0]);
    assert!(with_null[0] != with_null[1]);
}

#[tokio::test]
async fn a_word_that_the_model_has_never_seen_is_told() {
    let folder = Folder::new("unseen");
    let local = folder.provider();
    let mut body = crate::sample_request().unwrap();
    let told = |reply: PredictReply| reply.parameters.get("aigate_unseen_levels").cloned();
    assert_eq!(told(local.serve(call(SAMPLE, &body)).await.unwrap()), None);
    for input in body["inputs"].as_array_mut().unwrap() {
        if ["housing", "job"].contains(&input["name"].as_str().unwrap()) {
            input["data"] = json!(["castle"]);
        }
    }
    assert_eq!(told(local.serve(call(SAMPLE, &body)).await.unwrap()), Some("housing,job".into()));
}

#[tokio::test]
async fn contributions_add_up_and_reasons_follow_the_adverse_direction() {
    let folder = Folder::new("explain");
    let local = folder.provider();
    let mut body = crate::sample_request().unwrap();
    let names = ["score", "contributions", "base", "raw_score", "reason_codes"];
    body["outputs"] = names.map(|name| json!({ "name": name })).to_vec().into();
    let high = local.serve(call(SAMPLE, &body)).await.unwrap();
    let sum: f64 = reals(&high, "contributions").iter().sum::<f64>() + reals(&high, "base")[0];
    assert!((sum - reals(&high, "raw_score")[0]).abs() < 1e-9);
    let reasons = |reply: &PredictReply| match &reply.outputs.last().unwrap().data {
        Data::Bytes(words) => {
            words.iter().map(|word| String::from_utf8(word.to_vec()).unwrap()).collect::<Vec<_>>()
        }
        _ => panic!("reasons are texts"),
    };
    assert!(reasons(&high).iter().any(|reason| reason.contains("raised")), "{:?}", reasons(&high));
    body["parameters"] = json!({ "adverse": "low" });
    let low = local.serve(call(SAMPLE, &body)).await.unwrap();
    assert!(reasons(&low).iter().any(|reason| reason.contains("lowered")), "{:?}", reasons(&low));
    for wrong in [json!({ "adverse": "sideways" }), json!({ "temperature": 1 })] {
        body["parameters"] = wrong;
        let error = local.serve(call(SAMPLE, &body)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported), "{error}");
    }
}

#[tokio::test]
async fn an_onnx_file_stands_in_the_artefact_s_place_and_says_what_it_cannot_do() {
    let folder = Folder::new("onnx");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tabular/src/artefact/onnx/golden");
    let name = std::fs::read_dir(golden)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.ends_with(".onnx") && name.contains("logistic"))
        .unwrap();
    std::fs::copy(format!("{golden}/{name}"), folder.0.join("exported.onnx")).unwrap();
    let local = folder.provider();
    local.check_target("predict", "exported").unwrap();
    let known = local.known("exported").unwrap();
    assert_eq!(known.platform, "onnx_onnxv1");
    assert!(known.signature.outputs.iter().all(|output| output.name != "contributions"));
}

#[test]
fn a_damaged_a_foreign_and_a_missing_file_are_refused_with_the_reason() {
    let folder = Folder::new("damaged");
    folder.train("good");
    let text = std::fs::read_to_string(folder.0.join("good.json")).unwrap();
    std::fs::write(folder.0.join("damaged.json"), text.replacen("\"intercept\"", "\"intercept \"", 1))
        .unwrap();
    std::fs::write(folder.0.join("foreign.json"), "{\"a\": 1}").unwrap();
    let newer = text.replacen("\"format_version\": 1", "\"format_version\": 9", 1);
    assert_ne!(newer, text);
    std::fs::write(folder.0.join("newer.json"), newer).unwrap();
    let local = folder.provider();
    for (target, said) in [
        ("damaged", "checksum"),
        ("foreign", "not an aigate model file"),
        ("newer", "newer"),
        ("nowhere", "aigate model train"),
        ("../good", "not the name of a file"),
    ] {
        let why = local.check_target("predict", target).unwrap_err();
        assert!(why.contains(said), "{target}: {why}");
        assert!(local.known(target).is_none());
    }
}
