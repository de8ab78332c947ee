//! Functions on vectors; each does what its namesake in `kernels::vector` says.

use std::arch::x86_64::*;

use half::f16;

use super::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [_mm256_setzero_ps(); 4];
    for (a, b) in a.chunks(4).zip(b.chunks(4)) {
        for ((a, b), sum) in a.iter().zip(b).zip(&mut sums) {
            *sum = _mm256_fmadd_ps(load_f32(a), load_f32(b), *sum);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    total(sums) + rest
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn dot_f16(a: &[f16], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [_mm256_setzero_ps(); 4];
    for (a, b) in a.chunks(4).zip(b.chunks(4)) {
        for ((a, b), sum) in a.iter().zip(b).zip(&mut sums) {
            *sum = _mm256_fmadd_ps(eight_halves(a), load_f32(b), *sum);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a.to_f32() * b).sum();
    total(sums) + rest
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn add_scaled_f16(sums: &mut [f32], scale: f32, values: &[f16]) {
    let factor = _mm256_set1_ps(scale);
    let ((sums, sums_rest), (values, rest)) = (sums.as_chunks_mut::<8>(), values.as_chunks::<8>());
    for (sums, values) in sums.iter_mut().zip(values) {
        store_f32(sums, _mm256_fmadd_ps(eight_halves(values), factor, load_f32(sums)));
    }
    for (sum, value) in sums_rest.iter_mut().zip(rest) {
        *sum += scale * value.to_f32();
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn to_f16(values: &[f32], out: &mut [f16]) {
    let ((values, rest), (out, out_rest)) = (values.as_chunks::<8>(), out.as_chunks_mut::<8>());
    for (values, out) in values.iter().zip(out) {
        let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(load_f32(values));
        // SAFETY: `out` has the 16 bytes that are written.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), halves) }
    }
    for (value, out) in rest.iter().zip(out_rest) {
        *out = f16::from_f32(*value);
    }
}

/// Rounds to half precision and back.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn through_f16(values: &[f32], out: &mut [f32]) {
    let ((values, rest), (out, out_rest)) = (values.as_chunks::<8>(), out.as_chunks_mut::<8>());
    for (values, out) in values.iter().zip(out) {
        let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(load_f32(values));
        store_f32(out, _mm256_cvtph_ps(halves));
    }
    for (value, out) in rest.iter().zip(out_rest) {
        *out = f16::from_f32(*value).to_f32();
    }
}

/// Replaces values by the exponentials of their differences to `most`, and returns the sum of those.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn exponentials(values: &mut [f32], most: f32) -> f64 {
    let (eights, rest) = values.as_chunks_mut::<8>();
    let mut sums = [_mm256_setzero_pd(); 2];
    for values in eights {
        let value = exp(_mm256_sub_ps(load_f32(values), _mm256_set1_ps(most)));
        store_f32(values, value);
        sums[0] = _mm256_add_pd(sums[0], _mm256_cvtps_pd(_mm256_castps256_ps128(value)));
        sums[1] = _mm256_add_pd(sums[1], _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(value)));
    }
    let mut lanes = [0.0; 4];
    // SAFETY: `lanes` has the four doubles that are written.
    unsafe { _mm256_storeu_pd(lanes.as_mut_ptr(), _mm256_add_pd(sums[0], sums[1])) }
    let mut sum: f64 = lanes.iter().sum();
    for value in rest {
        *value = (*value - most).exp();
        sum += f64::from(*value);
    }
    sum
}

/// Sum of squares.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn squares(values: &[f32]) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [_mm256_setzero_pd(); 2];
    for values in eights {
        let values = load_f32(values);
        let squares = _mm256_mul_ps(values, values);
        sums[0] = _mm256_add_pd(sums[0], _mm256_cvtps_pd(_mm256_castps256_ps128(squares)));
        sums[1] = _mm256_add_pd(sums[1], _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(squares)));
    }
    let mut lanes = [0.0; 4];
    // SAFETY: `lanes` has the four doubles that are written.
    unsafe { _mm256_storeu_pd(lanes.as_mut_ptr(), _mm256_add_pd(sums[0], sums[1])) }
    lanes.iter().sum::<f64>() + rest.iter().map(|value| f64::from(value * value)).sum::<f64>()
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn silu_times(gate: &mut [f32], up: &[f32]) {
    let ((gate, gate_rest), (up, up_rest)) = (gate.as_chunks_mut::<8>(), up.as_chunks::<8>());
    for (gate, up) in gate.iter_mut().zip(up) {
        let value = load_f32(gate);
        let divisor = _mm256_add_ps(_mm256_set1_ps(1.0), exp(_mm256_sub_ps(_mm256_setzero_ps(), value)));
        store_f32(gate, _mm256_mul_ps(_mm256_div_ps(value, divisor), load_f32(up)));
    }
    for (gate, up) in gate_rest.iter_mut().zip(up_rest) {
        *gate *= up / (1.0 + (-*gate).exp());
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn total(sums: [__m256; 4]) -> f32 {
    let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn eight_halves(values: &[f16; 8]) -> __m256 {
    // SAFETY: the reference covers the 16 bytes that are read; no alignment is asked for.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(values.as_ptr().cast()) })
}

/// The exponential function, good to about one unit in the last place; 0 and infinity where a single ends.
///
/// With x = n ln 2 + r, |r| <= ln 2 / 2, it is 2^n e^r, and e^r is a polynomial (that of Cephes' `expf`).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn exp(x: __m256) -> __m256 {
    // A value that is no number stays one: `max` and `min` return their second operand then.
    let x = _mm256_min_ps(_mm256_set1_ps(89.0), _mm256_max_ps(_mm256_set1_ps(-104.0), x));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(std::f32::consts::LOG2_E),
    ));
    // ln 2 in two parts, of which the first is so short that its product with n is exact.
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693_359_4), x);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.121_944_4e-4), r);
    let mut p = _mm256_set1_ps(1.987_569_1e-4);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.398_199_9e-3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.333_452e-3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.166_579_6e-2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.666_666_5e-1));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1.0)));
    // 2^n in two factors, because n goes beyond the exponents of a single on both sides.
    let n = _mm256_cvtps_epi32(n);
    let half = _mm256_srai_epi32::<1>(n);
    _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(n, half)))
}

/// 2 to the power of integers from -126 to 127.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn power(n: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127))))
}
