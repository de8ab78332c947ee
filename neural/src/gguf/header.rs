//! The header: what the file is, its metadata and its table of tensors.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::reader::Reader;
use super::{Error, Metadata, Tensor, foreign, table};

/// Metadata and tensors of the file at `path`, which is `length` bytes long and is read from its start.
pub(super) fn read(path: &Path, from: impl Read, length: u64) -> Result<(Metadata, Vec<Tensor>), Error> {
    let mut reader = Reader::new(path, from, length);
    magic(&mut reader)?;
    version(&mut reader)?;
    let tensors = reader.count(table::SMALLEST_ENTRY, "tensors")?;
    let metadata = metadata(&mut reader)?;
    whole(&reader, &metadata)?;
    let tensors = table::read(&mut reader, tensors, &metadata)?;
    Ok((metadata, tensors))
}

fn magic<R: Read>(reader: &mut Reader<'_, R>) -> Result<(), Error> {
    let mut start = [0; foreign::ENOUGH];
    let (first, rest) = start.split_at_mut(4);
    let known = usize::try_from(reader.length()).unwrap_or(usize::MAX);
    let in_first = known.min(first.len());
    if let Some(first) = first.get_mut(..in_first) {
        reader.fill(first, "the first 4 bytes")?;
    }
    if *first == *b"GGUF" {
        return Ok(());
    }
    let in_rest = (known - in_first).min(rest.len());
    if let Some(rest) = rest.get_mut(..in_rest) {
        reader.fill(rest, "the first bytes")?;
    }
    Err(reader.foreign(foreign::describe(start.get(..in_first + in_rest).unwrap_or_default())))
}

fn version<R: Read>(reader: &mut Reader<'_, R>) -> Result<(), Error> {
    match reader.u32("the version")? {
        2 | 3 => Ok(()),
        1 => Err(reader.unsupported(
            "is GGUF version 1, which this program does not read; convert it to version 3".to_owned(),
        )),
        version if version != 0 && version.trailing_zeros() >= 16 => Err(reader.unsupported(format!(
            "is a big-endian GGUF file (version {}), and this program reads little-endian ones",
            version.swap_bytes()
        ))),
        0 => Err(reader.damaged("its version is 0".to_owned())),
        version => Err(reader.unsupported(format!(
            "is GGUF version {version}, which is newer than this program reads (2 and 3)"
        ))),
    }
}

fn metadata<R: Read>(reader: &mut Reader<'_, R>) -> Result<Metadata, Error> {
    // The smallest pair: the length of an empty key, a type, one byte.
    let pairs = reader.count(8 + 4 + 1, "key-value pairs")?;
    let mut values = BTreeMap::new();
    for number in 1..=pairs {
        let key = reader.text(&format!("key {number}"))?;
        let value = reader.value(&format!("the value of {key}"))?;
        if values.contains_key(&key) {
            return Err(reader.damaged(format!("it has the key {key} twice")));
        }
        values.insert(key, value);
    }
    Ok(values.into_iter().collect())
}

/// Refuses a part of a model that was split into several files.
fn whole<R: Read>(reader: &Reader<'_, R>, metadata: &Metadata) -> Result<(), Error> {
    match metadata.u64("split.count")? {
        Some(parts @ 2..) => Err(reader.unsupported(format!(
            "is one of the {parts} parts of a split model, which this program does not join; \
             llama-gguf-split --merge does"
        ))),
        _ => Ok(()),
    }
}
