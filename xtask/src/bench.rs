//! `cargo xtask bench`: the whole gateway on loopback, beside nginx as a plain proxy, in one run.

use std::process::Command;

use crate::run::{apt, is_there, root, run, say};

/// Builds the gateway, installs the peers where they are missing, and runs `bench/run.sh` with `arguments`.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    let root = root();
    let missing: Vec<&str> =
        [("nginx", "nginx-light"), ("wrk", "wrk"), ("python3", "python3"), ("ip", "iproute2")]
            .into_iter()
            .filter(|(program, _)| !is_there(program))
            .map(|(_, package)| package)
            .collect();
    if !missing.is_empty() {
        apt(&missing)?;
    }
    run(Command::new(env!("CARGO")).current_dir(&root).args(["build", "--release", "--locked"]))?;
    say("measuring; leave the machine alone meanwhile");
    let out = root.join("target/bench");
    run(Command::new("sh")
        .arg(root.join("bench/run.sh"))
        .arg("--out")
        .arg(out.join("out"))
        .args(arguments)
        .env("BENCH_CACHE", &out)
        .env("AIGATE_BIN", root.join("target/release/aigate")))
}
