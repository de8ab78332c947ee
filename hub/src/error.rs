//! Why a model could not be fetched, in words that say what to do.

use std::{fmt, path::PathBuf, time::Duration};

/// Why a model could not be fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum PullError {
    /// The repository has several models: one must be named.
    Choose {
        /// The repository.
        repository: String,
        /// What to choose from, with sizes in bytes where the Hub tells them.
        files: Vec<(String, Option<u64>)>,
    },
    /// The repository has nothing that can be served here.
    NoModel {
        /// The repository.
        repository: String,
        /// Its files, with sizes in bytes where the Hub tells them.
        files: Vec<(String, Option<u64>)>,
    },
    /// The Hub has no such thing.
    Missing {
        /// What is missing: "repository `a/b`".
        what: String,
        /// Names near it.
        near: Vec<String>,
        /// The Hub does not tell a private repository from none to a caller without a token.
        maybe_private: bool,
    },
    /// The Hub wants a token, or another one, or the licence accepted.
    Denied {
        /// The repository.
        repository: String,
        /// The page where access is asked for.
        page: String,
        /// The file that is looked at for a token.
        token_file: PathBuf,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// Offline, and the cache does not have it.
    Offline(String),
    /// The disk has too little room.
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// Bytes that are missing on the Hub's word, with a margin.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The disk became full. What is there is kept.
    Full(PathBuf),
    /// The content is not what the Hub says. The file was removed.
    Checksum {
        /// The file.
        file: String,
        /// What was expected, in hexadecimal digits.
        expected: String,
        /// What came.
        found: String,
    },
    /// The Hub wants to be left alone for longer than anybody waits.
    Busy(Duration),
    /// The Hub's answer makes no sense, or is not to be trusted.
    Answer(String),
    /// The Hub could not be reached, or broke off, again and again.
    Network(String),
    /// A file or folder of the cache cannot be used.
    Disk(String),
}

impl PullError {
    /// Whether the caller asked for something that was not clear: the command's exit code is 2 then.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Choose { .. } | Self::NoModel { .. })
    }
}

impl std::error::Error for PullError {}

impl fmt::Display for PullError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choose { repository, files } => {
                write!(f, "`{repository}` has several models: name one of these files:{}", Listing(files))
            }
            Self::NoModel { repository, files } if files.is_empty() => {
                write!(f, "`{repository}` has no files")
            }
            Self::NoModel { repository, files } => write!(
                f,
                "`{repository}` has neither a GGUF file nor an encoder's safetensors; its files are:{}",
                Listing(files)
            ),
            Self::Missing { what, near, maybe_private } => missing(f, what, near, *maybe_private),
            Self::Denied { repository, page, token_file, with_token } => {
                let token = if *with_token {
                    "the token that was sent does not suffice"
                } else {
                    "no token was sent"
                };
                write!(
                    f,
                    "`{repository}` needs access: {token}. Accept its licence or ask for access at {page}, make a token \
                     that can read at https://huggingface.co/settings/tokens, and put it into HF_TOKEN or into the file {}",
                    token_file.display()
                )
            }
            Self::Offline(what) => {
                write!(f, "{what} is not in the cache, and HF_HUB_OFFLINE forbids asking the hub")
            }
            Self::NoRoom { folder, needed, free } => write!(
                f,
                "{} has too little room: {} are needed, {} are free",
                folder.display(),
                size(*needed),
                size(*free)
            ),
            Self::Full(path) => write!(
                f,
                "the disk is full: what came is kept in {}; make room and pull again to go on from there",
                path.display()
            ),
            Self::Checksum { file, expected, found } => write!(
                f,
                "`{file}` is not what the hub says it is: its checksum should be {expected} and is {found}; it was removed"
            ),
            Self::Busy(wait) => {
                write!(f, "the hub asks to wait for {} s: try again later, or with a token", wait.as_secs())
            }
            Self::Answer(text) | Self::Network(text) | Self::Disk(text) => f.write_str(text),
        }
    }
}

/// A number of bytes for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut whole = bytes;
    let mut unit = "B";
    let mut tenths = 0;
    for next in UNITS {
        if whole < 1000 {
            break;
        }
        (tenths, whole, unit) = (whole % 1000 / 100, whole / 1000, next);
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {unit}") }
}

/// Files with their sizes, a line for each.
struct Listing<'a>(&'a [(String, Option<u64>)]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, bytes)| {
            let bytes = bytes.map_or_else(|| "size unknown".to_owned(), size);
            write!(f, "\n  {bytes:>12}  {name}")
        })
    }
}

fn missing(f: &mut fmt::Formatter<'_>, what: &str, near: &[String], maybe_private: bool) -> fmt::Result {
    write!(f, "the hub has no {what}")?;
    if maybe_private {
        f.write_str(", or it is private and needs a token (HF_TOKEN) that may read it")?;
    }
    match near {
        [] => Ok(()),
        near => write!(f, "; near it: {}", near.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down_to_a_tenth() {
        let shown = [0, 999, 1000, 1_250_000, 639_446_688, 5_000_000_000, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.2 MB", "639.4 MB", "5.0 GB", "18446.7 PB"]);
    }
}
