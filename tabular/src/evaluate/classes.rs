//! The figures of scores of two classes.

use serde::{Deserialize, Serialize};

use super::{Estimate, EvalOptions, bootstrap};
use crate::metrics::{
    Calibration, Confusion, Costs, Cut, PrPoint, Ranking, RocPoint, Tally, best_f1, calibration, cheapest,
    figures_of, pr_curve, probabilities, roc_curve, row_brier, row_log_loss, thin_pr, thin_roc,
};

/// How many points a curve keeps.
const POINTS: usize = 200;

/// The figures of scores of two classes. A figure without meaning, e.g. of one class alone, is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Classes {
    /// How many rows are positive.
    pub positives: u64,
    /// The area under the ROC curve.
    pub roc_auc: Option<Estimate>,
    /// Average precision.
    pub pr_auc: Option<Estimate>,
    /// The Kolmogorov-Smirnov statistic.
    pub ks: Option<Estimate>,
    /// The mean negative log likelihood; only of probabilities.
    pub log_loss: Option<Estimate>,
    /// The mean squared error; only of probabilities.
    pub brier: Option<Estimate>,
    /// A score at or above it is a positive decision.
    pub threshold: f64,
    /// The decisions at the threshold.
    pub confusion: Confusion,
    /// The share of right decisions.
    pub accuracy: Option<Estimate>,
    /// The share of positive decisions that are right.
    pub precision: Option<Estimate>,
    /// The share of positive rows that were found.
    pub recall: Option<Estimate>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<Estimate>,
    /// The threshold with the highest F1 on these rows.
    pub best_f1: Option<Cut>,
    /// The threshold that costs would choose on these rows, if costs were given.
    pub costs: Option<CostChoice>,
    /// Scores beside outcomes; only of probabilities.
    pub calibration: Option<Calibration>,
    /// At most 200 points; empty if there is one class alone.
    pub roc: Vec<RocPoint>,
    /// At most 200 points; empty if there are no positive rows.
    pub pr: Vec<PrPoint>,
}

/// The threshold that costs choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostChoice {
    /// What wrong decisions cost.
    pub costs: Costs,
    /// The threshold with the lowest mean cost of a row, which is its value.
    pub cheapest: Cut,
    /// The mean cost of a row at the evaluation's threshold.
    pub at_threshold: f64,
}

/// Measures rows that all have a class and a finite score.
pub(super) fn measure(outcome: &[f64], scores: &[f64], options: &EvalOptions) -> Classes {
    let threshold = options.threshold;
    let Some(ranking) = Ranking::new(outcome, scores) else {
        return Classes { threshold, ..Classes::default() };
    };
    let confusion = Confusion::at(&ranking, threshold);
    let cost_choice = |costs: Costs| {
        let cheapest = cheapest(outcome, scores, costs)?;
        Some(CostChoice { costs, cheapest, at_threshold: costs.mean(&confusion)? })
    };
    let [roc_auc, pr_auc, ks, log_loss, brier, accuracy, precision, recall, f1] =
        estimates(&ranking, options);
    Classes {
        positives: confusion.true_positives + confusion.false_negatives,
        roc_auc,
        pr_auc,
        ks,
        log_loss,
        brier,
        threshold,
        confusion,
        accuracy,
        precision,
        recall,
        f1,
        best_f1: best_f1(outcome, scores),
        costs: options.costs.and_then(cost_choice),
        calibration: calibration(outcome, scores, options.bins, options.binning),
        roc: thin_roc(&roc_curve(outcome, scores).unwrap_or_default(), POINTS),
        pr: thin_pr(&pr_curve(outcome, scores).unwrap_or_default(), POINTS),
    }
}

/// ROC AUC, PR AUC, KS, log loss, Brier; accuracy, precision, recall and F1 at the threshold.
fn estimates(ranking: &Ranking, options: &EvalOptions) -> [Option<Estimate>; 9] {
    let losses = |loss: fn(bool, f64) -> f64| -> Option<Vec<f64>> {
        let rows = ranking.positive.iter().zip(&ranking.scores);
        probabilities(&ranking.scores)
            .then(|| rows.map(|(positive, score)| loss(*positive, *score)).collect())
    };
    let (log_losses, briers) = (losses(row_log_loss), losses(row_brier));
    let selected = ranking.steps_at(options.threshold);
    let mut tallies: Vec<Tally> = Vec::new();
    bootstrap::estimates(ranking.rows(), options, |counts| {
        ranking.tally(counts, &mut tallies);
        let [roc_auc, pr_auc, ks] = figures_of(&tallies);
        let mean = |losses: &Option<Vec<f64>>| losses.as_ref().map(|losses| mean(losses, counts));
        let decided = Confusion::of(&tallies, selected);
        let [accuracy, precision] = [decided.accuracy(), decided.precision()];
        let [recall, f1] = [decided.recall(), decided.f1()];
        [roc_auc, pr_auc, ks, mean(&log_losses), mean(&briers), accuracy, precision, recall, f1]
    })
}

/// The mean of values, each counted so many times; the counts add up to the number of values, of which there are some.
pub(super) fn mean(values: &[f64], counts: &[u32]) -> f64 {
    let sum: f64 = values.iter().zip(counts).map(|(value, count)| value * f64::from(*count)).sum();
    sum / values.len() as f64
}
