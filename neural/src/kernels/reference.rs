//! The values of one block, computed one by one as the formats define them: what the tests measure by.

use half::f16;

use super::format::{Format, UNEQUAL};

/// Writes the values of one block of a quantised format; of a float format there is nothing to do here.
///
/// `block` has the bytes and `out` the values that [`Format::block`] says.
pub(super) fn dequantise(format: Format, block: &[u8], out: &mut [f32]) {
    match format {
        Format::Q4_0 => {
            let d = half(block, 0);
            nibbles(&block[2..], out, |q, _| d * (f32::from(q) - 8.0));
        }
        Format::Q4_1 => {
            let (d, m) = (half(block, 0), half(block, 2));
            nibbles(&block[4..], out, |q, _| d * f32::from(q) + m);
        }
        Format::Q5_0 => {
            let (d, high) = (half(block, 0), word(block, 2));
            nibbles(&block[6..], out, |q, at| d * (f32::from(fifth(q, high, at)) - 16.0));
        }
        Format::Q5_1 => {
            let (d, m, high) = (half(block, 0), half(block, 2), word(block, 4));
            nibbles(&block[8..], out, |q, at| d * f32::from(fifth(q, high, at)) + m);
        }
        Format::Q8_0 => {
            let d = half(block, 0);
            for (out, &q) in out.iter_mut().zip(&block[2..]) {
                *out = d * f32::from(q.cast_signed());
            }
        }
        Format::Iq4Nl => {
            let d = half(block, 0);
            nibbles(&block[2..], out, |q, _| d * f32::from(UNEQUAL[usize::from(q)]));
        }
        Format::Q2K => q2_k(block, out),
        Format::Q3K => q3_k(block, out),
        Format::Q4K => q4_k(block, out),
        Format::Q5K => q5_k(block, out),
        Format::Q6K => q6_k(block, out),
        Format::Iq4Xs => iq4_xs(block, out),
        Format::F32 | Format::F16 | Format::Bf16 => {}
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// 32 values from 16 bytes: the lower halves are the first 16 values.
fn nibbles(bytes: &[u8], out: &mut [f32], value: impl Fn(u8, usize) -> f32) {
    for (at, &byte) in bytes.iter().enumerate().take(16) {
        out[at] = value(byte & 15, at);
        out[at + 16] = value(byte >> 4, at + 16);
    }
}

fn fifth(q: u8, high: u32, at: usize) -> u8 {
    q | ((high >> at & 1) << 4) as u8
}

fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (d, least) = (half(block, 80), half(block, 82));
    for (at, out) in out.iter_mut().enumerate() {
        let q = quants[at / 128 * 32 + at % 32] >> (at / 32 % 4 * 2) & 3;
        let scale = scales[at / 16];
        *out = d * f32::from(scale & 15) * f32::from(q) - least * f32::from(scale >> 4);
    }
}

fn q3_k(block: &[u8], out: &mut [f32]) {
    let (high, quants, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let d = half(block, 108);
    for (at, out) in out.iter_mut().enumerate() {
        let low = quants[at / 128 * 32 + at % 32] >> (at / 32 % 4 * 2) & 3;
        let q = low | (high[at % 32] >> (at / 32) & 1) << 2;
        *out = d * f32::from(scale_of_3(scales, at / 16)) * (f32::from(q) - 4.0);
    }
}

/// Scale of 6 bits: four lower bits in the first eight bytes, two upper ones in the last four.
fn scale_of_3(scales: &[u8], run: usize) -> i8 {
    let low = scales[run % 8] >> (run / 8 * 4) & 15;
    let high = scales[8 + run % 4] >> (run / 4 * 2) & 3;
    (low | high << 4).cast_signed() - 32
}

/// Scale and minimum of a run of 32 values, 6 bits each.
fn scale_and_least(scales: &[u8], run: usize) -> (u8, u8) {
    match run {
        0..4 => (scales[run] & 63, scales[run + 4] & 63),
        _ => (
            (scales[run + 4] & 15) | (scales[run - 4] >> 6) << 4,
            (scales[run + 4] >> 4) | (scales[run] >> 6) << 4,
        ),
    }
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, least, scales, quants) = (half(block, 0), half(block, 2), &block[4..16], &block[16..]);
    for (at, out) in out.iter_mut().enumerate() {
        let q = quants[at / 64 * 32 + at % 32] >> (at / 32 % 2 * 4) & 15;
        let (scale, minimum) = scale_and_least(scales, at / 32);
        *out = d * f32::from(scale) * f32::from(q) - least * f32::from(minimum);
    }
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, least, scales) = (half(block, 0), half(block, 2), &block[4..16]);
    let (high, quants) = (&block[16..48], &block[48..]);
    for (at, out) in out.iter_mut().enumerate() {
        let low = quants[at / 64 * 32 + at % 32] >> (at / 32 % 2 * 4) & 15;
        let q = low | (high[at % 32] >> (at / 32) & 1) << 4;
        let (scale, minimum) = scale_and_least(scales, at / 32);
        *out = d * f32::from(scale) * f32::from(q) - least * f32::from(minimum);
    }
}

fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half(block, 208);
    for (at, out) in out.iter_mut().enumerate() {
        let (half, quarter, place) = (at / 128, at / 32 % 4, at % 32);
        let low = low[half * 64 + quarter % 2 * 32 + place] >> (quarter / 2 * 4) & 15;
        let q = low | (high[half * 32 + place] >> (quarter * 2) & 3) << 4;
        *out = d * f32::from(scales[at / 16].cast_signed()) * (f32::from(q) - 32.0);
    }
}

fn iq4_xs(block: &[u8], out: &mut [f32]) {
    let (d, high, low) = (half(block, 0), word(block, 2) & 0xffff, &block[4..8]);
    for (run, (quants, out)) in block[8..].chunks_exact(16).zip(out.chunks_exact_mut(32)).enumerate() {
        let scale = u32::from(low[run / 2] >> (run % 2 * 4) & 15) | (high >> (run * 2) & 3) << 4;
        let d = d * (scale as f32 - 32.0);
        nibbles(quants, out, |q, _| d * f32::from(UNEQUAL[usize::from(q)]));
    }
}
