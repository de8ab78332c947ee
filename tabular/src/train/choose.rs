//! Which algorithms are tried, which one is taken, and why, in words.

use super::{
    Choice, TrainError,
    trial::{Failed, Trial, Why},
};
use crate::{
    algorithm::{Algorithm, Work},
    artefact::Candidate,
};

/// Above so many rows, a support vector machine is left out of the automatic choice: its time grows faster than the
/// square of the rows.
pub const SVM_ROWS: usize = 5_000;

/// Areas under the ROC curve this close count as equal.
const NEAR_AREA: f64 = 0.002;

/// Errors of numbers whose share of the least one differs this little count as equal.
const NEAR_ERROR: f64 = 0.002;

/// The algorithm that is taken.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) trial: Trial,
    pub(super) comparison: Vec<Candidate>,
    pub(super) words: String,
}

/// What is tried on so many rows; what is left out says why.
pub(super) fn candidates(choice: Choice, rows: usize) -> impl Iterator<Item = Result<Algorithm, Failed>> {
    let tried = match choice {
        Choice::Auto => Algorithm::ALL.to_vec(),
        Choice::One(algorithm) => vec![algorithm],
    };
    tried.into_iter().map(move |algorithm| {
        if choice == Choice::Auto && algorithm == Algorithm::Svm && rows > SVM_ROWS {
            let why = format!(
                "left out: {rows} rows are more than {SVM_ROWS}, and its time grows faster than the square of the rows; ask for it by name to try it"
            );
            return Err(Failed { algorithm, why: Why::LeftOut(why), seconds: 0.0 });
        }
        Ok(algorithm)
    })
}

/// Takes the best trial, or the simplest of those as good as the best.
pub(super) fn choose(
    tried: Vec<Result<Trial, Failed>>,
    work: Work,
    choice: Choice,
) -> Result<Chosen, TrainError> {
    let comparison: Vec<Candidate> = tried.iter().map(|trial| candidate(trial, work)).collect();
    let mut trials = Vec::new();
    let mut first_error = None;
    for trial in tried {
        match trial {
            Ok(trial) => trials.push(trial),
            Err(Failed { why: Why::Error(error), .. }) => _ = first_error.get_or_insert(error),
            Err(_) => {}
        }
    }
    let better = |a: &Trial, b: &Trial| match work {
        Work::Classes => b.mean().total_cmp(&a.mean()),
        Work::Numbers => a.mean().total_cmp(&b.mean()),
    };
    trials.sort_by(better);
    let Some(best) = trials.first() else {
        let nothing = || TrainError::Options("there is no algorithm to try".to_owned());
        return Err(first_error.unwrap_or_else(nothing));
    };
    let near = |trial: &Trial| match work {
        Work::Classes => best.mean() - trial.mean() <= NEAR_AREA,
        Work::Numbers => trial.mean() - best.mean() <= best.mean() * NEAR_ERROR,
    };
    let equals = trials.iter().enumerate().filter(|(_, trial)| near(trial));
    let taken = equals.min_by_key(|(_, trial)| trial.algorithm.complexity()).map_or(0, |(at, _)| at);
    let words = words(&trials, taken, work, choice);
    Ok(Chosen { trial: trials.swap_remove(taken), comparison, words })
}

fn candidate(tried: &Result<Trial, Failed>, work: Work) -> Candidate {
    let (algorithm, seconds) = match tried {
        Ok(trial) => (trial.algorithm, trial.seconds),
        Err(failed) => (failed.algorithm, failed.seconds),
    };
    let trial = tried.as_ref().ok();
    Candidate {
        algorithm,
        metric: if work == Work::Classes { "roc_auc" } else { "rmse" }.to_owned(),
        mean: trial.map(Trial::mean),
        spread: trial.map(Trial::spread),
        folds: trial.map_or(0, |trial| trial.figures.len()),
        seconds,
        note: tried.as_ref().err().map(|failed| match &failed.why {
            Why::LeftOut(why) => why.clone(),
            Why::Error(error) => format!("failed: {error}"),
        }),
    }
}

/// Why the trial at `taken` of the sorted ones was taken.
fn words(trials: &[Trial], taken: usize, work: Work, choice: Choice) -> String {
    let metric = if work == Work::Classes { "area under the ROC curve" } else { "root mean squared error" };
    let both = |trial: &Trial| format!("{} ± {}", figure(trial.mean()), figure(trial.spread()));
    let said = |trial: &Trial| format!("{} ({})", trial.algorithm.name(work), both(trial));
    let (Some(best), Some(winner)) = (trials.first(), trials.get(taken)) else { return String::new() };
    let folds = winner.figures.len();
    if let Choice::One(_) = choice {
        return format!(
            "{} was asked for; {metric} on {folds} folds: {}",
            winner.algorithm.name(work),
            both(winner)
        );
    }
    let rank = if work == Work::Classes { "highest" } else { "lowest" };
    if taken == 0 {
        return format!("{} has the {rank} mean {metric} on {folds} folds", said(winner));
    }
    let near =
        if work == Work::Classes { NEAR_AREA.to_string() } else { format!("{} %", 100.0 * NEAR_ERROR) };
    format!(
        "{} has the {rank} mean {metric} on {folds} folds, but {} is within {near} of it and simpler",
        said(best),
        said(winner)
    )
}

/// A figure for people: with four places, or in scientific notation if they would hide it.
#[must_use]
pub fn figure(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value) { format!("{value:.4}") } else { format!("{value:.4e}") }
}
