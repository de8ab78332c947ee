//! What a server holds: a model that is ready to score, whoever trained it.

use std::fmt;
use std::path::Path;

use super::onnx::{OnnxError, OnnxModel};
use super::{Artefact, ArtefactError};
use crate::explain::{Contributions, Explainer};
use crate::schema::Schema;
use crate::table::{Table, TableError};

/// A model that is ready to score rows of a table. Shared between threads as it is.
#[derive(Debug)]
pub struct Predictor {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    /// With its version.
    Artefact(Box<Artefact>, Box<Explainer>, String),
    Onnx(Box<OnnxModel>),
}

/// Why a model cannot be loaded, or rows cannot be scored or explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PredictError {
    /// The model file.
    Artefact(ArtefactError),
    /// The ONNX model: its file, or its evaluation.
    Onnx(OnnxError),
    /// The rows.
    Table(TableError),
    /// The model cannot do this.
    Unsupported(String),
}

impl Predictor {
    /// From a model of this crate.
    pub fn new(artefact: Artefact) -> Self {
        let explainer = Explainer::new(&artefact.model, &artefact.encoder);
        let version = artefact.version();
        Self { inner: Inner::Artefact(Box::new(artefact), Box::new(explainer), version) }
    }

    /// From a model in ONNX form.
    pub fn from_onnx(model: OnnxModel) -> Self {
        Self { inner: Inner::Onnx(Box::new(model)) }
    }

    /// From a file: ONNX, with `FILE.onnx.json` beside it if that is there, where the name ends in `.onnx`; else a model file.
    ///
    /// # Errors
    /// The file cannot be read, or is not such a model.
    pub fn load(path: &Path) -> Result<Self, PredictError> {
        let is_onnx = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        if is_onnx {
            return Ok(Self::from_onnx(OnnxModel::load(path).map_err(PredictError::Onnx)?));
        }
        Artefact::load(path).map(Self::new).map_err(PredictError::Artefact)
    }

    /// What callers call the model.
    pub fn name(&self) -> &str {
        match &self.inner {
            Inner::Artefact(artefact, ..) => &artefact.name,
            Inner::Onnx(model) => model.name(),
        }
    }

    /// The model's version, if it has one.
    pub fn version(&self) -> Option<&str> {
        match &self.inner {
            Inner::Artefact(_, _, version) => Some(version),
            Inner::Onnx(model) => model.version(),
        }
    }

    /// What it is asked and what it answers. Of an ONNX model, a category without levels takes any word.
    pub fn schema(&self) -> &Schema {
        match &self.inner {
            Inner::Artefact(artefact, ..) => &artefact.schema,
            Inner::Onnx(model) => model.schema(),
        }
    }

    /// A score of at least this much is a positive answer; none for a model of numbers, and for ONNX where nobody said.
    pub fn threshold(&self) -> Option<f64> {
        let classes = matches!(self.schema().outcome.kind, crate::schema::OutcomeKind::Classes { .. });
        match &self.inner {
            Inner::Artefact(artefact, ..) => classes.then_some(artefact.threshold),
            Inner::Onnx(model) => model.threshold(),
        }
    }

    /// The model file's content, unless it is an ONNX model.
    pub fn artefact(&self) -> Option<&Artefact> {
        match &self.inner {
            Inner::Artefact(artefact, ..) => Some(artefact),
            Inner::Onnx(_) => None,
        }
    }

    /// One score per row: the probability of the positive class, or the predicted number. Columns are found by name.
    ///
    /// # Errors
    /// A column is missing or of another kind, or an ONNX model cannot be evaluated on these rows.
    pub fn score(&self, table: &Table) -> Result<Vec<f64>, PredictError> {
        match &self.inner {
            Inner::Artefact(artefact, ..) => {
                let rows = artefact.encoder.encode(&artefact.schema, table).map_err(PredictError::Table)?;
                Ok(artefact.model.scores(&rows))
            }
            Inner::Onnx(model) => model.score(table).map_err(PredictError::from),
        }
    }

    /// What each row's raw score is made of.
    ///
    /// # Errors
    /// As [`Predictor::score`]; an ONNX model cannot be explained.
    pub fn explain(&self, table: &Table) -> Result<Vec<Contributions>, PredictError> {
        match &self.inner {
            Inner::Artefact(artefact, explainer, _) => {
                let rows = artefact.encoder.encode(&artefact.schema, table).map_err(PredictError::Table)?;
                Ok(rows.iter().map(|row| explainer.contributions(row)).collect())
            }
            Inner::Onnx(_) => Err(PredictError::Unsupported(
                "an onnx model gives scores only; contributions need a model trained by aigate".to_owned(),
            )),
        }
    }
}

impl From<OnnxError> for PredictError {
    /// What is wrong with the rows is told as such.
    fn from(error: OnnxError) -> Self {
        match error {
            OnnxError::Table(error) => Self::Table(error),
            other => Self::Onnx(other),
        }
    }
}

impl fmt::Display for PredictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artefact(error) => error.fmt(f),
            Self::Onnx(error) => error.fmt(f),
            Self::Table(error) => error.fmt(f),
            Self::Unsupported(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for PredictError {}
