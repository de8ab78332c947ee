//! What a threshold makes of scores.

use serde::{Deserialize, Serialize};

use super::{Ranking, Tally, binary, share};

/// Rows by outcome and by decision. A row whose score is at or above the threshold is decided positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Positive, decided positive.
    pub true_positives: u64,
    /// Negative, decided positive.
    pub false_positives: u64,
    /// Negative, decided negative.
    pub true_negatives: u64,
    /// Positive, decided negative.
    pub false_negatives: u64,
}

/// Counts the decisions that a threshold makes. `None` where a row has no class or no finite score, or there are no
/// rows.
pub fn confusion(outcome: &[f64], scores: &[f64], threshold: f64) -> Option<Confusion> {
    let mut counts = Confusion::default();
    for (positive, score) in binary(outcome, scores)? {
        let cell = match (positive, score >= threshold) {
            (true, true) => &mut counts.true_positives,
            (false, true) => &mut counts.false_positives,
            (false, false) => &mut counts.true_negatives,
            (true, false) => &mut counts.false_negatives,
        };
        *cell += 1;
    }
    Some(counts)
}

impl Confusion {
    /// From the tallies of a ranking's steps, of which the first `selected` are at or above the threshold.
    pub(crate) fn of(tallies: &[Tally], selected: usize) -> Self {
        let all = tallies.last().copied().unwrap_or_default();
        let above = selected.checked_sub(1).and_then(|step| tallies.get(step)).copied().unwrap_or_default();
        Self {
            true_positives: above.positives,
            false_positives: above.negatives,
            true_negatives: all.negatives - above.negatives,
            false_negatives: all.positives - above.positives,
        }
    }

    /// Of a ranking at a threshold.
    pub(crate) fn at(ranking: &Ranking, threshold: f64) -> Self {
        Self::of(&ranking.tallies(), ranking.steps_at(threshold))
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.true_positives + self.false_positives + self.true_negatives + self.false_negatives
    }

    /// Rows decided positive.
    pub fn selected(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    /// The share of rows decided rightly.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.true_positives + self.true_negatives, self.rows())
    }

    /// The share of rows decided positive that are so. `None` if no row is decided positive.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.selected())
    }

    /// The share of positive rows that are decided so: the true positive rate. `None` if there are none.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// The share of negative rows that are decided positive. `None` if there are none.
    pub fn false_positive_rate(&self) -> Option<f64> {
        share(self.false_positives, self.false_positives + self.true_negatives)
    }

    /// The harmonic mean of precision and recall. `None` if no row is positive and none is decided so.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        share(twice, twice + self.false_positives + self.false_negatives)
    }

    /// The share of rows decided positive.
    pub fn selection_rate(&self) -> Option<f64> {
        share(self.selected(), self.rows())
    }
}
