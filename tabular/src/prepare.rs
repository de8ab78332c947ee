//! From columns to a matrix: cleaning before training, and the encoder that training and scoring share.
//!
//! [`clean`] decides which rows and columns a model may learn from and says so in [`Finding`]s. An [`Encoder`] is fitted
//! on training rows alone and then turns any rows into numbers.

use serde::{Deserialize, Serialize};

mod clean;
mod columns;
mod duplicates;
mod encode;
mod groups;
mod leakage;
mod outcome;

pub use clean::clean;
pub use groups::{groups, sensitive};
pub use outcome::outcome;

use crate::{algorithm::Work, schema::Schema, table::Table};

/// What the owner of the data decides about cleaning.
#[derive(Clone, Debug, Default)]
pub struct CleanOptions {
    /// The value of the target that scores are the probability of. By default the usual one of a usual pair (`1` of `0`
    /// and `1`, `yes` of `no` and `yes`), else the rarer one.
    pub positive: Option<String>,
    /// What the target is. By default: classes if it has words or two values, else a number.
    pub work: Option<Work>,
    /// Columns that are left out.
    pub drop: Vec<String>,
    /// Columns that stay, whatever they look like (a column without any value, or with one only, goes nevertheless).
    pub keep: Vec<String>,
    /// Whether rows that repeat an earlier one stay. By default they go, unless they are more than a twentieth.
    pub keep_duplicates: bool,
}

/// What a model may learn from.
#[derive(Clone, Debug)]
pub struct Cleaned {
    /// The inputs and the outcome.
    pub schema: Schema,
    /// The inputs alone, in the schema's order.
    pub table: Table,
    /// Per row: 1 for the positive class and 0 for the other, or the number.
    pub outcome: Vec<f64>,
    /// Per row: which row of the given table it is.
    pub rows: Vec<usize>,
    /// What was found and done.
    pub findings: Vec<Finding>,
}

/// Something about the data that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The column, if it is about one.
    pub column: Option<String>,
    /// What was found and why it matters, in words.
    pub what: String,
    /// What was done.
    pub action: Action,
}

/// What was done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The column or the rows were left out.
    Dropped,
    /// Nothing was changed.
    Kept,
    /// Missing values are replaced, or have a level of their own.
    Filled,
    /// Rare levels are taken together.
    Merged,
    /// Nothing was changed, but somebody should look.
    Warned,
}

/// Turns a table's columns into the rows of a matrix, the same way in training and in scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// One per feature of the schema, in its order; their columns of the matrix follow one another.
    pub blocks: Vec<Block>,
}

/// The matrix columns of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "encoding", rename_all = "snake_case")]
pub enum Block {
    /// `(x - center) / scale`, a missing value replaced by `fill` first. One matrix column, and a second one that is 1
    /// where the value was missing, if `indicator`.
    Number {
        /// Replaces a missing value: the training data's median.
        fill: f64,
        /// Taken off: the training data's mean; 0 for trees.
        center: f64,
        /// Divided by: the training data's standard deviation; 1 for trees.
        scale: f64,
        /// Whether a second column tells missing values.
        indicator: bool,
    },
    /// One matrix column per level, 1 where the value is this level. A level not seen in training is all zeros.
    Category {
        /// The levels that have a column, in the columns' order.
        levels: Vec<String>,
        /// Whether rare levels of the training data, and levels never seen, share one further column.
        other: bool,
        /// Whether a missing value has a further, last column.
        missing: bool,
    },
}

impl Block {
    /// How many matrix columns it has.
    pub fn width(&self) -> usize {
        match self {
            Self::Number { indicator, .. } => 1 + usize::from(*indicator),
            Self::Category { levels, other, missing } => {
                levels.len() + usize::from(*other) + usize::from(*missing)
            }
        }
    }
}

impl Encoder {
    /// How wide the matrix is.
    pub fn width(&self) -> usize {
        self.blocks.iter().map(Block::width).sum()
    }

    /// For each matrix column, the index of its feature.
    pub fn features(&self) -> Vec<usize> {
        let columns = self.blocks.iter().enumerate();
        columns.flat_map(|(feature, block)| std::iter::repeat_n(feature, block.width())).collect()
    }
}

impl Finding {
    fn of(column: &str, action: Action, what: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), what: what.into(), action }
    }

    fn general(action: Action, what: impl Into<String>) -> Self {
        Self { column: None, what: what.into(), action }
    }
}

#[cfg(test)]
mod tests;
