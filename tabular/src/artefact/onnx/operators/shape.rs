//! Operators that move elements, or change what they are, without computing.

use std::sync::Arc;

use super::super::attributes::Attributes;
use super::super::value::{Content, Data, Element, MOST, Outcome, Value};
use super::{Run, axis};

pub(super) fn identity() -> Run {
    Box::new(|inputs| Ok(vec![inputs.get(0)?.clone()]))
}

pub(super) fn shape() -> Run {
    Box::new(|inputs| Ok(vec![Value::row_of_ints(&inputs.get(0)?.dims)]))
}

pub(super) fn cast(attributes: &Attributes<'_>) -> Outcome<Run> {
    let to = Content::of(i32::try_from(attributes.int("to", 0)).unwrap_or(0))?;
    // How floats of eight bits are rounded, which are not known here.
    attributes.int("saturate", 1);
    Ok(Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let dims = value.dims.clone();
        Ok(vec![match (&value.data, to) {
            (Data::Numbers(_, numbers), Content::Numbers(element)) => {
                Value::numbers(element, dims, numbers.clone())?
            }
            (Data::Words(words), Content::Words) => Value::words(dims, words.clone())?,
            (Data::Numbers(element, numbers), Content::Words) => {
                Value::words(dims, numbers.iter().map(|number| written(*element, *number)).collect())?
            }
            (Data::Words(words), Content::Numbers(element)) => {
                let number =
                    |word: &Arc<str>| word.trim().parse().map_err(|_| format!("`{word}` is not a number"));
                Value::numbers(element, dims, words.iter().map(number).collect::<Outcome<_>>()?)?
            }
        }])
    }))
}

fn written(element: Element, number: f64) -> Arc<str> {
    match element {
        Element::Float => (number as f32).to_string().into(),
        _ => number.to_string().into(),
    }
}

pub(super) fn concat(attributes: &Attributes<'_>) -> Outcome<Run> {
    let along = attributes.int("axis", 1);
    Ok(Box::new(move |inputs| {
        let first = inputs.get(0)?;
        let along = axis(along, first.dims.len())?;
        let (before, after) = (first.dims[..along].to_vec(), first.dims[along + 1..].to_vec());
        let mut length = 0;
        for value in inputs.all() {
            let same = value.dims.len() == first.dims.len()
                && value.dims[..along] == before[..]
                && value.dims[along + 1..] == after[..];
            if !same {
                return Err(format!(
                    "the shapes {:?} and {:?} do not fit each other",
                    first.dims, value.dims
                ));
            }
            length += value.dims[along];
        }
        let inner: usize = after.iter().product();
        let dims = [before.as_slice(), &[length], &after].concat();
        let outer: usize = before.iter().product();
        Ok(vec![match &first.data {
            Data::Numbers(element, _) => {
                let parts = inputs.all().map(|value| Ok((value.as_numbers()?.1, value.dims[along] * inner)));
                let joined = interleave(&parts.collect::<Outcome<Vec<_>>>()?, outer);
                Value::numbers(*element, dims, joined)?
            }
            Data::Words(_) => {
                let parts = inputs.all().map(|value| Ok((value.as_words()?, value.dims[along] * inner)));
                Value::words(dims, interleave(&parts.collect::<Outcome<Vec<_>>>()?, outer))?
            }
        }])
    }))
}

/// From each part in turn its next so many elements, and that `outer` times.
fn interleave<T: Clone>(parts: &[(&[T], usize)], outer: usize) -> Vec<T> {
    let mut joined = Vec::new();
    for row in 0..outer {
        for (part, width) in parts {
            joined.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    joined
}

pub(super) fn reshape(attributes: &Attributes<'_>) -> Outcome<Run> {
    if attributes.int("allowzero", 0) != 0 {
        return Err("`allowzero` is not supported".to_owned());
    }
    // Before version 5 the shape was an attribute.
    let fixed = attributes.has("shape").then(|| attributes.ints("shape"));
    Ok(Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let wanted = fixed.clone().map_or_else(|| inputs.get(1)?.as_ints(), Ok)?;
        let mut dims = Vec::with_capacity(wanted.len());
        let mut open = None;
        for (index, dim) in wanted.iter().enumerate() {
            dims.push(match dim {
                -1 if open.is_none() => {
                    open = Some(index);
                    1
                }
                0 => *value.dims.get(index).ok_or("it keeps a length that is not there")?,
                dim => usize::try_from(*dim).map_err(|_| format!("{wanted:?} is not a shape"))?,
            });
        }
        if let Some(index) = open {
            let rest = dims.iter().try_fold(1_usize, |size, dim| size.checked_mul(*dim)).unwrap_or(0);
            dims[index] = value.len().checked_div(rest).unwrap_or(0);
        }
        Ok(vec![value.reshaped(dims)?])
    }))
}

pub(super) fn flatten(attributes: &Attributes<'_>) -> Outcome<Run> {
    let along = attributes.int("axis", 1);
    Ok(Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let dims = value.dims.len();
        let along =
            if usize::try_from(along).is_ok_and(|along| along == dims) { dims } else { axis(along, dims)? };
        let (outer, inner) = (value.dims[..along].iter().product(), value.dims[along..].iter().product());
        Ok(vec![value.reshaped(vec![outer, inner])?])
    }))
}

pub(super) fn squeeze(attributes: &Attributes<'_>) -> Run {
    let fixed = attributes.ints("axes");
    Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let wanted = inputs.maybe(1).map_or(Ok(fixed.clone()), Value::as_ints)?;
        let wanted = wanted.iter().map(|at| axis(*at, value.dims.len())).collect::<Outcome<Vec<_>>>()?;
        let goes =
            |index: &usize| if wanted.is_empty() { value.dims[*index] == 1 } else { wanted.contains(index) };
        let dims =
            (0..value.dims.len()).filter(|index| !goes(index)).map(|index| value.dims[index]).collect();
        Ok(vec![value.reshaped(dims)?])
    })
}

pub(super) fn unsqueeze(attributes: &Attributes<'_>) -> Run {
    let fixed = attributes.ints("axes");
    Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let wanted = inputs.maybe(1).map_or(Ok(fixed.clone()), Value::as_ints)?;
        let all = value.dims.len() + wanted.len();
        let mut wanted = wanted.iter().map(|at| axis(*at, all)).collect::<Outcome<Vec<_>>>()?;
        wanted.sort_unstable();
        let mut dims = value.dims.clone();
        for at in wanted {
            if at > dims.len() {
                return Err("an axis is named twice".to_owned());
            }
            dims.insert(at, 1);
        }
        Ok(vec![value.reshaped(dims)?])
    })
}

pub(super) fn transpose(attributes: &Attributes<'_>) -> Outcome<Run> {
    let order = attributes.indices("perm")?;
    Ok(Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let &[rows, width] = value.dims.as_slice() else {
            return Err("only two dimensions can be transposed".to_owned());
        };
        match order.as_slice() {
            [0, 1] => return Ok(vec![value.clone()]),
            [1, 0] | [] => {}
            other => return Err(format!("{other:?} is not an order of two dimensions")),
        }
        let places: Vec<usize> = (0..width).flat_map(|x| (0..rows).map(move |y| y * width + x)).collect();
        Ok(vec![value.pick(vec![width, rows], &places)?])
    }))
}

pub(super) fn gather(attributes: &Attributes<'_>) -> Outcome<Run> {
    let along = attributes.int("axis", 0);
    Ok(Box::new(move |inputs| {
        let (value, indices) = (inputs.get(0)?, inputs.get(1)?);
        let along = axis(along, value.dims.len())?;
        Ok(vec![take(value, along, &indices.as_ints()?, &indices.dims)?])
    }))
}

/// `ArrayFeatureExtractor`: of the last axis.
pub(super) fn extract_features() -> Run {
    Box::new(|inputs| {
        let (value, indices) = (inputs.get(0)?, inputs.get(1)?.as_ints()?);
        let rows = if value.dims.len() < 2 { value.reshaped(vec![1, value.len()])? } else { value.clone() };
        Ok(vec![take(&rows, rows.dims.len() - 1, &indices, &[indices.len()])?])
    })
}

/// Along an axis the elements at some indices, which have a shape of their own.
fn take(value: &Value, along: usize, indices: &[i64], shape: &[usize]) -> Outcome<Value> {
    let length = value.dims[along];
    let indices = indices.iter().map(|at| axis(*at, length)).collect::<Outcome<Vec<_>>>()?;
    let outer: usize = value.dims[..along].iter().product();
    let inner: usize = value.dims[along + 1..].iter().product();
    if outer.saturating_mul(inner).saturating_mul(indices.len()) > MOST {
        return Err(format!("its result has more than {MOST} elements"));
    }
    let mut places = Vec::with_capacity(outer * indices.len() * inner);
    for row in 0..outer {
        for at in &indices {
            let start = (row * length + at) * inner;
            places.extend(start..start + inner);
        }
    }
    value.pick([&value.dims[..along], shape, &value.dims[along + 1..]].concat(), &places)
}

pub(super) fn constant_of_shape(attributes: &Attributes<'_>) -> Outcome<Run> {
    let value = attributes.tensor("value")?;
    let (element, number) = match &value {
        None => (Element::Float, 0.0),
        Some(value) => {
            let (element, numbers) = value.as_numbers()?;
            (element, *numbers.first().ok_or("its value is empty")?)
        }
    };
    Ok(Box::new(move |inputs| {
        let wanted = inputs.get(0)?.as_ints()?;
        let dims: Option<Vec<usize>> = wanted.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let dims = dims.ok_or_else(|| format!("{wanted:?} is not a shape"))?;
        let size = dims.iter().try_fold(1_usize, |size, dim| size.checked_mul(*dim));
        let size = size.filter(|size| *size <= MOST);
        let size = size.ok_or_else(|| format!("the shape {dims:?} has more than {MOST} elements"))?;
        Ok(vec![Value::numbers(element, dims, vec![number; size])?])
    }))
}
