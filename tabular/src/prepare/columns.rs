//! What a single column is: an input, or something that a model cannot learn from.

use std::collections::HashMap;

use super::{Action, Finding, encode};
use crate::{
    schema::{Feature, Kind},
    table::Column,
};

/// Below so many different values, words are levels whatever their share of the rows.
const FEW: usize = 20;

/// A column as an input.
pub(super) fn feature(name: &str, column: &Column) -> Feature {
    let kind = match column {
        Column::Numbers(values) => {
            let whole = values.iter().filter(|value| !value.is_nan()).all(|value| value.fract() == 0.0);
            if whole { Kind::Integer } else { Kind::Real }
        }
        Column::Words(values) => {
            let mut levels: Vec<_> = counts(values).into_keys().map(str::to_owned).collect();
            levels.sort_unstable();
            Kind::Category { levels }
        }
    };
    Feature { name: name.to_owned(), kind, nullable: column.missing() > 0 }
}

/// Why nothing can be learnt from a column, if so; one that is to stay goes only if it says nothing at all.
pub(super) fn unusable(name: &str, column: &Column, keep: bool) -> Option<String> {
    let missing = column.missing();
    if missing == column.len() {
        return Some("has no value in any row".to_owned());
    }
    if missing == 0 && (1..column.len()).all(|row| column.text(row) == column.text(0)) {
        return Some(format!("is constant: always `{}`", shown(&column.text(0).unwrap_or_default())));
    }
    if keep {
        return None;
    }
    match column {
        Column::Numbers(values) => unusable_numbers(name, values),
        Column::Words(values) => unusable_words(values),
    }
}

fn unusable_numbers(name: &str, values: &[f64]) -> Option<String> {
    if values.len() < FEW || values.iter().any(|value| value.fract() != 0.0) {
        return None;
    }
    if values.iter().all(|value| compact_date(*value)) {
        return Some("holds dates, written as numbers; put a number such as an age in its place".to_owned());
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    if sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return None;
    }
    let steps = |run: &[f64]| run.windows(2).all(|pair| matches!(pair, [a, b] if b - a == 1.0));
    (steps(&sorted) || named_as_identifier(name))
        .then(|| "looks like an identifier: a whole number, and another in each row".to_owned())
}

fn unusable_words(values: &[Option<String>]) -> Option<String> {
    let present: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
    let share = |count: usize| count as f64 / present.len().max(1) as f64;
    let dates = present.iter().filter(|word| date(word)).count();
    if share(dates) >= 0.9 {
        return Some("holds dates; put a number such as an age or the days since in its place".to_owned());
    }
    let distinct = counts(values).len();
    if distinct <= FEW {
        return None;
    }
    let spaces: usize = present.iter().map(|word| word.split_whitespace().count().saturating_sub(1)).sum();
    if share(distinct) > 0.3 && share(spaces) >= 3.0 {
        return Some(format!("looks like free text: {distinct} different values of several words"));
    }
    (share(distinct) > 0.5).then(|| {
        format!("looks like an identifier or a name: {distinct} different values in {} rows", present.len())
    })
}

/// What is done about missing values and rare levels of an input.
pub(super) fn findings(name: &str, column: &Column) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing = column.missing();
    if missing > 0 {
        let share = 100.0 * missing as f64 / column.len().max(1) as f64;
        let how = match column {
            Column::Numbers(_) => "the median takes their place, and a column of its own tells where",
            Column::Words(_) => "they are a level of their own",
        };
        let what = format!("{missing} values are missing ({share:.1} %); {how}");
        findings.push(Finding::of(name, Action::Filled, what));
    }
    if let Column::Words(values) = column {
        let counts = counts(values);
        let kept = encode::common(&counts, values.len()).len();
        if kept < counts.len() {
            let what = format!(
                "{} of {} levels are rare (fewer than {} rows, or beyond the {} most frequent) and taken together",
                counts.len() - kept,
                counts.len(),
                encode::rare(values.len()),
                encode::LEVELS
            );
            findings.push(Finding::of(name, Action::Merged, what));
        }
    }
    findings
}

/// How often each word occurs.
pub(super) fn counts(values: &[Option<String>]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for word in values.iter().flatten() {
        *counts.entry(word.as_str()).or_insert(0) += 1;
    }
    counts
}

/// A value for a message, shortened.
pub(super) fn shown(value: &str) -> String {
    if value.chars().count() <= 40 {
        value.to_owned()
    } else {
        value.chars().take(40).chain(['…']).collect()
    }
}

/// Whether a name says that its values name things: `id`, `customer_no`, `accountKey`.
fn named_as_identifier(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["id", "ids", "key", "uuid", "guid", "index", "no", "nr", "number", "identifier"];
    let last = tokens(name).pop();
    last.is_some_and(|last| WORDS.contains(&last.as_str()))
}

/// The words that a column's name is made of, in lower case.
pub(super) fn tokens(name: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let mut before_is_lower = false;
    for letter in name.chars() {
        let starts = letter.is_uppercase() && before_is_lower;
        before_is_lower = letter.is_lowercase();
        if starts || !letter.is_alphanumeric() {
            tokens.push(String::new());
        }
        if let Some(token) = tokens.last_mut().filter(|_| letter.is_alphanumeric()) {
            token.extend(letter.to_lowercase());
        }
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// Whether a word is a date: `2024-01-31`, `31.1.2024` or `1/31/2024`, maybe with a time.
fn date(word: &str) -> bool {
    let day = word.split(['T', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '.', '/']).collect();
    let number = |part: &str, most: usize, least: usize, largest: u32| {
        let digits = (least..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && part.parse::<u32>().is_ok_and(|number| (1..=largest).contains(&number))
    };
    let (year, small) = (|part| number(part, 4, 4, 9999), |part| number(part, 2, 1, 31));
    match parts[..] {
        [a, b, c] => small(b) && (year(a) && small(c) || small(a) && year(c)),
        _ => false,
    }
}

/// Whether a number is a date such as 20240131.
fn compact_date(value: f64) -> bool {
    let (month, day) = ((value / 100.0).floor() % 100.0, value % 100.0);
    (19_000_101.0..=21_001_231.0).contains(&value)
        && (1.0..=12.0).contains(&month)
        && (1.0..=31.0).contains(&day)
}
