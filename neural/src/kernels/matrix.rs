//! A matrix of weights, kept in the order in which the products read it.

use half::{bf16, f16};

use super::chunk::ROWS;
use super::decode::dequantise;
use super::format::{Family, Format};

/// A matrix of weights: rows are outputs, columns are inputs.
///
/// Quantised rows are interleaved by eight (a panel), field by field of their blocks, so that one read of a
/// vector brings the same part of eight rows. A last panel that is not full is filled up with zeros.
pub struct Matrix {
    format: Format,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matrix")
            .field("format", &self.format)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Matrix {
    /// Takes over `rows` rows of `columns` values each, stored row after row in blocks of `format`.
    ///
    /// # Errors
    /// When there are no values, a row is no whole number of blocks, or `bytes` has not the size that follows.
    pub fn new(format: Format, rows: usize, columns: usize, mut bytes: Vec<u8>) -> Result<Matrix, String> {
        let (values, size) = format.block();
        if rows == 0 || columns == 0 {
            return Err(format!("a matrix of {rows} rows and {columns} columns has no values"));
        }
        if !columns.is_multiple_of(values) {
            let name = format.name();
            return Err(format!("{name} needs a multiple of {values} columns, the matrix has {columns}"));
        }
        let expected = (columns / values).checked_mul(size).and_then(|row| row.checked_mul(rows));
        if expected != Some(bytes.len()) {
            let (name, length) = (format.name(), bytes.len());
            let expected = expected.map_or("more than memory can hold".to_owned(), |n| n.to_string());
            return Err(format!(
                "{rows} x {columns} values of {name} take {expected} bytes, there are {length}"
            ));
        }
        if format.family() != Family::Float {
            let row = columns / values * size;
            bytes.resize(rows.next_multiple_of(ROWS) * row, 0);
            let mut plain = vec![0; ROWS * row];
            for panel in bytes.chunks_exact_mut(ROWS * row) {
                plain.copy_from_slice(panel);
                interleave(format, &plain, panel);
            }
        }
        Ok(Matrix { format, rows, columns, bytes })
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of memory that the values take.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// How the values are stored.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Writes the values of one row to `out`.
    ///
    /// # Panics
    /// When `index` is not less than the rows, or `out` is not as long as a row.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.rows, "row {index} of a matrix of {} rows", self.rows);
        assert_eq!(out.len(), self.columns, "a row has {} values", self.columns);
        match self.format {
            Format::F32 => decode(self.plain_row(index), out, f32::from_le_bytes),
            Format::F16 => decode(self.plain_row(index), out, |b| f16::from_le_bytes(b).to_f32()),
            Format::Bf16 => decode(self.plain_row(index), out, |b| bf16::from_le_bytes(b).to_f32()),
            _ => {
                let (values, size) = self.format.block();
                let mut block = vec![0; size];
                for (panel, out) in
                    self.panel(index / ROWS).chunks_exact(ROWS * size).zip(out.chunks_exact_mut(values))
                {
                    extract(self.format, panel, index % ROWS, &mut block);
                    dequantise(self.format, &block, out);
                }
            }
        }
    }

    /// Number of groups of eight rows, the last one perhaps in part.
    pub(super) fn panels(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Bytes of a row.
    pub(super) fn row_bytes(&self) -> usize {
        let (values, size) = self.format.block();
        self.columns / values * size
    }

    /// The blocks of eight interleaved rows; of a float format, the bytes of up to eight rows.
    pub(super) fn panel(&self, panel: usize) -> &[u8] {
        let size = ROWS * self.row_bytes();
        &self.bytes[panel * size..self.bytes.len().min((panel + 1) * size)]
    }

    /// The bytes of one row of a float format.
    pub(super) fn plain_row(&self, row: usize) -> &[u8] {
        &self.bytes[row * self.row_bytes()..][..self.row_bytes()]
    }
}

fn decode<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    for (bytes, out) in bytes.as_chunks::<N>().0.iter().zip(out) {
        *out = value(*bytes);
    }
}

/// Interleaves eight rows, each of the same number of blocks.
fn interleave(format: Format, rows: &[u8], panel: &mut [u8]) {
    let (_, size) = format.block();
    let row = rows.len() / ROWS;
    for (block, out) in panel.chunks_exact_mut(ROWS * size).enumerate() {
        let mut at = 0;
        for &(bytes, unit) in format.fields() {
            let out = &mut out[ROWS * at..ROWS * (at + bytes)];
            for lane in 0..ROWS {
                let field = &rows[lane * row + block * size + at..][..bytes];
                match unit {
                    2 => spread::<2>(field, out, lane),
                    _ => spread::<4>(field, out, lane),
                }
            }
            at += bytes;
        }
    }
}

fn spread<const UNIT: usize>(field: &[u8], out: &mut [u8], lane: usize) {
    let out = out.as_chunks_mut::<UNIT>().0.chunks_exact_mut(ROWS);
    for (unit, out) in field.as_chunks::<UNIT>().0.iter().zip(out) {
        out[lane] = *unit;
    }
}

/// Takes the block of one row out of a block of eight interleaved rows.
pub(super) fn extract(format: Format, panel: &[u8], lane: usize, block: &mut [u8]) {
    let mut at = 0;
    for &(bytes, unit) in format.fields() {
        let field = &mut block[at..at + bytes];
        let panel = &panel[ROWS * at..ROWS * (at + bytes)];
        match unit {
            2 => gather::<2>(panel, field, lane),
            _ => gather::<4>(panel, field, lane),
        }
        at += bytes;
    }
}

fn gather<const UNIT: usize>(panel: &[u8], field: &mut [u8], lane: usize) {
    let panel = panel.as_chunks::<UNIT>().0.chunks_exact(ROWS);
    for (unit, panel) in field.as_chunks_mut::<UNIT>().0.iter_mut().zip(panel) {
        *unit = panel[lane];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_does_not_fit_is_refused() {
        let error = |rows, columns, bytes: usize| {
            Matrix::new(Format::Q8_0, rows, columns, vec![0; bytes]).unwrap_err()
        };
        assert!(error(0, 32, 0).contains("no values"));
        assert!(error(1, 33, 34).contains("multiple of 32"));
        assert!(error(2, 64, 135).contains("take 136 bytes, there are 135"));
        assert!(error(usize::MAX, 64, 1).contains("more than memory"));
    }

    #[test]
    fn a_row_is_the_same_after_interleaving() {
        let columns = 64;
        // Row r holds r + 1 in every value: scale r + 1, integers 1.
        let mut bytes = Vec::new();
        for row in 0..11u8 {
            for _ in 0..columns / 32 {
                bytes.extend(f16::from_f32(f32::from(row) + 1.0).to_le_bytes());
                bytes.extend([1u8; 32]);
            }
        }
        let matrix = Matrix::new(Format::Q8_0, 11, columns, bytes).unwrap();
        let mut out = vec![0.0; columns];
        for row in [0, 7, 8, 10] {
            matrix.row(row, &mut out);
            assert!(out.iter().all(|&value| value == row as f32 + 1.0), "row {row}: {out:?}");
        }
    }
}
