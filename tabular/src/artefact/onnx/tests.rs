//! Exports of scikit-learn, `LightGBM` and `XGBoost` against ONNX Runtime, by `golden.py`; and files that are wrong.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{OnnxError, OnnxModel, Sidecar};
use crate::artefact::{PredictError, Predictor};
use crate::schema::{Kind, OutcomeKind};
use crate::table::{Column, Table};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/artefact/onnx")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("golden").join(format!("{name}.onnx"))).unwrap()
}

fn load(name: &str) -> OnnxModel {
    OnnxModel::load(&folder().join("golden").join(format!("{name}.onnx"))).unwrap()
}

fn golden() -> Json {
    serde_json::from_slice(&std::fs::read(folder().join("golden.json")).unwrap()).unwrap()
}

fn numbers(values: &[&Json]) -> Column {
    Column::Numbers(values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect())
}

/// The rows with named columns.
fn rows(golden: &Json) -> Table {
    let rows = golden["rows"].as_array().unwrap();
    let column = |name: &str| rows.iter().map(|row| &row[name]).collect::<Vec<_>>();
    let job = column("job").iter().map(|job| Some(job.as_str().unwrap().to_owned())).collect();
    Table {
        names: ["job", "age", "income", "children"].map(str::to_owned).to_vec(),
        columns: vec![
            Column::Words(job),
            numbers(&column("age")),
            numbers(&column("income")),
            numbers(&column("children")),
        ],
        rows: rows.len(),
    }
}

/// The rows of the models whose one input has three columns.
fn wide(golden: &Json, input: &str) -> Table {
    let rows = golden["wide"].as_array().unwrap();
    let column = |at: usize| numbers(&rows.iter().map(|row| &row[at]).collect::<Vec<_>>());
    Table {
        names: (0..3).map(|at| format!("{input}_{at}")).collect(),
        columns: (0..3).map(column).collect(),
        rows: rows.len(),
    }
}

fn table_for(model: &OnnxModel, golden: &Json) -> Table {
    match model.schema().features[0].name.strip_suffix("_0") {
        Some(input) => wide(golden, input),
        None => rows(golden),
    }
}

#[test]
fn exports_score_as_in_onnx_runtime() {
    let golden = golden();
    let all = golden["scores"].as_object().unwrap();
    assert_eq!(all.len(), 17);
    for (name, right) in all {
        let model = load(name);
        let found = model.score(&table_for(&model, &golden)).unwrap();
        let right: Vec<f64> = right.as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect();
        assert_eq!(found.len(), right.len(), "{name}");
        for (found, right) in found.iter().zip(&right) {
            assert!(
                (found - right).abs() < 3e-6 * right.abs().max(1.0),
                "{name}: {found} instead of {right}"
            );
        }
    }
}

#[test]
fn the_graph_names_inputs_and_classes() {
    let model = load("forest");
    let schema = model.schema();
    let names: Vec<&str> = schema.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["age", "income", "children", "job"]);
    assert_eq!((&schema.features[0].kind, &schema.features[2].kind), (&Kind::Real, &Kind::Integer));
    let levels = ["clerk", "farmer", "pilot"].map(str::to_owned).to_vec();
    assert_eq!(schema.features[3].kind, Kind::Category { levels });
    let (negative, positive) = ("bad".to_owned(), "ok".to_owned());
    assert_eq!(schema.outcome.kind, OutcomeKind::Classes { negative, positive });
    assert_eq!((model.name(), model.version(), model.threshold()), ("forest", None, None));
    assert_eq!(load("ridge").schema().outcome.kind, OutcomeKind::Number);
}

#[test]
fn a_sidecar_says_what_the_graph_does_not() {
    let golden = golden();
    let sidecar: Sidecar = serde_json::from_str(
        r#"{"name": "risk", "version": "7", "target": "bad", "positive": "bad", "threshold": 0.3,
            "features": ["years", {"name": "pay", "kind": "real", "nullable": false}, "kids", "work"]}"#,
    )
    .unwrap();
    let model = OnnxModel::read(&bytes("forest"), "file", sidecar).unwrap();
    assert_eq!((model.name(), model.version(), model.threshold()), ("risk", Some("7"), Some(0.3)));
    let mut table = rows(&golden);
    table.names = ["work", "years", "pay", "kids"].map(str::to_owned).to_vec();
    let error = model.score(&table).unwrap_err().to_string();
    assert!(error.contains("column `pay`: a value is missing"), "{error}");
    let Column::Numbers(pay) = &mut table.columns[2] else { panic!("numbers") };
    pay.iter_mut().for_each(|pay| *pay = pay.max(0.0));
    let bad = model.score(&table).unwrap();
    let other = Sidecar { features: None, positive: None, ..Sidecar::default() };
    table.names = rows(&golden).names;
    let ok = OnnxModel::read(&bytes("forest"), "file", other).unwrap().score(&table).unwrap();
    assert!(bad.iter().zip(&ok).all(|(bad, ok)| (bad + ok - 1.0).abs() < 1e-6));
}

#[test]
fn a_sidecar_that_does_not_fit_is_refused() {
    let cases = [
        ("forest", r#"{"positive": "good"}"#, "`positive` is `good`, but the classes are `bad` and `ok`"),
        ("forest", r#"{"features": ["a"]}"#, "`features` names 1, but the graph has 4"),
        ("forest", r#"{"features": ["a", "b", "c", "a"]}"#, "two features are named `a`"),
        (
            "forest",
            r#"{"features": [{"name": "a", "kind": "category", "levels": [], "nullable": true}, "b", "c", "d"]}"#,
            "the feature `a` has numbers in the graph",
        ),
        (
            "forest",
            r#"{"output": "x"}"#,
            "there is no output `x`; there are `output_label`, `output_probability`",
        ),
        ("forest", r#"{"classes": ["a", "a"]}"#, "both classes are `a`"),
        ("ridge", r#"{"threshold": 0.5}"#, "`threshold` is for models of two classes"),
        ("ridge", r#"{"positive": "a"}"#, "`positive` needs `classes`"),
    ];
    for (name, sidecar, reason) in cases {
        let sidecar: Sidecar = serde_json::from_str(sidecar).unwrap();
        let error = OnnxModel::read(&bytes(name), "file", sidecar).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    assert!(serde_json::from_str::<Sidecar>(r#"{"treshold": 0.5}"#).is_err());
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let refused =
        |name: &str| OnnxModel::read(&bytes(name), "file", Sidecar::default()).unwrap_err().to_string();
    assert!(refused("three_classes").contains("it has 3 classes; only two are supported"));
    assert!(refused("neighbours").contains("is not supported"), "{}", refused("neighbours"));
    let error = OnnxModel::read(b"age,job\n1,clerk\n", "file", Sidecar::default()).unwrap_err();
    assert!(matches!(error, OnnxError::Model(_)), "{error}");
    let error = OnnxModel::load(Path::new("/nonexistent.onnx")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent.onnx: "), "{error}");
}

#[test]
fn rows_that_do_not_fit_are_refused_with_their_place() {
    let golden = golden();
    let table = rows(&golden);
    let change = |name: &str, column: Column| {
        let mut table = table.clone();
        let at = table.position(name).unwrap();
        table.columns[at] = column;
        load("logistic").score(&table).unwrap_err().to_string()
    };
    let words = |word: Option<&str>| Column::Words(vec![word.map(str::to_owned); table.rows]);
    assert!(change("age", words(Some("old"))).contains("row 1, column `age`: the model wants numbers"));
    assert!(change("job", words(None)).contains("row 1, column `job`: a word is missing"));
    assert!(change("children", Column::Numbers(vec![0.5; table.rows])).contains("whole numbers only"));
    let error = load("logistic").score(&table.without("age")).unwrap_err().to_string();
    assert!(error.contains("there is no column `age`"), "{error}");
    // The tree's export has no place for missing values, linear ones would give no number.
    let mut missing = wide(&golden, "X");
    missing.columns[0] = Column::Numbers(vec![f64::NAN; missing.rows]);
    let error = load("bayes").score(&missing).unwrap_err().to_string();
    assert!(error.contains("row 1: the model gives no number for it"), "{error}");
}

#[test]
fn a_predictor_loads_an_export_and_says_that_it_cannot_explain() {
    let golden = golden();
    let predictor = Predictor::load(&folder().join("golden/logistic.onnx")).unwrap();
    assert_eq!(predictor.score(&rows(&golden)).unwrap().len(), 12);
    assert_eq!((predictor.name(), predictor.threshold()), ("logistic", None));
    assert!(predictor.artefact().is_none());
    assert!(matches!(predictor.explain(&rows(&golden)), Err(PredictError::Unsupported(_))));
}

#[test]
fn many_rows_are_scored_as_one_by_one() {
    let golden = golden();
    let (model, table) = (load("ada"), rows(&golden));
    let many: Vec<usize> = (0..5000).map(|at| at % table.rows).collect();
    let (few, many) = (model.score(&table).unwrap(), model.score(&table.select(&many)).unwrap());
    assert_eq!(many.len(), 5000);
    assert!(many.iter().enumerate().all(|(at, score)| *score == few[at % few.len()]));
}

#[test]
fn damaged_files_never_panic() {
    let golden = golden();
    for name in ["logistic", "ordinal_boosting", "network", "powers", "ada"] {
        let whole = bytes(name);
        let try_it = |bytes: &[u8]| {
            if let Ok(model) = OnnxModel::read(bytes, "file", Sidecar::default()) {
                // It may be a model still, with another number or name.
                let _ = model.score(&table_for(&model, &golden));
            }
        };
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= [1, 2, 0x10, 0x80, 0xff][at % 5];
            try_it(&changed);
            match at % 3 {
                0 => try_it(&[&whole[..at], &[0xff_u8, 1, 0][at % 2..], &whole[at..]].concat()),
                1 => try_it(&[&whole[..at], &whole[(at + 1 + at % 9).min(whole.len())..]].concat()),
                _ => try_it(&whole[..at]),
            }
        }
    }
}
