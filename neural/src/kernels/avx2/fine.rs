//! Formats with a scale for each 32 values.

use std::arch::x86_64::*;

use super::*;
use crate::kernels::activation::Fine;

mod packed;

/// Adds the products of a chunk and one to four tokens to `sums`, eight sums at each multiple of `stride`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn fine(
    format: Format,
    chunk: &Chunk,
    blocks: usize,
    inputs: &[Fine],
    sums: &mut [f32],
    stride: usize,
) {
    match inputs.len() {
        1 => by_format::<1>(format, chunk, blocks, inputs, sums, stride),
        2 => by_format::<2>(format, chunk, blocks, inputs, sums, stride),
        3 => by_format::<3>(format, chunk, blocks, inputs, sums, stride),
        _ => by_format::<4>(format, chunk, blocks, inputs, sums, stride),
    }
}

/// Adds the products of eight rows and one token to eight sums; there is an input for each 256 values of a row.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn fine_of_one(format: Format, panel: &[u8], inputs: &[Fine], sums: &mut [f32; ROWS]) {
    let (_, size) = format.block();
    for (blocks, input) in panel.chunks(8 * ROWS * size).zip(inputs) {
        packed::take(format, blocks, Target::Sums(input, sums));
    }
}

/// Unpacks up to eight blocks of 32 values of eight rows.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn unpack(format: Format, blocks: &[u8], out: &mut Chunk) {
    packed::take(format, blocks, Target::Chunk(out));
}

/// What happens with up to eight blocks of eight rows.
enum Target<'a> {
    /// They are unpacked.
    Chunk(&'a mut Chunk),
    /// Their products with one token are added to the sums.
    Sums(&'a Fine, &'a mut [f32; ROWS]),
}

/// 32 values of eight rows, computed where they are needed.
struct Block<W> {
    /// Integers of a group of four values.
    weights: W,
    d: __m256,
    m: __m256,
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn by_format<const T: usize>(
    format: Format,
    chunk: &Chunk,
    blocks: usize,
    inputs: &[Fine],
    sums: &mut [f32],
    stride: usize,
) {
    match format {
        Format::Q4_0 => tile::<8, 3, false, T>(chunk, blocks, inputs, sums, stride),
        Format::Q4_1 => tile::<8, 0, true, T>(chunk, blocks, inputs, sums, stride),
        Format::Q5_0 => tile::<4, 4, false, T>(chunk, blocks, inputs, sums, stride),
        Format::Q5_1 => tile::<4, 0, true, T>(chunk, blocks, inputs, sums, stride),
        _ => tile::<0, 0, false, T>(chunk, blocks, inputs, sums, stride),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const DEPTH: usize, const SHIFT: i32, const MINIMUM: bool, const T: usize>(
    chunk: &Chunk,
    blocks: usize,
    inputs: &[Fine],
    sums: &mut [f32],
    stride: usize,
) {
    let inputs: &[Fine; T] = &inputs.as_chunks::<T>().0[0];
    let mut totals = [_mm256_setzero_ps(); T];
    for at in 0..blocks.min(8) {
        let block = Block {
            weights: |group: usize| load(&chunk.quants[8 * at + group]),
            d: load_f32(&chunk.d[at]),
            m: load_f32(&chunk.m[at]),
        };
        products::<DEPTH, SHIFT, MINIMUM, T>(block, at, inputs, &mut totals);
    }
    for t in 0..T {
        let sums = &mut sums[t * stride..].as_chunks_mut::<8>().0[0];
        store_f32(sums, _mm256_add_ps(load_f32(sums), totals[t]));
    }
}

/// Does with each block of eight rows what the target says; `unpack` tells its values.
///
/// `DEPTH`: how many groups of four products fit a sum of 16 bits (0: the weights are signed bytes).
/// `SHIFT`: the weights are too large by 1 << SHIFT (0: they are not). `MINIMUM`: there is one.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn finish<'a, const SIZE: usize, const DEPTH: usize, const SHIFT: i32, const MINIMUM: bool, W>(
    blocks: &'a [u8],
    unpack: impl Fn(&'a [u8; SIZE]) -> Block<W>,
    target: Target<'_>,
) where
    W: Fn(usize) -> __m256i,
{
    let blocks = blocks.as_chunks::<SIZE>().0.iter().take(8).enumerate();
    match target {
        Target::Sums(input, sums) => {
            let mut totals = [_mm256_setzero_ps()];
            for (at, block) in blocks {
                prefetch_after(block);
                let inputs = std::array::from_ref(input);
                products::<DEPTH, SHIFT, MINIMUM, 1>(unpack(block), at, inputs, &mut totals);
            }
            store_f32(sums, _mm256_add_ps(load_f32(sums), totals[0]));
        }
        Target::Chunk(out) => {
            for (at, block) in blocks {
                let block = unpack(block);
                let quants = &mut out.quants.as_chunks_mut::<8>().0[at];
                eight!(GROUP, { store(&mut quants[GROUP], (block.weights)(GROUP)) });
                store_f32(&mut out.d[at], block.d);
                store_f32(&mut out.m[at], block.m);
            }
        }
    }
}

/// Adds the products of block `at` of a chunk and `T` tokens; constants as in `finish`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn products<const DEPTH: usize, const SHIFT: i32, const MINIMUM: bool, const T: usize>(
    block: Block<impl Fn(usize) -> __m256i>,
    at: usize,
    inputs: &[Fine; T],
    totals: &mut [__m256; T],
) {
    let ones = _mm256_set1_epi16(1);
    let mut dots = [_mm256_setzero_si256(); T];
    let mut part = [_mm256_setzero_si256(); T];
    eight!(GROUP, {
        let weights = (block.weights)(GROUP);
        for t in 0..T {
            let input = broadcast(&inputs[t].quants[8 * at + GROUP]);
            if DEPTH == 0 {
                let input = _mm256_sign_epi8(input, weights);
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), input);
                dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(products, ones));
            } else {
                part[t] = _mm256_add_epi16(part[t], _mm256_maddubs_epi16(weights, input));
                if (GROUP + 1).is_multiple_of(DEPTH) {
                    dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(part[t], ones));
                    part[t] = _mm256_setzero_si256();
                }
            }
        }
    });
    for t in 0..T {
        if SHIFT > 0 {
            let sum = _mm256_slli_epi32::<SHIFT>(_mm256_set1_epi32(inputs[t].sums[at]));
            dots[t] = _mm256_sub_epi32(dots[t], sum);
        }
        let d = _mm256_mul_ps(block.d, _mm256_set1_ps(inputs[t].d[at]));
        totals[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), d, totals[t]);
        if MINIMUM {
            totals[t] = _mm256_fmadd_ps(block.m, _mm256_set1_ps(inputs[t].s[at]), totals[t]);
        }
    }
}
