//! What `:explain` says beside the predictions: for each row and feature its part of the score.
//!
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/ModelExplanation#Attribution>

use aigate_contract::{
    Error, ErrorKind, Result,
    predict::{BASE, CONTRIBUTIONS, Data, Form, PredictRequest, Tensor},
};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    explanations: Vec<Explanation>,
}

#[derive(Deserialize)]
struct Explanation {
    #[serde(default)]
    attributions: Vec<Attribution>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribution {
    /// Protocol buffers leave a number out of their JSON when it is zero.
    #[serde(default)]
    baseline_output_value: f64,
    #[serde(default)]
    feature_attributions: Map<String, Value>,
    /// Where the explained number stands in the model's output; empty or -1 where that is one number.
    #[serde(default)]
    output_index: Vec<i64>,
}

/// The tensors `contributions`, `[rows, features in the order of the model's inputs]`, and `base`, `[rows]`, as far as they are asked
/// for.
///
/// # Errors
/// [`ErrorKind::Unsupported`] naming `outputs` when the endpoint explains nothing, another output than the score, or
/// features by other names; [`ErrorKind::Malformed`] when the answer is not in its documented form.
pub(super) fn read(body: &[u8], form: &Form, request: &PredictRequest) -> Result<Vec<Tensor>> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("it has no explanations of the documented form: {error}")))?;
    let (rows, explained) = (request.rows(), answer.explanations.len());
    if explained == 0 {
        return Err(unsupported("the endpoint explained nothing: its model needs an explanation spec"));
    }
    if explained != rows {
        return Err(malformed(format!("it has {explained} explanations where {rows} rows were sent")));
    }
    let index = score_index(form);
    let (mut contributions, mut base) = (Vec::new(), Vec::with_capacity(rows));
    for (row, explanation) in answer.explanations.iter().enumerate() {
        let at_row = |why: String| unsupported(&format!("the explanation of row {row} {why}"));
        let attribution = choose(&explanation.attributions, &index).map_err(at_row)?;
        let told = by_feature(&attribution.feature_attributions, form).map_err(at_row)?;
        // A feature that the deployment is not sent adds nothing.
        let mut placed = vec![0.0; form.features];
        for (cell, value) in form.cells.iter().zip(told) {
            if let Some(place) = placed.get_mut(cell.position) {
                *place = value;
            }
        }
        contributions.extend(placed);
        base.push(attribution.baseline_output_value);
    }
    let tensors = [(CONTRIBUTIONS, vec![rows, form.features], contributions), (BASE, vec![rows], base)];
    let asked = tensors.into_iter().filter(|(name, ..)| request.asks_for(name));
    asked.map(|(name, shape, data)| Tensor::new(name, shape, Data::Fp64(data)).map_err(malformed)).collect()
}

/// Where the score stands within a row's prediction: the numbers at the end of its pointer, e.g. 1 of `/scores/1`. The
/// score is the first output that is a real number.
fn score_index(form: &Form) -> Vec<i64> {
    let real = |data: Data| matches!(data, Data::Fp16(_) | Data::Bf16(_) | Data::Fp32(_) | Data::Fp64(_));
    let score = form.places.iter().find(|place| real(Data::empty(place.output.datatype)));
    let steps = score.into_iter().flat_map(|place| place.at.rsplit('/'));
    let mut index: Vec<i64> = steps.map_while(|step| step.parse().ok()).collect();
    index.reverse();
    index
}

/// The attribution of the score. A model of several outputs explains the likeliest one unless it is told otherwise.
fn choose<'a>(attributions: &'a [Attribution], score: &[i64]) -> Result<&'a Attribution, String> {
    let index = |attribution: &'a Attribution| match attribution.output_index.as_slice() {
        [-1] => &[],
        index => index,
    };
    let exact = attributions.iter().find(|attribution| index(attribution) == score);
    match (exact, attributions) {
        (Some(exact), _) => Ok(exact),
        (None, []) => Err("has no attributions".to_owned()),
        // One number alone is explained, wherever the prediction holds it; or the other way about.
        (None, [only])
            if index(only).is_empty() || score.is_empty() && index(only).iter().all(|step| *step == 0) =>
        {
            Ok(only)
        }
        (None, others) => {
            let told: Vec<String> =
                others.iter().take(8).map(|other| format!("{:?}", index(other))).collect();
            let told = told.join(", ");
            Err(format!(
                "is of the model's output at {told}, the score is at {score:?}: set `outputIndices` in the \
                 explanation parameters of the model"
            ))
        }
    }
}

/// One number for each feature, in the form's order. A feature of several numbers counts as their sum. Where rows are
/// lists, all features may also stand in one array.
fn by_feature(attributions: &Map<String, Value>, form: &Form) -> Result<Vec<f64>, String> {
    let mut only = attributions.iter();
    if let (Some((name, Value::Array(items))), None) = (only.next(), only.next())
        && items.len() == form.cells.len()
        && form.row_names().all(|feature| feature != name)
    {
        let numbers: Option<Vec<f64>> = items.iter().map(sum).collect();
        return numbers.ok_or_else(|| format!("has something else than numbers for `{name}`"));
    }
    let number = |feature: &str| match attributions.get(feature) {
        Some(value) => sum(value).ok_or_else(|| format!("has something else than numbers for `{feature}`")),
        None => {
            let short = |name: &String| name.chars().take(64).collect::<String>();
            let known: Vec<String> = attributions.keys().take(20).map(short).collect();
            Err(format!("has no `{feature}`, only {}", known.join(", ")))
        }
    };
    form.row_names().map(number).collect()
}

/// The sum of all numbers in it; `None` where something else, or nothing, stands in it.
fn sum(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Array(items) if !items.is_empty() => items.iter().map(sum).sum(),
        Value::Object(fields) if !fields.is_empty() => fields.values().map(sum).sum(),
        _ => None,
    }
}

fn unsupported(why: &str) -> Error {
    Error::unsupported("outputs", why)
}

fn malformed(why: String) -> Error {
    Error::new(ErrorKind::Malformed, format!("the endpoint's explanation does not fit: {why}"))
}
