//! `aigate model list [--json]`

use std::{fmt::Write, time::SystemTime};

use aigate_hub::{Cache, Entry, size};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::out::print;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(arguments: &Arguments) -> Result<(), String> {
    let cache = Cache::from_environment()?;
    let entries = cache.list()?;
    if arguments.json {
        let rows: Vec<Value> = entries.iter().map(as_json).collect();
        return print(&format!("{:#}\n", json!({ "cache": cache.root(), "models": rows })));
    }
    if entries.is_empty() {
        return print(&format!(
            "no models in {}; fetch one: aigate model pull hf:OWNER/REPO\n",
            cache.root().display()
        ));
    }
    let mut out = format!("in {}\n", cache.root().display());
    for entry in &entries {
        // Writing into a string does not fail.
        let _ = writeln!(
            out,
            "  {:<7} {:>9}  {}  {}",
            entry.kind.name(),
            size(entry.size),
            written(entry).unwrap_or_else(|| " ".repeat(20)),
            reference(entry)
        );
    }
    print(&out)
}

/// The reference by which a configuration names it.
fn reference(entry: &Entry) -> String {
    let file = entry.file.as_ref().map(|file| format!("/{file}")).unwrap_or_default();
    let revision = match entry.revisions.iter().find(|name| *name == "main").or(entry.revisions.first()) {
        Some(name) if name == "main" => String::new(),
        Some(name) => format!("@{name}"),
        None => format!("@{}", entry.commit),
    };
    format!("hf:{}{revision}{file}", entry.repository)
}

fn written(entry: &Entry) -> Option<String> {
    entry
        .written
        .filter(|time| *time >= SystemTime::UNIX_EPOCH)
        .map(|time| humantime::format_rfc3339_seconds(time).to_string())
}

fn as_json(entry: &Entry) -> Value {
    json!({
        "reference": reference(entry), "repository": entry.repository, "commit": entry.commit,
        "revisions": entry.revisions, "file": entry.file, "kind": entry.kind.name(), "size": entry.size,
        "written": written(entry), "path": entry.path,
    })
}
