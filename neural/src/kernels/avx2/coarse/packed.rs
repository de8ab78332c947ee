//! How the formats pack 256 values of eight interleaved rows.

use super::*;

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn take(format: Format, block: &[u8], target: Target<'_>) {
    match format {
        Format::Q2K => q2_k(block, target),
        Format::Q3K => q3_k(block, target),
        Format::Q4K => q4_k(block, target),
        Format::Q5K => q5_k(block, target),
        Format::Q6K => q6_k(block, target),
        _ => iq4_xs(block, target),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q2_k(block: &[u8], target: Target<'_>) {
    let [scales, quants, d, m] = fields::<4>(block, [128, 512, 16, 16]);
    let packed = Block {
        weights: |group: usize| moved(pairs(quants, group), group / 8 % 4 * 2, 0, 3),
        scales: |run: usize| spread::<8>(low(load(vector(scales, run / 4))), run % 4, run % 4),
        minima: |pair: usize| {
            spread::<8>(high(load(vector(scales, pair / 2))), pair % 2 * 2, pair % 2 * 2 + 1)
        },
        d: halves(d),
        m: halves(m),
    };
    finish::<4, true, false>(packed, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q3_k(block: &[u8], target: Target<'_>) {
    let [bits, quants, scales, d] = fields::<4>(block, [256, 512, 96, 16]);
    let upper = load(vector(scales, 2));
    let mut four = [_mm256_setzero_si256(); 4];
    four[0] = signed_six(low(load(vector(scales, 0))), moved(upper, 0, 4, 0x30));
    four[1] = signed_six(low(load(vector(scales, 1))), moved(upper, 2, 4, 0x30));
    four[2] = signed_six(high(load(vector(scales, 0))), moved(upper, 4, 4, 0x30));
    four[3] = signed_six(high(load(vector(scales, 1))), moved(upper, 6, 4, 0x30));
    let packed = Block {
        weights: |group: usize| {
            let lower = moved(pairs(quants, group), group / 8 % 4 * 2, 0, 3);
            _mm256_or_si256(lower, moved(load(vector(bits, group % 8)), group / 8, 2, 4))
        },
        scales: |run: usize| spread::<8>(four[run / 4], run % 4, run % 4),
        minima: |pair: usize| spread::<6>(four[pair / 2], pair % 2 * 2, pair % 2 * 2 + 1),
        d: halves(d),
        m: _mm256_setzero_ps(),
    };
    finish::<4, true, true>(packed, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q4_k(block: &[u8], target: Target<'_>) {
    let [d, m, scales, quants] = fields::<4>(block, [16, 16, 96, 1024]);
    let (scales, minima) = six_bits(scales);
    let packed = Block {
        weights: |group: usize| nibbles(quants, group),
        scales: |run: usize| spread::<8>(scales[run / 4], run % 4, run % 4),
        minima: |pair: usize| spread::<8>(minima[pair / 2], pair % 2 * 2, pair % 2 * 2 + 1),
        d: halves(d),
        m: halves(m),
    };
    finish::<8, false, false>(packed, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q5_k(block: &[u8], target: Target<'_>) {
    let [d, m, scales, bits, quants] = fields::<5>(block, [16, 16, 96, 256, 1024]);
    let (scales, minima) = six_bits(scales);
    let packed = Block {
        weights: |group: usize| {
            let fifth = moved(load(vector(bits, group % 8)), group / 8, 4, 16);
            _mm256_or_si256(nibbles(quants, group), fifth)
        },
        scales: |run: usize| spread::<8>(scales[run / 4], run % 4, run % 4),
        minima: |pair: usize| spread::<8>(minima[pair / 2], pair % 2 * 2, pair % 2 * 2 + 1),
        d: halves(d),
        m: halves(m),
    };
    finish::<4, false, false>(packed, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q6_k(block: &[u8], target: Target<'_>) {
    let [lower, upper, scales, d] = fields::<4>(block, [1024, 512, 128, 16]);
    let packed = Block {
        weights: |group: usize| {
            let (half, quarter, place) = (group / 32, group / 8 % 4, group % 8);
            let both = load(vector(lower, 16 * half + 8 * (quarter % 2) + place));
            let lower = if quarter < 2 { low(both) } else { high(both) };
            _mm256_or_si256(lower, moved(pairs(upper, group), quarter * 2, 4, 0x30))
        },
        scales: |run: usize| spread::<8>(load(vector(scales, run / 4)), run % 4, run % 4),
        minima: |pair: usize| spread::<3>(load(vector(scales, pair / 2)), pair % 2 * 2, pair % 2 * 2 + 1),
        d: halves(d),
        m: _mm256_setzero_ps(),
    };
    finish::<2, true, true>(packed, target);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn iq4_xs(block: &[u8], target: Target<'_>) {
    let [d, upper, lower, quants] = fields::<4>(block, [16, 16, 32, 1024]);
    // Sixteen bits, two for each run: one row in each lane of 32 bits.
    let upper: &[u8; 16] = &upper.as_chunks().0[0];
    // SAFETY: the reference covers the 16 bytes that are read.
    let upper = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(upper.as_ptr().cast()) });
    let lower = load(vector(lower, 0));
    let packed = Block {
        weights: |group: usize| {
            let both = load(vector(quants, 4 * (group / 8) + group % 4));
            unequal(if group % 8 < 4 { low(both) } else { high(both) })
        },
        scales: |run: usize| {
            let low = _mm256_and_si256(shifted(lower, 4 * run), _mm256_set1_epi32(15));
            let high = _mm256_and_si256(shifted(upper, 2 * run), _mm256_set1_epi32(3));
            let scale = _mm256_or_si256(low, _mm256_slli_epi32::<4>(high));
            let twice = _mm256_or_si256(scale, _mm256_slli_epi32::<16>(scale));
            _mm256_sub_epi16(twice, _mm256_set1_epi16(32))
        },
        minima: |_: usize| _mm256_setzero_si256(),
        d: halves(d),
        m: _mm256_setzero_ps(),
    };
    finish::<0, false, true>(packed, target);
}

/// The fields of a block of eight rows, by their bytes.
#[inline(always)]
fn fields<const N: usize>(mut block: &[u8], sizes: [usize; N]) -> [&[u8]; N] {
    let mut fields = [&[][..]; N];
    for (field, size) in fields.iter_mut().zip(sizes) {
        (*field, block) = block.split_at(size);
    }
    fields
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(field: &[u8]) -> __m256 {
    load_halves(&field.as_chunks().0[0])
}

/// Four bits of each value of a group: runs of 32 values share their bytes by two.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(quants: &[u8], group: usize) -> __m256i {
    let both = load(vector(quants, 8 * (group / 16) + group % 8));
    if (group / 8).is_multiple_of(2) { low(both) } else { high(both) }
}

/// The bytes that have two bits of each value of a group: four runs of 32 values share them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pairs(bytes: &[u8], group: usize) -> __m256i {
    load(vector(bytes, 8 * (group / 32) + group % 8))
}

/// Moves bit `from` of each byte to bit `to`, and keeps the bits of `mask`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn moved(bytes: __m256i, from: usize, to: usize, mask: i8) -> __m256i {
    // Words are shifted: what comes from the neighbouring byte is outside the mask.
    let words = match from as i32 - to as i32 {
        -4 => _mm256_slli_epi16::<4>(bytes),
        -3 => _mm256_slli_epi16::<3>(bytes),
        -2 => _mm256_slli_epi16::<2>(bytes),
        -1 => _mm256_slli_epi16::<1>(bytes),
        0 => bytes,
        1 => _mm256_srli_epi16::<1>(bytes),
        2 => _mm256_srli_epi16::<2>(bytes),
        3 => _mm256_srli_epi16::<3>(bytes),
        4 => _mm256_srli_epi16::<4>(bytes),
        5 => _mm256_srli_epi16::<5>(bytes),
        _ => _mm256_srli_epi16::<6>(bytes),
    };
    _mm256_and_si256(words, _mm256_set1_epi8(mask))
}

/// The lanes of 32 bits, moved to the right.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn shifted(lanes: __m256i, bits: usize) -> __m256i {
    _mm256_srl_epi32(lanes, _mm_cvtsi32_si128(bits as i32))
}

/// Four lower and two upper bits, from which 32 is taken off.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn signed_six(lower: __m256i, upper: __m256i) -> __m256i {
    _mm256_sub_epi8(_mm256_or_si256(lower, upper), _mm256_set1_epi8(32))
}

/// Scales and minima of 6 bits, packed in 12 bytes: one byte for each of four runs in each lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn six_bits(stored: &[u8]) -> ([__m256i; 2], [__m256i; 2]) {
    let (scales, minima) = (load(vector(stored, 0)), load(vector(stored, 1)));
    let rest = load(vector(stored, 2));
    let six = _mm256_set1_epi8(63);
    let later_scales = _mm256_or_si256(low(rest), moved(scales, 6, 4, 0x30));
    let later_minima = _mm256_or_si256(high(rest), moved(minima, 6, 4, 0x30));
    ([_mm256_and_si256(scales, six), later_scales], [_mm256_and_si256(minima, six), later_minima])
}

/// Two of the four signed bytes of each lane as two integers of 16 bits, times 1 << (8 - SHIFT).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn spread<const SHIFT: i32>(bytes: __m256i, first: usize, second: usize) -> __m256i {
    // The bytes become the upper halves; 0x80 makes a zero of the lower ones.
    let lane = 0x0080_0080 | (first as u32) << 8 | (second as u32) << 24;
    let each =
        _mm_add_epi32(_mm_set1_epi32(lane as i32), _mm_setr_epi32(0, 0x0400_0400, 0x0800_0800, 0x0c00_0c00));
    _mm256_srai_epi16::<SHIFT>(_mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(each)))
}
