//! The Hub's standard cache folder: what the Hub's other tools fetched is used here, and the other way round.
//!
//! `models--OWNER--REPO/` has `blobs/ETAG` (contents by their checksum), `snapshots/COMMIT/FILE` (links to them) and
//! `refs/REVISION` (a commit). <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>

mod list;
mod lock;
mod remove;

use std::{
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

pub use list::{Entry, Kind};
pub(crate) use lock::Lock;
pub use remove::Removed;

use crate::{
    environment::{cache_folder, variable},
    reference::{Reference, check_path, is_commit, is_hex},
};

/// A cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// What the cache knows of a file or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The file or the snapshot's folder.
    pub path: PathBuf,
    /// The file's name in the repository; none for a snapshot's folder.
    pub file: Option<String>,
    /// The commit it is of.
    pub commit: String,
    /// Bytes, of all files for a snapshot.
    pub size: u64,
    /// SHA-256 in hexadecimal digits, of a file that the Hub names by it.
    pub sha256: Option<String>,
}

impl Cache {
    /// The folder that `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` or `HOME` names. It need not exist.
    ///
    /// # Errors
    /// None of these is set.
    pub fn from_environment() -> Result<Self, String> {
        Self::from_lookup(&variable)
    }

    /// The folder that these variables name.
    ///
    /// # Errors
    /// None of them is set.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        cache_folder(lookup).map(Self::at)
    }

    /// This folder. It need not exist.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file, or without one the model's only GGUF file or its snapshot's folder. Asks no network.
    ///
    /// # Errors
    /// A cache that cannot be read, or several GGUF files to choose from.
    pub fn find(&self, reference: &Reference) -> Result<Option<PathBuf>, String> {
        let Some(commit) = self.commit(reference)? else { return Ok(None) };
        let folder = self.repository(reference).snapshot(&commit);
        if let Some(file) = reference.file() {
            return Ok(Some(folder.join(file)).filter(|path| path.is_file()));
        }
        let files = files_below(&folder)?;
        let mut models = files.iter().filter(|path| is_gguf(path));
        Ok(match (models.next(), models.next()) {
            (Some(_), Some(_)) => {
                let names: Vec<String> = files.iter().filter(|path| is_gguf(path)).cloned().collect();
                return Err(format!(
                    "{reference} has several models in the cache: name one of {}",
                    names.join(", ")
                ));
            }
            (Some(only), None) if !is_encoder(&files) => Some(folder.join(only)),
            _ => (!files.is_empty()).then_some(folder),
        })
    }

    /// What is known of a file or snapshot that [`Cache::find`] finds.
    ///
    /// # Errors
    /// As [`Cache::find`].
    pub fn held(&self, reference: &Reference) -> Result<Option<Held>, String> {
        let (Some(path), Some(commit)) = (self.find(reference)?, self.commit(reference)?) else {
            return Ok(None);
        };
        let size = if path.is_dir() {
            let files = files_below(&path)?;
            files.iter().filter_map(|name| fs::metadata(path.join(name)).ok()).map(|data| data.len()).sum()
        } else {
            fs::metadata(&path).map_err(|error| unread(&path, &error))?.len()
        };
        let blob = fs::read_link(&path).ok();
        let name = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let sha256 = name.filter(|name| name.len() == 64 && is_hex(name)).map(str::to_owned);
        let file = relative(&self.repository(reference).snapshot(&commit), &path).filter(|_| path.is_file());
        Ok(Some(Held { path, file, commit, size, sha256 }))
    }

    pub(crate) fn repository(&self, reference: &Reference) -> Repository {
        let name = format!("models--{}--{}", reference.owner(), reference.repo());
        Repository { folder: self.root.join(&name), locks: self.root.join(".locks").join(name) }
    }

    /// The commit that a reference's revision means here.
    pub(crate) fn commit(&self, reference: &Reference) -> Result<Option<String>, String> {
        let revision = reference.revision_or_main();
        let path = self.repository(reference).reference(revision);
        match fs::read_to_string(&path) {
            Ok(commit) if is_commit(commit.trim()) => Ok(Some(commit.trim().to_owned())),
            Ok(_) => Err(format!("{} names no commit", path.display())),
            Err(error) if is_absent(&error) => Ok(is_commit(revision).then(|| revision.to_owned())),
            Err(error) => Err(unread(&path, &error)),
        }
    }
}

/// One repository's part of the cache.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) folder: PathBuf,
    pub(crate) locks: PathBuf,
}

impl Repository {
    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.blobs().join(etag)
    }

    /// What of a blob is there already. The Hub's older tools name and resume it likewise.
    pub(crate) fn incomplete(&self, etag: &str) -> PathBuf {
        self.blobs().join(format!("{etag}.incomplete"))
    }

    pub(crate) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }

    /// Lets a snapshot's file be this blob.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<PathBuf> {
        let link = self.snapshot(commit).join(file);
        let up = "../".repeat(file.split('/').count() + 1);
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        if fs::read_link(&link).is_ok_and(|present| present == target) {
            return Ok(link);
        }
        let parent = link.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent)?;
        // Beside it and renamed: a reader sees the old file or the new one.
        let fresh = parent.join(fresh("link"));
        std::os::unix::fs::symlink(&target, &fresh)?;
        fs::rename(&fresh, &link)?;
        Ok(link)
    }

    /// Notes which commit a branch or tag is.
    pub(crate) fn note(&self, revision: &str, commit: &str) -> io::Result<()> {
        let path = self.reference(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|present| present == commit) {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent)?;
        let fresh = parent.join(fresh("ref"));
        fs::write(&fresh, commit)?;
        fs::rename(&fresh, &path)
    }

    /// The commits that have a snapshot.
    pub(crate) fn commits(&self) -> Vec<String> {
        names(&self.folder.join("snapshots")).into_iter().filter(|name| is_commit(name)).collect()
    }

    /// The branches and tags that are known, each with its commit.
    pub(crate) fn revisions(&self) -> Vec<(String, String)> {
        let folder = self.folder.join("refs");
        let known = files_below(&folder).unwrap_or_default().into_iter();
        known
            .filter_map(|name| {
                let commit = fs::read_to_string(folder.join(&name)).ok()?;
                Some((name, commit.trim().to_owned()))
            })
            .collect()
    }
}

/// A name that nobody else uses, also in another process or container with the same folder.
fn fresh(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(".{}-{}-{count}.{what}", std::process::id(), now.as_nanos())
}

/// The files below a folder, as paths with `/`, in order. None where there is no folder. Links that lead nowhere,
/// files that are just being made and names that no repository could have are left out.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(unread(&next, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| unread(&next, &error))?;
            // A link to a folder is not followed: it could lead round in a circle.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if entry.path().is_file() {
                found.extend(relative(folder, &entry.path()));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn relative(folder: &Path, path: &Path) -> Option<String> {
    let names = path.strip_prefix(folder).ok()?.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let path = names.collect::<Option<Vec<_>>>()?.join("/");
    let unfinished = path
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with('.') && (name.ends_with(".link") || name.ends_with(".ref")));
    (check_path(&path).is_ok() && !unfinished).then_some(path)
}

/// The names in a folder; none where there is no such folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Whether a file's name is that of a GGUF model.
pub(crate) fn is_gguf(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Whether these files are an encoder's.
pub(crate) fn is_encoder<S: AsRef<str>>(files: &[S]) -> bool {
    let has = |name: &str| files.iter().any(|file| file.as_ref() == name);
    let weights = |file: &S| file.as_ref().ends_with(".safetensors");
    has("model.safetensors") && has("config.json") || has("modules.json") && files.iter().any(weights)
}

pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(crate) fn unread(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}
