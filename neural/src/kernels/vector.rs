//! Functions on vectors of single-precision values.
//!
//! Where two slices have to be of the same length, the longer one is cut.

use std::sync::OnceLock;

use half::f16;

#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "x86_64")]
use super::instructions::Instructions;

/// Calls the function of that name in `avx2` if the processor has the instructions, or else computes `$plain`.
macro_rules! fastest {
    ($name:ident($($argument:expr),*), $plain:expr) => {{
        #[cfg(target_arch = "x86_64")]
        if Instructions::best() == Instructions::Avx2 {
            // SAFETY: the processor has the instructions.
            return unsafe { avx2::$name($($argument),*) };
        }
        $plain
    }};
}

fn cut<T>(values: &[T], length: usize) -> &[T] {
    &values[..values.len().min(length)]
}

fn cut_mut<T>(values: &mut [T], length: usize) -> &mut [T] {
    let length = values.len().min(length);
    &mut values[..length]
}

/// The sum of the products.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (cut(a, b.len()), cut(b, a.len()));
    fastest!(dot(a, b), plain_dot(a, b, |value| *value))
}

/// The sum of the products.
pub fn dot_f16(a: &[f16], b: &[f32]) -> f32 {
    let (a, b) = (cut(a, b.len()), cut(b, a.len()));
    fastest!(dot_f16(a, b), plain_dot(a, b, |value| value.to_f32()))
}

/// Eight partial sums, so that the compiler can compute them side by side.
fn plain_dot<T>(a: &[T], b: &[f32], value: impl Fn(&T) -> f32) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += value(a) * b;
        }
    }
    sums.iter().sum()
}

/// Adds `scale * values` to `sums`.
pub fn add_scaled_f16(sums: &mut [f32], scale: f32, values: &[f16]) {
    let (values, sums) = (cut(values, sums.len()), cut_mut(sums, values.len()));
    fastest!(
        add_scaled_f16(sums, scale, values),
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += scale * value.to_f32();
        }
    );
}

/// Rounds to half precision, to the nearest value.
pub fn to_f16(values: &[f32], out: &mut [f16]) {
    let (values, out) = (cut(values, out.len()), cut_mut(out, values.len()));
    fastest!(
        to_f16(values, out),
        for (value, out) in values.iter().zip(out) {
            *out = f16::from_f32(*value);
        }
    );
}

/// Rounds to half precision and back.
pub(super) fn through_f16(values: &[f32], out: &mut [f32]) {
    fastest!(
        through_f16(values, out),
        for (value, out) in values.iter().zip(out) {
            *out = f16::from_f32(*value).to_f32();
        }
    );
}

/// Replaces values by their exponentials, scaled so that their sum is 1.
///
/// Values of minus infinity become 0; if all are, none of the results is a number.
pub fn softmax(values: &mut [f32]) {
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let factor = (1.0 / exponentials(values, most)) as f32;
    for value in values {
        *value *= factor;
    }
}

fn exponentials(values: &mut [f32], most: f32) -> f64 {
    fastest!(exponentials(values, most), {
        let mut sum = 0.0;
        for value in values {
            *value = (*value - most).exp();
            sum += f64::from(*value);
        }
        sum
    })
}

/// Divides `values` by the root of the mean of their squares plus `epsilon`, and multiplies by `weights`.
pub fn rms_norm(values: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    let mean = (squares(values) / values.len() as f64) as f32;
    let factor = 1.0 / (mean + epsilon).sqrt();
    for ((value, weight), out) in values.iter().zip(weights).zip(out) {
        *out = value * factor * weight;
    }
}

fn squares(values: &[f32]) -> f64 {
    fastest!(squares(values), values.iter().map(|value| f64::from(value * value)).sum())
}

/// Replaces `gate` by `gate / (1 + exp(-gate)) * up`.
pub fn silu_times(gate: &mut [f32], up: &[f32]) {
    let (up, gate) = (cut(up, gate.len()), cut_mut(gate, up.len()));
    fastest!(
        silu_times(gate, up),
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate / (1.0 + (-*gate).exp()) * up;
        }
    );
}

/// Replaces `gate` by `gelu(gate) * up`: the Gaussian error linear unit in its form with `tanh`.
///
/// As in llama.cpp, argument and result are rounded to half precision between -10 and 10; beyond, the result is
/// 0 or the argument.
pub fn gelu_times(gate: &mut [f32], up: &[f32]) {
    let table = gelu_table();
    for (gate, up) in gate.iter_mut().zip(up) {
        let value = match *gate {
            ..=-10.0 => 0.0,
            10.0.. => *gate,
            within => table[usize::from(f16::from_f32(within).to_bits())].to_f32(),
        };
        *gate = value * up;
    }
}

/// The function for each bit pattern of half precision.
fn gelu_table() -> &'static [f16] {
    static TABLE: OnceLock<Vec<f16>> = OnceLock::new();
    TABLE.get_or_init(|| {
        (0..=u16::MAX).map(|bits| f16::from_f32(gelu(f16::from_bits(bits).to_f32()))).collect()
    })
}

fn gelu(x: f32) -> f32 {
    let root = 0.797_884_6; // The root of 2 / pi.
    0.5 * x * (1.0 + (root * x * (1.0 + 0.044_715 * x * x)).tanh())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from -`scale` to `scale` in no order.
    fn values(length: usize, scale: f32) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 % 1009) as f32 / 504.0 - 1.0) * scale).collect()
    }

    #[test]
    fn dot_products_and_scaled_sums_are_right_at_every_length() {
        for length in (0..70).chain([1000]) {
            let (a, b) = (values(length, 1.0), values(length + 3, 2.0));
            let mut halves = vec![f16::ZERO; length];
            to_f16(&a, &mut halves);
            assert!(halves.iter().zip(&a).all(|(half, a)| *half == f16::from_f32(*a)));
            let sum =
                |a: &[f32]| -> f64 { a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
            let rounded: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
            assert!((f64::from(dot(&a, &b)) - sum(&a)).abs() < 1e-4);
            assert!((f64::from(dot_f16(&halves, &b)) - sum(&rounded)).abs() < 1e-4);
            let mut sums = b[..length].to_vec();
            add_scaled_f16(&mut sums, 0.5, &halves);
            for at in 0..length {
                assert!((sums[at] - (b[at] + 0.5 * rounded[at])).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn softmax_sums_to_one_and_keeps_ratios() {
        for length in [1, 7, 8, 33] {
            let before = values(length, 50.0);
            let mut after = before.clone();
            softmax(&mut after);
            assert!((after.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let most = before.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = before.iter().map(|value| f64::from(value - most).exp()).sum();
            for (before, after) in before.iter().zip(&after) {
                let expected = f64::from(before - most).exp() / sum;
                assert!((f64::from(*after) - expected).abs() <= 3e-7 * expected + 1e-44);
            }
        }
    }

    #[test]
    fn masked_values_get_nothing() {
        let mut values =
            [1.0, f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, 0.0, 0.0, 0.0, f32::NEG_INFINITY, 1.0];
        softmax(&mut values);
        assert!([1, 3, 7].into_iter().all(|at| values[at] == 0.0), "{values:?}");
        assert!((values[0] - values[8]).abs() < 1e-7);
    }

    #[test]
    fn the_norm_of_the_result_is_that_of_the_weights() {
        let values = values(100, 3.0);
        let mut out = vec![0.0; 100];
        rms_norm(&values, &[2.0; 100], 0.0, &mut out);
        let ratio = out[1] / values[1];
        let mean = out.iter().map(|value| value * value).sum::<f32>() / 100.0;
        assert!((mean - 4.0).abs() < 1e-5);
        assert!(out.iter().zip(&values).all(|(out, value)| (out / value - ratio).abs() < 1e-5));
    }

    #[test]
    fn silu_is_right_from_end_to_end() {
        let before: Vec<f32> = (-1300..1300).map(|step| step as f32 / 10.0).collect();
        let mut after = before.clone();
        silu_times(&mut after, &vec![2.0; before.len()]);
        for (x, after) in before.iter().zip(after) {
            let x = f64::from(*x);
            let expected = 2.0 * x / (1.0 + (-x).exp());
            assert!((f64::from(after) - expected).abs() <= 4e-7 * expected.abs() + 1e-36, "{x}: {after}");
        }
    }

    #[test]
    fn gelu_is_rounded_to_half_precision_and_exact_beyond_ten() {
        let mut gate = [-11.0, -10.0, -1.0, 0.0, 1.0, 3.000_1, 10.0, 12.345_678];
        gelu_times(&mut gate, &[1.0; 8]);
        let one = f16::from_f32(gelu(1.0)).to_f32();
        let three = f16::from_f32(gelu(3.0)).to_f32();
        assert_eq!(gate, [0.0, 0.0, f16::from_f32(gelu(-1.0)).to_f32(), 0.0, one, three, 10.0, 12.345_678]);
        assert!((one - 0.841_192).abs() < 1e-3);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_exponential_function_is_good_to_two_units_in_the_last_place() {
        if Instructions::best() != Instructions::Avx2 {
            return;
        }
        for step in -10_600..=9_000 {
            let mut values = [step as f32 / 100.0 + 0.001_234; 8];
            let expected = f64::from(values[0]).exp();
            // SAFETY: the processor has the instructions.
            unsafe { avx2::exponentials(&mut values, 0.0) };
            let unit = (expected * f64::from(f32::EPSILON)).max(f64::from(f32::from_bits(1)));
            let right = (f64::from(values[0]) - expected).abs() <= 2.0 * unit;
            assert!(
                right || expected > f64::from(f32::MAX) && values[0] == f32::INFINITY,
                "{step}: {}",
                values[0]
            );
        }
    }
}
