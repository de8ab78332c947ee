//! Rounding of the input to 8-bit integers.

use std::arch::x86_64::*;

use super::*;
use crate::kernels::activation::{Coarse, Fine, rounded_to_half};

/// Does what [`Fine::quantise`] does.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn quantise_fine(values: &[f32]) -> Fine {
    let mut fine = Fine::ZERO;
    for (block, values) in values.as_chunks::<32>().0.iter().enumerate().take(8) {
        let most = most(values);
        let inverse = if most == 0.0 { 0.0 } else { 127.0 / most };
        let quants = &mut fine.quants.as_flattened_mut().as_chunks_mut().0[block];
        let sums = round(values, _mm256_set1_ps(inverse), quants);
        let sum = sums[0] + sums[1];
        fine.d[block] = rounded_to_half(most / 127.0);
        fine.s[block] = rounded_to_half(most / 127.0 * sum as f32);
        fine.sums[block] = sum;
    }
    fine
}

/// Does what [`Coarse::quantise`] does.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn quantise_coarse(values: &[f32; 256]) -> Coarse {
    let mut coarse = Coarse::ZERO;
    let most = most(values);
    if most == 0.0 {
        return coarse;
    }
    let inverse = 127.0 / most;
    coarse.d = 1.0 / inverse;
    let factor = _mm256_set1_ps(inverse);
    let mut sums = [0; 16];
    let quants = coarse.quants.as_flattened_mut().as_chunks_mut().0;
    let blocks = values.as_chunks::<32>().0.iter().zip(quants);
    for ((values, quants), sums) in blocks.zip(sums.as_chunks_mut::<2>().0) {
        *sums = round(values, factor, quants);
    }
    coarse.set_sums(&sums);
    coarse
}

/// The largest magnitude of a multiple of eight values, or no number if a value is none (by the order of the bits).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn most(values: &[f32]) -> f32 {
    let sign = _mm256_set1_ps(-0.0);
    let mut most = _mm256_setzero_si256();
    for values in values.as_chunks::<8>().0 {
        let magnitudes = _mm256_castps_si256(_mm256_andnot_ps(sign, load_f32(values)));
        most = _mm256_max_epi32(magnitudes, most);
    }
    let four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256::<1>(most));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
    f32::from_bits(_mm_cvtsi128_si32(one).cast_unsigned())
}

/// Rounds 32 values; returns the sums of the first and the second 16 integers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn round(values: &[f32; 32], factor: __m256, quants: &mut [u8; 32]) -> [i32; 2] {
    let eights = values.as_chunks::<8>().0;
    let mut integers = [_mm256_setzero_si256(); 4];
    for (integers, values) in integers.iter_mut().zip(eights) {
        *integers = _mm256_cvtps_epi32(_mm256_mul_ps(load_f32(values), factor));
    }
    let first = _mm256_packs_epi32(integers[0], integers[1]);
    let second = _mm256_packs_epi32(integers[2], integers[3]);
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
    store(quants, bytes);
    [sum_of_16(first), sum_of_16(second)]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum_of_16(values: __m256i) -> i32 {
    let pairs = _mm256_madd_epi16(values, _mm256_set1_epi16(1));
    let four = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}
