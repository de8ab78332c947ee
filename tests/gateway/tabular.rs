//! `aigate model` beside scikit-learn, on the same tables and folds. `cargo xtask test` installs scikit-learn and says
//! where it is; without that this test is left out.

use std::{io::Write, process::Command};

#[test]
#[ignore = "needs scikit-learn, which `cargo xtask test` installs"]
fn training_measuring_and_explaining_hold_up_beside_scikit_learn() {
    let python = std::env::var("AIGATE_TEST_INFERENCE_PYTHON")
        .expect("`cargo xtask test` sets AIGATE_TEST_INFERENCE_PYTHON");
    let german_credit = std::env::var_os("AIGATE_TEST_GERMAN_CREDIT").unwrap_or_default();
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/tabular");
    let output = Command::new(python)
        .args(["-B", "-m", "pytest", "-q", "-rs", "--tb=short", "-p", "no:cacheprovider", suite])
        .env("AIGATE_BIN", env!("CARGO_BIN_EXE_aigate"))
        .env("AIGATE_GERMAN_CREDIT", german_credit)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // How many passed, and why some were skipped: shown by `cargo test -- --nocapture`.
    let said: Vec<&str> =
        text.lines().filter(|line| line.contains(" passed") || line.starts_with("SKIPPED")).collect();
    std::io::stdout().write_all(format!("{}\n", said.join("\n")).as_bytes()).unwrap();
}
