//! Scores of rows whose outcome is known, measured: one [`Evaluation`], whoever gave the scores.
//!
//! Each figure comes with a bootstrap confidence interval, and sensitive columns split the rows into groups that are
//! measured each by itself.

mod bootstrap;
mod classes;
mod folds;
mod groups;
mod naming;
mod numbers;

use serde::{Deserialize, Serialize};

pub use classes::{Classes, CostChoice};
pub use folds::folds;
pub use groups::{ClassGroup, Group, GroupFigures, Grouping, NumberGroup};
pub use naming::{group_names, group_numbers};
pub use numbers::Numbers;

use crate::{
    algorithm::Work,
    metrics::{Binning, Costs, class},
};

/// Scores of rows, and what came.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// For classes 1 or 0, for numbers the number. NaN where it is unknown.
    pub outcome: &'a [f64],
    /// One per outcome. NaN where no score was given.
    pub scores: &'a [f64],
    /// Which figures are wanted.
    pub work: Work,
    /// Sensitive columns: their names, and for each row the group that it is in.
    pub groups: &'a [(String, Vec<String>)],
}

/// How to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalOptions {
    /// A score at or above it is a positive decision.
    pub threshold: f64,
    /// What a positive decision is for the person decided about.
    pub positive: Positive,
    /// What wrong decisions cost, to find the threshold that they would choose.
    pub costs: Option<Costs>,
    /// How many bins calibration has: 1 to 100.
    pub bins: usize,
    /// How scores are put into bins. Numbers are always put into bins of about equally many rows.
    pub binning: Binning,
    /// How often rows are drawn anew for the intervals; 0 for no intervals. Fewer above 60,000 rows, see
    /// [`Evaluation::resamples`].
    pub resamples: usize,
    /// Seeds the drawing.
    pub seed: u64,
    /// Groups of fewer rows are marked small.
    pub small_group: usize,
}

/// What a positive decision is for the person decided about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positive {
    /// Bad, like a credit refused for a high probability of default.
    #[default]
    Adverse,
    /// Good, like an invitation to an interview.
    Favourable,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many rows were measured.
    pub rows: usize,
    /// How many more rows there were without a score or an outcome. No figure knows them.
    pub left_out: usize,
    /// How often rows were drawn anew for the intervals.
    pub resamples: usize,
    /// The figures of all rows.
    pub figures: Figures,
    /// The figures of groups, one grouping for each sensitive column.
    pub groups: Vec<Grouping>,
}

/// The figures of all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Figures {
    /// Of scores of two classes.
    Classes(Box<Classes>),
    /// Of predicted numbers.
    Numbers(Box<Numbers>),
}

/// A figure and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure of the rows as they are.
    pub value: f64,
    /// Absent where no rows were drawn anew, or the figure had no meaning in more than half of the draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// Where 95 of 100 figures of rows drawn anew lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// 2.5 of 100 lie below.
    pub low: f64,
    /// 2.5 of 100 lie above.
    pub high: f64,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            positive: Positive::Adverse,
            costs: None,
            bins: 10,
            binning: Binning::Width,
            resamples: 1000,
            seed: 1,
            small_group: 30,
        }
    }
}

/// Measures scores. A row is left out, and counted as such, if its outcome or its score is missing or not finite, or its
/// outcome is no class where classes are wanted.
pub fn evaluate(rows: &Scored<'_>, options: &EvalOptions) -> Evaluation {
    let kept = kept(rows);
    let outcome: Vec<f64> = kept.iter().map(|row| rows.outcome[*row]).collect();
    let scores: Vec<f64> = kept.iter().map(|row| rows.scores[*row]).collect();
    let options = EvalOptions { resamples: affordable(options.resamples, kept.len()), ..options.clone() };
    let figures = match rows.work {
        Work::Classes => Figures::Classes(Box::new(classes::measure(&outcome, &scores, &options))),
        Work::Numbers => Figures::Numbers(Box::new(numbers::measure(&outcome, &scores, &options))),
    };
    let groups =
        rows.groups.iter().map(|(column, names)| groups::split(rows, &kept, column, names, &options));
    Evaluation {
        rows: kept.len(),
        left_out: all(rows) - kept.len(),
        resamples: options.resamples,
        figures,
        groups: groups.collect(),
    }
}

impl Evaluation {
    /// The figures of classes, if these were measured.
    pub fn classes(&self) -> Option<&Classes> {
        match &self.figures {
            Figures::Classes(classes) => Some(classes),
            Figures::Numbers(_) => None,
        }
    }

    /// The figures of numbers, if these were measured.
    pub fn numbers(&self) -> Option<&Numbers> {
        match &self.figures {
            Figures::Numbers(numbers) => Some(numbers),
            Figures::Classes(_) => None,
        }
    }

    /// The figure that systems are compared by: the ROC AUC of classes, the RMSE of numbers.
    pub fn main(&self) -> Option<Estimate> {
        match &self.figures {
            Figures::Classes(classes) => classes.roc_auc,
            Figures::Numbers(numbers) => numbers.rmse,
        }
    }
}

/// How many rows there are; a missing end of the outcomes or of the scores counts as missing values.
fn all(rows: &Scored<'_>) -> usize {
    rows.outcome.len().max(rows.scores.len())
}

/// The rows that can be measured.
fn kept(rows: &Scored<'_>) -> Vec<usize> {
    let measurable = |(outcome, score): (&f64, &f64)| {
        score.is_finite() && outcome.is_finite() && (rows.work == Work::Numbers || class(*outcome).is_some())
    };
    let pairs = rows.outcome.iter().zip(rows.scores).enumerate();
    pairs.filter(|(_, pair)| measurable(*pair)).map(|(row, _)| row).collect()
}

/// At most 60 million rows are drawn, a second's work or so, but 100 times at least.
fn affordable(resamples: usize, rows: usize) -> usize {
    resamples.min((60_000_000 / rows.max(1)).max(100))
}

#[cfg(test)]
mod tests;
