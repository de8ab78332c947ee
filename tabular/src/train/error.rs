//! Why nothing could be trained.

use std::fmt;

use crate::{
    algorithm::{Algorithm, FitError, Work},
    table::TableError,
};

/// Why nothing could be trained.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainError {
    /// The table cannot be learnt from.
    Table(TableError),
    /// An option is out of range, or does not suit the table.
    Options(String),
    /// An algorithm failed.
    Fit {
        /// Which one.
        algorithm: Algorithm,
        /// At what.
        work: Work,
        /// Why.
        error: FitError,
    },
    /// A model gave scores that cannot be measured.
    Unmeasurable {
        /// Whose model.
        algorithm: Algorithm,
        /// At what.
        work: Work,
    },
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => error.fmt(f),
            Self::Options(what) => f.write_str(what),
            Self::Fit { algorithm, work, error } => write!(f, "{}: {error}", algorithm.name(*work)),
            Self::Unmeasurable { algorithm, work } => {
                write!(f, "{}: its scores are not finite numbers", algorithm.name(*work))
            }
        }
    }
}

impl std::error::Error for TrainError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Table(error) => Some(error),
            Self::Fit { error, .. } => Some(error),
            Self::Options(_) | Self::Unmeasurable { .. } => None,
        }
    }
}

impl From<TableError> for TrainError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}
