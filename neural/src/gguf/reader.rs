//! Numbers, texts and values out of a header, none of them beyond its end.

use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{Array, Error, Value};

/// The longest header that is read, in bytes; the largest vocabularies take a tenth of it.
const LONGEST_HEADER: u64 = 256 << 20;

/// How deep arrays may lie in arrays.
const DEEPEST_ARRAY: u32 = 4;

/// Reads a header from its start.
pub(super) struct Reader<'a, R> {
    path: &'a Path,
    from: R,
    length: u64,
    position: u64,
}

/// A number of fixed width.
trait Number: Sized {
    const WIDTH: usize;
    /// From exactly `WIDTH` bytes, little-endian.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl<'a, R: Read> Reader<'a, R> {
    /// A reader of the file at `path`, `length` bytes long.
    pub(super) fn new(path: &'a Path, from: R, length: u64) -> Self {
        Self { path, from, length, position: 0 }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Error> {
        self.number(what)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Error> {
        self.number(what)
    }

    /// A count of things of at least `width` bytes each, all of which lie before the end.
    pub(super) fn count(&mut self, width: u64, what: &str) -> Result<usize, Error> {
        let count: u64 = self.number(what)?;
        let bytes = count.checked_mul(width);
        self.room(bytes, || format!("{count} {what}"))?;
        usize::try_from(count).map_err(|_| self.damaged(format!("it counts {count} {what}")))
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, Error> {
        let length = self.count(1, what)?;
        let bytes = self.bytes(length, what)?;
        String::from_utf8(bytes).map_err(|_| self.damaged(format!("{what} is not UTF-8 text")))
    }

    /// A value, after its type's number.
    pub(super) fn value(&mut self, what: &str) -> Result<Value, Error> {
        let kind = self.u32(what)?;
        Ok(match kind {
            0 => Value::U8(self.number(what)?),
            1 => Value::I8(self.number(what)?),
            2 => Value::U16(self.number(what)?),
            3 => Value::I16(self.number(what)?),
            4 => Value::U32(self.number(what)?),
            5 => Value::I32(self.number(what)?),
            6 => Value::F32(self.number(what)?),
            7 => Value::Bool(self.bool(what)?),
            8 => Value::String(self.text(what)?),
            9 => Value::Array(self.array(what, 1)?),
            10 => Value::U64(self.number(what)?),
            11 => Value::I64(self.number(what)?),
            12 => Value::F64(self.number(what)?),
            _ => return Err(self.unknown_kind(kind, what)),
        })
    }

    fn array(&mut self, what: &str, depth: u32) -> Result<Array, Error> {
        if depth > DEEPEST_ARRAY {
            return Err(self.damaged(format!("{what} has arrays in arrays, more than {DEEPEST_ARRAY} deep")));
        }
        let kind = self.u32(what)?;
        Ok(match kind {
            0 => Array::U8(self.numbers(what)?),
            1 => Array::I8(self.numbers(what)?),
            2 => Array::U16(self.numbers(what)?),
            3 => Array::I16(self.numbers(what)?),
            4 => Array::U32(self.numbers(what)?),
            5 => Array::I32(self.numbers(what)?),
            6 => Array::F32(self.numbers(what)?),
            7 => Array::Bool(self.many(1, what, |reader| reader.bool(what))?),
            8 => Array::String(self.many(8, what, |reader| reader.text(what))?),
            9 => Array::Array(self.many(12, what, |reader| reader.array(what, depth + 1))?),
            10 => Array::U64(self.numbers(what)?),
            11 => Array::I64(self.numbers(what)?),
            12 => Array::F64(self.numbers(what)?),
            _ => return Err(self.unknown_kind(kind, what)),
        })
    }

    /// A count and that many elements of at least `width` bytes each.
    fn many<T>(
        &mut self,
        width: u64,
        what: &str,
        mut one: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let count = self.count(width, what)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(one(self)?);
        }
        Ok(elements)
    }

    fn numbers<T: Number>(&mut self, what: &str) -> Result<Vec<T>, Error> {
        self.many(T::WIDTH as u64, what, |reader| reader.number(what))
    }

    fn bool(&mut self, what: &str) -> Result<bool, Error> {
        match self.number::<u8>(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(format!("{what} holds the bool {other}, which should be 0 or 1"))),
        }
    }

    fn number<T: Number>(&mut self, what: &str) -> Result<T, Error> {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..T::WIDTH).unwrap_or_default();
        self.fill(bytes, what)?;
        T::from_bytes(bytes).ok_or_else(|| self.damaged(format!("{what} is not a number")))
    }

    fn bytes(&mut self, length: usize, what: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// The next bytes, as many as `into` takes.
    pub(super) fn fill(&mut self, into: &mut [u8], what: &str) -> Result<(), Error> {
        self.room(Some(into.len() as u64), || what.to_owned())?;
        self.from.read_exact(into).map_err(|cause| match cause.kind() {
            ErrorKind::UnexpectedEof => self.ends_in(what),
            _ => Error::Io { path: self.path.to_owned(), cause },
        })?;
        self.position += into.len() as u64;
        Ok(())
    }

    /// Refuses what would need more bytes than are left (`None`: more than can be counted).
    fn room(&self, bytes: Option<u64>, what: impl FnOnce() -> String) -> Result<(), Error> {
        match bytes.and_then(|bytes| self.position.checked_add(bytes)) {
            Some(end) if end <= self.length.min(LONGEST_HEADER) => Ok(()),
            Some(end) if end <= self.length => Err(self.unsupported(format!(
                "has a header of more than {} MiB, the most that is read",
                LONGEST_HEADER >> 20
            ))),
            _ => Err(self.ends_in(&what())),
        }
    }

    fn ends_in(&self, what: &str) -> Error {
        self.truncated(format!("ends after {} bytes, before the end of its header ({what})", self.length))
    }

    fn unknown_kind(&self, kind: u32, what: &str) -> Error {
        self.damaged(format!("{what} has the type {kind}, and types are numbered from 0 to 12"))
    }

    pub(super) fn damaged(&self, what: String) -> Error {
        Error::Damaged { path: self.path.to_owned(), what }
    }

    pub(super) fn truncated(&self, what: String) -> Error {
        Error::Truncated { path: self.path.to_owned(), what }
    }

    pub(super) fn unsupported(&self, what: String) -> Error {
        Error::Unsupported { path: self.path.to_owned(), what }
    }

    pub(super) fn foreign(&self, what: String) -> Error {
        Error::Foreign { path: self.path.to_owned(), what }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            const WIDTH: usize = size_of::<Self>();
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_le_bytes)
            }
        }
    )*};
}

numbers!(u8, i8, u16, i16, u32, i32, f32, u64, i64, f64);
