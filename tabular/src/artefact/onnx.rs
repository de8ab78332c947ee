//! Models in ONNX form, as scikit-learn (`skl2onnx`), `LightGBM` and `XGBoost` (`onnxmltools`) are exported: read from the file
//! and evaluated here.
//!
//! Only the operators of tabular models are known; a file with another one is refused at loading, by its name. Numbers are
//! rounded as the graph says (mostly to 32 bits), so that thresholds of trees are met as by the program that trained them.
//!
//! The inputs' names and kinds come from the graph: an input of one column is a feature, an input `X` of several columns is the
//! features `X_0`, `X_1` and so on. A file `MODEL.onnx.json` beside the model may say more: see [`Sidecar`].

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;

use crate::schema::{Feature, Outcome as Target, Schema};
use crate::table::{Column, Table, TableError};

mod attributes;
mod describe;
mod graph;
mod operators;
#[cfg(test)]
mod tests;
mod value;
mod wire;

pub use describe::{Sidecar, SidecarFeature};

use graph::{Graph, Input};
use value::{Content, Element, Value};

/// A larger file is refused unread.
const MOST_BYTES: u64 = 1 << 30;

/// Rows that are evaluated at once.
const BATCH: usize = 4096;

/// A model in ONNX form, ready to score.
#[derive(Debug)]
pub struct OnnxModel {
    name: String,
    version: Option<String>,
    threshold: Option<f64>,
    schema: Schema,
    graph: Graph,
    /// Where the score is.
    output: usize,
    /// Which column of the output it is; none if there is only one.
    column: Option<usize>,
}

/// Why an ONNX model cannot be read or evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnnxError {
    /// The file, or the one beside it, cannot be read.
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is not an ONNX model, or has something that is not supported.
    Model(String),
    /// The file beside it is wrong.
    Sidecar(String),
    /// The rows are wrong.
    Table(TableError),
    /// It failed on these rows.
    Evaluation(String),
}

impl OnnxModel {
    /// Reads a file, and the file with `.json` added to its name if there is one.
    ///
    /// # Errors
    /// A file cannot be read or is larger than 1 GiB, and as [`OnnxModel::read`].
    pub fn load(path: &Path) -> Result<Self, OnnxError> {
        let bytes = contents(path).map_err(|error| unreadable(path, &error.to_string()))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".json");
        let beside = PathBuf::from(beside);
        let sidecar = match contents(&beside) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| unreadable(&beside, &error.to_string()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Sidecar::default(),
            Err(error) => return Err(unreadable(&beside, &error.to_string())),
        };
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::read(&bytes, &name, sidecar)
    }

    /// From a file's bytes, the name to use where the sidecar has none, and the sidecar.
    ///
    /// # Errors
    /// The bytes are not an ONNX model, use an operator that is not known, have more than two classes, or do not fit the
    /// sidecar.
    pub fn read(bytes: &[u8], name: &str, sidecar: Sidecar) -> Result<Self, OnnxError> {
        let model = wire::Model::decode(bytes)
            .map_err(|error| OnnxError::Model(format!("the file is not an onnx model: {error}")))?;
        let graph = Graph::new(&model).map_err(OnnxError::Model)?;
        let (output, kind, column) = describe::scores(&graph, &sidecar)?;
        let features = describe::features(&graph, sidecar.features)?;
        let column_name = sidecar.target.unwrap_or_else(|| "outcome".to_owned());
        let threshold = sidecar.threshold;
        if threshold.is_some_and(|threshold| !threshold.is_finite())
            || (threshold.is_some() && column.is_none())
        {
            return Err(OnnxError::Sidecar(
                "`threshold` is for models of two classes, and a number".to_owned(),
            ));
        }
        let version = (model.version != 0).then(|| model.version.to_string());
        Ok(Self {
            name: sidecar.name.unwrap_or_else(|| name.to_owned()),
            version: sidecar.version.or(version),
            threshold,
            schema: Schema { features, outcome: Target { column: column_name, kind } },
            graph,
            output,
            column,
        })
    }

    /// What callers call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, if it has one.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// What it is asked and what it answers. A category without levels takes any word.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// A score of at least this much is a positive answer, if anybody said.
    pub fn threshold(&self) -> Option<f64> {
        self.threshold
    }

    /// One score per row. Columns are found by name.
    ///
    /// # Errors
    /// A column is missing or of another kind, a word is missing, or the graph gives no number for a row.
    pub fn score(&self, table: &Table) -> Result<Vec<f64>, OnnxError> {
        let mut scores = Vec::with_capacity(table.rows);
        let mut columns = Vec::with_capacity(self.schema.features.len());
        for feature in &self.schema.features {
            columns.push(
                table
                    .column(&feature.name)
                    .ok_or_else(|| OnnxError::Table(table.no_column(&feature.name)))?,
            );
        }
        while scores.len() < table.rows {
            let rows = scores.len()..table.rows.min(scores.len() + BATCH);
            let inputs = self.inputs(&columns, rows.clone())?;
            let result = self.graph.run(inputs, self.output).map_err(OnnxError::Evaluation)?;
            self.take(&result, rows, &mut scores)?;
        }
        Ok(scores)
    }

    /// The graph's inputs for some rows.
    fn inputs(&self, columns: &[&Column], rows: Range<usize>) -> Result<Vec<Value>, OnnxError> {
        let mut next = columns.iter().zip(&self.schema.features);
        let mut inputs = Vec::with_capacity(self.graph.inputs.len());
        for input in &self.graph.inputs {
            let width = input.width.unwrap_or(self.schema.features.len());
            let group: Vec<_> = next.by_ref().take(width).collect();
            inputs.push(input_value(input, &group, rows.clone())?);
        }
        Ok(inputs)
    }

    /// Adds the scores of a result, one per row.
    fn take(&self, result: &Value, rows: Range<usize>, scores: &mut Vec<f64>) -> Result<(), OnnxError> {
        let failed = |reason: String| OnnxError::Evaluation(reason);
        let (_, numbers) = result.as_numbers().map_err(failed)?;
        let width =
            if self.column.is_some() { numbers.len().checked_div(rows.len()).unwrap_or(0) } else { 1 };
        if width == 0 || width > 2 || numbers.len() != width * rows.len() {
            let (found, wanted) = (numbers.len(), rows.len());
            return Err(failed(format!(
                "its output has {found} numbers for {wanted} rows; one score or two per row are known"
            )));
        }
        for (row, each) in rows.zip(numbers.chunks_exact(width)) {
            // One number is the probability of the second class.
            let score = match (each, self.column) {
                (&[score], None | Some(1)) => score,
                (&[score], Some(_)) => 1.0 - score,
                (each, column) => each.get(column.unwrap_or(0)).copied().unwrap_or(f64::NAN),
            };
            if !score.is_finite() {
                let missing = "the model gives no number for it; is a value missing?";
                return Err(OnnxError::Table(TableError::new(missing).at_row(row)));
            }
            scores.push(score);
        }
        Ok(())
    }
}

/// One input of the graph from its columns.
fn input_value(
    input: &Input,
    group: &[(&&Column, &Feature)],
    rows: Range<usize>,
) -> Result<Value, OnnxError> {
    let dims = if input.dims < 2 { vec![rows.len()] } else { vec![rows.len(), group.len()] };
    let value = match input.content {
        Content::Numbers(element) => {
            let mut numbers = Vec::with_capacity(rows.len() * group.len());
            for row in rows {
                for (column, feature) in group {
                    numbers.push(number(column, feature, element, row)?);
                }
            }
            Value::numbers(element, dims, numbers)
        }
        Content::Words => {
            let mut words = Vec::with_capacity(rows.len() * group.len());
            for row in rows {
                for (column, feature) in group {
                    words.push(word(column, feature, row)?);
                }
            }
            Value::words(dims, words)
        }
    };
    value.map_err(OnnxError::Evaluation)
}

fn number(column: &Column, feature: &Feature, element: Element, row: usize) -> Result<f64, OnnxError> {
    let wrong =
        |what: &str| Err(OnnxError::Table(TableError::new(what).in_column(&feature.name).at_row(row)));
    match column {
        Column::Numbers(numbers) => match numbers.get(row).copied().unwrap_or(f64::NAN) {
            number if number.is_nan() && !feature.nullable => wrong("a value is missing"),
            number if matches!(element, Element::Int | Element::Bool) && number.fract() != 0.0 => {
                wrong("the model takes whole numbers only, and none may be missing")
            }
            number => Ok(number),
        },
        // A column without any value has no kind of its own.
        Column::Words(words) if feature.nullable && words.get(row).is_none_or(Option::is_none) => {
            Ok(f64::NAN)
        }
        Column::Words(_) => wrong("the model wants numbers, but there are words"),
    }
}

fn word(column: &Column, feature: &Feature, row: usize) -> Result<Arc<str>, OnnxError> {
    // Words that look like numbers were read as numbers.
    column.text(row).map(Arc::from).ok_or_else(|| {
        OnnxError::Table(
            TableError::new("a word is missing, which the model cannot be told")
                .in_column(&feature.name)
                .at_row(row),
        )
    })
}

fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES { Err(std::io::Error::other("larger than 1 GiB")) } else { Ok(bytes) }
}

fn unreadable(path: &Path, reason: &str) -> OnnxError {
    OnnxError::File { path: path.display().to_string(), reason: reason.to_owned() }
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, reason } => write!(f, "{path}: {reason}"),
            Self::Model(reason) => write!(f, "the onnx model cannot be used: {reason}"),
            Self::Sidecar(reason) => {
                write!(f, "the file beside the onnx model (its name and .json): {reason}")
            }
            Self::Table(error) => error.fmt(f),
            Self::Evaluation(reason) => write!(f, "the onnx model failed: {reason}"),
        }
    }
}

impl std::error::Error for OnnxError {}
