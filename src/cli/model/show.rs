//! `aigate model show hf:OWNER/REPO[@REV] [FILE]` or `aigate model show FILE`

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use aigate_hub::{Cache, Options, Reference, size};
use clap::Args;
use serde_json::{Map, Value, json};

use super::pull::{named, wrong};
use crate::cli::out::print;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The model: hf:OWNER/REPO[@REVISION] in the cache, or a file or folder on this machine.
    model: String,
    /// The file of the repository.
    file: Option<String>,
    /// Load it and measure how fast it is on this machine.
    #[arg(long)]
    measure: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is known of a model: names and values, in the order to show them. A value that is not known is null.
pub(super) type Facts = Vec<(&'static str, Value)>;

/// Shows a model; `read` gives the facts that are in the model's own files.
pub(super) fn show(
    arguments: &Arguments,
    read: impl FnOnce(&Path, bool) -> Result<Facts, String>,
) -> Result<(), String> {
    let (path, mut facts) = if arguments.model.starts_with("hf:") {
        on_hub(&arguments.model, arguments.file.as_deref())?
    } else {
        on_disk(Path::new(&arguments.model), arguments.file.as_deref())?
    };
    facts.extend(read(&path, arguments.measure)?);
    print(&if arguments.json { as_json(facts) } else { as_text(&facts) })
}

fn on_hub(model: &str, file: Option<&str>) -> Result<(PathBuf, Facts), String> {
    let model = Reference::parse(model).unwrap_or_else(|why| wrong(&why));
    let model = named(&model, file);
    let (cache, options) = (Cache::from_environment()?, Options::from_environment()?);
    let held = cache.held(&model)?.ok_or_else(|| {
        format!("{model} is not in {}; fetch it: {}", cache.root().display(), model.pull_command())
    })?;
    let url = held.file.map(|file| aigate_hub::address(&model, &held.commit, &file, &options));
    let facts = vec![
        ("reference", json!(model.to_string())),
        ("path", json!(held.path)),
        ("size", json!(held.size)),
        ("commit", json!(held.commit)),
        ("sha256", json!(held.sha256)),
        ("url", json!(url.map(String::from))),
    ];
    Ok((held.path, facts))
}

fn on_disk(path: &Path, file: Option<&str>) -> Result<(PathBuf, Facts), String> {
    let path = file.map_or_else(|| path.to_owned(), |file| path.join(file));
    let data =
        std::fs::metadata(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let facts = vec![("path", json!(path)), ("size", json!(data.is_file().then_some(data.len())))];
    Ok((path, facts))
}

fn as_json(facts: Facts) -> String {
    let facts: Map<String, Value> = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    format!("{:#}\n", Value::Object(facts))
}

fn as_text(facts: &Facts) -> String {
    let mut out = String::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_null()) {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(bytes) if *name == "size" || name.ends_with("_bytes") => {
                bytes.as_u64().map_or_else(|| bytes.to_string(), size)
            }
            other => other.to_string(),
        };
        // Writing into a string does not fail.
        let _ = writeln!(out, "{name:<24} {value}");
    }
    out
}
