//! What is asked of a predict model.

use serde_json::{Map, Value};

use super::{Output, Tensor};

/// An inference request.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictRequest {
    /// The model's name in the config.
    pub model: String,
    /// The version that the caller insists on.
    pub version: Option<String>,
    /// The caller's id, given back with the answer.
    pub id: Option<String>,
    /// What else was said. `binary_data_output` is not among it: see `binary_output`.
    pub parameters: Map<String, Value>,
    /// The inputs.
    pub inputs: Vec<Tensor>,
    /// The outputs wanted; empty: those that the model gives unasked.
    pub outputs: Vec<Wanted>,
    /// Whether outputs are given as binary data where [`Wanted::binary`] does not say.
    pub binary_output: bool,
}

/// An output that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Whether it is given as binary data.
    pub binary: Option<bool>,
    /// What else was said of it.
    pub parameters: Map<String, Value>,
}

impl PredictRequest {
    /// How many rows are asked for: the first dimension, on which all inputs agree once the request is checked.
    pub fn rows(&self) -> usize {
        self.inputs.first().map_or(0, Tensor::rows)
    }

    /// The same request without its tensors: what the form of the answer depends on.
    #[must_use]
    pub fn without_inputs(&self) -> Self {
        Self {
            model: self.model.clone(),
            version: self.version.clone(),
            id: self.id.clone(),
            parameters: Map::new(),
            inputs: Vec::new(),
            outputs: self.outputs.clone(),
            binary_output: self.binary_output,
        }
    }

    /// The input of a name.
    pub fn input(&self, name: &str) -> Option<&Tensor> {
        self.inputs.iter().find(|tensor| tensor.name == name)
    }

    /// Whether an output is asked for by its name.
    pub fn asks_for(&self, output: &str) -> bool {
        self.outputs.iter().any(|wanted| wanted.name == output)
    }

    /// Whether an output is to be given: asked for by its name, or unasked where nothing is asked for.
    pub fn wants(&self, output: &Output) -> bool {
        if self.outputs.is_empty() { !output.on_request } else { self.asks_for(&output.name) }
    }

    /// Whether an output is to be given as binary data.
    pub fn wants_binary(&self, output: &str) -> bool {
        let asked = self.outputs.iter().find(|wanted| wanted.name == output);
        asked.and_then(|wanted| wanted.binary).unwrap_or(self.binary_output)
    }
}
