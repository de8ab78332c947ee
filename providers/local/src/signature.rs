//! A model's schema in the protocol's words.

use aigate_contract::predict::{BASE, CONTRIBUTIONS, Datatype, Input, Output, Signature};
use aigate_tabular::{
    artefact::Predictor,
    schema::{Feature, Kind, OutcomeKind},
};

/// The probability of the positive class, or the number predicted.
pub(crate) const SCORE: &str = "score";
/// The class, at the model's threshold.
pub(crate) const LABEL: &str = "label";
/// What contributions add up to: the log odds of the score, or the score itself.
pub(crate) const RAW_SCORE: &str = "raw_score";
/// The features that pushed a row's score up most, in words.
pub(crate) const REASONS: &str = "reason_codes";
/// How many reasons a row has.
pub(crate) const REASONS_A_ROW: usize = 4;

/// What a model takes and gives. All but the score is given on request.
pub(crate) fn of(model: &Predictor) -> Signature {
    let schema = model.schema();
    let features = i64::try_from(schema.features.len()).unwrap_or(i64::MAX);
    let on_request =
        |name: &str, datatype, shape| Output { name: name.to_owned(), datatype, shape, on_request: true };
    let mut outputs = vec![Output::scalar(SCORE, Datatype::Fp64)];
    if matches!(schema.outcome.kind, OutcomeKind::Classes { .. }) && model.threshold().is_some() {
        outputs.push(on_request(LABEL, Datatype::Bytes, vec![-1]));
    }
    if model.artefact().is_some() {
        let reasons = i64::try_from(REASONS_A_ROW.min(schema.features.len())).unwrap_or(i64::MAX);
        outputs.extend([
            on_request(CONTRIBUTIONS, Datatype::Fp64, vec![-1, features]),
            on_request(BASE, Datatype::Fp64, vec![-1]),
            on_request(RAW_SCORE, Datatype::Fp64, vec![-1]),
            on_request(REASONS, Datatype::Bytes, vec![-1, reasons]),
        ]);
    }
    Signature { inputs: schema.features.iter().map(input).collect(), outputs }
}

pub(crate) fn input(feature: &Feature) -> Input {
    let datatype = match feature.kind {
        // A whole number cannot be missing; one that may be is a number.
        Kind::Integer if !feature.nullable => Datatype::Int64,
        Kind::Integer | Kind::Real => Datatype::Fp64,
        Kind::Category { .. } => Datatype::Bytes,
    };
    Input { nullable: feature.nullable, ..Input::scalar(&feature.name, datatype) }
}

/// What kind of model it is, in the protocol's sense: `<project>_<format>`.
pub(crate) fn platform(model: &Predictor) -> &'static str {
    if model.artefact().is_some() { "aigate_tabular" } else { "onnx_onnxv1" }
}
