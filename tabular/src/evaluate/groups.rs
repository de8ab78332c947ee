//! Whether scores treat groups alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Estimate, EvalOptions, Interval, Positive, Scored, all, classes};
use crate::{
    algorithm::Work,
    metrics::{Calibration, Confusion, mae, rmse},
};

/// The groups of one sensitive column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grouping {
    /// The column.
    pub column: String,
    /// What a positive decision is for the person decided about.
    pub positive: Positive,
    /// The group that adverse-impact ratios are measured against: the one with the highest favourable rate among those
    /// that are not small, or among all if all are. Absent for numbers, and where nobody was decided favourably.
    pub reference: Option<String>,
    /// Groups of fewer rows are marked small.
    pub small_group: usize,
    /// The groups: the largest first, or by number where their names begin with one.
    pub groups: Vec<Group>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name in the column.
    pub name: String,
    /// How many rows were measured.
    pub rows: usize,
    /// How many more rows there were without a score or an outcome.
    pub left_out: usize,
    /// Whether it has so few rows that its figures are mostly chance.
    pub small: bool,
    /// The mean outcome: for classes the share of positive rows.
    pub mean_outcome: Option<f64>,
    /// The mean score.
    pub mean_score: Option<f64>,
    /// Its figures.
    pub figures: GroupFigures,
}

/// The figures of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum GroupFigures {
    /// Of scores of two classes.
    Classes(Box<ClassGroup>),
    /// Of predicted numbers.
    Numbers(NumberGroup),
}

/// The figures of one group's scores of two classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassGroup {
    /// The share of positive decisions, that is, of scores at or above the threshold; with Wilson's 95 % interval.
    pub selection_rate: Option<Estimate>,
    /// The share of decisions that are good for the person: `selection_rate`, or what it leaves of 1.
    pub favourable_rate: Option<f64>,
    /// The favourable rate divided by the reference group's. The four-fifths rule asks for 0.8 at least.
    pub impact_ratio: Option<f64>,
    /// The area under the ROC curve.
    pub roc_auc: Option<Estimate>,
    /// The share of positive rows that are decided so.
    pub true_positive_rate: Option<f64>,
    /// The share of negative rows that are decided positive.
    pub false_positive_rate: Option<f64>,
    /// The decisions at the threshold.
    pub confusion: Confusion,
    /// Scores beside outcomes; only of probabilities.
    pub calibration: Option<Calibration>,
}

/// The figures of one group's predicted numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumberGroup {
    /// The root of the mean squared error.
    pub rmse: Option<f64>,
    /// The mean absolute error.
    pub mae: Option<f64>,
    /// The mean of prediction minus outcome: above 0, the group is predicted too high.
    pub bias: Option<f64>,
}

impl ClassGroup {
    /// Whether the four-fifths rule finds adverse impact; unknown where there is no ratio.
    pub fn adverse_impact(&self) -> Option<bool> {
        // A ratio of 0.8 is met even if the division rounds down.
        self.impact_ratio.map(|ratio| ratio < 0.8 - 1e-9)
    }
}

/// Measures the groups of one column. `kept` are the rows that can be measured, in rising order; a row without a name
/// is in the group "".
pub(super) fn split(
    rows: &Scored<'_>,
    kept: &[usize],
    column: &str,
    names: &[String],
    options: &EvalOptions,
) -> Grouping {
    let mut members: BTreeMap<&str, Members> = BTreeMap::new();
    for row in 0..all(rows) {
        let group = members.entry(names.get(row).map_or("", String::as_str)).or_default();
        if kept.binary_search(&row).is_ok() {
            group.outcome.push(rows.outcome[row]);
            group.scores.push(rows.scores[row]);
        } else {
            group.left_out += 1;
        }
    }
    let mut groups: Vec<Group> =
        members.iter().map(|(name, members)| members.measure(name, rows.work, options)).collect();
    arrange(&mut groups);
    let reference = reference(&groups).map(|(name, rate)| (name.to_owned(), rate));
    if let Some((_, best)) = &reference {
        groups.iter_mut().for_each(|group| group.compare(*best));
    }
    Grouping {
        column: column.to_owned(),
        positive: options.positive,
        reference: reference.map(|(name, _)| name),
        small_group: options.small_group,
        groups,
    }
}

/// The rows of a group.
#[derive(Default)]
struct Members {
    outcome: Vec<f64>,
    scores: Vec<f64>,
    left_out: usize,
}

impl Members {
    fn measure(&self, name: &str, work: Work, options: &EvalOptions) -> Group {
        let rows = self.outcome.len();
        let figures = match work {
            Work::Classes => GroupFigures::Classes(Box::new(self.classes(options))),
            Work::Numbers => GroupFigures::Numbers(self.numbers()),
        };
        Group {
            name: name.to_owned(),
            rows,
            left_out: self.left_out,
            small: rows < options.small_group,
            mean_outcome: mean(&self.outcome),
            mean_score: mean(&self.scores),
            figures,
        }
    }

    fn classes(&self, options: &EvalOptions) -> ClassGroup {
        let figures = classes::measure(&self.outcome, &self.scores, options);
        let selection_rate = figures.confusion.selection_rate();
        let favourable = |rate: f64| match options.positive {
            Positive::Adverse => 1.0 - rate,
            Positive::Favourable => rate,
        };
        ClassGroup {
            selection_rate: selection_rate
                .map(|value| Estimate { value, interval: Some(wilson(value, self.outcome.len())) }),
            favourable_rate: selection_rate.map(favourable),
            impact_ratio: None,
            roc_auc: figures.roc_auc,
            true_positive_rate: figures.confusion.recall(),
            false_positive_rate: figures.confusion.false_positive_rate(),
            confusion: figures.confusion,
            calibration: figures.calibration,
        }
    }

    fn numbers(&self) -> NumberGroup {
        NumberGroup {
            rmse: rmse(&self.outcome, &self.scores),
            mae: mae(&self.outcome, &self.scores),
            bias: mean(&self.scores).zip(mean(&self.outcome)).map(|(score, outcome)| score - outcome),
        }
    }
}

impl Group {
    /// The figures of classes, if these were measured.
    pub fn classes(&self) -> Option<&ClassGroup> {
        match &self.figures {
            GroupFigures::Classes(figures) => Some(figures),
            GroupFigures::Numbers(_) => None,
        }
    }

    fn compare(&mut self, best: f64) {
        if let GroupFigures::Classes(figures) = &mut self.figures {
            figures.impact_ratio = figures.favourable_rate.map(|rate| rate / best);
        }
    }
}

fn arrange(groups: &mut [Group]) {
    groups.sort_by_key(|group| std::cmp::Reverse(group.rows));
    let number = |group: &Group| group.name.split(' ').next()?.parse::<f64>().ok();
    // One name without a number may be that of missing values.
    if groups.iter().filter(|group| number(group).is_none()).count() < groups.len().min(2) {
        groups.sort_by(|a, b| {
            number(a).unwrap_or(f64::INFINITY).total_cmp(&number(b).unwrap_or(f64::INFINITY))
        });
    }
}

/// The most favoured group and its favourable rate, above 0; the first of equals.
fn reference(groups: &[Group]) -> Option<(&str, f64)> {
    let all_small = groups.iter().all(|group| group.small);
    let eligible = groups.iter().filter(|group| all_small || !group.small);
    let rates = eligible.filter_map(|group| Some((group.name.as_str(), group.classes()?.favourable_rate?)));
    rates.reduce(|best, next| if next.1 > best.1 { next } else { best }).filter(|(_, rate)| *rate > 0.0)
}

/// Wilson's 95 % interval of a share of so many rows, at least one.
fn wilson(share: f64, rows: usize) -> Interval {
    const Z: f64 = 1.959_963_984_540_054;
    let rows = rows as f64;
    let scale = 1.0 + Z * Z / rows;
    let middle = (share + Z * Z / (2.0 * rows)) / scale;
    let half = Z / scale * (share * (1.0 - share) / rows + Z * Z / (4.0 * rows * rows)).sqrt();
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

fn mean(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}
