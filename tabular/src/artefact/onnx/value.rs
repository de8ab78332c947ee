//! What flows through a graph: numbers or words in a shape.

use std::sync::Arc;

use super::wire;

/// A value of more elements is taken for damage.
pub(super) const MOST: usize = 1 << 26;

/// What an operator says when it fails.
pub(super) type Outcome<T> = Result<T, String>;

/// Numbers or words, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
}

/// As many as the lengths in `dims` multiplied.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// Every number is one that its element can be.
    Numbers(Element, Vec<f64>),
    Words(Vec<Arc<str>>),
}

/// What numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float,
    Double,
    /// A whole number of any width; exact up to 2^53.
    Int,
    Bool,
}

/// What a value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Numbers(Element),
    Words,
}

impl Element {
    /// The nearest number that it can be.
    pub(super) fn fit(self, number: f64) -> f64 {
        match self {
            Self::Float => f64::from(number as f32),
            Self::Double => number,
            Self::Int => number.trunc(),
            Self::Bool => f64::from(u8::from(number != 0.0)),
        }
    }
}

impl Content {
    /// From `TensorProto.DataType`.
    pub(super) fn of(code: i32) -> Outcome<Self> {
        Ok(Self::Numbers(match code {
            1 => Element::Float,
            11 => Element::Double,
            2..=7 | 12 | 13 => Element::Int,
            9 => Element::Bool,
            8 => return Ok(Self::Words),
            other => {
                return Err(format!(
                    "elements of type {other} are not known; float, double, whole numbers, bool and string are"
                ));
            }
        }))
    }
}

impl Value {
    /// Numbers are rounded to what the element can be.
    pub(super) fn numbers(element: Element, dims: Vec<usize>, mut numbers: Vec<f64>) -> Outcome<Self> {
        fits(&dims, numbers.len())?;
        if element != Element::Double {
            numbers.iter_mut().for_each(|number| *number = element.fit(*number));
        }
        Ok(Self { dims, data: Data::Numbers(element, numbers) })
    }

    pub(super) fn words(dims: Vec<usize>, words: Vec<Arc<str>>) -> Outcome<Self> {
        fits(&dims, words.len())?;
        Ok(Self { dims, data: Data::Words(words) })
    }

    /// Whole numbers in a row, e.g. a shape.
    pub(super) fn row_of_ints(ints: &[usize]) -> Self {
        let numbers = ints.iter().map(|int| *int as f64).collect();
        Self { dims: vec![ints.len()], data: Data::Numbers(Element::Int, numbers) }
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Numbers(_, numbers) => numbers.len(),
            Data::Words(words) => words.len(),
        }
    }

    pub(super) fn as_numbers(&self) -> Outcome<(Element, &[f64])> {
        match &self.data {
            Data::Numbers(element, numbers) => Ok((*element, numbers)),
            Data::Words(_) => Err("it wants numbers but gets words".to_owned()),
        }
    }

    pub(super) fn as_words(&self) -> Outcome<&[Arc<str>]> {
        match &self.data {
            Data::Words(words) => Ok(words),
            Data::Numbers(..) => Err("it wants words but gets numbers".to_owned()),
        }
    }

    /// Whole numbers, e.g. of a shape.
    pub(super) fn as_ints(&self) -> Outcome<Vec<i64>> {
        let (_, numbers) = self.as_numbers()?;
        Ok(numbers.iter().map(|number| *number as i64).collect())
    }

    /// Rows and the width of a row: all but the first dimension taken together; one dimension is one row.
    pub(super) fn rows(&self) -> (usize, usize) {
        match self.dims.as_slice() {
            [] => (1, 1),
            [width] => (1, *width),
            [rows, rest @ ..] => (*rows, rest.iter().product()),
        }
    }

    /// The same elements in another shape of the same size.
    pub(super) fn reshaped(&self, dims: Vec<usize>) -> Outcome<Self> {
        fits(&dims, self.len())?;
        Ok(Self { dims, data: self.data.clone() })
    }

    /// The elements at these places, which are all there.
    pub(super) fn pick(&self, dims: Vec<usize>, places: &[usize]) -> Outcome<Self> {
        fits(&dims, places.len())?;
        let gone = || "it asks for an element that is not there".to_owned();
        let data = match &self.data {
            Data::Numbers(element, numbers) => {
                let picked = places.iter().map(|place| numbers.get(*place).copied().ok_or_else(gone));
                Data::Numbers(*element, picked.collect::<Outcome<_>>()?)
            }
            Data::Words(words) => {
                let picked = places.iter().map(|place| words.get(*place).cloned().ok_or_else(gone));
                Data::Words(picked.collect::<Outcome<_>>()?)
            }
        };
        Ok(Self { dims, data })
    }

    /// From a tensor of the file.
    pub(super) fn decode(tensor: &wire::Tensor) -> Outcome<Self> {
        if tensor.location != 0 {
            return Err("its numbers are in another file; export the model into one".to_owned());
        }
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let dims = dims.ok_or("it has a negative length")?;
        match Content::of(tensor.data_type)? {
            Content::Words => {
                let words = tensor.words.iter().map(|word| text(word).map(Arc::from));
                Self::words(dims, words.collect::<Outcome<_>>()?)
            }
            Content::Numbers(element) => {
                let numbers = numbers(tensor)?;
                if element == Element::Int && numbers.iter().any(|number| number.abs() > 9e15) {
                    return Err("it has whole numbers beyond 9e15".to_owned());
                }
                Self::numbers(element, dims, numbers)
            }
        }
    }
}

fn fits(dims: &[usize], len: usize) -> Outcome<()> {
    let size = dims.iter().try_fold(1_usize, |size, dim| size.checked_mul(*dim));
    match size {
        Some(size) if size > MOST => Err(format!("a value of {size} elements is more than {MOST}")),
        Some(size) if size == len => Ok(()),
        _ => Err(format!("{len} elements do not fit the shape {dims:?}")),
    }
}

pub(super) fn text(bytes: &[u8]) -> Outcome<&str> {
    std::str::from_utf8(bytes).map_err(|_| "it has a word that is not UTF-8".to_owned())
}

fn numbers(tensor: &wire::Tensor) -> Outcome<Vec<f64>> {
    let raw = &tensor.raw;
    if raw.is_empty() {
        return Ok(match tensor.data_type {
            1 => tensor.floats.iter().map(|n| f64::from(*n)).collect(),
            11 => tensor.doubles.clone(),
            7 => tensor.int64s.iter().map(|n| *n as f64).collect(),
            12 | 13 => tensor.uint64s.iter().map(|n| *n as f64).collect(),
            _ => tensor.int32s.iter().map(|n| f64::from(*n)).collect(),
        });
    }
    // Little-endian, whatever the machine.
    match tensor.data_type {
        1 => whole(raw, |bytes| f64::from(f32::from_le_bytes(bytes))),
        11 => whole(raw, f64::from_le_bytes),
        2 | 9 => whole(raw, |[byte]: [u8; 1]| f64::from(byte)),
        3 => whole(raw, |bytes| f64::from(i8::from_le_bytes(bytes))),
        4 => whole(raw, |bytes| f64::from(u16::from_le_bytes(bytes))),
        5 => whole(raw, |bytes| f64::from(i16::from_le_bytes(bytes))),
        6 => whole(raw, |bytes| f64::from(i32::from_le_bytes(bytes))),
        7 => whole(raw, |bytes| i64::from_le_bytes(bytes) as f64),
        12 => whole(raw, |bytes| f64::from(u32::from_le_bytes(bytes))),
        _ => whole(raw, |bytes| u64::from_le_bytes(bytes) as f64),
    }
}

fn whole<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f64) -> Outcome<Vec<f64>> {
    let (numbers, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(numbers.iter().map(|bytes| read(*bytes)).collect())
    } else {
        Err(format!("{} bytes are not whole numbers of {N} bytes", raw.len()))
    }
}
