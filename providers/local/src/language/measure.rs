//! How fast a language model is on this machine: measured, not estimated.

use std::{path::Path, sync::atomic::AtomicBool};

use aigate_neural::{
    decoder::{Cache, Decoder, Workspace},
    encoder::{Encoder, Threads, Tokens},
    gguf::File,
    kernels::Team,
};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Tokens of the prompt, and of the answer.
const PROMPT: usize = 128;
const ANSWER: usize = 32;
/// Texts that are embedded, and tokens of each.
const TEXTS: usize = 32;
const TOKENS: usize = 64;

/// Loads the model of a file or folder and lets it work for some seconds: names and values.
pub(super) fn measure(path: &Path) -> Result<Vec<(&'static str, Value)>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    let mut told =
        if path.is_dir() { encoder(path, threads, started)? } else { chat(path, threads, started)? };
    told.push(("measured_threads", json!(threads)));
    Ok(told)
}

fn chat(path: &Path, threads: usize, started: Instant) -> Result<Vec<(&'static str, Value)>, String> {
    let decoder = Decoder::read(&File::open(path)?)?;
    let loaded = started.elapsed();
    let (team, stop) = (Team::new(threads), AtomicBool::new(false));
    let (mut cache, mut workspace) = (Cache::new(decoder.shape(), PROMPT + ANSWER), Workspace::default());
    // Any tokens will do: the work is the same.
    let tokens: Vec<u32> = (0..PROMPT).map(|place| (place % decoder.vocabulary()) as u32).collect();
    let mut pass = |tokens: &[u32]| {
        let begun = Instant::now();
        let passed = decoder.forward(&team, &mut cache, &mut workspace, tokens, &stop).map(drop);
        passed.map(|()| begun.elapsed().as_secs_f64()).map_err(|_| "the measurement was stopped".to_owned())
    };
    let prompt = pass(&tokens)?;
    let mut answer = 0.0;
    for token in tokens.iter().take(ANSWER) {
        answer += pass(&[*token])?;
    }
    Ok(vec![
        ("loaded_in_seconds", json!(rounded(loaded.as_secs_f64()))),
        ("prompt_tokens_per_second", json!(rounded(PROMPT as f64 / prompt))),
        ("answer_tokens_per_second", json!(rounded(ANSWER as f64 / answer))),
    ])
}

fn encoder(folder: &Path, threads: usize, started: Instant) -> Result<Vec<(&'static str, Value)>, String> {
    let encoder = Encoder::open(folder)?;
    let loaded = started.elapsed();
    let threads = Threads::new(threads)?;
    let length = TOKENS.min(encoder.max_tokens());
    let text = encoder.tokenize(&"one and another ".repeat(TOKENS))?;
    let ids = text.ids.get(..length).unwrap_or(&text.ids).to_vec();
    let batch = vec![Tokens { ids, truncated: false }; TEXTS];
    let begun = Instant::now();
    encoder.embed(&threads, &batch, &|| false).map_err(|error| format!("cannot embed: {error:?}"))?;
    let texts = TEXTS as f64 / begun.elapsed().as_secs_f64();
    Ok(vec![
        ("loaded_in_seconds", json!(rounded(loaded.as_secs_f64()))),
        ("texts_per_second", json!(rounded(texts))),
        ("text_tokens", json!(length)),
    ])
}

/// To three digits: a measurement has no more.
fn rounded(value: f64) -> f64 {
    let scale = 10f64.powi(2 - value.abs().log10().floor() as i32);
    if scale.is_finite() && value != 0.0 { (value * scale).round() / scale } else { value }
}
