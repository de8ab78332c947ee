//! The products without vector instructions: for processors that have no path of their own, and as the
//! measure of those paths.

use half::{bf16, f16};

use super::activation::{Coarse, Fine};
use super::chunk::{Chunk, ROWS, WIDTH};
use super::decode::{self, offset, run, signed};
use super::format::{Family, Format};
use super::matrix::extract;
use super::scratch::Rounded;

/// Unpacks the values `chunk * WIDTH ..` of eight rows; of a fine format, `blocks` blocks of 32.
pub(super) fn unpack(format: Format, panel: &[u8], chunk: usize, blocks: usize, out: &mut Chunk) {
    let (_, size) = format.block();
    let mut block = vec![0; size];
    let fine = format.family() == Family::Fine;
    let (first, count) = if fine { (chunk * 8, blocks) } else { (chunk, 1) };
    for (at, panel) in panel.chunks_exact(ROWS * size).skip(first).take(count).enumerate() {
        for lane in 0..ROWS {
            extract(format, panel, lane, &mut block);
            if fine {
                let row = decode::fine(format, &block);
                scatter(&row.quants, &mut out.quants[8 * at..], lane);
                (out.d[at][lane], out.m[at][lane]) = (row.d, row.m);
            } else {
                let row = decode::coarse(format, &block);
                scatter(&row.quants, &mut out.quants, lane);
                (out.d[0][lane], out.m[0][lane]) = (row.d, row.m);
                scatter_scales(format, &row, out, lane);
            }
        }
    }
}

/// Adds the products of eight rows and the only token of an input to eight sums.
pub(super) fn one_token(format: Format, panel: &[u8], input: Rounded<'_>, sums: &mut [f32; ROWS]) {
    let mut unpacked = Chunk::ZERO;
    match input {
        Rounded::Fine(inputs) => {
            let blocks = panel.len() / (ROWS * format.block().1);
            for (chunk, input) in inputs.iter().enumerate() {
                let blocks = 8.min(blocks - 8 * chunk);
                unpack(format, panel, chunk, blocks, &mut unpacked);
                fine(format, &unpacked, blocks, input, sums);
            }
        }
        Rounded::Coarse(inputs) => {
            for (chunk, input) in inputs.iter().enumerate() {
                unpack(format, panel, chunk, 8, &mut unpacked);
                coarse(format, &unpacked, input, sums);
            }
        }
        Rounded::Float(_) => {}
    }
}

fn scatter(values: &[u8], groups: &mut [[u8; 4 * ROWS]], lane: usize) {
    for (values, group) in values.as_chunks::<4>().0.iter().zip(groups) {
        group.as_chunks_mut::<4>().0[lane] = *values;
    }
}

fn scatter_scales(format: Format, row: &decode::CoarseRow, out: &mut Chunk, lane: usize) {
    let runs = WIDTH / run(format);
    for (scale, out) in row.scales[..runs].iter().zip(&mut out.scales) {
        out.as_chunks_mut::<2>().0[lane] = [*scale; 2];
    }
    for (minima, out) in row.minima[..runs].as_chunks::<2>().0.iter().zip(&mut out.minima) {
        out.as_chunks_mut::<2>().0[lane] = *minima;
    }
}

/// Adds the products of a chunk and one token to the sums of eight rows.
pub(super) fn fine(format: Format, chunk: &Chunk, blocks: usize, input: &Fine, sums: &mut [f32]) {
    for block in 0..blocks.min(8) {
        let groups = 8 * block..8 * block + 8;
        let dots = dots(&chunk.quants[groups.clone()], &input.quants[groups], signed(format));
        let shift = i32::from(offset(format)) * input.sums[block];
        for (row, sum) in sums.iter_mut().enumerate().take(ROWS) {
            *sum += (dots[row] - shift) as f32 * (chunk.d[block][row] * input.d[block]);
            *sum += chunk.m[block][row] * input.s[block];
        }
    }
}

/// Adds the products of a chunk and one token to the sums of eight rows.
pub(super) fn coarse(format: Format, chunk: &Chunk, input: &Coarse, sums: &mut [f32]) {
    let (products, minima) = coarse_integers(format, chunk, input);
    for (row, sum) in sums.iter_mut().enumerate().take(ROWS) {
        let d = chunk.d[0][row] * input.d;
        if offset(format) > 0 {
            *sum += (products[row] - minima[row]) as f32 * d;
        } else {
            *sum += products[row] as f32 * d - minima[row] as f32 * (chunk.m[0][row] * input.d);
        }
    }
}

/// The scaled products of the integers, and the minima times the sums of the input.
fn coarse_integers(format: Format, chunk: &Chunk, input: &Coarse) -> ([i32; ROWS], [i32; ROWS]) {
    let (mut products, mut minima) = ([0; ROWS], [0; ROWS]);
    let groups = run(format) / 4;
    let sums: &[i32] = if run(format) == 16 { &input.sums_of_16 } else { &input.sums_of_32 };
    let quants = chunk.quants.chunks(groups).zip(input.quants.chunks(groups));
    for ((weights, inputs), scales) in quants.zip(&chunk.scales) {
        let dots = dots(weights, inputs, signed(format));
        for (row, product) in products.iter_mut().enumerate() {
            *product += dots[row] * i32::from(scales[2 * row]);
        }
    }
    for (pair, sums) in chunk.minima.iter().zip(sums) {
        let (first, second) = (i32::from(*sums as i16), sums >> 16);
        for (row, minimum) in minima.iter_mut().enumerate() {
            *minimum += i32::from(pair[2 * row]) * first + i32::from(pair[2 * row + 1]) * second;
        }
    }
    (products, minima)
}

fn dots(weights: &[[u8; 4 * ROWS]], inputs: &[[u8; 4]], signed: bool) -> [i32; ROWS] {
    if signed {
        sums(weights, inputs, |weight| i16::from(weight.cast_signed()))
    } else {
        sums(weights, inputs, i16::from)
    }
}

/// Written so that the compiler finds vectors: all lanes do the same, and products fit 16 bits, because unsigned
/// weights have six bits at most.
fn sums(weights: &[[u8; 4 * ROWS]], inputs: &[[u8; 4]], value: impl Fn(u8) -> i16) -> [i32; ROWS] {
    let mut lanes = [0_i32; 4 * ROWS];
    for (weights, input) in weights.iter().zip(inputs) {
        let mut repeated = [0; 4 * ROWS];
        repeated.as_chunks_mut().0.fill(input.map(|value| i16::from(value.cast_signed())));
        for ((lane, &weight), input) in lanes.iter_mut().zip(weights).zip(repeated) {
            *lane += i32::from(value(weight) * input);
        }
    }
    let mut sums = [0; ROWS];
    for (sum, four) in sums.iter_mut().zip(lanes.as_chunks::<4>().0) {
        *sum = four.iter().sum();
    }
    sums
}

/// Products of up to four rows of a float format and up to six tokens: `sums[token][row]`.
pub(super) fn float(format: Format, rows: &[&[u8]], inputs: &[&[f32]], sums: &mut [[f32; 4]; 6]) {
    for (input, sums) in inputs.iter().zip(sums) {
        for (row, sum) in rows.iter().zip(sums) {
            *sum = match format {
                Format::F16 => float_dot(row, input, |bytes| f16::from_le_bytes(bytes).to_f32()),
                Format::Bf16 => float_dot(row, input, |bytes| bf16::from_le_bytes(bytes).to_f32()),
                _ => float_dot(row, input, f32::from_le_bytes),
            };
        }
    }
}

/// Eight partial sums, so that the compiler can compute them side by side.
fn float_dot<const N: usize>(row: &[u8], input: &[f32], value: impl Fn([u8; N]) -> f32) -> f32 {
    let mut sums = [0.0; 8];
    for (row, input) in row.as_chunks::<N>().0.chunks(8).zip(input.chunks(8)) {
        for ((sum, row), input) in sums.iter_mut().zip(row).zip(input) {
            *sum += value(*row) * input;
        }
    }
    sums.iter().sum()
}
