//! One flood does not starve the others, and nothing is left unused.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aigate_limits::{Claim, Limit, Rate, Reason, Unit, reserve};
use tokio::time::{Instant, advance};

use super::interleavings::paused;

/// A key that asks for `amount` every `every`, from `from` until `until`.
#[derive(Clone, Copy)]
struct Caller {
    name: &'static str,
    amount: u64,
    every: Duration,
    from: Duration,
    until: Duration,
}

const SECOND: Duration = Duration::from_secs(1);

fn caller(name: &'static str, amount: u64, a_second: f64) -> Caller {
    Caller { name, amount, every: SECOND.div_f64(a_second), from: Duration::ZERO, until: Duration::MAX }
}

/// What a key asked for, and what it got.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    asked: u64,
    got: u64,
}

/// Lets callers ask for a shared limit for `length`; counts what comes after `warm_up`.
fn play(rate: &str, callers: &[Caller], warm_up: Duration, length: Duration) -> HashMap<&'static str, Count> {
    let rate = Rate::parse(rate, Unit::Tokens).unwrap();
    paused(async {
        let limit = Arc::new(Limit::rate("shared", Unit::Tokens, rate, true));
        let start = Instant::now();
        let names: Vec<Arc<str>> = callers.iter().map(|caller| Arc::from(caller.name)).collect();
        let mut next: Vec<Duration> = callers.iter().map(|caller| caller.from).collect();
        let mut counts: HashMap<&'static str, Count> = HashMap::new();
        while let Some((index, at)) =
            next.iter().copied().enumerate().min_by_key(|(_, at)| *at).filter(|(_, at)| *at < length)
        {
            advance(start + at - Instant::now()).await;
            let caller = callers[index];
            let claim = Claim { limit: Arc::clone(&limit), amount: caller.amount };
            let passed =
                reserve(vec![claim], &names[index]).map(|call| call.settle(|_, taken| taken)).is_ok();
            if at >= warm_up {
                let count = counts.entry(caller.name).or_default();
                count.asked += caller.amount;
                count.got += if passed { caller.amount } else { 0 };
            }
            next[index] = if at + caller.every < caller.until { at + caller.every } else { Duration::MAX };
        }
        counts
    })
}

/// Whether `got` is `expected`, within so many per cent of it.
#[track_caller]
fn about(got: u64, expected: f64, percent: f64) {
    let off = (got as f64 - expected).abs() / expected * 100.0;
    assert!(off <= percent, "{got} is {off:.1} % off {expected}");
}

#[test]
fn a_key_that_is_alone_gets_everything() {
    let counts = play("100/s", &[caller("a", 1, 10_000.0)], SECOND, 11 * SECOND);
    about(counts["a"].got, 1_000.0, 1.0);
}

#[test]
fn a_flood_gets_what_a_modest_key_leaves_and_the_modest_key_loses_nothing() {
    let counts =
        play("100/s", &[caller("flood", 1, 10_000.0), caller("modest", 1, 10.0)], 2 * SECOND, 12 * SECOND);
    assert_eq!(counts["modest"].asked, 100);
    assert_eq!(counts["modest"].got, 100);
    about(counts["flood"].got, 900.0, 2.0);
}

#[test]
fn a_modest_key_that_comes_into_a_flood_loses_a_few_calls_at_most() {
    let late = Caller { from: 5 * SECOND, ..caller("modest", 1, 10.0) };
    let counts = play("100/s", &[caller("flood", 1, 10_000.0), late], Duration::ZERO, 15 * SECOND);
    assert!(counts["modest"].got + 2 >= counts["modest"].asked, "{counts:?}");
}

#[test]
fn a_flood_that_starts_beside_a_modest_key_takes_little_from_it() {
    let flood = Caller { from: 5 * SECOND, ..caller("flood", 1, 10_000.0) };
    let counts = play("100/s", &[flood, caller("modest", 1, 10.0)], Duration::ZERO, 15 * SECOND);
    // Until it has had its fair share, about half a second, the flood is as good a key as any.
    assert!(counts["modest"].got + 8 >= counts["modest"].asked, "{counts:?}");
}

#[test]
fn two_floods_share_alike() {
    let counts = play("100/s", &[caller("a", 1, 10_000.0), caller("b", 1, 2_000.0)], 2 * SECOND, 22 * SECOND);
    about(counts["a"].got, 1_000.0, 5.0);
    about(counts["b"].got, 1_000.0, 5.0);
}

#[test]
fn when_a_flood_ends_the_others_have_everything_at_once() {
    let gone = Caller { until: 5 * SECOND, ..caller("gone", 1, 10_000.0) };
    let counts = play("100/s", &[gone, caller("stays", 1, 1_000.0)], 5 * SECOND, 6 * SECOND);
    about(counts["stays"].got, 100.0, 10.0);
}

#[test]
fn keys_that_want_less_than_there_is_are_all_served() {
    let names = ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let mut callers: Vec<_> =
        names.iter().enumerate().map(|(i, name)| caller(name, 1, 1.9 + i as f64 * 0.02)).collect();
    callers.push(caller("a", 1, 40.3));
    let counts = play("100/s", &callers, 2 * SECOND, 22 * SECOND);
    for (name, count) in &counts {
        assert!(count.got * 100 >= count.asked * 99, "{name}: {count:?}");
    }
}

#[test]
fn a_key_with_large_calls_is_served_beside_a_flood_of_small_ones() {
    let large = Caller { from: 60 * SECOND, ..caller("large", 20_000, 1.0 / 60.0) };
    let counts = play("60_000/m", &[caller("small", 500, 4.0), large], 180 * SECOND, 1_380 * SECOND);
    assert_eq!(counts["large"].got, counts["large"].asked);
    about(counts["small"].got, 800_000.0, 4.0);
}

#[test]
fn a_key_that_asks_for_more_than_its_share_at_once_is_served_in_the_end() {
    let larger = Caller { from: 60 * SECOND, ..caller("larger", 45_000, 1.0) };
    let counts = play("60_000/m", &[caller("small", 500, 4.0), larger], 300 * SECOND, 2_100 * SECOND);
    // Half of the limit for each: half an hour at 30,000 a minute.
    about(counts["larger"].got, 900_000.0, 20.0);
    about(counts["larger"].got + counts["small"].got, 1_800_000.0, 4.0);
}

#[test]
fn more_keys_than_are_told_apart_share_what_one_key_has() {
    let limit = |fair| {
        Arc::new(Limit::rate("shared", Unit::Tokens, Rate::parse("100/s", Unit::Tokens).unwrap(), fair))
    };
    paused(async {
        let limit = limit(true);
        let mut got = 0;
        for step in 0..20_000u32 {
            advance(Duration::from_millis(1)).await;
            let who = Arc::from(format!("key {}", step % 5_000));
            let claim = Claim { limit: Arc::clone(&limit), amount: 1 };
            got += u64::from(reserve(vec![claim], &who).map(|call| call.settle(|_, taken| taken)).is_ok());
        }
        about(got, 2_000.0, 2.0);
    });
}

#[test]
fn places_are_shared_as_rates_are() {
    paused(async {
        let places = Arc::new(Limit::places("places", 10, true));
        let claim = [Claim { limit: Arc::clone(&places), amount: 1 }];
        let (flood, modest): (Arc<str>, Arc<str>) = (Arc::from("flood"), Arc::from("modest"));
        // Alone, the flood has all.
        let mut held: Vec<_> = std::iter::from_fn(|| reserve(claim.to_vec(), &flood).ok()).collect();
        assert_eq!(held.len(), 10);
        reserve(claim.to_vec(), &modest).expect_err("all are held");
        // From now on one place stays free for the other key.
        held.pop().unwrap().settle(|_, taken| taken);
        let denied = reserve(claim.to_vec(), &flood).unwrap_err();
        assert_eq!(denied.reason, Reason::Concurrency);
        for _ in 0..20 {
            advance(SECOND).await;
            let call = reserve(claim.to_vec(), &modest).unwrap();
            reserve(claim.to_vec(), &flood).expect_err("nine are the flood's");
            call.settle(|_, taken| taken);
        }
        // Nobody asks any longer: what was kept is free for those who do.
        advance(30 * SECOND).await;
        held.push(reserve(claim.to_vec(), &flood).unwrap());
        assert_eq!(places.standing().remaining, 0);
        drop(held);
        assert_eq!(places.standing().remaining, 10);
    });
}

#[test]
fn a_refusal_says_whether_the_rest_is_kept_for_others() {
    paused(async {
        let limit =
            Arc::new(Limit::rate("shared", Unit::Tokens, Rate::parse("60/m", Unit::Tokens).unwrap(), true));
        let claim = [Claim { limit: Arc::clone(&limit), amount: 1 }];
        reserve(vec![Claim { limit: Arc::clone(&limit), amount: 20 }], &Arc::from("other"))
            .unwrap()
            .settle(|_, _| 0);
        let flood = Arc::from("flood");
        let denied = std::iter::repeat_with(|| {
            reserve(claim.to_vec(), &flood).map(|call| call.settle(|_, taken| taken))
        })
        .find_map(Result::err);
        let denied = denied.unwrap();
        assert_eq!(denied.reason, Reason::Share);
        assert_eq!(denied.to_string(), "shared is kept for other keys");
        assert!(limit.standing().remaining >= 20);
        reserve(vec![Claim { limit: Arc::clone(&limit), amount: 20 }], &Arc::from("other"))
            .unwrap()
            .settle(|_, taken| taken);
    });
}

#[test]
fn a_key_that_its_own_limit_stops_keeps_nothing_from_others() {
    paused(async {
        let limit = |name: &str, rate, fair| {
            Arc::new(Limit::rate(name, Unit::Tokens, Rate::parse(rate, Unit::Tokens).unwrap(), fair))
        };
        let (shared, own) = (limit("shared", "100/m", true), limit("own", "1/m", false));
        let claim = |limit, amount| Claim { limit: Arc::clone(limit), amount };
        let stopped = Arc::from("stopped");
        reserve(vec![claim(&own, 1)], &stopped).unwrap().settle(|_, taken| taken);
        for _ in 0..100 {
            let denied = reserve(vec![claim(&shared, 30), claim(&own, 1)], &stopped).unwrap_err();
            assert_eq!(denied.limit.name(), "own");
        }
        let flood = Arc::from("flood");
        let got = (0..200).filter(|_| {
            reserve(vec![claim(&shared, 1)], &flood).map(|call| call.settle(|_, taken| taken)).is_ok()
        });
        assert_eq!(got.count(), 100);
    });
}

#[test]
fn a_call_that_is_not_sent_after_all_keeps_nothing_from_others() {
    paused(async {
        let rate = Rate::parse("100/m", Unit::Tokens).unwrap();
        let tokens = Arc::new(Limit::rate("tokens", Unit::Tokens, rate, true));
        let places = Arc::new(Limit::places("places", 10, true));
        // Of places a call takes one, whatever the amount.
        let claims = |tokens: &Arc<Limit>, amount| {
            vec![Claim { limit: Arc::clone(tokens), amount }, Claim { limit: Arc::clone(&places), amount: 0 }]
        };
        let (stopped, flood) = (Arc::from("stopped"), Arc::from("flood"));
        for _ in 0..100 {
            reserve(claims(&tokens, 30), &stopped).unwrap().cancel();
            drop(reserve(claims(&tokens, 30), &stopped).unwrap());
        }
        let got = (0..200).filter(|_| {
            reserve(vec![Claim { limit: Arc::clone(&tokens), amount: 1 }], &flood)
                .map(|call| call.settle(|_, taken| taken))
                .is_ok()
        });
        assert_eq!(got.count(), 100);
        let place = Claim { limit: Arc::clone(&places), amount: 1 };
        let held: Vec<_> = std::iter::from_fn(|| reserve(vec![place.clone()], &flood).ok()).collect();
        assert_eq!(held.len(), 10);
    });
}
