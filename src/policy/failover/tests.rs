mod hedging;
mod strategies;

use aigate_contract::{Chat, Trail};

use super::*;
use crate::policy::testing::{Script, call, recorded, target};

fn candidate(name: &str, script: Script<Chat>) -> Candidate<Chat> {
    over(name, Route::new(recorded(script)))
}

/// A deployment of a cloud, `name/x`, that answers through `route`.
fn over<T: Task>(name: &str, route: Route<T>) -> Candidate<T> {
    Candidate { target: target(name), local: false, weight: 1, expected: None, load: Arc::default(), route }
}

/// The same as a model on this machine, which stands in for others.
fn standing_in<T: Task>(candidate: Candidate<T>) -> Candidate<T> {
    let target = Target { fallback: true, ..(*candidate.target).clone() };
    Candidate { target: Arc::new(target), local: true, ..candidate }
}

fn failing(kind: ErrorKind) -> Script<Chat> {
    Script::<Chat>::fails(move || Error::new(kind, "x").with_param("n"))
}

fn failover(candidates: Vec<Candidate<Chat>>) -> Failover<Chat> {
    Failover::new("m".into(), Strategy::Order, candidates, None)
}

#[tokio::test]
async fn the_next_deployment_answers_when_one_fails() {
    let (first, second) = (failing(ErrorKind::Throttled), Script::<Chat>::ok());
    let mut service = failover(vec![candidate("a", first.clone()), candidate("b", second.clone())]);
    assert!(service.call(call::<Chat>()).await.is_ok());
    assert_eq!((first.calls(), second.calls()), (1, 1));
}

#[tokio::test]
async fn the_caller_s_fault_and_a_filter_s_refusal_end_the_walk() {
    for kind in [ErrorKind::Invalid, ErrorKind::Filtered] {
        let second = Script::<Chat>::ok();
        let mut service = failover(vec![candidate("a", failing(kind)), candidate("b", second.clone())]);
        assert_eq!(service.call(call::<Chat>()).await.unwrap_err().kind(), kind);
        assert_eq!(second.calls(), 0);
    }
}

#[tokio::test]
async fn when_all_fail_the_error_says_who_why_and_when_to_come_back() {
    let later = |seconds| {
        Script::<Chat>::fails(move || {
            Error::new(ErrorKind::Throttled, "busy").with_retry_after(Duration::from_secs(seconds))
        })
    };
    let mut service = failover(vec![candidate("a", later(9)), candidate("b", later(4))]);
    let error = service.call(call::<Chat>()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(4)));
    assert_eq!(
        error.message(),
        "model `m`: no deployment answered; tried a/x: throttled (the provider asks for patience); \
         b/x: throttled (the provider asks for patience)"
    );
}

#[tokio::test]
async fn a_field_that_no_deployment_can_honour_is_the_caller_s_to_change() {
    let failing = || failing(ErrorKind::Unsupported);
    let mut service = failover(vec![candidate("a", failing()), candidate("b", failing())]);
    let error = service.call(call::<Chat>()).await.unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::Unsupported, Some("n")));
}

#[tokio::test]
async fn when_every_circuit_is_open_each_deployment_is_asked_once_more_in_earnest() {
    let (first, second) = (failing(ErrorKind::CircuitOpen), failing(ErrorKind::CircuitOpen));
    let mut service = failover(vec![candidate("a", first.clone()), candidate("b", second.clone())]);
    let call = call::<Chat>();
    assert_eq!(service.call(call.clone()).await.unwrap_err().kind(), ErrorKind::Exhausted);
    assert_eq!((first.calls(), second.calls(), call.trail.is_urgent()), (2, 2, true));
}

#[tokio::test]
async fn a_caller_who_refuses_degraded_answers_gets_none_from_a_stand_in() {
    let (first, local) = (failing(ErrorKind::Unavailable), Script::<Chat>::ok());
    let mut service = failover(vec![candidate("a", first), standing_in(candidate("local", local.clone()))]);
    let mut refusing = call::<Chat>();
    refusing.trail = Arc::new(Trail::new("id", None).refusing_degraded(true));
    assert_eq!(service.call(refusing).await.unwrap_err().kind(), ErrorKind::Exhausted);
    assert_eq!(local.calls(), 0);
    assert!(service.call(call::<Chat>()).await.is_ok());
}
