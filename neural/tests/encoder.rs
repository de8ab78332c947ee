//! The encoder against sentence-transformers: tests/clients/neural/encoders.py makes the models and what is expected.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use aigate_neural::encoder::{EmbedError, Encoder, Threads, Tokens};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    vectors: Vec<Vec<f32>>,
}

fn models() -> Vec<PathBuf> {
    let folder = std::env::var("AIGATE_TEST_ENCODERS").expect("AIGATE_TEST_ENCODERS names a folder");
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut models: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    models.sort();
    assert!(!models.is_empty(), "no models in the folder");
    models
}

fn expected(folder: &Path) -> Expected {
    let text = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    serde_json::from_str(&text).expect("expected.json is as encoders.py writes it")
}

fn tokens(encoder: &Encoder, texts: &[String]) -> Vec<Tokens> {
    texts.iter().map(|text| encoder.tokenize(text).expect("a text")).collect()
}

/// The largest difference of two vectors' numbers after both were scaled by the second one's length.
fn distance(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let length = wanted.iter().map(|value| value * value).sum::<f32>().sqrt();
    found.iter().zip(wanted).map(|(a, b)| (a - b).abs() / length).fold(0.0, f32::max)
}

#[test]
#[ignore = "needs AIGATE_TEST_ENCODERS, a folder made by tests/clients/neural/encoders.py"]
fn ids_and_vectors_of_every_model_equal_those_of_sentence_transformers() {
    let threads = Threads::new(2).expect("threads");
    for folder in models() {
        let (encoder, expected) = (Encoder::open(&folder).expect("a model"), expected(&folder));
        let tokens = tokens(&encoder, &expected.texts);
        for ((tokens, ids), text) in tokens.iter().zip(&expected.ids).zip(&expected.texts) {
            assert_eq!(tokens.ids, *ids, "{}: {text}", folder.display());
            assert!(!tokens.truncated || ids.len() == encoder.max_tokens(), "{}: {text}", folder.display());
        }
        assert!(tokens.iter().any(|tokens| tokens.truncated), "{}: no text was cut", folder.display());
        let vectors = encoder.embed(&threads, &tokens, &|| false).expect("vectors");
        assert_eq!(vectors.len(), expected.vectors.len());
        for ((found, wanted), text) in vectors.iter().zip(&expected.vectors).zip(&expected.texts) {
            assert_eq!(found.len(), encoder.dimensions());
            let distance = distance(found, wanted);
            assert!(distance < 1e-5, "{}: {distance} off: {text}", folder.display());
        }
    }
}

#[test]
#[ignore = "needs AIGATE_TEST_ENCODERS, a folder made by tests/clients/neural/encoders.py"]
fn a_text_has_the_same_vector_alone_and_among_others_and_on_any_number_of_threads() {
    for folder in models() {
        let (encoder, expected) = (Encoder::open(&folder).expect("a model"), expected(&folder));
        let tokens = tokens(&encoder, &expected.texts);
        let many: Vec<Tokens> = tokens.iter().cycle().take(tokens.len() * 9).cloned().collect();
        let together = encoder.embed(&Threads::new(3).expect("threads"), &many, &|| false).expect("vectors");
        let single = Threads::new(1).expect("a thread");
        for (at, tokens) in tokens.iter().enumerate() {
            let alone = encoder.embed(&single, std::slice::from_ref(tokens), &|| false).expect("a vector");
            for other in together.iter().skip(at).step_by(expected.texts.len()) {
                assert!(distance(other, &alone[0]) < 1e-6, "{}: {}", folder.display(), expected.texts[at]);
            }
        }
    }
}

#[test]
#[ignore = "needs AIGATE_TEST_ENCODERS, a folder made by tests/clients/neural/encoders.py"]
fn token_ids_get_the_special_ones_around_them_unless_the_model_has_a_prompt() {
    for folder in models() {
        let encoder = Encoder::open(&folder).expect("a model");
        let around = encoder.tokenize_ids(&[]);
        if folder.ends_with("bert-prompt") {
            assert!(around.expect_err("refused").contains("send text"));
            continue;
        }
        let around = around.expect("no ids").ids;
        let text = encoder.tokenize("the quick brown fox").expect("a text").ids;
        let inner = &text[around.len() / 2..text.len() - around.len().div_ceil(2)];
        assert_eq!(encoder.tokenize_ids(inner).expect("ids").ids, text);
        let refused = encoder.tokenize_ids(&[4_000_000_000]).expect_err("beyond the vocabulary");
        assert!(refused.contains("4000000000"), "{refused}");
        let long = encoder.tokenize_ids(&vec![5; 10_000]).expect("long");
        assert!(long.truncated && long.ids.len() == encoder.max_tokens());
    }
}

#[test]
#[ignore = "needs AIGATE_TEST_ENCODERS, a folder made by tests/clients/neural/encoders.py"]
fn a_cancelled_batch_ends_between_layers() {
    let folder = models().remove(0);
    let encoder = Encoder::open(&folder).expect("a model");
    let tokens = vec![encoder.tokenize("a text").expect("a text")];
    let asked = std::cell::Cell::new(0);
    let cancelled = || {
        asked.set(asked.get() + 1);
        asked.get() > 1
    };
    let threads = Threads::new(1).expect("a thread");
    assert_eq!(encoder.embed(&threads, &tokens, &cancelled), Err(EmbedError::Cancelled));
    assert_eq!(asked.get(), 2);
}

#[test]
#[ignore = "needs AIGATE_TEST_ENCODERS, a folder made by tests/clients/neural/encoders.py"]
fn the_estimate_of_the_weights_is_near_what_the_files_hold() {
    for folder in models() {
        let estimate = Encoder::estimate(&folder, 2).expect("an estimate");
        let encoder = Encoder::open(&folder).expect("a model");
        assert!(
            estimate.weights > 0 && estimate.scratch > (encoder.max_tokens() * encoder.dimensions()) as u64
        );
    }
}
