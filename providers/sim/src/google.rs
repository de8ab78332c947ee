//! Vertex AI with its endpoints, the Gemini API, and where their tokens come from.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>, <https://ai.google.dev/api>

mod embed;
mod endpoint;
mod refuse;
mod reply;
mod request;
mod token;

use std::borrow::Cow;

use http::Method;
use serde_json::Value;

pub(crate) use refuse::{error_body, error_events, refuse};
pub(crate) use token::is_token_path;

use crate::{
    answer::{Answer, Ask, Framing, Refusal, Result, Wrong, decode},
    clock,
    cloud::State,
    script,
    token::{Audience, TokenFault},
};

/// Which of Google's two houses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum House {
    Vertex,
    Gemini,
}

/// What a path names.
struct Target<'a> {
    house: House,
    model: Cow<'a, str>,
    method: &'a str,
}

/// Answers as Google does.
pub(crate) fn answer(state: &State, ask: &Ask<'_>) -> Result<Answer> {
    if is_token_path(ask.path) {
        return token::answer(state, ask).map(Into::into);
    }
    if let Some(endpoint) = endpoint::target(ask.path).filter(|_| ask.method == Method::POST) {
        authorize(state, ask, House::Vertex)?;
        return endpoint::answer(state, ask, endpoint);
    }
    let target = target(ask.path).filter(|_| ask.method == Method::POST).ok_or(Refusal::UnknownPath)?;
    authorize(state, ask, target.house)?;
    Refusal::by_model(&target.model)?;
    let vertex = target.house == House::Vertex;
    match target.method {
        "generateContent" => generate(ask, &target, None),
        "streamGenerateContent" => {
            let sse = ask.parameter("alt").as_deref() == Some("sse");
            generate(ask, &target, Some(if sse { Framing::Sse("\r\n") } else { Framing::Array }))
        }
        "predict" if vertex => embed::predict(ask, &target.model),
        "embedContent" => embed::embed_content(ask, &target.model, target.house),
        "batchEmbedContents" if !vertex => embed::batch(ask, &target.model),
        _ => Err(Refusal::UnknownPath),
    }
}

fn generate(ask: &Ask<'_>, target: &Target<'_>, stream: Option<Framing>) -> Result<Answer> {
    let request: request::Generate<'_> = ask.json(refuse::serde_message)?;
    let prompt = request.prompt(target.house)?;
    let play = script::play("google", &prompt);
    let told = reply::Told {
        house: target.house,
        model: &target.model,
        id: format!("sim-{}", ask.number),
        time: clock::iso(clock::now()),
        logprobs: request.logprobs(),
        thoughts: play.thought && request.wants_thoughts(),
        prompt_words: prompt.words,
    };
    Ok(match stream {
        None if prompt.is_filtered() => told.blocked(&play),
        None => told.whole(&play),
        Some(framing) => told.stream(&play, prompt.is_filtered(), framing),
    })
}

/// `/v1/projects/P/locations/L/publishers/google/models/M:METHOD`, or the Gemini API's `/v1beta/models/M:METHOD`.
fn target(path: &str) -> Option<Target<'_>> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let version = parts.next()?;
    if !["v1", "v1beta", "v1beta1", "v1alpha"].contains(&version) {
        return None;
    }
    let rest: Vec<_> = parts.collect();
    let (house, last) = match rest.as_slice() {
        ["projects", project, "locations", location, "publishers", "google", "models", last]
            if !project.is_empty() && !location.is_empty() =>
        {
            (House::Vertex, last)
        }
        ["publishers", "google", "models", last] => (House::Vertex, last),
        ["models", last] => (House::Gemini, last),
        _ => return None,
    };
    let (model, method) = last.rsplit_once(':')?;
    (!model.is_empty()).then(|| Target { house, model: decode(model, false), method })
}

/// An API key, or a bearer token: one of ours, or one that a service account signed itself.
fn authorize(state: &State, ask: &Ask<'_>, house: House) -> Result<()> {
    let given = ask.header("x-goog-api-key").map(Cow::Borrowed).or_else(|| ask.parameter("key"));
    if let Some(given) = given {
        return match *given == *state.options.credentials.api_key {
            false => Err(Refusal::Credentials(Wrong::Unknown)),
            true if ask.keys_expired => Err(Refusal::Credentials(Wrong::Expired)),
            true => Ok(()),
        };
    }
    let token = ask.bearer().ok_or(Refusal::Credentials(Wrong::Missing))?;
    let checked = if token.contains('.') {
        state.tokens.check_jwt(token, |claims| is_for_us(claims, house))
    } else {
        state.tokens.check(token, Audience::Models).map(|_| ())
    };
    checked.map_err(|fault| {
        Refusal::Credentials(match fault {
            TokenFault::Unknown => Wrong::Unknown,
            TokenFault::Expired => Wrong::Expired,
            TokenFault::Audience => Wrong::Audience,
        })
    })
}

/// Whether a self-signed token names an issuer, and our scope or our service.
///
/// <https://google.aip.dev/auth/4111>
fn is_for_us(claims: &Value, house: House) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let service = match house {
        House::Vertex => "aiplatform.googleapis.com",
        House::Gemini => "generativelanguage.googleapis.com",
    };
    let scoped = text("scope").is_some_and(is_cloud_scope);
    let audience = text("aud").and_then(|audience| audience.strip_prefix("https://"));
    let ours = audience.is_some_and(|audience| audience.trim_end_matches('/').ends_with(service));
    text("iss").is_some_and(|issuer| !issuer.is_empty()) && (scoped || ours)
}

fn is_cloud_scope(scopes: &str) -> bool {
    scopes.split_whitespace().any(|scope| scope == "https://www.googleapis.com/auth/cloud-platform")
}
