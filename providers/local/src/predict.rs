//! Scores rows, and says what each score is made of.

use std::sync::Arc;

use aigate_contract::{
    Call, Error, ErrorKind, Predict, Result, Serve,
    predict::{BASE, CONTRIBUTIONS, Data, PredictReply, PredictRequest, Tensor},
};
use aigate_tabular::{
    artefact::{PredictError, Predictor},
    explain::{Contributions, Direction, reasons},
    schema::{Feature, Kind, OutcomeKind, Schema},
    table::{Column, Table},
};
use bytes::Bytes;

use crate::{
    Local,
    models::Model,
    rows::table,
    signature::{LABEL, RAW_SCORE, REASONS, REASONS_A_ROW, SCORE},
};

/// Rows that are scored where the call runs. More of them would hold up the calls beside it, and get a thread of their own.
const ROWS_AT_ONCE: usize = 64;
/// The same for rows whose scores are explained.
const EXPLAINED_AT_ONCE: usize = 1;

/// The parameter of an answer that names inputs with values that the model has never seen.
const UNSEEN: &str = "aigate_unseen_levels";

impl Serve<Predict> for Local {
    async fn serve(&self, call: Call<Predict>) -> Result<PredictReply> {
        let target = &call.target.model;
        let model = self.models.get(target).map_err(|why| Error::new(ErrorKind::Missing, why))?;
        let adverse = adverse(&call)?;
        refuse_parameters(&call)?;
        let bound = if explains(&call.request) { EXPLAINED_AT_ONCE } else { ROWS_AT_ONCE };
        if call.request.rows() <= bound {
            return answer(&model, &call.request, adverse);
        }
        let request = Arc::clone(&call.request);
        tokio::task::spawn_blocking(move || answer(&model, &request, adverse)).await.map_err(|error| {
            Error::new(ErrorKind::Internal, "the scoring of a large request ended early").with_source(error)
        })?
    }
}

/// Which way a score has to go to be bad for the person it is about: the request's parameter `adverse`, `high` (a default's
/// probability) unless it says `low`. Reason codes are the features that moved it that way.
fn adverse(call: &Call<Predict>) -> Result<Direction> {
    let mut direction = Direction::High;
    for (name, value) in &call.request.parameters {
        match (name.as_str(), value.as_str()) {
            ("adverse", Some("high")) => direction = Direction::High,
            ("adverse", Some("low")) => direction = Direction::Low,
            ("adverse", _) => {
                let message = format!("`adverse` is \"high\" or \"low\", not {value}");
                return Err(Error::new(ErrorKind::Invalid, message).with_param(name));
            }
            _ => call.unsupported(name, "a model on this machine has no such parameter")?,
        }
    }
    Ok(direction)
}

/// What is said of single tensors has no place here.
fn refuse_parameters(call: &Call<Predict>) -> Result<()> {
    let inputs = call.request.inputs.iter().map(|tensor| (&tensor.name, &tensor.parameters));
    let outputs = call.request.outputs.iter().map(|wanted| (&wanted.name, &wanted.parameters));
    for (tensor, parameters) in inputs.chain(outputs) {
        for name in parameters.keys() {
            let why = format!("a parameter of `{tensor}`, which a model on this machine has no use for");
            call.unsupported(name, &why)?;
        }
    }
    Ok(())
}

fn explains(request: &PredictRequest) -> bool {
    [CONTRIBUTIONS, BASE, RAW_SCORE, REASONS].iter().any(|name| request.asks_for(name))
}

fn answer(model: &Model, request: &PredictRequest, adverse: Direction) -> Result<PredictReply> {
    let Model { predictor, version } = model;
    let rows = &table(predictor.schema(), request)?;
    let scores = predictor.score(rows).map_err(from_model)?;
    let mut outputs = Vec::with_capacity(1);
    if request.asks_for(LABEL) {
        outputs.push(column(LABEL, Data::Bytes(labels(predictor, &scores)))?);
    }
    if explains(request) {
        explain(predictor, rows, request, adverse, &mut outputs)?;
    }
    outputs.insert(0, column(SCORE, Data::Fp64(scores))?);
    let mut reply = PredictReply::new(request, &**version, outputs)?;
    let unseen = unseen(predictor.schema(), rows);
    if !unseen.is_empty() {
        reply.parameters.insert(UNSEEN.to_owned(), unseen.join(",").into());
    }
    Ok(reply)
}

/// The features with a word that the model has never seen: it scores such a row as if nothing were known of them.
fn unseen<'a>(schema: &'a Schema, rows: &Table) -> Vec<&'a str> {
    let strange = |levels: &[String], word: &str| {
        // An ONNX model does not tell its levels.
        !levels.is_empty() && levels.binary_search_by(|level| level.as_str().cmp(word)).is_err()
    };
    let features = schema.features.iter().zip(&rows.columns);
    let has_one = |(feature, column): &(&Feature, &Column)| match (&feature.kind, column) {
        (Kind::Category { levels }, Column::Words(words)) => {
            words.iter().flatten().any(|word| strange(levels, word))
        }
        _ => false,
    };
    features.filter(has_one).map(|(feature, _)| feature.name.as_str()).collect()
}

/// Each row's class at the model's threshold.
fn labels(model: &Predictor, scores: &[f64]) -> Vec<Bytes> {
    let OutcomeKind::Classes { negative, positive } = &model.schema().outcome.kind else { return Vec::new() };
    let threshold = model.threshold().unwrap_or(0.5);
    let (negative, positive) =
        (Bytes::copy_from_slice(negative.as_bytes()), Bytes::copy_from_slice(positive.as_bytes()));
    let label = |score: &f64| if *score >= threshold { positive.clone() } else { negative.clone() };
    scores.iter().map(label).collect()
}

fn explain(
    model: &Predictor,
    rows: &Table,
    request: &PredictRequest,
    adverse: Direction,
    outputs: &mut Vec<Tensor>,
) -> Result<()> {
    let explained = model.explain(rows).map_err(from_model)?;
    let each = |pick: fn(&Contributions) -> f64| Data::Fp64(explained.iter().map(pick).collect());
    if request.asks_for(CONTRIBUTIONS) {
        let values = explained.iter().flat_map(|row| row.values.iter().copied()).collect();
        outputs.push(wide(CONTRIBUTIONS, rows.rows, model.schema().features.len(), Data::Fp64(values))?);
    }
    if request.asks_for(BASE) {
        outputs.push(column(BASE, each(|row| row.base))?);
    }
    if request.asks_for(RAW_SCORE) {
        outputs.push(column(RAW_SCORE, each(|row| row.raw))?);
    }
    if request.asks_for(REASONS) {
        let count = REASONS_A_ROW.min(model.schema().features.len());
        let mut words = Vec::with_capacity(count * rows.rows);
        for (row, contributions) in explained.iter().enumerate() {
            let found = reasons(model.schema(), rows, row, contributions, adverse, count);
            let mut told = found.into_iter().map(|reason| Bytes::from(reason.words));
            // A row may have fewer features that push its score up.
            words.extend((0..count).map(|_| told.next().unwrap_or_default()));
        }
        outputs.push(wide(REASONS, rows.rows, count, Data::Bytes(words))?);
    }
    Ok(())
}

fn column(name: &str, data: Data) -> Result<Tensor> {
    Tensor::new(name, vec![data.len()], data).map_err(|why| Error::new(ErrorKind::Internal, why))
}

fn wide(name: &str, rows: usize, width: usize, data: Data) -> Result<Tensor> {
    Tensor::new(name, vec![rows, width], data).map_err(|why| Error::new(ErrorKind::Internal, why))
}

fn from_model(error: PredictError) -> Error {
    let message = error.to_string();
    match error {
        // The edge has checked the rows: what is left is that the model cannot do it, another one may.
        PredictError::Unsupported(why) => Error::unsupported("outputs", &why),
        _ => Error::new(ErrorKind::Invalid, message),
    }
}
