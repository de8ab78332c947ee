//! Model files in the GGUF format, versions 2 and 3, little-endian.
//!
//! Opening a file reads its header alone: the metadata and the table of tensors. The tensors' data stays on disk
//! until it is asked for. A file comes from anywhere, so each count, length and offset in it is checked against the
//! file's own length before memory is taken for it.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashMap;
use std::io::BufReader;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

pub use self::error::Error;
pub use self::kind::{block, kind_name};
pub use self::metadata::Metadata;
pub use self::value::{Array, Value};
pub use self::write::{NewTensor, write};

mod error;
mod foreign;
mod header;
mod kind;
mod metadata;
mod reader;
mod table;
mod value;
mod write;

/// An open GGUF file: its header is in memory, its tensors' data on disk.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    file: std::fs::File,
    length: u64,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    by_name: HashMap<String, usize>,
}

/// One entry of the table of tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name, such as `blk.0.attn_q.weight`; no other tensor of the file has it.
    pub name: String,
    /// Its 0 to 4 dimensions in ggml's order: the one whose elements lie side by side first. None of them is 0.
    pub shape: Vec<u64>,
    /// ggml's number for the type of its elements; [`kind_name`] names it, [`block`] tells its layout.
    pub kind: u32,
    /// The length of its data, in bytes.
    pub bytes: u64,
    /// Where its data begins, in bytes from the start of the file.
    pub start: u64,
}

impl File {
    /// Opens the file and reads its header. A file that is not GGUF, is newer than version 3, is one part of a split
    /// model, contradicts itself or ends too early is refused.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |cause| Error::Io { path: path.to_owned(), cause };
        let file = std::fs::File::open(path).map_err(io)?;
        let about = file.metadata().map_err(io)?;
        if !about.is_file() {
            return Err(io(std::io::Error::other("this is not a regular file")));
        }
        let (metadata, tensors) = header::read(path, BufReader::new(&file), about.len())?;
        let by_name = tensors.iter().enumerate().map(|(at, tensor)| (tensor.name.clone(), at)).collect();
        Ok(Self { path: path.to_owned(), file, length: about.len(), metadata, tensors, by_name })
    }

    /// The key-value pairs of the header.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors, in the file's order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter()
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(*self.by_name.get(name)?)
    }

    /// The tensor's data, [`Tensor::bytes`] bytes fresh from the disk. A file that has become shorter since it was
    /// opened is an error, as is a tensor that lies outside this file.
    pub fn read(&self, tensor: &Tensor) -> Result<Vec<u8>, Error> {
        let end = tensor.start.checked_add(tensor.bytes).filter(|end| *end <= self.length);
        let (Some(_), Ok(bytes)) = (end, usize::try_from(tensor.bytes)) else {
            return Err(Error::Damaged {
                path: self.path.clone(),
                what: format!("tensor {} lies outside it", tensor.name),
            });
        };
        let mut data = vec![0; bytes];
        match self.file.read_exact_at(&mut data, tensor.start) {
            Ok(()) => Ok(data),
            Err(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => Err(Error::Truncated {
                path: self.path.clone(),
                what: format!(
                    "ends before the end of tensor {}: it was cut after it was opened",
                    tensor.name
                ),
            }),
            Err(cause) => Err(Error::Io { path: self.path.clone(), cause }),
        }
    }

    /// The file's length when it was opened, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests;
