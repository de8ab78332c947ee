//! Requests of the Open Inference Protocol, in JSON.
//!
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol>

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Failure, Result,
    read::{self, Question, Row, Shape},
};

/// The name of the only output.
pub(super) const OUTPUT: &str = "score";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Infer {
    id: Option<String>,
    #[serde(rename = "parameters")]
    _parameters: Option<Map<String, Value>>,
    inputs: Vec<Tensor>,
    outputs: Option<Vec<Wanted>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(rename = "parameters")]
    _parameters: Option<Map<String, Value>>,
    data: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(rename = "parameters")]
    _parameters: Option<Map<String, Value>>,
}

/// Reads the tensors' rows side by side. A tensor with one value a row gives it its name; the values of wider ones have
/// none.
pub(super) fn question(body: &[u8]) -> Result<Question> {
    let request: Infer = read::json(body)?;
    if let Some(other) = request.outputs.iter().flatten().find(|wanted| wanted.name != OUTPUT) {
        return Err(Failure::new(400, format!("there is no output `{}`, only `{OUTPUT}`", other.name)));
    }
    let mut rows: Vec<Row> = Vec::new();
    for (place, tensor) in request.inputs.into_iter().enumerate() {
        let name = tensor.name.clone();
        let (count, width, values) = tensor.flat()?;
        if place == 0 {
            rows = (0..count).map(|_| Row(Vec::new())).collect();
        } else if rows.len() != count {
            return Err(Failure::new(
                400,
                format!("input `{name}` has {count} rows, the others {}", rows.len()),
            ));
        }
        let mut values = values.into_iter();
        for Row(cells) in &mut rows {
            let named = (width == 1).then(|| name.clone());
            cells.extend(values.by_ref().take(width).map(|value| (named.clone(), value)));
        }
    }
    Ok(Question { rows, shape: Shape::Tensors { id: request.id } })
}

impl Tensor {
    /// How many rows it has, how many values each, and the values.
    fn flat(self) -> Result<(usize, usize, Vec<Value>)> {
        let failed = |what: &str| Failure::new(400, format!("input `{}` {what}", self.name));
        let size = |sizes: &[u64]| {
            let product = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))?;
            usize::try_from(product).ok()
        };
        let (rows, width) = match self.shape.split_first() {
            Some((rows, rest)) => (usize::try_from(*rows).ok(), size(rest)),
            None => return Err(failed("has no shape")),
        };
        let (Some(rows), Some(width)) = (rows.filter(|rows| *rows > 0), width.filter(|width| *width > 0))
        else {
            return Err(failed("has a shape that no tensor can have"));
        };
        let mut values = Vec::with_capacity(self.data.len());
        flatten(&self.data, &mut values);
        if rows.checked_mul(width) != Some(values.len()) {
            return Err(failed("has a shape that does not fit its data"));
        }
        let kind = Kind::read(&self.datatype).ok_or_else(|| failed("has an unknown datatype"))?;
        if !values.iter().all(|value| kind.takes(value)) {
            return Err(failed("has data that is not of its datatype"));
        }
        Ok((rows, width, values))
    }
}

/// Data may be nested as the shape is, or flat.
fn flatten(data: &[Value], values: &mut Vec<Value>) {
    for value in data {
        match value {
            Value::Array(inner) => flatten(inner, values),
            other => values.push(other.clone()),
        }
    }
}

/// The kinds of the protocol's datatypes.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
    Text,
}

impl Kind {
    fn read(datatype: &str) -> Option<Self> {
        match datatype {
            "BOOL" => Some(Self::Bool),
            "INT8" | "INT16" | "INT32" | "INT64" => Some(Self::Signed),
            "UINT8" | "UINT16" | "UINT32" | "UINT64" => Some(Self::Unsigned),
            "FP16" | "FP32" | "FP64" => Some(Self::Float),
            "BYTES" => Some(Self::Text),
            _ => None,
        }
    }

    /// `null` stands for a missing value of any datatype.
    fn takes(self, value: &Value) -> bool {
        value.is_null()
            || match self {
                Self::Bool => value.is_boolean(),
                Self::Signed => value.is_i64(),
                Self::Unsigned => value.is_u64(),
                Self::Float => value.is_number(),
                Self::Text => value.is_string(),
            }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(inputs: &Value) -> Result<Question> {
        question(json!({"id": "7", "inputs": inputs}).to_string().as_bytes())
    }

    #[test]
    fn tensors_are_read_row_by_row() {
        let inputs = json!([
            {"name": "age", "shape": [2], "datatype": "INT64", "data": [30, 40]},
            {"name": "rest", "shape": [2, 2], "datatype": "FP32", "data": [[1.5, 2], [3, null]]},
        ]);
        let question = ask(&inputs).unwrap();
        assert_eq!(question.shape, Shape::Tensors { id: Some("7".into()) });
        let age = |age: i64| (Some("age".to_owned()), json!(age));
        let first = Row(vec![age(30), (None, json!(1.5)), (None, json!(2))]);
        assert_eq!(question.rows, [first, Row(vec![age(40), (None, json!(3)), (None, json!(null))])]);
    }

    #[test]
    fn tensors_that_do_not_fit_are_refused() {
        let good = json!({"name": "a", "shape": [2], "datatype": "INT64", "data": [1, 2]});
        let with = |field: &str, value: Value| {
            let mut tensor = good.clone();
            tensor[field] = value;
            ask(&json!([good, tensor]))
        };
        assert!(with("name", json!("b")).is_ok());
        for (field, value) in [
            ("shape", json!([])),
            ("shape", json!([0])),
            ("shape", json!([3])),
            ("shape", json!([1, 2])),
            ("shape", json!([u64::MAX, 2])),
            ("datatype", json!("INT")),
            ("datatype", json!("BYTES")),
            ("data", json!([1, 2.5])),
            ("colour", json!(1)),
        ] {
            assert_eq!(with(field, value.clone()).unwrap_err().status, 400, "{field} {value}");
        }
        assert!(question(br#"{"inputs": [], "outputs": [{"name": "other"}]}"#).is_err());
    }
}
