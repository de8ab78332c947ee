//! The transformer: token ids of many texts in, one vector for each token out.
//!
//! The texts' tokens lie one after the other, without padding, and are worked on in blocks of rows: small enough that a
//! block's numbers stay in the processor's cache, large enough that reading the weights costs little. Each layer has two
//! steps: queries, keys and values of all tokens; then, block by block, attention and everything after it.

use std::ops::Range;

use rayon::prelude::*;

use super::attention::{Attention, Scratch as AttentionScratch, Segment};
use super::config::Config;
use super::product::{Panels, ROWS, Tiles};
use super::threads::{PerThread, Threads};
use super::vector::{self, Activation};

/// Most rows of a block.
const BLOCK: usize = 8 * ROWS;

/// The weights, ready for products.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) hidden: usize,
    pub(super) inner: usize,
    pub(super) epsilon: f32,
    pub(super) activation: Activation,
    pub(super) padding: Option<u32>,
    /// Token after token.
    pub(super) words: Vec<f32>,
    /// Position after position, the first token type's vector added.
    pub(super) positions: Vec<f32>,
    pub(super) norm: Norm,
    pub(super) attention: Attention,
    pub(super) layers: Vec<Layer>,
}

#[derive(Debug)]
pub(super) struct Layer {
    /// Queries, keys and values, one after the other.
    pub(super) queries_keys_values: Panels,
    pub(super) output: Panels,
    pub(super) output_norm: Norm,
    pub(super) up: Panels,
    pub(super) down: Panels,
    pub(super) down_norm: Norm,
}

#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// What a thread needs beside its block.
#[derive(Debug, Default)]
struct Scratch {
    tiles: Tiles,
    attention: AttentionScratch,
    context: Vec<f32>,
    added: Vec<f32>,
    inner: Vec<f32>,
}

/// Numbers (f32) held while a batch of so many tokens is worked on, beside the weights.
pub(super) fn scratch_numbers(
    config: &Config,
    tokens: usize,
    longest: usize,
    threads: usize,
) -> Option<usize> {
    let Config { hidden, inner, .. } = config;
    let batch = tokens.checked_mul(hidden.checked_mul(4)?)?;
    let widest = (*hidden).max(*inner).max(longest);
    let block = hidden.checked_mul(2)?.checked_add(*inner)?.checked_add(widest)?.checked_add(longest)?;
    let keys_and_values = longest.checked_mul(hidden.checked_mul(2)?)?.checked_div(config.heads)?;
    let thread = block.checked_mul(BLOCK)?.checked_add(keys_and_values)?;
    batch.checked_add(thread.checked_mul(threads)?)
}

impl Network {
    /// The last layer's vectors, token after token; `None` when cancelled. Ids and lengths were checked by the caller.
    pub(super) fn run(
        &self,
        threads: &Threads,
        texts: &[&[u32]],
        cancelled: &dyn Fn() -> bool,
    ) -> Option<Vec<f32>> {
        let blocks = Blocks::new(texts, threads.count());
        let scratch = PerThread::new(threads);
        let mut states = vec![0.0; blocks.tokens * self.hidden];
        let mut queries_keys_values = vec![0.0; blocks.tokens * self.hidden * 3];
        threads.run(|| self.embed(texts, &mut states));
        for layer in &self.layers {
            if cancelled() {
                return None;
            }
            threads.run(|| {
                self.project(layer, &blocks, &states, &mut queries_keys_values, &scratch);
                self.finish(layer, &blocks, &queries_keys_values, &mut states, &scratch);
            });
        }
        Some(states)
    }

    /// Words plus positions, normalised.
    fn embed(&self, texts: &[&[u32]], states: &mut [f32]) {
        let hidden = self.hidden;
        let mut rows = states.chunks_exact_mut(hidden);
        for text in texts {
            for (position, id) in self.positions_of(text).zip(text.iter()) {
                let Some(row) = rows.next() else { return };
                row.copy_from_slice(&self.words[*id as usize * hidden..][..hidden]);
                self.norm.apply(row, &self.positions[position * hidden..][..hidden], self.epsilon);
            }
        }
    }

    /// Row of the table of positions for each token. Families with a padding offset count only the other tokens.
    fn positions_of<'a>(&self, text: &'a [u32]) -> impl Iterator<Item = usize> + use<'a> {
        let padding = self.padding;
        let mut next = padding.map_or(0, |padding| padding as usize + 1);
        text.iter().map(move |id| {
            if padding == Some(*id) {
                return *id as usize;
            }
            next += 1;
            next - 1
        })
    }

    fn project(
        &self,
        layer: &Layer,
        blocks: &Blocks,
        states: &[f32],
        out: &mut [f32],
        scratch: &PerThread<Scratch>,
    ) {
        let (hidden, rows) = (self.hidden, blocks.rows);
        states.par_chunks(rows * hidden).zip(out.par_chunks_mut(rows * hidden * 3)).for_each(
            |(states, out)| {
                let Scratch { tiles, .. } = &mut *scratch.get();
                tiles.set(states, hidden, hidden);
                layer.queries_keys_values.multiply(tiles, out, hidden * 3, Activation::Identity);
            },
        );
    }

    fn finish(
        &self,
        layer: &Layer,
        blocks: &Blocks,
        queries_keys_values: &[f32],
        states: &mut [f32],
        scratch: &PerThread<Scratch>,
    ) {
        let (hidden, inner) = (self.hidden, self.inner);
        states.par_chunks_mut(blocks.rows * hidden).zip(&blocks.segments).for_each(|(states, segments)| {
            let Scratch { tiles, attention, context, added, inner: between } = &mut *scratch.get();
            let rows = states.len() / hidden;
            context.resize(rows * hidden, 0.0);
            added.resize(rows * hidden, 0.0);
            between.resize(rows * inner, 0.0);

            self.attention.apply(queries_keys_values, segments, context, tiles, attention);
            tiles.set(context, hidden, hidden);
            layer.output.multiply(tiles, added, hidden, Activation::Identity);
            layer.output_norm.apply(states, added, self.epsilon);

            tiles.set(states, hidden, hidden);
            layer.up.multiply(tiles, between, inner, self.activation);
            tiles.set(between, inner, inner);
            layer.down.multiply(tiles, added, hidden, Activation::Identity);
            layer.down_norm.apply(states, added, self.epsilon);
        });
    }
}

impl Norm {
    /// Adds `added` and normalises, row by row.
    fn apply(&self, rows: &mut [f32], added: &[f32], epsilon: f32) {
        let width = self.weight.len();
        for (row, added) in rows.chunks_exact_mut(width).zip(added.chunks_exact(width)) {
            vector::layer_norm(row, added, &self.weight, &self.bias, epsilon);
        }
    }
}

/// The batch's tokens cut into blocks of rows.
struct Blocks {
    tokens: usize,
    /// Rows of each block but the last.
    rows: usize,
    /// For each block, the pieces of texts that lie in it.
    segments: Vec<Vec<Segment>>,
}

impl Blocks {
    fn new(texts: &[&[u32]], threads: usize) -> Blocks {
        let tokens = texts.iter().map(|text| text.len()).sum::<usize>();
        let rows = tokens.div_ceil(threads).next_multiple_of(ROWS).clamp(ROWS, BLOCK);
        let mut segments = vec![Vec::new(); tokens.div_ceil(rows)];
        let mut start = 0;
        for text in texts {
            let text = start..start + text.len();
            start = text.end;
            let mut piece = text.start;
            while piece < text.end {
                let end = ((piece / rows + 1) * rows).min(text.end);
                let queries: Range<usize> = piece..end;
                segments[piece / rows].push(Segment { queries, text: text.clone() });
                piece = end;
            }
        }
        Blocks { tokens, rows, segments }
    }
}
