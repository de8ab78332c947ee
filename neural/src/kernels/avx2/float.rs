//! Matrices of floating-point values.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::*;

const F32: u8 = 0;
const F16: u8 = 1;
const BF16: u8 = 2;

/// Products of up to four rows and up to six tokens: `sums[token][row]`.
///
/// # Panics
/// When the rows and the inputs have not all the same number of values.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels) fn float(format: Format, rows: &[&[u8]], inputs: &[&[f32]], sums: &mut [[f32; 4]; 6]) {
    match format {
        Format::F16 => by_size::<F16>(rows, inputs, sums),
        Format::Bf16 => by_size::<BF16>(rows, inputs, sums),
        _ => by_size::<F32>(rows, inputs, sums),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn by_size<const KIND: u8>(rows: &[&[u8]], inputs: &[&[f32]], sums: &mut [[f32; 4]; 6]) {
    // Where the weights have to be widened first, fewer rows meet more tokens.
    if let (F16 | BF16, Some([a, b, c, d]), 6) = (KIND, rows.first_chunk(), inputs.len()) {
        tile::<KIND, 2, 6>(&[a, b], inputs, sums, 0);
        tile::<KIND, 2, 6>(&[c, d], inputs, sums, 2);
    } else if let Some(rows) = rows.first_chunk::<4>() {
        for (inputs, sums) in inputs.chunks(3).zip(sums.chunks_mut(3)) {
            match inputs.len() {
                1 => tile::<KIND, 4, 1>(rows, inputs, sums, 0),
                2 => tile::<KIND, 4, 2>(rows, inputs, sums, 0),
                _ => tile::<KIND, 4, 3>(rows, inputs, sums, 0),
            }
        }
    } else {
        for (index, row) in rows.iter().enumerate() {
            for (input, sums) in inputs.chunks(1).zip(sums.chunks_mut(1)) {
                tile::<KIND, 1, 1>(&[row], input, sums, index);
            }
        }
    }
}

/// `first`: where the sums of the first row are.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const KIND: u8, const R: usize, const T: usize>(
    rows: &[&[u8]; R],
    inputs: &[&[f32]],
    sums: &mut [[f32; 4]],
    first: usize,
) {
    let inputs: &[&[f32]; T] = &inputs.as_chunks::<T>().0[0];
    let length = inputs[0].len();
    let size = if KIND == F32 { 4 } else { 2 };
    assert!(inputs.iter().all(|input| input.len() == length));
    assert!(rows.iter().all(|row| row.len() == length * size));
    let mut totals = [[_mm256_setzero_ps(); R]; T];
    for at in (0..length - length % 8).step_by(8) {
        // SAFETY: eight values from `at` on are within each row and input, whose lengths were checked.
        let weights = |r: usize| unsafe { eight::<KIND>(rows[r].as_ptr().add(at * size)) };
        // SAFETY: as for the weights.
        let input = |t: usize| unsafe { _mm256_loadu_ps(inputs[t].as_ptr().add(at)) };
        // The fewer ones are kept in registers, and there is no room for more.
        if R < T {
            let mut kept = [_mm256_setzero_ps(); R];
            for (r, kept) in kept.iter_mut().enumerate() {
                *kept = weights(r);
            }
            for (t, totals) in totals.iter_mut().enumerate() {
                let input = input(t);
                for (kept, total) in kept.iter().zip(totals) {
                    *total = _mm256_fmadd_ps(*kept, input, *total);
                }
            }
        } else {
            let mut kept = [_mm256_setzero_ps(); T];
            for (t, kept) in kept.iter_mut().enumerate() {
                *kept = input(t);
            }
            for r in 0..R {
                let weights = weights(r);
                for (kept, totals) in kept.iter().zip(&mut totals) {
                    totals[r] = _mm256_fmadd_ps(weights, *kept, totals[r]);
                }
            }
        }
    }
    for t in 0..T {
        for r in 0..R {
            let mut lanes = [0.0; 8];
            store_f32(&mut lanes, totals[t][r]);
            let rest = length - length % 8..length;
            let rest: f32 = rest.map(|at| one::<KIND>(rows[r], at) * inputs[t][at]).sum();
            sums[t][first + r] = lanes.iter().sum::<f32>() + rest;
        }
    }
}

/// # Safety
/// Eight values have to follow `from`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn eight<const KIND: u8>(from: *const u8) -> __m256 {
    // SAFETY: the caller vouches for the bytes of eight values; no alignment is asked for.
    unsafe {
        match KIND {
            F16 => _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
            BF16 => {
                let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
            }
            _ => _mm256_loadu_ps(from.cast()),
        }
    }
}

fn one<const KIND: u8>(row: &[u8], at: usize) -> f32 {
    match KIND {
        F16 => f16::from_le_bytes(row.as_chunks().0[at]).to_f32(),
        BF16 => bf16::from_le_bytes(row.as_chunks().0[at]).to_f32(),
        _ => f32::from_le_bytes(row.as_chunks().0[at]),
    }
}
