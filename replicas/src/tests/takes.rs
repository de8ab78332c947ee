//! Decisions: rates, places, several at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::*;
use crate::LARGEST;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn two_replicas_hold_a_hundred_a_second_together() {
    let server = Server::start();
    let replicas = [Arc::new(server.replica().await), Arc::new(server.replica().await)];
    let one = rate("r", 100, SECOND, 20, 1);
    // The burst first: what is measured begins with an empty bucket.
    while is_granted(&replicas[0], std::slice::from_ref(&one)).await {}

    let start = Instant::now();
    let end = start + 3 * SECOND;
    let mut callers = JoinSet::new();
    for replica in replicas.iter().cycle().take(16) {
        let (replica, one) = (Arc::clone(replica), one.clone());
        callers.spawn(async move {
            let mut granted = 0;
            while Instant::now() < end {
                match replica.take(std::slice::from_ref(&one)).await.unwrap() {
                    Decision::Granted { .. } => granted += 1,
                    Decision::Denied { retry_after, .. } => {
                        sleep_until(end.min(Instant::now() + retry_after.unwrap())).await;
                    }
                }
            }
            granted
        });
    }
    let granted: u32 = callers.join_all().await.into_iter().sum();
    let expected = start.elapsed().as_secs_f64() * 100.0;
    assert!((f64::from(granted) - expected).abs() <= expected * 0.02, "{granted} of {expected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn sixty_four_callers_at_once_get_no_more_than_there_is() {
    let server = Server::start();
    let replicas = [Arc::new(server.replica().await), Arc::new(server.replica().await)];
    let mut callers = JoinSet::new();
    for (i, replica) in replicas.iter().cycle().take(64).cloned().enumerate() {
        callers.spawn(async move {
            let (mut rates, mut places, mut budgets, mut all) = (0, 0, 0, 0);
            for j in 0..4 {
                let holder = format!("{i}-{j}");
                rates += u32::from(is_granted(&replica, &[rate("r", 1, HOUR, 50, 1)]).await);
                places += u32::from(is_granted(&replica, &[place("p", 40, &holder)]).await);
                budgets += u32::from(is_granted(&replica, &[budget("b", 300, 10, &holder)]).await);
                let three =
                    [rate("r3", 1, HOUR, 50, 1), place("p3", 33, &holder), budget("b3", 990, 10, &holder)];
                all += u32::from(is_granted(&replica, &three).await);
            }
            [rates, places, budgets, all]
        });
    }
    let each = callers.join_all().await;
    let sum = |i: usize| each.iter().map(|granted| granted[i]).sum::<u32>();
    assert_eq!([sum(0), sum(1), sum(2), sum(3)], [50, 40, 30, 33]);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn all_of_it_is_taken_or_nothing() {
    let server = Server::start();
    let shared = server.replica().await;
    let takes = |count, max, amount| {
        [rate("r", 1, HOUR, 10, count), place("p", max, "a"), budget("b", 100, amount, "a")]
    };
    for (asked, refuses) in [(takes(1, 0, 1), 1), (takes(1, 5, 101), 2)] {
        match shared.take(&asked).await.unwrap() {
            Decision::Denied { index, retry_after, standings } => {
                assert_eq!((index, retry_after), (refuses, None));
                assert_eq!(standings[0], Standing::Rate { remaining: 10, reset: Duration::ZERO });
                assert_eq!(standings[2], Standing::Budget { spent: 0 });
                assert_eq!(spent_and_reserved(&shared, "b").await, (0, 0));
            }
            granted => panic!("{granted:?}"),
        }
    }
    assert!(is_granted(&shared, &takes(10, 5, 100)).await);
    // Now the rate refuses as well, and first.
    match shared.take(&takes(1, 5, 1)).await.unwrap() {
        Decision::Denied { index, retry_after, .. } => {
            assert_eq!(index, 0);
            let wait = retry_after.unwrap();
            assert!(wait <= HOUR && wait > HOUR - SECOND * 20, "{wait:?}");
            assert_eq!(free_places(&shared, "p", 5).await, 4);
            assert_eq!(spent_and_reserved(&shared, "b").await, (0, 100));
        }
        granted => panic!("{granted:?}"),
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn two_takes_of_the_same_key_see_each_other() {
    let server = Server::start();
    let shared = server.replica().await;
    assert!(!is_granted(&shared, &[rate("r", 1, HOUR, 10, 6), rate("r", 1, HOUR, 10, 6)]).await);
    assert!(is_granted(&shared, &[rate("r", 1, HOUR, 10, 6), rate("r", 1, HOUR, 10, 4)]).await);
    assert!(!is_granted(&shared, &[place("p", 1, "a"), place("p", 1, "b")]).await);
    assert!(!is_granted(&shared, &[budget("b", 10, 6, "a"), budget("b", 10, 6, "b")]).await);
    assert!(is_granted(&shared, &[budget("b", 10, 6, "a"), budget("b", 10, 4, "b")]).await);
    assert_eq!(spent_and_reserved(&shared, "b").await, (0, 10));
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn more_than_the_burst_passes_when_the_bucket_is_full_and_leaves_a_debt() {
    let server = Server::start();
    let shared = server.replica().await;
    let take = |count| rate("r", 10, HOUR, 10, count);
    assert!(is_granted(&shared, &[take(30)]).await);
    let Decision::Denied { retry_after, standings, .. } = shared.take(&[take(0)]).await.unwrap() else {
        panic!("there is a debt")
    };
    // 20 are owed: two hours.
    assert!(retry_after.unwrap().abs_diff(2 * HOUR) < 20 * SECOND, "{retry_after:?}");
    let Standing::Rate { remaining: 0, reset } = standings[0] else { panic!("{standings:?}") };
    assert!(reset.abs_diff(3 * HOUR) < 20 * SECOND, "{reset:?}");

    // Given back: 25 of the 30. Then 5 more are used than were taken.
    shared.settle([take(30).settle(5)]);
    arrived(&shared).await;
    assert_eq!(left_of_rate(&shared, &take(1)).await, 5);
    assert!(is_granted(&shared, &[take(2)]).await);
    shared.settle([take(2).settle(9)]);
    arrived(&shared).await;
    assert!(!is_granted(&shared, &[take(0)]).await, "7 more of 3");
    shared.settle([take(100).settle(0)]);
    arrived(&shared).await;
    assert_eq!(left_of_rate(&shared, &take(1)).await, 10, "never above the burst");
    assert_eq!(server.command(&["EXISTS", "{t}:rate:r"]).await, redis::Value::Int(0), "full is no key");
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_clock_that_goes_back_does_not_stop_a_bucket() {
    let server = Server::start();
    let shared = server.replica().await;
    // As a machine whose clock is an hour ahead left it: empty.
    server.command(&["SET", "{t}:rate:r", &format!("0 {}", u64::MAX / 4_000)]).await;
    let take = rate("r", 100, SECOND, 10, 1);
    assert!(!is_granted(&shared, std::slice::from_ref(&take)).await);
    eventually("the bucket fills", async || is_granted(&shared, std::slice::from_ref(&take)).await).await;
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn places_of_a_dead_replica_become_free_and_those_of_a_living_one_do_not() {
    let server = Server::start();
    let (dying, living) = (server.replica().await, server.replica().await);
    let short = Duration::from_millis(600);
    assert!(is_granted(&dying, &[with_lease(place("p", 2, "dead"), short)]).await);
    let held = with_lease(place("p", 2, "held"), short);
    assert!(is_granted(&living, std::slice::from_ref(&held)).await);
    drop(dying);
    assert!(!is_granted(&living, &[place("p", 2, "next")]).await);
    for _ in 0..14 {
        sleep(short / 10).await;
        living.renew([&held]);
    }
    arrived(&living).await;
    assert_eq!(free_places(&living, "p", 2).await, 1, "one lease ran out, one was renewed");
    living.settle([held.settle(0)]);
    living.settle([held.settle(0)]);
    arrived(&living).await;
    assert_eq!(free_places(&living, "p", 2).await, 2);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn what_cannot_be_counted_is_not_asked() {
    let server = Server::start();
    let shared = server.replica().await;
    let name = "n".repeat(513);
    for (takes, part) in [
        (vec![], "1 to 64 limits"),
        (vec![rate("r", 1, HOUR, 1, 1); 65], "1 to 64 limits"),
        (vec![rate("r", 0, HOUR, 1, 1)], "`r`: a rate's amount"),
        (vec![rate("r", 1, HOUR, LARGEST + 1, 1)], "a rate's amount and burst"),
        (vec![rate("r", 1, Duration::from_nanos(1), 1, 1)], "a microsecond to a year"),
        (vec![rate(&name, 1, HOUR, 1, 1)], "1 to 512 bytes"),
        (vec![budget("b", LARGEST + 1, 1, "a")], "`b`: a budget can be at most 9007199254740991"),
        (vec![budget("b", 1, 1, "")], "a holder's name"),
        (vec![with_lease(place("p", 1, "a"), Duration::ZERO)], "a lease must be"),
    ] {
        let lost = shared.take(&takes).await.unwrap_err();
        assert!(lost.why.contains(part), "{part}: {lost}");
    }
    // The largest that can.
    assert!(is_granted(&shared, &[rate("r", LARGEST, HOUR, LARGEST, u64::MAX)]).await);
    assert!(is_granted(&shared, &[budget("b", LARGEST, LARGEST, "a")]).await);
    assert_eq!(spent_and_reserved(&shared, "b").await, (0, LARGEST));
    assert!(!is_granted(&shared, &[budget("b", LARGEST, 1, "b")]).await);
}

#[test]
fn an_answer_that_makes_no_sense_is_no_decision() {
    let takes = [place("p", 1, "a")];
    let read = |numbers: &[i64]| {
        let numbers = numbers.iter().map(|number| redis::Value::Int(*number)).collect();
        crate::take::read(&takes, redis::Value::Array(numbers))
    };
    assert!(matches!(read(&[0, 0, -1, 0, 0]), Ok(Decision::Denied { index: 0, .. })));
    for answer in [&[][..], &[1], &[1, -1, -1], &[0, 1, -1, 0, 0], &[0, -1, -1, 0, 0]] {
        let failure = read(answer).expect_err("it makes no sense");
        assert!(failure.done && failure.lost.why.contains("cannot be read"), "{answer:?}: {failure:?}");
    }
}
