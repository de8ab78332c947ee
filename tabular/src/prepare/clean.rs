//! Cleaning: which rows and columns a model may learn from.

use super::{Action, CleanOptions, Cleaned, Finding, columns, duplicates, groups, leakage, outcome};
use crate::{
    schema::{Feature, Schema},
    table::{Column, Table, TableError},
};

/// Decides which rows and columns of a table a model may learn from, and reads the outcome.
///
/// # Errors
/// A column that is not there; a target with one class, more than two, or no value; a table without a usable input.
pub fn clean(table: &Table, target: &str, options: &CleanOptions) -> Result<Cleaned, TableError> {
    check_names(table, target, options)?;
    let column = table.column(target).ok_or_else(|| table.no_column(target))?;
    let mut findings = Vec::new();
    let labelled = labelled(column, target, &mut findings)?;
    let rows = duplicates::distinct(table, labelled, options, &mut findings);
    let defined = outcome::define(target, &column.select(&rows), options, &mut findings)?;
    let inputs = table.without(target).select(&rows);
    let (features, table) = choose(&inputs, options, &mut findings);
    if features.is_empty() {
        return Err(TableError::new(format!(
            "no column is left to predict `{target}` from: {}",
            why(&findings)
        )));
    }
    findings.extend(leakage::suspects(&table, &defined));
    findings.extend(groups::findings(&table));
    let schema = Schema { features, outcome: defined.outcome };
    Ok(Cleaned { schema, table, outcome: defined.values, rows, findings })
}

/// Every column that is named must be there, and the target is not an input.
fn check_names(table: &Table, target: &str, options: &CleanOptions) -> Result<(), TableError> {
    for name in options.drop.iter().chain(&options.keep) {
        if table.position(name).is_none() {
            return Err(table.no_column(name));
        }
        if name == target {
            return Err(TableError::new("is the target; it is neither kept nor left out").in_column(name));
        }
    }
    match options.drop.iter().find(|name| options.keep.contains(name)) {
        Some(both) => Err(TableError::new("is to be kept and to be left out; choose one").in_column(both)),
        None => Ok(()),
    }
}

/// The rows whose outcome is known.
fn labelled(column: &Column, target: &str, findings: &mut Vec<Finding>) -> Result<Vec<usize>, TableError> {
    let rows: Vec<_> = (0..column.len()).filter(|row| !column.is_missing(*row)).collect();
    let missing = column.len() - rows.len();
    if rows.is_empty() {
        return Err(TableError::new("the target has no value in any row").in_column(target));
    }
    if missing > 0 {
        let what = format!("{missing} rows without an outcome");
        findings.push(Finding::of(target, Action::Dropped, what));
    }
    Ok(rows)
}

/// The columns that are inputs, and what they are.
fn choose(inputs: &Table, options: &CleanOptions, findings: &mut Vec<Finding>) -> (Vec<Feature>, Table) {
    let mut chosen = Table { names: Vec::new(), columns: Vec::new(), rows: inputs.rows };
    let mut features = Vec::new();
    for (name, column) in inputs.names.iter().zip(&inputs.columns) {
        if options.drop.contains(name) {
            findings.push(Finding::of(name, Action::Dropped, "left out as asked"));
            continue;
        }
        let twin = chosen.columns.iter().position(|other| duplicates::same(other, column));
        let reason = match twin.and_then(|at| chosen.names.get(at)) {
            Some(twin) if !options.keep.contains(name) => Some(format!("has the same values as `{twin}`")),
            _ => columns::unusable(name, column, options.keep.contains(name)),
        };
        if let Some(reason) = reason {
            findings.push(Finding::of(name, Action::Dropped, reason));
            continue;
        }
        features.push(columns::feature(name, column));
        findings.extend(columns::findings(name, column));
        chosen.names.push(name.clone());
        chosen.columns.push(column.clone());
    }
    (features, chosen)
}

/// Why columns were dropped, for the case that all were.
fn why(findings: &[Finding]) -> String {
    let dropped = findings.iter().filter(|finding| finding.action == Action::Dropped);
    let said: Vec<_> =
        dropped.filter_map(|f| f.column.as_ref().map(|c| format!("`{c}` {}", f.what))).take(5).collect();
    if said.is_empty() { "there is no other column".to_owned() } else { said.join("; ") }
}
