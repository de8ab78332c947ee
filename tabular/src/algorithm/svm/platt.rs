//! Platt's scaling: the logistic curve from decision values to probabilities.
//!
//! As in Lin, Lin and Weng, "A note on Platt's probabilistic outputs for support vector machines", Machine Learning 68
//! (2007): Newton's method with backtracking, towards targets a little inside 0 and 1.

/// Slope and shift of the log odds over decision values.
pub(super) fn platt(values: &[f64], outcomes: &[f64], weights: &[f64]) -> (f64, f64) {
    let positive: f64 = outcomes.iter().zip(weights).map(|(y, weight)| y * weight).sum();
    let negative = weights.iter().sum::<f64>() - positive;
    let (high, low) = ((positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0));
    let targets: Vec<f64> = outcomes.iter().map(|y| if *y > 0.5 { high } else { low }).collect();
    let curve = Curve { values, targets, weights };
    let mut at = (0.0, ((positive + 1.0) / (negative + 1.0)).ln());
    let mut loss = curve.loss(at);
    for _ in 0..100 {
        let Some(next) = curve.downhill(at, loss) else {
            break;
        };
        (at, loss) = next;
    }
    at
}

#[derive(Debug)]
struct Curve<'a> {
    values: &'a [f64],
    targets: Vec<f64>,
    weights: &'a [f64],
}

impl Curve<'_> {
    fn rows(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let targets = self.values.iter().zip(&self.targets);
        targets.zip(self.weights).map(|((value, target), weight)| (*value, *target, *weight))
    }

    fn loss(&self, (slope, shift): (f64, f64)) -> f64 {
        let loss = |(value, target, weight): (f64, f64, f64)| {
            let raw = slope * value + shift;
            weight * (raw.max(0.0) - target * raw + (-raw.abs()).exp().ln_1p())
        };
        self.rows().map(loss).sum()
    }

    /// A Newton step, or as much of it as lowers the loss; none where the slope of the loss is nearly level.
    fn downhill(&self, (slope, shift): (f64, f64), loss: f64) -> Option<((f64, f64), f64)> {
        let (mut g, mut h) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
        for (value, target, weight) in self.rows() {
            let p = crate::model::logistic(slope * value + shift);
            let (first, second) = (weight * (target - p), weight * p * (1.0 - p));
            g = [g[0] + first * value, g[1] + first];
            h = [h[0] + second * value * value, h[1] + second * value, h[2] + second];
        }
        if g[0].abs() < 1e-9 && g[1].abs() < 1e-9 {
            return None;
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = ((h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant);
        let mut share = 1.0;
        while share > 1e-10 {
            let next = (slope + share * step.0, shift + share * step.1);
            let lower = self.loss(next);
            if lower < loss {
                return Some((next, lower));
            }
            share /= 2.0;
        }
        None
    }
}
