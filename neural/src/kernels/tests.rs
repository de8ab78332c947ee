//! All formats, instruction sets and shapes against plain sums in double precision.

use half::{bf16, f16};

use super::chunk::{Chunk, ROWS};
use super::format::{Family, Format};
use super::instructions::Instructions;
use super::scratch::Tokens;
use super::*;

const FORMATS: [Format; 15] = [
    Format::F32,
    Format::F16,
    Format::Bf16,
    Format::Q4_0,
    Format::Q4_1,
    Format::Q5_0,
    Format::Q5_1,
    Format::Q8_0,
    Format::Q2K,
    Format::Q3K,
    Format::Q4K,
    Format::Q5K,
    Format::Q6K,
    Format::Iq4Nl,
    Format::Iq4Xs,
];

/// A small generator of numbers that look random, the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// From -1 to 1.
    fn value(&mut self) -> f32 {
        self.next() as f32 / (1_u32 << 30) as f32 - 1.0
    }
}

/// Random bytes with small scales of half precision where the format has them.
fn weights(format: Format, rows: usize, columns: usize, numbers: &mut Numbers) -> Vec<u8> {
    let (values, size) = format.block();
    let mut bytes = Vec::with_capacity(rows * columns / values * size);
    for _ in 0..rows * columns / values {
        match format {
            Format::F32 => bytes.extend(numbers.value().to_le_bytes()),
            Format::F16 => bytes.extend(f16::from_f32(numbers.value()).to_le_bytes()),
            Format::Bf16 => bytes.extend(bf16::from_f32(numbers.value()).to_le_bytes()),
            _ => {
                for (at, &(length, unit)) in format.fields().iter().enumerate() {
                    // Of IQ4_XS, the second field of two bytes is not a scale.
                    if unit == 2 && !(format == Format::Iq4Xs && at == 1) {
                        bytes.extend(f16::from_f32(numbers.value() / 64.0).to_le_bytes());
                    } else {
                        bytes.extend((0..length).map(|_| numbers.next() as u8));
                    }
                }
            }
        }
    }
    bytes
}

/// All instruction sets that can be run here.
fn sets() -> Vec<Instructions> {
    let mut sets = vec![Instructions::Portable, Instructions::best()];
    sets.dedup();
    sets
}

/// The values of all rows, by the definition of the format.
fn values(format: Format, bytes: &[u8]) -> Vec<f32> {
    let (values, size) = format.block();
    let mut out = vec![0.0; bytes.len() / size * values];
    for (block, out) in bytes.chunks(size).zip(out.chunks_mut(values)) {
        match format {
            Format::F32 => out[0] = f32::from_le_bytes(block.try_into().unwrap()),
            Format::F16 => out[0] = f16::from_le_bytes(block.try_into().unwrap()).to_f32(),
            Format::Bf16 => out[0] = bf16::from_le_bytes(block.try_into().unwrap()).to_f32(),
            _ => reference::dequantise(format, block, out),
        }
    }
    out
}

#[test]
fn a_row_of_a_matrix_has_the_values_that_its_format_defines() {
    let mut numbers = Numbers(1);
    for format in FORMATS {
        let (rows, columns) = (11, 512);
        let bytes = weights(format, rows, columns, &mut numbers);
        let expected = values(format, &bytes);
        let matrix = Matrix::new(format, rows, columns, bytes).unwrap();
        let mut out = vec![0.0; columns];
        for (index, expected) in expected.chunks(columns).enumerate() {
            matrix.row(index, &mut out);
            assert_eq!(out, expected, "{} row {index}", format.name());
        }
    }
}

#[test]
fn all_instruction_sets_unpack_the_same_integers_and_scales() {
    let mut numbers = Numbers(2);
    for format in FORMATS.into_iter().filter(|format| format.family() != Family::Float) {
        let bytes = weights(format, ROWS, 768, &mut numbers);
        let matrix = Matrix::new(format, ROWS, 768, bytes).unwrap();
        for chunk in 0..3 {
            for blocks in [8, 3] {
                let unpack = |instructions: Instructions| {
                    let mut out = Chunk::ZERO;
                    instructions.unpack(format, matrix.panel(0), chunk, blocks, &mut out);
                    out
                };
                let expected = unpack(Instructions::Portable);
                assert!(unpack(Instructions::best()) == expected, "{} chunk {chunk}", format.name());
            }
        }
    }
}

#[test]
fn all_instruction_sets_round_the_input_to_the_same_integers() {
    let mut numbers = Numbers(3);
    for scale in [0.0, 1e-8, 1.0, 1e8] {
        let values: [f32; 256] = std::array::from_fn(|_| numbers.value() * scale);
        let (best, portable) = (Instructions::best(), Instructions::Portable);
        assert_eq!(best.quantise_coarse(&values), portable.quantise_coarse(&values));
        for length in [32, 96, 256] {
            let values = &values[..length];
            assert_eq!(best.quantise_fine(values), portable.quantise_fine(values));
        }
    }
}

/// The product in double precision, and how far rounding may take the engine from it.
///
/// Rounding to 8 bits moves an input by at most half a step of its block (its largest magnitude / 127), scales of
/// half precision by another 2^-11 of it; rounding to the float formats by 2^-8 (BF16) or less.
/// Sums in single precision are off by 2^-24 of all magnitudes for each of some dozens of additions, which the
/// last term covers.
fn expected(format: Format, weights: &[f32], input: &[f32]) -> (f64, f64) {
    let (mut sum, mut bound, mut magnitudes) = (0.0, 0.0, 0.0);
    let block = format.block().0.max(8);
    for (weights, input) in weights.chunks(block).zip(input.chunks(block)) {
        let most = f64::from(input.iter().fold(0.0, |most: f32, value| most.max(value.abs())));
        for (weight, input) in weights.iter().zip(input) {
            let (weight, input) = (f64::from(*weight), f64::from(*input));
            let error = match format.family() {
                Family::Float => input.abs() / 256.0,
                Family::Fine | Family::Coarse => most * (0.501 / 127.0 + 1.0 / 2048.0),
            };
            sum += weight * input;
            bound += weight.abs() * error;
            magnitudes += (weight * input).abs();
        }
    }
    (sum, bound + 1e-5 * magnitudes)
}

fn check(format: Format, rows: usize, columns: usize, counts: &[usize], numbers: &mut Numbers) {
    let team = Team::new(2);
    let bytes = weights(format, rows, columns, numbers);
    let weights = values(format, &bytes);
    let matrix = Matrix::new(format, rows, columns, bytes).unwrap();
    for &count in counts {
        let input: Vec<f32> = (0..count * columns).map(|_| numbers.value() * numbers.value()).collect();
        let tokens = Tokens { input: &input, count, columns };
        for instructions in sets() {
            let mut output = vec![f32::NAN; count * rows];
            let outputs = &mut [&mut output[..]];
            product::multiply(&team, instructions, &[&matrix], tokens, outputs, &mut Scratch::default());
            for (at, value) in output.iter().enumerate() {
                let weights = &weights[at % rows * columns..][..columns];
                let (expected, bound) = expected(format, weights, &input[at / rows * columns..][..columns]);
                let error = (f64::from(*value) - expected).abs();
                let place = format!("{} {rows}x{columns}x{count} {instructions:?} at {at}", format.name());
                assert!(error <= bound, "{place}: {value} instead of {expected} +- {bound}");
            }
        }
    }
}

#[test]
fn products_of_all_formats_are_right() {
    let mut numbers = Numbers(4);
    for format in FORMATS {
        check(format, 19, 768, &[1, 2, 3, 4, 5], &mut numbers);
    }
}

#[test]
fn products_of_odd_sizes_are_right() {
    let mut numbers = Numbers(5);
    for rows in [1, 7, 8, 9, 40] {
        check(Format::Q8_0, rows, 32, &[1, 6, 9], &mut numbers);
        check(Format::Q5_1, rows, 288, &[1, 7], &mut numbers);
        check(Format::Q6K, rows, 256, &[1, 8], &mut numbers);
        check(Format::F16, rows, 13, &[1, 2, 4], &mut numbers);
        check(Format::F32, rows, 7, &[1, 3], &mut numbers);
    }
    check(Format::Q4K, 77, 256, &[131, 300], &mut numbers);
    check(Format::Bf16, 41, 40, &[131], &mut numbers);
}

#[test]
fn instruction_sets_differ_by_the_order_of_sums_only() {
    let mut numbers = Numbers(6);
    let team = Team::new(2);
    for format in FORMATS {
        let (rows, columns, count) = (24, 1024, 5);
        let bytes = weights(format, rows, columns, &mut numbers);
        let magnitudes: Vec<f32> = values(format, &bytes).iter().map(|value| value.abs()).collect();
        let matrix = Matrix::new(format, rows, columns, bytes).unwrap();
        let input: Vec<f32> = (0..count * columns).map(|_| numbers.value()).collect();
        let tokens = Tokens { input: &input, count, columns };
        let outputs = [Instructions::Portable, Instructions::best()].map(|instructions| {
            let mut output = vec![0.0; count * rows];
            let scratch = &mut Scratch::default();
            product::multiply(&team, instructions, &[&matrix], tokens, &mut [&mut output[..]], scratch);
            output
        });
        for at in 0..count * rows {
            let sum: f32 = magnitudes[at % rows * columns..][..columns].iter().sum();
            let difference = (outputs[0][at] - outputs[1][at]).abs();
            assert!(difference <= 2e-6 * sum, "{} at {at}: {difference} of {sum}", format.name());
        }
    }
}

#[test]
fn several_matrices_of_different_formats_share_one_input() {
    let mut numbers = Numbers(7);
    let team = Team::new(3);
    let formats = [Format::Q4K, Format::Q6K, Format::Q8_0, Format::F16];
    let matrices: Vec<_> = (formats.iter().enumerate())
        .map(|(index, &format)| {
            let rows = 30 + 100 * index;
            Matrix::new(format, rows, 512, weights(format, rows, 512, &mut numbers)).unwrap()
        })
        .collect();
    let input: Vec<f32> = (0..2 * 512).map(|_| numbers.value()).collect();
    let mut scratch = Scratch::default();
    let mut together: Vec<Vec<f32>> = matrices.iter().map(|matrix| vec![0.0; 2 * matrix.rows()]).collect();
    let mut outputs: Vec<&mut [f32]> = together.iter_mut().map(|output| &mut output[..]).collect();
    team.multiply(&matrices.iter().collect::<Vec<_>>(), &input, &mut outputs, &mut scratch);
    for (matrix, together) in matrices.iter().zip(&together) {
        let mut alone = vec![0.0; 2 * matrix.rows()];
        team.multiply(&[matrix], &input, &mut [&mut alone[..]], &mut scratch);
        assert_eq!(&alone, together);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads_or_of_tokens() {
    let mut numbers = Numbers(8);
    let bytes = weights(Format::Q4K, 1000, 1024, &mut numbers);
    let matrix = Matrix::new(Format::Q4K, 1000, 1024, bytes).unwrap();
    let input: Vec<f32> = (0..33 * 1024).map(|_| numbers.value()).collect();
    let product = |threads: usize, tokens: usize| {
        let mut output = vec![0.0; tokens * 1000];
        let mut scratch = Scratch::default();
        Team::new(threads).multiply(
            &[&matrix],
            &input[..tokens * 1024],
            &mut [&mut output[..]],
            &mut scratch,
        );
        output
    };
    let expected = product(1, 33);
    assert_eq!(product(4, 33), expected);
    assert_eq!(product(2, 1), expected[..1000]);
    assert_eq!(product(1, 6), expected[..6000]);
}

#[test]
fn an_input_that_is_no_number_makes_no_number() {
    let mut numbers = Numbers(9);
    let team = Team::new(1);
    for format in FORMATS {
        let bytes = weights(format, 9, 512, &mut numbers);
        let matrix = Matrix::new(format, 9, 512, bytes).unwrap();
        let mut input = vec![1.0; 2 * 512];
        input[512 + 300] = f32::NAN;
        let tokens = Tokens { input: &input, count: 2, columns: 512 };
        for instructions in sets() {
            let mut output = [0.0; 2 * 9];
            let scratch = &mut Scratch::default();
            product::multiply(&team, instructions, &[&matrix], tokens, &mut [&mut output[..]], scratch);
            assert!(output[..9].iter().all(|value| value.is_finite()), "{}", format.name());
            assert!(output[9..].iter().all(|value| value.is_nan()), "{}", format.name());
        }
    }
}
