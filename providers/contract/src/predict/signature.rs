//! What a predict model takes and gives, and the check of a request against it.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Data, Datatype, PredictRequest, Scalar, Tensor};
use crate::BodyError;

/// What a model takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// The inputs, in order.
    pub inputs: Vec<Input>,
    /// The outputs, in order.
    pub outputs: Vec<Output>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Input {
    /// The tensor's name.
    pub name: String,
    /// What its elements are. Another tensor of numbers is taken where none of its values loses anything.
    pub datatype: Datatype,
    /// Its dimensions; -1 is any. The first is the rows. Default `[-1]`: one value a row.
    #[serde(default = "one_a_row")]
    pub shape: Vec<i64>,
    /// The names of the columns of an input with shape `[-1, n]`.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether values may be missing: the tensor left out, `null` in JSON, NaN, an empty text.
    #[serde(default)]
    pub nullable: bool,
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Output {
    /// The tensor's name.
    pub name: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Its dimensions; -1 is any. The first is the rows. Default `[-1]`: one value a row.
    #[serde(default = "one_a_row")]
    pub shape: Vec<i64>,
    /// Whether it is given only when it is asked for by its name.
    #[serde(default)]
    pub on_request: bool,
}

fn one_a_row() -> Vec<i64> {
    vec![-1]
}

impl Input {
    /// One value a row.
    pub fn scalar(name: impl Into<String>, datatype: Datatype) -> Self {
        Self { name: name.into(), datatype, shape: one_a_row(), columns: Vec::new(), nullable: false }
    }

    /// Elements of one row, where that is fixed.
    pub fn row_width(&self) -> Option<usize> {
        self.shape.iter().skip(1).map(|dimension| usize::try_from(*dimension).ok()).product()
    }
}

impl Output {
    /// One value a row, given unasked.
    pub fn scalar(name: impl Into<String>, datatype: Datatype) -> Self {
        Self { name: name.into(), datatype, shape: one_a_row(), on_request: false }
    }

    /// Brings a deployment's tensor into the declared shape and datatype, where nothing is lost by it.
    ///
    /// # Errors
    /// Says what does not fit.
    pub(super) fn fit(&self, tensor: &mut Tensor) -> Result<(), String> {
        fit(&self.shape, self.datatype, tensor)
    }
}

impl Signature {
    /// Checks a request, and widens its inputs to the model's datatypes.
    ///
    /// # Errors
    /// Names the tensor: missing, unknown (with the nearest right name), standing twice, of another datatype or shape,
    /// with another number of rows than the first, with a number that is not finite; or an output that there is not.
    pub fn check(&self, request: &mut PredictRequest) -> Result<(), BodyError> {
        self.check_names(request)?;
        let rows = request.inputs.first().map_or(0, Tensor::rows);
        for tensor in &mut request.inputs {
            let Some(input) = self.inputs.iter().find(|input| input.name == tensor.name) else { continue };
            let named = |why: String| BodyError::at(&input.name, format!("input `{}`: {why}", input.name));
            fit(&input.shape, input.datatype, tensor).map_err(named)?;
            check_rows(tensor.rows(), rows).map_err(named)?;
            input.check_values(tensor).map_err(named)?;
        }
        Ok(())
    }

    fn check_names(&self, request: &PredictRequest) -> Result<(), BodyError> {
        let names = || self.inputs.iter().map(|input| input.name.as_str());
        for (index, tensor) in request.inputs.iter().enumerate() {
            let name = &tensor.name;
            if !names().any(|known| known == name) {
                let hint = nearest(name, names());
                return Err(BodyError::at(name, format!("there is no input `{name}`{hint}")));
            }
            if request.inputs.iter().take(index).any(|other| other.name == *name) {
                return Err(BodyError::at(name, format!("the input `{name}` stands twice")));
            }
        }
        if request.inputs.is_empty() {
            let message = "there is no input, so there is no row to score".to_owned();
            return Err(BodyError::at("inputs", message));
        }
        let missing: Vec<&str> = (self.inputs.iter())
            .filter(|input| !input.nullable && request.input(&input.name).is_none())
            .map(|input| input.name.as_str())
            .collect();
        if let Some(first) = missing.first() {
            let list = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let what = if missing.len() == 1 { "input is" } else { "inputs are" };
            return Err(BodyError::at(*first, format!("the {what} missing: {list}")));
        }
        for (index, wanted) in request.outputs.iter().enumerate() {
            let name = &wanted.name;
            if request.outputs.iter().take(index).any(|other| other.name == *name) {
                return Err(BodyError::at(name, format!("the output `{name}` is asked for twice")));
            }
            let known = || self.outputs.iter().map(|output| output.name.as_str());
            if !known().any(|known| known == name) {
                let hint = nearest(name, known());
                return Err(BodyError::at(name, format!("there is no output `{name}`{hint}")));
            }
        }
        Ok(())
    }
}

impl Input {
    fn check_values(&self, tensor: &Tensor) -> Result<(), String> {
        let wrong = |scalar: &Scalar<'_>| match scalar {
            Scalar::Real(value) => !(value.is_finite() || self.nullable && value.is_nan()),
            Scalar::Bytes(text) => text.is_empty() && !self.nullable,
            _ => false,
        };
        let Some((index, scalar)) = tensor.data.iter().enumerate().find(|(_, scalar)| wrong(scalar)) else {
            return self.check_text(&tensor.data);
        };
        Err(match scalar {
            Scalar::Real(value) if value.is_nan() => format!("element {index} is missing or not a number"),
            Scalar::Real(value) => format!("element {index} is {value}, which is not finite"),
            _ => format!("element {index} is empty"),
        })
    }

    fn check_text(&self, data: &Data) -> Result<(), String> {
        let Data::Bytes(elements) = data else { return Ok(()) };
        match elements.iter().position(|element| std::str::from_utf8(element).is_err()) {
            Some(index) => Err(format!("element {index} is not UTF-8")),
            None => Ok(()),
        }
    }
}

fn check_rows(held: usize, rows: usize) -> Result<(), String> {
    match held {
        0 => Err("it has no rows".to_owned()),
        _ if held != rows => Err(format!("it has {held} rows where the first input has {rows}")),
        _ => Ok(()),
    }
}

/// Brings a tensor into a shape, in which -1 is any size, and widens it to a datatype.
fn fit(shape: &[i64], datatype: Datatype, tensor: &mut Tensor) -> Result<(), String> {
    // One value a row is also written as a column of one, and a column of one as one value a row.
    match (shape, tensor.shape.as_mut_slice()) {
        ([_], [_, 1]) => tensor.shape.truncate(1),
        ([_, 1], [_]) => tensor.shape.push(1),
        _ => {}
    }
    let fits = shape.len() == tensor.shape.len()
        && (shape.iter().zip(&tensor.shape)).all(|(wanted, held)| {
            *wanted < 0 || usize::try_from(*wanted).is_ok_and(|wanted| wanted == *held)
        });
    if !fits {
        return Err(format!("its shape is {:?}, expected {shape:?}", tensor.shape));
    }
    if tensor.datatype() == datatype {
        return Ok(());
    }
    let held = tensor.datatype();
    let fitting = held.is_whole() && (datatype.is_whole() || datatype.is_float());
    let why = if fitting { ", which cannot hold each of its values" } else { "" };
    let refuse = || format!("its datatype is {held}, expected {datatype}{why}");
    tensor.data = tensor.data.widen(datatype).ok_or_else(refuse)?;
    Ok(())
}

/// `: did you mean …`, or what there is.
fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    /// Names are told up to this many.
    const SHOWN: usize = 40;
    let mut names: Vec<&str> = names.collect();
    let near = |name: &&&str| strsim::jaro_winkler(wrong, name) >= 0.85;
    let best = names
        .iter()
        .filter(near)
        .max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    if let Some(best) = best {
        return format!(": did you mean `{best}`?");
    }
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names.truncate(SHOWN);
    format!(": there are {}{more}", names.join(", "))
}
