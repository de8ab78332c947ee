//! The features of a request, row by row, each as the deployment wants it written.

use std::borrow::Cow;

use half::{bf16, f16};
use serde_json::Value;

use crate::{
    Error, ErrorKind, Result,
    predict::{Cell, Data, Datatype, Form, PredictRequest, Scalar, element::EXACT},
};

/// The features of a request.
pub(super) struct Features<'a> {
    /// How many rows there are.
    pub(super) rows: usize,
    /// The features in the deployment's order.
    pub(super) list: Vec<Feature<'a>>,
}

/// One feature: a column over all rows.
pub(super) struct Feature<'a> {
    cell: &'a Cell,
    /// Elements of one row of the input.
    width: usize,
    /// `None`: the input is left out, all its values are missing.
    data: Option<&'a Data>,
}

/// One value as it is written.
pub(super) enum Field<'a> {
    Missing,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Single(f32),
    Double(f64),
    Text(Cow<'a, str>),
    Code(&'a Value),
}

impl<'a> Features<'a> {
    pub(super) fn of(form: &'a Form, request: &'a PredictRequest) -> Result<Self> {
        let list = form.cells.iter().map(|cell| Feature::of(cell, request)).collect::<Result<_>>()?;
        Ok(Self { rows: request.rows(), list })
    }
}

impl<'a> Feature<'a> {
    fn of(cell: &'a Cell, request: &'a PredictRequest) -> Result<Self> {
        match request.input(&cell.input) {
            Some(tensor) => Ok(Self { cell, width: tensor.row_width(), data: Some(&tensor.data) }),
            None if cell.nullable => Ok(Self { cell, width: 1, data: None }),
            None => Err(unfit(cell, "is missing")),
        }
    }

    /// What the deployment calls it.
    pub(super) fn name(&self) -> &'a str {
        &self.cell.name
    }

    /// Its value in one row.
    pub(super) fn field(&self, row: usize) -> Result<Field<'a>> {
        let cell = self.cell;
        let Some(data) = self.data else { return Ok(missing(cell)) };
        let inside = cell.column < self.width;
        let scalar = inside.then(|| data.get(row * self.width + cell.column)).flatten();
        match scalar {
            None => Err(unfit(cell, "does not have the model's shape")),
            Some(Scalar::Real(value)) if value.is_nan() => Ok(missing(cell)),
            Some(Scalar::Bytes([])) if cell.nullable => Ok(missing(cell)),
            Some(Scalar::Bytes(text)) if !cell.codes.is_empty() => code(cell, text),
            Some(scalar) => as_declared(scalar, cell.datatype).ok_or_else(|| {
                let why = format!(
                    "row {row} holds {}, which cannot be written as {}",
                    shown(scalar),
                    cell.datatype
                );
                Error::unsupported(&cell.input, &why)
            }),
        }
    }
}

/// The code of the empty text stands for a missing value, where there is one.
fn missing(cell: &Cell) -> Field<'_> {
    cell.codes.get("").map_or(Field::Missing, Field::Code)
}

fn code<'a>(cell: &'a Cell, text: &[u8]) -> Result<Field<'a>> {
    let known = std::str::from_utf8(text).ok().and_then(|text| cell.codes.get(text));
    known.map(Field::Code).ok_or_else(|| {
        let names: Vec<&str> = cell.codes.keys().map(String::as_str).take(MAX_SHOWN).collect();
        let more = if cell.codes.len() > MAX_SHOWN { ", …" } else { "" };
        let why = format!(
            "the deployment has no code for {}, only for {}{more}",
            shown(Scalar::Bytes(text)),
            names.join(", ")
        );
        Error::unsupported(&cell.input, &why)
    })
}

/// Codes are told, and a text is shown, up to this many and this long.
const MAX_SHOWN: usize = 40;

fn shown(scalar: Scalar<'_>) -> String {
    match scalar {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Uint(value) => value.to_string(),
        Scalar::Real(value) => value.to_string(),
        Scalar::Bytes(text) => {
            let text: String = String::from_utf8_lossy(text).chars().take(MAX_SHOWN).collect();
            format!("{text:?}")
        }
    }
}

/// A value as another datatype: whole numbers and truth values as they are or not at all, fractions rounded.
fn as_declared(scalar: Scalar<'_>, datatype: Datatype) -> Option<Field<'_>> {
    match datatype {
        Datatype::Bytes => Some(Field::Text(match scalar {
            Scalar::Bytes(text) => Cow::Borrowed(std::str::from_utf8(text).ok()?),
            Scalar::Real(value) => Cow::Owned(serde_json::to_string(&value).ok()?),
            number => Cow::Owned(shown(number)),
        })),
        Datatype::Fp64 => Some(Field::Double(real(scalar)?)),
        Datatype::Fp32 => single(scalar, real(scalar)? as f32),
        Datatype::Fp16 => single(scalar, f16::from_f64(real(scalar)?).into()),
        Datatype::Bf16 => single(scalar, bf16::from_f64(real(scalar)?).into()),
        Datatype::Bool => match (scalar, whole(scalar)) {
            (Scalar::Bool(value), _) => Some(Field::Bool(value)),
            (_, Some(value @ (0 | 1))) => Some(Field::Bool(value == 1)),
            _ => None,
        },
        _ => {
            let value = whole(scalar).filter(|value| bounds(datatype).contains(value))?;
            i64::try_from(value).map(Field::Int).or_else(|_| u64::try_from(value).map(Field::Uint)).ok()
        }
    }
}

/// What a datatype of whole numbers can hold.
fn bounds(datatype: Datatype) -> std::ops::RangeInclusive<i128> {
    match datatype {
        Datatype::Uint8 => 0..=u8::MAX.into(),
        Datatype::Uint16 => 0..=u16::MAX.into(),
        Datatype::Uint32 => 0..=u32::MAX.into(),
        Datatype::Uint64 => 0..=u64::MAX.into(),
        Datatype::Int8 => i8::MIN.into()..=i8::MAX.into(),
        Datatype::Int16 => i16::MIN.into()..=i16::MAX.into(),
        Datatype::Int32 => i32::MIN.into()..=i32::MAX.into(),
        _ => i64::MIN.into()..=i64::MAX.into(),
    }
}

fn whole(scalar: Scalar<'_>) -> Option<i128> {
    match scalar {
        Scalar::Bool(value) => Some(value.into()),
        Scalar::Int(value) => Some(value.into()),
        Scalar::Uint(value) => Some(value.into()),
        Scalar::Real(value) => (value.fract() == 0.0 && value.abs() <= EXACT as f64).then_some(value as i128),
        Scalar::Bytes(_) => None,
    }
}

fn real(scalar: Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Real(value) => value.is_finite().then_some(value),
        number => {
            let value = whole(number)?;
            (value.unsigned_abs() <= EXACT.into()).then_some(value as f64)
        }
    }
}

fn single(scalar: Scalar<'_>, rounded: f32) -> Option<Field<'_>> {
    let kept = match scalar {
        Scalar::Real(_) => rounded.is_finite(),
        number => real(number) == Some(rounded.into()),
    };
    kept.then_some(Field::Single(rounded))
}

fn unfit(cell: &Cell, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("input `{}` {why}", cell.input)).with_param(&*cell.input)
}
