//! What a model wants to be asked, and what it answers.

use serde::{Deserialize, Serialize};

/// The columns of a model: what goes in and what comes out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The inputs, in the order of the training file.
    pub features: Vec<Feature>,
    /// What is predicted.
    pub outcome: Outcome,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name: the CSV file's header.
    pub name: String,
    /// What its values are.
    #[serde(flatten)]
    pub kind: Kind,
    /// Whether a value may be missing: it was missing somewhere in the training data.
    pub nullable: bool,
}

/// What an input's values are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Whole numbers.
    Integer,
    /// Numbers.
    Real,
    /// One of some words.
    Category {
        /// The words seen in training, sorted.
        levels: Vec<String>,
    },
}

/// What is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The target's column in the training file.
    pub column: String,
    /// What its values are.
    #[serde(flatten)]
    pub kind: OutcomeKind,
}

/// What a prediction is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OutcomeKind {
    /// One of two classes. The score is the probability of the positive one.
    Classes {
        /// As written in the file, e.g. `0`.
        negative: String,
        /// As written in the file, e.g. `1`.
        positive: String,
    },
    /// A number, which is the score itself.
    Number,
}

impl Kind {
    /// Whether values are numbers.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Integer | Self::Real)
    }
}

impl Schema {
    /// An input by its name.
    pub fn feature(&self, name: &str) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.name == name)
    }

    /// Whether a class is predicted, not a number.
    pub fn has_classes(&self) -> bool {
        matches!(self.outcome.kind, OutcomeKind::Classes { .. })
    }
}
