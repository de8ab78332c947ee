//! The protocol's messages as bytes: JSON, with binary tensors behind it where the extension is used.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value, value::RawValue};

use super::{Data, Datatype, PredictReply, PredictRequest, Tensor, Wanted, tensor::count};
use crate::BodyError;

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The JSON, and the binary tensors behind it.
    pub body: Bytes,
    /// How long the JSON is, where binary tensors follow: the header `Inference-Header-Content-Length`.
    pub json_length: Option<usize>,
}

/// The most tensors of one message.
const MAX_TENSORS: usize = 4096;
/// The most dimensions of a tensor.
const MAX_RANK: usize = 16;
const BINARY_SIZE: &str = "binary_data_size";
const BINARY: &str = "binary_data";
const BINARY_OUTPUT: &str = "binary_data_output";
/// Parameters of Triton's extensions that change where a tensor is or what it means. To score without regard to them would
/// answer another question.
const OF_OTHER_EXTENSIONS: [&str; 4] =
    ["classification", "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"];

/// A field that is not known is a slip of the caller's, not a thing to leave out in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestIn<'a> {
    /// Said again by KServe's client; the path counts.
    #[serde(default, rename = "model_name")]
    _model_name: IgnoredAny,
    #[serde(default, rename = "model_version")]
    _model_version: IgnoredAny,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(borrow)]
    inputs: Vec<InputIn<'a>>,
    #[serde(default)]
    outputs: Option<Vec<WantedIn>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputIn<'a> {
    name: String,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReplyIn<'a> {
    #[serde(borrow)]
    outputs: Vec<TensorIn<'a>>,
}

/// A tensor of an answer, which may say more than we know of.
#[derive(Deserialize)]
struct TensorIn<'a> {
    name: String,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedIn {
    name: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

#[derive(Serialize)]
struct RequestOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: &'a Map<String, Value>,
    inputs: Vec<TensorOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<WantedOut<'a>>,
}

#[derive(Serialize)]
struct ReplyOut<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: &'a Map<String, Value>,
    outputs: Vec<TensorOut<'a>>,
}

#[derive(Serialize)]
struct TensorOut<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: &'a [usize],
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct WantedOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: &'a Map<String, Value>,
}

impl PredictRequest {
    /// Reads a request; `json_length` is the header `Inference-Header-Content-Length`.
    ///
    /// # Errors
    /// Says what is wrong and names the tensor.
    pub fn parse(
        model: &str,
        version: Option<&str>,
        body: &Bytes,
        json_length: Option<usize>,
    ) -> Result<Self, BodyError> {
        let (text, binary) = split(body, json_length)?;
        let wire: RequestIn<'_> = message(text)?;
        let mut parameters = wire.parameters.unwrap_or_default();
        let binary_output = take_bool(&mut parameters, BINARY_OUTPUT)?.unwrap_or(false);
        let outputs = wire.outputs.unwrap_or_default();
        if outputs.len() > MAX_TENSORS {
            return Err(BodyError::at("outputs", format!("more than {MAX_TENSORS} outputs are asked for")));
        }
        Ok(Self {
            model: model.to_owned(),
            version: version.map(str::to_owned),
            id: wire.id,
            parameters,
            inputs: tensors(wire.inputs.into_iter().map(input).collect::<Result<_, _>>()?, binary)?,
            outputs: outputs.into_iter().map(wanted).collect::<Result<_, _>>()?,
            binary_output,
        })
    }

    /// Writes the request for a deployment that speaks the protocol itself, without binary data: each endpoint takes that.
    /// Inputs and outputs get the deployment's names; an output without one is not asked for. A missing number is `null`.
    ///
    /// # Errors
    /// Names an input that JSON cannot carry.
    pub(super) fn write_renamed(
        &self,
        input: impl Fn(&str) -> String,
        output: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<u8>, BodyError> {
        let names: Vec<String> = self.inputs.iter().map(|tensor| input(&tensor.name)).collect();
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (tensor, name) in self.inputs.iter().zip(&names) {
            inputs.push(TensorOut { name, ..plain(tensor, tensor.parameters.clone(), true)? });
        }
        let wanted: Vec<_> = (self.outputs.iter())
            .filter_map(|wanted| Some((output(&wanted.name)?, &wanted.parameters)))
            .collect();
        let outputs = wanted.iter().map(|(name, parameters)| WantedOut { name, parameters }).collect();
        let wire = RequestOut { id: self.id.as_deref(), parameters: &self.parameters, inputs, outputs };
        serde_json::to_vec(&wire).map_err(not_written)
    }

    /// Writes the request in the protocol's own form, without binary data. A missing number is `null`.
    ///
    /// # Errors
    /// Names an input that JSON cannot carry.
    #[cfg(test)]
    pub(super) fn write(&self) -> Result<Packed, BodyError> {
        let body = self.write_renamed(str::to_owned, |name| Some(name.to_owned()))?;
        Ok(Packed { body: body.into(), json_length: None })
    }
}

impl PredictReply {
    /// The outputs in the answer of a deployment that speaks the protocol itself.
    ///
    /// # Errors
    /// Says what is wrong and names the tensor.
    pub fn read(body: &Bytes, json_length: Option<usize>) -> Result<Vec<Tensor>, BodyError> {
        let (text, binary) = split(body, json_length)?;
        let wire: ReplyIn<'_> = message(text)?;
        tensors(wire.outputs, binary)
    }

    /// The version that such an answer names, if it does.
    pub(super) fn read_version(body: &Bytes, json_length: Option<usize>) -> Option<String> {
        #[derive(Deserialize)]
        struct Version {
            model_version: Option<String>,
        }
        let (text, _) = split(body, json_length).ok()?;
        let told: Version = serde_json::from_str(text).ok()?;
        told.model_version.filter(|version| !version.is_empty())
    }

    /// Writes the answer to `request`, outputs in the form that it asked for.
    ///
    /// # Errors
    /// Names an output that JSON cannot carry.
    pub fn write(&self, request: &PredictRequest) -> Result<Packed, BodyError> {
        let mut binary = Vec::new();
        let mut any_binary = false;
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for tensor in &self.outputs {
            let mut parameters = tensor.parameters.clone();
            if request.wants_binary(&tensor.name) {
                any_binary = true;
                let before = binary.len();
                tensor.data.write_binary(&mut binary);
                parameters.insert(BINARY_SIZE.to_owned(), (binary.len() - before).into());
                outputs.push(TensorOut { data: None, ..head(tensor, parameters) });
            } else {
                outputs.push(plain(tensor, parameters, false)?);
            }
        }
        let wire = ReplyOut {
            model_name: &request.model,
            model_version: &self.version,
            id: request.id.as_deref(),
            parameters: &self.parameters,
            outputs,
        };
        let mut body = serde_json::to_vec(&wire).map_err(not_written)?;
        let json_length = any_binary.then_some(body.len());
        body.extend_from_slice(&binary);
        Ok(Packed { body: body.into(), json_length })
    }
}

fn head(tensor: &Tensor, parameters: Map<String, Value>) -> TensorOut<'_> {
    TensorOut {
        name: &tensor.name,
        datatype: tensor.datatype(),
        shape: &tensor.shape,
        parameters,
        data: None,
    }
}

fn plain(tensor: &Tensor, parameters: Map<String, Value>, nulls: bool) -> Result<TensorOut<'_>, BodyError> {
    let mut text = Vec::with_capacity(tensor.data.len() * 8 + 2);
    tensor
        .data
        .write_json(nulls, &mut text)
        .map_err(|why| BodyError::at(&tensor.name, format!("`{}` {why}", tensor.name)))?;
    let text = String::from_utf8(text).map_err(|error| BodyError::at(&tensor.name, error.to_string()))?;
    let data = RawValue::from_string(text).map_err(not_written)?;
    Ok(TensorOut { data: Some(data), ..head(tensor, parameters) })
}

/// The JSON and what follows it.
fn split(body: &Bytes, json_length: Option<usize>) -> Result<(&str, Bytes), BodyError> {
    let length = json_length.unwrap_or(body.len());
    let refuse = |message: String| BodyError { message, param: None };
    let Some(text) = body.get(..length) else {
        return Err(refuse(format!(
            "`Inference-Header-Content-Length` is {length}, the body has only {} bytes",
            body.len()
        )));
    };
    let text = std::str::from_utf8(text)
        .map_err(|error| refuse(format!("the JSON of the body is not UTF-8: {error}")))?;
    Ok((text, body.slice(length..)))
}

fn tensors(wire: Vec<TensorIn<'_>>, mut binary: Bytes) -> Result<Vec<Tensor>, BodyError> {
    if wire.len() > MAX_TENSORS {
        return Err(BodyError::at("inputs", format!("more than {MAX_TENSORS} tensors in one message")));
    }
    let mut tensors = Vec::with_capacity(wire.len());
    for tensor in wire {
        let name = tensor.name.clone();
        let named = |why: String| BodyError::at(&name, format!("tensor `{name}`: {why}"));
        tensors.push(read(tensor, &mut binary).map_err(named)?);
    }
    if !binary.is_empty() {
        let message = format!("{} bytes of binary data belong to no tensor", binary.len());
        return Err(BodyError { message, param: None });
    }
    Ok(tensors)
}

fn read(wire: TensorIn<'_>, binary: &mut Bytes) -> Result<Tensor, String> {
    let TensorIn { name, shape, datatype, parameters, data } = wire;
    let datatype: Datatype = datatype.parse()?;
    let sizes: Option<Vec<usize>> = shape.iter().map(|size| usize::try_from(*size).ok()).collect();
    let shape = sizes.ok_or_else(|| format!("its shape is {shape:?}: a dimension is 0 or more"))?;
    if shape.len() > MAX_RANK {
        return Err(format!("its shape has more than {MAX_RANK} dimensions"));
    }
    count(&shape).ok_or("its shape is larger than any memory")?;
    let mut parameters = parameters.unwrap_or_default();
    let size = match parameters.remove(BINARY_SIZE) {
        None => None,
        Some(size) => {
            let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
            Some(size.ok_or("its `binary_data_size` is not a number of bytes")?)
        }
    };
    let data = match (data, size) {
        (Some(_), Some(_)) => return Err("it has both `data` and `binary_data_size`".to_owned()),
        (None, None) => return Err("it has neither `data` nor `binary_data_size`".to_owned()),
        (Some(text), None) => Data::read_json(datatype, &shape, text.get())?,
        (None, Some(size)) if size > binary.len() => {
            let left = binary.len();
            return Err(format!("it says it has {size} bytes of binary data where {left} are left"));
        }
        (None, Some(size)) => Data::read_binary(datatype, &binary.split_to(size))?,
    };
    let tensor = Tensor { name, shape, data, parameters };
    tensor.check_count()?;
    Ok(tensor)
}

fn input(wire: InputIn<'_>) -> Result<TensorIn<'_>, BodyError> {
    let InputIn { name, shape, datatype, parameters, data } = wire;
    refuse_extensions("input", &name, parameters.as_ref())?;
    Ok(TensorIn { name, shape, datatype, parameters, data })
}

fn wanted(wire: WantedIn) -> Result<Wanted, BodyError> {
    refuse_extensions("output", &wire.name, wire.parameters.as_ref())?;
    let mut parameters = wire.parameters.unwrap_or_default();
    let binary = take_bool(&mut parameters, BINARY)?;
    Ok(Wanted { name: wire.name, binary, parameters })
}

fn take_bool(parameters: &mut Map<String, Value>, name: &str) -> Result<Option<bool>, BodyError> {
    match parameters.remove(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(other) => Err(BodyError::at(name, format!("`{name}` is true or false, not {other}"))),
    }
}

fn refuse_extensions(
    kind: &str,
    name: &str,
    parameters: Option<&Map<String, Value>>,
) -> Result<(), BodyError> {
    let found = OF_OTHER_EXTENSIONS.iter().find(|key| parameters.is_some_and(|map| map.contains_key(**key)));
    let Some(key) = found else { return Ok(()) };
    let message =
        format!("{kind} `{name}`: `{key}` belongs to an extension of the protocol that is not served");
    Err(BodyError::at(name, message))
}

/// Reads the JSON of a message; a fault is told with the path to it.
fn message<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BodyError> {
    if !text.trim_ascii_start().starts_with('{') {
        let message = "not a message of the Open Inference Protocol: the body is not a JSON object";
        return Err(BodyError { message: message.to_owned(), param: None });
    }
    serde_json::from_str(text).map_err(|error| {
        // Read again, slower, to tell where the fault is.
        let path = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(text))
            .err()
            .map(|error| error.path().to_string())
            .filter(|path| path != ".");
        let at = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        let hint = if is_non_finite(text, &error) { "; JSON has no NaN and no Infinity" } else { "" };
        let message = format!("not a message of the Open Inference Protocol: {at}{error}{hint}");
        BodyError { message, param: path }
    })
}

/// Whether the reading stopped at a number such as Python writes and JSON does not have.
fn is_non_finite(text: &str, error: &serde_json::Error) -> bool {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let rest = line.get(error.column().saturating_sub(1)..).unwrap_or_default();
    error.is_syntax() && ["NaN", "Infinity"].iter().any(|word| rest.starts_with(word))
}

fn not_written(error: serde_json::Error) -> BodyError {
    BodyError { message: format!("the message cannot be written: {error}"), param: None }
}
