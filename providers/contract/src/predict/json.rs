//! A tensor's data as JSON: nested or flat arrays, read into the right type at once and written from it.

use std::fmt;

use half::{bf16, f16};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, SeqAccess, Visitor},
};

use super::{Data, Datatype, element::Element, tensor::each};

impl Data {
    /// Reads a JSON array: nested as `shape` says, or flat.
    ///
    /// # Errors
    /// When it is no such array, an element is of another type or out of range, or the nesting does not fit the shape.
    pub(super) fn read_json(datatype: Datatype, shape: &[usize], text: &str) -> Result<Self, String> {
        let mut data = Self::empty(datatype);
        each!(&mut data, vector => fill(vector, shape, text))?;
        Ok(data)
    }

    /// Appends the elements as a flat JSON array, with `nulls` a `null` for each NaN: a missing value.
    ///
    /// # Errors
    /// When an element is a number that is not finite or a byte string that is not UTF-8: JSON has neither.
    pub(super) fn write_json(&self, nulls: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let written = match self {
            Self::Bool(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Uint8(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Uint16(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Uint32(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Uint64(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Int8(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Int16(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Int32(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Int64(vector) => serde_json::to_writer(&mut *out, vector),
            Self::Fp16(vector) => write_reals(vector, f16::to_f32, nulls, out)?,
            Self::Bf16(vector) => write_reals(vector, bf16::to_f32, nulls, out)?,
            Self::Fp32(vector) => write_reals(vector, |value| value, nulls, out)?,
            Self::Fp64(vector) => {
                check_finite(vector.iter().all(|value| value.is_finite() || nulls && value.is_nan()))?;
                // serde_json writes NaN as `null`.
                serde_json::to_writer(&mut *out, vector)
            }
            Self::Bytes(vector) => {
                let texts: Result<Vec<&str>, _> =
                    vector.iter().map(|element| std::str::from_utf8(element)).collect();
                let texts =
                    texts.map_err(|_| "has bytes that are not UTF-8, which only binary data can carry")?;
                serde_json::to_writer(&mut *out, &texts)
            }
        };
        written.map_err(|error| error.to_string())
    }
}

fn check_finite(finite: bool) -> Result<(), &'static str> {
    if finite { Ok(()) } else { Err("has a number that is not finite, which only binary data can carry") }
}

fn write_reals<T: Copy>(
    vector: &[T],
    widen: impl Fn(T) -> f32,
    nulls: bool,
    out: &mut Vec<u8>,
) -> Result<serde_json::Result<()>, String> {
    let wide: Vec<f32> = vector.iter().map(|value| widen(*value)).collect();
    check_finite(wide.iter().all(|value| value.is_finite() || nulls && value.is_nan()))?;
    Ok(serde_json::to_writer(out, &wide))
}

fn fill<T: Element>(vector: &mut Vec<T>, shape: &[usize], text: &str) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut leaf_depth = None;
    let level = Level { vector, shape, depth: 0, leaf_depth: &mut leaf_depth };
    level.deserialize(&mut deserializer).map_err(|error| {
        // The place that serde_json names is within the data alone; the caller knows the whole body.
        let text = error.to_string();
        text.split(" at line ").next().unwrap_or_default().to_owned()
    })
}

/// One level of nesting.
struct Level<'a, T> {
    vector: &'a mut Vec<T>,
    shape: &'a [usize],
    depth: usize,
    /// How deep the elements stand; the same everywhere.
    leaf_depth: &'a mut Option<usize>,
}

impl<T: Element> Level<'_, T> {
    fn push<E: Error>(self, element: Option<T>, shown: &dyn fmt::Display) -> Result<(), E> {
        if *self.leaf_depth.get_or_insert(self.depth) != self.depth {
            return Err(E::custom("its data is nested deeper in one place than in another"));
        }
        if self.depth == 0 {
            return Err(E::custom("its data is not an array"));
        }
        let index = self.vector.len();
        let wrong = || E::custom(format!("element {index} of its data, {shown}, is not a {}", T::DATATYPE));
        self.vector.push(element.ok_or_else(wrong)?);
        Ok(())
    }
}

impl<'de, T: Element> DeserializeSeed<'de> for Level<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Level<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {} elements", T::DATATYPE)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { vector, shape, depth, leaf_depth } = self;
        if depth > 0 && depth >= shape.len() {
            return Err(A::Error::custom("its data is nested deeper than its shape"));
        }
        let before = vector.len();
        let mut length = 0;
        while seq
            .next_element_seed(Level {
                vector: &mut *vector,
                shape,
                depth: depth + 1,
                leaf_depth: &mut *leaf_depth,
            })?
            .is_some()
        {
            length += 1;
        }
        let flat = depth == 0 && vector.len() - before == length;
        let wanted = shape.get(depth).copied().unwrap_or(length);
        if !flat && length != wanted {
            let message =
                format!("its data has {length} items at nesting {} where its shape has {wanted}", depth + 1);
            return Err(A::Error::custom(message));
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(T::of_unsigned(value), &value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(T::of_signed(value), &value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(T::of_real(value), &value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(T::of_bool(value), &value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let shown: String = value.chars().take(40).collect();
        self.push(T::of_text(value), &format_args!("{shown:?}"))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push(T::missing(), &"null")
    }
}
