//! What every request to the OpenAI surface goes through: an id, a key, a trail, and headers that say who answered.

use std::{sync::Arc, time::Duration};

use aigate_contract::{CacheStatus, CacheWishes, Trail};
use aigate_keys::{Refused, Rights};
use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use uuid::Uuid;

use super::{
    chat::unknown_model,
    error::{Refusal, Surface},
};
use crate::{
    gateway::{Gateway, Snapshot},
    stack::ModelRoutes,
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
const CACHE: HeaderName = HeaderName::from_static("x-aigate-cache");
const COST: HeaderName = HeaderName::from_static("x-aigate-cost-usd");
const WARNING: HeaderName = HeaderName::from_static("x-aigate-warning");
const VERSION: HeaderName = HeaderName::from_static("x-aigate-model-version");
/// How the limits of requests and tokens stand, as OpenAI tells it: the only units that it has headers for.
const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// A request that was let in: what it is served from, and its caller's rights.
pub(super) struct Entered {
    /// What the configuration in force was built into. The call keeps it to its end.
    pub(super) here: Arc<Snapshot>,
    /// What happened to the call so far.
    pub(super) trail: Arc<Trail>,
    rights: Option<Arc<Rights>>,
}

impl Entered {
    /// The routes of a model, if there is one and the caller may use it for the task.
    pub(super) fn model(&self, name: &str, task: &'static str) -> Result<&ModelRoutes, Refusal> {
        // Whether a model exists is not told to those who may not use it.
        if let Some(rights) = &self.rights {
            rights.allows(name, task).map_err(|why| {
                Refusal::new(why.status(), why.message()).code("not_allowed").param("model")
            })?;
        }
        // Nor that there is one for a task that is not theirs.
        let theirs = self.here.model(name).filter(|routes| self.may_use(name, routes.task()));
        theirs.ok_or_else(|| unknown_model(self, name))
    }

    /// The models that the caller may use, of those nearest to a wrong name.
    pub(super) fn nearest(&self, wrong: &str) -> Vec<&str> {
        let mut near = self.here.nearest(wrong);
        near.retain(|name| self.here.model(name).is_some_and(|routes| self.may_use(name, routes.task())));
        near
    }

    /// Whether the caller may use a model at all.
    pub(super) fn may_use(&self, name: &str, task: &str) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.permits(name, task))
    }
}

/// Runs one request to the OpenAI surface: `inner` gets what an admitted caller needs and gives the outcome.
pub(super) async fn run<F, Fut>(gateway: &Arc<Gateway>, headers: &HeaderMap, inner: F) -> Response
where
    F: FnOnce(Entered) -> Fut,
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
    F: FnOnce(Entered) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let id = request_id(headers);
    let here = gateway.now();
    let mut trail = None;
    let outcome = match enter(&here, &id, headers).await {
        Ok(entered) => {
            trail = Some(Arc::clone(&entered.trail));
            inner(entered).await
        }
        Err(refusal) => Err(refusal),
    };
    let mut response = outcome.unwrap_or_else(|refusal| {
        if trail.as_ref().is_none_or(|trail| trail.attempts().is_empty()) {
            count_refusal(gateway, &refusal, &id);
        }
        refusal.into_response(surface)
    });
    stamp(response.headers_mut(), &here, &id, trail.as_deref());
    response
}

async fn enter(here: &Arc<Snapshot>, id: &Arc<str>, headers: &HeaderMap) -> Result<Entered, Refusal> {
    let admitted = here.admit(secret(headers)).await.map_err(Refusal::not_admitted)?;
    let (caller, rights) = admitted.map(|admitted| (admitted.caller, admitted.rights)).unzip();
    let trail = Trail::new(Arc::clone(id), telemetry::traceparent(headers))
        .by(caller)
        .refusing_degraded(refuses_degraded(headers)?)
        .with_cache_wishes(cache_wishes(headers)?);
    Ok(Entered { here: Arc::clone(here), trail: Arc::new(trail), rights })
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

/// `Cache-Control: no-cache`, `no-store`; `x-aigate-cache: use` of a caller to whom an answer that was drawn by chance will do
/// again.
fn cache_wishes(headers: &HeaderMap) -> Result<CacheWishes, Refusal> {
    let mut wishes = CacheWishes::default();
    for value in headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()) {
        for directive in value.split(',').map(str::trim) {
            wishes.no_cache |=
                directive.eq_ignore_ascii_case("no-cache") || directive.eq_ignore_ascii_case("max-age=0");
            wishes.no_store |= directive.eq_ignore_ascii_case("no-store");
        }
    }
    match headers.get(CACHE).map(HeaderValue::as_bytes) {
        None => {}
        Some(b"use") => wishes.sampled = true,
        Some(b"bypass") => wishes.no_store = true,
        Some(_) => {
            let message = "the header `x-aigate-cache` of a request is `use` or `bypass`";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message).code("invalid_header"));
        }
    }
    Ok(wishes)
}

/// `Authorization: Bearer …`, `x-api-key` as Anthropic's SDK sends it, or `api-key` as Azure's does.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let named = |name| headers.get(name).and_then(|value| some_text(value.to_str().ok()?));
    bearer(headers).or_else(|| named("x-api-key")).or_else(|| named("api-key"))
}

/// `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    some_text(secret).filter(|_| scheme.eq_ignore_ascii_case("bearer"))
}

fn some_text(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Says which call this was, who answered, after how many attempts, what it cost, how the limits stand, what was left out.
fn stamp(headers: &mut HeaderMap, here: &Snapshot, id: &str, trail: Option<&Trail>) {
    headers.reserve(16);
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(REQUEST_ID, id);
    set(CONFIG, &here.version);
    let Some(trail) = trail else { return };
    for standing in trail.standings() {
        let [limit, remaining, until] = if standing.unit == "tokens" { TOKENS } else { REQUESTS };
        set(limit, &standing.limit.to_string());
        set(remaining, &standing.remaining.to_string());
        set(until, &reset(standing.reset));
    }
    let warnings = trail.warnings();
    if !warnings.is_empty() {
        set(WARNING, &warnings.join("; "));
    }
    let note = trail.cache_note();
    if let Some(note) = &note {
        set(CACHE, note.status.as_str());
        if let Some(age) = note.age {
            set(header::AGE, &age.as_secs().to_string());
        }
    }
    let Some(told) = trail.told() else { return };
    set(ATTEMPTS, &told.attempts.to_string());
    let (cost, is_all) = trail.cost();
    // A stream's cost is known at its end, when the headers are long sent: the log and the metrics tell it.
    if is_all {
        set(COST, &cost.to_string());
    }
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
    if note.is_some_and(|note| note.status == CacheStatus::Stale) {
        set(DEGRADED, "stale");
    }
}

/// As OpenAI writes it: `1s`, `6m0s`, `20ms`.
fn reset(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    match (millis / 60_000, millis % 60_000) {
        (0, rest @ 0..1000) => format!("{rest}ms"),
        (0, rest) => format!("{}s", seconds(rest)),
        (minutes, rest) => format!("{minutes}m{}s", seconds(rest)),
    }
}

fn seconds(millis: u128) -> String {
    match millis % 1000 {
        0 => format!("{}", millis / 1000),
        part => format!("{}.{}", millis / 1000, format!("{part:03}").trim_end_matches('0')),
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
        let code = if why.status() == StatusCode::UNAUTHORIZED { "invalid_api_key" } else { "not_admitted" };
        Self::new(why.status(), why.message()).code(code).come_back(why.retry_after())
    }
}
