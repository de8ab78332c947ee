//! Attention of a block of rows to the texts that they belong to.

use std::ops::Range;

use super::product::{Panels, Tiles};
use super::vector::{self, Activation};

/// How the heads look at the tokens.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) hidden: usize,
    pub(super) heads: usize,
    pub(super) distances: Option<Distances>,
}

/// A learned bias of the scores for each head and each distance of two tokens.
#[derive(Debug)]
pub(super) struct Distances {
    /// Head after head; in each, the distances from `1 - longest` to `longest - 1`.
    values: Vec<f32>,
    longest: usize,
}

/// Rows of a block that belong to one text. Both ranges count the batch's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) queries: Range<usize>,
    pub(super) text: Range<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Scratch {
    keys: Panels,
    values: Panels,
    scores: Vec<f32>,
}

impl Attention {
    /// Fills `context`, whose rows are the segments' queries one after the other. `from` has, for each token of the
    /// batch, its query, key and value.
    pub(super) fn apply(
        &self,
        from: &[f32],
        segments: &[Segment],
        context: &mut [f32],
        tiles: &mut Tiles,
        scratch: &mut Scratch,
    ) {
        let mut rest = context;
        for segment in segments {
            let (context, after) = rest.split_at_mut(segment.queries.len() * self.hidden);
            rest = after;
            for head in 0..self.heads {
                self.head(head, from, segment, context, tiles, scratch);
            }
        }
    }

    fn head(
        &self,
        head: usize,
        from: &[f32],
        segment: &Segment,
        context: &mut [f32],
        tiles: &mut Tiles,
        scratch: &mut Scratch,
    ) {
        let Scratch { keys, values, scores } = scratch;
        let (hidden, stride, width) = (self.hidden, self.hidden * 3, self.hidden / self.heads);
        let first = head * width;
        let length = segment.text.len();
        let text = &from[segment.text.start * stride..segment.text.end * stride];
        let queries = &from[segment.queries.start * stride..segment.queries.end * stride];

        keys.set_rows(&text[hidden + first..], stride, length, width);
        tiles.set(&queries[first..], stride, width);
        scores.resize(segment.queries.len() * length, 0.0);
        keys.multiply(tiles, scores, length, Activation::Identity);

        let scale = 1.0 / (width as f32).sqrt();
        for (row, query) in scores.chunks_exact_mut(length).zip(segment.queries.clone()) {
            let bias = self.distances.as_ref().map(|all| all.row(head, query - segment.text.start, length));
            vector::softmax(row, scale, bias.unwrap_or_default());
        }

        values.set_columns(&text[hidden * 2 + first..], stride, width, length);
        tiles.set(scores, length, length);
        values.multiply(tiles, &mut context[first..], hidden, Activation::Identity);
    }
}

impl Distances {
    /// Buckets of distances and their number; the table has a row of `heads` numbers for each bucket.
    pub(super) const BUCKETS: usize = 32;

    /// From the table of the buckets' biases, for texts of up to `longest` tokens.
    pub(super) fn new(table: &[f32], heads: usize, longest: usize) -> Distances {
        let buckets: Vec<usize> = (1..2 * longest).map(|at| bucket(at as i64 - longest as i64)).collect();
        let values =
            (0..heads).flat_map(|head| buckets.iter().map(move |bucket| table[bucket * heads + head]));
        Distances { values: values.collect(), longest }
    }

    /// The biases of the keys 0 to `length` for one query.
    fn row(&self, head: usize, query: usize, length: usize) -> &[f32] {
        &self.values[head * (2 * self.longest - 1) + self.longest - 1 - query..][..length]
    }
}

/// The bucket of a distance (key minus query), as T5 defined it for 32 buckets and 128 tokens: half of the buckets for
/// keys after the query; in each half the eight least distances alone, then ranges that grow by a constant factor.
fn bucket(distance: i64) -> usize {
    const HALF: usize = Distances::BUCKETS / 2;
    const ALONE: usize = HALF / 2;
    const FARTHEST: f64 = 128.0;
    let side = if distance > 0 { HALF } else { 0 };
    let distance = distance.unsigned_abs() as usize;
    if distance < ALONE {
        return side + distance;
    }
    let growth = (distance as f32 / ALONE as f32).ln() / (FARTHEST / ALONE as f64).ln() as f32;
    side + (ALONE + (growth * (HALF - ALONE) as f32) as usize).min(HALF - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_buckets_of_their_own_and_far_ones_share_the_last() {
        let found = [0, -1, -7, -8, -15, -16, -32, -64, -127, -128, -500, 1, 7, 8, 16, 200].map(bucket);
        assert_eq!(found, [0, 1, 7, 8, 9, 10, 12, 14, 15, 15, 15, 17, 23, 24, 26, 31]);
    }

    #[test]
    fn the_bias_of_a_query_is_read_by_its_distance_to_each_key() {
        let table: Vec<f32> = (0..64).map(|at| at as f32).collect();
        let distances = Distances::new(&table, 2, 4);
        assert_eq!(distances.row(0, 0, 4), [0, 17, 18, 19].map(|bucket| bucket as f32 * 2.0));
        assert_eq!(distances.row(1, 2, 3), [2, 1, 0].map(|bucket| bucket as f32 * 2.0 + 1.0));
    }
}
