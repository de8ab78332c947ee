//! Entra ID's token endpoint and the instance metadata service.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>,
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>

use http::Method;
use serde_json::json;

use crate::{
    answer::{Ask, Refusal, Result, Whole},
    clock,
    cloud::State,
    token::{Audience, jwt_claims},
};

const IMDS: &str = "/metadata/identity/oauth2/token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(crate) fn is_token_path(path: &str) -> bool {
    path == IMDS || path.ends_with("/oauth2/v2.0/token")
}

pub(super) fn answer(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    match (ask.method, ask.path) {
        (&Method::GET, IMDS) => imds(state, ask),
        (&Method::POST, path) if path != IMDS => entra(state, ask),
        _ => Err(Refusal::UnknownPath),
    }
}

/// The client credentials grant, with a secret or an assertion.
fn entra(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    let field = |name| ask.form(name).filter(|value| !value.is_empty());
    let grant = field("grant_type").unwrap_or_default();
    if grant != "client_credentials" {
        return Err(oauth(
            400,
            "unsupported_grant_type",
            70_003,
            "The app requested an unsupported grant type.",
        ));
    }
    let (Some(_), Some(scope)) = (field("client_id"), field("scope")) else {
        let message = "The request body must contain the following parameters: 'client_id', 'scope'.";
        return Err(oauth(400, "invalid_request", 900_144, message));
    };
    match (field("client_secret"), field("client_assertion")) {
        (Some(secret), None) if *secret == *state.options.credentials.client_secret => {}
        (None, Some(assertion)) if field("client_assertion_type").as_deref() == Some(ASSERTION) => {
            if jwt_claims(&assertion).is_none() {
                let message = "Client assertion is not a well-formed, signed token.";
                return Err(oauth(401, "invalid_client", 50_027, message));
            }
        }
        (None, None) => {
            let message = "The request body must contain the following parameter: 'client_assertion' or \
                           'client_secret'.";
            return Err(oauth(401, "invalid_client", 7_000_218, message));
        }
        _ => return Err(oauth(401, "invalid_client", 7_000_215, "Invalid client secret provided.")),
    }
    let Some(resource) = scope.strip_suffix("/.default") else {
        let message = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a \
                               scope value with /.default suffixed to the resource identifier."
        );
        return Err(oauth(400, "invalid_scope", 1_002_012, &message));
    };
    let (token, _) = state.tokens.issue(audience(resource));
    let seconds = state.tokens.lifetime().as_secs();
    let body = json!({
        "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
    });
    Ok(Whole::json(200, &body))
}

/// A managed identity's token.
fn imds(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    let refuse = |message: &str| {
        let body = json!({"error": "invalid_request", "error_description": message});
        Err(Refusal::Own(Box::new(Whole::json(400, &body))))
    };
    if ask.header("metadata") != Some("true") {
        return refuse("Required metadata header not specified");
    }
    if ask.parameter("api-version").is_none() {
        return refuse("Required query variable 'api-version' is missing");
    }
    let Some(resource) = ask.parameter("resource") else {
        return refuse("Required query variable 'resource' is missing");
    };
    let (token, _) = state.tokens.issue(audience(&resource));
    let seconds = state.tokens.lifetime().as_secs();
    let now = clock::now();
    let body = json!({
        "access_token": token,
        "client_id": "00000000-0000-4000-8000-000000000001",
        "expires_in": seconds.to_string(),
        "expires_on": (now + seconds).to_string(),
        "ext_expires_in": seconds.to_string(),
        "not_before": now.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    Ok(Whole::json(200, &body))
}

/// The services that a token for this resource is good for.
fn audience(resource: &str) -> Audience {
    match resource.trim_end_matches('/') {
        "https://cognitiveservices.azure.com" | "https://ai.azure.com" => Audience::Models,
        "https://ml.azure.com" => Audience::Endpoints,
        _ => Audience::Elsewhere,
    }
}

fn oauth(status: u16, error: &str, code: u32, message: &str) -> Refusal {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {message}"),
        "error_codes": [code],
        "timestamp": clock::iso(clock::now()).replace('T', " "),
        "trace_id": "00000000-0000-4000-8000-000000000002",
        "correlation_id": "00000000-0000-4000-8000-000000000003",
    });
    Refusal::Own(Box::new(Whole::json(status, &body)))
}
