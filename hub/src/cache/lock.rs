//! The locks by which the Hub's tools keep out of each other's way: `flock` on `.locks/models--OWNER--REPO/ETAG.lock`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; none if somebody else has it.
    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Between opening and locking the file may have been removed: such a lock keeps nobody out.
            let (ours, theirs) = (file.metadata()?, fs::metadata(path));
            if theirs.is_ok_and(|theirs| theirs.ino() == ours.ino() && theirs.dev() == ours.dev()) {
                return Ok(Some(Self { _file: file }));
            }
        }
    }
}
