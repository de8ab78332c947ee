//! From scores to decisions: the threshold that serves best.

use serde::{Deserialize, Serialize};

use super::{Confusion, Ranking, Tally};

/// What wrong decisions cost, in any one unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// A negative row decided positive.
    pub false_positive: f64,
    /// A positive row decided negative.
    pub false_negative: f64,
}

/// A threshold and what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Rows that score at least this are decided positive. It is one of the scores, or just above all of them.
    pub threshold: f64,
    /// The figure that it was chosen by.
    pub value: f64,
}

/// The threshold with the highest F1, which is its value; the highest such threshold. `None` unless there are positive
/// rows.
pub fn best_f1(outcome: &[f64], scores: &[f64]) -> Option<Cut> {
    let ranking = Ranking::new(outcome, scores)?;
    ranking.tallies().last().filter(|all| all.positives > 0)?;
    best(&ranking, |counts| counts.f1().unwrap_or(0.0))
}

/// The threshold with the lowest mean cost of a row, which is its value; the highest such threshold. `None` for costs
/// that are negative or not finite.
pub fn cheapest(outcome: &[f64], scores: &[f64], costs: Costs) -> Option<Cut> {
    let valid = |cost: f64| cost.is_finite() && cost >= 0.0;
    if !valid(costs.false_positive) || !valid(costs.false_negative) {
        return None;
    }
    let cut = best(&Ranking::new(outcome, scores)?, |counts| -costs.mean(counts).unwrap_or(f64::INFINITY))?;
    Some(Cut { value: -cut.value, ..cut })
}

impl Costs {
    /// The mean cost of a row. `None` of no rows.
    pub fn mean(&self, counts: &Confusion) -> Option<f64> {
        let sum = counts.false_positives as f64 * self.false_positive
            + counts.false_negatives as f64 * self.false_negative;
        (counts.rows() > 0).then(|| sum / counts.rows() as f64)
    }
}

/// Of "no row" and each step, by falling threshold, the first with the highest value.
fn best(ranking: &Ranking, value: impl Fn(&Confusion) -> f64) -> Option<Cut> {
    let tallies: Vec<Tally> = ranking.tallies();
    let above = ranking.scores.first()?.next_up();
    let thresholds = std::iter::once(above).chain(ranking.thresholds());
    let cuts = thresholds
        .enumerate()
        .map(|(selected, threshold)| Cut { threshold, value: value(&Confusion::of(&tallies, selected)) });
    cuts.reduce(|best, next| if next.value > best.value { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::confusion;

    const OUTCOME: [f64; 8] = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    const SCORES: [f64; 8] = [0.9, 0.8, 0.7, 0.7, 0.4, 0.3, 0.2, 0.1];

    #[test]
    fn the_best_thresholds_are_those_found_by_trying_each() {
        let thresholds = SCORES.iter().copied().chain([0.9_f64.next_up()]);
        let counts: Vec<Confusion> =
            thresholds.map(|threshold| confusion(&OUTCOME, &SCORES, threshold).unwrap()).collect();
        let f1 = counts.iter().filter_map(Confusion::f1).fold(0.0, f64::max);
        assert_eq!(best_f1(&OUTCOME, &SCORES), Some(Cut { threshold: 0.4, value: f1 }));
        for (false_positive, false_negative) in [(1.0, 1.0), (1.0, 5.0), (5.0, 1.0), (0.0, 1.0), (1.0, 0.0)] {
            let costs = Costs { false_positive, false_negative };
            let least = counts.iter().filter_map(|counts| costs.mean(counts)).fold(f64::INFINITY, f64::min);
            let cut = cheapest(&OUTCOME, &SCORES, costs).unwrap();
            assert_eq!(cut.value, least);
            assert_eq!(costs.mean(&confusion(&OUTCOME, &SCORES, cut.threshold).unwrap()), Some(least));
        }
    }

    #[test]
    fn selecting_nobody_can_be_cheapest() {
        let costs = Costs { false_positive: 100.0, false_negative: 1.0 };
        let cut = cheapest(&[1.0, 0.0], &[0.2, 1.0], costs).unwrap();
        assert!(cut.threshold > 1.0);
        assert_eq!(cut.value, 0.5);
    }

    #[test]
    fn costs_that_are_no_costs_choose_nothing() {
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let costs = Costs { false_positive: bad, false_negative: 1.0 };
            assert_eq!(cheapest(&OUTCOME, &SCORES, costs), None);
        }
        assert_eq!(best_f1(&[0.0, 0.0], &[0.1, 0.2]), None);
    }
}
