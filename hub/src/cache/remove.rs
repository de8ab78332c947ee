//! Taking models out of the cache again.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Cache, Lock, Repository, is_absent, names};
use crate::reference::{Reference, is_etag};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files of snapshots.
    pub files: u64,
    /// Bytes that are free now. Contents that another snapshot uses stay.
    pub freed: u64,
    /// Contents that stay in the store which the Hub's tools share between repositories; `hf cache prune` frees them.
    pub shared: u64,
}

impl Cache {
    /// Removes a file, a revision (a reference with a revision and no file) or the whole repository. A file without a
    /// revision is removed from every snapshot. What is not there is not removed: `files` is zero then.
    ///
    /// # Errors
    /// A pull of this repository is under way, or the cache cannot be changed.
    pub fn remove(&self, reference: &Reference) -> Result<Removed, String> {
        let repository = self.repository(reference);
        let _locks = lock_all(&repository, reference)?;
        let commits = match reference.revision() {
            Some(_) => self.commit(reference)?.into_iter().collect(),
            None => repository.commits(),
        };
        let mut removed = Removed::default();
        for commit in &commits {
            match reference.file() {
                Some(file) => remove_file(&repository.snapshot(commit), file, &mut removed)?,
                None => remove_snapshot(&repository, commit, &mut removed)?,
            }
        }
        let whole = reference.revision().is_none() && reference.file().is_none();
        if whole || removed.files > 0 {
            let nothing_left = repository.commits().is_empty();
            sweep(&repository, nothing_left, &mut removed)?;
            if nothing_left {
                remove_folder(&repository.folder)?;
                remove_folder(&repository.locks)?;
            }
        }
        Ok(removed)
    }
}

impl Removed {
    /// Counts a snapshot's file. Where links could not be made it is the content itself.
    fn count(&mut self, data: &fs::Metadata) {
        self.files += 1;
        if data.is_file() {
            self.freed = self.freed.saturating_add(data.len());
        }
    }
}

/// All locks of a repository, so that no pull begins meanwhile.
fn lock_all(repository: &Repository, reference: &Reference) -> Result<Vec<Lock>, String> {
    let locks = names(&repository.locks).into_iter().filter(|name| name.ends_with(".lock")).map(|name| {
        let path = repository.locks.join(name);
        let lock = Lock::try_take(&path).map_err(|error| unchanged(&path, &error))?;
        lock.ok_or_else(|| format!("`{}` is being pulled: wait for that, or stop it", reference.id()))
    });
    locks.collect()
}

fn remove_file(snapshot: &Path, file: &str, removed: &mut Removed) -> Result<(), String> {
    let path = snapshot.join(file);
    match fs::symlink_metadata(&path) {
        Ok(data) => removed.count(&data),
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(unchanged(&path, &error)),
    }
    fs::remove_file(&path).map_err(|error| unchanged(&path, &error))?;
    // Folders that are empty now go too; the first that is not ends it.
    let mut folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(snapshot));
    while folders.next().is_some_and(|folder| fs::remove_dir(folder).is_ok()) {}
    Ok(())
}

fn remove_snapshot(repository: &Repository, commit: &str, removed: &mut Removed) -> Result<(), String> {
    let folder = repository.snapshot(commit);
    for file in all_files(&folder).map_err(|error| unchanged(&folder, &error))? {
        removed.count(&fs::symlink_metadata(&file).map_err(|error| unchanged(&file, &error))?);
    }
    remove_folder(&folder)?;
    for (revision, _) in repository.revisions().into_iter().filter(|(_, of)| of == commit) {
        let path = repository.reference(&revision);
        fs::remove_file(&path).map_err(|error| unchanged(&path, &error))?;
    }
    Ok(())
}

/// Removes the contents that no snapshot uses; with `partial` also those that came only in part.
fn sweep(repository: &Repository, partial: bool, removed: &mut Removed) -> Result<(), String> {
    let snapshots = repository.folder.join("snapshots");
    let used = all_files(&snapshots).map_err(|error| unchanged(&snapshots, &error))?;
    let used: BTreeSet<String> = used.iter().filter_map(|link| blob_name(link)).collect();
    let idle = |name: &String| !used.contains(name) && (partial || is_etag(name));
    for name in names(&repository.blobs()).into_iter().filter(idle) {
        let path = repository.blob(&name);
        let data = fs::symlink_metadata(&path).map_err(|error| unchanged(&path, &error))?;
        fs::remove_file(&path).map_err(|error| unchanged(&path, &error))?;
        if data.is_symlink() {
            removed.shared += 1;
        } else {
            removed.freed = removed.freed.saturating_add(data.len());
        }
    }
    Ok(())
}

fn blob_name(link: &Path) -> Option<String> {
    fs::read_link(link).ok()?.file_name()?.to_str().map(str::to_owned)
}

/// All files and links below a folder, those that lead nowhere included.
fn all_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let place = if entry.file_type()?.is_dir() { &mut folders } else { &mut found };
            place.push(entry.path());
        }
    }
    Ok(found)
}

fn remove_folder(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if !is_absent(&error) => Err(unchanged(folder, &error)),
        _ => Ok(()),
    }
}

fn unchanged(path: &Path, error: &io::Error) -> String {
    format!("cannot remove {}: {error}", path.display())
}
