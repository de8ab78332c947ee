//! A named block of numbers or texts.

use bytes::Bytes;
use half::{bf16, f16};
use serde_json::{Map, Value};

use super::{Datatype, element::EXACT};

/// A named, typed, shaped block of elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its dimensions; the first counts rows. Their product is the number of elements.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Data,
    /// What else was said of it.
    pub parameters: Map<String, Value>,
}

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `BOOL`.
    Bool(Vec<bool>),
    /// `UINT8`.
    Uint8(Vec<u8>),
    /// `UINT16`.
    Uint16(Vec<u16>),
    /// `UINT32`.
    Uint32(Vec<u32>),
    /// `UINT64`.
    Uint64(Vec<u64>),
    /// `INT8`.
    Int8(Vec<i8>),
    /// `INT16`.
    Int16(Vec<i16>),
    /// `INT32`.
    Int32(Vec<i32>),
    /// `INT64`.
    Int64(Vec<i64>),
    /// `FP16`.
    Fp16(Vec<f16>),
    /// `BF16`.
    Bf16(Vec<bf16>),
    /// `FP32`.
    Fp32(Vec<f32>),
    /// `FP64`.
    Fp64(Vec<f64>),
    /// `BYTES`.
    Bytes(Vec<Bytes>),
}

/// One element, widened to the largest of its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Of a `BOOL`.
    Bool(bool),
    /// Of an `INT*`.
    Int(i64),
    /// Of a `UINT*`.
    Uint(u64),
    /// Of an `FP*` or `BF16`.
    Real(f64),
    /// Of a `BYTES`.
    Bytes(&'a [u8]),
}

/// Runs one expression for whichever vector is inside.
macro_rules! each {
    ($data:expr, $vector:ident => $body:expr) => {
        match $data {
            Data::Bool($vector) => $body,
            Data::Uint8($vector) => $body,
            Data::Uint16($vector) => $body,
            Data::Uint32($vector) => $body,
            Data::Uint64($vector) => $body,
            Data::Int8($vector) => $body,
            Data::Int16($vector) => $body,
            Data::Int32($vector) => $body,
            Data::Int64($vector) => $body,
            Data::Fp16($vector) => $body,
            Data::Bf16($vector) => $body,
            Data::Fp32($vector) => $body,
            Data::Fp64($vector) => $body,
            Data::Bytes($vector) => $body,
        }
    };
}
pub(super) use each;

impl Tensor {
    /// A tensor without parameters.
    ///
    /// # Errors
    /// When the shape does not hold as many elements as there are.
    pub fn new(name: impl Into<String>, shape: Vec<usize>, data: Data) -> Result<Self, String> {
        let tensor = Self { name: name.into(), shape, data, parameters: Map::new() };
        tensor.check_count()?;
        Ok(tensor)
    }

    /// What its elements are.
    pub fn datatype(&self) -> Datatype {
        self.data.datatype()
    }

    /// Its first dimension: how many rows it has. A tensor without dimensions is one row.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements of one row.
    pub fn row_width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Whether the shape holds as many elements as there are.
    pub(super) fn check_count(&self) -> Result<(), String> {
        let wanted = count(&self.shape).ok_or("its shape is larger than any memory")?;
        let held = self.data.len();
        if wanted == held {
            return Ok(());
        }
        let shape = &self.shape;
        Err(format!("its shape {shape:?} needs {wanted} elements, its data has {held}"))
    }
}

/// Elements of a shape, unless they are more than can be counted.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, dimension| product.checked_mul(*dimension))
}

impl Data {
    /// No elements yet.
    pub fn empty(datatype: Datatype) -> Self {
        match datatype {
            Datatype::Bool => Self::Bool(Vec::new()),
            Datatype::Uint8 => Self::Uint8(Vec::new()),
            Datatype::Uint16 => Self::Uint16(Vec::new()),
            Datatype::Uint32 => Self::Uint32(Vec::new()),
            Datatype::Uint64 => Self::Uint64(Vec::new()),
            Datatype::Int8 => Self::Int8(Vec::new()),
            Datatype::Int16 => Self::Int16(Vec::new()),
            Datatype::Int32 => Self::Int32(Vec::new()),
            Datatype::Int64 => Self::Int64(Vec::new()),
            Datatype::Fp16 => Self::Fp16(Vec::new()),
            Datatype::Bf16 => Self::Bf16(Vec::new()),
            Datatype::Fp32 => Self::Fp32(Vec::new()),
            Datatype::Fp64 => Self::Fp64(Vec::new()),
            Datatype::Bytes => Self::Bytes(Vec::new()),
        }
    }

    /// What the elements are.
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Uint8(_) => Datatype::Uint8,
            Self::Uint16(_) => Datatype::Uint16,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Int8(_) => Datatype::Int8,
            Self::Int16(_) => Datatype::Int16,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Fp16(_) => Datatype::Fp16,
            Self::Bf16(_) => Datatype::Bf16,
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        each!(self, vector => vector.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One element.
    pub fn get(&self, index: usize) -> Option<Scalar<'_>> {
        Some(match self {
            Self::Bool(vector) => Scalar::Bool(*vector.get(index)?),
            Self::Uint8(vector) => Scalar::Uint((*vector.get(index)?).into()),
            Self::Uint16(vector) => Scalar::Uint((*vector.get(index)?).into()),
            Self::Uint32(vector) => Scalar::Uint((*vector.get(index)?).into()),
            Self::Uint64(vector) => Scalar::Uint(*vector.get(index)?),
            Self::Int8(vector) => Scalar::Int((*vector.get(index)?).into()),
            Self::Int16(vector) => Scalar::Int((*vector.get(index)?).into()),
            Self::Int32(vector) => Scalar::Int((*vector.get(index)?).into()),
            Self::Int64(vector) => Scalar::Int(*vector.get(index)?),
            Self::Fp16(vector) => Scalar::Real((*vector.get(index)?).into()),
            Self::Bf16(vector) => Scalar::Real((*vector.get(index)?).into()),
            Self::Fp32(vector) => Scalar::Real((*vector.get(index)?).into()),
            Self::Fp64(vector) => Scalar::Real(*vector.get(index)?),
            Self::Bytes(vector) => Scalar::Bytes(vector.get(index)?),
        })
    }

    /// Each element in turn.
    pub fn iter(&self) -> impl Iterator<Item = Scalar<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Appends the elements in the binary form: little-endian, `BYTES` elements behind a 32-bit length.
    pub fn write_binary(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(vector) => out.extend(vector.iter().map(|value| u8::from(*value))),
            Self::Uint8(vector) => out.extend_from_slice(vector),
            Self::Bytes(vector) => {
                for element in vector {
                    // Longer elements than 4 GiB cannot come in: bodies are bounded far below.
                    out.extend_from_slice(&u32::try_from(element.len()).unwrap_or(u32::MAX).to_le_bytes());
                    out.extend_from_slice(element);
                }
            }
            Self::Uint16(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Uint32(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Uint64(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Int8(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Int16(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Int32(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Int64(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Fp16(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Bf16(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Fp32(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::Fp64(vector) => vector.iter().for_each(|value| out.extend(value.to_le_bytes())),
        }
    }

    /// Reads elements in the binary form.
    ///
    /// # Errors
    /// When the bytes are not whole elements, or a `BOOL` is neither 0 nor 1.
    pub fn read_binary(datatype: Datatype, bytes: &Bytes) -> Result<Self, String> {
        if let Some(size) = datatype.size()
            && !bytes.len().is_multiple_of(size)
        {
            let length = bytes.len();
            return Err(format!("its {length} bytes are not whole {datatype} elements of {size} bytes"));
        }
        Ok(match datatype {
            Datatype::Bool => {
                if let Some(odd) = bytes.iter().find(|byte| **byte > 1) {
                    return Err(format!("a BOOL is 0 or 1, not {odd}"));
                }
                Self::Bool(bytes.iter().map(|byte| *byte == 1).collect())
            }
            Datatype::Uint8 => Self::Uint8(bytes.to_vec()),
            Datatype::Uint16 => Self::Uint16(read(bytes, u16::from_le_bytes)),
            Datatype::Uint32 => Self::Uint32(read(bytes, u32::from_le_bytes)),
            Datatype::Uint64 => Self::Uint64(read(bytes, u64::from_le_bytes)),
            Datatype::Int8 => Self::Int8(read(bytes, i8::from_le_bytes)),
            Datatype::Int16 => Self::Int16(read(bytes, i16::from_le_bytes)),
            Datatype::Int32 => Self::Int32(read(bytes, i32::from_le_bytes)),
            Datatype::Int64 => Self::Int64(read(bytes, i64::from_le_bytes)),
            Datatype::Fp16 => Self::Fp16(read(bytes, f16::from_le_bytes)),
            Datatype::Bf16 => Self::Bf16(read(bytes, bf16::from_le_bytes)),
            Datatype::Fp32 => Self::Fp32(read(bytes, f32::from_le_bytes)),
            Datatype::Fp64 => Self::Fp64(read(bytes, f64::from_le_bytes)),
            Datatype::Bytes => Self::Bytes(read_strings(bytes)?),
        })
    }

    /// The same elements as `to`, where nothing is lost by it; `None` where something would be, or where the kinds differ.
    pub fn widen(&self, to: Datatype) -> Option<Self> {
        match to {
            _ if to == self.datatype() => Some(self.clone()),
            Datatype::Fp64 => {
                let real = |scalar| match scalar {
                    Scalar::Real(value) => Some(value),
                    Scalar::Int(value) if value.unsigned_abs() <= EXACT => Some(value as f64),
                    Scalar::Uint(value) if value <= EXACT => Some(value as f64),
                    _ => None,
                };
                self.iter().map(real).collect::<Option<_>>().map(Self::Fp64)
            }
            _ if to.is_whole() && self.datatype().is_whole() => {
                let mut data = Self::empty(to);
                self.iter().try_for_each(|scalar| data.push(scalar))?;
                Some(data)
            }
            Datatype::Fp32 => match self {
                Self::Fp16(vector) => Some(Self::Fp32(vector.iter().map(|value| (*value).into()).collect())),
                Self::Bf16(vector) => Some(Self::Fp32(vector.iter().map(|value| (*value).into()).collect())),
                _ => {
                    // 2²⁴: whole numbers up to here are exact in an `FP32`.
                    let small = |scalar| match scalar {
                        Scalar::Int(value) if value.unsigned_abs() <= 1 << 24 => Some(value as f32),
                        Scalar::Uint(value) if value <= 1 << 24 => Some(value as f32),
                        _ => None,
                    };
                    self.iter().map(small).collect::<Option<_>>().map(Self::Fp32)
                }
            },
            _ => None,
        }
    }
}

fn read<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| from(*chunk)).collect()
}

fn read_strings(bytes: &Bytes) -> Result<Vec<Bytes>, String> {
    let mut strings = Vec::new();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let Some(length) = rest.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize) else {
            return Err("its last BYTES element has no whole length before it".to_owned());
        };
        let body = rest.split_off(4);
        if body.len() < length {
            let left = body.len();
            return Err(format!("a BYTES element says it has {length} bytes where {left} are left"));
        }
        strings.push(body.slice(..length));
        rest = body.slice(length..);
    }
    Ok(strings)
}
