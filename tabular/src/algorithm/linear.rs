//! Linear and logistic regression, by Newton's method on the whole Hessian: the penalised losses are convex, a few steps
//! reach the optimum to machine precision, and equal columns do no harm.

use nalgebra::{Cholesky, DMatrix, DVector, DVectorView};
use rayon::prelude::*;

use super::check::{Cases, at_most};
use super::settings::LinearSettings;
use super::{FitError, Work};
use crate::model::{Form, Linear, Link, Model, logistic};
use crate::progress::Progress;

/// The Hessian of so many columns takes 32 MB, and a second or two a step.
const COLUMNS: usize = 2000;
/// Newton's method takes five to ten steps; each may be halved so often.
const STEPS: usize = 100;
const HALVINGS: usize = 40;
/// Stands in for the second derivative of a row that is as good as decided.
const FLAT: f64 = 1e-20;
/// Rows whose products are summed by one thread.
const BLOCK: usize = 2048;

pub(super) fn fit(
    cases: &Cases<'_>,
    settings: &LinearSettings,
    progress: &dyn Progress,
) -> Result<Model, FitError> {
    let columns = cases.x.width();
    at_most(columns, COLUMNS).map_err(|most| FitError::TooManyColumns { columns, most })?;
    progress.begin("fitting weights", 1);
    let problem = Problem::new(cases, settings);
    let (link, solution) = match cases.work {
        Work::Classes => (Link::Logistic, problem.logistic()?),
        Work::Numbers => (Link::Identity, problem.least_squares()?),
    };
    progress.advance(1);
    Ok(Model { link, form: Form::Linear(problem.linear(&solution)) })
}

/// Columns are centred, and a column of ones comes last: the intercept, which no penalty falls on.
#[derive(Debug)]
struct Problem<'a> {
    cases: &'a Cases<'a>,
    means: Vec<f64>,
    /// What is added to the Hessian's diagonal.
    penalty: f64,
    width: usize,
}

impl<'a> Problem<'a> {
    fn new(cases: &'a Cases<'a>, settings: &LinearSettings) -> Self {
        let penalty = match cases.work {
            Work::Classes => 1.0 / settings.cost,
            Work::Numbers => settings.ridge * cases.weight(),
        };
        Self { cases, means: cases.means(), penalty, width: cases.x.width() + 1 }
    }

    /// Least squares is a single Newton step from anywhere.
    fn least_squares(&self) -> Result<DVector<f64>, FitError> {
        let mean = self.cases.mean();
        let mut solution = self
            .step(&DVector::zeros(self.width), |row| {
                let weight = self.cases.weights[row];
                (weight * (self.cases.y[row] - mean), weight)
            })?
            .0;
        solution[self.width - 1] += mean;
        Ok(solution)
    }

    fn logistic(&self) -> Result<DVector<f64>, FitError> {
        let mut at = DVector::zeros(self.width);
        let mean = self.cases.mean();
        at[self.width - 1] = (mean / (1.0 - mean)).ln();
        let mut loss = self.loss(&at);
        for _ in 0..STEPS {
            let raw = self.raw(&at);
            let (step, gain) = self.step(&at, |row| {
                let p = logistic(raw[row]);
                let weight = self.cases.weights[row];
                (weight * (self.cases.y[row] - p), weight * (p * (1.0 - p)).max(FLAT))
            })?;
            // What the step promises to gain is lost in the loss' last digits, or is nothing: this is the optimum.
            if gain <= 1e-12 * (loss + 1.0) {
                return Ok(at);
            }
            let Some(next) = self.downhill(&at, &step, loss) else {
                return Ok(at);
            };
            (at, loss) = next;
        }
        Err(FitError::Unfinished { what: "the best weights of logistic regression", steps: STEPS })
    }

    /// The whole step, or as much of it as lowers the loss.
    fn downhill(&self, at: &DVector<f64>, step: &DVector<f64>, loss: f64) -> Option<(DVector<f64>, f64)> {
        let mut share = 1.0;
        for _ in 0..HALVINGS {
            let next = at + step * share;
            let lower = self.loss(&next);
            if lower < loss {
                return Some((next, lower));
            }
            share /= 2.0;
        }
        None
    }

    /// The Newton step from the rows' derivatives (first, with the sign of a correction, and second), and what it gains.
    fn step(
        &self,
        at: &DVector<f64>,
        derivatives: impl Fn(usize) -> (f64, f64) + Sync,
    ) -> Result<(DVector<f64>, f64), FitError> {
        let blocks = self.cases.rows().div_ceil(BLOCK);
        // Blocks, not threads, decide in which order numbers are added.
        let parts: Vec<_> =
            (0..blocks).into_par_iter().map(|block| self.block(block, &derivatives)).collect();
        let mut hessian = DMatrix::<f64>::zeros(self.width, self.width);
        let mut gradient = DVector::<f64>::zeros(self.width);
        for (part_of_hessian, part_of_gradient) in &parts {
            hessian += part_of_hessian;
            gradient += part_of_gradient;
        }
        for column in 0..self.width - 1 {
            hessian[(column, column)] += self.penalty;
            gradient[column] -= self.penalty * at[column];
        }
        let factors = Cholesky::new(hessian).ok_or(FitError::Numerical("the columns' products"))?;
        let step = factors.solve(&gradient);
        let gain = gradient.dot(&step) / 2.0;
        if gain.is_finite() { Ok((step, gain)) } else { Err(FitError::Numerical("the columns' products")) }
    }

    fn block(
        &self,
        block: usize,
        derivatives: &(impl Fn(usize) -> (f64, f64) + Sync),
    ) -> (DMatrix<f64>, DVector<f64>) {
        let rows = block * BLOCK..((block + 1) * BLOCK).min(self.cases.rows());
        let mut scaled = DMatrix::<f64>::zeros(self.width, rows.len());
        let mut gradient = DVector::<f64>::zeros(self.width);
        for (mut column, row) in scaled.column_iter_mut().zip(rows) {
            self.centred(row, column.as_mut_slice());
            let (g, h) = derivatives(row);
            gradient.axpy(g, &column, 1.0);
            column *= h.sqrt();
        }
        (&scaled * scaled.transpose(), gradient)
    }

    fn centred(&self, row: usize, into: &mut [f64]) {
        let values = self.cases.x.row(row).iter().zip(&self.means);
        into.iter_mut().zip(values).for_each(|(into, (value, mean))| *into = value - mean);
        into[self.width - 1] = 1.0;
    }

    fn raw(&self, at: &DVector<f64>) -> Vec<f64> {
        let mut row = vec![0.0; self.width];
        let mut raw = Vec::with_capacity(self.cases.rows());
        for index in 0..self.cases.rows() {
            self.centred(index, &mut row);
            raw.push(at.dot(&DVectorView::from_slice(&row, self.width)));
        }
        raw
    }

    /// Log loss and penalty.
    fn loss(&self, at: &DVector<f64>) -> f64 {
        let rows = self.raw(at).into_iter().zip(self.cases.y.iter().zip(self.cases.weights.iter()));
        let losses = rows.map(|(raw, (y, weight))| {
            let against = if *y > 0.5 { -raw } else { raw };
            weight * (against.max(0.0) + (-against.abs()).exp().ln_1p())
        });
        let weights = at.rows(0, self.width - 1);
        losses.sum::<f64>() + self.penalty / 2.0 * weights.norm_squared()
    }

    /// The solution over columns as they are.
    fn linear(self, solution: &DVector<f64>) -> Linear {
        let weights: Vec<f64> = solution.iter().take(self.width - 1).copied().collect();
        let moved: f64 = weights.iter().zip(&self.means).map(|(weight, mean)| weight * mean).sum();
        Linear { weights, intercept: solution[self.width - 1] - moved, means: self.means }
    }
}
