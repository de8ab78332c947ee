//! Azure OpenAI, Foundry Models and Azure ML's online endpoints, and where their tokens come from.
//!
//! <https://learn.microsoft.com/azure/ai-foundry/openai/latest>,
//! <https://learn.microsoft.com/azure/ai-foundry/openai/reference>

mod entra;
mod refuse;
mod score;

use std::borrow::Cow;

use http::Method;

pub(crate) use entra::is_token_path;
pub(crate) use refuse::{error_body, refuse};

use crate::{
    answer::{Answer, Ask, Refusal, Result, Wrong, decode},
    cloud::State,
    openai::{self, House},
    token::{Audience, TokenFault},
};

const AZURE: House = House { cloud: "azure", filters: true, azure: true };

/// What a path asks for.
enum Asked<'a> {
    Chat(Option<Cow<'a, str>>),
    Embed(Option<Cow<'a, str>>),
}

/// Answers as Azure does.
pub(crate) fn answer(state: &State, ask: &Ask<'_>) -> Result<Answer> {
    if is_token_path(ask.path) {
        return entra::answer(state, ask).map(Into::into);
    }
    if score::is_path(ask.path) {
        return score::answer(state, ask);
    }
    authorize(state, ask)?;
    let method = method(ask).filter(|_| ask.method == Method::POST).ok_or(Refusal::UnknownPath)?;
    let answer = match method {
        Asked::Chat(deployment) => openai::chat(AZURE, ask, deployment.as_deref())?,
        Asked::Embed(deployment) => openai::embed(ask, deployment.as_deref())?,
    };
    let id = request_id(ask);
    Ok(match answer {
        Answer::Whole(whole) => whole
            .with("apim-request-id", &id)
            .with("x-ms-region", "Simulated Region")
            .with("x-ratelimit-remaining-requests", "99")
            .with("x-ratelimit-remaining-tokens", "99999")
            .into(),
        Answer::Stream(stream) => {
            stream.with("apim-request-id", &id).with("x-ms-region", "Simulated Region").into()
        }
    })
}

fn request_id(ask: &Ask<'_>) -> String {
    format!("00000000-0000-4000-8000-{:012x}", ask.number)
}

/// The three families of paths: v1, dated deployments, Foundry Models. The latter two need an `api-version`.
fn method<'a>(ask: &Ask<'a>) -> Option<Asked<'a>> {
    let path = ask.path;
    match path {
        "/openai/v1/chat/completions" => return Some(Asked::Chat(None)),
        "/openai/v1/embeddings" => return Some(Asked::Embed(None)),
        _ => {}
    }
    let version = ask.parameter("api-version")?;
    if !is_version(&version) {
        return None;
    }
    match path {
        "/models/chat/completions" => return Some(Asked::Chat(None)),
        "/models/embeddings" => return Some(Asked::Embed(None)),
        _ => {}
    }
    let (deployment, method) = path.strip_prefix("/openai/deployments/")?.split_once('/')?;
    let deployment = Some(decode(deployment, false));
    match method {
        "chat/completions" => Some(Asked::Chat(deployment)),
        "embeddings" => Some(Asked::Embed(deployment)),
        _ => None,
    }
}

/// `2024-10-21`, perhaps with `-preview`.
fn is_version(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    let fits =
        |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    date.len() == 10 && date.bytes().enumerate().all(fits)
}

/// An `api-key`, or a bearer token from Entra; v1 also takes the key as a bearer.
fn authorize(state: &State, ask: &Ask<'_>) -> Result<()> {
    let key = &state.options.credentials.api_key;
    let as_key = |given: &str| match given == key {
        false => Err(Refusal::Credentials(Wrong::Unknown)),
        true if ask.keys_expired => Err(Refusal::Credentials(Wrong::Expired)),
        true => Ok(()),
    };
    if let Some(given) = ask.header("api-key") {
        return as_key(given);
    }
    let token = ask.bearer().ok_or(Refusal::Credentials(Wrong::Missing))?;
    if ask.path.starts_with("/openai/v1/") && token == key {
        return as_key(token);
    }
    by_token(state, token, Audience::Models)
}

/// A bearer token from Entra that was asked for this service.
fn by_token(state: &State, token: &str, service: Audience) -> Result<()> {
    state.tokens.check(token, service).map(|_| ()).map_err(|fault| {
        Refusal::Credentials(match fault {
            TokenFault::Unknown => Wrong::Unknown,
            TokenFault::Expired => Wrong::Expired,
            TokenFault::Audience => Wrong::Audience,
        })
    })
}
