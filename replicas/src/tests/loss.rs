//! Redis that dies, hangs, or forgets: nobody waits, and nothing is lost or counted twice.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::*;
use crate::{
    Lost, Settle,
    outbox::{Item, MAX_SETTLES},
    settle, take,
};

const BOUND: Duration = Duration::from_millis(100);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(200);

/// Takes, settles, gets and puts for a while. Says how many takes were decided, how many were not, and the longest that one
/// operation took.
async fn load(shared: Arc<Shared>, name: usize, time: Duration) -> (u32, u32, Duration) {
    let end = Instant::now() + time;
    let (mut decided, mut undecided, mut longest) = (0, 0, Duration::ZERO);
    for i in 0.. {
        let start = Instant::now();
        if start >= end {
            break;
        }
        let holder = format!("{name}-{i}");
        let takes = [
            rate("r", 1_000_000, HOUR, 1_000_000, 1),
            place("p", 1_000, &holder),
            budget("b", 1_000_000, 2, &holder),
        ];
        match shared.take(&takes).await {
            Ok(Decision::Granted { .. }) => {
                decided += 1;
                shared.settle(takes.iter().map(|take| take.settle(1)));
            }
            Ok(denied) => panic!("{denied:?}"),
            Err(Lost { .. }) => undecided += 1,
        }
        longest = longest.max(start.elapsed());
        let start = Instant::now();
        let _ = shared.get(&[1; 32]).await;
        shared.put(&[1; 32], "answer".into(), HOUR);
        longest = longest.max(start.elapsed());
        sleep(Duration::from_millis(1)).await;
    }
    (decided, undecided, longest)
}

/// Lets eight callers at it, and does something to Redis meanwhile.
async fn under_load(shared: &Arc<Shared>, meanwhile: impl AsyncFnOnce()) -> (u32, u32) {
    let mut callers = JoinSet::new();
    for name in 0..8 {
        callers.spawn(load(Arc::clone(shared), name, Duration::from_millis(1_000)));
    }
    sleep(Duration::from_millis(300)).await;
    meanwhile().await;
    let each = callers.join_all().await;
    let longest = each.iter().map(|(.., longest)| *longest).max().unwrap();
    assert!(longest <= BOUND + SLACK, "{longest:?}");
    (each.iter().map(|each| each.0).sum(), each.iter().map(|each| each.1).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_redis_killed_under_load_keeps_nobody_waiting_and_is_told_everything_when_it_is_back() {
    let mut server = Server::start();
    let shared = Arc::new(server.replica_within(BOUND).await);
    let (decided, undecided) = under_load(&shared, async || server.kill()).await;
    assert!(decided > 0 && undecided > 0, "{decided} {undecided}");
    assert!(!shared.is_up());

    // At once, all of it.
    let start = Instant::now();
    for _ in 0..1_000 {
        assert!(shared.take(&[place("p", 1, "late")]).await.is_err());
        assert!(shared.get(&[1; 32]).await.is_err());
    }
    assert!(start.elapsed() < BOUND * 10, "{:?} for 2,000", start.elapsed());

    // Spent meanwhile, in the replica's own judgement.
    for _ in 0..20_000 {
        shared.settle([Settle::Spent { key: "b".into(), actual: 1, expires: HOUR }]);
    }
    shared.trip("sick", HOUR);
    server.restart();
    is_up(&shared).await;
    arrived(&shared).await;
    let (spent, reserved) = spent_and_reserved(&shared, "b").await;
    assert_eq!((spent, reserved), (u64::from(decided) + 20_000, 0), "each granted call has spent 1");
    assert_eq!(free_places(&shared, "p", 1_000).await, 1_000);
    let mut trips = shared.trips();
    trips.wait_for(|trips| trips.iter().any(|trip| &*trip.deployment == "sick")).await.unwrap();
    let counts = shared.counts();
    assert!(counts.losses >= 1 && counts.settles_dropped == 0, "{counts:?}");
    eventually("the cache comes back", async || shared.get(&[1; 32]).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_redis_that_stands_still_is_lost_after_the_bound_and_what_it_does_later_is_taken_back() {
    let server = Server::start();
    let shared = Arc::new(server.replica_within(BOUND).await);
    let (decided, undecided) = under_load(&shared, async || {
        server.signal("-STOP");
        sleep(Duration::from_millis(600)).await;
        server.signal("-CONT");
    })
    .await;
    assert!(decided > 0 && undecided > 0, "{decided} {undecided}");
    all_is_as_granted(&shared, decided).await;
    assert!(shared.counts().timeouts >= 1, "{:?}", shared.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn commands_that_redis_holds_back_and_runs_later_change_nothing() {
    let server = Server::start();
    let shared = Arc::new(server.replica_within(BOUND).await);
    let (decided, undecided) = under_load(&shared, async || {
        server.command(&["CLIENT", "PAUSE", "600", "ALL"]).await;
    })
    .await;
    assert!(decided > 0 && undecided > 0, "{decided} {undecided}");
    all_is_as_granted(&shared, decided).await;
}

/// Each granted call has spent 1 and settled; of those without an answer nothing is left.
async fn all_is_as_granted(shared: &Shared, decided: u32) {
    is_up(shared).await;
    arrived(shared).await;
    // Nor comes anything later.
    for _ in 0..2 {
        eventually("Redis decides again", async || shared.take(&[place("any", 1, "look")]).await.is_ok())
            .await;
        assert_eq!(spent_and_reserved(shared, "b").await, (u64::from(decided), 0));
        assert_eq!(free_places(shared, "p", 1_000).await, 1_000);
        sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_take_that_comes_late_on_a_connection_that_was_given_up_is_refused() {
    let server = Server::start();
    let shared = server.replica().await;
    let takes = [place("p", 9, "a"), budget("b", 100, 10, "a")];
    let old = shared.limits.line().unwrap().number;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    eventually("there is another connection", async || {
        shared.limits.line().is_ok_and(|line| line.number > old)
    })
    .await;

    // As the old connection would have said it, had Redis read it only now.
    let line = shared.limits.line().unwrap();
    let ask = async |number| {
        let script = take::ask(&takes, &shared.keys, &shared.floors, number);
        let answer = shared.limits.run("take", &line, &script).await;
        take::read(&takes, answer.map_err(|failure| failure.lost).unwrap())
    };
    let failure = ask(old).await.expect_err("it is refused");
    assert!(!failure.done, "{}", failure.lost);
    assert_eq!(free_places(&shared, "p", 9).await, 9);
    assert_eq!(spent_and_reserved(&shared, "b").await, (0, 0));
    assert!(matches!(ask(line.number).await, Ok(Decision::Granted { .. })));
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_batch_that_comes_twice_counts_once() {
    let server = Server::start();
    let shared = server.replica().await;
    let spent = || Item::Settle(Settle::Spent { key: "b".into(), actual: 5, expires: HOUR });
    let line = shared.limits.line().unwrap();
    let send = async |number| {
        let items = [spent()];
        let script = settle::tell(&items, &shared.keys, &shared.floors, line.number, number);
        let answer = shared.limits.run("settle", &line, &script).await;
        answer.map_err(|failure| failure.lost).unwrap();
        spent_and_reserved(&shared, "b").await.0
    };
    assert_eq!(send(1).await, 5);
    assert_eq!(send(1).await, 5, "again: its answer was lost");
    assert_eq!(send(2).await, 10);
    assert_eq!(send(1).await, 10, "a late copy of an earlier one");
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_redis_that_lost_its_scripts_or_all_its_data_goes_on() {
    let server = Server::start();
    let shared = server.replica().await;
    let take = rate("r", 1, HOUR, 10, 10);
    assert!(is_granted(&shared, std::slice::from_ref(&take)).await);
    server.command(&["SCRIPT", "FLUSH"]).await;
    assert!(!is_granted(&shared, std::slice::from_ref(&take)).await);
    server.command(&["SCRIPT", "FLUSH"]).await;
    shared.settle([take.settle(7)]);
    arrived(&shared).await;
    assert_eq!(left_of_rate(&shared, &take).await, 3);
    server.command(&["FLUSHALL"]).await;
    assert!(is_granted(&shared, std::slice::from_ref(&take)).await, "full again");
    shared.settle([take.settle(1)]);
    arrived(&shared).await;
    assert_eq!(left_of_rate(&shared, &take).await, 9);
    let counts = shared.counts();
    assert_eq!((counts.losses, counts.script_errors), (0, 0), "{counts:?}");
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_take_that_nobody_waits_for_any_more_is_taken_back() {
    let server = Server::start();
    let shared = server.replica().await;
    let takes = [rate("r", 1, HOUR, 10, 1), place("p", 9, "a"), budget("b", 100, 10, "a")];
    // Redis has it, and answers only when nobody waits any more.
    server.command(&["CLIENT", "PAUSE", "500", "ALL"]).await;
    assert!(timeout(Duration::from_millis(100), shared.take(&takes)).await.is_err());
    arrived(&shared).await;
    assert_eq!(
        left_of_rate(&shared, &takes[0]).await,
        9,
        "it was granted, and what it took from a rate stays taken"
    );
    assert_eq!(free_places(&shared, "p", 9).await, 9);
    assert_eq!(spent_and_reserved(&shared, "b").await, (0, 0));
    assert_eq!(shared.counts().losses, 0, "{:?}", shared.counts());
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_key_that_holds_something_else_keeps_nothing_else_from_being_settled() {
    let server = Server::start();
    let shared = server.replica().await;
    server.command(&["SET", "{t}:budget:odd", "not a hash"]).await;
    let spent = |key: &str| Settle::Spent { key: key.into(), actual: 1, expires: HOUR };
    shared.settle([spent("a"), spent("odd"), spent("b")]);
    arrived(&shared).await;
    assert_eq!(spent_and_reserved(&shared, "a").await, (1, 0));
    assert_eq!(spent_and_reserved(&shared, "b").await, (1, 0));
    assert_eq!(shared.counts().script_errors, 1);
    let lost = shared.take(&[place("p", 1, "a"), budget("odd", 1, 1, "a")]).await.unwrap_err();
    assert!(lost.why.contains("WRONGTYPE"), "{lost}");
    assert!(shared.is_up(), "that is no loss");
    assert_eq!(free_places(&shared, "p", 1).await, 1);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_redis_without_memory_refuses_whole_decisions_and_is_told_when_it_has_some() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let shared = server.replica().await;
    let take = [rate("r", 1, HOUR, 10, 1), place("p", 10, "a"), budget("b", 100, 10, "a")];
    assert!(is_granted(&shared, &take).await);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let lost = shared.take(&take).await.unwrap_err();
    assert!(lost.why.contains("OOM"), "{lost}");
    shared.settle(take.iter().map(|take| take.settle(0)));
    assert!(!shared.flush(Duration::from_millis(600)).await);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    arrived(&shared).await;
    assert_eq!(left_of_rate(&shared, &take[0]).await, 10);
    assert_eq!(free_places(&shared, "p", 10).await, 10);
    assert_eq!(spent_and_reserved(&shared, "b").await, (0, 0));
}

#[tokio::test]
async fn what_waits_for_a_lost_redis_is_bounded_and_money_is_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}/nobody.sock", folder.path().display());
    let shared = Shared::new(settings(&url, BOUND)).unwrap();
    let start = Instant::now();
    assert!(shared.take(&[place("p", 1, "a")]).await.is_err());
    assert!(start.elapsed() < BOUND, "at once");
    for _ in 0..3 * MAX_SETTLES {
        shared.settle([Settle::Spent { key: "b".into(), actual: 1, expires: HOUR }]);
    }
    // The sum may be on its way already, and what came after it wait as another one.
    assert!(shared.counts().settles_waiting <= 2, "{:?}", shared.counts());
    let before = shared.counts().settles_waiting;
    shared.settle([rate("r", 1, HOUR, 10, 3).settle(3)]);
    assert_eq!(shared.counts().settles_waiting, before, "nothing to tell: as much was used as was taken");
    let place = place("p", 1, "a");
    for _ in 0..MAX_SETTLES + 5 {
        shared.settle([place.settle(0)]);
    }
    let counts = shared.counts();
    assert_eq!(counts.settles_waiting, MAX_SETTLES as u64);
    assert!((6..=7).contains(&counts.settles_dropped), "{counts:?}");
    // Of another budget: money is summed up however much waits.
    shared.settle([Settle::Spent { key: "c".into(), actual: 1, expires: HOUR }]);
    let later = shared.counts();
    assert_eq!(later.settles_dropped, counts.settles_dropped);
    assert_eq!(later.settles_waiting, counts.settles_waiting + 1);
    assert!(!shared.flush(Duration::from_millis(10)).await);
}

#[tokio::test]
async fn what_is_renewed_while_redis_is_lost_waits_once_and_keeps_no_settle_out() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}/nobody.sock", folder.path().display());
    let shared = Shared::new(settings(&url, BOUND)).unwrap();
    let held: Vec<_> = (0..500).map(|i| place("p", 1_000, &i.to_string())).collect();
    for _ in 0..100 {
        shared.renew(&held);
    }
    assert_eq!(shared.counts().settles_waiting, 500, "{:?}", shared.counts());
    // What has ended is renewed no more.
    shared.settle([held[0].settle(0)]);
    shared.renew(&held[1..]);
    assert_eq!(shared.counts().settles_waiting, 1 + 499);
    for _ in 1..MAX_SETTLES {
        shared.settle([held[0].settle(0)]);
    }
    let counts = shared.counts();
    assert_eq!((counts.settles_waiting, counts.settles_dropped), (MAX_SETTLES as u64 + 499, 0));
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_place_that_was_renewed_and_then_released_while_redis_was_lost_is_free() {
    let mut server = Server::start();
    let shared = server.replica_within(BOUND).await;
    let (ended, goes_on) = (place("p", 9, "ended"), place("p", 9, "goes on"));
    assert!(is_granted(&shared, &[ended.clone(), goes_on.clone()]).await);
    server.kill();
    is_down(&shared).await;
    shared.renew([&ended, &goes_on]);
    shared.settle([ended.settle(0)]);
    shared.renew([&goes_on]);
    shared.settle([place("p", 9, "another").settle(0)]);
    server.restart();
    is_up(&shared).await;
    arrived(&shared).await;
    assert_eq!(free_places(&shared, "p", 9).await, 8);
}
