//! Products of one input with matrices, computed by a team.

use std::ops::Range;

use super::chunk::{Chunk, ROWS, WIDTH};
use super::instructions::Instructions;
use super::matrix::Matrix;
use super::scratch::{Rounded, Scratch, Tokens};
use super::team::{Disjoint, Team};

/// Most tokens of a part: enough to pay for the unpacking of the weights, few enough for the nearest cache.
const TOKENS: usize = 128;
/// Panels that are unpacked together, so that a token's input is read once for all of them.
const PANELS: usize = 4;
/// Work of a part below which handing it out costs more than it saves, in bytes of weights times tokens.
const LEAST_WORK: usize = 16 << 10;
/// The work of a part above which the parts of a product would end too unevenly.
const MOST_WORK: usize = 256 << 10;

impl Team {
    /// The products of one input with several matrices, such as query, key and value.
    ///
    /// `input` has tokens x columns values, token after token; `outputs[i]` gets tokens x `matrices[i].rows()`
    /// values. The input is rounded as the format of the matrix asks (see the module).
    ///
    /// # Panics
    /// When the sizes do not fit each other.
    pub fn multiply(
        &self,
        matrices: &[&Matrix],
        input: &[f32],
        outputs: &mut [&mut [f32]],
        scratch: &mut Scratch,
    ) {
        let Some(columns) = matrices.first().map(|matrix| matrix.columns()) else { return };
        let count = input.len() / columns;
        assert_eq!(matrices.len(), outputs.len(), "a product needs an output for each matrix");
        assert_eq!(count * columns, input.len(), "the input has to have {columns} values for each token");
        for (matrix, output) in matrices.iter().zip(&*outputs) {
            assert_eq!(matrix.columns(), columns, "the matrices have to have as many columns as the input");
            assert_eq!(output.len(), count * matrix.rows(), "an output has a value for each token and row");
        }
        if count > 0 {
            let tokens = Tokens { input, count, columns };
            multiply(self, Instructions::best(), matrices, tokens, outputs, scratch);
        }
    }
}

/// One of the products, and how it is cut into parts.
struct Product<'a> {
    matrix: &'a Matrix,
    rounded: Rounded<'a>,
    output: Disjoint<'a, f32>,
    tokens: usize,
    panels_of_part: usize,
    token_parts: usize,
    parts: Range<usize>,
}

pub(super) fn multiply(
    team: &Team,
    instructions: Instructions,
    matrices: &[&Matrix],
    tokens: Tokens<'_>,
    outputs: &mut [&mut [f32]],
    scratch: &mut Scratch,
) {
    scratch.round(team, instructions, matrices.iter().map(|matrix| matrix.format()), tokens);
    let bytes: usize = matrices.iter().map(|matrix| matrix.rows() * matrix.row_bytes()).sum();
    let share = (bytes * tokens.count / (8 * team.threads())).clamp(LEAST_WORK, MOST_WORK);
    let mut parts = 0;
    let mut products = Vec::with_capacity(matrices.len());
    for (&matrix, output) in matrices.iter().zip(outputs) {
        let rounded = scratch.rounded(matrix.format(), tokens);
        let product = Product::new(matrix, rounded, output, tokens.count, share, parts);
        parts = product.parts.end;
        products.push(product);
    }
    team.run(parts, &|part| {
        if let Some(product) = products.iter().find(|product| product.parts.contains(&part)) {
            product.compute(instructions, part - product.parts.start);
        }
    });
}

impl<'a> Product<'a> {
    /// `share`: the work of a part, in bytes of weights times tokens; `first`: the number of its first part.
    fn new(
        matrix: &'a Matrix,
        rounded: Rounded<'a>,
        output: &'a mut [f32],
        tokens: usize,
        share: usize,
        first: usize,
    ) -> Product<'a> {
        let token_parts = tokens.div_ceil(TOKENS);
        let panel = ROWS * matrix.row_bytes() * tokens.min(TOKENS);
        let panels_of_part = (share / panel).max(if tokens >= 16 { PANELS } else { 1 });
        let parts = token_parts * matrix.panels().div_ceil(panels_of_part);
        let output = Disjoint::new(output);
        Product { matrix, rounded, output, tokens, panels_of_part, token_parts, parts: first..first + parts }
    }

    fn compute(&self, instructions: Instructions, part: usize) {
        let tokens = part % self.token_parts * TOKENS;
        let tokens = tokens..self.tokens.min(tokens + TOKENS);
        let panels = part / self.token_parts * self.panels_of_part;
        let panels = panels..self.matrix.panels().min(panels + self.panels_of_part);
        if let Rounded::Float(input) = self.rounded {
            return self.floats(instructions, panels, tokens, input);
        }
        if self.tokens == 1 {
            return self.one_token(instructions, panels);
        }
        for first in panels.clone().step_by(PANELS) {
            let panels = first..panels.end.min(first + PANELS);
            if tokens.len() <= 4 {
                self.integers::<4>(instructions, panels, tokens.clone());
            } else {
                self.integers::<TOKENS>(instructions, panels, tokens.clone());
            }
        }
    }

    /// Reads one panel after the other; nothing is unpacked for later.
    fn one_token(&self, instructions: Instructions, panels: Range<usize>) {
        for panel in panels {
            let mut sums = [0.0; ROWS];
            instructions.one_token(self.matrix.format(), self.matrix.panel(panel), self.rounded, &mut sums);
            let rows = panel * ROWS..self.matrix.rows().min((panel + 1) * ROWS);
            self.write(0, rows.start, &sums[..rows.len()]);
        }
    }

    /// Up to [`PANELS`] panels and `T` tokens.
    fn integers<const T: usize>(
        &self,
        instructions: Instructions,
        panels: Range<usize>,
        tokens: Range<usize>,
    ) {
        const STRIDE: usize = PANELS * ROWS;
        let format = self.matrix.format();
        let mut sums = [[0.0; STRIDE]; T];
        let sums = sums[..tokens.len()].as_flattened_mut();
        let mut unpacked = [const { Chunk::ZERO }; PANELS];
        for chunk in 0..self.matrix.columns().div_ceil(WIDTH) {
            let blocks = 8.min(self.matrix.columns() / 32 - 8 * chunk);
            for (panel, unpacked) in panels.clone().zip(&mut unpacked) {
                instructions.unpack(format, self.matrix.panel(panel), chunk, blocks, unpacked);
            }
            let inputs = chunk * self.tokens + tokens.start..chunk * self.tokens + tokens.end;
            for (first, sums) in inputs.clone().step_by(4).zip(sums.chunks_mut(4 * STRIDE)) {
                let inputs = first..inputs.end.min(first + 4);
                for (index, unpacked) in unpacked.iter().enumerate().take(panels.len()) {
                    let sums = &mut sums[index * ROWS..];
                    match self.rounded {
                        Rounded::Fine(all) => {
                            instructions.fine(format, (unpacked, blocks), &all[inputs.clone()], sums, STRIDE);
                        }
                        Rounded::Coarse(all) => {
                            instructions.coarse(format, unpacked, &all[inputs.clone()], sums, STRIDE);
                        }
                        Rounded::Float(_) => {}
                    }
                }
            }
        }
        let first = panels.start * ROWS;
        let rows = self.matrix.rows().min(panels.end * ROWS) - first;
        for (token, sums) in tokens.zip(sums.chunks(STRIDE)) {
            self.write(token, first, &sums[..rows]);
        }
    }

    fn floats(&self, instructions: Instructions, panels: Range<usize>, tokens: Range<usize>, input: &[f32]) {
        let columns = self.matrix.columns();
        let last = self.matrix.rows().min(panels.end * ROWS);
        for first_token in tokens.clone().step_by(6) {
            let some = first_token..tokens.end.min(first_token + 6);
            let mut inputs = [&[][..]; 6];
            for (values, token) in inputs.iter_mut().zip(some.clone()) {
                *values = &input[token * columns..][..columns];
            }
            for first_row in (panels.start * ROWS..last).step_by(4) {
                let four = first_row..last.min(first_row + 4);
                let mut rows = [&[][..]; 4];
                for (bytes, row) in rows.iter_mut().zip(four.clone()) {
                    *bytes = self.matrix.plain_row(row);
                }
                let mut sums = [[0.0; 4]; 6];
                let format = self.matrix.format();
                instructions.float(format, &rows[..four.len()], &inputs[..some.len()], &mut sums);
                for (token, sums) in some.clone().zip(sums) {
                    self.write(token, four.start, &sums[..four.len()]);
                }
            }
        }
    }

    /// Writes the results of one token, from row `first` on.
    fn write(&self, token: usize, first: usize, results: &[f32]) {
        let start = token * self.matrix.rows() + first;
        // SAFETY: a part writes the rows and tokens that are its own only, one range after the other.
        unsafe { self.output.part(start..start + results.len()) }.copy_from_slice(results);
    }
}
