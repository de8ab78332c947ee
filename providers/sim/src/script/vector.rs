//! Embeddings: a unit vector out of a text, always the same.

/// How long vectors are unless the request says otherwise.
pub(crate) const LENGTH: usize = 8;

/// The vector of a text; `length` is at least 1.
pub(crate) fn unit(text: &str, length: usize) -> Vec<f32> {
    // FNV-1a over the text, then one step of SplitMix64 for each number.
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut numbers: Vec<f64> = (0..length)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let half = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
            f64::from(half) / f64::from(u32::MAX) * 2.0 - 1.0
        })
        .collect();
    let norm = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    if norm > 0.0 {
        numbers.iter_mut().for_each(|number| *number /= norm);
    }
    numbers.into_iter().map(|number| number as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_units_and_repeatable() {
        let vector = unit("hello", 1536);
        assert_eq!(vector, unit("hello", 1536));
        assert_ne!(unit("hello", 8), unit("world", 8));
        let norm: f32 = vector.iter().map(|number| number * number).sum();
        assert!((norm - 1.0).abs() < 1e-3);
    }
}
