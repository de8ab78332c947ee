//! What is predicted: two classes or a number.

use super::{Action, CleanOptions, Finding, columns::shown};
use crate::{
    algorithm::Work,
    schema::{Outcome, OutcomeKind, Schema},
    table::{Column, TableError},
};

/// Pairs of which the second is usually meant to be predicted.
const PAIRS: [(&str, &str); 10] = [
    ("0", "1"),
    ("-1", "1"),
    ("1", "2"),
    ("no", "yes"),
    ("n", "y"),
    ("false", "true"),
    ("f", "t"),
    ("good", "bad"),
    ("negative", "positive"),
    ("neg", "pos"),
];

/// So many different whole numbers may be classes, and are refused unless somebody says that they are numbers.
const PERHAPS_CLASSES: usize = 10;

/// A smaller share of one class than this is worth a word.
const IMBALANCE: f64 = 0.1;

/// The outcome of a table: its definition and its values.
pub(super) struct Defined {
    pub(super) outcome: Outcome,
    /// 1 for the positive class, or the number.
    pub(super) values: Vec<f64>,
}

/// Defines the outcome from a target column without missing values.
pub(super) fn define(
    target: &str,
    column: &Column,
    options: &CleanOptions,
    findings: &mut Vec<Finding>,
) -> Result<Defined, TableError> {
    let values = distinct(column);
    let kind = match as_number(column, &values, options).map_err(|error| error.in_column(target))? {
        true => OutcomeKind::Number,
        false => classes(&values, options, target, findings).map_err(|error| error.in_column(target))?,
    };
    let values = read(&kind, column).map_err(|error| error.in_column(target))?;
    if matches!(kind, OutcomeKind::Classes { .. }) {
        findings.extend(imbalance(&values, target));
    }
    Ok(Defined { outcome: Outcome { column: target.to_owned(), kind }, values })
}

/// The outcome of further rows, e.g. of a hold-out file: 1 for the positive class and 0 for the other, or the number.
///
/// # Errors
/// A missing value, a value that is neither class, or a word where a number is wanted.
pub fn outcome(schema: &Schema, column: &Column) -> Result<Vec<f64>, TableError> {
    read(&schema.outcome.kind, column).map_err(|error| error.in_column(&schema.outcome.column))
}

/// Whether the target is a number; refuses what is neither that nor two classes.
fn as_number(
    column: &Column,
    values: &[(String, usize)],
    options: &CleanOptions,
) -> Result<bool, TableError> {
    let Column::Numbers(numbers) = column else {
        return if options.work == Some(Work::Numbers) {
            let word = values.iter().find(|(value, _)| value.parse::<f64>().is_err());
            let word = word.map_or("", |(word, _)| word.as_str());
            Err(TableError::new(format!("is to be a number, but has the value `{}`", shown(word))))
        } else {
            Ok(false)
        };
    };
    let whole = numbers.iter().all(|number| number.fract() == 0.0);
    match options.work {
        Some(Work::Classes) => Ok(false),
        Some(Work::Numbers) if values.len() == 1 => Err(one_value(values)),
        Some(Work::Numbers) => Ok(true),
        None if options.positive.is_some() || values.len() <= 2 => Ok(false),
        None if whole && values.len() <= PERHAPS_CLASSES => Err(TableError::new(format!(
            "has {}; two classes or a number can be predicted: if these are amounts and not classes, say that the target is a number",
            different(values)
        ))),
        None => Ok(true),
    }
}

fn classes(
    values: &[(String, usize)],
    options: &CleanOptions,
    target: &str,
    findings: &mut Vec<Finding>,
) -> Result<OutcomeKind, TableError> {
    let [(a, _), (b, _)] = values else {
        return Err(if values.len() < 2 {
            one_value(values)
        } else {
            TableError::new(format!(
                "has {}; two classes can be predicted, not more: merge or leave out rows until two are left",
                different(values)
            ))
        });
    };
    let is = |value: &str, wanted: &str| {
        value == wanted || number(wanted).is_some_and(|n| number(value) == Some(n))
    };
    let second = match &options.positive {
        Some(wanted) if is(a, wanted) => false,
        Some(wanted) if is(b, wanted) => true,
        Some(wanted) => {
            return Err(TableError::new(format!("never is `{wanted}`; its values are `{a}` and `{b}`")));
        }
        None => usual(a, b).unwrap_or_else(|| {
            let second = values.first().map(|v| v.1) > values.last().map(|v| v.1);
            let rarer = if second { b } else { a };
            let what = format!(
                "`{rarer}`, the rarer value, is taken as the positive class; name another if it is not"
            );
            findings.push(Finding::of(target, Action::Warned, what));
            second
        }),
    };
    let (negative, positive) = if second { (a, b) } else { (b, a) };
    Ok(OutcomeKind::Classes { negative: negative.clone(), positive: positive.clone() })
}

/// Whether the second of two values is the usual positive one; `None` if the pair is not a usual one.
fn usual(a: &str, b: &str) -> Option<bool> {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    PAIRS.iter().find_map(|(negative, positive)| {
        if (a.as_str(), b.as_str()) == (*negative, *positive) {
            Some(true)
        } else {
            ((b.as_str(), a.as_str()) == (*negative, *positive)).then_some(false)
        }
    })
}

fn read(kind: &OutcomeKind, column: &Column) -> Result<Vec<f64>, TableError> {
    (0..column.len()).map(|row| value(kind, column, row).map_err(|error| error.at_row(row))).collect()
}

fn value(kind: &OutcomeKind, column: &Column, row: usize) -> Result<f64, TableError> {
    let missing = || TableError::new("the outcome is missing");
    match (kind, column) {
        (OutcomeKind::Number, Column::Numbers(values)) => {
            values.get(row).copied().filter(|value| value.is_finite()).ok_or_else(missing)
        }
        (OutcomeKind::Number, Column::Words(_)) => {
            let word = column.text(row).ok_or_else(missing)?;
            number(&word).ok_or_else(|| TableError::new(format!("`{}` is not a number", shown(&word))))
        }
        (OutcomeKind::Classes { negative, positive }, _) => {
            let found = column.text(row).ok_or_else(missing)?;
            let is = |class: &str| found == class || number(class).is_some_and(|n| number(&found) == Some(n));
            match (is(positive), is(negative)) {
                (true, _) => Ok(1.0),
                (_, true) => Ok(0.0),
                _ => {
                    let found = shown(&found);
                    Err(TableError::new(format!("`{found}` is neither `{positive}` nor `{negative}`")))
                }
            }
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// The different values and how often they occur, sorted; enough of them to tell that there are too many.
fn distinct(column: &Column) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for row in 0..column.len() {
        let Some(text) = column.text(row) else { continue };
        *counts.entry(text).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn different(values: &[(String, usize)]) -> String {
    let names: Vec<_> = values.iter().map(|(value, _)| shown(value)).collect();
    format!("{} different values ({})", values.len(), crate::table::listed(&names))
}

fn one_value(values: &[(String, usize)]) -> TableError {
    let value = values.first().map_or("", |(value, _)| value.as_str());
    TableError::new(format!("is always `{}`; there is nothing to predict", shown(value)))
}

fn imbalance(values: &[f64], target: &str) -> Option<Finding> {
    let share = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let rarer = share.min(1.0 - share);
    (rarer < IMBALANCE).then(|| {
        let what = format!(
            "the classes are out of balance: the rarer one is {:.1} % of the rows; accuracy says little, look at precision and recall",
            100.0 * rarer
        );
        Finding::of(target, Action::Warned, what)
    })
}
