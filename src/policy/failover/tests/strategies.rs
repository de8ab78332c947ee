//! Which deployment comes first, and which may come at all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use aigate_contract::{ChatStream, Trail, chat::ChatRequest};
use futures_util::{StreamExt, future::join_all};
use tokio::time::{advance, sleep};
use tower::service_fn;

use super::*;
use crate::policy::testing::chunk_stream;

fn names(line: &[&Candidate<Chat>]) -> Vec<String> {
    line.iter().map(|candidate| candidate.target.provider.to_string()).collect()
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A deployment that takes as long as `pace` says, in milliseconds, and fails at 0; it counts its calls.
#[derive(Clone, Debug, Default)]
struct Runner {
    pace: Arc<AtomicU64>,
    calls: Arc<AtomicUsize>,
}

impl Runner {
    fn of(pace: u64) -> Self {
        let runner = Self::default();
        runner.sets_pace(pace);
        runner
    }

    fn sets_pace(&self, pace: u64) {
        self.pace.store(pace, SeqCst);
    }

    /// How many calls it got since this was asked last.
    fn calls(&self) -> usize {
        self.calls.swap(0, SeqCst)
    }

    fn candidate(&self, name: &str) -> Candidate<Chat> {
        let runner = self.clone();
        let route = service_fn(move |call: Call<Chat>| {
            let runner = runner.clone();
            async move {
                runner.calls.fetch_add(1, SeqCst);
                match runner.pace.load(SeqCst) {
                    0 => Err(Error::new(ErrorKind::Unavailable, "x")),
                    pace => {
                        sleep(millis(pace)).await;
                        Script::<Chat>::ok().call(call).await
                    }
                }
            }
        });
        over(name, Route::new(route))
    }
}

fn fastest<const N: usize>(runners: [&Runner; N]) -> Failover<Chat> {
    let names = ["a", "b", "c", "d"];
    let candidates = runners.iter().zip(names).map(|(runner, name)| runner.candidate(name)).collect();
    Failover::new("m".into(), Strategy::Fastest, candidates, None)
}

/// Calls one after the other.
async fn drive(service: &Failover<Chat>, calls: usize) {
    for _ in 0..calls {
        let _ = service.clone().call(call::<Chat>()).await;
    }
}

/// So many callers at once, each with so many calls.
async fn storm(service: &Failover<Chat>, callers: usize, calls: usize) {
    join_all((0..callers).map(|_| drive(service, calls))).await;
}

#[test]
fn weights_are_shares_and_zero_comes_last() {
    let candidates: Vec<_> = [("a", 3), ("b", 1), ("c", 0)]
        .map(|(name, weight)| Candidate { weight, ..candidate(name, Script::ok()) })
        .into();
    let call = call::<Chat>();
    let mut first = 0;
    for _ in 0..4000 {
        let line = names(&line_up(Strategy::Weighted, &candidates, &call));
        assert_eq!((line.len(), line[2].as_str()), (3, "c"));
        first += usize::from(line[0] == "a");
    }
    assert!((2800..3200).contains(&first), "{first}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_five_times_slower_gets_few_calls() {
    let (quick, slow) = (Runner::of(100), Runner::of(500));
    let service = fastest([&slow, &quick]);
    drive(&service, 1000).await;
    let calls = slow.calls();
    assert!((1..=20).contains(&calls), "one after the other: {calls} of 1000");

    storm(&service, 12, 100).await;
    let calls = slow.calls();
    assert!((1..=120).contains(&calls), "twelve at once: {calls} of 1200");
}

#[tokio::test(start_paused = true)]
async fn rare_calls_do_not_go_to_the_slow_one_every_second_time() {
    let (quick, slow) = (Runner::of(100), Runner::of(500));
    let service = fastest([&slow, &quick]);
    for _ in 0..200 {
        drive(&service, 1).await;
        advance(Duration::from_secs(60)).await;
    }
    let calls = slow.calls();
    assert!((1..=10).contains(&calls), "{calls} of 200");
}

#[tokio::test(start_paused = true)]
async fn one_that_has_recovered_is_found_again_and_one_that_has_slowed_down_is_left() {
    let (one, other) = (Runner::of(100), Runner::of(1000));
    let service = fastest([&one, &other]);
    drive(&service, 300).await;
    assert!(one.calls() > 290);
    other.calls();

    one.sets_pace(1000);
    other.sets_pace(100);
    drive(&service, 400).await;
    one.calls();
    other.calls();
    drive(&service, 300).await;
    assert!((1..=10).contains(&one.calls()));
    assert!(other.calls() >= 290);
}

#[tokio::test(start_paused = true)]
async fn equals_get_equal_shares_one_after_the_other_and_at_once() {
    let runners = [(); 4].map(|()| Runner::of(50));
    let service = fastest(runners.each_ref());
    for (callers, calls) in [(1, 2000), (20, 100)] {
        storm(&service, callers, calls).await;
        for runner in &runners {
            let got = runner.calls();
            assert!((400..600).contains(&got), "{got} of 2000, {callers} callers");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_fails_fast_is_not_the_fastest() {
    let (broken, sound) = (Runner::of(0), Runner::of(400));
    let service = fastest([&broken, &sound]);
    drive(&service, 500).await;
    let (asked, answered) = (broken.calls(), sound.calls());
    assert!((1..=30).contains(&asked), "{asked}");
    assert_eq!(answered, 500, "every call was answered all the same");
    broken.sets_pace(10);
    drive(&service, 500).await;
    broken.calls();
    drive(&service, 100).await;
    assert!(broken.calls() >= 95, "it is found again");
}

#[tokio::test(start_paused = true)]
async fn a_new_deployment_is_tried_and_not_stampeded() {
    let (known, new) = (Runner::of(100), Runner::of(5000));
    let service = fastest([&known, &new]);
    let first = service.candidates[0].load.ask();
    advance(millis(100)).await;
    drop(first.answered());
    storm(&service, 8, 1).await;
    let calls = new.calls();
    assert!((1..=2).contains(&calls), "{calls} of 8");
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_moment_do_not_all_see_the_same_best() {
    let candidates: Vec<_> = ["a", "b", "c"].map(|name| candidate(name, Script::ok())).into();
    for (candidate, latency) in candidates.iter().zip([100, 200, 300]) {
        let asked = candidate.load.ask();
        advance(millis(latency)).await;
        drop(asked.answered());
    }
    let mut first = [0; 3];
    for _ in 0..3000 {
        let line = names(&line_up(Strategy::Fastest, &candidates, &call::<Chat>()));
        first[["a", "b", "c"].iter().position(|name| *name == line[0]).unwrap()] += 1;
        assert_eq!(line.len(), 3);
    }
    // Two of three are drawn: the worst is never the better one, the best is drawn in two of three cases.
    assert!((1850..2150).contains(&first[0]) && first[2] == 0, "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn among_deployments_of_which_nothing_is_known_chance_decides() {
    let candidates: Vec<_> = ["a", "b"].map(|name| candidate(name, Script::ok())).into();
    let first = |_: &usize| names(&line_up(Strategy::Fastest, &candidates, &call::<Chat>()))[0] == "a";
    let count = (0..1000).filter(first).count();
    assert!((400..600).contains(&count), "{count}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_rests_comes_after_the_others_and_a_stand_in_last() {
    let candidates = vec![
        standing_in(candidate("local", Script::ok())),
        candidate("rests", Script::ok()),
        candidate("slow", Script::ok()),
    ];
    let asked = [candidates[1].load.ask(), candidates[2].load.ask()];
    let [rests, slow] = asked;
    rests.failed(&Error::new(ErrorKind::AskedToWait, "x").with_retry_after(Duration::from_secs(5)));
    advance(Duration::from_secs(3)).await;
    drop(slow.answered());
    let line = names(&line_up(Strategy::Fastest, &candidates, &call::<Chat>()));
    assert_eq!(line, ["slow", "rests", "local"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_until_its_first_chunk_and_is_in_flight_until_its_end() {
    let waits = [Some(millis(0)), Some(Duration::from_secs(3))];
    let route = service_fn(move |call: Call<ChatStream>| async move {
        sleep(millis(200)).await;
        Script::<ChatStream>::answers(chunk_stream(waits)).call(call).await
    });
    let only = over::<ChatStream>("a", Route::new(route));
    let load = Arc::clone(&only.load);
    let mut service = Failover::new("m".into(), Strategy::Fastest, vec![only], None);
    let mut stream = service.call(call::<ChatStream>()).await.unwrap();
    assert_eq!(load.rank().cost, 0.2 * 2.0);
    while stream.next().await.is_some() {}
    assert_eq!(load.rank().cost, 0.2);
}

/// A cost by the number of messages.
#[derive(Debug)]
struct PerMessage(i128);

impl<T: Task<Request = ChatRequest>> Expect<T> for PerMessage {
    fn cost(&self, call: &Call<T>) -> Option<Money> {
        Some(Money::from_trillionths(self.0 * call.request.messages.len() as i128))
    }
}

fn priced(name: &str, price: i128) -> Candidate<Chat> {
    Candidate { expected: Some(Arc::new(PerMessage(price))), ..candidate(name, Script::ok()) }
}

#[test]
fn the_cheapest_comes_first_then_the_unpriced_then_stand_ins_each_as_written() {
    let candidates = vec![
        standing_in(priced("free", 0)),
        candidate("unknown", Script::ok()),
        priced("dear", 9),
        priced("cheap", 2),
        candidate("unknown too", Script::ok()),
        priced("as cheap", 2),
        standing_in(candidate("local", Script::ok())),
    ];
    let line = names(&line_up(Strategy::Cheapest, &candidates, &call::<Chat>()));
    assert_eq!(line, ["cheap", "as cheap", "dear", "unknown", "unknown too", "free", "local"]);
}

fn narrowed(narrowing: Narrowing) -> Call<Chat> {
    let call = call::<Chat>();
    call.trail.narrow(narrowing);
    call
}

#[tokio::test]
async fn a_caller_whose_budget_is_spent_gets_the_cheapest_or_a_local_deployment_and_no_other() {
    let local = Candidate { local: true, ..candidate("local", Script::ok()) };
    let candidates = vec![
        priced("dear", 9),
        candidate("unknown", Script::ok()),
        priced("cheap", 2),
        priced("as cheap", 2),
        local,
    ];
    let line = |narrowing| names(&line_up(Strategy::Order, &candidates, &narrowed(narrowing)));
    assert_eq!(line(Narrowing::Cheapest), ["cheap", "as cheap"]);
    assert_eq!(line(Narrowing::Local), ["local"]);
    assert_eq!(line(Narrowing::None).len(), 5);
}

#[tokio::test]
async fn where_nothing_is_left_for_a_spent_budget_the_error_says_so_and_nobody_is_asked() {
    let script = Script::<Chat>::ok();
    let mut service = failover(vec![candidate("a", script.clone())]);
    for (narrowing, why) in [
        (Narrowing::Local, "only a deployment on this machine may answer, and there is none"),
        (Narrowing::Cheapest, "only the cheapest deployment may answer, and no deployment's cost is known"),
    ] {
        let error = service.call(narrowed(narrowing)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OverBudget);
        assert_eq!(error.message(), format!("model `m`: the budget is spent: {why}"));
    }
    let mut service = failover(vec![standing_in(candidate("local", script.clone()))]);
    let mut refusing = call::<Chat>();
    refusing.trail = Arc::new(Trail::new("id", None).refusing_degraded(true));
    refusing.trail.narrow(Narrowing::Local);
    let error = service.call(refusing).await.unwrap_err();
    assert!(error.message().ends_with("and the caller refuses degraded answers"), "{error}");
    assert_eq!(script.calls(), 0);
}
