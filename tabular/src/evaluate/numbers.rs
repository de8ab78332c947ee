//! The figures of predicted numbers.

use serde::{Deserialize, Serialize};

use super::{Estimate, EvalOptions, bootstrap, classes::mean};
use crate::metrics::{Bin, number_bins, r2};

/// The figures of predicted numbers. A figure without meaning is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// The root of the mean squared error, in the outcome's unit.
    pub rmse: Option<Estimate>,
    /// The mean absolute error, in the outcome's unit.
    pub mae: Option<Estimate>,
    /// The share of variance explained.
    pub r2: Option<Estimate>,
    /// Mean prediction beside mean outcome, in bins of about equally many rows.
    pub bins: Vec<Bin>,
}

/// Measures rows that all have a finite outcome and a finite score.
pub(super) fn measure(outcome: &[f64], scores: &[f64], options: &EvalOptions) -> Numbers {
    if outcome.is_empty() {
        return Numbers { rmse: None, mae: None, r2: None, bins: Vec::new() };
    }
    let errors: Vec<f64> = outcome.iter().zip(scores).map(|(outcome, score)| score - outcome).collect();
    let squares: Vec<f64> = errors.iter().map(|error| error * error).collect();
    let sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    let varied = r2(outcome, scores).is_some();
    let figures = |counts: &[u32]| {
        let square = mean(&squares, counts);
        let spread = if varied { spread(outcome, counts) } else { 0.0 };
        let r2 = (spread > 0.0).then(|| 1.0 - square / spread);
        [Some(square.sqrt()), Some(mean(&sizes, counts)), r2].map(finite)
    };
    let [rmse, mae, r2] = bootstrap::estimates(outcome.len(), options, figures);
    Numbers { rmse, mae, r2, bins: number_bins(outcome, scores, options.bins) }
}

/// The variance of values, each counted so many times.
fn spread(values: &[f64], counts: &[u32]) -> f64 {
    let middle = mean(values, counts);
    let squares = values.iter().map(|value| (value - middle) * (value - middle));
    squares.zip(counts).map(|(square, count)| square * f64::from(*count)).sum::<f64>() / values.len() as f64
}

fn finite(figure: Option<f64>) -> Option<f64> {
    figure.filter(|figure| figure.is_finite())
}
