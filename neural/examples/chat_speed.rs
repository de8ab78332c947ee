//! How fast a GGUF file is on this machine: tokens a second of a prompt and of an answer, as `bench/local_chat.py` reads them.
//!
//!     cargo run --release -p aigate-neural --example chat_speed -- FILE.gguf [THREADS] [PROMPT TOKENS] [ANSWER TOKENS]

#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::disallowed_types, reason = "nothing is paused here")]

use std::{env, path::Path, sync::atomic::AtomicBool, time::Instant};

use aigate_neural::{
    decoder::{Cache, Decoder, Workspace},
    gguf::File,
    kernels::Team,
};

fn main() -> Result<(), String> {
    let words: Vec<String> = env::args().skip(1).collect();
    let path = words.first().ok_or("which file?")?;
    let count = |place: usize, usual: usize| words.get(place).map_or(Ok(usual), |word| word.parse());
    let number = |place, usual| count(place, usual).map_err(|error| error.to_string());
    let (threads, prompt, answer) = (number(1, 2)?, number(2, 512)?, number(3, 128)?);

    let started = Instant::now();
    let decoder = Decoder::read(&File::open(Path::new(path))?)?;
    println!("loaded in {:.2} s", started.elapsed().as_secs_f64());
    let (team, stop) = (Team::new(threads), AtomicBool::new(false));
    let mut cache = Cache::new(decoder.shape(), prompt + answer);
    let mut workspace = Workspace::default();
    let tokens: Vec<u32> = (0..prompt as u32).map(|place| 3 + place * 7 % 500).collect();

    let started = Instant::now();
    let mut next = best(decoder.forward(&team, &mut cache, &mut workspace, &tokens, &stop).map_err(stopped)?);
    println!("prompt {:.2} tokens/s", prompt as f64 / started.elapsed().as_secs_f64());
    let started = Instant::now();
    for _ in 0..answer {
        next = best(decoder.forward(&team, &mut cache, &mut workspace, &[next], &stop).map_err(stopped)?);
    }
    println!("answer {:.2} tokens/s", answer as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

fn stopped(_: aigate_neural::decoder::Stopped) -> String {
    "stopped".to_owned()
}

fn best(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(token, _)| token as u32)
}
