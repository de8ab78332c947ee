//! The table of tensors, checked against the file that it describes.

use std::collections::HashSet;
use std::io::Read;

use super::reader::Reader;
use super::{Error, Metadata, Tensor, kind};

/// The fewest bytes of an entry: the length of an empty name, no dimensions, a type, an offset.
pub(super) const SMALLEST_ENTRY: u64 = 8 + 4 + 4 + 8;

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: u32 = 4;

/// Reads `count` entries. The tensors' data follows the table; each tensor lies in the file, and none overlap.
pub(super) fn read<R: Read>(
    reader: &mut Reader<'_, R>,
    count: usize,
    metadata: &Metadata,
) -> Result<Vec<Tensor>, Error> {
    let alignment = alignment(reader, metadata)?;
    let mut tensors = Vec::with_capacity(count);
    for number in 1..=count {
        tensors.push(entry(reader, number, alignment)?);
    }
    place(reader, &mut tensors, alignment)?;
    Ok(tensors)
}

/// The multiple of bytes at which data begins.
fn alignment<R: Read>(reader: &Reader<'_, R>, metadata: &Metadata) -> Result<u64, Error> {
    match metadata.u32("general.alignment")? {
        None => Ok(32),
        Some(alignment) if alignment.is_power_of_two() => Ok(alignment.into()),
        Some(alignment) => {
            Err(reader
                .damaged(format!("its general.alignment is {alignment}, which should be a power of two")))
        }
    }
}

/// One entry; its `start` still counts from the start of the data.
fn entry<R: Read>(reader: &mut Reader<'_, R>, number: usize, alignment: u64) -> Result<Tensor, Error> {
    let what = format!("tensor {number}");
    let name = reader.text(&what)?;
    let dimensions = reader.u32(&what)?;
    if dimensions > MOST_DIMENSIONS {
        return Err(reader.damaged(format!(
            "tensor {name} has {dimensions} dimensions, and {MOST_DIMENSIONS} are the most"
        )));
    }
    let shape = (0..dimensions).map(|_| reader.u64(&what)).collect::<Result<Vec<_>, _>>()?;
    let kind = reader.u32(&what)?;
    let start = reader.u64(&what)?;
    if !start.is_multiple_of(alignment) {
        return Err(reader.damaged(format!(
            "tensor {name} begins at offset {start}, which is not a multiple of {alignment}"
        )));
    }
    let bytes = bytes(reader, &name, &shape, kind)?;
    Ok(Tensor { name, shape, kind, bytes, start })
}

/// The length of the data of a tensor of that shape and type.
fn bytes<R: Read>(reader: &Reader<'_, R>, name: &str, shape: &[u64], kind: u32) -> Result<u64, Error> {
    let Some((elements, width)) = kind::block(kind) else {
        return Err(reader.unsupported(match kind::kind_name(kind) {
            Some(kind) => format!("has a tensor, {name}, of the type {kind}, which files may no longer use"),
            None => format!("has a tensor, {name}, of type {kind}, which this program does not know"),
        }));
    };
    if shape.contains(&0) {
        return Err(reader.damaged(format!("tensor {name} has the shape {shape:?}, with an empty dimension")));
    }
    let row = shape.first().copied().unwrap_or(1);
    if !row.is_multiple_of(elements) {
        return Err(reader.damaged(format!(
            "tensor {name} has rows of {row} elements, which are not whole blocks of {elements}"
        )));
    }
    let rows = shape.iter().skip(1).try_fold(1_u64, |rows, dimension| rows.checked_mul(*dimension));
    let bytes = rows.and_then(|rows| (row / elements).checked_mul(width)?.checked_mul(rows));
    bytes.ok_or_else(|| reader.damaged(format!("tensor {name} has the impossible shape {shape:?}")))
}

/// Turns each `start` into a place in the file, and refuses tensors that share a name or a byte, or that lie beyond
/// the end.
fn place<R: Read>(reader: &Reader<'_, R>, tensors: &mut [Tensor], alignment: u64) -> Result<(), Error> {
    let data = reader.position().next_multiple_of(alignment);
    for tensor in tensors.iter_mut() {
        let start = data.checked_add(tensor.start);
        let Some((start, end)) = start.and_then(|start| Some((start, start.checked_add(tensor.bytes)?)))
        else {
            return Err(reader.damaged(format!("tensor {} has the offset {}", tensor.name, tensor.start)));
        };
        if end > reader.length() {
            let missing = end - reader.length();
            return Err(
                reader.truncated(format!("ends {missing} bytes before the end of tensor {}", tensor.name))
            );
        }
        tensor.start = start;
    }
    distinct(reader, tensors)
}

fn distinct<R: Read>(reader: &Reader<'_, R>, tensors: &[Tensor]) -> Result<(), Error> {
    let mut names = HashSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
        return Err(reader.damaged(format!("it has two tensors named {}", twice.name)));
    }
    let mut by_place: Vec<&Tensor> = tensors.iter().collect();
    by_place.sort_by_key(|tensor| tensor.start);
    for (first, second) in by_place.iter().zip(by_place.iter().skip(1)) {
        if first.start + first.bytes > second.start {
            return Err(reader.damaged(format!("the tensors {} and {} overlap", first.name, second.name)));
        }
    }
    Ok(())
}
