//! The choice between the instruction sets, made when the process runs.

use super::activation::{Coarse, Fine};
#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::chunk::{Chunk, ROWS, WIDTH};
use super::format::Format;
use super::portable;
use super::scratch::Rounded;

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    Portable,
    /// Only [`Instructions::best`] makes it, after it has seen that the processor has AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

use Instructions::*;

impl Instructions {
    /// The fastest set that this processor has.
    #[inline]
    pub(super) fn best() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        if avx2::available() {
            return Avx2;
        }
        Portable
    }

    /// Unpacks chunk `chunk` of eight rows; of a fine format, its first `blocks` blocks of 32 values.
    pub(super) fn unpack(self, format: Format, panel: &[u8], chunk: usize, blocks: usize, out: &mut Chunk) {
        match self {
            Portable => portable::unpack(format, panel, chunk, blocks, out),
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Avx2 => unsafe { avx2::unpack(format, panel, chunk, blocks, out) },
        }
    }

    /// Adds the products of a chunk and each of one to four tokens to eight sums at each multiple of `stride`.
    pub(super) fn fine(
        self,
        format: Format,
        (chunk, blocks): (&Chunk, usize),
        inputs: &[Fine],
        sums: &mut [f32],
        stride: usize,
    ) {
        match self {
            Portable => {
                for (input, sums) in inputs.iter().zip(sums.chunks_mut(stride)) {
                    portable::fine(format, chunk, blocks, input, sums);
                }
            }
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Avx2 => unsafe { avx2::fine(format, chunk, blocks, inputs, sums, stride) },
        }
    }

    /// Adds the products of a chunk and each of one to four tokens to eight sums at each multiple of `stride`.
    pub(super) fn coarse(
        self,
        format: Format,
        chunk: &Chunk,
        inputs: &[Coarse],
        sums: &mut [f32],
        stride: usize,
    ) {
        match self {
            Portable => {
                for (input, sums) in inputs.iter().zip(sums.chunks_mut(stride)) {
                    portable::coarse(format, chunk, input, sums);
                }
            }
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Avx2 => unsafe { avx2::coarse(format, chunk, inputs, sums, stride) },
        }
    }

    /// Adds the products of eight rows and the only token of an input to eight sums.
    pub(super) fn one_token(self, format: Format, panel: &[u8], input: Rounded<'_>, sums: &mut [f32; ROWS]) {
        match (self, input) {
            (Portable, _) => portable::one_token(format, panel, input, sums),
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            (Avx2, Rounded::Fine(inputs)) => unsafe { avx2::fine_of_one(format, panel, inputs, sums) },
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            (Avx2, Rounded::Coarse(inputs)) => unsafe { avx2::coarse_of_one(format, panel, inputs, sums) },
            #[cfg(target_arch = "x86_64")]
            (Avx2, Rounded::Float(_)) => {}
        }
    }

    /// Products of up to four rows of a float format and up to six tokens: `sums[token][row]`.
    ///
    /// All rows have the same length, and all inputs the number of values of a row.
    pub(super) fn float(self, format: Format, rows: &[&[u8]], inputs: &[&[f32]], sums: &mut [[f32; 4]; 6]) {
        match self {
            Portable => portable::float(format, rows, inputs, sums),
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Avx2 => unsafe { avx2::float(format, rows, inputs, sums) },
        }
    }

    pub(super) fn quantise_fine(self, values: &[f32]) -> Fine {
        match self {
            Portable => Fine::quantise(values),
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Avx2 => unsafe { avx2::quantise_fine(values) },
        }
    }

    pub(super) fn quantise_coarse(self, values: &[f32; WIDTH]) -> Coarse {
        match self {
            Portable => Coarse::quantise(values),
            // SAFETY: the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Avx2 => unsafe { avx2::quantise_coarse(values) },
        }
    }
}
