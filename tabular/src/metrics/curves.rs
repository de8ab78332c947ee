//! The ROC and the precision-recall curve.

use serde::{Deserialize, Serialize};

use super::{Ranking, Tally, share};

/// A point of the ROC curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// The share of negative rows at or above the threshold.
    pub false_positive_rate: f64,
    /// The share of positive rows at or above the threshold.
    pub true_positive_rate: f64,
    /// `None` at the first point, which is above every score.
    pub threshold: Option<f64>,
}

/// A point of the precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrPoint {
    /// The share of positive rows at or above the threshold.
    pub recall: f64,
    /// The share of rows at or above the threshold that are positive; 1 by convention above every score.
    pub precision: f64,
    /// `None` at the first point, which is above every score.
    pub threshold: Option<f64>,
}

/// From (0, 0) to (1, 1) by falling threshold, points on a straight line between others left out. `None` unless there
/// are rows of both classes.
pub fn roc_curve(outcome: &[f64], scores: &[f64]) -> Option<Vec<RocPoint>> {
    roc_points(&Ranking::new(outcome, scores)?)
}

/// From no recall to full recall by falling threshold. `None` unless there are positive rows.
pub fn pr_curve(outcome: &[f64], scores: &[f64]) -> Option<Vec<PrPoint>> {
    pr_points(&Ranking::new(outcome, scores)?)
}

fn roc_points(ranking: &Ranking) -> Option<Vec<RocPoint>> {
    let tallies = ranking.tallies();
    let all = tallies.last()?;
    let point = |tally: &Tally, threshold| {
        Some(RocPoint {
            false_positive_rate: share(tally.negatives, all.negatives)?,
            true_positive_rate: share(tally.positives, all.positives)?,
            threshold,
        })
    };
    let steps: Vec<(Tally, f64)> = tallies.iter().copied().zip(ranking.thresholds()).collect();
    let corner = |step: &usize| match (
        step.checked_sub(1).and_then(|before| steps.get(before)),
        steps.get(step + 1),
    ) {
        (Some((before, _)), Some((after, _))) => !halfway(before, &steps[*step].0, after),
        _ => true,
    };
    let kept = (0..steps.len()).filter(corner).map(|step| point(&steps[step].0, Some(steps[step].1)));
    std::iter::once(point(&Tally::default(), None)).chain(kept).collect()
}

/// Whether a step lies halfway between its neighbours.
fn halfway(before: &Tally, step: &Tally, after: &Tally) -> bool {
    2 * step.positives == before.positives + after.positives
        && 2 * step.negatives == before.negatives + after.negatives
}

fn pr_points(ranking: &Ranking) -> Option<Vec<PrPoint>> {
    let tallies = ranking.tallies();
    let all = tallies.last()?;
    let first = (all.positives > 0).then_some(PrPoint { recall: 0.0, precision: 1.0, threshold: None });
    let rest = tallies.iter().zip(ranking.thresholds()).map(|(tally, threshold)| {
        Some(PrPoint {
            recall: share(tally.positives, all.positives)?,
            precision: share(tally.positives, tally.positives + tally.negatives)?,
            threshold: Some(threshold),
        })
    });
    std::iter::once(first).chain(rest).collect()
}

/// At most `most` points (at least two) of a ROC curve, evenly along its way, with both ends.
pub fn thin_roc(points: &[RocPoint], most: usize) -> Vec<RocPoint> {
    thin(points, most, |point| (point.false_positive_rate, point.true_positive_rate))
}

/// At most `most` points (at least two) of a precision-recall curve, evenly along its way, with both ends.
pub fn thin_pr(points: &[PrPoint], most: usize) -> Vec<PrPoint> {
    thin(points, most, |point| (point.recall, point.precision))
}

fn thin<P: Copy>(points: &[P], most: usize, place: impl Fn(&P) -> (f64, f64)) -> Vec<P> {
    let most = most.max(2);
    if points.len() <= most {
        return points.to_vec();
    }
    let mut way = 0.0;
    let mut ways = vec![0.0];
    for pair in points.windows(2) {
        let ((x, y), (next_x, next_y)) = (place(&pair[0]), place(&pair[1]));
        way += (next_x - x).abs() + (next_y - y).abs();
        ways.push(way);
    }
    let stride = way / (most - 1) as f64;
    let mut kept = vec![points[0]];
    let mut due = stride;
    let last = points.len() - 1;
    for step in 1..last {
        if ways[step] >= due && kept.len() < most - 1 {
            kept.push(points[step]);
            // The next is due a stride from here: a long way between two points earns no further ones.
            due = ways[step] + stride;
        }
    }
    kept.push(points[last]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavy(rows: u32) -> (Vec<f64>, Vec<f64>) {
        let scores: Vec<f64> = (0..rows).map(|row| f64::from(row) / f64::from(rows)).collect();
        let outcome = (0..rows).map(|row| f64::from(u8::from(row * row % 7 > 2))).collect();
        (outcome, scores)
    }

    #[test]
    fn a_thinned_curve_keeps_its_ends_and_stays_near_the_whole_one() {
        let (outcome, scores) = wavy(5000);
        let whole = roc_curve(&outcome, &scores).unwrap();
        let thinned = thin_roc(&whole, 200);
        assert!(whole.len() > 1000 && thinned.len() <= 200 && thinned.len() > 150, "{}", thinned.len());
        assert_eq!((thinned.first(), thinned.last()), (whole.first(), whole.last()));
        let area = |points: &[RocPoint]| -> f64 {
            let strips = points.windows(2).map(|pair| {
                (pair[1].false_positive_rate - pair[0].false_positive_rate)
                    * (pair[1].true_positive_rate + pair[0].true_positive_rate)
                    / 2.0
            });
            strips.sum()
        };
        assert!((area(&whole) - area(&thinned)).abs() < 1e-3);
        let precise = thin_pr(&pr_curve(&outcome, &scores).unwrap(), 200);
        assert!(precise.len() <= 200);
        assert_eq!(precise.last().map(|point| point.recall), Some(1.0));
    }

    #[test]
    fn a_short_curve_is_not_thinned() {
        let (outcome, scores) = wavy(20);
        let whole = pr_curve(&outcome, &scores).unwrap();
        assert_eq!(thin_pr(&whole, 200), whole);
    }
}
