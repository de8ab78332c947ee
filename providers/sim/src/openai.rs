//! OpenAI's protocol, and OpenAI itself; Azure speaks it too.
//!
//! <https://platform.openai.com/docs/api-reference/chat>

mod embed;
mod refuse;
mod reply;
mod request;

use bytes::Bytes;
use http::Method;
use serde_json::json;

pub(crate) use refuse::{error_body, error_events, refuse, retry_after, serde_message};

use crate::{
    answer::{Answer, Ask, Refusal, Result, Whole, Wrong},
    clock,
    cloud::State,
    script,
};

/// Whose house the protocol is spoken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct House {
    /// Its name in answers.
    pub(crate) cloud: &'static str,
    /// Whether it annotates answers with the results of content filters, as Azure does.
    pub(crate) filters: bool,
    /// Whether it takes Azure's own fields.
    pub(crate) azure: bool,
}

const OPENAI: House = House { cloud: "openai", filters: false, azure: false };

/// What `/v1/models` lists.
const MODELS: [&str; 4] = ["gpt-4.1", "gpt-4.1-mini", "gpt-4o-mini", "text-embedding-3-small"];

/// Answers as OpenAI does.
pub(crate) fn answer(state: &State, ask: &Ask<'_>) -> Result<Answer> {
    authorize(state, ask)?;
    let answer = match (ask.method, ask.path) {
        (&Method::POST, "/v1/chat/completions") => chat(OPENAI, ask, None)?,
        (&Method::POST, "/v1/embeddings") => embed(ask, None)?,
        (&Method::GET, "/v1/models") => models().into(),
        (&Method::GET, path) if path.starts_with("/v1/models/") => {
            let name = path.trim_start_matches("/v1/models/");
            Refusal::by_model(name)?;
            Whole::json(200, &model(name)).into()
        }
        _ => return Err(Refusal::UnknownPath),
    };
    Ok(match answer {
        Answer::Whole(whole) => whole.with("x-request-id", format!("req_sim{}", ask.number)).into(),
        Answer::Stream(stream) => stream.with("x-request-id", format!("req_sim{}", ask.number)).into(),
    })
}

fn authorize(state: &State, ask: &Ask<'_>) -> Result<()> {
    match ask.bearer() {
        None => Err(Refusal::Credentials(Wrong::Missing)),
        Some(key) if key != state.options.credentials.api_key => Err(Refusal::Credentials(Wrong::Unknown)),
        Some(_) if ask.keys_expired => Err(Refusal::Credentials(Wrong::Expired)),
        Some(_) => Ok(()),
    }
}

/// A chat completion; `deployment` is the model if the path names it.
pub(crate) fn chat(house: House, ask: &Ask<'_>, deployment: Option<&str>) -> Result<Answer> {
    let request: request::Chat<'_> = ask.json(serde_message)?;
    let model = deployment.or(request.model.as_deref()).ok_or_else(|| missing("model"))?;
    Refusal::by_model(model)?;
    let prompt = request.prompt(house)?;
    if prompt.is_filtered() {
        return Err(Refusal::Filtered);
    }
    let play = script::play(house.cloud, &prompt);
    let told =
        reply::Told { house, model, number: ask.number, created: clock::now(), wants: request.wants() };
    Ok(if request.stream == Some(true) { told.stream(&play).into() } else { told.whole(&play).into() })
}

/// Embeddings; `deployment` is the model if the path names it.
pub(crate) fn embed(ask: &Ask<'_>, deployment: Option<&str>) -> Result<Answer> {
    embed::answer(ask, deployment).map(Into::into)
}

/// OpenAI's words for a missing field.
pub(crate) fn missing(field: &str) -> Refusal {
    Refusal::at(field, format!("Missing required parameter: '{field}'."))
}

fn models() -> Whole {
    let data: Vec<_> = MODELS.iter().map(|name| model(name)).collect();
    Whole::json(200, &json!({"object": "list", "data": data}))
}

fn model(name: &str) -> serde_json::Value {
    json!({"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"})
}

/// The bytes of a JSON value.
fn bytes(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}
