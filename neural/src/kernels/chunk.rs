//! Weights unpacked for the product: 8 rows by 256 values, whatever the format was.

/// Rows that are computed side by side, one in each lane of a vector of eight.
pub(super) const ROWS: usize = 8;
/// Values of a row that are unpacked at a time: a block of 256, or up to eight blocks of 32.
pub(super) const WIDTH: usize = 256;

/// Eight rows by [`WIDTH`] values. All arrays end in the row, so that a vector holds the eight rows.
///
/// Groups of four consecutive values are kept together: byte `4 * row + i` of `quants[group]` is value
/// `4 * group + i` of that row.
#[derive(Debug, Clone, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Chunk {
    /// Integers of the weights, unsigned or (by format) signed bytes.
    pub(super) quants: [[u8; 4 * ROWS]; WIDTH / 4],
    /// Coarse formats: integer scale of each run of 16 or 32 values, twice for each row.
    pub(super) scales: [[i16; 2 * ROWS]; 16],
    /// Coarse formats: minima of two neighbouring runs, for each row.
    pub(super) minima: [[i16; 2 * ROWS]; 8],
    /// Fine formats: scale of each block of 32; coarse formats: the scale of the block is `d[0]`.
    pub(super) d: [[f32; ROWS]; 8],
    /// What is added for the sum of the inputs, like `d`; unused by formats without a minimum.
    pub(super) m: [[f32; ROWS]; 8],
}

impl Chunk {
    pub(super) const ZERO: Chunk = Chunk {
        quants: [[0; 4 * ROWS]; WIDTH / 4],
        scales: [[0; 2 * ROWS]; 16],
        minima: [[0; 2 * ROWS]; 8],
        d: [[0.0; ROWS]; 8],
        m: [[0.0; ROWS]; 8],
    };
}
