//! From a matrix to a model: five algorithms behind one function.
//!
//! Linear models are fitted by Newton's method, support vector machines by sequential minimal optimisation, and all
//! trees (one tree, forest, boosting) by the same grower over binned columns. The same data, settings and seed give the
//! same model, whatever the number of threads. A row of weight `w` counts like `w` equal rows.

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use crate::Matrix;
use crate::model::Model;
use crate::progress::Progress;

mod bins;
mod boosting;
mod check;
mod error;
mod forest;
mod grow;
mod linear;
mod settings;
mod split;
mod svm;
#[cfg(test)]
mod tests;
mod tree;

pub use error::FitError;
pub use settings::{BoostingSettings, ForestSettings, LinearSettings, Settings, SvmSettings, TreeSettings};

/// How a model is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Logistic regression for classes, linear regression for numbers.
    Linear,
    /// A support vector machine with a radial kernel.
    Svm,
    /// One decision tree.
    Tree,
    /// Many trees, each grown on a random draw of the rows, averaged.
    Forest,
    /// Many small trees, each correcting the sum of those before it.
    Boosting,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// One of two classes: outcomes are 0 and 1.
    Classes,
    /// A number.
    Numbers,
}

/// What a model is learned from.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// One row per case.
    pub x: &'a Matrix,
    /// One outcome per row.
    pub y: &'a [f64],
    /// One weight per row, zero or more; every row counts once where there are none.
    pub weights: Option<&'a [f64]>,
    /// What the outcomes are.
    pub work: Work,
}

/// Fits a model.
///
/// # Errors
///
/// Where the data cannot be learned from, a setting is out of range, or no threads can be had.
pub fn fit(
    algorithm: Algorithm,
    data: &Data<'_>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Model, FitError> {
    settings.check(algorithm)?;
    let cases = check::cases(data)?;
    let pool = pool(settings.threads)?;
    let model = pool.install(|| match algorithm {
        Algorithm::Linear => linear::fit(&cases, &settings.linear, progress),
        Algorithm::Svm => svm::fit(&cases, settings, progress),
        Algorithm::Tree => Ok(tree::fit(&cases, &settings.tree, progress)),
        Algorithm::Forest => Ok(forest::fit(&cases, settings, progress)),
        Algorithm::Boosting => Ok(boosting::fit(&cases, settings, progress)),
    })?;
    // Sums of huge numbers overflow.
    if model.is_finite() { Ok(model) } else { Err(FitError::Numerical("the model")) }
}

fn pool(threads: usize) -> Result<ThreadPool, FitError> {
    let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(|at| format!("fit-{at}"));
    builder.build().map_err(|error| FitError::Threads(error.to_string()))
}

impl Algorithm {
    /// All of them, the simplest first.
    pub const ALL: [Self; 5] = [Self::Linear, Self::Tree, Self::Svm, Self::Forest, Self::Boosting];

    /// Its name, for people.
    pub fn name(self, work: Work) -> &'static str {
        match (self, work) {
            (Self::Linear, Work::Classes) => "logistic regression",
            (Self::Linear, Work::Numbers) => "linear regression",
            (Self::Svm, _) => "support vector machine",
            (Self::Tree, _) => "decision tree",
            (Self::Forest, _) => "random forest",
            (Self::Boosting, _) => "gradient boosting",
        }
    }

    /// Whether columns should have mean 0 and deviation 1: it measures distances, or punishes large weights.
    pub fn needs_scaling(self) -> bool {
        matches!(self, Self::Linear | Self::Svm)
    }

    /// How hard a model is to understand, from 0: among equals, the lower one is the better one.
    pub fn complexity(self) -> u8 {
        match self {
            Self::Linear => 0,
            Self::Tree => 1,
            Self::Svm => 2,
            Self::Forest => 3,
            Self::Boosting => 4,
        }
    }
}
