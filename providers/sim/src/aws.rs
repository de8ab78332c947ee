//! Amazon Bedrock, SageMaker and STS.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>

mod embed;
mod frame;
mod refuse;
mod reply;
mod request;
mod sagemaker;
mod sigv4;
mod sts;

use http::Method;

pub(crate) use refuse::{error_body, error_events, refuse};

use crate::{
    answer::{Answer, Ask, Refusal, Result, Wrong, decode},
    cloud::State,
    script,
    token::{Audience, TokenFault},
};

/// Answers as AWS does.
pub(crate) fn answer(state: &State, ask: &Ask<'_>) -> Result<Answer> {
    if ask.path == "/" && ask.method == Method::POST {
        return sts::answer(state, ask).map(Into::into);
    }
    if sagemaker::is_path(ask.path) {
        return sagemaker::answer(state, ask);
    }
    let (model, operation) =
        target(ask.path).filter(|_| ask.method == Method::POST).ok_or(Refusal::UnknownPath)?;
    match ask.bearer() {
        Some(key) => by_key(state, ask, key)?,
        None => by_signature(state, ask, "bedrock")?,
    }
    let model = decode(model, false);
    Refusal::by_model(&model)?;
    let id = request_id(ask);
    let answer = match operation {
        "converse" => converse(ask, &model, false)?,
        "converse-stream" => converse(ask, &model, true)?,
        "invoke" => embed::answer(ask, &model)?.into(),
        _ => return Err(Refusal::UnknownPath),
    };
    Ok(match answer {
        Answer::Whole(whole) => whole.with("x-amzn-requestid", id).into(),
        Answer::Stream(stream) => stream.with("x-amzn-requestid", id).into(),
    })
}

fn converse(ask: &Ask<'_>, model: &str, streamed: bool) -> Result<Answer> {
    let request: request::Converse<'_> = ask.json(refuse::serde_message)?;
    let prompt = request.prompt(model)?;
    let play = script::play("aws", &prompt);
    let told = reply::Told { number: ask.number, blocked: prompt.is_filtered() };
    Ok(if streamed { told.stream(&play).into() } else { told.whole(&play).into() })
}

/// `/model/{id}/{operation}`; an id may have slashes of its own, if the caller left them as they are.
fn target(path: &str) -> Option<(&str, &str)> {
    let (model, operation) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    (!model.is_empty()).then_some((model, operation))
}

fn request_id(ask: &Ask<'_>) -> String {
    format!("00000000-0000-4000-8000-{:012x}", ask.number)
}

/// A Bedrock API key.
fn by_key(state: &State, ask: &Ask<'_>, key: &str) -> Result<()> {
    if key != state.options.credentials.api_key {
        return Err(Refusal::Credentials(Wrong::Unknown));
    }
    if ask.keys_expired { Err(Refusal::Credentials(Wrong::Expired)) } else { Ok(()) }
}

/// A signature with the fixed keys, or with keys that STS lent.
fn by_signature(state: &State, ask: &Ask<'_>, service: &str) -> Result<()> {
    let authorization = ask.header("authorization").ok_or(Refusal::Credentials(Wrong::Missing))?;
    let signature = sigv4::Signature::read(authorization).ok_or_else(refuse::incomplete)?;
    let credentials = &state.options.credentials;
    let secret = match ask.header("x-amz-security-token") {
        Some(token) => {
            let number = state.tokens.check(token, Audience::Models).map_err(|fault| {
                Refusal::Credentials(if fault == TokenFault::Expired {
                    Wrong::Expired
                } else {
                    Wrong::Unknown
                })
            })?;
            if signature.access_key != sts::access_key(number) {
                return Err(Refusal::Credentials(Wrong::Unknown));
            }
            sts::secret_key(number)
        }
        None if signature.access_key != credentials.access_key => {
            return Err(Refusal::Credentials(Wrong::Unknown));
        }
        None if ask.keys_expired => return Err(Refusal::Credentials(Wrong::Expired)),
        None => credentials.secret_key.clone(),
    };
    signature.check(ask, &secret, service)
}
