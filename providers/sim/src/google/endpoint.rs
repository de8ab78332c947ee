//! Vertex AI's endpoints: `:predict`, `:explain`, `:rawPredict`.
//!
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/predict>,
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/explain>,
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/rawPredict>

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::refuse::{error, serde_message};
use crate::{
    answer::{Answer, Ask, Refusal, Result, Whole},
    cloud::State,
    container::{Container, Dialect, Failure, Nature, Row},
    scorer::Score,
};

/// The deployed model that serves every endpoint.
const DEPLOYED: &str = "4242";

/// What a path names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint<'a> {
    project: &'a str,
    location: &'a str,
    id: &'a str,
    method: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predict {
    instances: Vec<Row>,
    #[serde(rename = "parameters")]
    _parameters: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Explain {
    instances: Vec<Row>,
    #[serde(rename = "parameters")]
    _parameters: Option<Value>,
    deployed_model_id: Option<String>,
}

/// `/v1/projects/P/locations/L/endpoints/E:METHOD`.
pub(super) fn target(path: &str) -> Option<Endpoint<'_>> {
    let parts: Vec<_> = path.strip_prefix('/')?.split('/').collect();
    let ["v1" | "v1beta1", "projects", project, "locations", location, "endpoints", last] = parts.as_slice()
    else {
        return None;
    };
    let (id, method) = last.rsplit_once(':')?;
    let all = [project, location, id].iter().all(|part| !part.is_empty());
    all.then_some(Endpoint { project, location, id, method })
}

pub(super) fn answer(state: &State, ask: &Ask<'_>, endpoint: Endpoint<'_>) -> Result<Answer> {
    Refusal::by_model(endpoint.id).map_err(|refusal| match refusal {
        Refusal::UnknownModel(_) => endpoint.not_found(),
        Refusal::Denied(_) => Refusal::Denied(endpoint.name()),
        other => other,
    })?;
    let container = Container {
        scorer: &state.options.scorer,
        model: endpoint.id,
        nature: Nature::of(&[endpoint.id]),
        dialect: Dialect::Instances,
    };
    let whole = match endpoint.method {
        "predict" => predict(ask, endpoint, &container)?,
        "explain" => explain(ask, &container)?,
        "rawPredict" => raw(ask, endpoint, &container),
        _ => return Err(Refusal::UnknownPath),
    };
    Ok(whole.into())
}

fn predict(ask: &Ask<'_>, endpoint: Endpoint<'_>, container: &Container<'_>) -> Result<Whole> {
    let request: Predict = ask.json(serde_message)?;
    let scores = scored(container, &request.instances)?;
    let Endpoint { project, location, .. } = endpoint;
    let body = json!({
        "predictions": predictions(&scores),
        "deployedModelId": DEPLOYED,
        "model": format!("projects/{project}/locations/{location}/models/2424"),
        "modelDisplayName": "simulated",
        "modelVersionId": "1",
    });
    Ok(json_whole(&body))
}

/// Explanations, without the model's name and version, which this method does not tell.
fn explain(ask: &Ask<'_>, container: &Container<'_>) -> Result<Whole> {
    let request: Explain = ask.json(serde_message)?;
    if let Some(other) = request.deployed_model_id.filter(|id| id != DEPLOYED) {
        let message = format!("The deployed model {other} is not found at the endpoint.");
        return Err(Refusal::at("deployed_model_id", message));
    }
    let scores = scored(container, &request.instances)?;
    let explanations: Result<Vec<_>> =
        request.instances.iter().zip(&scores).map(|(row, score)| attributions(row, score)).collect();
    let body = json!({
        "explanations": explanations?,
        "deployedModelId": DEPLOYED,
        "predictions": predictions(&scores),
    });
    Ok(json_whole(&body))
}

/// The container's own answer, whatever its status.
fn raw(ask: &Ask<'_>, endpoint: Endpoint<'_>, container: &Container<'_>) -> Whole {
    let failed = |failure: Failure| Whole::new(failure.status, crate::answer::JSON, failure.body());
    let whole = container.answer(ask).unwrap_or_else(failed);
    whole.with("x-vertex-ai-endpoint-id", endpoint.id).with("x-vertex-ai-deployed-model-id", DEPLOYED)
}

/// Scores the instances; the container's error becomes Google's, with the container's words.
fn scored(container: &Container<'_>, rows: &[Row]) -> Result<Vec<Score>> {
    container.score(rows).map_err(|failure| {
        let word = match failure.status {
            400..500 => "INVALID_ARGUMENT",
            _ => "INTERNAL",
        };
        Refusal::Own(Box::new(error(failure.status, word, &failure.body())))
    })
}

/// The scores of the two classes, as tabular classifiers give them.
fn predictions(scores: &[Score]) -> Value {
    let predictions = scores
        .iter()
        .map(|Score { score, .. }| json!({"scores": [1.0 - score, score], "classes": ["0", "1"]}));
    predictions.collect()
}

/// What each feature of a row did to the score of the second class; the values of a row without names are one feature.
fn attributions(row: &Row, score: &Score) -> Result<Value> {
    let Row(cells) = row;
    let finite = score.base.is_finite() && score.contributions.iter().all(|value| value.is_finite());
    if cells.len() != score.contributions.len() || !finite {
        let message = "The explanation does not have one finite number for each feature.";
        return Err(Refusal::Own(Box::new(error(500, "INTERNAL", message))));
    }
    let named = cells.iter().zip(&score.contributions);
    let features: Option<Map<String, Value>> =
        named.map(|((name, _), value)| Some((name.clone()?, json!(value)))).collect();
    let features = features.map_or_else(|| json!({"features": score.contributions}), Value::Object);
    let mut attribution =
        json!({"featureAttributions": features, "outputIndex": [1], "outputName": "scores"});
    let explained = score.base + score.contributions.iter().sum::<f64>();
    for (name, value) in [("baselineOutputValue", score.base), ("instanceOutputValue", explained)] {
        // Protocol buffers leave a number out that is zero.
        if let (Some(attribution), true) = (attribution.as_object_mut(), value != 0.0) {
            attribution.insert(name.to_owned(), json!(value));
        }
    }
    Ok(json!({"attributions": [attribution]}))
}

fn json_whole(body: &Value) -> Whole {
    Whole { content_type: "application/json; charset=UTF-8", ..Whole::json(200, body) }
}

impl Endpoint<'_> {
    pub(super) fn is_raw(self) -> bool {
        self.method == "rawPredict"
    }

    fn name(self) -> String {
        format!("projects/{}/locations/{}/endpoints/{}", self.project, self.location, self.id)
    }

    fn not_found(self) -> Refusal {
        let message = format!("Endpoint `{}` not found.", self.name());
        Refusal::Own(Box::new(error(404, "NOT_FOUND", &message)))
    }
}
