//! `cargo xtask test`: everything, from a fresh machine with Rust, Python 3, Node and Redis.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    models,
    run::{apt, is_there, root, run, say, watch},
};

/// Sets up the SDKs, runs every test, prints one summary.
pub(crate) fn test() -> Result<(), String> {
    let root = root();
    let python = venv(&root, "venv", "tests/clients/python/requirements.txt", "the OpenAI SDK for Python")?;
    let what = "the Triton and KServe clients and scikit-learn";
    let inference = venv(&root, "inference-venv", "tests/clients/inference/requirements.txt", what)?;
    let what = "llama.cpp, the OpenAI SDK and the Hugging Face Hub's client";
    let neural = venv(&root, "neural-venv", "tests/clients/neural/requirements.txt", what)?;
    let (files, encoders) = (models::gguf(&root, &neural)?, models::encoders(&root)?);
    let node = node_sdk(&root)?;
    if !is_there("redis-server") {
        apt(&["redis-server"])?;
    }
    say(
        "running every test: unit, golden, property, behaviour, the OpenAI SDKs, the Triton and KServe clients, scikit-learn, \
         llama.cpp, sentence-transformers, Redis",
    );
    let german = german_credit(&root);
    let mut tally = Tally::default();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(&root)
        .args(["test", "--workspace", "--locked", "--no-fail-fast", "--", "--include-ignored"])
        .env("AIGATE_TEST_PYTHON", &python)
        .env("AIGATE_TEST_INFERENCE_PYTHON", &inference)
        .env("AIGATE_TEST_NEURAL_PYTHON", &neural)
        .env("AIGATE_TEST_GGUF", &files)
        .env("AIGATE_TEST_ENCODERS", &encoders)
        .env("AIGATE_TEST_NODE", &node)
        .env("AIGATE_TEST_GERMAN_CREDIT", &german)
        // A hundred kills of a program that keeps budgets, a thousand corruptions of a running one's file.
        .env("AIGATE_TEST_LONG", "1");
    let succeeded = watch(&mut cargo, |line| tally.read(line))?;
    say(&format!("\n{} passed, {} failed", tally.passed, tally.failed));
    match (succeeded, tally.failed, tally.passed) {
        (true, 0, 1..) => Ok(()),
        (true, 0, 0) => Err("no test ran".to_owned()),
        _ => Err("not every test passed".to_owned()),
    }
}

/// The German Credit data beside the repository; empty if it is not there. Says which.
fn german_credit(root: &Path) -> PathBuf {
    let path = root.join("../shared/data/german-credit.csv");
    if path.is_file() {
        say(&format!("German Credit is at {}", path.display()));
        return path;
    }
    say(&format!(
        "German Credit is not at {}: training is compared with scikit-learn on generated tables alone",
        path.display()
    ));
    PathBuf::new()
}

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// `test result: ok. 12 passed; 0 failed; …`
    fn read(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let count = |word: &str| -> u64 {
            let part = rest.split(['.', ';']).map(str::trim).find(|part| part.ends_with(word));
            part.and_then(|part| part.split(' ').next()).and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        self.passed += count(" passed");
        self.failed += count(" failed");
    }
}

/// A virtual environment with a suite's requirements; its Python.
fn venv(root: &Path, name: &str, requirements: &str, what: &str) -> Result<PathBuf, String> {
    let venv = root.join("target/test-tools").join(name);
    let python = venv.join("bin/python");
    let requirements = root.join(requirements);
    if is_fresh(&venv.join("installed.txt"), &requirements) {
        return Ok(python);
    }
    if !is_there("python3") {
        apt(&["python3", "python3-venv"])?;
    }
    say(&format!("installing {what}"));
    let create = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
    if create().is_err() {
        // Debian keeps it in a package of its own.
        apt(&["python3-venv"])?;
        create()?;
    }
    let mut pip = Command::new(&python);
    run(pip
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements))?;
    remember(&venv.join("installed.txt"), &requirements)?;
    Ok(python)
}

/// The suite's folder with its packages installed.
fn node_sdk(root: &Path) -> Result<PathBuf, String> {
    let folder = root.join("tests/clients/node");
    let lock = folder.join("package-lock.json");
    let stamp = folder.join("node_modules/installed.txt");
    if is_fresh(&stamp, &lock) {
        return Ok(folder);
    }
    if !is_there("npm") {
        apt(&["nodejs", "npm"])?;
    }
    say("installing the OpenAI SDK for Node");
    run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    remember(&stamp, &lock)?;
    Ok(folder)
}

/// Whether what `list` names was installed already.
fn is_fresh(stamp: &Path, list: &Path) -> bool {
    matches!((fs::read(stamp), fs::read(list)), (Ok(stamp), Ok(list)) if stamp == list)
}

fn remember(stamp: &Path, list: &Path) -> Result<(), String> {
    fs::copy(list, stamp).map(|_| ()).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}
