//! Weights from safetensors files: <https://github.com/huggingface/safetensors#format>. Read, never mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::settings;

/// The longest header that is read, in bytes: the limit of the format.
const LONGEST_HEADER: u64 = 100_000_000;

/// Bytes read at once: a table of a gigabyte is never in memory twice.
const PIECE: usize = 1 << 20;

/// The tensors of a folder's `model.safetensors`, or of the files its index names. Values stay on disk until asked for.
#[derive(Debug)]
pub(super) struct Weights {
    files: Vec<Shard>,
    /// Where each tensor lies, by its name without the model's own prefix.
    tensors: BTreeMap<String, (usize, String)>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
    /// First byte of the values.
    start: u64,
    metadata: Metadata,
}

impl Weights {
    /// Reads the headers. `prefix` (`bert.`) is taken off the tensors' names: models saved with a head have it.
    pub(super) fn open(folder: &Path, prefix: &str) -> Result<Weights, String> {
        let files: Vec<Shard> = paths(folder)?.into_iter().map(Shard::open).collect::<Result<_, _>>()?;
        let mut tensors = BTreeMap::new();
        for (index, shard) in files.iter().enumerate() {
            for full in shard.metadata.offset_keys() {
                let name = full.strip_prefix(prefix).unwrap_or(&full).to_owned();
                if let Some((_, other)) = tensors.insert(name, (index, full.clone())) {
                    return Err(format!(
                        "{}: tensor `{full}` is there twice, also as `{other}`",
                        shard.path.display()
                    ));
                }
            }
        }
        Ok(Weights { files, tensors })
    }

    /// The values of a tensor of this shape, row by row, as f32.
    pub(super) fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let Some((index, full)) = self.tensors.get(name) else {
            let file = self.files.first().map(|shard| shard.path.display().to_string()).unwrap_or_default();
            return Err(format!("{file}: tensor `{name}` is missing"));
        };
        let Shard { path, file, start, metadata } = &mut self.files[*index];
        let at = |problem: String| format!("{}: tensor `{full}` {problem}", path.display());
        let info = metadata.info(full).ok_or_else(|| at("is missing".into()))?;
        if info.shape != shape {
            return Err(at(format!("has shape {:?}; the settings ask for {shape:?}", info.shape)));
        }
        let convert = converter(info).map_err(at)?;
        let (from, to) = info.data_offsets;
        let failed = |error: std::io::Error| at(format!("cannot be read: {error}"));
        file.seek(SeekFrom::Start(*start + from as u64)).map_err(failed)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        let mut bytes = vec![0; PIECE.min(to - from)];
        let mut left = to - from;
        while left > 0 {
            let piece = &mut bytes[..PIECE.min(left)];
            file.read_exact(piece).map_err(failed)?;
            convert(piece, &mut values);
            left -= piece.len();
        }
        Ok(values)
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Shard, String> {
        let at = |problem: String| format!("{} {problem}", path.display());
        let mut file =
            File::open(&path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let length = file.metadata().map_err(|error| at(format!("cannot be read: {error}")))?.len();
        let mut first = Vec::new();
        file.by_ref()
            .take(8)
            .read_to_end(&mut first)
            .map_err(|error| at(format!("cannot be read: {error}")))?;
        let header = <[u8; 8]>::try_from(first.as_slice()).map(u64::from_le_bytes);
        let Some(header) = header.ok().filter(|header| *header <= length.saturating_sub(8)) else {
            return Err(at(foreign(&first)));
        };
        if header > LONGEST_HEADER {
            return Err(at(format!(
                "is damaged: its header has {header} bytes, more than the format allows"
            )));
        }
        let mut json = Vec::new();
        file.by_ref()
            .take(header)
            .read_to_end(&mut json)
            .map_err(|error| at(format!("cannot be read: {error}")))?;
        let metadata: Metadata = serde_json::from_slice(&json)
            .map_err(|error| at(format!("is damaged: its header cannot be read: {error}")))?;
        let (start, values) = (header + 8, metadata.data_len() as u64);
        match (length - start).checked_sub(values) {
            Some(0) => Ok(Shard { path, file, start, metadata }),
            Some(more) => Err(at(format!("is damaged: {more} bytes follow its last tensor"))),
            None => {
                Err(at(format!("ends {} bytes before the end of its tensors", values - (length - start))))
            }
        }
    }
}

/// The files with the weights, or why there are none.
fn paths(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    let index = folder.join("model.safetensors.index.json");
    let Some(value) = settings::read_json(&index)? else {
        return Err(match folder.join("pytorch_model.bin").exists() {
            true => format!(
                "{} has its weights in pytorch_model.bin only: that is a pickle, which runs code when it is read; convert \
                 it with safe_serialization=True to model.safetensors",
                folder.display()
            ),
            false => format!("{} has no model.safetensors", folder.display()),
        });
    };
    let names = value.get("weight_map").and_then(|map| map.as_object());
    let names = names.ok_or_else(|| format!("{} has no object `weight_map`", index.display()))?;
    let mut paths = BTreeSet::new();
    for name in names.values() {
        let plain =
            name.as_str().filter(|name| Path::new(name).file_name().is_some_and(|file| file == *name));
        let plain =
            plain.ok_or_else(|| format!("{}: {name} is not the plain name of a file", index.display()))?;
        paths.insert(folder.join(plain));
    }
    Ok(paths.into_iter().collect())
}

/// What a file is that does not begin like safetensors.
fn foreign(first: &[u8]) -> String {
    match first {
        [] => "is empty".into(),
        b"version " => "is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`".into(),
        [b'<', ..] => "is an HTML or XML page, not a safetensors file".into(),
        [b'P', b'K', ..] => "is a zip archive (a PyTorch file?), not a safetensors file".into(),
        _ => "is not a safetensors file, or it ends inside its header".into(),
    }
}

/// Appends the numbers that the bytes stand for.
type Converter = fn(&[u8], &mut Vec<f32>);

fn converter(info: &TensorInfo) -> Result<Converter, String> {
    match info.dtype {
        Dtype::F32 => {
            Ok(|bytes, to| to.extend(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))))
        }
        Dtype::F16 => Ok(|bytes, to| {
            to.extend(bytes.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()));
        }),
        Dtype::BF16 => Ok(|bytes, to| {
            to.extend(bytes.as_chunks().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()));
        }),
        other => Err(format!("has type {other:?}; the types read are F32, F16 and BF16")),
    }
}
