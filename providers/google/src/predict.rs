//! Predictions of models of one's own, at Vertex AI's online endpoints.
//!
//! Rows go to `:predict`; where the caller asks for contributions too, to `:explain`. Bodies that are the container's own
//! (CSV, JSON, JSON Lines, the Open Inference Protocol) go to `:rawPredict`.
//!
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/predict>,
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/rawPredict>,
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/explain>,
//! <https://cloud.google.com/vertex-ai/docs/predictions/using-dedicated-endpoints>

mod explain;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aigate_contract::{
    Call, Error, ErrorKind, Predict, Result, Serve, Target,
    predict::{BASE, BodyForm, CONTRIBUTIONS, Encoded, Form, PredictReply, Service, Wanted},
    settings::Fault,
};
use aigate_transport::{Request, json_length};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::{Google, site::dedicated_host};

/// No answer is larger, in bytes.
const MAX_REPLY: usize = 64 * 1024 * 1024;

impl Serve<Predict> for Google {
    async fn serve(&self, call: Call<Predict>) -> Result<PredictReply> {
        self.score(&call).await.map_err(|error| error.with_target(&call.target))
    }
}

impl Google {
    async fn score(&self, call: &Call<Predict>) -> Result<PredictReply> {
        let (request, target) = (&call.request, &call.target);
        let form = target.form.as_deref().ok_or_else(without_form)?;
        let method = Method::choose(call, form)?;
        let url = self.site.endpoint_url(&target.model, form.routing.host.as_deref(), method.path())?;
        let message = message(url, form.encode(request)?);
        let answer = self.post(call, message).await.map_err(|error| method.explain_refusal(error))?;
        let headers = answer.headers().clone();
        let body = answer.bytes(MAX_REPLY).await?;
        let explained = match method {
            Method::Explain => explain::read(&body, form, request)?,
            Method::Predict | Method::Raw => Vec::new(),
        };
        let mut reply = form.reply(call, &body, json_length(&headers)?, explained)?;
        reply.parameters.extend(method.served_by(&headers, &body));
        Ok(reply)
    }
}

/// One of Vertex AI's ways to ask an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Predict,
    Explain,
    Raw,
}

/// Who answered, as `:predict` and `:explain` tell it; the latter knows no version.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServedBy {
    deployed_model_id: Option<String>,
    model_version_id: Option<String>,
}

impl Method {
    /// The method that gives what is asked. What none can give is refused, or dropped as configured.
    fn choose(call: &Call<Predict>, form: &Form) -> Result<Self> {
        let explained = |wanted: &&Wanted| can_explain(form, &wanted.name);
        if !call.request.outputs.iter().any(|wanted| explained(&wanted)) {
            form.admit(call)?;
            return Ok(if form.body == BodyForm::Instances { Self::Predict } else { Self::Raw });
        }
        for name in call.request.outputs.iter().filter(explained).flat_map(|wanted| wanted.parameters.keys())
        {
            call.unsupported(name, "an explanation at vertex ai takes no parameters")?;
        }
        // The form knows nothing of explanations: it admits the rest.
        let mut predicted = (*call.request).clone();
        predicted.outputs.retain(|wanted| !explained(&wanted));
        for wanted in predicted.outputs.extract_if(.., |wanted| !gives(form, &wanted.name)) {
            call.unsupported("outputs", &format!("the deployment does not give `{}`", wanted.name))?;
        }
        form.admit(&Call { request: Arc::new(predicted), ..call.clone() })?;
        Ok(Self::Explain)
    }

    fn path(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Explain => "explain",
            Self::Raw => "rawPredict",
        }
    }

    /// An endpoint that cannot explain calls the request invalid; another deployment may explain it.
    fn explain_refusal(self, error: Error) -> Error {
        let about_explaining = error.message().to_ascii_lowercase().contains("explan");
        if self != Self::Explain || error.kind() != ErrorKind::Invalid || !about_explaining {
            return error;
        }
        let refused =
            Error::unsupported("outputs", error.message()).with_status(error.status().unwrap_or(400));
        match error.code() {
            Some(code) => refused.with_code(code),
            None => refused,
        }
    }

    /// Which of the endpoint's models answered, as far as it is told.
    fn served_by(self, headers: &HeaderMap, body: &[u8]) -> impl Iterator<Item = (String, Value)> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let told = match self {
            Self::Predict | Self::Explain => serde_json::from_slice(body).unwrap_or_default(),
            Self::Raw => ServedBy {
                deployed_model_id: text("x-vertex-ai-deployed-model-id"),
                model_version_id: text("x-vertex-ai-model-version-id"),
            },
        };
        let named = [
            ("vertex_deployed_model_id", told.deployed_model_id),
            ("vertex_model_version_id", told.model_version_id),
        ];
        named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), Value::String(id?))))
    }
}

/// Whether `:explain` gives this output. Dedicated endpoints do not have it.
fn can_explain(form: &Form, output: &str) -> bool {
    matches!(output, CONTRIBUTIONS | BASE)
        && !gives(form, output)
        && form.body == BodyForm::Instances
        && form.routing.host.is_none()
}

/// Whether the predictions themselves give this output.
fn gives(form: &Form, output: &str) -> bool {
    form.places.iter().any(|place| place.output.name == output)
}

fn message(url: Url, encoded: Encoded) -> Request {
    Request::json(url, encoded.body)
        .header(header::CONTENT_TYPE, HeaderValue::from_static(encoded.content_type))
        .header(header::ACCEPT, HeaderValue::from_static(encoded.accept))
}

fn without_form() -> Error {
    Error::new(ErrorKind::Internal, "the predict deployment has no form")
}

/// Whether Vertex AI can be asked in a deployment's form. Every fault, at its key of `wire`.
pub(crate) fn check(target: &Target) -> Result<(), Vec<Fault>> {
    let Some(form) = target.form.as_deref() else { return Ok(()) };
    let routing = &form.routing;
    let mut faults = Vec::new();
    if form.body == BodyForm::InputData {
        let why = "`input_data` is Azure ML's: write instances, json, csv, json_lines or oip";
        faults.push(Fault::at("body", why));
    }
    faults.extend(routing.foreign(Service::VertexAi));
    if let Some(Err(why)) = routing.host.as_deref().map(dedicated_host) {
        faults.push(Fault::at("host", why));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
