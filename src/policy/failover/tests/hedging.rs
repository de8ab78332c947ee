//! When a second deployment is asked as well, and whose answer counts.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use aigate_contract::{
    ChatStream, Embed, Facts, Predict, Trail,
    embed::{EmbedReply, EmbedRequest},
};
use bytes::Bytes;
use tokio::time::sleep;
use tower::service_fn;

use super::*;
use crate::config::{HedgeAfter, HedgePlan};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn request() -> Call<Embed> {
    let body = Bytes::from_static(br#"{"model":"m","input":"hi"}"#);
    Call {
        request: Arc::new(EmbedRequest::parse(body).unwrap()),
        target: target("p"),
        deadline: Instant::now() + Duration::from_secs(60),
        trail: Arc::new(Trail::new("id", None)),
    }
}

/// What a deployment was asked, and how often nobody waited for its answer.
#[derive(Clone, Debug, Default)]
struct Seen {
    asked: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
}

impl Seen {
    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn given_up(&self) -> usize {
        self.given_up.load(SeqCst)
    }
}

/// Counts itself when it is dropped while it waits.
struct Waiting(Option<Arc<AtomicUsize>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(given_up) = self.0.take() {
            given_up.fetch_add(1, SeqCst);
        }
    }
}

/// A deployment that answers with its name after `pace`, or fails as told.
fn runner(name: &'static str, pace: Duration, failure: Option<ErrorKind>) -> (Candidate<Embed>, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let route = service_fn(move |call: Call<Embed>| {
        let seen = noted.clone();
        async move {
            seen.asked.fetch_add(1, SeqCst);
            let mut waiting = Waiting(Some(seen.given_up));
            let begun = Instant::now();
            sleep(pace).await;
            waiting.0 = None;
            let outcome = match failure {
                Some(kind) => Err(Error::new(kind, name)),
                None => Ok(EmbedReply { json: Bytes::from_static(name.as_bytes()), facts: Facts::default() }),
            };
            call.trail.record(&call.target, begun.elapsed(), outcome.as_ref().err());
            outcome
        }
    });
    (over(name, Route::new(route)), seen)
}

/// A budget that has saved enough for one hedge.
fn budget() -> Arc<HedgeBudget> {
    let budget = Arc::<HedgeBudget>::default();
    budget.deposit(1.0);
    budget
}

fn hedged(
    candidates: Vec<Candidate<Embed>>,
    after: HedgeAfter,
    budget: &Arc<HedgeBudget>,
) -> Failover<Embed> {
    let plan = HedgePlan { after, max_extra: 0.02 };
    Failover::new("m".into(), Strategy::Order, candidates, Some(Hedge::new(plan, Arc::clone(budget))))
}

const AFTER: HedgeAfter = HedgeAfter::Fixed(Duration::from_millis(100));

/// The name of who answered, and how long that took.
async fn ask(service: &Failover<Embed>, call: Call<Embed>) -> Result<(String, Duration)> {
    let begun = Instant::now();
    let reply = service.clone().call(call).await?;
    Ok((String::from_utf8(reply.json.to_vec()).unwrap(), begun.elapsed()))
}

fn answer(name: &str, after: u64) -> (String, Duration) {
    (name.to_owned(), millis(after))
}

#[tokio::test(start_paused = true)]
async fn when_the_first_is_slow_the_second_is_asked_too_and_the_slow_one_is_given_up() {
    let ((a, first), (b, second)) = (runner("a", millis(900), None), runner("b", millis(50), None));
    let budget = budget();
    let load = Arc::clone(&a.load);
    let service = hedged(vec![a, b], AFTER, &budget);
    assert_eq!(ask(&service, request()).await.unwrap(), answer("b", 150));
    assert_eq!((first.asked(), first.given_up()), (1, 1));
    assert_eq!((second.asked(), second.given_up()), (1, 0));
    assert_eq!((budget.hedges(), budget.won()), (1, 1));
    assert_eq!(load.rank().cost, 1.0, "nothing is in flight, and it never answered");
}

#[tokio::test(start_paused = true)]
async fn when_the_first_answers_after_all_the_hedge_is_given_up() {
    let ((a, first), (b, second)) = (runner("a", millis(120), None), runner("b", millis(50), None));
    let budget = budget();
    let service = hedged(vec![a, b], AFTER, &budget);
    assert_eq!(ask(&service, request()).await.unwrap(), answer("a", 120));
    assert_eq!((first.given_up(), second.asked(), second.given_up()), (0, 1, 1));
    assert_eq!((budget.hedges(), budget.won()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_first_that_answers_in_time_is_not_hedged() {
    let ((a, _), (b, second)) = (runner("a", millis(99), None), runner("b", millis(1), None));
    let budget = budget();
    let service = hedged(vec![a, b], AFTER, &budget);
    assert_eq!(ask(&service, request()).await.unwrap(), answer("a", 99));
    assert_eq!((second.asked(), budget.hedges()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn when_one_of_the_two_fails_the_other_goes_on() {
    let down = Some(ErrorKind::Unavailable);
    let ((a, _), (b, _)) = (runner("a", millis(300), None), runner("b", millis(50), down));
    let service = hedged(vec![a, b], AFTER, &budget());
    assert_eq!(ask(&service, request()).await.unwrap(), answer("a", 300));

    let ((a, _), (b, _)) = (runner("a", millis(150), down), runner("b", millis(300), None));
    let budget = budget();
    let service = hedged(vec![a, b], AFTER, &budget);
    assert_eq!(ask(&service, request()).await.unwrap(), answer("b", 400));
    assert_eq!(budget.won(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_walk_goes_on_with_the_third_and_the_trail_has_all() {
    let down = Some(ErrorKind::Unavailable);
    let ((a, first), (b, second)) = (runner("a", millis(200), down), runner("b", millis(50), down));
    let (c, _) = runner("c", millis(10), None);
    let service = hedged(vec![a, b, c], AFTER, &budget());
    let call = request();
    assert_eq!(ask(&service, call.clone()).await.unwrap(), answer("c", 210));
    assert_eq!((first.asked(), second.asked()), (1, 1));
    let tried: Vec<_> = call.trail.attempts().iter().map(|one| one.target.provider.to_string()).collect();
    assert_eq!(tried, ["b", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_deployment_would_refuse_too_ends_the_race() {
    let ((a, first), (b, _)) =
        (runner("a", millis(900), None), runner("b", millis(50), Some(ErrorKind::Filtered)));
    let service = hedged(vec![a, b], AFTER, &budget());
    let error = ask(&service, request()).await.unwrap_err();
    assert_eq!((error.kind(), error.target().unwrap().provider.as_ref()), (ErrorKind::Filtered, "b"));
    assert_eq!(first.given_up(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_choice_is_hedged() {
    let ((a, _), (b, _)) =
        (runner("a", millis(10), Some(ErrorKind::Unavailable)), runner("b", millis(500), None));
    let (c, seen) = runner("c", millis(10), None);
    let service = hedged(vec![a, b, c], AFTER, &budget());
    assert_eq!(ask(&service, request()).await.unwrap(), answer("b", 510));
    assert_eq!(seen.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_gives_up_both() {
    let ((a, first), (b, second)) = (runner("a", millis(900), None), runner("b", millis(900), None));
    let loads = [Arc::clone(&a.load), Arc::clone(&b.load)];
    let service = hedged(vec![a, b], AFTER, &budget());
    assert!(tokio::time::timeout(millis(200), ask(&service, request())).await.is_err());
    assert_eq!((first.given_up(), second.given_up()), (1, 1));
    for load in loads {
        assert_eq!(load.rank().cost, 1.0, "nothing stays in flight");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_a_late_call_a_spent_budget_and_an_outage_are_not_hedged() {
    let slow = || runner("a", millis(900), None).0;
    let (quick, seen) = runner("b", millis(1), None);
    let service = hedged(vec![slow(), standing_in(quick)], AFTER, &budget());
    assert_eq!(ask(&service, request()).await.unwrap(), answer("a", 900));
    assert_eq!(seen.asked(), 0, "a stand-in");

    let (quick, seen) = runner("b", millis(1), None);
    let local = |one| Candidate { local: true, ..one };
    let service = hedged(vec![local(slow()), local(quick)], AFTER, &budget());
    let mut late = request();
    late.deadline = Instant::now() + millis(100);
    assert_eq!(ask(&service, late).await.unwrap(), answer("a", 900));
    assert_eq!(seen.asked(), 0, "a late call");

    let narrowed = request();
    narrowed.trail.narrow(Narrowing::Local);
    assert_eq!(ask(&service, narrowed).await.unwrap(), answer("a", 900));
    assert_eq!(seen.asked(), 0, "a spent budget");

    let urgent = request();
    urgent.trail.become_urgent();
    assert_eq!(ask(&service, urgent).await.unwrap(), answer("a", 900));
    assert_eq!(seen.asked(), 0, "an outage");

    assert_eq!(ask(&service, request()).await.unwrap(), answer("b", 101), "and otherwise it is");
}

#[tokio::test(start_paused = true)]
async fn a_percentile_waits_for_sixteen_answers_and_then_hedges_the_slow_ones() {
    let ((a, _), (b, seen)) = (runner("a", millis(900), None), runner("b", millis(10), None));
    let load = Arc::clone(&a.load);
    let service = hedged(vec![a, b], HedgeAfter::Percentile(0.95), &budget());
    for _ in 0..15 {
        load.outrun(millis(40));
    }
    assert_eq!(ask(&service, request()).await.unwrap(), answer("a", 900));
    assert_eq!(seen.asked(), 0);
    for _ in 0..30 {
        load.outrun(millis(40));
    }
    // 46 answer times: 44 of them are 95 %.
    assert_eq!(ask(&service, request()).await.unwrap(), answer("b", 50));
}

#[tokio::test(start_paused = true)]
async fn hedges_do_not_teach_that_the_first_is_fast() {
    let ((a, _), (b, _)) = (runner("a", millis(900), None), runner("b", millis(10), None));
    let load = Arc::clone(&a.load);
    let budget = Arc::<HedgeBudget>::default();
    let service = hedged(vec![a, b], AFTER, &budget);
    for _ in 0..32 {
        budget.deposit(1.0);
        ask(&service, request()).await.unwrap();
    }
    assert_eq!(load.percentile(0.05), Some(millis(110)), "it took at least so long");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_planned_share_of_the_calls_is_hedged() {
    let ((a, first), (b, second)) = (runner("a", millis(300), None), runner("b", millis(1), None));
    let budget = Arc::default();
    let service = hedged(vec![a, b], AFTER, &budget);
    for calls in 1..=500_u64 {
        ask(&service, request()).await.unwrap();
        assert!(budget.hedges() * 50 <= calls, "{} hedges in {calls} calls", budget.hedges());
    }
    assert_eq!((budget.hedges(), first.asked(), second.asked()), (10, 500, 10));
}

#[test]
fn a_quiet_day_saves_one_hedge_and_not_a_thousand() {
    let budget = HedgeBudget::default();
    for _ in 0..10_000 {
        budget.deposit(0.02);
    }
    assert!(budget.withdraw());
    assert!(!budget.withdraw());
    assert_eq!(budget.hedges(), 1);
}

#[tokio::test(start_paused = true)]
async fn chat_is_never_hedged() {
    assert!(hedges::<Embed>() && hedges::<Predict>() && !hedges::<Chat>() && !hedges::<ChatStream>());
    let plan = HedgePlan { after: HedgeAfter::Fixed(millis(1)), max_extra: 1.0 };
    let slow = service_fn(|call: Call<Chat>| async move {
        sleep(millis(50)).await;
        Script::<Chat>::ok().call(call).await
    });
    let second = Script::<Chat>::ok();
    let candidates = vec![over("a", Route::new(slow)), candidate("b", second.clone())];
    let hedge = Some(Hedge::new(plan, budget()));
    let mut service = Failover::new("m".into(), Strategy::Order, candidates, hedge);
    assert!(service.call(call::<Chat>()).await.is_ok());
    assert_eq!(second.calls(), 0);
}
