//! Chat models that are on this machine already: in a folder, and in the cache of the Hugging Face Hub.

use std::{fs, path::Path};

use aigate_hub::{Cache, Kind, Reference};
use aigate_neural::chat::Facts;

/// A chat model that could answer.
#[derive(Clone, Debug)]
pub struct Installed {
    /// How a configuration names it.
    pub target: String,
    /// Bytes of memory with one worker and the usual context.
    pub memory: u64,
}

/// The chat models of a folder and of the Hub's cache, the smallest first. Files that cannot be used are left out.
pub fn installed(folder: &Path) -> Vec<Installed> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = names.filter(|path| path.extension().is_some_and(|ending| ending == "gguf"));
    let in_folder = files.filter_map(|path| {
        let target = path.file_name()?.to_str()?.to_owned();
        known(&path, target)
    });
    let entries = Cache::from_environment().and_then(|cache| cache.list()).unwrap_or_default();
    let on_hub = entries.into_iter().filter(|entry| entry.kind == Kind::Gguf).filter_map(|entry| {
        let file = entry.file.as_ref()?;
        let revision = entry.revisions.iter().find(|name| *name == "main");
        let at = if revision.is_some() { String::new() } else { format!("@{}", entry.commit) };
        let target = format!("hf:{}{at}/{file}", entry.repository);
        Reference::parse(&target).ok()?;
        known(&entry.path, target)
    });
    let mut found: Vec<Installed> = in_folder.chain(on_hub).collect();
    found.sort_by_key(|model| model.memory);
    found
}

fn known(path: &Path, target: String) -> Option<Installed> {
    let facts = Facts::read(path).ok()?;
    Some(Installed { target, memory: facts.memory(1, facts.context.min(4096)) })
}
