//! The input of a product, rounded to 8-bit integers as ggml rounds it.

use half::f16;

use super::chunk::WIDTH;

/// 256 values of one token with a scale for each 32 (`Q8_0` and `Q8_1` of ggml).
#[derive(Debug, Clone, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Fine {
    /// Signed bytes, four at a time because the products read them so.
    pub(super) quants: [[u8; 4]; WIDTH / 4],
    /// Scale of each block of 32, rounded to half precision.
    pub(super) d: [f32; 8],
    /// Sum of the values of each block, rounded to half precision.
    pub(super) s: [f32; 8],
    /// Sum of the integers of each block.
    pub(super) sums: [i32; 8],
}

/// 256 values of one token with one scale (`Q8_K` of ggml).
#[derive(Debug, Clone, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Coarse {
    pub(super) quants: [[u8; 4]; WIDTH / 4],
    /// Sums of the integers of two neighbouring runs of 16 values, the first one in the lower half.
    pub(super) sums_of_16: [i32; 8],
    /// Sums of the integers of two neighbouring runs of 32 values.
    pub(super) sums_of_32: [i32; 4],
    pub(super) d: f32,
}

impl Fine {
    pub(super) const ZERO: Fine = Fine { quants: [[0; 4]; 64], d: [0.0; 8], s: [0.0; 8], sums: [0; 8] };

    /// Rounds up to 256 values, a multiple of 32; what is missing counts as zero.
    pub(super) fn quantise(values: &[f32]) -> Fine {
        let mut fine = Fine::ZERO;
        for (block, values) in values.as_chunks::<32>().0.iter().enumerate().take(8) {
            let most = most(values);
            let inverse = if most == 0.0 { 0.0 } else { 127.0 / most };
            let quants = &mut fine.quants.as_flattened_mut()[32 * block..][..32];
            let sum = round(values, inverse, quants);
            fine.d[block] = rounded_to_half(most / 127.0);
            fine.s[block] = rounded_to_half(most / 127.0 * sum as f32);
            fine.sums[block] = sum;
        }
        fine
    }
}

impl Coarse {
    pub(super) const ZERO: Coarse =
        Coarse { quants: [[0; 4]; 64], sums_of_16: [0; 8], sums_of_32: [0; 4], d: 0.0 };

    pub(super) fn quantise(values: &[f32; WIDTH]) -> Coarse {
        let mut coarse = Coarse::ZERO;
        let most = most(values);
        if most == 0.0 {
            return coarse;
        }
        let inverse = 127.0 / most;
        coarse.d = 1.0 / inverse;
        let mut sums = [0; 16];
        let quants = coarse.quants.as_flattened_mut().as_chunks_mut::<16>().0;
        for ((values, quants), sum) in values.as_chunks::<16>().0.iter().zip(quants).zip(&mut sums) {
            *sum = round(values, inverse, quants);
        }
        coarse.set_sums(&sums);
        coarse
    }

    pub(super) fn set_sums(&mut self, sums: &[i32; 16]) {
        for (pair, two) in self.sums_of_16.iter_mut().zip(sums.as_chunks::<2>().0) {
            *pair = (two[0] & 0xffff) | two[1] << 16;
        }
        for (pair, four) in self.sums_of_32.iter_mut().zip(sums.as_chunks::<4>().0) {
            *pair = ((four[0] + four[1]) & 0xffff) | (four[2] + four[3]) << 16;
        }
    }
}

/// The largest magnitude, or no number if a value is none: then no result is a number, instead of a wrong one.
fn most(values: &[f32]) -> f32 {
    // The bits of magnitudes are in the order of their values, and above all of them is what is no number.
    f32::from_bits(values.iter().fold(0, |most, value| most.max(value.abs().to_bits())))
}

/// Rounds to the nearest integers, halves to even ones as vector instructions do; returns their sum.
fn round(values: &[f32], factor: f32, quants: &mut [u8]) -> i32 {
    let mut sum = 0;
    for (value, quant) in values.iter().zip(quants) {
        let rounded = (value * factor).round_ties_even() as i8;
        *quant = rounded.cast_unsigned();
        sum += i32::from(rounded);
    }
    sum
}

pub(super) fn rounded_to_half(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}
