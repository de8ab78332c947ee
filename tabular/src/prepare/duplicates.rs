//! Rows and columns that repeat others.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{Action, CleanOptions, Finding};
use crate::table::{Column, Table};

/// The share of rows up to which repeated rows are taken for copies; where more repeat, the cases are alike by nature.
const COPIES: f64 = 0.05;

/// Those of `rows` that stay, and what is to be said about repeated ones.
pub(super) fn distinct(
    table: &Table,
    rows: Vec<usize>,
    options: &CleanOptions,
    findings: &mut Vec<Finding>,
) -> Vec<usize> {
    let mut first: HashMap<u64, Vec<usize>> = HashMap::with_capacity(rows.len());
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows.iter().copied() {
        let alike = first.entry(hash(table, row)).or_default();
        if !alike.iter().any(|other| equal(table, *other, row)) {
            alike.push(row);
            kept.push(row);
        }
    }
    let repeated = rows.len() - kept.len();
    if repeated == 0 {
        return rows;
    }
    let said = format!("{repeated} rows repeat an earlier one in every column");
    if !options.keep_duplicates && repeated as f64 <= rows.len() as f64 * COPIES {
        findings.push(Finding::general(Action::Dropped, said));
        return kept;
    }
    let what = format!(
        "{said}; they stay, but if they are copies and not cases that are alike, the same case is learnt from and tested on, which flatters the model"
    );
    findings.push(Finding::general(Action::Warned, what));
    rows
}

/// Whether two columns have the same values.
pub(super) fn same(a: &Column, b: &Column) -> bool {
    match (a, b) {
        (Column::Numbers(a), Column::Numbers(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
        }
        (Column::Words(a), Column::Words(b)) => a == b,
        _ => false,
    }
}

fn equal(table: &Table, a: usize, b: usize) -> bool {
    table.columns.iter().all(|column| match column {
        Column::Numbers(values) => values.get(a).map(|v| bits(*v)) == values.get(b).map(|v| bits(*v)),
        Column::Words(values) => values.get(a) == values.get(b),
    })
}

fn hash(table: &Table, row: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    for column in &table.columns {
        match column {
            Column::Numbers(values) => values.get(row).map(|value| bits(*value)).hash(&mut hasher),
            Column::Words(values) => values.get(row).hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// The bits of a number, one pattern for all missing values and one for both zeros.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}
