//! The rounded inputs of products.

use half::bf16;

use super::activation::{Coarse, Fine};
use super::chunk::WIDTH;
use super::format::{Family, Format};
use super::instructions::Instructions;
use super::team::{Disjoint, Team};
use super::vector::through_f16;

/// Memory for the rounded inputs, kept from one product to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    fine: Vec<Fine>,
    coarse: Vec<Coarse>,
    halves: Vec<f32>,
    brains: Vec<f32>,
}

/// The input of a product, token after token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    pub(super) input: &'a [f32],
    pub(super) count: usize,
    pub(super) columns: usize,
}

/// The input in the form that a family of formats asks for; integers are ordered by chunk, then by token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rounded<'a> {
    Float(&'a [f32]),
    Fine(&'a [Fine]),
    Coarse(&'a [Coarse]),
}

/// Number of values that are worth a part of their own.
const VALUES_OF_PART: usize = 16 << 10;

impl Scratch {
    /// Rounds the input in each way that the formats need.
    pub(super) fn round(
        &mut self,
        team: &Team,
        instructions: Instructions,
        formats: impl Iterator<Item = Format> + Clone,
        tokens: Tokens<'_>,
    ) {
        let needs = |family| formats.clone().any(|format| format.family() == family);
        if needs(Family::Fine) {
            fill(team, &mut self.fine, Fine::ZERO, tokens, &|values| instructions.quantise_fine(values));
        }
        if needs(Family::Coarse) {
            fill(team, &mut self.coarse, Coarse::ZERO, tokens, &|values| match values.as_array() {
                Some(values) => instructions.quantise_coarse(values),
                None => Coarse::ZERO,
            });
        }
        if formats.clone().any(|format| format == Format::F16) {
            self.halves.resize(tokens.input.len(), 0.0);
            through_f16(tokens.input, &mut self.halves);
        }
        if formats.clone().any(|format| format == Format::Bf16) {
            self.brains.clear();
            self.brains.extend(tokens.input.iter().map(|&value| bf16::from_f32(value).to_f32()));
        }
    }

    /// What `round` made of the input for a format.
    pub(super) fn rounded<'a>(&'a self, format: Format, tokens: Tokens<'a>) -> Rounded<'a> {
        match (format.family(), format) {
            (Family::Fine, _) => Rounded::Fine(&self.fine),
            (Family::Coarse, _) => Rounded::Coarse(&self.coarse),
            (Family::Float, Format::F16) => Rounded::Float(&self.halves),
            (Family::Float, Format::Bf16) => Rounded::Float(&self.brains),
            (Family::Float, _) => Rounded::Float(tokens.input),
        }
    }
}

/// Quantises each chunk of each token.
fn fill<T: Clone + Send + Sync>(
    team: &Team,
    out: &mut Vec<T>,
    zero: T,
    tokens: Tokens<'_>,
    quantise: &(dyn Fn(&[f32]) -> T + Sync),
) {
    out.resize(tokens.columns.div_ceil(WIDTH) * tokens.count, zero);
    let out = Disjoint::new(out);
    let step = (VALUES_OF_PART / tokens.columns).max(1);
    team.run(tokens.count.div_ceil(step), &|part| {
        let range = part * step..tokens.count.min((part + 1) * step);
        for token in range {
            let values = &tokens.input[token * tokens.columns..][..tokens.columns];
            for (chunk, values) in values.chunks(WIDTH).enumerate() {
                let at = chunk * tokens.count + token;
                // SAFETY: the place of this chunk of this token, which only this part writes.
                let place = unsafe { out.part(at..at + 1) };
                place[0] = quantise(values);
            }
        }
    });
}
