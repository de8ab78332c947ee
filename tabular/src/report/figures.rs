//! The figures that a report lists, in their order, for pages and terminals alike.

use super::{Subject, words};
use crate::evaluate::{Classes, Estimate, Evaluation, Numbers};

/// One listed figure.
pub(super) struct Figure {
    pub(super) name: &'static str,
    /// What it says, for somebody who does not know it.
    pub(super) meaning: &'static str,
    pub(super) better: Better,
    of: Of,
    show: fn(f64) -> String,
}

/// Which values are good ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    High,
    Low,
}

/// Where the figure is found.
enum Of {
    Classes(fn(&Classes) -> Option<Estimate>),
    Numbers(fn(&Numbers) -> Option<Estimate>),
}

/// One system's value of a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) value: String,
    /// Low and high.
    pub(super) interval: Option<(String, String)>,
    /// Whether no other system has a better one, and some have a worse one.
    pub(super) best: bool,
}

static FIGURES: [Figure; 13] = [
    classes(
        "ROC AUC",
        Better::High,
        |c| c.roc_auc,
        "How probable it is that a positive case scores above a negative one. 0.5 is chance, 1 is perfect.",
    ),
    classes(
        "PR AUC",
        Better::High,
        |c| c.pr_auc,
        "Average precision over all levels of recall. Chance is the share of positive cases.",
    ),
    classes(
        "KS",
        Better::High,
        |c| c.ks,
        "The greatest distance between the scores' distributions of positive and of negative cases (Kolmogorov-Smirnov).",
    ),
    classes(
        "Log loss",
        Better::Low,
        |c| c.log_loss,
        "How surprising outcomes are, given the scores as probabilities. Punishes confident mistakes.",
    ),
    classes("Brier score", Better::Low, |c| c.brier, "The mean squared distance between score and outcome."),
    classes(
        "Calibration error",
        Better::Low,
        |c| c.calibration.as_ref().map(|calibration| Estimate { value: calibration.error, interval: None }),
        "How far scores are from the shares observed, averaged over bins of scores (expected calibration error).",
    ),
    classes(
        "Accuracy",
        Better::High,
        |c| c.accuracy,
        "The share of decisions at the threshold that are right.",
    ),
    classes(
        "Precision",
        Better::High,
        |c| c.precision,
        "Of the cases at or above the threshold, the share that is positive.",
    ),
    classes(
        "Recall",
        Better::High,
        |c| c.recall,
        "Of the positive cases, the share at or above the threshold.",
    ),
    classes("F1", Better::High, |c| c.f1, "The harmonic mean of precision and recall."),
    numbers(
        "RMSE",
        Better::Low,
        words::number,
        |n| n.rmse,
        "The root of the mean squared error, in the outcome's unit.",
    ),
    numbers("MAE", Better::Low, words::number, |n| n.mae, "The mean absolute error, in the outcome's unit."),
    numbers(
        "R²",
        Better::High,
        words::share,
        |n| n.r2,
        "The share of the outcome's variance that is explained. 0 is what the mean alone would reach.",
    ),
];

const fn classes(
    name: &'static str,
    better: Better,
    of: fn(&Classes) -> Option<Estimate>,
    meaning: &'static str,
) -> Figure {
    Figure { name, meaning, better, of: Of::Classes(of), show: words::share }
}

const fn numbers(
    name: &'static str,
    better: Better,
    show: fn(f64) -> String,
    of: fn(&Numbers) -> Option<Estimate>,
    meaning: &'static str,
) -> Figure {
    Figure { name, meaning, better, of: Of::Numbers(of), show }
}

/// The figures that concern any of the systems.
pub(super) fn listed(subject: &Subject) -> impl Iterator<Item = &'static Figure> {
    FIGURES.iter().filter(|figure| subject.systems.iter().any(|system| figure.concerns(&system.evaluation)))
}

impl Figure {
    fn concerns(&self, evaluation: &Evaluation) -> bool {
        match self.of {
            Of::Classes(_) => evaluation.classes().is_some(),
            Of::Numbers(_) => evaluation.numbers().is_some(),
        }
    }

    fn estimate(&self, evaluation: &Evaluation) -> Option<Estimate> {
        match self.of {
            Of::Classes(of) => of(evaluation.classes()?),
            Of::Numbers(of) => of(evaluation.numbers()?),
        }
    }

    /// Its value of each system.
    pub(super) fn row(&self, subject: &Subject) -> Vec<Shown> {
        let estimates: Vec<Option<Estimate>> =
            subject.systems.iter().map(|system| self.estimate(&system.evaluation)).collect();
        let values = || estimates.iter().flatten().map(|estimate| estimate.value);
        let best = match self.better {
            Better::High => values().reduce(f64::max),
            Better::Low => values().reduce(f64::min),
        };
        // Where all are alike, none is the best.
        let best = best.filter(|best| values().any(|value| value != *best));
        let show = |estimate: &Option<Estimate>| Shown {
            value: words::known(estimate.map(|estimate| estimate.value), self.show),
            interval: estimate
                .and_then(|estimate| estimate.interval)
                .map(|interval| ((self.show)(interval.low), (self.show)(interval.high))),
            best: best.is_some() && best == estimate.map(|estimate| estimate.value),
        };
        estimates.iter().map(show).collect()
    }
}
