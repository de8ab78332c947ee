//! The types that a tensor's elements can have: names and layouts.
//!
//! The numbers and sizes: <https://github.com/ggml-org/ggml/blob/master/include/ggml.h> and `src/ggml-common.h` there.

/// The type's name, such as `Q4_K`. `None`: no type has this number.
pub fn kind_name(id: u32) -> Option<&'static str> {
    KINDS.iter().find(|kind| kind.0 == id).map(|kind| kind.1)
}

/// The elements in one of the type's blocks, and the bytes that the block takes. A row is a whole number of blocks.
/// `None`: no type has this number, or its layout is not defined in files.
pub fn block(id: u32) -> Option<(u64, u64)> {
    KINDS.iter().find(|kind| kind.0 == id).map(|kind| (kind.2, kind.3)).filter(|(elements, _)| *elements > 0)
}

/// Number, name, elements in a block, bytes in a block. No elements: a type that files may no longer use.
const KINDS: [(u32, &str, u64, u64); 43] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (4, "Q4_2", 0, 0),
    (5, "Q4_3", 0, 0),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (31, "Q4_0_4_4", 0, 0),
    (32, "Q4_0_4_8", 0, 0),
    (33, "Q4_0_8_8", 0, 0),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (36, "IQ4_NL_4_4", 0, 0),
    (37, "IQ4_NL_4_8", 0, 0),
    (38, "IQ4_NL_8_8", 0, 0),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
    (42, "Q2_0", 64, 18),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_stands_at_its_number() {
        for (at, kind) in KINDS.iter().enumerate() {
            assert_eq!(kind.0 as usize, at, "{}", kind.1);
        }
        assert_eq!((kind_name(12), block(12)), (Some("Q4_K"), Some((256, 144))));
        assert_eq!((kind_name(31), block(31)), (Some("Q4_0_4_4"), None));
        assert_eq!((kind_name(43), block(43)), (None, None));
    }
}
