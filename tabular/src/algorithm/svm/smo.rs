//! Sequential minimal optimisation: the dual problem, two variables at a time.
//!
//! `min ½ αᵀQα + pᵀα` with `yᵀα = 0` and `0 <= α_t <= C_t`, where `Q_ts = y_t y_s K(row_t, row_s)`. The pair is chosen by
//! second order information, as in Fan, Chen and Lin, "Working set selection using second order information for training
//! support vector machines", JMLR 6 (2005). A variable whose C is 0 takes no part, but its row still gets a value.

use super::Gram;
use crate::algorithm::FitError;

/// Stands in for a curvature that rounding made zero or negative.
const FLAT: f64 = 1e-12;

/// A dual problem. There is one variable per row for classes, and a second one per row for numbers, after all first ones.
#[derive(Debug)]
pub(super) struct Dual {
    signs: Vec<f64>,
    linear: Vec<f64>,
    costs: Vec<f64>,
}

/// What the search found: `value(x) = intercept + Σ coefficient_i K(row_i, x)`.
#[derive(Debug)]
pub(super) struct Solution {
    /// One per row; 0 where the row is no support vector.
    pub(super) coefficients: Vec<f64>,
    pub(super) intercept: f64,
    /// The value of each row.
    pub(super) values: Vec<f64>,
}

impl Dual {
    /// Outcomes are 0 and 1.
    pub(super) fn classes(outcomes: &[f64], costs: Vec<f64>) -> Self {
        let signs = outcomes.iter().map(|y| if *y > 0.5 { 1.0 } else { -1.0 }).collect();
        Self { signs, linear: vec![-1.0; costs.len()], costs }
    }

    /// Errors up to `epsilon` cost nothing.
    pub(super) fn numbers(outcomes: &[f64], costs: Vec<f64>, epsilon: f64) -> Self {
        let rows = outcomes.len();
        let above = outcomes.iter().map(|y| epsilon - y);
        let linear = above.chain(outcomes.iter().map(|y| epsilon + y)).collect();
        let signs = (0..2 * rows).map(|at| if at < rows { 1.0 } else { -1.0 }).collect();
        Self { signs, linear, costs: [costs.as_slice(), costs.as_slice()].concat() }
    }
}

/// Solves a dual problem until no pair violates the optimality conditions by more than the tolerance.
pub(super) fn solve(gram: &Gram<'_>, dual: &Dual, tolerance: f64) -> Result<Solution, FitError> {
    let variables = dual.signs.len();
    let most = 10_000_000.max(100 * variables);
    let mut search = Search { gram, dual, alpha: vec![0.0; variables], gradient: dual.linear.clone() };
    for _ in 0..most {
        let Some((i, j)) = search.pair(tolerance) else {
            return Ok(search.solution());
        };
        search.improve(i, j);
    }
    Err(FitError::Unfinished { what: "the support vectors", steps: most })
}

#[derive(Debug)]
struct Search<'a> {
    gram: &'a Gram<'a>,
    dual: &'a Dual,
    alpha: Vec<f64>,
    /// `Qα + p`.
    gradient: Vec<f64>,
}

impl Search<'_> {
    /// Whether `y_t α_t` may grow.
    fn may_grow(&self, t: usize) -> bool {
        if self.dual.signs[t] > 0.0 { self.alpha[t] < self.dual.costs[t] } else { self.alpha[t] > 0.0 }
    }

    /// Whether `y_t α_t` may shrink.
    fn may_shrink(&self, t: usize) -> bool {
        if self.dual.signs[t] > 0.0 { self.alpha[t] > 0.0 } else { self.alpha[t] < self.dual.costs[t] }
    }

    /// How fast the objective falls as `y_t α_t` grows.
    fn pull(&self, t: usize) -> f64 {
        -self.dual.signs[t] * self.gradient[t]
    }

    /// The variable that pulls most, and the one that gains most with it; none at the optimum.
    fn pair(&self, tolerance: f64) -> Option<(usize, usize)> {
        let (mut first, mut most) = (None, f64::NEG_INFINITY);
        for t in (0..self.alpha.len()).filter(|t| self.may_grow(*t)) {
            if self.pull(t) > most {
                (first, most) = (Some(t), self.pull(t));
            }
        }
        let i = first?;
        let rows = self.gram.rows();
        let kernel = self.gram.row(i % rows);
        let (mut second, mut best, mut least) = (None, 0.0, f64::INFINITY);
        for t in (0..self.alpha.len()).filter(|t| self.may_shrink(*t)) {
            let pull = self.pull(t);
            least = least.min(pull);
            let apart = most - pull;
            if apart > 0.0 {
                let gain = apart * apart / curvature(kernel[t % rows]);
                if gain > best {
                    (second, best) = (Some(t), gain);
                }
            }
        }
        if most - least < tolerance { None } else { second.map(|j| (i, j)) }
    }

    /// Moves `y_i α_i` up and `y_j α_j` down by the same amount, as far as it helps and the bounds allow.
    fn improve(&mut self, i: usize, j: usize) {
        let rows = self.gram.rows();
        let (kernel_i, kernel_j) = (self.gram.row(i % rows), self.gram.row(j % rows));
        let wanted = (self.pull(i) - self.pull(j)) / curvature(kernel_i[j % rows]);
        let (room_i, room_j) = (self.room(i, true), self.room(j, false));
        let step = wanted.min(room_i).min(room_j);
        self.shift(i, step, room_i);
        self.shift(j, -step, room_j);
        for (gradients, signs) in self.gradient.chunks_mut(rows).zip(self.dual.signs.chunks(rows)) {
            for t in 0..gradients.len() {
                gradients[t] += step * signs[t] * f64::from(kernel_i[t] - kernel_j[t]);
            }
        }
    }

    /// How far `y_t α_t` can go up or down.
    fn room(&self, t: usize, up: bool) -> f64 {
        if up == (self.dual.signs[t] > 0.0) { self.dual.costs[t] - self.alpha[t] } else { self.alpha[t] }
    }

    /// Moves a variable; one that uses all its room ends exactly at its bound.
    fn shift(&mut self, t: usize, step: f64, room: f64) {
        let up = self.dual.signs[t] * step > 0.0;
        self.alpha[t] = match (step.abs() >= room, up) {
            (true, true) => self.dual.costs[t],
            (true, false) => 0.0,
            (false, _) => self.alpha[t] + self.dual.signs[t] * step,
        };
    }

    /// The mean pull of variables between their bounds; without any, the middle of what the bounds allow.
    fn intercept(&self) -> f64 {
        let (mut free, mut count) = (0.0, 0.0);
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for t in 0..self.alpha.len() {
            let (pull, up, down) = (self.pull(t), self.may_grow(t), self.may_shrink(t));
            if up && down {
                free += pull;
                count += 1.0;
            } else if up {
                low = low.max(pull);
            } else if down {
                high = high.min(pull);
            }
        }
        if count > 0.0 { free / count } else { (low + high) / 2.0 }
    }

    fn solution(self) -> Solution {
        let rows = self.gram.rows();
        let intercept = self.intercept();
        let mut coefficients = vec![0.0; rows];
        for (t, alpha) in self.alpha.iter().enumerate() {
            coefficients[t % rows] += self.dual.signs[t] * alpha;
        }
        let rest = self.gradient.iter().zip(&self.dual.linear).zip(&self.dual.signs).take(rows);
        let values = rest.map(|((gradient, linear), sign)| sign * (gradient - linear) + intercept).collect();
        Solution { coefficients, intercept, values }
    }
}

/// The second derivative along a pair's direction: `K_ii + K_jj - 2 K_ij`, where `K_ii` is 1.
fn curvature(between: f32) -> f64 {
    (2.0 - 2.0 * f64::from(between)).max(FLAT)
}
