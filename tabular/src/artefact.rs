//! A trained model with everything that has to be known about it, kept in one readable file.
//!
//! `file` writes and reads the file, `check` refuses one whose parts do not fit each other, `card` is the model card for
//! people, `predictor` is what a server holds, and `onnx` evaluates models that other tools trained.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::algorithm::{Algorithm, Settings};
use crate::evaluate::Evaluation;
use crate::model::Model;
use crate::prepare::{Encoder, Finding};
use crate::schema::Schema;
use crate::table::Fingerprint;

mod card;
mod check;
mod file;
mod layout;
pub mod onnx;
mod predictor;
mod stored;
#[cfg(test)]
mod tests;

pub use file::{FORMAT, FORMAT_VERSION};
pub use predictor::{PredictError, Predictor};

/// A trained model and its whole history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// What callers call it.
    pub name: String,
    /// Of the model, as its makers count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was trained: RFC 3339, UTC.
    pub created: String,
    /// The program that trained it, and its version.
    pub tool: String,
    /// The command line that trained it.
    pub command: String,
    /// The training file.
    pub data: Fingerprint,
    /// Where the data came from, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What the model is asked and what it answers.
    pub schema: Schema,
    /// From a table's columns to the rows of a matrix.
    pub encoder: Encoder,
    /// The algorithm that won.
    pub algorithm: Algorithm,
    /// How it was run.
    pub settings: Settings,
    /// For classes: a score of at least this much is a positive answer. Not used for numbers.
    pub threshold: f64,
    /// Every algorithm that was tried.
    pub comparison: Vec<Candidate>,
    /// Why this algorithm, in words.
    pub choice: String,
    /// Measured on rows that the scoring model had not seen: the test rows of each fold.
    pub metrics: Evaluation,
    /// For each feature, how much it moves the raw score: mean absolute contribution, largest first.
    pub importance: Vec<(String, f64)>,
    /// What cleaning found in the data and did about it.
    pub findings: Vec<Finding>,
    /// What computes the score.
    #[serde(with = "stored::StoredModel")]
    pub model: Model,
}

/// Where training data came from, as the person who trained the model said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What the data set is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The terms under which it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The time it was collected in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// Anything else a reader should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How one algorithm did in cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Which one.
    pub algorithm: Algorithm,
    /// What was measured, e.g. `roc_auc` or `rmse`.
    pub metric: String,
    /// Mean over the folds; none if it was not tried.
    pub mean: Option<f64>,
    /// Standard deviation over the folds; none if it was not tried.
    pub spread: Option<f64>,
    /// How many folds were run; 0 if it was not tried.
    pub folds: usize,
    /// Wall-clock time of all folds.
    pub seconds: f64,
    /// Why it was not tried, or what else is worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Why a model file cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtefactError {
    /// The file system said no.
    File {
        /// The file.
        path: String,
        /// What it said.
        reason: String,
    },
    /// Not a model file of this program at all.
    Foreign(String),
    /// Written by a newer program.
    Newer(u64),
    /// Its text is not what was written.
    Damaged(String),
    /// Its parts do not fit each other.
    Inconsistent {
        /// Which part, e.g. `model.form.trees.trees[3]`.
        part: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Artefact {
    /// The version as its makers count; else twelve hexadecimal digits of a hash of what scores a row, so that the same data,
    /// settings and seed have the same version.
    pub fn version(&self) -> String {
        if let Some(version) = &self.version {
            return version.clone();
        }
        // A model that was read or trained has finite numbers only, which always can be written.
        let scoring = serde_json::to_vec(&(&self.schema, &self.encoder, &self.model)).unwrap_or_default();
        Sha256::digest(scoring).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`ArtefactError::Inconsistent`] where [`Artefact::read`] would refuse them.
    pub fn write(&self) -> Result<Vec<u8>, ArtefactError> {
        check::check(self)?;
        let bytes = file::write(self)?;
        // A number that JSON cannot hold, in a part that is not checked, would be found out by the reader only.
        file::read(&bytes)?;
        Ok(bytes)
    }

    /// From a file's bytes. Every number comes back bit by bit as it was written.
    ///
    /// # Errors
    /// The file is foreign, newer, damaged or inconsistent.
    pub fn read(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let artefact = file::read(bytes)?;
        check::check(&artefact)?;
        Ok(artefact)
    }

    /// Reads the file at a path.
    ///
    /// # Errors
    /// As [`Artefact::read`], and where the file cannot be opened or is larger than 2 GiB.
    pub fn load(path: &Path) -> Result<Self, ArtefactError> {
        Self::read(&file::load(path)?)
    }

    /// Writes the file at a path, whole or not at all: a reader sees the old file or the new one.
    ///
    /// # Errors
    /// As [`Artefact::write`], and where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ArtefactError> {
        file::save(path, &self.write()?)
    }

    /// The model card: what the model is for, what it was made of and how well it does. Markdown.
    pub fn card(&self) -> String {
        card::card(self)
    }
}

impl ArtefactError {
    fn inconsistent(part: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Inconsistent { part: part.into(), reason: reason.into() }
    }
}

impl fmt::Display for ArtefactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, reason } => write!(f, "{path}: {reason}"),
            Self::Foreign(reason) => write!(f, "not an aigate model file: {reason}"),
            Self::Newer(version) => write!(
                f,
                "the file has format version {version}; this program reads up to {FORMAT_VERSION}: use a newer aigate"
            ),
            Self::Damaged(reason) => write!(f, "the model file is damaged: {reason}"),
            Self::Inconsistent { part, reason } => {
                write!(f, "the model file is inconsistent: {part}: {reason}")
            }
        }
    }
}

impl std::error::Error for ArtefactError {}
