//! Google's token endpoints and the metadata server.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account>,
//! <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>,
//! <https://cloud.google.com/compute/docs/metadata/overview>

use std::borrow::Cow;

use http::Method;
use serde_json::{Value, json};

use super::is_cloud_scope;
use crate::{
    answer::{Ask, Refusal, Result, Whole},
    clock,
    cloud::State,
    token::{Audience, jwt_claims},
};

const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(crate) fn is_token_path(path: &str) -> bool {
    ["/token", "/v1/token", "/oauth2/v4/token"].contains(&path)
        || path.starts_with("/computeMetadata/")
        || path.ends_with(":generateAccessToken")
}

pub(super) fn answer(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    match (ask.method, ask.path) {
        (&Method::GET, path) if path.starts_with("/computeMetadata/") => metadata(state, ask),
        (&Method::POST, path) if path.ends_with(":generateAccessToken") => impersonate(state, ask),
        (&Method::POST, _) => grant(state, ask),
        _ => Err(Refusal::UnknownPath),
    }
}

/// The metadata server answers only those who say that they know it.
fn metadata(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    let own = |status, text: &'static str| {
        Whole::new(status, "text/html; charset=UTF-8", text).with("metadata-flavor", "Google")
    };
    if ask.header("metadata-flavor") != Some("Google") {
        let text =
            "Your client does not have permission to get this URL: missing Metadata-Flavor:Google header";
        return Err(Refusal::Own(Box::new(own(403, text))));
    }
    match ask.path {
        METADATA => {
            let (token, _) = state.tokens.issue(Audience::Models);
            let body = json!({
                "access_token": token, "expires_in": state.tokens.lifetime().as_secs(), "token_type": "Bearer",
            });
            Ok(Whole::json(200, &body).with("metadata-flavor", "Google"))
        }
        "/computeMetadata/v1/universe/universe-domain" | "/computeMetadata/v1/universe/universe_domain" => {
            Ok(own(200, "googleapis.com"))
        }
        "/computeMetadata/v1/project/project-id" => Ok(own(200, "simulated-project")),
        _ => Err(Refusal::Own(Box::new(own(404, "not found")))),
    }
}

/// The three grants: a service account's signed claim, a user's refresh token, a foreign token.
fn grant(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    let json: Option<Value> = serde_json::from_slice(ask.body).ok();
    let field = |name: &str| -> Option<Cow<'_, str>> {
        match &json {
            // Google takes JSON here too, and its own libraries send it.
            Some(body) => body.get(name).and_then(Value::as_str).map(Cow::Borrowed),
            None => ask.form(name),
        }
    };
    let field = |name: &str| field(name).filter(|value| !value.is_empty());
    let seconds = state.tokens.lifetime().as_secs();
    match field("grant_type").as_deref() {
        Some(JWT_BEARER) => {
            let claims = field("assertion").and_then(|assertion| jwt_claims(&assertion));
            let claims = claims.ok_or_else(|| oauth("invalid_grant", "Invalid JWT Signature."))?;
            let text = |name: &str| claims.get(name).and_then(Value::as_str);
            if text("iss").is_none() || text("aud").is_none() {
                return Err(oauth("invalid_grant", "Invalid JWT: iss and aud are required."));
            }
            if claims.get("exp").and_then(Value::as_u64).is_none_or(|expires| expires < clock::now()) {
                return Err(oauth(
                    "invalid_grant",
                    "Invalid JWT: Token must be a short-lived token (60 minutes).",
                ));
            }
            let scope =
                text("scope").ok_or_else(|| oauth("invalid_scope", "Empty or missing scope not allowed."))?;
            let (token, _) = state.tokens.issue(audience(scope));
            Ok(Whole::json(
                200,
                &json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}),
            ))
        }
        Some("refresh_token") => {
            let all =
                ["client_id", "client_secret", "refresh_token"].iter().all(|name| field(name).is_some());
            if !all {
                return Err(oauth(
                    "invalid_request",
                    "client_id, client_secret and refresh_token are required.",
                ));
            }
            let (token, _) = state.tokens.issue(Audience::Models);
            let scope = "https://www.googleapis.com/auth/cloud-platform";
            let body =
                json!({"access_token": token, "expires_in": seconds, "scope": scope, "token_type": "Bearer"});
            Ok(Whole::json(200, &body))
        }
        Some(EXCHANGE) => {
            let all =
                ["audience", "subject_token", "subject_token_type"].iter().all(|name| field(name).is_some());
            if !all {
                let message = "audience, subject_token and subject_token_type are required.";
                return Err(oauth("invalid_request", message));
            }
            let audience = audience(&field("scope").unwrap_or_default());
            let (token, _) = state.tokens.issue(audience);
            let body = json!({
                "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
                "expires_in": seconds,
            });
            Ok(Whole::json(200, &body))
        }
        _ => Err(oauth("unsupported_grant_type", "Invalid grant_type.")),
    }
}

/// A service account's token for one who may act as it.
///
/// <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken>
fn impersonate(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    let bearer = ask.bearer().is_some_and(|token| {
        state.tokens.check(token, Audience::Models).is_ok() || jwt_claims(token).is_some()
    });
    if !bearer {
        return Err(Refusal::Credentials(crate::answer::Wrong::Unknown));
    }
    let body: Value = serde_json::from_slice(ask.body).unwrap_or_default();
    let scopes: Vec<_> =
        body.get("scope").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if scopes.is_empty() {
        return Err(Refusal::at("scope", "Request must contain at least one scope."));
    }
    let (token, _) = state.tokens.issue(audience(&scopes.join(" ")));
    let expires = clock::iso(clock::now() + state.tokens.lifetime().as_secs());
    Ok(Whole::json(200, &json!({"accessToken": token, "expireTime": expires})))
}

fn audience(scopes: &str) -> Audience {
    if is_cloud_scope(scopes) { Audience::Models } else { Audience::Elsewhere }
}

fn oauth(error: &str, description: &str) -> Refusal {
    Refusal::Own(Box::new(Whole::json(400, &json!({"error": error, "error_description": description}))))
}
