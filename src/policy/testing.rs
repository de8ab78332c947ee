//! What the policies' tests share: a scripted upstream, a call, a plan.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::{
    Call, Chat, ChatStream, Error, Facts, Result, Target, Task, Trail,
    chat::{ChatChunk, ChatReply, ChatRequest, ChunkStream},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};
use tower::Service;

use super::Answer;
use crate::config::{BreakerPlan, RetryPlan, TimeoutPlan};

type Act<T> = dyn Fn() -> Answer<T> + Send + Sync;

/// An upstream that does as it is told and counts its calls.
pub(crate) struct Script<T: Task> {
    act: Arc<Act<T>>,
    calls: Arc<AtomicUsize>,
}

impl<T: Task> Script<T> {
    fn new(act: impl Fn() -> Answer<T> + Send + Sync + 'static) -> Self {
        Self { act: Arc::new(act), calls: Arc::default() }
    }

    pub(crate) fn hangs() -> Self {
        Self::new(|| Box::pin(std::future::pending()))
    }

    pub(crate) fn fails(error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        Self::new(move || Box::pin(std::future::ready(Err(error()))))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Script<Chat> {
    pub(crate) fn ok() -> Self {
        Self::new(|| {
            Box::pin(std::future::ready(Ok(ChatReply {
                json: Bytes::from_static(b"{}"),
                facts: Facts::default(),
            })))
        })
    }
}

impl Script<ChatStream> {
    pub(crate) fn answers(stream: ChunkStream) -> Self {
        let once = std::sync::Mutex::new(Some(stream));
        Self::new(move || Box::pin(std::future::ready(Ok(once.lock().unwrap().take().unwrap()))))
    }
}

/// Chunks, each after its wait; `None` is silence for ever.
pub(crate) fn chunk_stream<const N: usize>(waits: [Option<Duration>; N]) -> ChunkStream {
    Box::pin(stream::iter(waits).then(|wait| async move {
        match wait {
            Some(wait) => sleep(wait).await,
            None => std::future::pending().await,
        }
        Ok(ChatChunk { json: Bytes::from_static(b"{}"), finish: Vec::new(), usage: None, usage_only: false })
    }))
}

impl<T: Task> Service<Call<T>> for Script<T> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _call: Call<T>) -> Answer<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.act)()
    }
}

impl<T: Task> Clone for Script<T> {
    fn clone(&self) -> Self {
        Self { act: Arc::clone(&self.act), calls: Arc::clone(&self.calls) }
    }
}

/// Writes each failure of a script into the call's trail, as the attempt's observer does.
pub(crate) fn recorded(script: Script<Chat>) -> impl super::Upstream<Chat> {
    tower::service_fn(move |call: Call<Chat>| {
        let mut script = script.clone();
        async move {
            let outcome = script.call(call.clone()).await;
            call.trail.record(&call.target, Duration::ZERO, outcome.as_ref().err());
            outcome
        }
    })
}

pub(crate) fn target(provider: &str) -> Arc<Target> {
    Arc::new(Target::new(provider, "x"))
}

pub(crate) fn call<T: Task<Request = ChatRequest>>() -> Call<T> {
    let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
    Call {
        request: Arc::new(ChatRequest::parse(body).unwrap()),
        target: target("p"),
        deadline: Instant::now() + Duration::from_secs(60),
        trail: Arc::new(Trail::new("id", None)),
    }
}

pub(crate) struct TestPlan {
    pub(crate) timeouts: TimeoutPlan,
    pub(crate) retry: RetryPlan,
    pub(crate) breaker: BreakerPlan,
}

pub(crate) fn plan() -> TestPlan {
    let seconds = Duration::from_secs;
    TestPlan {
        timeouts: TimeoutPlan {
            deadline: seconds(60),
            attempt: seconds(10),
            first_chunk: seconds(10),
            idle: seconds(5),
        },
        retry: RetryPlan { max_retries: 1, base: Duration::from_millis(100), max: seconds(2), budget: 0.2 },
        breaker: BreakerPlan { failures: 5, failure_ratio: 0.5, open: seconds(5), max_open: seconds(60) },
    }
}
