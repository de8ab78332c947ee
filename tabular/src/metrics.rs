//! Figures that say how good scores are, each equal to scikit-learn's where both are defined.
//!
//! An outcome is 1 for the positive class and 0 for the negative one, or any finite number for regression. A figure is
//! `None` where it has no meaning: no rows, slices of different lengths, a number that is not finite, or too few
//! classes (scikit-learn warns there and gives 0 or NaN).

mod calibration;
mod confusion;
mod curves;
#[cfg(test)]
mod golden;
mod numbers;
mod ranking;
mod threshold;

pub use calibration::{Bin, Binning, Calibration, calibration};
pub(crate) use calibration::{number_bins, quantile};
pub use confusion::{Confusion, confusion};
pub use curves::{PrPoint, RocPoint, pr_curve, roc_curve, thin_pr, thin_roc};
pub use numbers::{mae, r2, rmse};
pub(crate) use ranking::{Ranking, Tally, figures_of};
pub use threshold::{Costs, Cut, best_f1, cheapest};

/// The area under the ROC curve: how probable it is that a positive row scores above a negative one, ties counting
/// half. `None` unless there are rows of both classes.
pub fn roc_auc(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    Ranking::new(outcome, scores)?.whole(ranking::roc_auc)
}

/// Average precision: precision at each step of recall, the area under the precision-recall curve without
/// interpolation. `None` unless there are positive rows.
pub fn pr_auc(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    Ranking::new(outcome, scores)?.whole(ranking::average_precision)
}

/// The Kolmogorov-Smirnov statistic: the greatest distance between the two classes' distributions of scores. `None`
/// unless there are rows of both classes.
pub fn ks(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    Ranking::new(outcome, scores)?.whole(ranking::ks)
}

/// The mean negative log likelihood of the outcomes, natural logarithm; scores of exactly 0 and 1 are moved inwards by
/// 2.2e-16. `None` unless each score is a probability.
pub fn log_loss(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    mean_loss(outcome, scores, row_log_loss)
}

/// The mean squared distance between score and outcome. `None` unless each score is a probability.
pub fn brier(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    mean_loss(outcome, scores, row_brier)
}

fn mean_loss(outcome: &[f64], scores: &[f64], loss: fn(bool, f64) -> f64) -> Option<f64> {
    let rows = binary(outcome, scores)?;
    let sum: f64 = rows.iter().map(|(positive, score)| loss(*positive, *score)).sum();
    probabilities(scores).then_some(sum / rows.len() as f64)
}

pub(crate) fn row_log_loss(positive: bool, score: f64) -> f64 {
    let score = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    if positive { -score.ln() } else { -(1.0 - score).ln() }
}

pub(crate) fn row_brier(positive: bool, score: f64) -> f64 {
    let distance = score - f64::from(u8::from(positive));
    distance * distance
}

/// Whether each score is a number from 0 to 1.
pub(crate) fn probabilities(scores: &[f64]) -> bool {
    scores.iter().all(|score| (0.0..=1.0).contains(score))
}

/// The rows as (positive, score). `None` where there are none, an outcome is neither 0 nor 1, or a score is not finite.
pub(crate) fn binary(outcome: &[f64], scores: &[f64]) -> Option<Vec<(bool, f64)>> {
    if outcome.is_empty() || outcome.len() != scores.len() {
        return None;
    }
    let rows = outcome.iter().zip(scores);
    rows.map(|(outcome, score)| Some((class(*outcome)?, *score)).filter(|_| score.is_finite())).collect()
}

/// Whether an outcome is the positive class; `None` if it is no class.
pub(crate) fn class(outcome: f64) -> Option<bool> {
    if outcome == 1.0 {
        Some(true)
    } else if outcome == 0.0 {
        Some(false)
    } else {
        None
    }
}

/// `part / whole`; `None` where the whole is nothing.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
