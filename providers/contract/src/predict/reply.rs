//! What a predict model answers.

use serde_json::{Map, Value};

use super::{PredictRequest, Tensor};
use crate::{Error, ErrorKind, Facts, Result, Usage};

/// An inference answer.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictReply {
    /// The version that scored it.
    pub version: String,
    /// What else is said.
    pub parameters: Map<String, Value>,
    /// The outputs.
    pub outputs: Vec<Tensor>,
    /// What is known of it.
    pub facts: Facts,
}

impl PredictReply {
    /// The answer to a request: `rows` of its usage are the request's.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when an output has another number of rows than were asked for, or a number that is not
    /// finite: no decision can rest on it.
    pub fn new(request: &PredictRequest, version: impl Into<String>, outputs: Vec<Tensor>) -> Result<Self> {
        let rows = request.rows();
        for tensor in &outputs {
            let (name, held) = (&tensor.name, tensor.rows());
            if held != rows {
                let message =
                    format!("the deployment gave {held} rows of `{name}` for {rows} that were sent");
                return Err(Error::new(ErrorKind::Malformed, message));
            }
            let finite = |scalar| !matches!(scalar, super::Scalar::Real(value) if !f64::is_finite(value));
            if !tensor.data.iter().all(finite) {
                let message = format!("the deployment gave a number for `{name}` that is not finite");
                return Err(Error::new(ErrorKind::Malformed, message));
            }
        }
        let usage = Usage { rows: Some(rows as u64), ..Usage::default() };
        let facts = Facts { usage: Some(usage), ..Facts::default() };
        Ok(Self { version: version.into(), parameters: Map::new(), outputs, facts })
    }
}
