//! Running other programs.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

/// Prints a line to standard output.
pub(crate) fn say(line: &str) {
    // A reader that went away needs no word.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("cannot run {name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed: {status}")) }
}

/// Runs a command to its end, shows its standard output and hands each line to `watch`. Whether it succeeded.
pub(crate) fn watch(command: &mut Command, mut watch: impl FnMut(&str)) -> Result<bool, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("cannot run {name}: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            say(&line);
            watch(&line);
        }
    }
    Ok(child.wait().map_err(failed)?.success())
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs Debian packages, as root; says what to do otherwise.
pub(crate) fn apt(packages: &[&str]) -> Result<(), String> {
    let list = packages.join(" ");
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !root || !is_there("apt-get") {
        return Err(format!("these packages are missing: {list}; install them, e.g. with apt-get"));
    }
    say(&format!("installing {list}"));
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get").args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages))
}
