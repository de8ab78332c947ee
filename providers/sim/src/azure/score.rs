//! Azure ML's online endpoints: a scoring script or an MLflow model behind `/score`, a model server behind `/v2`.
//!
//! <https://learn.microsoft.com/azure/machine-learning/how-to-authenticate-online-endpoint>,
//! <https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#http-status-codes>

use http::Method;

use super::{by_token, request_id};
use crate::{
    answer::{Answer, Ask, JSON, Refusal, Result, Whole, Wrong, decode},
    cloud::State,
    container::{Container, Dialect, Failure, Nature},
    token::Audience,
};

/// The deployment that gets all traffic which asks for none.
const DEPLOYMENT: &str = "blue";

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target<'a> {
    endpoint: Option<&'a str>,
    model: Option<&'a str>,
}

pub(super) fn is_path(path: &str) -> bool {
    target(path).is_some()
}

/// `/score` or `/v2/models/{model}/infer`. Azure names the endpoint in the host; on loopback all share one, and a name may
/// come before the path.
fn target(path: &str) -> Option<Target<'_>> {
    let parts: Vec<_> = path.strip_prefix('/')?.split('/').collect();
    let (endpoint, model) = match parts.as_slice() {
        ["score"] => (None, None),
        ["v2", "models", model, "infer"] => (None, Some(*model)),
        [endpoint, "score"] => (Some(*endpoint), None),
        [endpoint, "v2", "models", model, "infer"] => (Some(*endpoint), Some(*model)),
        _ => return None,
    };
    let named = [endpoint, model].into_iter().flatten().all(|name| !name.is_empty());
    named.then_some(Target { endpoint, model })
}

pub(super) fn answer(state: &State, ask: &Ask<'_>) -> Result<Answer> {
    authorize(state, ask)?;
    let Target { endpoint, model } =
        target(ask.path).filter(|_| ask.method == Method::POST).ok_or(Refusal::UnknownPath)?;
    let deployment = ask.header("azureml-model-deployment").unwrap_or(DEPLOYMENT);
    let model = model.map(|model| decode(model, false));
    let model = model.as_deref().unwrap_or(deployment);
    let names = [endpoint.unwrap_or_default(), deployment, model];
    names.iter().try_for_each(|name| Refusal::by_model(name))?;
    let container = Container {
        scorer: &state.options.scorer,
        model,
        nature: Nature::of(&names),
        dialect: Dialect::Script,
    };
    let whole = container.answer(ask).map_err(|failure| {
        let whole = model_error(&failure).with("azureml-model-deployment", deployment);
        Refusal::Own(Box::new(whole.with("x-ms-request-id", request_id(ask))))
    })?;
    Ok(whole.with("azureml-model-deployment", deployment).with("x-ms-request-id", request_id(ask)).into())
}

/// One of the endpoint's keys, or a token of Entra's for Azure ML; both are bearers.
fn authorize(state: &State, ask: &Ask<'_>) -> Result<()> {
    match ask.bearer() {
        None => Err(Refusal::Credentials(Wrong::Missing)),
        Some(key) if key == state.options.credentials.api_key && ask.keys_expired => {
            Err(Refusal::Credentials(Wrong::Expired))
        }
        Some(key) if key == state.options.credentials.api_key => Ok(()),
        Some(token) => by_token(state, token, Audience::Endpoints),
    }
}

/// The container answered, but not with 200: its body comes with a status of Azure's own.
fn model_error(failure: &Failure) -> Whole {
    Whole::new(424, JSON, failure.body())
        .with("ms-azureml-model-error-reason", "model_error")
        .with("ms-azureml-model-error-statuscode", failure.status.to_string())
}

/// Azure ML's refusal: plain text, if anything. Who lacks the right to score gets 401, as who has no valid key.
pub(super) fn refuse(ask: &Ask<'_>, refusal: &Refusal) -> Whole {
    let text = |status, text: &str| Whole::new(status, "text/plain", text.to_owned());
    let whole = match refusal {
        Refusal::Own(whole) => return (**whole).clone(),
        Refusal::Credentials(Wrong::Missing) => text(401, "key_auth_bad_header_forbidden"),
        Refusal::Credentials(_) | Refusal::Denied(_) => text(401, "key_auth_access_denied"),
        Refusal::UnknownModel(_) => {
            text(404, "The endpoint doesn't have any valid deployment with positive weight.")
        }
        Refusal::UnknownPath => text(404, "Not found"),
        // It does not say when to come back.
        Refusal::Throttled(_) => {
            text(429, "").with("ms-azureml-model-error-reason", "too_many_pending_request")
        }
        Refusal::Server(status) => text(*status, "Internal server error"),
        Refusal::Invalid { message, .. } => text(400, message),
        Refusal::Filtered => text(400, "The request was blocked."),
    };
    whole.with("x-ms-request-id", request_id(ask))
}
