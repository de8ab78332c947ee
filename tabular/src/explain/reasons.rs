//! Reason codes: which features of a row spoke most for an adverse decision, in ranked order, as lenders owe them to the people
//! they turn down (United States: Regulation B, 12 CFR 1002.9(b)(2),
//! <https://www.consumerfinance.gov/rules-policy/regulations/1002/9/>).

use serde::Serialize;

use super::Contributions;
use crate::schema::Schema;
use crate::table::Table;

/// Which scores are bad for the person or thing that is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// High ones, e.g. the probability of a default.
    High,
    /// Low ones, e.g. the probability of repayment.
    Low,
}

/// One reason for an adverse score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// 1 for the strongest.
    pub rank: usize,
    /// The feature's name.
    pub feature: String,
    /// Its value in the row, as written in a table; none where it is missing.
    pub value: Option<String>,
    /// What it adds to the raw score.
    pub contribution: f64,
    /// The same as a sentence.
    pub words: String,
}

/// The at most `top` features that moved the score of a table's row furthest in the adverse direction. A feature that moved it
/// the other way is never a reason, so there may be fewer.
pub fn reasons(
    schema: &Schema,
    table: &Table,
    row: usize,
    contributions: &Contributions,
    adverse: Direction,
    top: usize,
) -> Vec<Reason> {
    let (sign, verb) = match adverse {
        Direction::High => (1.0, "raised"),
        Direction::Low => (-1.0, "lowered"),
    };
    let mut each: Vec<(&str, f64)> = schema
        .features
        .iter()
        .zip(&contributions.values)
        .filter(|(_, value)| **value * sign > 0.0)
        .map(|(feature, value)| (feature.name.as_str(), *value))
        .collect();
    each.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
    let ranked = each.into_iter().take(top).enumerate();
    let reason = |(index, (feature, contribution)): (usize, (&str, f64))| {
        let value = table.column(feature).and_then(|column| column.text(row));
        let shown = value.as_ref().map_or("is missing".to_owned(), |value| format!("is {value}"));
        let words = format!("{feature} {shown}, which {verb} the raw score by {:.3}", contribution.abs());
        Reason { rank: index + 1, feature: feature.to_owned(), value, contribution, words }
    };
    ranked.map(reason).collect()
}
