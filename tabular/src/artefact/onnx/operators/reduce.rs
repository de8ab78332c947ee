//! Operators that make one number of many.

use super::super::attributes::Attributes;
use super::super::value::{Element, Outcome, Value};
use super::{Run, axis};

/// A reduction by its name; none if it is not one.
pub(super) fn compile(name: &str, attributes: &Attributes<'_>) -> Outcome<Option<Run>> {
    let reduce: fn(&[f64]) -> f64 = match name {
        "ReduceSum" => |numbers| numbers.iter().sum(),
        "ReduceMean" => |numbers| numbers.iter().sum::<f64>() / numbers.len() as f64,
        "ReduceProd" => |numbers| numbers.iter().product(),
        "ReduceMax" => |numbers| numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "ReduceMin" => |numbers| numbers.iter().copied().fold(f64::INFINITY, f64::min),
        "ReduceL1" => |numbers| numbers.iter().map(|x| x.abs()).sum(),
        "ReduceL2" => |numbers| numbers.iter().map(|x| x * x).sum::<f64>().sqrt(),
        "ReduceSumSquare" => |numbers| numbers.iter().map(|x| x * x).sum(),
        "ReduceLogSumExp" => |numbers| {
            let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            most + numbers.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
        },
        _ => return Ok(None),
    };
    let fixed = attributes.ints("axes");
    let keep = attributes.int("keepdims", 1) != 0;
    let nothing = attributes.int("noop_with_empty_axes", 0) != 0;
    Ok(Some(Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let (element, _) = value.as_numbers()?;
        let axes = inputs.maybe(1).map_or(Ok(fixed.clone()), Value::as_ints)?;
        match axes.as_slice() {
            [] if nothing => Ok(vec![value.clone()]),
            [] => {
                let all = value.reshaped(vec![value.len()])?;
                let dims = if keep { vec![1; value.dims.len()] } else { Vec::new() };
                let [number] = along(&all, 0, reduce)?[..] else {
                    return Err("it reduces nothing".to_owned());
                };
                Ok(vec![Value::numbers(element, dims, vec![number])?])
            }
            [one] => {
                let one = axis(*one, value.dims.len())?;
                Ok(vec![Value::numbers(
                    element,
                    reduced(&value.dims, one, keep),
                    along(value, one, reduce)?,
                )?])
            }
            _ => Err("reducing several axes at once is not supported".to_owned()),
        }
    })))
}

pub(super) fn arg_max(attributes: &Attributes<'_>) -> Outcome<Run> {
    let (at, keep) = (attributes.int("axis", 0), attributes.int("keepdims", 1) != 0);
    if attributes.int("select_last_index", 0) != 0 {
        return Err("`select_last_index` is not supported".to_owned());
    }
    Ok(Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let at = axis(at, value.dims.len())?;
        let places = along(value, at, |numbers| largest(numbers) as f64)?;
        Ok(vec![Value::numbers(Element::Int, reduced(&value.dims, at, keep), places)?])
    }))
}

/// The place of the largest number, the first of several.
pub(super) fn largest(numbers: &[f64]) -> usize {
    let mut best = 0;
    for (place, number) in numbers.iter().enumerate() {
        if *number > numbers[best] {
            best = place;
        }
    }
    best
}

pub(super) fn softmax(version: i64, attributes: &Attributes<'_>) -> Outcome<Run> {
    // Before version 13 all axes from this one on were taken together; the last axis means the same in both.
    let at = attributes.int("axis", if version < 13 { 1 } else { -1 });
    Ok(Box::new(move |inputs| {
        let (element, numbers, rows, width) = inputs.rows()?;
        let value = inputs.get(0)?;
        if value.dims.len() != 2 || axis(at, 2)? != 1 || width == 0 {
            return Err("only the second of two dimensions is supported".to_owned());
        }
        let mut results = Vec::with_capacity(rows * width);
        numbers.chunks_exact(width).for_each(|row| results.extend(softmax_of(row)));
        Ok(vec![Value::numbers(element, value.dims.clone(), results)?])
    }))
}

/// Positive numbers that add up to 1.
pub(super) fn softmax_of(numbers: &[f64]) -> Vec<f64> {
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = numbers.iter().map(|number| (number - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn reduced(dims: &[usize], at: usize, keep: bool) -> Vec<usize> {
    let mut dims = dims.to_vec();
    if keep {
        dims[at] = 1;
    } else {
        dims.remove(at);
    }
    dims
}

/// Reduces each run of numbers along an axis.
fn along(value: &Value, at: usize, reduce: impl Fn(&[f64]) -> f64) -> Outcome<Vec<f64>> {
    let (_, numbers) = value.as_numbers()?;
    let length = value.dims[at];
    if length == 0 {
        return Err("it reduces nothing".to_owned());
    }
    let inner: usize = value.dims[at + 1..].iter().product();
    let outer: usize = value.dims[..at].iter().product();
    let mut run = vec![0.0; length];
    let mut results = Vec::with_capacity(outer * inner);
    for row in 0..outer {
        for column in 0..inner {
            for (place, number) in run.iter_mut().enumerate() {
                *number = numbers[(row * length + place) * inner + column];
            }
            results.push(reduce(&run));
        }
    }
    Ok(results)
}
