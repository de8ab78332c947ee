//! One algorithm, tried on folds.

#[expect(
    clippy::disallowed_types,
    reason = "measures work on the machine's own clock; there is no tokio here"
)]
use std::time::Instant;

use super::{TrainError, TrainOptions};
use crate::{
    algorithm::{self, Algorithm, Data, Settings, Work},
    evaluate, metrics,
    prepare::{Cleaned, Encoder},
    progress::{Progress, Unwatched},
};

/// What all algorithms are tried on.
pub(super) struct Ground<'a> {
    pub(super) cleaned: &'a Cleaned,
    pub(super) work: Work,
    pub(super) options: &'a TrainOptions,
    /// One per row, if rows do not weigh the same.
    pub(super) weights: Option<Vec<f64>>,
    /// The test rows of each fold.
    folds: Vec<Vec<usize>>,
}

/// How an algorithm did.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) algorithm: Algorithm,
    /// One per row, by the model of the fold that tests the row.
    pub(super) scores: Vec<f64>,
    /// One per fold: the area under the ROC curve, or the root of the mean squared error.
    pub(super) figures: Vec<f64>,
    pub(super) seconds: f64,
}

/// An algorithm that gave no figures, and why.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) algorithm: Algorithm,
    pub(super) why: Why,
    pub(super) seconds: f64,
}

/// Why there are no figures.
#[derive(Debug)]
pub(super) enum Why {
    /// It was left out, for this reason.
    LeftOut(String),
    /// It failed.
    Error(TrainError),
}

impl<'a> Ground<'a> {
    /// Deals the rows into folds; refuses classes that are too small for it.
    pub(super) fn new(
        cleaned: &'a Cleaned,
        work: Work,
        options: &'a TrainOptions,
    ) -> Result<Self, TrainError> {
        let outcome = &cleaned.outcome;
        let positives = outcome.iter().filter(|value| **value == 1.0).count();
        let smallest = match work {
            Work::Classes => positives.min(outcome.len() - positives),
            Work::Numbers => outcome.len(),
        };
        if smallest < options.folds {
            let what = if work == Work::Classes { "the rarer class has" } else { "there are" };
            let folds = options.folds;
            return Err(TrainError::Options(format!("{what} {smallest} rows, too few for {folds} folds")));
        }
        let weights = options.balance.then(|| {
            let half = outcome.len() as f64 / 2.0;
            let (positive, negative) = (half / positives as f64, half / (outcome.len() - positives) as f64);
            outcome.iter().map(|value| if *value == 1.0 { positive } else { negative }).collect()
        });
        let folds = evaluate::folds(outcome, options.folds, work == Work::Classes, options.settings.seed);
        Ok(Self { cleaned, work, options, weights, folds })
    }

    /// Tries an algorithm on each fold.
    pub(super) fn attempt(&self, algorithm: Algorithm, progress: &dyn Progress) -> Result<Trial, Failed> {
        progress.begin(&format!("testing {}", algorithm.name(self.work)), self.folds.len() as u64);
        #[expect(clippy::disallowed_types, reason = "measures work on the machine's own clock")]
        let start = Instant::now();
        let (workers, settings) = self.share(algorithm);
        let folds = in_parallel(self.folds.len(), workers, |fold| {
            let scores = self.fold(algorithm, fold, &settings);
            progress.advance(1);
            scores
        });
        let seconds = start.elapsed().as_secs_f64();
        let failed = |error| Failed { algorithm, why: Why::Error(error), seconds };
        let mut trial = Trial {
            algorithm,
            scores: vec![f64::NAN; self.cleaned.table.rows],
            figures: Vec::new(),
            seconds,
        };
        for (rows, scores) in self.folds.iter().zip(folds) {
            let scores = scores.map_err(failed)?;
            let outcome = pick(&self.cleaned.outcome, rows);
            let figure = match self.work {
                Work::Classes => metrics::roc_auc(&outcome, &scores),
                Work::Numbers => metrics::rmse(&outcome, &scores),
            };
            let unmeasurable = || failed(TrainError::Unmeasurable { algorithm, work: self.work });
            trial.figures.push(figure.ok_or_else(unmeasurable)?);
            for (row, score) in rows.iter().zip(scores) {
                trial.scores[*row] = score;
            }
        }
        Ok(trial)
    }

    /// How many folds are worked on at once, and with how many threads each. A forest keeps all threads busy by itself.
    fn share(&self, algorithm: Algorithm) -> (usize, Settings) {
        let threads = self.options.settings.threads.max(1);
        let workers = if algorithm == Algorithm::Forest { 1 } else { threads.min(self.folds.len()) };
        (workers, Settings { threads: threads / workers, ..self.options.settings.clone() })
    }

    /// The scores of a fold's test rows, by a pipeline that has not seen them.
    fn fold(&self, algorithm: Algorithm, fold: usize, settings: &Settings) -> Result<Vec<f64>, TrainError> {
        let Cleaned { schema, table, outcome, .. } = self.cleaned;
        let test = &self.folds[fold];
        let train: Vec<usize> = (0..table.rows).filter(|row| test.binary_search(row).is_err()).collect();
        let known = table.select(&train);
        let encoder = Encoder::fit(schema, &known, algorithm.needs_scaling());
        let x = encoder.encode(schema, &known)?;
        let (y, weights) =
            (pick(outcome, &train), self.weights.as_ref().map(|weights| pick(weights, &train)));
        let data = Data { x: &x, y: &y, weights: weights.as_deref(), work: self.work };
        let model = algorithm::fit(algorithm, &data, settings, &Unwatched)
            .map_err(|error| TrainError::Fit { algorithm, work: self.work, error })?;
        Ok(model.scores(&encoder.encode(schema, &table.select(test))?))
    }
}

impl Trial {
    /// The mean over the folds.
    pub(super) fn mean(&self) -> f64 {
        self.figures.iter().sum::<f64>() / self.figures.len() as f64
    }

    /// The standard deviation over the folds.
    pub(super) fn spread(&self) -> f64 {
        let mean = self.mean();
        let squares = self.figures.iter().map(|figure| (figure - mean).powi(2)).sum::<f64>();
        (squares / self.figures.len() as f64).sqrt()
    }
}

fn pick(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|row| values[*row]).collect()
}

/// Runs jobs, so many at once, and gives their results in the jobs' order.
fn in_parallel<R: Send>(jobs: usize, workers: usize, job: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let job = &job;
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let work =
            |worker| move || (worker..jobs).step_by(workers).map(|at| (at, job(at))).collect::<Vec<_>>();
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        let joined =
            threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
