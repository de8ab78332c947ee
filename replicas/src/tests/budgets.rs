//! Budgets: money is neither lost nor found, whatever happens in which order.

use std::time::Duration;

use proptest::{prelude::*, test_runner::TestRunner};
use tokio::time::sleep;

use super::*;
use crate::Settle;

fn spent(key: &str, actual: u64) -> Settle {
    Settle::Spent { key: key.into(), actual, expires: HOUR }
}

/// So long that it has run out after [`dead`].
const DYING: Duration = Duration::from_millis(1);

async fn dead() {
    sleep(DYING * 3).await;
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_reservation_becomes_what_was_spent() {
    let server = Server::start();
    let (one, other) = (server.replica().await, server.replica().await);
    let take = budget("b", 100, 60, "a");
    assert!(is_granted(&one, std::slice::from_ref(&take)).await);
    assert!(!is_granted(&other, &[budget("b", 100, 41, "b")]).await);
    one.settle([take.settle(25)]);
    arrived(&one).await;
    assert_eq!(spent_and_reserved(&other, "b").await, (25, 0));
    assert!(is_granted(&other, &[budget("b", 100, 75, "b")]).await);
    other.settle([budget("b", 100, 75, "b").settle(90), spent("b", 5)]);
    arrived(&other).await;
    assert_eq!(spent_and_reserved(&one, "b").await, (120, 0), "a call may cost more than it reserved");
    assert!(!is_granted(&one, &[budget("b", 100, 0, "c")]).await);
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn what_a_dead_replica_reserved_is_spent_and_a_late_word_adds_only_what_is_more() {
    let server = Server::start();
    let shared = server.replica().await;
    let takes = ["a", "b", "c"].map(|holder| with_lease(budget("b", 100, 10, holder), DYING));
    for take in &takes {
        assert!(is_granted(&shared, std::slice::from_ref(take)).await);
    }
    dead().await;
    assert_eq!(spent_and_reserved(&shared, "b").await, (30, 0));
    shared.renew(&takes);
    shared.settle([takes[0].settle(4), takes[1].settle(14)]);
    arrived(&shared).await;
    assert_eq!(spent_and_reserved(&shared, "b").await, (34, 0), "renewed too late; 4 more than reserved");
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_renewed_reservation_stays_reserved() {
    let server = Server::start();
    let shared = server.replica().await;
    let take = with_lease(budget("b", 100, 10, "a"), Duration::from_millis(600));
    assert!(is_granted(&shared, std::slice::from_ref(&take)).await);
    for _ in 0..14 {
        sleep(Duration::from_millis(60)).await;
        shared.renew([&take]);
    }
    arrived(&shared).await;
    assert_eq!(spent_and_reserved(&shared, "b").await, (0, 10));
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_redis_that_forgot_everything_is_told_what_its_replicas_know() {
    let server = Server::start();
    let (one, other) = (server.replica().await, server.replica().await);
    let held = budget("b", 100, 10, "held");
    assert!(is_granted(&one, &[budget("b", 100, 30, "a"), held.clone(), place("p", 2, "held")]).await);
    one.settle([budget("b", 100, 30, "a").settle(30)]);
    arrived(&one).await;

    server.command(&["FLUSHALL"]).await;
    assert_eq!(spent_and_reserved(&other, "b").await, (0, 0), "this replica never heard of it");
    assert_eq!(spent_and_reserved(&one, "b").await, (30, 0));
    assert_eq!(spent_and_reserved(&other, "b").await, (30, 0), "now it has");
    one.renew([&held, &place("p", 2, "held")]);
    arrived(&one).await;
    assert_eq!(spent_and_reserved(&other, "b").await, (30, 10));
    assert_eq!(free_places(&other, "p", 2).await, 1);

    server.command(&["FLUSHALL"]).await;
    other.settle([held.settle(7)]);
    arrived(&other).await;
    assert_eq!(
        spent_and_reserved(&one, "b").await,
        (37, 0),
        "settled without a reservation, on what was told"
    );
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn what_is_known_from_before_counts_from_the_first_take() {
    let server = Server::start();
    let shared = server.replica().await;
    let take = |amount| match budget("b", 100, amount, "a") {
        Take::Budget { key, limit, amount, holder, lease, expires, .. } => {
            Take::Budget { key, limit, amount, floor: 95, holder, lease, expires }
        }
        other => other,
    };
    assert!(!is_granted(&shared, &[take(6)]).await);
    assert!(is_granted(&shared, &[take(5)]).await);
    assert_eq!(spent_and_reserved(&shared, "b").await, (95, 5));
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_window_does_not_outlive_its_time() {
    let server = Server::start();
    let shared = server.replica().await;
    let Take::Budget { key, limit, amount, floor, holder, .. } = budget("b", 100, 10, "a") else {
        unreachable!()
    };
    let short = Duration::from_millis(100);
    let take = Take::Budget { key, limit, amount, floor, holder, lease: short, expires: short };
    assert!(is_granted(&shared, std::slice::from_ref(&take)).await);
    eventually("the window is gone", async || {
        server.command(&["EXISTS", "{t}:budget:b", "{t}:leases:b"]).await == redis::Value::Int(0)
    })
    .await;
}

/// What the next caller does.
#[derive(Clone, Debug)]
enum Step {
    /// Reserves; its replica may die of it.
    Take {
        amount: u64,
        dies: bool,
    },
    /// The oldest reservation but so many is settled, dead or not.
    Settle {
        which: usize,
        actual: u64,
    },
    Spend {
        actual: u64,
    },
    /// All reservations are renewed.
    Renew,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..60, prop::bool::weighted(0.3)).prop_map(|(amount, dies)| Step::Take { amount, dies }),
        3 => (0usize..4, 0u64..80).prop_map(|(which, actual)| Step::Settle { which, actual }),
        1 => (0u64..10).prop_map(|actual| Step::Spend { actual }),
        1 => Just(Step::Renew),
    ];
    prop::collection::vec(step, 1..30)
}

const LIMIT: u64 = 200;

/// What should be in Redis.
#[derive(Default)]
struct Model {
    spent: u64,
    reserved: u64,
    /// What calls cost beyond their reservations.
    overshoot: u64,
    open: Vec<(Take, u64, bool)>,
}

async fn play(replicas: &[Shared; 2], key: &str, steps: &[Step]) {
    let mut model = Model::default();
    for (i, step) in steps.iter().enumerate() {
        let replica = &replicas[i % 2];
        match step {
            Step::Take { amount, dies } => {
                let lease = if *dies { DYING } else { HOUR };
                let take = with_lease(budget(key, LIMIT, *amount, &i.to_string()), lease);
                let granted = is_granted(replica, std::slice::from_ref(&take)).await;
                assert_eq!(granted, model.spent + model.reserved + amount <= LIMIT, "step {i}");
                if granted && *dies {
                    dead().await;
                    model.spent += amount;
                    model.open.push((take, *amount, true));
                } else if granted {
                    model.reserved += amount;
                    model.open.push((take, *amount, false));
                }
            }
            Step::Settle { which, actual } if *which < model.open.len() => {
                let (take, amount, dead) = model.open.remove(*which);
                replica.settle([take.settle(*actual)]);
                let more = actual.saturating_sub(amount);
                model.overshoot += more;
                model.reserved -= if dead { 0 } else { amount };
                model.spent += if dead { more } else { *actual };
            }
            Step::Settle { .. } => {}
            Step::Spend { actual } => {
                replica.settle([spent(key, *actual)]);
                model.overshoot += actual;
                model.spent += actual;
            }
            Step::Renew => replica.renew(model.open.iter().map(|(take, ..)| take)),
        }
        arrived(replica).await;
        assert_eq!(
            spent_and_reserved(replica, key).await,
            (model.spent, model.reserved),
            "step {i}: {step:?}"
        );
        assert!(model.spent + model.reserved <= LIMIT + model.overshoot, "step {i}");
    }
}

#[test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
fn in_any_order_spent_and_reserved_stay_within_the_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let replicas = runtime.block_on(async { [server.replica().await, server.replica().await] });
    let case = std::cell::Cell::new(0);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() });
    runner
        .run(&steps(), |steps| {
            // Each case has a budget of its own.
            case.set(case.get() + 1);
            runtime.block_on(play(&replicas, &format!("b{}", case.get()), &steps));
            Ok(())
        })
        .unwrap();
}
