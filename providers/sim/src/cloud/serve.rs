//! One request: from its arrival, through the fault that strikes it, to its answer.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::sleep;

use super::{CloudKind, LONGEST, Phase, Recorded, State, Visit};
use crate::{
    answer::{self, Answer, Ask, Refusal, Result, Stream, Whole},
    aws, azure,
    body::{AnswerBody, Pace},
    fault::Fault,
    google, openai,
};

/// The largest request in bytes; the vendors' limits are lower.
const LARGEST: usize = 64 * 1024 * 1024;

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(super) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed without an answer")
    }
}

impl std::error::Error for Closed {}

/// Answers one request. The visit ends with the body, so a client that leaves is noticed at any point.
pub(super) async fn serve(
    state: Arc<State>,
    request: Request<Incoming>,
) -> std::result::Result<Response<AnswerBody>, Closed> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let for_model = !is_token_path(state.kind, path);
    let mut visit = Visit::begin(&state.counters, for_model);
    let faults = if for_model { &state.faults } else { &state.token_faults };
    let fault = faults.draw(|| state.dice());
    let body = match Limited::new(body, LARGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            visit.refuse();
            let whole = Whole::new(413, "text/plain", "the request is larger than 64 MiB");
            return Ok(whole_out(&state, path, whole, None, visit));
        }
        // The client left.
        Err(_) => return Err(Closed),
    };
    let ask = Ask {
        method: &head.method,
        path,
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &body,
        number: state.number(),
        keys_expired: fault == Some(Fault::ExpiredToken),
    };
    state.record(|| Recorded {
        method: head.method.clone(),
        path: path.to_owned(),
        query: ask.query.to_owned(),
        headers: head.headers.clone(),
        body: body.clone(),
    });
    if fault.is_some() {
        visit.faulted();
    }
    match &fault {
        Some(Fault::Refused) => {
            visit.reach(Phase::Sabotaged);
            return Err(Closed);
        }
        Some(Fault::Hang) => match std::future::pending::<Infallible>().await {},
        _ => {}
    }
    let latency = state.latency();
    if for_model && !latency.is_zero() {
        sleep(latency).await;
    }
    let answer = match &fault {
        Some(Fault::Throttled { retry_after }) => Err(Refusal::Throttled(*retry_after)),
        Some(Fault::ServerError { status }) if (500..600).contains(status) => Err(Refusal::Server(*status)),
        Some(Fault::ServerError { .. }) => Err(Refusal::Server(500)),
        _ => route(&state, &ask),
    };
    if for_model && says(&body, "wait-first") {
        sleep(WAIT_FIRST).await;
    }
    match answer {
        Ok(Answer::Stream(stream)) => {
            let between = if says(&body, "slowly") { SLOWLY } else { Duration::ZERO };
            Ok(stream_out(&state, stream, fault, between, visit))
        }
        Ok(Answer::Whole(whole)) if whole.status.as_u16() < 400 => {
            if let Some(Fault::SlowFirstByte(late)) = fault {
                sleep(late.min(LONGEST)).await;
            }
            Ok(whole_out(&state, path, whole, fault, visit))
        }
        Ok(Answer::Whole(refusal)) => {
            visit.refuse();
            Ok(whole_out(&state, path, refusal, None, visit))
        }
        Err(refusal) => {
            visit.refuse();
            let whole = refuse(&state, &ask, refusal);
            Ok(whole_out(&state, path, whole, None, visit))
        }
    }
}

/// How late an answer is whose prompt says `wait-first`.
const WAIT_FIRST: Duration = Duration::from_secs(2);
/// The pause between the chunks of a stream whose prompt says `slowly`.
const SLOWLY: Duration = Duration::from_millis(20);

/// Whether a word stands in the request.
fn says(body: &[u8], word: &str) -> bool {
    body.windows(word.len()).any(|window| window == word.as_bytes())
}

fn is_token_path(kind: CloudKind, path: &str) -> bool {
    match kind {
        CloudKind::Google => google::is_token_path(path),
        CloudKind::Aws => path == "/",
        CloudKind::Azure => azure::is_token_path(path),
        CloudKind::OpenAi => false,
    }
}

fn route(state: &State, ask: &Ask<'_>) -> Result<Answer> {
    match state.kind {
        CloudKind::Google => google::answer(state, ask),
        CloudKind::Aws => aws::answer(state, ask),
        CloudKind::Azure => azure::answer(state, ask),
        CloudKind::OpenAi => openai::answer(state, ask),
    }
}

fn refuse(state: &State, ask: &Ask<'_>, refusal: Refusal) -> Whole {
    match refusal {
        Refusal::Own(whole) => *whole,
        refusal => match state.kind {
            CloudKind::Google => google::refuse(ask, &refusal),
            CloudKind::Aws => aws::refuse(ask, &refusal),
            CloudKind::Azure => azure::refuse(ask, &refusal),
            CloudKind::OpenAi => openai::refuse(ask, &refusal),
        },
    }
}

/// Sends a stream, changed by the fault that acts on streams.
fn stream_out(
    state: &State,
    mut stream: Stream,
    fault: Option<Fault>,
    between: Duration,
    mut visit: Visit,
) -> Response<AnswerBody> {
    let between = (state.options.chunk_delay + between).min(LONGEST);
    let mut pace = Pace { first: Duration::ZERO, between };
    let all = stream.events.ends.len();
    let (mut count, mut cut) = (all, false);
    match fault {
        Some(Fault::SlowFirstByte(late)) => pace.first = late.min(LONGEST),
        Some(Fault::CutMidStream { after_chunks }) => {
            (count, cut) = (after_chunks.min(all.saturating_sub(1)), true);
        }
        Some(Fault::EndEarly { after_chunks }) => {
            count = after_chunks.min(stream.events.before_final.unwrap_or(all.saturating_sub(1)));
        }
        Some(Fault::Malformed) => stream.events.break_second(),
        Some(Fault::ErrorInside200) => {
            stream.events = match state.kind {
                CloudKind::Google => google::error_events(stream.events.framing),
                CloudKind::Aws => aws::error_events(),
                CloudKind::Azure | CloudKind::OpenAi => openai::error_events(),
            };
            count = stream.events.ends.len();
        }
        _ => {}
    }
    visit.stream_begins();
    visit.reach(Phase::Headed);
    let mut response = Response::new(AnswerBody::events(stream.events, count, cut, pace, visit));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(stream.content_type));
    response.headers_mut().extend(stream.headers);
    response
}

/// Sends a whole answer, changed by the fault that acts on those.
fn whole_out(
    state: &State,
    path: &str,
    whole: Whole,
    fault: Option<Fault>,
    mut visit: Visit,
) -> Response<AnswerBody> {
    visit.reach(Phase::Headed);
    let body = match fault {
        Some(Fault::CutMidStream { .. }) => AnswerBody::half(whole.body, visit),
        Some(Fault::Malformed) => AnswerBody::whole(broken(&whole), visit),
        Some(Fault::ErrorInside200) => {
            let error = match state.kind {
                CloudKind::Google => google::error_body(path),
                CloudKind::Aws => aws::error_body(path),
                CloudKind::Azure => azure::error_body(path),
                CloudKind::OpenAi => openai::error_body(),
            };
            AnswerBody::whole(error, visit)
        }
        _ => AnswerBody::whole(whole.body, visit),
    };
    let mut response = Response::new(body);
    *response.status_mut() = if fault.is_some() { StatusCode::OK } else { whole.status };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(whole.content_type));
    response.headers_mut().extend(whole.headers);
    response
}

/// Half of a body. Half of a JSON text is none; other texts get an end that nobody can read.
fn broken(whole: &Whole) -> Bytes {
    let half = whole.body.slice(..whole.body.len() / 2);
    match whole.content_type.split(';').next() {
        Some(answer::JSON) => half,
        _ => [&half[..], b"{\""].concat().into(),
    }
}
