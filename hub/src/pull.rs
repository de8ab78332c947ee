//! A pull: which commit, which files, fetch what is not there, then let the snapshot show it.

mod choose;
mod download;
mod part;

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    cache::{Cache, Lock, Repository},
    client::{Hub, Meta},
    environment::Options,
    error::PullError,
    progress::Progress,
    reference::{Reference, check_path},
};

/// What is left free on the disk, in bytes.
const MARGIN: u64 = 64 << 20;

/// A file to have in the snapshot.
struct Wanted {
    name: String,
    meta: Meta,
}

/// Fetches a file, or without one the repository's only GGUF file or the files of its encoder, as far as the cache does
/// not have them. Gives the file or the snapshot's folder in the cache, as [`Cache::find`] will.
///
/// # Errors
/// See [`PullError`]. What came of an interrupted download stays, for the next pull to go on from.
pub async fn pull(
    reference: &Reference,
    cache: &Cache,
    options: &Options,
    progress: &dyn Progress,
) -> Result<PathBuf, PullError> {
    if options.offline {
        let found = cache.find(reference).map_err(PullError::Disk)?;
        return found.ok_or_else(|| PullError::Offline(reference.to_string()));
    }
    let hub = Hub::new(options, reference, progress)?;
    let revision = hub.revision().await?;
    let chosen = choose::choose(reference, &revision.files)?;
    let repository = cache.repository(reference);
    let mut wanted = Vec::new();
    for listed in &chosen.files {
        check_path(&listed.name).map_err(PullError::Answer)?;
        let meta = hub.meta(&revision.commit, &listed.name, listed.size).await?;
        wanted.push(Wanted { name: listed.name.clone(), meta });
    }
    std::fs::create_dir_all(repository.blobs()).map_err(|error| part::failed(&repository.blobs(), &error))?;
    check_room(&repository, &wanted)?;
    // All locks are held until the snapshot shows the files, so that nobody removes them meanwhile.
    let mut locks: BTreeMap<&str, Lock> = BTreeMap::new();
    for file in &wanted {
        if !locks.contains_key(&*file.meta.etag) {
            let lock = download::blob(&hub, &repository, &revision.commit, file, progress).await?;
            locks.insert(&file.meta.etag, lock);
        }
    }
    show(reference, &repository, &revision.commit, &wanted)?;
    let folder = repository.snapshot(&revision.commit);
    Ok(chosen.only.map_or_else(|| folder.clone(), |file| folder.join(file)))
}

/// Whether the disk has room for what is still to come.
fn check_room(repository: &Repository, wanted: &[Wanted]) -> Result<(), PullError> {
    let blobs: BTreeMap<&str, u64> = wanted.iter().map(|file| (&*file.meta.etag, file.meta.size)).collect();
    let missing =
        blobs.into_iter().filter(|(etag, _)| !repository.blob(etag).is_file()).map(|(etag, size)| {
            let present = std::fs::metadata(repository.incomplete(etag)).map_or(0, |data| data.len());
            size.saturating_sub(present)
        });
    let missing = missing.fold(0, u64::saturating_add);
    let folder = repository.blobs();
    let disk = rustix::fs::statvfs(&folder).map_err(|error| part::failed(&folder, &error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = missing.saturating_add(MARGIN);
    if missing > 0 && needed > free { Err(PullError::NoRoom { folder, needed, free }) } else { Ok(()) }
}

/// Lets the snapshot show the files, and notes which commit the revision is.
fn show(
    reference: &Reference,
    repository: &Repository,
    commit: &str,
    wanted: &[Wanted],
) -> Result<(), PullError> {
    for file in wanted {
        let linked = repository.link(commit, &file.name, &file.meta.etag);
        linked.map_err(|error| part::failed(&repository.snapshot(commit).join(&file.name), &error))?;
    }
    let revision = reference.revision_or_main();
    repository.note(revision, commit).map_err(|error| part::failed(&repository.reference(revision), &error))
}
