//! Why no model could be fitted.

use std::fmt;

/// Why no model could be fitted. Rows and columns count from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum FitError {
    /// There are no rows, or all of them weigh nothing.
    NoRows,
    /// There are no columns.
    NoColumns,
    /// Outcomes or weights are not as many as rows.
    Lengths {
        /// `outcomes` or `weights`.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// More rows than the algorithm can learn from.
    TooManyRows {
        /// How many there are.
        rows: usize,
        /// How many there may be.
        most: usize,
    },
    /// More columns than the algorithm can learn from.
    TooManyColumns {
        /// How many there are.
        columns: usize,
        /// How many there may be.
        most: usize,
    },
    /// A number of the matrix is infinite or none at all.
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// An outcome is not what the work asks for.
    Outcome {
        /// Its row.
        row: usize,
        /// What it is.
        value: f64,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A weight is negative or not finite.
    Weight {
        /// Its row.
        row: usize,
        /// What it is.
        value: f64,
    },
    /// All rows that weigh something are of the same class.
    OneClass,
    /// A class has too few rows that weigh something.
    TooFewOfAClass {
        /// How many rows the smaller class has.
        found: usize,
        /// How many it needs.
        least: usize,
    },
    /// A setting is out of range.
    Setting {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The numbers are too large, or too far apart, to compute with.
    Numerical(&'static str),
    /// The search for the best model did not end within its bound.
    Unfinished {
        /// What was searched for.
        what: &'static str,
        /// After how many steps it was given up.
        steps: usize,
    },
    /// Threads could not be started.
    Threads(String),
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRows => write!(f, "there are no rows to learn from"),
            Self::NoColumns => write!(f, "there are no columns to learn from"),
            Self::Lengths { what, found, rows } => {
                write!(f, "{found} {what} for {rows} rows: there must be one per row")
            }
            Self::TooManyRows { rows, most } => {
                write!(f, "{rows} rows are too many for this algorithm: at most {most}")
            }
            Self::TooManyColumns { columns, most } => write!(
                f,
                "{columns} columns (one per level of a category) are too many for this algorithm: at most {most}"
            ),
            Self::NotFinite { row, column } => {
                write!(f, "row {row}, column {column} is not a finite number")
            }
            Self::Outcome { row, value, wanted } => {
                write!(f, "the outcome of row {row} is {value}: it must be {wanted}")
            }
            Self::Weight { row, value } => {
                write!(f, "the weight of row {row} is {value}: it must be a finite number, zero or more")
            }
            Self::OneClass => write!(f, "all rows are of one class: there must be rows of both"),
            Self::TooFewOfAClass { found, least } => {
                write!(f, "the smaller class has {found} rows: this algorithm needs at least {least}")
            }
            Self::Setting { name, value, wanted } => write!(f, "{name} is {value}: it must be {wanted}"),
            Self::Numerical(what) => {
                write!(f, "{what}: numbers are too large or too far apart, scale the columns first")
            }
            Self::Unfinished { what, steps } => write!(f, "{what} was not found after {steps} steps"),
            Self::Threads(why) => write!(f, "threads could not be started: {why}"),
        }
    }
}

impl std::error::Error for FitError {}
