//! Inputs that alone tell the outcome: mostly they were written down after it, and are not there when it is asked for.

use std::collections::HashMap;

use super::{Action, Finding, outcome::Defined};
use crate::{
    metrics,
    schema::OutcomeKind,
    table::{Column, Table},
};

/// An area under the ROC curve from which an input is suspected.
const AREA: f64 = 0.98;

/// A share of the variance from which an input is suspected.
const SHARE: f64 = 0.98;

/// The inputs that alone tell the outcome too well.
pub(super) fn suspects(table: &Table, defined: &Defined) -> Vec<Finding> {
    let classes = matches!(defined.outcome.kind, OutcomeKind::Classes { .. });
    let inputs = table.names.iter().zip(&table.columns);
    inputs.filter_map(|(name, column)| suspect(name, column, &defined.values, classes)).collect()
}

fn suspect(name: &str, column: &Column, outcome: &[f64], classes: bool) -> Option<Finding> {
    let absent: Vec<f64> = (0..column.len()).map(|row| f64::from(u8::from(column.is_missing(row)))).collect();
    let strength = |(outcome, guess): (Vec<f64>, Vec<f64>)| {
        if classes { area(&outcome, &guess) } else { share(&outcome, &guess) }
    };
    let by_value = strength(guess(column, outcome));
    let by_absence = strength((outcome.to_vec(), absent));
    let strongest = by_value.into_iter().chain(by_absence).fold(0.0, f64::max);
    let (limit, said) = if classes {
        (AREA, format!("area under the ROC curve {strongest:.3}"))
    } else {
        (SHARE, format!("{:.1} % of the variance", 100.0 * strongest))
    };
    (strongest >= limit).then(|| {
        let what = format!(
            "alone tells the outcome ({said}): is it known before the outcome is? if not, leave it out, or the model will fail in use"
        );
        Finding::of(name, Action::Warned, what)
    })
}

/// What the column alone would say, and the outcomes beside: a number as it is, a level's mean outcome in the even rows
/// said of the odd rows.
fn guess(column: &Column, outcome: &[f64]) -> (Vec<f64>, Vec<f64>) {
    match column {
        Column::Numbers(values) => {
            outcome.iter().zip(values).filter(|(_, value)| !value.is_nan()).map(|(o, v)| (*o, *v)).unzip()
        }
        Column::Words(words) => {
            let rows = || words.iter().zip(outcome);
            let mut means = HashMap::<Option<&str>, (f64, f64)>::new();
            for (word, value) in rows().step_by(2) {
                let (sum, count) = means.entry(word.as_deref()).or_default();
                *sum += value;
                *count += 1.0;
            }
            let said = |word: &Option<String>| means.get(&word.as_deref()).map(|(sum, count)| sum / count);
            rows().skip(1).step_by(2).filter_map(|(word, value)| Some((*value, said(word)?))).unzip()
        }
    }
}

fn area(outcome: &[f64], guess: &[f64]) -> Option<f64> {
    metrics::roc_auc(outcome, guess).map(|area| area.max(1.0 - area))
}

/// The squared correlation.
fn share(outcome: &[f64], guess: &[f64]) -> Option<f64> {
    let count = outcome.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (a, b) = (mean(outcome), mean(guess));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in outcome.iter().zip(guess) {
        ab += (x - a) * (y - b);
        aa += (x - a).powi(2);
        bb += (y - b).powi(2);
    }
    // Two rows always lie on a line.
    (count > 2.0 && aa > 0.0 && bb > 0.0).then(|| ab / aa * (ab / bb)).filter(|share| share.is_finite())
}
