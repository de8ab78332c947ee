//! What a score is made of: for each feature how much it moves the raw score of one row, away from the mean. The parts
//! and the mean add up to the raw score.
//!
//! The raw score is the log odds of a logistic link, else the score itself: see [`Link`](crate::model::Link).

use crate::Matrix;
use crate::model::{Form, Linear, Model};
use crate::prepare::Encoder;
use crate::schema::Schema;

mod kernel;
mod quadrature;
mod reasons;
#[cfg(test)]
mod tests;
mod trees;

pub use reasons::{Direction, Reason, reasons};

/// Explains rows of one model. Made once: it holds what does not depend on the row.
///
/// | model | method | measured from |
/// |---|---|---|
/// | linear | weight times distance from the mean | the mean row of the training data |
/// | trees | `TreeSHAP`, path dependent | the mean raw score of the training data |
/// | kernel | Shapley values | the mean raw score of the model's background rows |
///
/// None of them samples: the same row always gets the same contributions.
#[derive(Clone, Debug)]
pub struct Explainer {
    /// For each matrix column its feature.
    columns: Vec<usize>,
    /// How many features there are.
    features: usize,
    method: Method,
}

#[derive(Clone, Debug)]
enum Method {
    Linear(Linear),
    Trees(trees::Ensemble),
    Kernel(kernel::Machine),
}

/// What the raw score of one row is made of: `base + Σ values == raw`, but for rounding.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Contributions {
    /// The raw score before anything is known about the row.
    pub base: f64,
    /// The raw score of the row.
    pub raw: f64,
    /// One per feature of the schema, in its order.
    pub values: Vec<f64>,
    /// Whether they are the method's exact values. They are not where more than 128 features act together.
    pub exact: bool,
}

impl Explainer {
    /// For a model over the rows that an encoder makes. The two must fit each other, as those of an
    /// [`Artefact`](crate::artefact::Artefact) that was read do.
    pub fn new(model: &Model, encoder: &Encoder) -> Self {
        let method = match &model.form {
            Form::Linear(linear) => Method::Linear(linear.clone()),
            Form::Trees(trees) => Method::Trees(trees::Ensemble::new(trees)),
            Form::Kernel(kernel) => Method::Kernel(kernel::Machine::new(kernel, spans(encoder))),
        };
        Self { columns: encoder.features(), features: encoder.blocks.len(), method }
    }

    /// Explains one encoded row. A row of another width than the encoder's has no score: all is `NaN`.
    pub fn contributions(&self, row: &[f64]) -> Contributions {
        if row.len() != self.columns.len() {
            let nothing = f64::NAN;
            return Contributions {
                base: nothing,
                raw: nothing,
                values: vec![nothing; self.features],
                exact: false,
            };
        }
        let mut values = vec![0.0; self.features];
        let (base, raw, exact) = match &self.method {
            Method::Linear(linear) => {
                let (base, raw) = self.linear(linear, row, &mut values);
                (base, raw, true)
            }
            Method::Trees(trees) => {
                let raw = trees.contributions(row, &self.columns, &mut values);
                (trees.base, raw, trees.exact)
            }
            Method::Kernel(machine) => {
                let raw = machine.contributions(row, &mut values);
                (machine.base, raw, machine.exact)
            }
        };
        Contributions { base, raw, values, exact }
    }

    fn linear(&self, linear: &Linear, row: &[f64], values: &mut [f64]) -> (f64, f64) {
        let (mut base, mut raw) = (linear.intercept, linear.intercept);
        let each = row.iter().zip(&linear.means).zip(&linear.weights).zip(&self.columns);
        for (((x, mean), weight), feature) in each {
            base += weight * mean;
            raw += weight * x;
            values[*feature] += weight * (x - mean);
        }
        (base, raw)
    }
}

/// For each feature its mean absolute contribution over the sample's rows, in units of the raw score, largest first. Of a large
/// sample, rows evenly spread over it are used: 1,000, of a kernel machine 50. Empty where there are no rows.
pub fn importance(explainer: &Explainer, schema: &Schema, sample: &Matrix) -> Vec<(String, f64)> {
    let most = if matches!(explainer.method, Method::Kernel(_)) { 50 } else { 1000 };
    let count = sample.rows().min(most);
    if count == 0 {
        return Vec::new();
    }
    let mut sums = vec![0.0; explainer.features];
    for index in 0..count {
        let of_row = explainer.contributions(sample.row(index * sample.rows() / count)).values;
        sums.iter_mut().zip(of_row).for_each(|(sum, value)| *sum += value.abs());
    }
    let means =
        schema.features.iter().zip(sums).map(|(feature, sum)| (feature.name.clone(), sum / count as f64));
    let mut means: Vec<(String, f64)> = means.collect();
    means.sort_by(|one, other| other.1.total_cmp(&one.1));
    means
}

/// For each feature its first matrix column and the one after its last.
fn spans(encoder: &Encoder) -> Vec<(usize, usize)> {
    let mut next = 0;
    let span = |width: usize| {
        let first = next;
        next += width;
        (first, next)
    };
    encoder.blocks.iter().map(crate::prepare::Block::width).map(span).collect()
}
