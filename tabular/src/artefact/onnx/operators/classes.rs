//! What classifiers and regressors of the learned operators do with their sums.

use super::super::attributes::{Attributes, Labels};
use super::super::value::{Element, Outcome, Value};
use super::reduce::{largest, softmax_of};

/// From sums to scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    /// Like softmax, but a sum of 0 stays 0.
    SoftmaxZero,
}

/// How the one sum of a classifier of two classes becomes two scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    /// It is a probability: the first class has the rest of 1.
    Rest,
    /// It is a decision: the first class has its opposite.
    Opposite,
}

impl Transform {
    pub(super) fn of(attributes: &Attributes<'_>) -> Outcome<Self> {
        match attributes.word("post_transform", "NONE")?.as_str() {
            "NONE" => Ok(Self::None),
            "LOGISTIC" => Ok(Self::Logistic),
            "SOFTMAX" => Ok(Self::Softmax),
            "SOFTMAX_ZERO" => Ok(Self::SoftmaxZero),
            other => Err(format!("the transform `{other}` is not supported")),
        }
    }

    /// Of all sums of a row.
    pub(super) fn apply(self, sums: &[f64]) -> Vec<f64> {
        match self {
            Self::None => sums.to_vec(),
            Self::Logistic => sums.iter().map(|sum| logistic(*sum)).collect(),
            Self::Softmax => softmax_of(sums),
            Self::SoftmaxZero => {
                let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let zero = |sum: f64| sum.abs() <= 1e-7;
                let power = |sum: &f64| if zero(*sum) { *sum * (-most).exp() } else { (sum - most).exp() };
                let powers: Vec<f64> = sums.iter().map(power).collect();
                let all: f64 = powers.iter().sum();
                powers.iter().map(|power| power / all).collect()
            }
        }
    }

    /// Two scores from the one sum of a row.
    pub(super) fn both(self, sum: f64, second: Second) -> [f64; 2] {
        match (second, self) {
            (Second::Rest, _) => [1.0 - sum, sum],
            (Second::Opposite, Self::Logistic) => [logistic(-sum), logistic(sum)],
            (Second::Opposite, _) => [-sum, sum],
        }
    }
}

pub(super) fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

/// The outputs of a classifier: for each row the label of its highest score, and the scores.
pub(super) fn decided(
    labels: &Labels,
    element: Element,
    scores: Vec<f64>,
    rows: usize,
) -> Outcome<Vec<Value>> {
    let count = labels.len().max(1);
    let chosen: Vec<usize> = scores.chunks_exact(count).map(largest).collect();
    Ok(vec![labels.at(&chosen)?, Value::numbers(element, vec![rows, count], scores)?])
}
