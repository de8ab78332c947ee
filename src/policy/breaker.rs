//! Leaves a deployment alone that keeps failing: closed, open, half open with one probe.
//!
//! Stands beneath retry, so that it can open between two tries, and above the concurrency bound and the timeout, whose
//! verdicts it hears. Counts only failures that blame the provider ([`ErrorKind::blames_provider`]). Replicas tell each other of
//! trips; failures are counted by each for itself.

mod circuit;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use aigate_contract::{Call, End, Error, ErrorKind, Result, Task, Tend};
use tower::Service;

pub use self::circuit::{Circuit, Refusal, Standing, Tell, Trip, Verdict};
use super::{Answer, Upstream};

/// Lets calls through to a deployment, or refuses them while its circuit is open.
#[derive(Clone, Debug)]
pub struct Breaker<S> {
    inner: S,
    circuit: Arc<Circuit>,
}

impl<S> Breaker<S> {
    /// Guards `inner` with `circuit`, which is shared by all who call the same deployment.
    pub fn new(inner: S, circuit: Arc<Circuit>) -> Self {
        Self { inner, circuit }
    }
}

/// A call that was let through; tells the circuit what became of it. A call that is dropped tells that too.
struct Passage {
    circuit: Arc<Circuit>,
    probe: bool,
    told: bool,
}

impl Passage {
    fn tell(&mut self, verdict: Verdict) {
        self.told = true;
        self.circuit.tell(verdict, self.probe);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if !self.told {
            self.circuit.tell(Verdict::Unknown, self.probe);
        }
    }
}

/// Tells the circuit when a stream breaks after its first chunk.
struct Watch(Arc<Circuit>);

impl Tend for Watch {
    fn end(self, end: End<'_>) {
        if let End::Failed(error) = end {
            self.0.tell(verdict(error), false);
        }
    }
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for Breaker<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let probe = match self.circuit.ask(call.trail.is_urgent()) {
            Ok(probe) => probe,
            Err(refusal) => return Box::pin(std::future::ready(Err(refused(refusal)))),
        };
        let circuit = Arc::clone(&self.circuit);
        let mut passage = Passage { circuit, probe, told: false };
        let attempt = self.inner.call(call);
        Box::pin(async move {
            match attempt.await {
                Ok(answer) => {
                    passage.tell(Verdict::Success);
                    let circuit = Arc::clone(&passage.circuit);
                    Ok(if T::STREAMED { T::tend(answer, Watch(circuit)) } else { answer })
                }
                Err(error) => {
                    passage.tell(verdict(&error));
                    Err(error)
                }
            }
        })
    }
}

/// What a failure says about the deployment.
fn verdict(error: &Error) -> Verdict {
    let wait = error.retry_after().filter(|wait| !wait.is_zero());
    match (error.kind(), wait) {
        (ErrorKind::Throttled, Some(wait)) => Verdict::AskedToWait(wait),
        (kind, wait) if kind.blames_provider() => Verdict::Failure(wait),
        // It answered, and found the request wrong: it works. `Unsupported` was often never sent.
        (ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Filtered, _) => Verdict::Success,
        _ => Verdict::Unknown,
    }
}

/// The gateway leaves the deployment alone.
fn refused(refusal: Refusal) -> Error {
    let (kind, wait, message) = match refusal {
        Refusal::Asked(wait) => (ErrorKind::AskedToWait, wait, "the provider asked for patience: left alone"),
        Refusal::Open(wait) => (ErrorKind::CircuitOpen, wait, "the circuit is open"),
    };
    Error::new(kind, format!("{message} for another {} ms", wait.as_millis())).with_retry_after(wait)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aigate_contract::{Chat, ChatStream};
    use futures_util::StreamExt;

    use super::*;
    use crate::policy::testing::{Script, call, chunk_stream, plan};

    fn fails(kind: ErrorKind) -> Script<Chat> {
        Script::<Chat>::fails(move || Error::new(kind, "x"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_deployment_that_keeps_failing_is_left_alone_and_probed_once() {
        let circuit = Arc::new(Circuit::new(plan().breaker));
        let upstream = fails(ErrorKind::Unavailable);
        let mut service = Breaker::new(upstream.clone(), Arc::clone(&circuit));
        for _ in 0..5 {
            assert_eq!(service.call(call::<Chat>()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        let refused = service.call(call::<Chat>()).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.retry_after()),
            (ErrorKind::CircuitOpen, Some(Duration::from_secs(5)))
        );
        assert_eq!(upstream.calls(), 5);

        tokio::time::advance(Duration::from_secs(5)).await;
        let mut probing = Breaker::new(Script::<Chat>::hangs(), Arc::clone(&circuit));
        let probe = probing.call(call::<Chat>());
        assert_eq!(service.call(call::<Chat>()).await.unwrap_err().kind(), ErrorKind::CircuitOpen);
        drop(probe);
        let mut healed = Breaker::new(Script::<Chat>::ok(), circuit);
        assert!(
            healed.call(call::<Chat>()).await.is_ok(),
            "a probe whose caller left makes room for the next"
        );
    }

    #[tokio::test]
    async fn the_caller_s_own_faults_open_nothing() {
        let mut service = Breaker::new(fails(ErrorKind::Invalid), Arc::new(Circuit::new(plan().breaker)));
        for _ in 0..50 {
            assert_eq!(service.call(call::<Chat>()).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_break_after_their_first_chunk_count_as_failures() {
        let circuit = Arc::new(Circuit::new(plan().breaker));
        for _ in 0..40 {
            let broken = chunk_stream([Some(Duration::ZERO)])
                .chain(futures_util::stream::iter([Err(Error::new(ErrorKind::Interrupted, "cut"))]));
            let mut service =
                Breaker::new(Script::<ChatStream>::answers(Box::pin(broken)), Arc::clone(&circuit));
            let Ok(stream) = service.call(call::<ChatStream>()).await else { return };
            let _: Vec<_> = stream.collect().await;
        }
        panic!("the circuit never opened");
    }
}
