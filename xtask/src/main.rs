//! The project's chores. `cargo xtask test` sets up what the tests need and runs all of them; `cargo xtask bench` measures
//! the gateway beside nginx.

mod bench;
mod models;
mod run;
mod test;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("test", [])) => test::test(),
        Some(("bench", rest)) => bench::bench(rest),
        _ => Err("usage: cargo xtask test | cargo xtask bench [ARGUMENTS OF bench/bench.py]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            run::say(&format!("xtask: {why}"));
            ExitCode::FAILURE
        }
    }
}
