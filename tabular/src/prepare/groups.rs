//! Columns that tell groups of people apart, by their names, and the groups of each row.

use super::{Action, Finding, columns::tokens};
use crate::{
    evaluate::{group_names, group_numbers},
    table::{Column, Table},
};

/// Words in a column's name, and what they suggest.
const SENSITIVE: [(&str, &[&str]); 10] = [
    ("age", &["age", "birth", "birthday", "birthdate", "dob"]),
    ("sex or gender", &["sex", "gender", "female", "male"]),
    ("ethnic origin", &["race", "ethnicity", "ethnic", "skin"]),
    (
        "origin or nationality",
        &["nationality", "citizenship", "citizen", "foreign", "foreigner", "immigrant"],
    ),
    ("religion", &["religion", "religious", "faith"]),
    ("marital status", &["marital", "married"]),
    ("disability or health", &["disability", "disabled", "health", "pregnant", "pregnancy"]),
    ("sexual orientation", &["sexual", "orientation"]),
    ("politics or union", &["political", "politics", "union"]),
    ("where somebody lives, which may stand for origin", &["zip", "zipcode", "postcode", "postal"]),
];

/// A name that is no single word of [`SENSITIVE`], and what it suggests.
const PERSONAL_STATUS: (&str, &str) = ("personal_status", "sex or marital status");

/// The columns whose names suggest a sensitive attribute, and which.
pub fn sensitive(names: &[String]) -> Vec<(String, &'static str)> {
    names.iter().filter_map(|name| Some((name.clone(), suggests(name)?))).collect()
}

/// For each named column of a table, the group of each row: a level, or of many numbers a band. Names that are not there
/// are left out.
pub fn groups(table: &Table, names: &[String]) -> Vec<(String, Vec<String>)> {
    let columns = names.iter().filter_map(|name| Some((name, table.column(name)?)));
    let grouped = columns.map(|(name, column)| match column {
        Column::Numbers(values) => (name.clone(), group_numbers(values)),
        Column::Words(values) => (name.clone(), group_names(values)),
    });
    grouped.collect()
}

/// A warning for each input whose name suggests a sensitive attribute.
pub(super) fn findings(table: &Table) -> Vec<Finding> {
    let warned = sensitive(&table.names).into_iter().map(|(name, what)| {
        let what = format!(
            "its name suggests {what}: make sure that a decision may rest on it; the model is measured for each of its groups"
        );
        Finding::of(&name, Action::Warned, what)
    });
    warned.collect()
}

fn suggests(name: &str) -> Option<&'static str> {
    let tokens = tokens(name);
    if tokens.join("_") == PERSONAL_STATUS.0 {
        return Some(PERSONAL_STATUS.1);
    }
    let known = |words: &[&str]| tokens.iter().any(|token| words.contains(&token.as_str()));
    SENSITIVE.iter().find(|(_, words)| known(words)).map(|(what, _)| *what)
}
