//! A file that comes in parts: its bytes so far on the disk, and their checksum so far.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::{client::Meta, error::PullError};

/// A file that comes in parts.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    length: u64,
    sum: Sum,
}

/// A checksum so far: the Hub names large files by SHA-256, others by Git's SHA-1.
enum Sum {
    Sha256(Sha256),
    Git(Sha1),
}

impl Part {
    /// Opens what is there already and sums it up; begins anew if that is longer than the whole.
    pub(super) fn open(path: &Path, meta: &Meta) -> Result<Self, PullError> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|error| failed(path, &error))?;
        let mut part = Self { file, path: path.to_owned(), length: 0, sum: Sum::of(meta) };
        part.read_through().map_err(|error| failed(path, &error))?;
        if part.length > meta.size {
            part.reset(meta)?;
        }
        Ok(part)
    }

    /// Bytes that are there.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Begins anew.
    pub(super) fn reset(&mut self, meta: &Meta) -> Result<(), PullError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|error| failed(&self.path, &error))?;
        (self.length, self.sum) = (0, Sum::of(meta));
        Ok(())
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.file.write_all(bytes).map_err(|error| failed(&self.path, &error))?;
        self.sum.add(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Makes it the blob if it is what the Hub says; removes it otherwise.
    pub(super) fn finish(self, name: &str, meta: &Meta, blob: &Path) -> Result<(), PullError> {
        let found = self.sum.finish();
        if found != meta.etag {
            std::fs::remove_file(&self.path).map_err(|error| failed(&self.path, &error))?;
            return Err(PullError::Checksum { file: name.to_owned(), expected: meta.etag.clone(), found });
        }
        // The name must not reach the disk before the content.
        let moved = self.file.sync_all().and_then(|()| std::fs::rename(&self.path, blob));
        moved.map_err(|error| failed(blob, &error))
    }

    fn read_through(&mut self) -> io::Result<()> {
        // A device has no length and no end.
        if self.file.metadata()?.len() == 0 {
            return Ok(());
        }
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = self.file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
            self.sum.add(bytes);
            self.length = self.length.saturating_add(bytes.len() as u64);
        }
    }
}

impl Sum {
    fn of(meta: &Meta) -> Self {
        if meta.etag.len() == 64 {
            return Self::Sha256(Sha256::new());
        }
        let mut git = Sha1::new();
        git.update(format!("blob {}\0", meta.size));
        Self::Git(git)
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::Git(sum) => sum.update(bytes),
        }
    }

    fn finish(self) -> String {
        let digest = match self {
            Self::Sha256(sum) => sum.finalize().to_vec(),
            Self::Git(sum) => sum.finalize().to_vec(),
        };
        digest.iter().fold(String::new(), |mut text, byte| {
            // Writing into a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Why a file of the cache cannot be written.
pub(super) fn failed(path: &Path, error: &io::Error) -> PullError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PullError::Full(path.to_owned()),
        _ => PullError::Disk(format!("cannot write {}: {error}", path.display())),
    }
}
