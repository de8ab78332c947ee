//! Formats with a scale for each 256 values.

use std::arch::x86_64::*;

use super::*;
use crate::kernels::activation::Coarse;

mod packed;

/// Adds the products of a chunk and one to four tokens to `sums`, eight sums at each multiple of `stride`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn coarse(
    format: Format,
    chunk: &Chunk,
    inputs: &[Coarse],
    sums: &mut [f32],
    stride: usize,
) {
    match inputs.len() {
        1 => by_format::<1>(format, chunk, inputs, sums, stride),
        2 => by_format::<2>(format, chunk, inputs, sums, stride),
        3 => by_format::<3>(format, chunk, inputs, sums, stride),
        _ => by_format::<4>(format, chunk, inputs, sums, stride),
    }
}

/// Adds the products of eight rows and one token to eight sums; there is an input for each block of a row.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn coarse_of_one(
    format: Format,
    panel: &[u8],
    inputs: &[Coarse],
    sums: &mut [f32; ROWS],
) {
    let (_, size) = format.block();
    for (block, input) in panel.chunks_exact(ROWS * size).zip(inputs) {
        prefetch_after(block);
        packed::take(format, block, Target::Sums(input, sums));
    }
}

/// Unpacks one block of 256 values of eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn unpack(format: Format, block: &[u8], out: &mut Chunk) {
    packed::take(format, block, Target::Chunk(out));
}

/// What happens with a block of eight rows.
enum Target<'a> {
    /// It is unpacked.
    Chunk(&'a mut Chunk),
    /// Its products with one token are added to the sums.
    Sums(&'a Coarse, &'a mut [f32; ROWS]),
}

/// 256 values of eight rows, computed where they are needed.
struct Block<W, S, M> {
    /// Integers of a group of four values.
    weights: W,
    /// Integer scales of a run, twice for each row.
    scales: S,
    /// Minima of two runs.
    minima: M,
    d: __m256,
    m: __m256,
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn by_format<const T: usize>(
    format: Format,
    chunk: &Chunk,
    inputs: &[Coarse],
    sums: &mut [f32],
    stride: usize,
) {
    let inputs: &[Coarse; T] = &inputs.as_chunks::<T>().0[0];
    let block = Block {
        weights: |group: usize| load(&chunk.quants[group]),
        scales: |run: usize| load_i16(&chunk.scales[run]),
        minima: |pair: usize| load_i16(&chunk.minima[pair]),
        d: load_f32(&chunk.d[0]),
        m: load_f32(&chunk.m[0]),
    };
    match format {
        Format::Q2K => products::<4, true, false, T>(block, inputs, sums, stride),
        Format::Q3K => products::<4, true, true, T>(block, inputs, sums, stride),
        Format::Q4K => products::<8, false, false, T>(block, inputs, sums, stride),
        Format::Q5K => products::<4, false, false, T>(block, inputs, sums, stride),
        Format::Q6K => products::<2, true, true, T>(block, inputs, sums, stride),
        _ => products::<0, false, true, T>(block, inputs, sums, stride),
    }
}

/// `DEPTH`: how many groups of four products fit a sum of 16 bits (0: the weights are signed bytes).
/// `SHORT`: runs of 16 values instead of 32. `FOLD`: the minima are integers of the same scale as the products.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn finish<const DEPTH: usize, const SHORT: bool, const FOLD: bool>(
    block: Block<impl Fn(usize) -> __m256i, impl Fn(usize) -> __m256i, impl Fn(usize) -> __m256i>,
    target: Target<'_>,
) {
    match target {
        Target::Sums(input, sums) => {
            products::<DEPTH, SHORT, FOLD, 1>(block, std::array::from_ref(input), sums, ROWS);
        }
        Target::Chunk(out) => {
            eight!(RUN, {
                for group in 8 * RUN..8 * RUN + 8 {
                    store(&mut out.quants[group], (block.weights)(group));
                }
                if SHORT {
                    store_i16(&mut out.scales[2 * RUN], (block.scales)(2 * RUN));
                    store_i16(&mut out.scales[2 * RUN + 1], (block.scales)(2 * RUN + 1));
                    store_i16(&mut out.minima[RUN], (block.minima)(RUN));
                } else {
                    store_i16(&mut out.scales[RUN], (block.scales)(RUN));
                    if RUN.is_multiple_of(2) {
                        store_i16(&mut out.minima[RUN / 2], (block.minima)(RUN / 2));
                    }
                }
            });
            store_f32(&mut out.d[0], block.d);
            store_f32(&mut out.m[0], block.m);
        }
    }
}

/// Adds the products of a block and `T` tokens; constants as in `finish`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn products<const DEPTH: usize, const SHORT: bool, const FOLD: bool, const T: usize>(
    block: Block<impl Fn(usize) -> __m256i, impl Fn(usize) -> __m256i, impl Fn(usize) -> __m256i>,
    inputs: &[Coarse; T],
    sums: &mut [f32],
    stride: usize,
) {
    let mut dots = [_mm256_setzero_si256(); T];
    macro_rules! add_run {
        ($run:expr) => {
            for part in (8 * $run..8 * $run + 8).step_by(if DEPTH == 0 { 1 } else { DEPTH }) {
                let scale = (block.scales)(if SHORT { part / 4 } else { $run });
                let mut products = [_mm256_setzero_si256(); T];
                if DEPTH == 0 {
                    let weights = (block.weights)(part);
                    let magnitudes = _mm256_abs_epi8(weights);
                    for t in 0..T {
                        let input = _mm256_sign_epi8(broadcast(&inputs[t].quants[part]), weights);
                        products[t] = _mm256_maddubs_epi16(magnitudes, input);
                    }
                } else {
                    for group in part..part + DEPTH {
                        let weights = (block.weights)(group);
                        for t in 0..T {
                            let product = _mm256_maddubs_epi16(weights, broadcast(&inputs[t].quants[group]));
                            products[t] = _mm256_add_epi16(products[t], product);
                        }
                    }
                }
                for t in 0..T {
                    dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(products[t], scale));
                }
            }
        };
    }
    if T == 1 {
        eight!(RUN, {
            add_run!(RUN);
        });
    } else {
        // Unpacked weights need no constants, and a loop leaves the registers to the tokens.
        for run in 0..8 {
            add_run!(run);
        }
    }
    let mut minima = [_mm256_setzero_si256(); T];
    for pair in 0..if SHORT { 8 } else { 4 } {
        let least = (block.minima)(pair);
        for t in 0..T {
            let sums = if SHORT { inputs[t].sums_of_16[pair] } else { inputs[t].sums_of_32[pair] };
            let products = _mm256_madd_epi16(least, _mm256_set1_epi32(sums));
            minima[t] = _mm256_add_epi32(minima[t], products);
        }
    }
    for t in 0..T {
        let sums = &mut sums[t * stride..].as_chunks_mut::<8>().0[0];
        let d = _mm256_set1_ps(inputs[t].d);
        let scale = _mm256_mul_ps(block.d, d);
        let mut sum = load_f32(sums);
        if FOLD {
            let dots = _mm256_sub_epi32(dots[t], minima[t]);
            sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), scale, sum);
        } else {
            sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), scale, sum);
            let least = _mm256_mul_ps(block.m, d);
            sum = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(minima[t]), least, sum);
        }
        store_f32(sums, sum);
    }
}
