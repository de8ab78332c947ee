//! How one deployment wants to be asked: the form of its body, the order and names of its features, and where in its
//! answer each output stands. Declared in the config, checked when it is loaded.

mod resolve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Datatype, Output};
use crate::settings::Fault;

/// The declaration as it is written: the table `wire` of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FormConfig {
    /// The form of the body. Default: `instances` at Vertex AI, `input_data` at Azure ML; SageMaker needs one.
    #[serde(default)]
    pub body: Option<BodyForm>,
    /// A row in JSON: a `list` of values in the order of `features`, or an `object` with their names. Default `list`.
    #[serde(default)]
    pub rows: Option<RowForm>,
    /// The field of a JSON body that holds the rows; empty: the body is the array of rows itself. Default `instances` for
    /// `json`; `input_data` and `instances` have theirs.
    #[serde(default)]
    pub rows_field: Option<String>,
    /// Whether a CSV body begins with the features' names. Default false.
    #[serde(default)]
    pub header: bool,
    /// The features in the order that the deployment was trained with. Default: the model's inputs in their order.
    #[serde(default)]
    pub features: Vec<String>,
    /// Names of features that the deployment calls otherwise: `{ age = "Age" }`.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    /// Features that the deployment wants as another datatype: `{ age = "FP64" }`.
    #[serde(default)]
    pub datatypes: BTreeMap<String, Datatype>,
    /// Texts that the deployment knows as other values: `{ housing = { own = 0, rent = 1 } }`. Any other text is refused;
    /// the code of the empty text stands for a missing value.
    #[serde(default)]
    pub codes: BTreeMap<String, BTreeMap<String, Value>>,
    /// The form of the answer. Default: that of the body; for `json`, `instances` and `input_data` JSON.
    #[serde(default)]
    pub answer: Option<AnswerForm>,
    /// JSON pointer to the array in the answer that has one item a row. Default `/predictions` for `json` and `instances`,
    /// the whole answer for the others.
    #[serde(default)]
    pub answer_rows: Option<String>,
    /// For each output: the JSON pointer to it within a row's item, `""` for the item itself, `/1` for the second column of a
    /// CSV answer (of an output with several values a row: the first of its columns); with the form `oip` the name of the
    /// deployment's tensor. In JSON with a list for each output, `*` is the
    /// row: `/scores/*/1`. Default: an output that is alone is the item itself; for `oip` the outputs' own names. An output
    /// that is given on request only is given where it stands here.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// SageMaker: the production variant.
    #[serde(default)]
    pub variant: Option<String>,
    /// SageMaker: the model of a multi-model endpoint.
    #[serde(default)]
    pub target_model: Option<String>,
    /// SageMaker: the inference component.
    #[serde(default)]
    pub inference_component: Option<String>,
    /// Azure ML: the deployment behind the endpoint, past the endpoint's own split of the traffic.
    #[serde(default)]
    pub azureml_deployment: Option<String>,
    /// Azure ML: the path of the scoring URL. Default `/score`.
    #[serde(default)]
    pub path: Option<String>,
    /// Vertex AI: the host of a dedicated endpoint, e.g. `123.europe-west4-456.prediction.vertexai.goog`.
    #[serde(default)]
    pub host: Option<String>,
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyForm {
    /// `text/csv`: one line a row.
    Csv,
    /// `application/json`: `{"instances": [rows]}`, or another field.
    Json,
    /// `application/jsonlines`: one JSON row a line.
    JsonLines,
    /// The Open Inference Protocol itself.
    Oip,
    /// Vertex AI's `{"instances": [rows], "parameters": {…}}`.
    Instances,
    /// MLflow's `{"input_data": {"columns": […], "index": […], "data": [rows]}}` at Azure ML.
    InputData,
}

/// The form of a row in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowForm {
    /// Values in the features' order.
    #[default]
    List,
    /// Values with the features' names.
    Object,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerForm {
    /// One line a row, or one line with one value a row.
    Csv,
    /// A JSON document.
    Json,
    /// One JSON document a line and row.
    JsonLines,
    /// The Open Inference Protocol.
    Oip,
}

/// A checked declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The form of the body.
    pub body: BodyForm,
    /// The form of a row in JSON.
    pub rows: RowForm,
    /// The field of a JSON body that holds the rows.
    pub rows_field: String,
    /// Whether a CSV body begins with the names.
    pub header: bool,
    /// The features in the order that the deployment wants.
    pub cells: Vec<Cell>,
    /// How many features the model has, those that the deployment is not sent included.
    pub features: usize,
    /// The form of the answer.
    pub answer: AnswerForm,
    /// JSON pointer to the array with one item a row.
    pub answer_rows: String,
    /// Where each output stands.
    pub places: Vec<Place>,
    /// Which of an endpoint's models is asked.
    pub routing: Routing,
}

/// One feature of a row: from which input it comes and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The input tensor's name.
    pub input: String,
    /// Which element of the tensor's row.
    pub column: usize,
    /// Its place among all features of the model, in the order of its inputs: where its contribution stands.
    pub position: usize,
    /// What the deployment calls it.
    pub name: String,
    /// As what it is written.
    pub datatype: Datatype,
    /// The values that stand for texts; empty: texts as they are.
    pub codes: BTreeMap<String, Value>,
    /// Whether it may be missing: written as `null`, an empty CSV field, NaN.
    pub nullable: bool,
}

/// Where an output stands in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The output.
    pub output: Output,
    /// JSON pointer within a row's item, or the tensor's name.
    pub at: String,
}

/// The service that a key of [`Routing`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon SageMaker.
    SageMaker,
    /// Vertex AI.
    VertexAi,
    /// Azure ML.
    AzureMl,
}

/// Which of an endpoint's models is asked. Each is one cloud's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// SageMaker: the production variant.
    pub variant: Option<String>,
    /// SageMaker: the model of a multi-model endpoint.
    pub target_model: Option<String>,
    /// SageMaker: the inference component.
    pub inference_component: Option<String>,
    /// Azure ML: the deployment.
    pub azureml_deployment: Option<String>,
    /// Azure ML: the path.
    pub path: Option<String>,
    /// Vertex AI: the dedicated host.
    pub host: Option<String>,
}

impl Routing {
    /// A fault for each key that is set and belongs to another service.
    pub fn foreign(&self, own: Service) -> Vec<Fault> {
        use Service::{AzureMl, SageMaker, VertexAi};
        let keys = [
            ("variant", &self.variant, SageMaker),
            ("target_model", &self.target_model, SageMaker),
            ("inference_component", &self.inference_component, SageMaker),
            ("azureml_deployment", &self.azureml_deployment, AzureMl),
            ("path", &self.path, AzureMl),
            ("host", &self.host, VertexAi),
        ];
        let foreign = keys.into_iter().filter(|(_, value, owner)| value.is_some() && *owner != own);
        let fault = |(key, _, owner): (&str, _, Service)| {
            Fault::at(key, format!("belongs to {}, not to {}", owner.name(), own.name()))
        };
        foreign.map(fault).collect()
    }
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::SageMaker => "SageMaker",
            Self::VertexAi => "Vertex AI",
            Self::AzureMl => "Azure ML",
        }
    }
}
