//! Products for x86-64 processors with AVX2, FMA and F16C.
//!
//! All functions here have to be called on such a processor; they are safe in themselves.

use std::arch::x86_64::*;

use super::chunk::{Chunk, ROWS};
use super::format::{Family, Format};

/// Repeats a block with a constant from 0 to 7, so that what depends on it is decided by the compiler.
macro_rules! eight {
    ($constant:ident, $block:block) => {
        eight!($constant, $block, 0 1 2 3 4 5 6 7)
    };
    ($constant:ident, $block:block, $($value:literal)*) => {
        $({
            const $constant: usize = $value;
            $block
        })*
    };
}

mod coarse;
mod fine;
mod float;
mod quantise;
mod vector;

pub(super) use coarse::{coarse, coarse_of_one};
pub(super) use fine::{fine, fine_of_one};
pub(super) use float::float;
pub(super) use quantise::{quantise_coarse, quantise_fine};
pub(super) use vector::*;

/// Whether this processor has the instructions; known after the first call.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Unpacks chunk `chunk` of eight rows; of a fine format, its first `blocks` blocks of 32 values.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn unpack(format: Format, panel: &[u8], chunk: usize, blocks: usize, out: &mut Chunk) {
    let size = ROWS * format.block().1;
    if format.family() == Family::Fine {
        fine::unpack(format, &panel[8 * chunk * size..][..blocks * size], out);
    } else {
        coarse::unpack(format, &panel[chunk * size..][..size], out);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes that are read; no alignment is asked for.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_i16(values: &[i16; 16]) -> __m256i {
    // SAFETY: as in `load`.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_f32(values: &[f32; 8]) -> __m256 {
    // SAFETY: as in `load`.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// Eight half-precision values as singles.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_halves(bytes: &[u8; 16]) -> __m256 {
    // SAFETY: the reference covers the 16 bytes that are read; no alignment is asked for.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: the reference covers the 32 bytes that are written; no alignment is asked for.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store_i16(to: &mut [i16; 16], value: __m256i) {
    // SAFETY: as in `store`.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store_f32(to: &mut [f32; 8], value: __m256) {
    // SAFETY: as in `store`.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
}

/// Asks for the cache lines that lie `DISTANCE` bytes after those of `bytes`, because the weights of one token are
/// read only once and in parts of different strides, which the processor foresees badly.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch_after(bytes: &[u8]) {
    const DISTANCE: usize = 4096;
    for line in bytes.chunks(64) {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(DISTANCE).cast());
    }
}

/// The lower four bits of each byte.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn low(bytes: __m256i) -> __m256i {
    _mm256_and_si256(bytes, _mm256_set1_epi8(15))
}

/// The upper four bits of each byte.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn high(bytes: __m256i) -> __m256i {
    low(_mm256_srli_epi16::<4>(bytes))
}

/// The 32 bytes of vector `index` of a part of a block.
#[inline(always)]
fn vector(bytes: &[u8], index: usize) -> &[u8; 32] {
    &bytes.as_chunks::<32>().0[index]
}

/// The values that 4-bit indices in the bytes stand for.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unequal(indices: __m256i) -> __m256i {
    let table = super::format::UNEQUAL;
    // SAFETY: the table has the 16 bytes that are read.
    let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), indices)
}

/// Four bytes of the input in each of the eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn broadcast(bytes: &[u8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_ne_bytes(*bytes))
}
