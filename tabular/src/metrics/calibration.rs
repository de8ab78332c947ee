//! Whether a score of 0.3 means three in ten.

use serde::{Deserialize, Serialize};

use super::{binary, probabilities};

/// How scores are put into bins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// Bins of equal width from 0 to 1.
    #[default]
    Width,
    /// Bins of about equally many rows.
    Quantile,
}

/// The rows of one bin: those with `low < score <= high`, the lowest bin with its lower edge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Its lower edge.
    pub low: f64,
    /// Its upper edge.
    pub high: f64,
    /// How many rows it has, at least one.
    pub rows: u64,
    /// Their mean score.
    pub mean_score: f64,
    /// Their mean outcome: for classes, the share of positive rows.
    pub mean_outcome: f64,
}

/// What scores say beside what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// How scores were put into bins.
    pub binning: Binning,
    /// The bins that have rows, by rising score.
    pub bins: Vec<Bin>,
    /// The expected calibration error: the mean over rows of `|mean_score - mean_outcome|` of the row's bin.
    pub error: f64,
}

/// As scikit-learn's `calibration_curve`. `bins` is taken as 1 to 100. `None` unless each score is a probability.
pub fn calibration(outcome: &[f64], scores: &[f64], bins: usize, binning: Binning) -> Option<Calibration> {
    binary(outcome, scores).filter(|_| probabilities(scores))?;
    let parts = fractions(bins);
    let edges = match binning {
        Binning::Width => parts,
        Binning::Quantile => quantiles(scores, &parts),
    };
    let bins = fill(outcome, scores, &edges);
    let error =
        bins.iter().map(|bin| bin.rows as f64 * (bin.mean_score - bin.mean_outcome).abs()).sum::<f64>();
    Some(Calibration { binning, bins, error: error / scores.len() as f64 })
}

/// Predicted and observed means of numbers in quantile bins of the prediction. Both slices are finite and equally long.
pub(crate) fn number_bins(outcome: &[f64], scores: &[f64], bins: usize) -> Vec<Bin> {
    fill(outcome, scores, &quantiles(scores, &fractions(bins)))
}

/// 0 to 1 in `bins` equal parts, with the rounding of numpy's `linspace`: rows on an edge fall the same way.
fn fractions(bins: usize) -> Vec<f64> {
    let bins = bins.clamp(1, 100);
    let step = 1.0 / bins as f64;
    (0..bins).map(|part| part as f64 * step).chain([1.0]).collect()
}

fn quantiles(scores: &[f64], parts: &[f64]) -> Vec<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    // There and back, as scikit-learn goes by percentages.
    parts.iter().map(|part| quantile(&sorted, part * 100.0 / 100.0)).collect()
}

/// The value below which a part of sorted values lies, linear between neighbours, with the rounding of numpy's
/// `percentile`. NaN of nothing.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = last as f64 * part;
    let below = (place.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    let rest = place - below as f64;
    if rest < 0.5 { low + (high - low) * rest } else { high - (high - low) * (1.0 - rest) }
}

fn fill(outcome: &[f64], scores: &[f64], edges: &[f64]) -> Vec<Bin> {
    let count = edges.len().saturating_sub(1);
    let inner = edges.get(1..count).unwrap_or_default();
    let mut sums = vec![(0_u64, 0.0, 0.0); count];
    for (outcome, score) in outcome.iter().zip(scores) {
        let sum = &mut sums[inner.partition_point(|edge| edge < score)];
        *sum = (sum.0 + 1, sum.1 + score, sum.2 + outcome);
    }
    let bins = sums.into_iter().zip(edges.windows(2)).filter(|((rows, ..), _)| *rows > 0);
    let bin = |((rows, scores, outcomes), edges): ((u64, f64, f64), &[f64])| Bin {
        low: edges[0],
        high: edges[1],
        rows,
        mean_score: scores / rows as f64,
        mean_outcome: outcomes / rows as f64,
    };
    bins.map(bin).collect()
}
