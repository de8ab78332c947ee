//! Functions of vectors: activations, softmax, layer normalisation. f32, vectorised through `pulp`.

use pulp::{Arch, Simd, WithSimd};

/// What follows a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Identity,
    /// `x * (1 + erf(x / sqrt(2))) / 2`
    Gelu,
    /// Its approximation by tanh: `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`
    GeluTanh,
    Relu,
    Tanh,
}

/// Numbers that one vector holds on this machine.
pub(super) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// `row = softmax(row * scale + bias)`; a row without a bias gives an empty one.
pub(super) fn softmax(row: &mut [f32], scale: f32, bias: &[f32]) {
    for (value, bias) in row.iter_mut().zip(bias) {
        *value += bias / scale;
    }
    Arch::new().dispatch(Softmax { row, scale });
}

/// `row = weight * (row - mean) / sqrt(variance + epsilon) + bias`, after `added` was added to it.
pub(super) fn layer_norm(row: &mut [f32], added: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    Arch::new().dispatch(LayerNorm { row, added, weight, bias, epsilon });
}

impl Activation {
    #[inline(always)]
    pub(super) fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        match self {
            Activation::Identity => x,
            Activation::Relu => simd.max_f32s(x, simd.splat_f32s(0.0)),
            Activation::Tanh => tanh(simd, x),
            Activation::Gelu => {
                let erf = erf(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2)));
                let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
                simd.mul_add_e_f32s(half, erf, half)
            }
            Activation::GeluTanh => {
                let cube = simd.mul_f32s(simd.mul_f32s(x, x), x);
                let inner = simd.mul_add_e_f32s(cube, simd.splat_f32s(0.044_715), x);
                let tanh = tanh(simd, simd.mul_f32s(inner, simd.splat_f32s(0.797_884_6)));
                let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
                simd.mul_add_e_f32s(half, tanh, half)
            }
        }
    }
}

/// Value of the polynomial whose coefficients come highest power first.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::f32s, coefficients: &[f32]) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    for coefficient in coefficients {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*coefficient));
    }
    sum
}

/// The error function as `x P(x^2) / Q(x^2)`, fitted to least largest error on [0, 3.9]: 1.5e-8, in f32 arithmetic 4e-7.
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const P: [f32; 6] = [
        2.050_407e-6,
        2.874_548e-4,
        3.836_768e-3,
        5.296_659e-2,
        1.919_384_9e-1,
        std::f32::consts::FRAC_2_SQRT_PI,
    ];
    const Q: [f32; 6] = [3.823_081_8e-5, 1.181_708e-3, 1.510_899e-2, 1.147_571_6e-1, 5.034_328e-1, 1.0];
    let x = simd.max_f32s(simd.min_f32s(x, simd.splat_f32s(3.9)), simd.splat_f32s(-3.9));
    let square = simd.mul_f32s(x, x);
    let above = simd.mul_f32s(x, polynomial(simd, square, &P));
    simd.div_f32s(above, polynomial(simd, square, &Q))
}

/// `1 - 2 / (exp(2x) + 1)`
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let above = simd.add_f32s(exp(simd, simd.add_f32s(x, x)), simd.splat_f32s(1.0));
    simd.sub_f32s(simd.splat_f32s(1.0), simd.div_f32s(simd.splat_f32s(2.0), above))
}

/// The exponential function: two to a whole power times a polynomial on [-ln(2)/2, ln(2)/2]. Arguments below -87 count as -87.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// 1.5 * 2^23: a number near it has its whole part in its lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    const SERIES: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let x = simd.max_f32s(simd.min_f32s(x, simd.splat_f32s(88.0)), simd.splat_f32s(-87.0));
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(SHIFT));
    let power = simd.sub_f32s(shifted, simd.splat_f32s(SHIFT));
    let rest = simd.mul_add_e_f32s(power, simd.splat_f32s(-LN_2.0), x);
    let rest = simd.mul_add_e_f32s(power, simd.splat_f32s(-LN_2.1), rest);
    let exponent = simd
        .wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(f32::MANTISSA_DIGITS - 1));
    let scale = simd.transmute_f32s_u32s(simd.add_u32s(exponent, simd.splat_u32s(1f32.to_bits())));
    simd.mul_f32s(polynomial(simd, rest, &SERIES), scale)
}

struct Softmax<'a> {
    row: &'a mut [f32],
    scale: f32,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (vectors, rest) = S::as_mut_simd_f32s(self.row);
        let mut largest = simd.splat_f32s(f32::MIN);
        for vector in vectors.iter() {
            largest = simd.max_f32s(largest, *vector);
        }
        let largest = rest.iter().fold(simd.reduce_max_f32s(largest), |largest, value| largest.max(*value));
        let (scale, shift) = (simd.splat_f32s(self.scale), simd.splat_f32s(-largest * self.scale));
        let mut sum = simd.splat_f32s(0.0);
        for vector in vectors.iter_mut() {
            *vector = exp(simd, simd.mul_add_e_f32s(*vector, scale, shift));
            sum = simd.add_f32s(sum, *vector);
        }
        let mut sum = simd.reduce_sum_f32s(sum);
        for value in rest.iter_mut() {
            *value = ((*value - largest) * self.scale).exp();
            sum += *value;
        }
        let factor = 1.0 / sum;
        for vector in vectors {
            *vector = simd.mul_f32s(*vector, simd.splat_f32s(factor));
        }
        for value in rest {
            *value *= factor;
        }
    }
}

struct LayerNorm<'a> {
    row: &'a mut [f32],
    added: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
}

impl WithSimd for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let length = self.row.len() as f32;
        let (row, row_rest) = S::as_mut_simd_f32s(self.row);
        let (added, added_rest) = S::as_simd_f32s(self.added);
        let (weight, weight_rest) = S::as_simd_f32s(self.weight);
        let (bias, bias_rest) = S::as_simd_f32s(self.bias);

        let mut sum = simd.splat_f32s(0.0);
        for (value, added) in row.iter_mut().zip(added) {
            *value = simd.add_f32s(*value, *added);
            sum = simd.add_f32s(sum, *value);
        }
        let mut sum = simd.reduce_sum_f32s(sum);
        for (value, added) in row_rest.iter_mut().zip(added_rest) {
            *value += added;
            sum += *value;
        }
        let mean = sum / length;

        let mut squares = simd.splat_f32s(0.0);
        for value in row.iter() {
            let distance = simd.sub_f32s(*value, simd.splat_f32s(mean));
            squares = simd.mul_add_e_f32s(distance, distance, squares);
        }
        let rest: f32 = row_rest.iter().map(|value| (value - mean) * (value - mean)).sum();
        let variance = (simd.reduce_sum_f32s(squares) + rest) / length;
        let factor = 1.0 / (variance + self.epsilon).sqrt();

        let (shift, scale) = (simd.splat_f32s(mean), simd.splat_f32s(factor));
        for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            let normal = simd.mul_f32s(simd.sub_f32s(*value, shift), scale);
            *value = simd.mul_add_e_f32s(normal, *weight, *bias);
        }
        for ((value, weight), bias) in row_rest.iter_mut().zip(weight_rest).zip(bias_rest) {
            *value = (*value - mean) * factor * weight + bias;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Map<'a>(&'a mut [f32], Activation);

    impl WithSimd for Map<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for value in S::as_mut_simd_f32s(self.0).0 {
                *value = self.1.apply(simd, *value);
            }
        }
    }

    /// By its power series, good to 1e-12 for |x| <= 4.
    fn exact_erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Tanh => x.tanh(),
            Activation::Gelu if x.abs() > 5.6 => x.max(0.0),
            Activation::Gelu => x * (1.0 + exact_erf(x / 2f64.sqrt())) / 2.0,
            Activation::GeluTanh => {
                x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()) / 2.0
            }
        }
    }

    #[test]
    fn activations_are_exact_to_a_few_units_in_the_last_place() {
        use Activation::{Gelu, GeluTanh, Identity, Relu, Tanh};
        for activation in [Identity, Gelu, GeluTanh, Relu, Tanh] {
            let inputs: Vec<f32> = (-4000..4000).map(|step| step as f32 / 400.0).collect();
            let mut outputs = inputs.clone();
            Arch::new().dispatch(Map(&mut outputs, activation));
            for (x, found) in inputs.iter().zip(outputs) {
                let wanted = exact(activation, f64::from(*x));
                let error = (f64::from(found) - wanted).abs();
                assert!(
                    error < 5e-7 * (1.0 + f64::from(x.abs())),
                    "{activation:?}({x}) = {found}, not {wanted}"
                );
            }
        }
    }

    #[test]
    fn softmax_of_any_length_sums_to_one_and_equals_the_plain_one() {
        for length in [1, 2, 7, 8, 9, 100] {
            let mut row: Vec<f32> = (0..length).map(|at| (at * 37 % 41) as f32 - 20.0).collect();
            let bias: Vec<f32> = (0..length).map(|at| at as f32 / 50.0).collect();
            let powers: Vec<f64> =
                row.iter().zip(&bias).map(|(x, b)| (f64::from(*x) * 0.3 + f64::from(*b)).exp()).collect();
            let sum: f64 = powers.iter().sum();
            softmax(&mut row, 0.3, &bias);
            for (found, power) in row.iter().zip(&powers) {
                assert!(
                    (f64::from(*found) - power / sum).abs() < 1e-6,
                    "{length}: {found}, not {}",
                    power / sum
                );
            }
        }
    }

    #[test]
    fn softmax_survives_scores_of_any_size() {
        let mut row = vec![1e30, -1e30, 1e30, 0.0, -3e38, 5.0, 1.0, 2.0, 3.0];
        softmax(&mut row, 1.0, &[]);
        assert!((row[0] - 0.5).abs() < 1e-6 && (row[2] - 0.5).abs() < 1e-6, "{row:?}");
    }

    #[test]
    fn layer_norm_equals_the_plain_one() {
        for length in [1usize, 5, 8, 19, 64] {
            let row: Vec<f32> = (0..length).map(|at| (at * 7 % 5) as f32 * 0.3).collect();
            let added: Vec<f32> = (0..length).map(|at| at as f32 * 0.01 - 1.0).collect();
            let (weight, bias) = (vec![1.5; length], vec![-0.25; length]);
            let sums: Vec<f64> = row.iter().zip(&added).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            let mean = sums.iter().sum::<f64>() / length as f64;
            let variance = sums.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / length as f64;
            let mut found = row.clone();
            layer_norm(&mut found, &added, &weight, &bias, 1e-5);
            for (found, sum) in found.iter().zip(&sums) {
                let wanted = (sum - mean) / (variance + 1e-5).sqrt() * 1.5 - 0.25;
                assert!((f64::from(*found) - wanted).abs() < 1e-4, "{length}: {found}, not {wanted}");
            }
        }
    }
}
