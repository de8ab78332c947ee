//! How fast texts become vectors: `embed_speed MODEL TEXTS THREADS ROUNDS`, to be run side by side with
//! tests/clients/neural/embed_speed.py.
//!
//! TEXTS is a file with one text a line. Prints, for each round, the seconds for all of them and for each of the first 50
//! alone, tokenization included.
#![expect(clippy::print_stdout, reason = "a program that prints")]
#![expect(clippy::disallowed_types, reason = "measures real time")]

use std::path::Path;
use std::time::Instant;

use aigate_neural::encoder::{Encoder, Threads, Tokens};

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, threads, rounds] = arguments.as_slice() else {
        return Err("usage: embed_speed MODEL TEXTS THREADS ROUNDS".into());
    };
    let encoder = Encoder::open(Path::new(model))?;
    let threads = Threads::new(threads.parse().map_err(|_| "THREADS is a number")?)?;
    let texts = std::fs::read_to_string(texts).map_err(|error| error.to_string())?;
    let texts: Vec<&str> = texts.lines().collect();
    let embed = |texts: &[&str]| -> Result<usize, String> {
        let tokens: Vec<Tokens> =
            texts.iter().map(|text| encoder.tokenize(text)).collect::<Result<_, _>>()?;
        encoder.embed(&threads, &tokens, &|| false).map_err(|error| error.to_string())?;
        Ok(tokens.iter().map(|tokens| tokens.ids.len()).sum())
    };
    for _ in 0..rounds.parse::<usize>().map_err(|_| "ROUNDS is a number")? {
        let start = Instant::now();
        let tokens = embed(&texts)?;
        let all = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let alone = texts.len().min(50);
        for text in &texts[..alone] {
            embed(&[text])?;
        }
        let each = start.elapsed().as_secs_f64() / alone as f64;
        println!("{} texts, {tokens} tokens: {all:.3} s; one alone: {:.2} ms", texts.len(), each * 1000.0);
    }
    Ok(())
}
