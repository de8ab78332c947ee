//! Attention: what each token takes over from those before it.

use half::f16;

use crate::kernels::{Team, vector};

use super::{cache::Cache, shape::Shape, share::share};

/// Attention of a batch whose first token is at position `first`; the batch's keys and values are in the cache already.
///
/// `queries` (scaled) and `out`: `tokens x heads x head_width`.
pub(super) fn attend(
    team: &Team,
    shape: &Shape,
    cache: &Cache,
    layer: usize,
    first: usize,
    queries: &[f32],
    out: &mut [f32],
) {
    // One piece of work: a token's query heads that share a key head.
    let piece = shape.group() * shape.head_width;
    let window = shape.window_of(layer);
    let pieces = queries.chunks_exact(piece).zip(out.chunks_exact_mut(piece)).enumerate();
    share(team, pieces, |scores: &mut Vec<f32>, (index, (queries, out))| {
        let (token, head) = (index / shape.kv_heads, index % shape.kv_heads);
        let end = first + token + 1;
        let begin = window.map_or(0, |window| end.saturating_sub(window));
        let seen = begin * shape.head_width..end * shape.head_width;
        let (keys, values) = (&cache.keys(layer, head)[seen.clone()], &cache.values(layer, head)[seen]);
        scores.resize(end - begin, 0.0);
        for (query, out) in queries.chunks_exact(shape.head_width).zip(out.chunks_exact_mut(shape.head_width))
        {
            one_head(query, keys, values, shape.attention_cap, scores, out);
        }
    });
}

fn one_head(
    query: &[f32],
    keys: &[f16],
    values: &[f16],
    cap: Option<f32>,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let width = query.len();
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
        *score = vector::dot_f16(key, query);
    }
    if let Some(cap) = cap {
        scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
    }
    vector::softmax(scores);
    out.fill(0.0);
    for (score, value) in scores.iter().zip(values.chunks_exact(width)) {
        vector::add_scaled_f16(out, *score, value);
    }
}
