//! What is in the cache.

use std::{fs, path::PathBuf, time::SystemTime};

use super::{Cache, Repository, files_below, is_encoder, is_gguf, names};

/// A model in the cache: a GGUF file, or a snapshot's other files together.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `OWNER/REPO`.
    pub repository: String,
    /// The commit it is of.
    pub commit: String,
    /// The branches and tags that mean this commit here.
    pub revisions: Vec<String>,
    /// The file; none for a snapshot's other files together.
    pub file: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// When it was written, where the file system tells.
    pub written: Option<SystemTime>,
    /// The file or the snapshot's folder.
    pub path: PathBuf,
}

/// What a model in the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A GGUF file.
    Gguf,
    /// The files of an encoder.
    Encoder,
    /// Something else.
    Other,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gguf => "gguf",
            Self::Encoder => "encoder",
            Self::Other => "other",
        }
    }
}

impl Cache {
    /// The models in the cache, in the order of their names. What is no repository of models is left out.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for name in names(&self.root) {
            let parts: Option<Vec<&str>> =
                name.strip_prefix("models--").map(|rest| rest.split("--").collect());
            let Some(id) = parts.map(|parts| parts.join("/")) else { continue };
            let repository =
                Repository { folder: self.root.join(&name), locks: self.root.join(".locks").join(&name) };
            for commit in repository.commits() {
                snapshot(&repository, &id, &commit, &mut entries)?;
            }
        }
        Ok(entries)
    }
}

fn snapshot(repository: &Repository, id: &str, commit: &str, entries: &mut Vec<Entry>) -> Result<(), String> {
    let folder = repository.snapshot(commit);
    let files = files_below(&folder)?;
    let revisions = repository.revisions().into_iter().filter(|(_, of)| of == commit);
    let revisions: Vec<String> = revisions.map(|(name, _)| name).collect();
    let entry = |file: Option<&String>, kind, of: &[&String]| {
        let facts = of.iter().filter_map(|name| fs::metadata(folder.join(name)).ok());
        let (sizes, times): (Vec<u64>, Vec<Option<SystemTime>>) =
            facts.map(|facts| (facts.len(), facts.modified().ok())).unzip();
        Entry {
            repository: id.to_owned(),
            commit: commit.to_owned(),
            revisions: revisions.clone(),
            file: file.cloned(),
            kind,
            size: sizes.iter().sum(),
            written: times.into_iter().flatten().max(),
            path: file.map_or_else(|| folder.clone(), |file| folder.join(file)),
        }
    };
    let (models, others): (Vec<&String>, Vec<&String>) = files.iter().partition(|name| is_gguf(name));
    entries.extend(models.iter().map(|&file| entry(Some(file), Kind::Gguf, &[file])));
    if !others.is_empty() {
        let kind = if is_encoder(&others) { Kind::Encoder } else { Kind::Other };
        entries.push(entry(None, kind, &others));
    }
    Ok(())
}
