//! From a target to a file or folder: in the provider's folder, or in the cache of the Hugging Face Hub.

use std::path::{Component, Path, PathBuf};

use aigate_hub::{Cache, Reference};

/// A chat model's file: `NAME` is `NAME.gguf` in the folder, `hf:OWNER/REPO/FILE.gguf` one of the Hub.
pub(super) fn chat(folder: &Path, target: &str) -> Result<PathBuf, String> {
    if target.starts_with("hf:") {
        return on_hub(target, Path::is_file);
    }
    let named = inside(folder, target)?;
    let with_ending = folder.join(format!("{target}.gguf"));
    match [named, with_ending].into_iter().find(|place| place.is_file()) {
        Some(place) => Ok(place),
        None => Err(format!(
            "there is no chat model {}.gguf: put a GGUF file there, or name one of the Hugging Face Hub (`target = \
             \"hf:OWNER/REPO/FILE.gguf\"`) and fetch it with `aigate model pull hf:OWNER/REPO FILE.gguf`",
            folder.join(target.trim_end_matches(".gguf")).display()
        )),
    }
}

/// An embedding model's folder: one of the provider's folder, or `hf:OWNER/REPO`.
pub(super) fn encoder(folder: &Path, target: &str) -> Result<PathBuf, String> {
    if target.starts_with("hf:") {
        return on_hub(target, Path::is_dir);
    }
    let place = inside(folder, target)?;
    if place.extension().is_some_and(|ending| ending == "onnx") {
        return Err("an ONNX file cannot embed texts here: name a folder with `model.safetensors`".to_owned());
    }
    if place.is_dir() {
        return Ok(place);
    }
    Err(format!(
        "there is no embedding model {}: put a folder in the layout of sentence-transformers there, or name one of the Hugging \
         Face Hub (`target = \"hf:OWNER/REPO\"`) and fetch it with `aigate model pull hf:OWNER/REPO`",
        place.display()
    ))
}

fn inside(folder: &Path, target: &str) -> Result<PathBuf, String> {
    let plain = |part| matches!(part, Component::Normal(_));
    if target.is_empty() || !Path::new(target).components().all(plain) {
        let folder = folder.display();
        return Err(format!("`{target}` is not the name of a file in {folder}, nor `hf:OWNER/REPO/FILE`"));
    }
    Ok(folder.join(target))
}

fn on_hub(target: &str, fits: fn(&Path) -> bool) -> Result<PathBuf, String> {
    let reference = Reference::parse(target)?;
    let cache = Cache::from_environment()?;
    match cache.find(&reference)? {
        Some(place) if fits(&place) => Ok(place),
        Some(place) => Err(format!("{} is not what this task needs", place.display())),
        None => Err(format!(
            "`{target}` is not in {}: fetch it with `{}`",
            cache.root().display(),
            reference.pull_command()
        )),
    }
}
