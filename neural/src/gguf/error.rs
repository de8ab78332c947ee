//! What can be wrong with a GGUF file, or with a value in it.

use std::path::PathBuf;
use std::{fmt, io};

/// Why a GGUF file, or one value of its metadata, cannot be used.
#[derive(Debug)]
pub enum Error {
    /// The system could not open or read the file.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is of another format.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, or begins with.
        what: String,
    },
    /// A GGUF file that this program does not read, such as a newer version.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it would take, as a sentence's predicate.
        what: String,
    },
    /// The file contradicts itself or the format.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// The file ends too early.
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where it ends, as a sentence's predicate.
        what: String,
    },
    /// The metadata lack a key.
    Missing {
        /// The key.
        key: String,
    },
    /// A value of the metadata has another type, or does not fit the type asked for.
    Type {
        /// The key.
        key: String,
        /// The type asked for.
        wanted: &'static str,
        /// The type, and where it matters the value, in the file.
        found: String,
    },
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, cause } => write!(f, "{} cannot be read: {cause}", path.display()),
            Self::Foreign { path, what } => write!(f, "{} is not a GGUF file: {what}", path.display()),
            Self::Unsupported { path, what } | Self::Truncated { path, what } => {
                write!(f, "{} {what}", path.display())
            }
            Self::Damaged { path, what } => write!(f, "{} is damaged: {what}", path.display()),
            Self::Missing { key } => write!(f, "the file's metadata lack the key {key}"),
            Self::Type { key, wanted, found } => {
                write!(f, "the file's metadata hold {found} under {key}, where {wanted} is needed")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
