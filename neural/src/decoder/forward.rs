//! One pass: tokens in, logits of the next token out.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernels::{Matrix, Scratch, Team, vector};

use super::{
    Decoder, Stopped, attention::attend, cache::Cache, rope::Angles, shape::Shape, share::share,
    weights::Layer,
};

/// The most tokens of one pass: enough to keep the processor busy, few enough to stop soon and to bound the memory.
pub const BATCH: usize = 256;

/// What a pass needs besides the weights and the cache: kept from pass to pass, so that none takes memory.
#[derive(Debug, Default)]
pub struct Workspace {
    /// What the layers hand on: `tokens x width`.
    hidden: Vec<f32>,
    normed: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// What a layer's half adds: `tokens x width`.
    added: Vec<f32>,
    logits: Vec<f32>,
    angles: Angles,
    local_angles: Angles,
    scratch: Scratch,
}

impl Decoder {
    /// Computes `tokens`, which follow those in the cache, and returns the logits after the last of them.
    ///
    /// The caller has checked that the tokens are in the vocabulary and fit into the cache.
    ///
    /// # Errors
    /// When `stop` was set before the end: the cache is as it was before.
    pub fn forward<'w>(
        &self,
        team: &Team,
        cache: &mut Cache,
        workspace: &'w mut Workspace,
        tokens: &[u32],
        stop: &AtomicBool,
    ) -> Result<&'w [f32], Stopped> {
        let before = cache.length();
        for batch in tokens.chunks(BATCH) {
            if let Err(stopped) = self.pass(team, cache, workspace, batch, stop) {
                cache.truncate(before);
                return Err(stopped);
            }
            cache.advance(batch.len());
        }
        self.logits(team, workspace);
        Ok(&workspace.logits)
    }

    fn pass(
        &self,
        team: &Team,
        cache: &mut Cache,
        workspace: &mut Workspace,
        tokens: &[u32],
        stop: &AtomicBool,
    ) -> Result<(), Stopped> {
        let (shape, first) = (&self.shape, cache.length());
        let factors = self.weights.rope_factors.as_deref();
        workspace.angles.fill(shape.rope, factors, first, tokens.len());
        if shape.local_rope != shape.rope {
            workspace.local_angles.fill(shape.local_rope, factors, first, tokens.len());
        }
        self.embed(workspace, tokens);
        for (index, layer) in self.weights.layers.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            self.attention(team, cache, workspace, layer, index);
            self.feed_forward(team, workspace, layer);
        }
        Ok(())
    }

    fn embed(&self, workspace: &mut Workspace, tokens: &[u32]) {
        let width = self.shape.width;
        workspace.hidden.resize(tokens.len() * width, 0.0);
        for (token, out) in tokens.iter().zip(workspace.hidden.chunks_exact_mut(width)) {
            self.weights.embeddings.row(*token as usize, out);
        }
        if let Some(scale) = self.shape.embedding_scale() {
            workspace.hidden.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// The first half of a layer.
    fn attention(
        &self,
        team: &Team,
        cache: &mut Cache,
        workspace: &mut Workspace,
        layer: &Layer,
        index: usize,
    ) {
        let (shape, first) = (&self.shape, cache.length());
        let Workspace { hidden, normed, queries, keys, values, attended, added, scratch, .. } = workspace;
        let count = hidden.len() / shape.width;
        normalise(team, shape, hidden, &layer.attention_norm, normed);
        let sizes = [&layer.query, &layer.key, &layer.value].map(Matrix::rows);
        let outputs = [&mut *queries, keys, values];
        for (out, size) in outputs.into_iter().zip(sizes) {
            out.resize(count * size, 0.0);
        }
        let matrices = [&layer.query, &layer.key, &layer.value];
        team.multiply(&matrices, normed, &mut [queries, keys, values], scratch);
        add_bias(queries, layer.query_bias.as_deref());
        add_bias(keys, layer.key_bias.as_deref());
        add_bias(values, layer.value_bias.as_deref());
        let local = shape.window_of(index).is_some() && shape.local_rope != shape.rope;
        let angles = if local { &workspace.local_angles } else { &workspace.angles };
        place_heads(team, shape, angles, layer.query_norm.as_deref(), queries, shape.heads);
        place_heads(team, shape, angles, layer.key_norm.as_deref(), keys, shape.kv_heads);
        queries.iter_mut().for_each(|value| *value *= shape.query_scale);
        store(shape, cache, index, first, keys, values);
        attended.resize(queries.len(), 0.0);
        attend(team, shape, cache, index, first, queries, attended);
        added.resize(hidden.len(), 0.0);
        team.multiply(&[&layer.output], attended, &mut [added], scratch);
        add_bias(added, layer.output_bias.as_deref());
        add(team, shape, added, layer.attention_post_norm.as_deref(), normed, hidden);
    }

    /// The second half of a layer.
    fn feed_forward(&self, team: &Team, workspace: &mut Workspace, layer: &Layer) {
        let shape = &self.shape;
        let Workspace { hidden, normed, gate, up, added, scratch, .. } = workspace;
        let feed = layer.up.rows();
        let size = hidden.len() / shape.width * feed;
        normalise(team, shape, hidden, &layer.feed_norm, normed);
        gate.resize(size, 0.0);
        up.resize(size, 0.0);
        team.multiply(&[&layer.gate, &layer.up], normed, &mut [gate, up], scratch);
        let activate = if shape.is_gemma() { vector::gelu_times } else { vector::silu_times };
        share(team, gate.chunks_mut(feed).zip(up.chunks(feed)), |(): &mut (), (gate, up)| activate(gate, up));
        team.multiply(&[&layer.down], gate, &mut [added], scratch);
        add(team, shape, added, layer.feed_post_norm.as_deref(), normed, hidden);
    }

    /// The logits after the last token of the last pass.
    fn logits(&self, team: &Team, workspace: &mut Workspace) {
        let Workspace { hidden, normed, logits, scratch, .. } = workspace;
        let output = self.weights.output.as_ref().unwrap_or(&self.weights.embeddings);
        let last = &hidden[hidden.len() - self.shape.width..];
        normed.resize(self.shape.width, 0.0);
        vector::rms_norm(last, &self.weights.norm, self.shape.epsilon, normed);
        logits.resize(output.rows(), 0.0);
        team.multiply(&[output], normed, &mut [logits], scratch);
        if let Some(cap) = self.shape.logit_cap {
            logits.iter_mut().for_each(|logit| *logit = cap * (*logit / cap).tanh());
        }
    }
}

fn normalise(team: &Team, shape: &Shape, hidden: &[f32], weight: &[f32], out: &mut Vec<f32>) {
    out.resize(hidden.len(), 0.0);
    let tokens = hidden.chunks_exact(shape.width).zip(out.chunks_exact_mut(shape.width));
    share(team, tokens, |(): &mut (), (x, out)| vector::rms_norm(x, weight, shape.epsilon, out));
}

/// Adds what a layer's half gives to what the layers hand on, normalised first where the family does so.
fn add(
    team: &Team,
    shape: &Shape,
    added: &[f32],
    post_norm: Option<&[f32]>,
    normed: &mut Vec<f32>,
    hidden: &mut [f32],
) {
    let added = match post_norm {
        Some(weight) => {
            normalise(team, shape, added, weight, normed);
            normed
        }
        None => added,
    };
    for (sum, part) in hidden.iter_mut().zip(added) {
        *sum += part;
    }
}

fn add_bias(values: &mut [f32], bias: Option<&[f32]>) {
    let Some(bias) = bias else { return };
    for row in values.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value += bias;
        }
    }
}

/// Normalises each head, where the family does so, and turns it by its position.
fn place_heads(
    team: &Team,
    shape: &Shape,
    angles: &Angles,
    norm: Option<&[f32]>,
    values: &mut [f32],
    heads: usize,
) {
    let tokens = values.chunks_exact_mut(heads * shape.head_width).enumerate();
    share(team, tokens, |copy: &mut Vec<f32>, (token, heads)| {
        for head in heads.chunks_exact_mut(shape.head_width) {
            if let Some(weight) = norm {
                copy.clear();
                copy.extend_from_slice(head);
                vector::rms_norm(copy, weight, shape.epsilon, head);
            }
            angles.turn(token, &mut head[..shape.rope.dimensions]);
        }
    });
}

fn store(shape: &Shape, cache: &mut Cache, layer: usize, first: usize, keys: &[f32], values: &[f32]) {
    let width = shape.head_width;
    let heads = keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate();
    for (index, (key, value)) in heads {
        let (token, head) = (index / shape.kv_heads, index % shape.kv_heads);
        let (key_place, value_place) = cache.place(layer, head, first + token);
        vector::to_f16(key, key_place);
        vector::to_f16(value, value_place);
    }
}
