//! One file's content: wait for the lock, go on from what is there, try again when the connection breaks, verify.

use std::{path::Path, time::Duration};

use reqwest::{Response, StatusCode, header};
use tokio::task::spawn_blocking;

use super::{
    Wanted,
    part::{Part, failed},
};
use crate::{
    cache::{Lock, Repository},
    client::{Hub, whole},
    error::PullError,
    patience::Fault,
    progress::Progress,
};

/// How often a lock that somebody else has is tried.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Sees to it that the cache has a file's content. Gives the lock on it.
pub(super) async fn blob(
    hub: &Hub<'_>,
    repository: &Repository,
    commit: &str,
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<Lock, PullError> {
    let Wanted { name, meta } = wanted;
    let lock = lock(&repository.lock(&meta.etag), name, progress).await?;
    let blob = repository.blob(&meta.etag);
    match std::fs::metadata(&blob) {
        Ok(data) if data.len() == meta.size => return Ok(lock),
        Ok(data) => {
            progress.note(&format!(
                "`{name}` in the cache has {} bytes and should have {}: it is fetched anew",
                data.len(),
                meta.size
            ));
            std::fs::remove_file(&blob).map_err(|error| failed(&blob, &error))?;
        }
        Err(_) => {}
    }
    progress.begin(name, meta.size);
    let part = fetch(hub, repository, commit, wanted, progress).await?;
    let (name, meta) = (name.clone(), meta.clone());
    blocking(move || part.finish(&name, &meta, &blob)).await?;
    progress.end();
    Ok(lock)
}

async fn lock(path: &Path, name: &str, progress: &dyn Progress) -> Result<Lock, PullError> {
    let mut told = false;
    loop {
        if let Some(lock) = Lock::try_take(path).map_err(|error| failed(path, &error))? {
            return Ok(lock);
        }
        if !told {
            progress.note(&format!("`{name}` is being pulled by another process: waiting for it"));
            told = true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Fetches until all bytes are there.
async fn fetch(
    hub: &Hub<'_>,
    repository: &Repository,
    commit: &str,
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<Part, PullError> {
    let Wanted { name, meta } = wanted;
    let (path, of) = (repository.incomplete(&meta.etag), meta.clone());
    let mut part = blocking(move || Part::open(&path, &of)).await?;
    let mut patience = hub.patience();
    while part.length() < meta.size {
        progress.at(part.length());
        let tried = match hub.content(commit, name, part.length(), meta).await {
            Ok(response) => receive(&mut part, response, wanted, progress).await,
            Err(fault) => Err(fault),
        };
        patience.reached(part.length());
        if let Err(fault) = tried {
            patience.wait(fault, name).await?;
        }
    }
    progress.at(part.length());
    Ok(part)
}

/// Takes in one answer.
async fn receive(
    part: &mut Part,
    mut response: Response,
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<(), Fault> {
    let Wanted { name, meta } = wanted;
    if !continues(&response, part.length()) {
        if part.length() > 0 {
            progress
                .note(&format!("the server cannot go on with `{name}` from where it was: it begins anew"));
        }
        part.reset(meta)?;
        progress.at(0);
        if response.status() != StatusCode::OK {
            return Err(Fault::passing(format!("the server answered {} to a range", response.status())));
        }
    }
    loop {
        let chunk = response.chunk().await;
        let Some(bytes) = chunk.map_err(|error| Fault::passing(format!("broken off: {}", whole(&error))))?
        else {
            break;
        };
        let room = meta.size - part.length();
        if bytes.len() as u64 > room {
            part.reset(meta)?;
            return Err(PullError::Answer(format!(
                "`{name}` is longer than the {} bytes that the hub says",
                meta.size
            ))
            .into());
        }
        // A few kilobytes to the page cache: microseconds, so it is done in place.
        part.append(&bytes)?;
        progress.at(part.length());
    }
    if part.length() < meta.size {
        return Err(Fault::passing(format!("broken off after {} of {} bytes", part.length(), meta.size)));
    }
    Ok(())
}

/// Whether an answer goes on at this byte.
fn continues(response: &Response, at: u64) -> bool {
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
            range
                .and_then(|range| range.strip_prefix("bytes "))
                .and_then(|range| range.split_once('-'))
                .is_some_and(|(first, _)| first.trim().parse() == Ok(at))
        }
        _ => response.status() == StatusCode::OK && at == 0,
    }
}

/// Runs work on the disk where it holds up no other task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(PullError::Disk(format!("work on the disk broke off: {error}"))))
}
