//! What every request to the OpenAI surface goes through: an id, a key, a trail, and headers that say who answered.

use std::sync::Arc;

use aigate_contract::Trail;
use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use uuid::Uuid;

use super::error::{Refusal, Surface};
use crate::{
    gateway::{Gateway, Refused},
    telemetry,
};

/// What the edge of a surface hands back: an answer or a refusal.
pub(super) type Outcome = Result<Response, Refusal>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CONFIG: HeaderName = HeaderName::from_static("x-aigate-config");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-aigate-attempts");
const PROVIDER: HeaderName = HeaderName::from_static("x-aigate-provider");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-aigate-deployment");
const DROPPED: HeaderName = HeaderName::from_static("x-aigate-dropped");
const DEGRADED: HeaderName = HeaderName::from_static("x-aigate-degraded");
const VERSION: HeaderName = HeaderName::from_static("x-aigate-model-version");

/// Runs one request to the OpenAI surface: `inner` gets the trail of an admitted caller and gives the outcome.
pub(super) async fn run<F, Fut>(gateway: &Arc<Gateway>, headers: &HeaderMap, inner: F) -> Response
where
    F: FnOnce(Arc<Trail>) -> Fut,
    Fut: Future<Output = Outcome>,
{
    run_on(Surface::OpenAi, gateway, headers, inner).await
}

/// Runs one request to a surface.
pub(super) async fn run_on<F, Fut>(
    surface: Surface,
    gateway: &Arc<Gateway>,
    headers: &HeaderMap,
    inner: F,
) -> Response
where
    F: FnOnce(Arc<Trail>) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let id = request_id(headers);
    let traceparent = telemetry::traceparent(headers);
    let admitted = gateway.admit(secret(headers)).map_err(Refusal::not_admitted);
    let mut trail = None;
    let outcome = match admitted {
        Ok(caller) => {
            let fresh = Trail::new(Arc::clone(&id), traceparent).by(caller);
            match refuses_degraded(headers) {
                Ok(refuses_degraded) => {
                    let fresh = Arc::new(fresh.refusing_degraded(refuses_degraded));
                    trail = Some(Arc::clone(&fresh));
                    inner(fresh).await
                }
                Err(refusal) => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    };
    let mut response = outcome.unwrap_or_else(|refusal| {
        if trail.as_ref().is_none_or(|trail| trail.attempts().is_empty()) {
            count_refusal(gateway, &refusal, &id);
        }
        refusal.into_response(surface)
    });
    stamp(response.headers_mut(), gateway, &id, trail.as_deref());
    response
}

fn count_refusal(gateway: &Gateway, refusal: &Refusal, id: &str) {
    let status = refusal.status();
    let labels = crate::metrics::RefusalLabels { status: status.as_u16() };
    gateway.metrics.refused.get_or_create(&labels).inc();
    tracing::info!(
        target: "aigate::refusal",
        request_id = %id,
        status = status.as_u16(),
        error = refusal.message(),
        "refused"
    );
}

/// The caller's own id when it is fit for logs and headers, else a fresh one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let fit = |id: &&str| !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic());
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(fit) {
        Some(id) => id.into(),
        None => Uuid::now_v7().simple().encode_lower(&mut Uuid::encode_buffer()).to_owned().into(),
    }
}

/// `x-aigate-degraded: refuse` of a caller who would rather have no answer than that of a model that stands in for others.
fn refuses_degraded(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(DEGRADED).map(HeaderValue::as_bytes) {
        None | Some(b"accept") => Ok(false),
        Some(b"refuse") => Ok(true),
        Some(_) => {
            let message = "the header `x-aigate-degraded` of a request is `refuse` or `accept`";
            Err(Refusal::new(StatusCode::BAD_REQUEST, message).code("invalid_header"))
        }
    }
}

/// `Authorization: Bearer …`, or `api-key` as Azure's SDK sends it.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION).and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    });
    bearer.or_else(|| text(HeaderName::from_static("api-key"))).filter(|secret| !secret.is_empty())
}

/// Says which call this was, who answered, after how many attempts, and what was left out.
fn stamp(headers: &mut HeaderMap, gateway: &Gateway, id: &str, trail: Option<&Trail>) {
    headers.reserve(10);
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(REQUEST_ID, id);
    set(CONFIG, &gateway.version);
    let Some(told) = trail.and_then(Trail::told) else { return };
    set(ATTEMPTS, &told.attempts.to_string());
    if let Some(target) = &told.served_by {
        set(PROVIDER, &target.provider);
        set(DEPLOYMENT, &target.deployment);
        if let Some(version) = &target.version {
            set(VERSION, version);
        }
        if target.fallback {
            set(DEGRADED, "local");
        }
        if !told.dropped.is_empty() {
            set(DROPPED, &told.dropped.join(", "));
        }
    }
}

/// A JSON answer.
pub(super) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// No such path.
pub(super) async fn unknown_path(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let message = format!("there is no {} {}", request.method(), request.uri().path());
    run_on(Surface::of(&request), &gateway, request.headers(), |_| async {
        Err(Refusal::new(StatusCode::NOT_FOUND, message).code("unknown_url"))
    })
    .await
}

/// The path is there, the method is not.
pub(super) async fn wrong_method(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let message = format!("{} does not take {}", request.uri().path(), request.method());
    run_on(Surface::of(&request), &gateway, request.headers(), |_| async {
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed"))
    })
    .await
}

impl Refusal {
    fn not_admitted(why: Refused) -> Self {
        let message = match why {
            Refused::NoKey => "no API key: send `Authorization: Bearer YOUR_KEY`",
            Refused::WrongKey => "the API key is not known here: ask this gateway's operator for one",
        };
        Self::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key")
    }
}
