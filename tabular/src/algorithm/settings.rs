//! What can be set for each algorithm, and what is set by default.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::{Algorithm, FitError};

/// What algorithms are told. The defaults suit tables of a few hundred to a few ten thousand rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where random draws start.
    pub seed: u64,
    /// Threads to work with; they change how long it takes, not what comes out.
    #[serde(skip, default = "cores")]
    pub threads: usize,
    /// Trees of a forest.
    pub trees: usize,
    /// Linear and logistic regression.
    pub linear: LinearSettings,
    /// Support vector machines.
    pub svm: SvmSettings,
    /// One decision tree.
    pub tree: TreeSettings,
    /// Forests.
    pub forest: ForestSettings,
    /// Gradient boosting.
    pub boosting: BoostingSettings,
}

/// Linear and logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearSettings {
    /// Classes: what an error costs against half the square of the weights.
    pub cost: f64,
    /// Numbers: what half the square of a weight costs against half the mean squared error.
    pub ridge: f64,
}

/// Support vector machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SvmSettings {
    /// What an error costs against half the square of the weights.
    pub cost: f64,
    /// Width of the kernel; 1 / (columns * variance of the matrix) where none is given.
    pub gamma: Option<f64>,
    /// Numbers: an error that costs nothing, in standard deviations of the outcome.
    pub epsilon: f64,
    /// The violation of the optimality conditions at which the search ends.
    pub tolerance: f64,
}

/// One decision tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TreeSettings {
    /// The least weight of a leaf's rows.
    pub leaf: f64,
    /// The most questions from the root to a leaf.
    pub depth: usize,
}

/// Forests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForestSettings {
    /// The least weight of a leaf's rows; where none is given, 5 for classes and 3 for numbers.
    pub leaf: Option<f64>,
    /// The most questions from the root to a leaf; where none is given, 10 for classes of up to 10,000 rows, where deeper trees
    /// were measured to add nothing but time, and 64 otherwise.
    pub depth: Option<usize>,
    /// How many columns are looked at for a question; where none is given, the square root of their number for classes
    /// and half of them for numbers.
    pub columns: Option<usize>,
}

/// Gradient boosting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoostingSettings {
    /// Trees.
    pub rounds: usize,
    /// How much of its correction a tree is allowed.
    pub rate: f64,
    /// The most leaves of a tree; where none is given, one per 500 rows, at least 8 and at most 64.
    pub leaves: Option<usize>,
    /// The most questions from the root to a leaf.
    pub depth: usize,
    /// The least sum of second derivatives of a leaf's rows: their weight for numbers, weight * p * (1 - p) for classes.
    pub leaf: f64,
    /// The penalty on the squares of leaf values.
    pub l2: f64,
    /// The share of rows that a tree is grown on.
    pub subsample: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            threads: cores(),
            trees: 300,
            linear: LinearSettings::default(),
            svm: SvmSettings::default(),
            tree: TreeSettings::default(),
            forest: ForestSettings::default(),
            boosting: BoostingSettings::default(),
        }
    }
}

impl Default for LinearSettings {
    fn default() -> Self {
        Self { cost: 1.0, ridge: 1e-6 }
    }
}

impl Default for SvmSettings {
    fn default() -> Self {
        Self { cost: 1.0, gamma: None, epsilon: 0.1, tolerance: 1e-3 }
    }
}

impl Default for TreeSettings {
    fn default() -> Self {
        Self { leaf: 20.0, depth: 10 }
    }
}

impl Default for BoostingSettings {
    fn default() -> Self {
        Self { rounds: 300, rate: 0.05, leaves: None, depth: 12, leaf: 3.0, l2: 1.0, subsample: 0.8 }
    }
}

impl Settings {
    /// Whether what the algorithm reads is in range.
    pub(super) fn check(&self, algorithm: Algorithm) -> Result<(), FitError> {
        at_least_one("threads", self.threads)?;
        match algorithm {
            Algorithm::Linear => self.linear.check(),
            Algorithm::Svm => self.svm.check(),
            Algorithm::Tree => self.tree.check(),
            Algorithm::Forest => {
                at_least_one("trees", self.trees)?;
                self.forest.check()
            }
            Algorithm::Boosting => self.boosting.check(),
        }
    }
}

impl LinearSettings {
    fn check(&self) -> Result<(), FitError> {
        above_zero("linear.cost", self.cost)?;
        above_zero("linear.ridge", self.ridge)
    }
}

impl SvmSettings {
    fn check(&self) -> Result<(), FitError> {
        above_zero("svm.cost", self.cost)?;
        above_zero("svm.tolerance", self.tolerance)?;
        zero_or_more("svm.epsilon", self.epsilon)?;
        self.gamma.map_or(Ok(()), |gamma| above_zero("svm.gamma", gamma))
    }
}

impl TreeSettings {
    fn check(&self) -> Result<(), FitError> {
        zero_or_more("tree.leaf", self.leaf)
    }
}

impl ForestSettings {
    fn check(&self) -> Result<(), FitError> {
        self.leaf.map_or(Ok(()), |leaf| zero_or_more("forest.leaf", leaf))?;
        self.columns.map_or(Ok(()), |columns| at_least_one("forest.columns", columns))
    }
}

impl BoostingSettings {
    fn check(&self) -> Result<(), FitError> {
        at_least_one("boosting.rounds", self.rounds)?;
        self.leaves.map_or(Ok(()), |leaves| at_least_one("boosting.leaves", leaves))?;
        above_zero("boosting.rate", self.rate)?;
        zero_or_more("boosting.leaf", self.leaf)?;
        zero_or_more("boosting.l2", self.l2)?;
        above_zero("boosting.subsample", self.subsample)?;
        let whole = self.subsample <= 1.0;
        require(whole, "boosting.subsample", self.subsample, "more than 0 and at most 1")
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn at_least_one(name: &'static str, value: usize) -> Result<(), FitError> {
    require(value > 0, name, value as f64, "at least 1")
}

fn above_zero(name: &'static str, value: f64) -> Result<(), FitError> {
    require(value > 0.0 && value.is_finite(), name, value, "a finite number above 0")
}

fn zero_or_more(name: &'static str, value: f64) -> Result<(), FitError> {
    require(value >= 0.0 && value.is_finite(), name, value, "a finite number, 0 or more")
}

fn require(holds: bool, name: &'static str, value: f64, wanted: &'static str) -> Result<(), FitError> {
    if holds { Ok(()) } else { Err(FitError::Setting { name, value, wanted }) }
}
