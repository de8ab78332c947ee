//! A model's way of training, measured anew by cross-validation on any table with its columns.

use super::{TrainError, TrainOptions, trial::Ground, trial::Why};
use crate::{
    algorithm::{Settings, Work},
    artefact::Artefact,
    prepare::{self, CleanOptions},
    progress::Progress,
    schema::OutcomeKind,
    table::Csv,
};

/// One score for each row of the file, given by a model that has not seen the row: the artefact's algorithm with its
/// settings, fitted on the other folds. NaN for rows that cleaning leaves out.
///
/// # Errors
/// As [`train`](super::train()): the table cannot be learnt from, or the folds do not suit it.
pub fn again(
    artefact: &Artefact,
    csv: &Csv,
    folds: usize,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<f64>, TrainError> {
    if !(2..=20).contains(&folds) {
        return Err(TrainError::Options(format!("{folds} folds: from 2 to 20 are possible")));
    }
    let target = &artefact.schema.outcome.column;
    let options = TrainOptions {
        clean: as_trained(artefact, csv),
        settings: Settings { seed, ..artefact.settings.clone() },
        folds,
        ..TrainOptions::new(target, &artefact.name)
    };
    let cleaned = prepare::clean(&csv.table, target, &options.clean)?;
    let work = if cleaned.schema.has_classes() { Work::Classes } else { Work::Numbers };
    let ground = Ground::new(&cleaned, work, &options)?;
    let trial = ground.attempt(artefact.algorithm, progress).map_err(|failed| match failed.why {
        Why::Error(error) => error,
        Why::LeftOut(why) => TrainError::Options(why),
    })?;
    let mut scores = vec![f64::NAN; csv.table.rows];
    for (row, score) in cleaned.rows.iter().zip(trial.scores) {
        if let Some(place) = scores.get_mut(*row) {
            *place = score;
        }
    }
    Ok(scores)
}

/// The same columns for the same outcome as when the model was trained.
fn as_trained(artefact: &Artefact, csv: &Csv) -> CleanOptions {
    let schema = &artefact.schema;
    let is_feature = |name: &String| schema.features.iter().any(|feature| feature.name == *name);
    let (keep, others): (Vec<String>, Vec<String>) = csv.table.names.iter().cloned().partition(is_feature);
    let positive = match &schema.outcome.kind {
        OutcomeKind::Classes { positive, .. } => Some(positive.clone()),
        OutcomeKind::Number => None,
    };
    CleanOptions {
        positive,
        work: Some(if schema.has_classes() { Work::Classes } else { Work::Numbers }),
        drop: others.into_iter().filter(|name| *name != schema.outcome.column).collect(),
        keep,
        keep_duplicates: false,
    }
}
