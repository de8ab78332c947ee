//! Rotary positions: the angles of a batch's tokens, and turning heads by them.

use super::shape::Rope;

/// Cosines and sines for each token of a batch: `tokens x dimensions / 2`.
#[derive(Debug, Default)]
pub(super) struct Angles {
    turns: Vec<(f32, f32)>,
    pairs: usize,
    neighbours: bool,
}

impl Angles {
    /// Computes the angles of `count` tokens from position `first` on. `factors`, one a pair, slow some of them down
    /// (`rope_freqs.weight` of Llama 3.1 and later).
    pub(super) fn fill(&mut self, rope: Rope, factors: Option<&[f32]>, first: usize, count: usize) {
        self.pairs = rope.dimensions / 2;
        self.neighbours = rope.neighbours;
        self.turns.clear();
        // Multiplied up pair by pair in single precision, as the reference does: a power each would differ in the last
        // bits, and with them long texts.
        let step = rope.base.powf(-2.0 / rope.dimensions as f32);
        for position in first..first + count {
            let mut angle = position as f32;
            for pair in 0..self.pairs {
                let factor = factors.and_then(|factors| factors.get(pair)).copied().unwrap_or(1.0);
                let (sine, cosine) = (rope.scale * (angle / factor)).sin_cos();
                self.turns.push((cosine, sine));
                angle *= step;
            }
        }
    }

    /// Turns one head of the batch's token `index`.
    pub(super) fn turn(&self, index: usize, head: &mut [f32]) {
        let turns = &self.turns[index * self.pairs..][..self.pairs];
        if self.neighbours {
            for (pair, (cosine, sine)) in head.chunks_exact_mut(2).zip(turns) {
                let (x, y) = (pair[0], pair[1]);
                pair[0] = x * cosine - y * sine;
                pair[1] = x * sine + y * cosine;
            }
        } else {
            let (near, far) = head.split_at_mut(self.pairs);
            for ((x, y), (cosine, sine)) in near.iter_mut().zip(far).zip(turns) {
                (*x, *y) = (*x * cosine - *y * sine, *x * sine + *y * cosine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROPE: Rope = Rope { dimensions: 4, base: 100.0, scale: 1.0, neighbours: true };

    #[test]
    fn position_zero_turns_nothing_and_turning_keeps_lengths() {
        let mut angles = Angles::default();
        angles.fill(ROPE, None, 0, 3);
        let mut head = [1.0, 2.0, 3.0, 4.0];
        angles.turn(0, &mut head);
        assert_eq!(head, [1.0, 2.0, 3.0, 4.0]);
        angles.turn(2, &mut head);
        let length = |pair: &[f32]| pair[0].hypot(pair[1]);
        assert!((length(&head[..2]) - 5f32.sqrt()).abs() < 1e-6);
        assert!((length(&head[2..]) - 5.0).abs() < 1e-6);
    }

    #[test]
    fn pairs_are_neighbours_or_half_a_head_apart() {
        let (mut neighbours, mut halves) = (Angles::default(), Angles::default());
        neighbours.fill(ROPE, None, 1, 1);
        halves.fill(Rope { neighbours: false, ..ROPE }, None, 1, 1);
        let (mut a, mut b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]);
        neighbours.turn(0, &mut a);
        halves.turn(0, &mut b);
        assert_eq!([a[0], a[2], a[1], a[3]], b);
    }

    #[test]
    fn factors_and_scale_slow_positions_down() {
        let angles = |rope, factors: Option<&[f32]>, first| {
            let mut angles = Angles::default();
            angles.fill(rope, factors, first, 1);
            angles.turns
        };
        let half = Rope { scale: 0.5, ..ROPE };
        assert_eq!(angles(half, None, 4), angles(ROPE, None, 2));
        assert_eq!(angles(ROPE, Some(&[2.0, 2.0]), 4), angles(ROPE, None, 2));
    }
}
