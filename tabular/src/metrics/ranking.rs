//! Rows in the order of their scores: what every figure about thresholds is computed from.

use super::{binary, share};

/// Rows by falling score, equal scores in one step.
#[derive(Debug)]
pub(crate) struct Ranking {
    /// Whether each row is positive, by falling score.
    pub(crate) positive: Vec<bool>,
    /// Each row's score, falling.
    pub(crate) scores: Vec<f64>,
    /// For each step, how many rows score at least as much as it: falling thresholds.
    ends: Vec<usize>,
}

/// Rows at or above a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) positives: u64,
    pub(crate) negatives: u64,
}

impl Ranking {
    /// `None` where a row has no class or no finite score, or there are no rows.
    pub(crate) fn new(outcome: &[f64], scores: &[f64]) -> Option<Self> {
        let mut rows = binary(outcome, scores)?;
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (positive, scores): (Vec<bool>, Vec<f64>) = rows.into_iter().unzip();
        let last = scores.len();
        let changes = (1..last).filter(|row| scores[*row] != scores[*row - 1]);
        let ends = changes.chain([last]).collect();
        Some(Self { positive, scores, ends })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.scores.len()
    }

    /// The score of each step, falling.
    pub(crate) fn thresholds(&self) -> impl Iterator<Item = f64> {
        self.ends.iter().map(|end| self.scores[end - 1])
    }

    /// How many steps have a score of at least `threshold`.
    pub(crate) fn steps_at(&self, threshold: f64) -> usize {
        self.ends.partition_point(|end| self.scores[end - 1] >= threshold)
    }

    /// The rows at or above each step, each row counted once.
    pub(crate) fn tallies(&self) -> Vec<Tally> {
        let mut tallies = Vec::with_capacity(self.ends.len());
        self.tally(&vec![1; self.rows()], &mut tallies);
        tallies
    }

    /// The rows at or above each step, row `i` counted `counts[i]` times; into `tallies`, which is emptied first.
    pub(crate) fn tally(&self, counts: &[u32], tallies: &mut Vec<Tally>) {
        tallies.clear();
        let (mut sum, mut start) = (Tally::default(), 0);
        for end in &self.ends {
            for (positive, count) in self.positive[start..*end].iter().zip(&counts[start..*end]) {
                // Without a branch: classes follow one another in no order.
                let hit = u64::from(*positive) * u64::from(*count);
                sum.positives += hit;
                sum.negatives += u64::from(*count) - hit;
            }
            tallies.push(sum);
            start = *end;
        }
    }

    /// A figure of all rows.
    pub(crate) fn whole(&self, figure: fn(&[Tally]) -> Option<f64>) -> Option<f64> {
        figure(&self.tallies())
    }
}

/// ROC AUC, average precision and KS, from each step's tally.
pub(crate) fn figures_of(tallies: &[Tally]) -> [Option<f64>; 3] {
    [roc_auc(tallies), average_precision(tallies), ks(tallies)]
}

/// From each step's tally, the last of which counts all rows.
pub(super) fn roc_auc(tallies: &[Tally]) -> Option<f64> {
    let all = both(tallies)?;
    let mut before = Tally::default();
    let mut twice = 0.0;
    for tally in tallies {
        twice += (tally.negatives - before.negatives) as f64 * (tally.positives + before.positives) as f64;
        before = *tally;
    }
    Some(twice / 2.0 / (all.positives as f64 * all.negatives as f64))
}

/// From each step's tally, the last of which counts all rows.
pub(super) fn average_precision(tallies: &[Tally]) -> Option<f64> {
    let all = tallies.last().filter(|all| all.positives > 0)?;
    let mut before = 0;
    let mut sum = 0.0;
    // Where no positive row is added, recall makes no step.
    for tally in tallies {
        if tally.positives == before {
            continue;
        }
        let precision = share(tally.positives, tally.positives + tally.negatives).unwrap_or(0.0);
        sum += (tally.positives - before) as f64 * precision;
        before = tally.positives;
    }
    Some(sum / all.positives as f64)
}

/// From each step's tally, the last of which counts all rows.
pub(super) fn ks(tallies: &[Tally]) -> Option<f64> {
    let all = both(tallies)?;
    let (positives, negatives) = (all.positives as f64, all.negatives as f64);
    // Times positives and times negatives, to divide once.
    let distance =
        |tally: &Tally| (tally.positives as f64 * negatives - tally.negatives as f64 * positives).abs();
    Some(tallies.iter().map(distance).fold(0.0, f64::max) / (positives * negatives))
}

/// The tally of all rows, if there are rows of both classes.
fn both(tallies: &[Tally]) -> Option<Tally> {
    tallies.last().copied().filter(|all| all.positives > 0 && all.negatives > 0)
}
