//! How far predicted numbers are from what came.

/// The root of the mean squared error, in the outcome's unit.
pub fn rmse(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    mean(outcome, scores, |error| error * error).map(f64::sqrt)
}

/// The mean absolute error, in the outcome's unit.
pub fn mae(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    mean(outcome, scores, f64::abs)
}

/// The share of the outcome's variance that the scores explain; below 0 if the mean would have done better. `None` for
/// an outcome that is always the same.
pub fn r2(outcome: &[f64], scores: &[f64]) -> Option<f64> {
    let error = mean(outcome, scores, |error| error * error)?;
    let middle = outcome.iter().sum::<f64>() / outcome.len() as f64;
    let spread = outcome.iter().map(|value| (value - middle) * (value - middle)).sum::<f64>();
    let varied = outcome.iter().any(|value| Some(value) != outcome.first());
    let r2 = 1.0 - error * outcome.len() as f64 / spread;
    (varied && r2.is_finite()).then_some(r2)
}

/// The mean of a loss of `score - outcome`. `None` where there are no rows or the mean is not finite.
fn mean(outcome: &[f64], scores: &[f64], loss: impl Fn(f64) -> f64) -> Option<f64> {
    if outcome.is_empty() || outcome.len() != scores.len() {
        return None;
    }
    let sum: f64 = outcome.iter().zip(scores).map(|(outcome, score)| loss(score - outcome)).sum();
    Some(sum / outcome.len() as f64).filter(|mean| mean.is_finite())
}
