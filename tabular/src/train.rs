//! From a table to a model file: clean, try algorithms on folds, choose one, fit it on all rows, measure it.
//!
//! All that is learnt from rows (fills, scales, levels, the model) is learnt anew within each fold from its training
//! rows. The figures of the result are those of the test rows' scores.

use std::time::SystemTime;

use crate::{
    Matrix,
    algorithm::{self, Algorithm, Data, Settings, Work},
    artefact::{Artefact, Source},
    evaluate::{self, EvalOptions, Evaluation, Positive, Scored},
    explain::{self, Explainer},
    metrics::{self, Costs},
    model::{Form, Model},
    prepare::{self, Action, CleanOptions, Cleaned, Encoder, Finding},
    progress::Progress,
    table::{Csv, Table, TableError},
};

mod again;
mod choose;
mod error;
mod trial;

pub use again::again;
pub use choose::{SVM_ROWS, figure};
pub use error::TrainError;

use trial::{Ground, Trial};

/// A forest of more trees is slower and no better.
const MOST_TREES: usize = 10_000;

/// More threads than any machine has cores for.
const MOST_THREADS: usize = 1_024;

/// What somebody decides about training.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// The column that is predicted.
    pub target: String,
    /// The positive class, what the target is, and which columns are left out or stay.
    pub clean: CleanOptions,
    /// Which algorithm.
    pub algorithm: Choice,
    /// How they are run: seed, threads, trees and the rest.
    pub settings: Settings,
    /// Folds of the cross-validation, from 2 to 20.
    pub folds: usize,
    /// Whether rows of the rarer class weigh so much that both classes weigh the same. Scores are no probabilities then.
    pub balance: bool,
    /// What wrong decisions cost: the threshold is the cheapest. Without costs it is the one with the best F1.
    pub costs: Option<Costs>,
    /// Columns whose groups are measured each by itself; by default those whose names look sensitive.
    pub sensitive: Option<Vec<String>>,
    /// What a positive decision is for the person decided about.
    pub decision: Positive,
    /// What callers call the model.
    pub name: String,
    /// Its version, as its makers count.
    pub version: Option<String>,
    /// The command line, kept for the record.
    pub command: String,
    /// Where the data came from.
    pub source: Option<Source>,
}

/// Which algorithm is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best in cross-validation.
    #[default]
    Auto,
    /// This one.
    One(Algorithm),
}

impl TrainOptions {
    /// The defaults for a target and a name.
    pub fn new(target: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            clean: CleanOptions::default(),
            algorithm: Choice::Auto,
            settings: Settings::default(),
            folds: 5,
            balance: false,
            costs: None,
            sensitive: None,
            decision: Positive::default(),
            name: name.into(),
            version: None,
            command: String::new(),
            source: None,
        }
    }
}

/// Trains a model.
///
/// # Errors
/// An option out of range, a table that cannot be learnt from, or an algorithm that fails; with [`Choice::Auto`] only if
/// all fail.
pub fn train(csv: &Csv, options: &TrainOptions, progress: &dyn Progress) -> Result<Artefact, TrainError> {
    check(csv, options)?;
    let mut cleaned = prepare::clean(&csv.table, &options.target, &options.clean)?;
    let work = if cleaned.schema.has_classes() { Work::Classes } else { Work::Numbers };
    let findings = findings(csv, options, work, std::mem::take(&mut cleaned.findings))?;
    let ground = Ground::new(&cleaned, work, options)?;
    let tried = choose::candidates(options.algorithm, cleaned.table.rows)
        .map(|candidate| candidate.and_then(|algorithm| ground.attempt(algorithm, progress)))
        .collect();
    let chosen = choose::choose(tried, work, options.algorithm)?;
    let fitted = Fitted::new(&ground, &chosen.trial, progress)?;
    let threshold = threshold(&cleaned.outcome, &chosen.trial.scores, work, options.costs);
    Ok(Artefact {
        name: options.name.clone(),
        version: options.version.clone(),
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        tool: concat!("aigate ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: options.command.clone(),
        data: csv.fingerprint.clone(),
        source: options.source.clone(),
        algorithm: chosen.trial.algorithm,
        settings: options.settings.clone(),
        threshold,
        comparison: chosen.comparison,
        choice: chosen.words,
        metrics: measure(csv, &cleaned, &chosen.trial, threshold, work, options),
        importance: fitted.importance,
        findings,
        encoder: fitted.encoder,
        model: fitted.model,
        schema: cleaned.schema,
    })
}

/// Refuses options that cannot be meant.
fn check(csv: &Csv, options: &TrainOptions) -> Result<(), TrainError> {
    let wrong = |what: String| Err(TrainError::Options(what));
    let Settings { trees, threads, .. } = options.settings;
    let grows = matches!(options.algorithm, Choice::Auto | Choice::One(Algorithm::Forest));
    for (count, what, possible) in [
        (options.folds, "folds", 2..=20),
        (threads, "threads", 1..=MOST_THREADS),
        (if grows { trees } else { 1 }, "trees", 1..=MOST_TREES),
    ] {
        if !possible.contains(&count) {
            let (least, most) = (possible.start(), possible.end());
            return wrong(format!("{count} {what}: from {least} to {most} are possible"));
        }
    }
    if options.sensitive.iter().flatten().any(|name| *name == options.target) {
        let error = TableError::new("is the target; its groups cannot be measured");
        return Err(error.in_column(&options.target).into());
    }
    if let Some(Costs { false_positive, false_negative }) = options.costs {
        let valid = |cost: f64| cost.is_finite() && cost >= 0.0;
        if !valid(false_positive) || !valid(false_negative) || false_positive + false_negative == 0.0 {
            return wrong(format!(
                "costs of {false_positive} and {false_negative}: they must be numbers of zero or more, and not both zero"
            ));
        }
    }
    match options.sensitive.iter().flatten().find(|name| csv.table.position(name).is_none()) {
        Some(absent) => Err(csv.table.no_column(absent).into()),
        None => Ok(()),
    }
}

/// All that was found in the data; refuses options that do not suit a number.
fn findings(
    csv: &Csv,
    options: &TrainOptions,
    work: Work,
    cleaning: Vec<Finding>,
) -> Result<Vec<Finding>, TrainError> {
    let general = |action, what: &str| Finding { column: None, what: what.to_owned(), action };
    if work == Work::Numbers && (options.balance || options.costs.is_some()) {
        let what = "balance and costs are about classes, but the target is a number".to_owned();
        return Err(TrainError::Options(what));
    }
    let mut findings: Vec<_> = csv.notes.iter().map(|note| general(Action::Kept, note)).collect();
    if options.balance {
        findings.push(general(
            Action::Warned,
            "both classes weigh the same in training, whatever their share: scores order the rows, but are no probabilities",
        ));
    }
    findings.extend(cleaning);
    Ok(findings)
}

/// What is fitted on all rows.
struct Fitted {
    encoder: Encoder,
    model: Model,
    importance: Vec<(String, f64)>,
}

impl Fitted {
    fn new(ground: &Ground<'_>, trial: &Trial, progress: &dyn Progress) -> Result<Self, TrainError> {
        let Cleaned { schema, table, outcome, .. } = ground.cleaned;
        let encoder = Encoder::fit(schema, table, trial.algorithm.needs_scaling());
        let x = encoder.encode(schema, table)?;
        let data = Data { x: &x, y: outcome, weights: ground.weights.as_deref(), work: ground.work };
        let model = algorithm::fit(trial.algorithm, &data, &ground.options.settings, progress)
            .map_err(|error| TrainError::Fit { algorithm: trial.algorithm, work: ground.work, error })?;
        let importance = explain::importance(&Explainer::new(&model, &encoder), schema, &sample(&model, &x));
        Ok(Self { encoder, model, importance })
    }
}

/// Rows, evenly spread, that tell importance: at most 1,000, and of a forest of millions of nodes 100, as a row's
/// contributions take time in proportion to its nodes.
fn sample(model: &Model, x: &Matrix) -> Matrix {
    let nodes = match &model.form {
        Form::Trees(trees) => trees.trees.iter().map(|tree| tree.feature.len()).sum(),
        Form::Linear(_) | Form::Kernel(_) => 0_usize,
    };
    let count = (100_000_000 / nodes.max(1)).clamp(100, 1_000).min(x.rows());
    let rows: Vec<usize> = (0..count).map(|index| index * x.rows() / count).collect();
    x.select(&rows)
}

/// The threshold of classes; 0 for numbers, which have none.
fn threshold(outcome: &[f64], scores: &[f64], work: Work, costs: Option<Costs>) -> f64 {
    let cut = match (work, costs) {
        (Work::Numbers, _) => return 0.0,
        (Work::Classes, Some(costs)) => metrics::cheapest(outcome, scores, costs),
        (Work::Classes, None) => metrics::best_f1(outcome, scores),
    };
    // "Nobody" is a threshold just above the highest score.
    cut.map_or(0.5, |cut| cut.threshold.clamp(0.0, 1.0_f64.next_up()))
}

/// Measures the scores of the test rows.
fn measure(
    csv: &Csv,
    cleaned: &Cleaned,
    trial: &Trial,
    threshold: f64,
    work: Work,
    options: &TrainOptions,
) -> Evaluation {
    let by_name = || prepare::sensitive(&csv.table.names).into_iter().map(|(name, _)| name).collect();
    let mut names: Vec<String> = options.sensitive.clone().unwrap_or_else(by_name);
    // A target may have a name that looks sensitive.
    names.retain(|name| *name != options.target);
    let columns = names.iter().filter_map(|name| csv.table.column(name));
    let columns = columns.map(|column| column.select(&cleaned.rows)).collect();
    let groups = prepare::groups(&Table { names: names.clone(), columns, rows: cleaned.rows.len() }, &names);
    let scored = Scored { outcome: &cleaned.outcome, scores: &trial.scores, work, groups: &groups };
    let eval = EvalOptions {
        threshold,
        positive: options.decision,
        costs: options.costs,
        seed: options.settings.seed,
        ..EvalOptions::default()
    };
    evaluate::evaluate(&scored, &eval)
}

#[cfg(test)]
mod tests;
