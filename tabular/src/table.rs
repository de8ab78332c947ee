//! A table in columns, and how a CSV file becomes one.
//!
//! Reading is strict: what cannot be read as it was meant is refused with its line and column, and what was decided on
//! the way (another delimiter, a mark for missing values, a column of words because of one odd value) becomes a note.

use std::{fs::File, io::Read, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod delimiter;
mod error;
mod infer;
mod parse;

pub use error::TableError;
pub use infer::{LARGEST, MISSING};

/// Columns of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// One per column.
    pub names: Vec<String>,
    /// One per name.
    pub columns: Vec<Column>,
    /// The length of each column.
    pub rows: usize,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Numbers; `NaN` is a missing one.
    Numbers(Vec<f64>),
    /// Words; `None` is a missing one.
    Words(Vec<Option<String>>),
}

/// A CSV file that was read.
#[derive(Clone, Debug)]
pub struct Csv {
    /// What it holds.
    pub table: Table,
    /// Which file it was.
    pub fingerprint: Fingerprint,
    /// What was decided in reading it, a sentence each.
    pub notes: Vec<String>,
}

/// Tells one file from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The file's name without its folder.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Rows without the header.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// How large a file may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: u64,
    /// Rows without the header.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Rows times columns.
    pub cells: usize,
    /// Bytes of one field.
    pub field: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 512 << 20, rows: 2_000_000, columns: 2_000, cells: 30_000_000, field: 64 << 10 }
    }
}

/// Reads a CSV file with a header, within the default [`Limits`]. A column whose present values are all numbers becomes
/// numbers, any other becomes words.
///
/// # Errors
/// A file that cannot be read, is too large, is not UTF-8, or is not a table; the error names the place.
pub fn read_csv(path: &Path) -> Result<Csv, TableError> {
    read_csv_within(path, &Limits::default())
}

/// Reads a CSV file like [`read_csv`], within limits of the caller's.
///
/// # Errors
/// As in [`read_csv`].
pub fn read_csv_within(path: &Path, limits: &Limits) -> Result<Csv, TableError> {
    let file = file_name(path);
    let parsed = read_bytes(path, limits).and_then(|bytes| Ok((parse::parse(&bytes, limits)?, bytes)));
    let (parse::Parsed { table, notes }, bytes) = parsed.map_err(|error| error.in_file(&file))?;
    let fingerprint = Fingerprint {
        file,
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        rows: table.rows,
        columns: table.columns.len(),
    };
    Ok(Csv { table, fingerprint, notes })
}

/// An error about a row of a file's table, told of the file and of the row's line in it, for which the file is read again.
pub fn locate(error: TableError, path: &Path) -> TableError {
    let found = error.row().and_then(|row| {
        let bytes = read_bytes(path, &Limits::default()).ok()?;
        parse::line_of(&bytes, row)
    });
    let error = error.in_file(&file_name(path));
    match found {
        Some(line) => error.at_line(line),
        None => error,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

fn read_bytes(path: &Path, limits: &Limits) -> Result<Vec<u8>, TableError> {
    let refused = |error: std::io::Error| TableError::new(format!("cannot be read: {error}"));
    let file = File::open(path).map_err(refused)?;
    let meta = file.metadata().map_err(refused)?;
    if meta.is_dir() {
        return Err(TableError::new("is a folder, not a file"));
    }
    let too_large =
        || TableError::new(format!("has more than {} bytes, the most that is read", limits.bytes));
    if meta.len() > limits.bytes {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read, or be a pipe that does not end.
    file.take(limits.bytes + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > limits.bytes { Err(too_large()) } else { Ok(bytes) }
}

impl Table {
    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.position(name).and_then(|at| self.columns.get(at))
    }

    /// Where a column stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// The given rows, in their order; a row that is not there is missing throughout.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|column| column.select(rows)).collect();
        Self { names: self.names.clone(), columns, rows: rows.len() }
    }

    /// All columns but one.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let kept = self.names.iter().zip(&self.columns).filter(|(n, _)| *n != name);
        let (names, columns) = kept.map(|(n, c)| (n.clone(), c.clone())).unzip();
        Self { names, columns, rows: self.rows }
    }

    /// The error that says that a column is not there, with the nearest name that is.
    pub fn no_column(&self, name: &str) -> TableError {
        let nearest =
            self.names.iter().map(|n| (strsim::jaro_winkler(&n.to_lowercase(), &name.to_lowercase()), n));
        let nearest = nearest.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.7);
        let hint = match nearest {
            Some((_, near)) => format!("did you mean `{near}`?"),
            None => format!("there are {}", listed(&self.names)),
        };
        TableError::new(format!("there is no column `{name}`; {hint}"))
    }
}

impl Column {
    /// How many values there are, missing ones included.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Words(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a value is missing; true beyond the end.
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Numbers(values) => values.get(row).is_none_or(|value| value.is_nan()),
            Self::Words(values) => values.get(row).is_none_or(Option::is_none),
        }
    }

    /// How many values are missing.
    pub fn missing(&self) -> usize {
        (0..self.len()).filter(|row| self.is_missing(*row)).count()
    }

    /// A value as text: a number in its shortest form; `None` where it is missing.
    pub fn text(&self, row: usize) -> Option<String> {
        match self {
            Self::Numbers(values) => values.get(row).filter(|v| !v.is_nan()).map(f64::to_string),
            Self::Words(values) => values.get(row).cloned().flatten(),
        }
    }

    /// The given rows, in their order; a row that is not there is missing.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(v) => {
                Self::Numbers(rows.iter().map(|row| v.get(*row).copied().unwrap_or(f64::NAN)).collect())
            }
            Self::Words(v) => Self::Words(rows.iter().map(|row| v.get(*row).cloned().flatten()).collect()),
        }
    }
}

/// Names for a message: at most twelve of them.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<_> = names.iter().take(12).map(|name| format!("`{}`", name.as_ref())).collect();
    let rest = names.len().saturating_sub(shown.len());
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests;
