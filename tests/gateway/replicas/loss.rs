//! Redis that is lost, hangs, comes back empty, or was never there.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::{
    drive, error,
    world::{Gate, Setting, Who, cloud, eventually},
};
use crate::harness::Redis;

const UP: &str = "aigate_redis_up{what=\"limits\"}";
/// What a busy machine may take besides, for a call that is bounded.
const SLACK: Duration = Duration::from_secs(2);

/// Calls to both gateways until told to stop: how long each took. None may fail.
async fn load(gates: &[Gate; 2], stop: &tokio::sync::watch::Receiver<bool>) -> Vec<Duration> {
    let workers = (0..8).map(|worker| async move {
        let mut times = Vec::new();
        while !*stop.borrow() {
            let start = Instant::now();
            assert_eq!(gates[worker % 2].call().await, 200);
            times.push(start.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        times
    });
    let mut times = join_all(workers).await.concat();
    times.sort_unstable();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

async fn are(gates: &[Gate; 2], up: f64) {
    for gate in gates {
        gate.metric_is(UP, up).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn no_call_fails_while_redis_is_lost_hangs_or_comes_back_and_the_waiting_is_bounded() {
    let (mut redis, cloud) = (Redis::start(), cloud().await);
    let caller =
        "limits = { requests = \"1_000_000/s\", concurrency = 1000 }\nbudget = { usd_per_day = 100_000 }";
    let setting = Setting::new(&cloud, &redis.url(), "timeout = \"100ms\"", caller);
    let gates = Gate::two(&setting).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let trouble = async {
        let pause = async || tokio::time::sleep(Duration::from_millis(500)).await;
        pause().await;
        redis.kill();
        are(&gates, 0.0).await;
        pause().await;
        redis.restart();
        are(&gates, 1.0).await;
        pause().await;
        redis.signal("-STOP");
        are(&gates, 0.0).await;
        pause().await;
        redis.signal("-CONT");
        are(&gates, 1.0).await;
        pause().await;
        stop.send_replace(true);
    };
    let (times, ()) = tokio::join!(load(&gates, &stopped), trouble);
    assert!(times.len() > 200, "{}", times.len());
    assert!(p99(&times) < Duration::from_millis(100) + SLACK, "{:?}", p99(&times));
    assert!(times.last().unwrap() < &(Duration::from_millis(100) + SLACK), "{:?}", times.last());
    // Whoever waits does so once: of eight callers at two losses, those that a busy machine holds up besides.
    let long = times.iter().filter(|time| **time > Duration::from_millis(300)).count();
    assert!(
        long <= 16,
        "{long} of {} took longer than 300 ms: {:?}",
        times.len(),
        &times[times.len() - long..]
    );
    assert_eq!(cloud.stats().answered, times.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn the_first_call_waits_for_a_redis_that_hangs_as_long_as_the_configuration_says() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let caller = "limits = { requests = \"1_000_000/s\" }";
    for (timeout, low, high) in [("1s", 900, 2_500), ("50ms", 45, 700)] {
        let shared = format!("timeout = \"{timeout}\"\nprefix = \"t{low}\"");
        let gate = Gate::start(&Setting::new(&cloud, &redis.url(), &shared, caller)).await;
        gate.is_up().await;
        assert_eq!(gate.call().await, 200);
        redis.signal("-STOP");
        let start = Instant::now();
        assert_eq!(gate.call().await, 200);
        let took = start.elapsed().as_millis();
        redis.signal("-CONT");
        assert!((low..high).contains(&took), "timeout = {timeout}: {took} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn limits_act_together_again_after_a_loss_and_the_budget_does_not_forget() {
    let (mut redis, cloud) = (Redis::start(), cloud().await);
    let caller = "limits = { requests = \"100/s burst 100\" }\nbudget = { usd_per_day = 100 }";
    let setting = Setting::new(&cloud, &redis.url(), "timeout = \"5s\"", caller);
    let gates = Gate::two(&setting).await;
    let spent = "aigate_budget_usd{owner=\"key caller\",period=\"day\",what=\"spent\"}";
    for gate in gates.iter().cycle().take(41) {
        assert_eq!(gate.call().await, 200);
    }
    redis.kill();
    are(&gates, 0.0).await;
    for gate in gates.iter().cycle().take(20) {
        assert_eq!(gate.call().await, 200);
    }
    redis.restart();
    are(&gates, 1.0).await;

    let start = Instant::now();
    let before = cloud.stats().answered;
    let (passed, _) = drive(&gates, Duration::from_secs(4)).await;
    let most = 100.0 + 100.0 * start.elapsed().as_secs_f64();
    assert!(f64::from(passed) <= most, "{passed} > {most}: they keep the limit together");
    assert_eq!(cloud.stats().answered - before, u64::from(passed));
    // All 61 calls from before, but for what one has settled after the other's last word.
    let mut cents = f64::from(passed + 61);
    eventually("what was spent before is known", async || {
        cents += f64::from(u8::from(gates[0].call().await == 200));
        let known = gates[0].metric(spent).await.unwrap() * 100.0;
        assert!(known < cents + 0.5, "{known} of {cents} cents: nothing counts twice");
        known > cents - 3.5
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn what_was_spent_is_known_after_redis_and_the_gateway_have_both_started_anew() {
    let (mut redis, cloud) = (Redis::start(), cloud().await);
    let setting = Setting::new(&cloud, &redis.url(), "timeout = \"5s\"", "budget = { usd_per_day = 0.1 }");
    let [mut first, second] = Gate::two(&setting).await;
    for gate in [&second, &second, &second, &second, &first, &first] {
        assert_eq!(gate.call().await, 200);
    }
    drop(second);
    first.terminate();
    assert!(first.ended().await.success());
    redis.kill();
    redis.restart();
    first.start_again().await;
    first.is_up().await;
    let calls = join_all((0..10).map(|_| first.call())).await;
    let passed = calls.iter().filter(|status| **status == 200).count();
    assert!((4..=5).contains(&passed), "of ten cents six are spent, of which one may be unknown: {calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn where_nobody_may_guess_calls_with_limits_are_refused_at_once_and_others_go_on() {
    let (mut redis, cloud) = (Redis::start(), cloud().await);
    let shared = "timeout = \"200ms\"\non_loss = \"refuse\"";
    let gates =
        Gate::two(&Setting::new(&cloud, &redis.url(), shared, "limits = { requests = \"1000/s\" }")).await;
    assert_eq!(gates[0].call().await, 200);
    for hang in [false, true] {
        if hang {
            redis.signal("-STOP")
        } else {
            redis.kill()
        }
        are(&gates, 0.0).await;
        let asked = cloud.stats().seen;
        for gate in &gates {
            let start = Instant::now();
            let refused = gate.chat(Who::Caller, json!({})).await;
            assert!(start.elapsed() < SLACK, "{:?}", start.elapsed());
            let (status, code, message) = error(refused).await;
            assert_eq!((status, &*code), (503, "limits_unknown"), "{message}");
            assert!(!message.contains("redis.sock"), "{message}");
        }
        assert_eq!(cloud.stats().seen, asked, "nobody was asked");
        for gate in &gates {
            assert_eq!(gate.chat(Who::Free, json!({})).await.status(), 200);
        }
        if hang {
            redis.signal("-CONT")
        } else {
            redis.restart()
        }
        are(&gates, 1.0).await;
        assert_eq!((gates[0].call().await, gates[1].call().await), (200, 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_gateway_starts_without_redis_says_so_and_never_its_password() {
    const SECRET: &str = "s3cr3t-of-redis";
    let redis = Redis::start_with(&["--requirepass", "the-right-one"]);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let cloud = cloud().await;
    let wrong_password = format!("{}?pass={SECRET}", redis.url());
    let wrong_port = format!("redis://user:{SECRET}@{closed}");
    for url in [wrong_password, wrong_port] {
        let caller = "limits = { requests = \"100/s\" }";
        let gate = Gate::start(&Setting::new(&cloud, &url, "timeout = \"50ms\"", caller)).await;
        let start = Instant::now();
        assert_eq!(gate.call().await, 200, "{}", gate.log());
        assert!(start.elapsed() < SLACK, "{:?}", start.elapsed());
        eventually("the log tells", async || gate.log().contains("the shared Redis cannot be reached")).await;
        gate.metric_is(UP, 0.0).await;
        let log = gate.log();
        assert!(!log.contains(SECRET), "{log}");

        let strict = "timeout = \"50ms\"\non_loss = \"refuse\"";
        let gate = Gate::start(&Setting::new(&cloud, &url, strict, caller)).await;
        let (status, code, message) = error(gate.chat(Who::Caller, json!({})).await).await;
        assert_eq!((status, &*code), (503, "limits_unknown"));
        assert!(!message.contains(SECRET), "{message}");
    }
}
