//! Operators that prepare columns of numbers.

use super::super::attributes::Attributes;
use super::super::value::{Element, Outcome, Value};
use super::{Run, real};

pub(super) fn scaler(attributes: &Attributes<'_>) -> Outcome<Run> {
    let (offset, scale) = (attributes.floats("offset")?, attributes.floats("scale")?);
    Ok(columns(move |column, number| Some((number - cyclic(&offset, column)?) * cyclic(&scale, column)?)))
}

pub(super) fn imputer(attributes: &Attributes<'_>) -> Outcome<Run> {
    let mut filling = attributes.floats("imputed_value_floats")?;
    let mut replaced = attributes.float("replaced_value_float", 0.0);
    let ints = attributes.ints("imputed_value_int64s");
    let replaced_int = attributes.int("replaced_value_int64", 0) as f64;
    if filling.is_empty() {
        filling = ints.iter().map(|int| *int as f64).collect();
        replaced = replaced_int;
    }
    Ok(columns(move |column, number| {
        let missing = if replaced.is_nan() { number.is_nan() } else { number == replaced };
        if missing { cyclic(&filling, column) } else { Some(number) }
    }))
}

pub(super) fn binarizer(attributes: &Attributes<'_>) -> Run {
    let threshold = attributes.float("threshold", 0.0);
    columns(move |_, number| Some(f64::from(u8::from(number > threshold))))
}

pub(super) fn normalizer(attributes: &Attributes<'_>) -> Outcome<Run> {
    let norm: fn(&[f64]) -> f64 = match attributes.word("norm", "MAX")?.as_str() {
        "MAX" => |row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "L1" => |row| row.iter().map(|number| number.abs()).sum(),
        "L2" => |row| row.iter().map(|number| number * number).sum::<f64>().sqrt(),
        other => return Err(format!("the norm `{other}` is not known")),
    };
    Ok(Box::new(move |inputs| {
        let (element, numbers, _, width) = inputs.rows()?;
        let rows = numbers.chunks_exact(width.max(1));
        let results = rows.flat_map(|row| {
            let norm = norm(row);
            row.iter().map(move |number| if norm == 0.0 { *number } else { number / norm })
        });
        Ok(vec![Value::numbers(real(element), inputs.get(0)?.dims.clone(), results.collect())?])
    }))
}

/// One number of each: of its column, or the only one.
fn cyclic(numbers: &[f64], column: usize) -> Option<f64> {
    if numbers.len() == 1 { numbers.first().copied() } else { numbers.get(column).copied() }
}

/// A number from each number and its column; none where nothing is known of the column.
fn columns(of: impl Fn(usize, f64) -> Option<f64> + Send + Sync + 'static) -> Run {
    Box::new(move |inputs| {
        let (element, numbers, _, width) = inputs.rows()?;
        let element =
            if element == Element::Int || element == Element::Bool { Element::Float } else { element };
        let each = numbers.iter().enumerate().map(|(place, number)| of(place % width.max(1), *number));
        let results: Option<Vec<f64>> = each.collect();
        let results = results.ok_or_else(|| format!("it knows fewer than {width} columns"))?;
        Ok(vec![Value::numbers(element, inputs.get(0)?.dims.clone(), results)?])
    })
}
