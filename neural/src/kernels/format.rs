//! The formats of weights: the layouts of blocks that ggml defines.
//!
//! Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md> (type numbers) and
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h> (block layouts).

/// How the values of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// Blocks of 32 values of 4 bits, one scale.
    Q4_0,
    /// Blocks of 32 values of 4 bits, one scale and one minimum.
    Q4_1,
    /// Blocks of 32 values of 5 bits, one scale.
    Q5_0,
    /// Blocks of 32 values of 5 bits, one scale and one minimum.
    Q5_1,
    /// Blocks of 32 values of 8 bits, one scale.
    Q8_0,
    /// Blocks of 256 values of 2 bits, scale and minimum for each 16.
    Q2K,
    /// Blocks of 256 values of 3 bits, scale for each 16.
    Q3K,
    /// Blocks of 256 values of 4 bits, scale and minimum for each 32.
    Q4K,
    /// Blocks of 256 values of 5 bits, scale and minimum for each 32.
    Q5K,
    /// Blocks of 256 values of 6 bits, scale for each 16.
    Q6K,
    /// Blocks of 32 values of 4 bits that choose from a table of unequal steps, one scale.
    Iq4Nl,
    /// Blocks of 256 values of 4 bits that choose from a table of unequal steps, scale for each 32.
    Iq4Xs,
}

/// What the input is turned into before it meets the weights of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Floating-point products; the input is rounded to the format of the weights.
    Float,
    /// Integer products with a scale for each 32 values of weights and input.
    Fine,
    /// Integer products with a scale for each 256 values, refined by integer scales of the weights.
    Coarse,
}

impl Format {
    /// The format of a ggml type number; `None` for one that is not supported here.
    pub fn from_ggml(id: u32) -> Option<Format> {
        Some(match id {
            0 => Format::F32,
            1 => Format::F16,
            2 => Format::Q4_0,
            3 => Format::Q4_1,
            6 => Format::Q5_0,
            7 => Format::Q5_1,
            8 => Format::Q8_0,
            10 => Format::Q2K,
            11 => Format::Q3K,
            12 => Format::Q4K,
            13 => Format::Q5K,
            14 => Format::Q6K,
            20 => Format::Iq4Nl,
            23 => Format::Iq4Xs,
            30 => Format::Bf16,
            _ => return None,
        })
    }

    /// The name that ggml gives the format, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::Bf16 => "BF16",
            Format::Q4_0 => "Q4_0",
            Format::Q4_1 => "Q4_1",
            Format::Q5_0 => "Q5_0",
            Format::Q5_1 => "Q5_1",
            Format::Q8_0 => "Q8_0",
            Format::Q2K => "Q2_K",
            Format::Q3K => "Q3_K",
            Format::Q4K => "Q4_K",
            Format::Q5K => "Q5_K",
            Format::Q6K => "Q6_K",
            Format::Iq4Nl => "IQ4_NL",
            Format::Iq4Xs => "IQ4_XS",
        }
    }

    /// Size of a block: the number of values in it, and its bytes.
    pub fn block(self) -> (usize, usize) {
        let values = match self.family() {
            Family::Float => 1,
            Family::Fine => 32,
            Family::Coarse => 256,
        };
        (values, self.fields().iter().map(|(bytes, _)| bytes).sum())
    }

    pub(super) fn family(self) -> Family {
        match self {
            Format::F32 | Format::F16 | Format::Bf16 => Family::Float,
            Format::Q4_0 | Format::Q4_1 | Format::Q5_0 | Format::Q5_1 | Format::Q8_0 | Format::Iq4Nl => {
                Family::Fine
            }
            Format::Q2K | Format::Q3K | Format::Q4K | Format::Q5K | Format::Q6K | Format::Iq4Xs => {
                Family::Coarse
            }
        }
    }

    /// The fields of a block in their order: (bytes, size of the unit in which eight rows are interleaved).
    pub(super) fn fields(self) -> &'static [(usize, usize)] {
        match self {
            Format::F32 => &[(4, 4)],
            Format::F16 | Format::Bf16 => &[(2, 2)],
            Format::Q4_0 | Format::Iq4Nl => &[(2, 2), (16, 4)],
            Format::Q4_1 => &[(2, 2), (2, 2), (16, 4)],
            Format::Q5_0 => &[(2, 2), (4, 4), (16, 4)],
            Format::Q5_1 => &[(2, 2), (2, 2), (4, 4), (16, 4)],
            Format::Q8_0 => &[(2, 2), (32, 4)],
            Format::Q2K => &[(16, 4), (64, 4), (2, 2), (2, 2)],
            Format::Q3K => &[(32, 4), (64, 4), (12, 4), (2, 2)],
            Format::Q4K => &[(2, 2), (2, 2), (12, 4), (128, 4)],
            Format::Q5K => &[(2, 2), (2, 2), (12, 4), (32, 4), (128, 4)],
            Format::Q6K => &[(128, 4), (64, 4), (16, 4), (2, 2)],
            Format::Iq4Xs => &[(2, 2), (2, 2), (4, 4), (128, 4)],
        }
    }
}

/// The 16 values that the 4-bit indices of `IQ4_NL` and `IQ4_XS` stand for.
pub(super) const UNEQUAL: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_blocks_are_those_of_ggml() {
        let sizes = [
            (0, "F32", (1, 4)),
            (1, "F16", (1, 2)),
            (2, "Q4_0", (32, 18)),
            (3, "Q4_1", (32, 20)),
            (6, "Q5_0", (32, 22)),
            (7, "Q5_1", (32, 24)),
            (8, "Q8_0", (32, 34)),
            (10, "Q2_K", (256, 84)),
            (11, "Q3_K", (256, 110)),
            (12, "Q4_K", (256, 144)),
            (13, "Q5_K", (256, 176)),
            (14, "Q6_K", (256, 210)),
            (20, "IQ4_NL", (32, 18)),
            (23, "IQ4_XS", (256, 136)),
            (30, "BF16", (1, 2)),
        ];
        for (id, name, block) in sizes {
            let format = Format::from_ggml(id).unwrap();
            assert_eq!((format.name(), format.block()), (name, block));
        }
    }

    #[test]
    fn a_type_that_is_not_supported_has_no_format() {
        // 4 was removed from ggml, 16 is IQ2_XXS, 24 is an integer type.
        assert!([4, 9, 15, 16, 24, 31, u32::MAX].into_iter().all(|id| Format::from_ggml(id).is_none()));
    }
}
