//! How the formats pack 32 values of eight interleaved rows.

use super::*;

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn take(format: Format, blocks: &[u8], target: Target<'_>) {
    match format {
        Format::Q4_0 => q4_0(blocks, target),
        Format::Q4_1 => q4_1(blocks, target),
        Format::Q5_0 => q5_0(blocks, target),
        Format::Q5_1 => q5_1(blocks, target),
        Format::Q8_0 => q8_0(blocks, target),
        _ => iq4_nl(blocks, target),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q4_0<'a>(blocks: &'a [u8], target: Target<'_>) {
    let unpack = |block: &'a [u8; 144]| Block {
        weights: move |group: usize| nibbles(&block[16..], group),
        d: halves(block, 0),
        m: _mm256_setzero_ps(),
    };
    finish::<144, 8, 3, false, _>(blocks, unpack, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q4_1<'a>(blocks: &'a [u8], target: Target<'_>) {
    let unpack = |block: &'a [u8; 160]| Block {
        weights: move |group: usize| nibbles(&block[32..], group),
        d: halves(block, 0),
        m: halves(block, 1),
    };
    finish::<160, 8, 0, true, _>(blocks, unpack, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q5_0<'a>(blocks: &'a [u8], target: Target<'_>) {
    let unpack = |block: &'a [u8; 176]| Block {
        weights: move |group: usize| fifths(&block[16..], group),
        d: halves(block, 0),
        m: _mm256_setzero_ps(),
    };
    finish::<176, 4, 4, false, _>(blocks, unpack, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q5_1<'a>(blocks: &'a [u8], target: Target<'_>) {
    let unpack = |block: &'a [u8; 192]| Block {
        weights: move |group: usize| fifths(&block[32..], group),
        d: halves(block, 0),
        m: halves(block, 1),
    };
    finish::<192, 4, 0, true, _>(blocks, unpack, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q8_0<'a>(blocks: &'a [u8], target: Target<'_>) {
    let unpack = |block: &'a [u8; 272]| Block {
        weights: move |group: usize| load(vector(&block[16..], group)),
        d: halves(block, 0),
        m: _mm256_setzero_ps(),
    };
    finish::<272, 0, 0, false, _>(blocks, unpack, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn iq4_nl<'a>(blocks: &'a [u8], target: Target<'_>) {
    let unpack = |block: &'a [u8; 144]| Block {
        weights: move |group: usize| unequal(nibbles(&block[16..], group)),
        d: halves(block, 0),
        m: _mm256_setzero_ps(),
    };
    finish::<144, 0, 0, false, _>(blocks, unpack, target);
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(block: &[u8], index: usize) -> __m256 {
    load_halves(&block.as_chunks().0[index])
}

/// Four bits of each value of a group: the first 16 values share their bytes with the others.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(stored: &[u8], group: usize) -> __m256i {
    let both = load(vector(stored, group % 4));
    if group < 4 { low(both) } else { high(both) }
}

/// Four lower bits as in `nibbles`, after a vector with the fifth bits of eight rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn fifths(stored: &[u8], group: usize) -> __m256i {
    let bits = load(vector(stored, 0));
    // In each lane of four bytes, the byte that has the bits of the group.
    let byte = (group / 2) as i32 * 0x0101_0101;
    let first = _mm_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c);
    let order = _mm256_broadcastsi128_si256(_mm_add_epi32(first, _mm_set1_epi32(byte)));
    let mask = _mm256_set1_epi32(if group.is_multiple_of(2) { 0x0804_0201 } else { 0x8040_2010_u32 as i32 });
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(bits, order), mask), mask);
    _mm256_or_si256(nibbles(&stored[32..], group), _mm256_and_si256(set, _mm256_set1_epi8(16)))
}
