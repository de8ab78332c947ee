//! Model files: what is written comes back, and nothing else is taken for a model.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Artefact, ArtefactError, Candidate, FORMAT, Predictor, Source};
use crate::algorithm::{Algorithm, Settings, Work};
use crate::evaluate::{EvalOptions, Scored, evaluate};
use crate::model::{Form, Kernel, Linear, Link, Model, Tree, Trees};
use crate::prepare::{Action, Block, Encoder, Finding};
use crate::schema::{Feature, Kind, Outcome, OutcomeKind, Schema};
use crate::table::{Column, Fingerprint, Table};

mod damage;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn tree() -> Tree {
    Tree {
        feature: vec![0, 1, -1, -1, -1],
        threshold: vec![40.5, 0.1 + 0.2, 0.0, 0.0, 0.0],
        left: vec![1, 3, 0, 0, 0],
        value: vec![0.1, 1.0 / 3.0, -0.0, 0.7, 5e-324],
        cover: vec![10.0, 7.0, 3.0, 5.5, 1.5],
    }
}

/// The three forms, over five columns.
fn forms() -> [Form; 3] {
    [
        Form::Linear(Linear {
            weights: vec![0.1, -2.0, 3.5, 1e-300, 0.0],
            intercept: 0.3,
            means: vec![0.5; 5],
        }),
        Form::Kernel(Kernel {
            vectors: vec![vec![0.1, 0.0, 1.0, 0.0, 0.0], vec![-0.5, 1.0, 0.0, 0.0, 1.0]],
            coefficients: vec![0.7, -0.7],
            intercept: 0.01,
            gamma: 0.2,
            slope: -1.5,
            shift: 0.2,
            background: vec![vec![0.0; 5], vec![1.0, 0.0, 0.0, 1.0, 0.0]],
        }),
        Form::Trees(Trees { base: -0.25, factor: 0.5, trees: vec![tree(), tree()] }),
    ]
}

fn artefact(form: Form) -> Artefact {
    let feature = |name: &str, kind| Feature { name: name.to_owned(), kind, nullable: true };
    let metrics = evaluate(
        &Scored {
            outcome: &[0.0, 1.0, 0.0, 1.0],
            scores: &[0.1, 0.8, 0.6, 0.55],
            work: Work::Classes,
            groups: &[("sex".to_owned(), words(&["f", "f", "m", "m"]))],
        },
        &EvalOptions { resamples: 10, ..EvalOptions::default() },
    );
    Artefact {
        name: "credit".to_owned(),
        version: Some("3".to_owned()),
        created: "2026-01-02T03:04:05Z".to_owned(),
        tool: "aigate 0.1.0".to_owned(),
        command: "aigate model train data.csv --target bad".to_owned(),
        data: Fingerprint {
            file: "data.csv".to_owned(),
            bytes: 99,
            sha256: "ab".to_owned(),
            rows: 4,
            columns: 3,
        },
        source: Some(Source { licence: Some("CC BY 4.0".to_owned()), ..Source::default() }),
        schema: Schema {
            features: vec![
                feature("age", Kind::Integer),
                feature("job", Kind::Category { levels: words(&["clerk", "none", "ünïcode \"quoted\"\n"]) }),
            ],
            outcome: Outcome {
                column: "bad".to_owned(),
                kind: OutcomeKind::Classes { negative: "0".to_owned(), positive: "1".to_owned() },
            },
        },
        encoder: Encoder {
            blocks: vec![
                Block::Number { fill: 33.0, center: 35.1, scale: 11.2, indicator: true },
                Block::Category { levels: words(&["clerk", "none"]), other: true, missing: false },
            ],
        },
        algorithm: Algorithm::Forest,
        settings: Settings::default(),
        threshold: 0.4,
        comparison: vec![Candidate {
            algorithm: Algorithm::Svm,
            metric: "roc_auc".to_owned(),
            mean: None,
            spread: None,
            folds: 0,
            seconds: 0.0,
            note: Some("too many rows".to_owned()),
        }],
        choice: "the best mean".to_owned(),
        metrics,
        importance: vec![("age".to_owned(), 0.4), ("job".to_owned(), 0.1)],
        findings: vec![Finding {
            column: Some("id".to_owned()),
            what: "every value once | <b>".to_owned(),
            action: Action::Dropped,
        }],
        model: Model { link: Link::Logistic, form },
    }
}

fn table() -> Table {
    Table {
        names: words(&["job", "age"]),
        columns: vec![
            Column::Words(vec![Some("clerk".to_owned()), None, Some("pilot".to_owned())]),
            Column::Numbers(vec![44.0, f64::NAN, 20.0]),
        ],
        rows: 3,
    }
}

/// A file of its own, which is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("aigate-tabular-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_is_written_is_read_bit_by_bit() {
    for form in forms() {
        let artefact = artefact(form);
        let bytes = artefact.write().unwrap();
        let mut back = Artefact::read(&bytes).unwrap();
        // How many threads trained it is not kept.
        back.settings.threads = artefact.settings.threads;
        assert_eq!(back, artefact);
        assert_eq!(back.write().unwrap(), bytes);
        if let (Form::Trees(back), Form::Trees(trees)) = (&back.model.form, &artefact.model.form) {
            let bits = |trees: &Trees| trees.trees[0].value.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(back), bits(trees));
        }
    }
}

#[test]
fn the_file_has_its_format_first_and_a_line_for_each_tree() {
    let text = String::from_utf8(artefact(forms()[2].clone()).write().unwrap()).unwrap();
    assert!(
        text.starts_with("{\"format\": \"aigate-model\", \"format_version\": 1,\n\"checksum\": \"sha256:")
    );
    let trees = text.lines().filter(|line| {
        line.contains("{\"feature\":[0,1,-1,-1,-1],\"threshold\":[40.5,0.30000000000000004,0,0,0],")
    });
    assert_eq!(trees.count(), 2);
    assert!(text.lines().all(|line| line.len() < 2000), "a line is too long");
    assert!(text.lines().count() < 250, "{} lines", text.lines().count());
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["model"]["model"]["form"]["trees"]["trees"][0]["left"], json!([1, 3, 0, 0, 0]));
}

#[test]
fn a_file_is_saved_whole_and_loaded_again() {
    let scratch = Scratch::new("saved.json");
    let artefact = artefact(forms()[0].clone());
    artefact.save(&scratch.0).unwrap();
    artefact.save(&scratch.0).unwrap();
    assert_eq!(Artefact::load(&scratch.0).unwrap().model, artefact.model);
    let folder = scratch.0.parent().unwrap();
    let beside = format!("{}.{}.part", scratch.0.file_name().unwrap().to_string_lossy(), std::process::id());
    assert!(!folder.join(beside).exists());
}

#[test]
fn a_file_that_cannot_be_opened_or_written_is_named() {
    let gone = Path::new("/nonexistent/folder/model.json");
    let error = Artefact::load(gone).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/folder/model.json: "), "{error}");
    let error = artefact(forms()[0].clone()).save(gone).unwrap_err();
    assert!(matches!(error, ArtefactError::File { .. }), "{error}");
}

#[test]
fn a_predictor_scores_and_explains_the_same() {
    for form in forms() {
        let predictor = Predictor::new(artefact(form));
        assert_eq!(
            (predictor.name(), predictor.version(), predictor.threshold()),
            ("credit", Some("3"), Some(0.4))
        );
        let scores = predictor.score(&table()).unwrap();
        let explained = predictor.explain(&table()).unwrap();
        for (score, parts) in scores.iter().zip(&explained) {
            assert!((Link::Logistic.apply(parts.raw) - score).abs() < 1e-12);
            assert!((parts.base + parts.values.iter().sum::<f64>() - parts.raw).abs() < 1e-9);
        }
        let error = predictor.score(&table().without("age")).unwrap_err().to_string();
        assert!(error.contains("`age`"), "{error}");
    }
}

#[test]
fn the_card_says_what_the_model_is_and_escapes_what_came_from_data() {
    let card = artefact(forms()[2].clone()).card();
    for part in [
        "# Model card: credit\n",
        "the probability that bad is 1 rather than 0",
        "random forest, trees: 2, nodes: 10",
        "| Licence | CC BY 4.0 |",
        "| From | not stated |",
        "| support vector machine | roc\\_auc | not tried | not tried | 0 | 0.0 | too many rows |",
        "every value once \\| \\<b\\>",
        "### Groups of sex",
        "```text\naigate model train data.csv --target bad\n```",
        "| ROC AUC | 0.7500 |",
        "ünïcode \"quoted\" ",
    ] {
        assert!(card.contains(part), "{part} is not in:\n{card}");
    }
    let mut bare = artefact(forms()[0].clone());
    bare.source = None;
    bare.metrics.groups.clear();
    let card = bare.card();
    assert!(card.contains("Nobody said where the data came from"), "{card}");
    assert!(card.contains("no group was measured by itself"), "{card}");
}
