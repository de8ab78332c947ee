//! Writes GGUF version 3: what a program needs to make a file of its own, such as a test's model.

use super::{Array, Value};

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions in ggml's order: the one whose elements lie side by side first.
    pub shape: Vec<u64>,
    /// ggml's number for the type of its elements.
    pub kind: u32,
    /// Its data, in the layout of the type.
    pub data: Vec<u8>,
}

/// What multiple of bytes each tensor's data begins at: the format's default.
const ALIGNMENT: usize = 32;

/// The bytes of a GGUF file with these metadata and tensors. Data of the wrong length for its shape makes a file that
/// [`File::open`](super::File::open) refuses, as does metadata with `general.alignment` other than 32.
pub fn write<'a>(metadata: impl IntoIterator<Item = (&'a str, Value)>, tensors: &[NewTensor]) -> Vec<u8> {
    let metadata: Vec<(&str, Value)> = metadata.into_iter().collect();
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in &metadata {
        put_text(&mut bytes, key);
        put_value(&mut bytes, value);
    }
    let mut start = 0;
    for tensor in tensors {
        put_entry(&mut bytes, tensor, start);
        start += tensor.data.len().next_multiple_of(ALIGNMENT);
    }
    for tensor in tensors {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(&tensor.data);
    }
    bytes
}

fn put_entry(bytes: &mut Vec<u8>, tensor: &NewTensor, start: usize) {
    put_text(bytes, &tensor.name);
    bytes.extend((tensor.shape.len() as u32).to_le_bytes());
    bytes.extend(tensor.shape.iter().flat_map(|dimension| dimension.to_le_bytes()));
    bytes.extend(tensor.kind.to_le_bytes());
    bytes.extend((start as u64).to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) {
    let mut put = |kind: u32, number: &[u8]| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(number);
    };
    match value {
        Value::U8(value) => put(0, &value.to_le_bytes()),
        Value::I8(value) => put(1, &value.to_le_bytes()),
        Value::U16(value) => put(2, &value.to_le_bytes()),
        Value::I16(value) => put(3, &value.to_le_bytes()),
        Value::U32(value) => put(4, &value.to_le_bytes()),
        Value::I32(value) => put(5, &value.to_le_bytes()),
        Value::F32(value) => put(6, &value.to_le_bytes()),
        Value::Bool(value) => put(7, &[u8::from(*value)]),
        Value::String(text) => {
            put(8, &[]);
            put_text(bytes, text);
        }
        Value::Array(array) => {
            put(9, &[]);
            put_array(bytes, array);
        }
        Value::U64(value) => put(10, &value.to_le_bytes()),
        Value::I64(value) => put(11, &value.to_le_bytes()),
        Value::F64(value) => put(12, &value.to_le_bytes()),
    }
}

fn put_array(bytes: &mut Vec<u8>, array: &Array) {
    match array {
        Array::U8(values) => put_all(bytes, 0, values, |bytes, value| bytes.push(*value)),
        Array::I8(values) => put_all(bytes, 1, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::U16(values) => put_all(bytes, 2, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::I16(values) => put_all(bytes, 3, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::U32(values) => put_all(bytes, 4, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::I32(values) => put_all(bytes, 5, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::F32(values) => put_all(bytes, 6, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::Bool(values) => put_all(bytes, 7, values, |bytes, value| bytes.push(u8::from(*value))),
        Array::String(values) => put_all(bytes, 8, values, |bytes, value| put_text(bytes, value)),
        Array::Array(values) => put_all(bytes, 9, values, put_array),
        Array::U64(values) => put_all(bytes, 10, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::I64(values) => put_all(bytes, 11, values, |bytes, value| bytes.extend(value.to_le_bytes())),
        Array::F64(values) => put_all(bytes, 12, values, |bytes, value| bytes.extend(value.to_le_bytes())),
    }
}

fn put_all<T>(bytes: &mut Vec<u8>, kind: u32, values: &[T], one: impl Fn(&mut Vec<u8>, &T)) {
    bytes.extend(kind.to_le_bytes());
    bytes.extend((values.len() as u64).to_le_bytes());
    for value in values {
        one(bytes, value);
    }
}
