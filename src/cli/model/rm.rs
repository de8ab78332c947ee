//! `aigate model rm hf:OWNER/REPO[@REV] [FILE]`

use std::io::{IsTerminal, stdin};

use aigate_hub::{Cache, Reference, Removed, size};
use clap::Args;

use super::pull::{named, wrong};
use crate::cli::out::print;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The model: a repository, or with @REVISION that revision only.
    #[arg(value_name = "hf:OWNER/REPO[@REVISION]", value_parser = Reference::parse)]
    model: Reference,
    /// The file. Default: all files.
    #[arg(value_name = "FILE")]
    file: Option<String>,
    /// Remove without asking.
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn rm(arguments: &Arguments) -> Result<(), String> {
    let model = named(&arguments.model, arguments.file.as_deref());
    let cache = Cache::from_environment()?;
    if !arguments.yes && !confirmed(&model, &cache)? {
        return print("nothing was removed\n");
    }
    let removed = cache.remove(&model)?;
    if removed == Removed::default() {
        return Err(format!("{model} is not in {}", cache.root().display()));
    }
    print(&said(&model, &removed))
}

fn confirmed(model: &Reference, cache: &Cache) -> Result<bool, String> {
    if !stdin().is_terminal() {
        wrong("there is no terminal to ask on: remove without asking by --yes");
    }
    print(&format!("remove {model} from {}? [y/N] ", cache.root().display()))?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| format!("cannot read the answer: {error}"))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn said(model: &Reference, removed: &Removed) -> String {
    let s = if removed.files == 1 { "" } else { "s" };
    let mut text = format!("{model}: {} file{s} removed, {} freed\n", removed.files, size(removed.freed));
    if removed.shared > 0 {
        text.push_str(&format!(
            "{} of them stay in the store that the hub's tools share between repositories: `hf cache prune` frees them\n",
            removed.shared
        ));
    }
    text
}
