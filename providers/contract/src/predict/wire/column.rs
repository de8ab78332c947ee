//! One output, gathered row by row from an answer.

use serde_json::Value;

use crate::predict::{Data, Place, Scalar, Tensor};

/// An output on its way.
pub(super) struct Column<'a> {
    pub(super) place: &'a Place,
    data: Data,
    /// How many values one row has, where that is declared.
    pub(super) width: Option<usize>,
    /// The dimensions of one row's value: as declared, else as the first row has them.
    tail: Vec<Option<usize>>,
}

impl<'a> Column<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        let output = &place.output;
        let tail: Vec<Option<usize>> =
            output.shape.iter().skip(1).map(|dimension| usize::try_from(*dimension).ok()).collect();
        Self { place, data: Data::empty(output.datatype), width: tail.iter().copied().product(), tail }
    }

    /// Whether a row has one value alone.
    pub(super) fn is_scalar(&self) -> bool {
        self.tail.is_empty()
    }

    /// Adds a row's value: a scalar, or an array for each of its dimensions.
    pub(super) fn push_json(&mut self, item: &Value) -> Result<(), String> {
        self.push_level(0, item)
    }

    fn push_level(&mut self, depth: usize, item: &Value) -> Result<(), String> {
        let leaf = depth == self.tail.len();
        let Value::Array(items) = item else {
            // An array of one is also written as its value.
            let fits = leaf || depth == 0 && self.width == Some(1);
            return if fits {
                self.push_value(item)
            } else {
                Err(format!("is {}, expected an array", shown(item)))
            };
        };
        if leaf {
            return match items.as_slice() {
                // One value is also written as an array of one.
                [value] if depth == 0 => self.push_value(value),
                _ => Err(format!("is an array of {}, expected one value", items.len())),
            };
        }
        let wanted = self.tail.get_mut(depth).map_or(0, |length| *length.get_or_insert(items.len()));
        if items.len() != wanted {
            return Err(format!("is an array of {}, expected one of {wanted}", items.len()));
        }
        items.iter().try_for_each(|item| self.push_level(depth + 1, item))
    }

    fn push_value(&mut self, item: &Value) -> Result<(), String> {
        let scalar = match item {
            Value::Bool(value) => Some(Scalar::Bool(*value)),
            Value::String(text) => Some(Scalar::Bytes(text.as_bytes())),
            Value::Number(number) => (number.as_u64().map(Scalar::Uint))
                .or_else(|| number.as_i64().map(Scalar::Int))
                .or_else(|| number.as_f64().map(Scalar::Real)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        scalar.and_then(|scalar| self.data.push(scalar)).ok_or_else(|| self.refusal(item))
    }

    /// Adds a value that stands as text.
    pub(super) fn push_text(&mut self, text: &str) -> Result<(), String> {
        let held = match &self.data {
            Data::Bytes(_) => self.data.push(Scalar::Bytes(text.as_bytes())),
            _ => scalar(text.trim()).and_then(|scalar| self.data.push(scalar)),
        };
        held.ok_or_else(|| self.refusal(&Value::from(text)))
    }

    /// The fields of one row of a CSV answer.
    pub(super) fn push_fields(&mut self, fields: &[&str]) -> Result<(), String> {
        if let [length] = self.tail.as_mut_slice() {
            length.get_or_insert(fields.len());
        }
        match self.tail.iter().copied().product::<Option<usize>>() {
            Some(width) if width == fields.len() => fields.iter().try_for_each(|text| self.push_text(text)),
            Some(width) => Err(format!("has {} fields, expected {width}", fields.len())),
            None => Err("has a shape of several dimensions without sizes, which no line can tell".to_owned()),
        }
    }

    fn refusal(&self, item: &Value) -> String {
        format!("is {}, expected {}", shown(item), self.place.output.datatype)
    }

    pub(super) fn finish(self, rows: usize) -> Result<Tensor, String> {
        let tail = self.tail.into_iter().map(Option::unwrap_or_default);
        let shape = std::iter::once(rows).chain(tail).collect();
        let name = &self.place.output.name;
        Tensor::new(name, shape, self.data).map_err(|why| format!("output `{name}`: {why}"))
    }
}

/// A number or a truth value.
fn scalar(text: &str) -> Option<Scalar<'static>> {
    (text.parse().map(Scalar::Uint).ok())
        .or_else(|| text.parse().map(Scalar::Int).ok())
        .or_else(|| text.parse().map(Scalar::Real).ok())
        .or_else(|| text.eq_ignore_ascii_case("true").then_some(Scalar::Bool(true)))
        .or_else(|| text.eq_ignore_ascii_case("false").then_some(Scalar::Bool(false)))
}

fn shown(item: &Value) -> String {
    /// Values are shown up to this many characters.
    const SHOWN: usize = 40;
    match item {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        value => value.to_string().chars().take(SHOWN).collect(),
    }
}
