//! Products of f32 rows with a weight matrix, on the widest vectors that the processor has.
//!
//! The matrix is laid out once, in panels of a few outputs, so that the inner loop reads it in order and keeps a tile of
//! sums in registers. The instruction set is chosen at run time by `pulp`: what it runs must be inlined whole, so there are
//! no closures around vectors here.

use pulp::{Arch, Simd, WithSimd};

use super::vector::{self, Activation};

/// Rows of inputs and vectors of outputs whose sums stay in registers together: 12 of the 16 that AVX2 has.
pub(super) const ROWS: usize = 6;
const VECTORS: usize = 2;

/// A matrix of `outputs` x `inputs` and a bias, laid out for [`Panels::multiply`].
#[derive(Debug, Default)]
pub(super) struct Panels {
    outputs: usize,
    inputs: usize,
    /// Outputs of one panel.
    width: usize,
    /// Panel after panel; in each, input after input, the weights of its outputs (zero past the last output).
    values: Vec<f32>,
    /// One for each output, zero past the last.
    bias: Vec<f32>,
}

/// Rows of inputs, interleaved by [`ROWS`] for the inner loop. Kept by the caller to save the allocation.
#[derive(Debug, Default)]
pub(super) struct Tiles {
    rows: usize,
    inputs: usize,
    values: Vec<[f32; ROWS]>,
}

impl Panels {
    /// From row-major weights (`outputs` x `inputs`). Both lengths were checked by the caller.
    pub(super) fn new(weights: &[f32], outputs: usize, bias: &[f32]) -> Panels {
        let mut panels = Panels::default();
        panels.set_rows(weights, weights.len() / outputs, outputs, weights.len() / outputs);
        panels.bias[..outputs].copy_from_slice(bias);
        panels
    }

    /// Takes the matrix from `outputs` rows of `values` that lie `stride` apart; no bias.
    pub(super) fn set_rows(&mut self, values: &[f32], stride: usize, outputs: usize, inputs: usize) {
        self.clear(outputs, inputs);
        for (output, row) in values.chunks(stride).take(outputs).enumerate() {
            let start = output / self.width * self.width * inputs + output % self.width;
            for (to, from) in self.values[start..].iter_mut().step_by(self.width).zip(&row[..inputs]) {
                *to = *from;
            }
        }
    }

    /// Takes the transposed matrix: `inputs` rows of `outputs` values that lie `stride` apart; no bias.
    pub(super) fn set_columns(&mut self, values: &[f32], stride: usize, outputs: usize, inputs: usize) {
        self.clear(outputs, inputs);
        let width = self.width;
        for (panel, first) in self.values.chunks_mut(width * inputs).zip((0..outputs).step_by(width)) {
            let count = width.min(outputs - first);
            for (to, row) in panel.chunks_mut(width).zip(values.chunks(stride)) {
                to[..count].copy_from_slice(&row[first..first + count]);
            }
        }
    }

    fn clear(&mut self, outputs: usize, inputs: usize) {
        self.width = VECTORS * vector::lanes();
        (self.outputs, self.inputs) = (outputs, inputs);
        let padded = outputs.next_multiple_of(self.width);
        self.values.clear();
        self.values.resize(padded * inputs, 0.0);
        self.bias.clear();
        self.bias.resize(padded, 0.0);
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out[row] = activation(matrix * input[row] + bias)` for each row of the tiles; rows of `out` lie `stride` apart.
    pub(super) fn multiply(&self, input: &Tiles, out: &mut [f32], stride: usize, activation: Activation) {
        debug_assert_eq!(self.inputs, input.inputs);
        debug_assert_eq!(out.len().div_ceil(stride), input.rows);
        Arch::new().dispatch(Multiply { panels: self, input, out, stride, activation });
    }
}

impl Tiles {
    /// Takes rows of `inputs` values that lie `stride` apart; as many as `values` holds.
    pub(super) fn set(&mut self, values: &[f32], stride: usize, inputs: usize) {
        (self.rows, self.inputs) = (values.len().div_ceil(stride), inputs);
        self.values.clear();
        self.values.resize(self.rows.div_ceil(ROWS) * inputs, [0.0; ROWS]);
        for (tile, rows) in self.values.chunks_mut(inputs).zip(values.chunks(ROWS * stride)) {
            for (index, row) in rows.chunks(stride).enumerate() {
                for (to, from) in tile.iter_mut().zip(&row[..inputs]) {
                    to[index] = *from;
                }
            }
        }
    }
}

struct Multiply<'a> {
    panels: &'a Panels,
    input: &'a Tiles,
    out: &'a mut [f32],
    stride: usize,
    activation: Activation,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Multiply { panels: matrix, input, out, stride, activation } = self;
        let width = matrix.width;
        let panels = matrix.values.chunks_exact(width * matrix.inputs).zip(matrix.bias.chunks_exact(width));
        for (index, (panel, bias)) in panels.enumerate() {
            let first = index * width;
            let count = width.min(matrix.outputs - first);
            let (panel, _) = S::as_simd_f32s(panel).0.as_chunks::<VECTORS>();
            let bias = S::as_simd_f32s(bias).0;
            for (tile, rows) in input.values.chunks_exact(input.inputs).zip(out.chunks_mut(ROWS * stride)) {
                let sums = tile_product(simd, panel, tile);
                for (row, mut sums) in rows.chunks_mut(stride).zip(sums) {
                    for (sum, bias) in sums.iter_mut().zip(bias) {
                        *sum = activation.apply(simd, simd.add_f32s(*sum, *bias));
                    }
                    store(simd, &mut row[first..first + count], sums);
                }
            }
        }
    }
}

/// Sums over the inputs of one panel and one tile of rows.
#[inline(always)]
fn tile_product<S: Simd>(
    simd: S,
    panel: &[[S::f32s; VECTORS]],
    tile: &[[f32; ROWS]],
) -> [[S::f32s; VECTORS]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (weights, inputs) in panel.iter().zip(tile) {
        for (sums, input) in sums.iter_mut().zip(inputs) {
            let input = simd.splat_f32s(*input);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(input, *weights, *sum);
            }
        }
    }
    sums
}

/// Writes as many values as `to` has room for.
#[inline(always)]
fn store<S: Simd>(simd: S, to: &mut [f32], values: [S::f32s; VECTORS]) {
    if let Some((to, _)) = S::as_mut_simd_f32s(to).0.split_at_mut_checked(VECTORS) {
        to.copy_from_slice(&values);
        return;
    }
    for (to, values) in to.chunks_mut(S::F32_LANES).zip(values) {
        simd.partial_store_f32s(to, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn products_of_every_odd_size_equal_the_plain_sums() {
        for (rows, inputs, outputs) in
            [(1, 1, 1), (5, 7, 3), (6, 16, 16), (7, 33, 17), (13, 40, 50), (48, 9, 33)]
        {
            let (input, weights) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
            let bias = numbers(outputs, 3);
            let mut tiles = Tiles::default();
            tiles.set(&input, inputs, inputs);
            let mut out = vec![f32::NAN; rows * outputs];
            Panels::new(&weights, outputs, &bias).multiply(&tiles, &mut out, outputs, Activation::Identity);
            for row in 0..rows {
                for output in 0..outputs {
                    let pairs = input[row * inputs..].iter().zip(&weights[output * inputs..]).take(inputs);
                    let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let wanted = sum + f64::from(bias[output]);
                    let found = f64::from(out[row * outputs + output]);
                    assert!(
                        (found - wanted).abs() < 1e-5,
                        "{rows}x{inputs}x{outputs}: {found} is not {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn rows_that_lie_apart_and_transposed_matrices_give_the_same_products() {
        let (rows, inputs, outputs, stride) = (8, 10, 19, 25);
        let (input, weights) = (numbers(rows * stride, 4), numbers(outputs * inputs, 5));
        let transposed: Vec<f32> =
            (0..inputs * outputs).map(|at| weights[at % outputs * inputs + at / outputs]).collect();
        let mut tiles = Tiles::default();
        tiles.set(&input, stride, inputs);
        let (mut by_rows, mut by_columns) = (Panels::default(), Panels::default());
        by_rows.set_rows(&weights, inputs, outputs, inputs);
        by_columns.set_columns(&transposed, outputs, outputs, inputs);
        assert_eq!(by_rows.values, by_columns.values);
        let mut apart = vec![9.0; rows * stride];
        by_rows.multiply(&tiles, &mut apart, stride, Activation::Identity);
        let mut packed = vec![0.0; rows * outputs];
        by_columns.multiply(&tiles, &mut packed, outputs, Activation::Identity);
        for (apart, packed) in apart.chunks(stride).zip(packed.chunks(outputs)) {
            assert_eq!(apart[..outputs], *packed);
            assert_eq!(apart[outputs..], vec![9.0; stride - outputs]);
        }
    }
}
