//! Blocks of one row, taken apart into integers and scales without vector instructions.

use half::f16;

use super::chunk::WIDTH;
use super::format::{Family, Format, UNEQUAL};

/// A block of 32 values: value `i` is `d * (quants[i] - offset) + m`, the offset by [`offset`].
pub(super) struct FineRow {
    pub(super) quants: [u8; 32],
    pub(super) d: f32,
    pub(super) m: f32,
}

/// A block of 256 values, in runs of [`run`] values with a scale and a minimum each.
///
/// Without an offset, value `i` is `d * scale * quants[i] - m * minimum`. With one it is
/// `d * (scale * quants[i] - minimum)`, and the minimum is scale times offset.
pub(super) struct CoarseRow {
    pub(super) quants: [u8; WIDTH],
    pub(super) scales: [i16; 16],
    pub(super) minima: [i16; 16],
    pub(super) d: f32,
    pub(super) m: f32,
}

/// What is taken off the unsigned integers of a format.
pub(super) fn offset(format: Format) -> u8 {
    match format {
        Format::Q3K => 4,
        Format::Q4_0 => 8,
        Format::Q5_0 => 16,
        Format::Q6K => 32,
        _ => 0,
    }
}

/// Whether the integers of a format are signed bytes.
pub(super) fn signed(format: Format) -> bool {
    matches!(format, Format::Q8_0 | Format::Iq4Nl | Format::Iq4Xs)
}

/// Number of values of a coarse format that share a scale.
pub(super) fn run(format: Format) -> usize {
    if matches!(format, Format::Q2K | Format::Q3K | Format::Q6K) { 16 } else { 32 }
}

/// Writes the values of one block of a quantised format, sizes as in [`Format::block`].
pub(super) fn dequantise(format: Format, block: &[u8], out: &mut [f32]) {
    let integer = |q: u8| if signed(format) { f32::from(q.cast_signed()) } else { f32::from(q) };
    let offset = f32::from(offset(format));
    if format.family() == Family::Fine {
        let row = fine(format, block);
        for (out, q) in out.iter_mut().zip(row.quants) {
            *out = row.d * (integer(q) - offset) + row.m;
        }
        return;
    }
    let row = coarse(format, block);
    let runs = row.quants.chunks(run(format)).zip(out.chunks_mut(run(format)));
    for ((quants, out), (scale, minimum)) in runs.zip(row.scales.into_iter().zip(row.minima)) {
        let (d, m) = (row.d * f32::from(scale), row.m * f32::from(minimum));
        for (out, &q) in out.iter_mut().zip(quants) {
            *out = d * (integer(q) - offset) - m;
        }
    }
}

pub(super) fn fine(format: Format, block: &[u8]) -> FineRow {
    let d = half(block, 0);
    let (m, high) = match format {
        Format::Q4_1 => (half(block, 2), 0),
        Format::Q5_0 => (0.0, word(block, 2)),
        Format::Q5_1 => (half(block, 2), word(block, 4)),
        _ => (0.0, 0),
    };
    let mut quants = [0; 32];
    let stored = &block[block.len() - if format == Format::Q8_0 { 32 } else { 16 }..];
    if format == Format::Q8_0 {
        quants.copy_from_slice(stored);
    } else {
        nibbles(stored, &mut quants);
    }
    for (at, q) in quants.iter_mut().enumerate() {
        *q |= ((high >> at & 1) << 4) as u8;
        if format == Format::Iq4Nl {
            *q = unequal(*q);
        }
    }
    FineRow { quants, d, m }
}

pub(super) fn coarse(format: Format, block: &[u8]) -> CoarseRow {
    let mut row = match format {
        Format::Q2K => q2_k(block),
        Format::Q3K => q3_k(block),
        Format::Q6K => q6_k(block),
        Format::Iq4Xs => iq4_xs(block),
        _ => q4_k_or_q5_k(format, block),
    };
    if offset(format) > 0 {
        row.minima = row.scales.map(|scale| scale * i16::from(offset(format)));
    }
    row
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The lower halves of the bytes, then the upper ones.
fn nibbles(bytes: &[u8], quants: &mut [u8]) {
    let (low, high) = quants.split_at_mut(bytes.len());
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
}

fn unequal(index: u8) -> u8 {
    UNEQUAL[usize::from(index & 15)].cast_unsigned()
}

/// Two bits of each value: four runs of 32 values in each half share their bytes.
fn pairs(bytes: &[u8], at: usize) -> u8 {
    bytes[at / 128 * 32 + at % 32] >> (at / 32 % 4 * 2) & 3
}

fn q2_k(block: &[u8]) -> CoarseRow {
    CoarseRow {
        quants: std::array::from_fn(|at| pairs(&block[16..80], at)),
        scales: std::array::from_fn(|run| i16::from(block[run] & 15)),
        minima: std::array::from_fn(|run| i16::from(block[run] >> 4)),
        d: half(block, 80),
        m: half(block, 82),
    }
}

fn q3_k(block: &[u8]) -> CoarseRow {
    let (high, low, scales) = (&block[..32], &block[32..96], &block[96..108]);
    // Four lower bits in the first eight bytes, two upper ones in the last four.
    let scale = |run: usize| {
        let upper = scales[8 + run % 4] >> (run / 4 * 2) & 3;
        i16::from((scales[run % 8] >> (run / 8 * 4) & 15) | upper << 4) - 32
    };
    CoarseRow {
        quants: std::array::from_fn(|at| pairs(low, at) | (high[at % 32] >> (at / 32) & 1) << 2),
        scales: std::array::from_fn(scale),
        minima: [0; 16],
        d: half(block, 108),
        m: 0.0,
    }
}

fn q4_k_or_q5_k(format: Format, block: &[u8]) -> CoarseRow {
    let scales = &block[4..16];
    let (high, low) = if format == Format::Q5K { block[16..].split_at(32) } else { (&[][..], &block[16..]) };
    let mut row = CoarseRow {
        quants: [0; WIDTH],
        scales: [0; 16],
        minima: [0; 16],
        d: half(block, 0),
        m: half(block, 2),
    };
    for (low, quants) in low.chunks_exact(32).zip(row.quants.chunks_exact_mut(64)) {
        nibbles(low, quants);
    }
    for (run, quants) in row.quants.chunks_exact_mut(32).enumerate() {
        for (q, high) in quants.iter_mut().zip(high) {
            *q |= (high >> run & 1) << 4;
        }
        // Six bits each; from the fifth run on, the two upper bits are in the bytes of the first four runs.
        let (scale, minimum) = match run {
            0..4 => (scales[run] & 63, scales[run + 4] & 63),
            _ => (
                (scales[run + 4] & 15) | (scales[run - 4] >> 6) << 4,
                (scales[run + 4] >> 4) | (scales[run] >> 6) << 4,
            ),
        };
        (row.scales[run], row.minima[run]) = (i16::from(scale), i16::from(minimum));
    }
    row
}

fn q6_k(block: &[u8]) -> CoarseRow {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let quant = |at: usize| {
        let (half, quarter, place) = (at / 128, at / 32 % 4, at % 32);
        let low = low[half * 64 + quarter % 2 * 32 + place] >> (quarter / 2 * 4) & 15;
        low | pairs(high, at) << 4
    };
    CoarseRow {
        quants: std::array::from_fn(quant),
        scales: std::array::from_fn(|run| i16::from(scales[run].cast_signed())),
        minima: [0; 16],
        d: half(block, 208),
        m: 0.0,
    }
}

fn iq4_xs(block: &[u8]) -> CoarseRow {
    let (high, low) = (u16::from_le_bytes([block[2], block[3]]), &block[4..8]);
    let scale = |run: usize| match run {
        0..8 => (i16::from(low[run / 2] >> (run % 2 * 4) & 15) | ((high >> (run * 2) & 3) << 4) as i16) - 32,
        _ => 0,
    };
    let mut row = CoarseRow {
        quants: [0; WIDTH],
        scales: std::array::from_fn(scale),
        minima: [0; 16],
        d: half(block, 0),
        m: 0.0,
    };
    for (stored, quants) in block[8..].chunks_exact(16).zip(row.quants.chunks_exact_mut(32)) {
        nibbles(stored, quants);
    }
    row.quants = row.quants.map(unequal);
    row
}
