//! Reserving, settling, cancelling.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aigate_contract::Money;
use aigate_limits::{Budget, Claim, Kind, Limit, Period, Rate, Reason, Unit, Wall, reserve};
use tokio::time::{Instant, advance};

fn rate(text: &str, unit: Unit) -> Arc<Limit> {
    Arc::new(Limit::rate(format!("{} {text}", unit.as_str()), unit, Rate::parse(text, unit).unwrap(), false))
}

fn budget(dollars: &str) -> Budget {
    let now = Instant::now();
    let wall = Wall::starting(Duration::ZERO, now);
    Budget::new(
        dollars.parse().unwrap(),
        Period::Day,
        Money::from_trillionths((DOLLAR * 8 / 10).into()),
        wall,
        now,
    )
}

fn claims<const N: usize>(claims: [(&Arc<Limit>, u64); N]) -> Vec<Claim> {
    claims.map(|(limit, amount)| Claim { limit: Arc::clone(limit), amount }).into()
}

fn key() -> Arc<str> {
    Arc::from("credit")
}

const DOLLAR: u64 = 1_000_000_000_000;

#[tokio::test(start_paused = true)]
async fn when_a_later_limit_refuses_the_earlier_ones_lose_nothing() {
    let (requests, tokens) = (rate("5/m", Unit::Requests), rate("100/m", Unit::Tokens));
    let places = Arc::new(Limit::places("places", 2, false));
    let budget = Arc::new(Limit::budget("budget", budget("1"), None));
    let wanted = claims([(&places, 1), (&requests, 1), (&budget, DOLLAR / 2), (&tokens, 80)]);
    let first = reserve(wanted.to_vec(), &key()).unwrap();
    for _ in 0..10 {
        let denied = reserve(wanted.to_vec(), &key()).unwrap_err();
        assert!(Arc::ptr_eq(&denied.limit, &tokens) && denied.index == 3);
        assert_eq!((denied.reason, denied.retry_after), (Reason::Rate, Some(Duration::from_secs(36))));
        assert_eq!(denied.to_string(), "tokens 100/m is used up");
    }
    let left: Vec<_> = wanted.iter().map(|claim| claim.limit.standing().remaining).collect();
    assert_eq!(left, [1, 4, DOLLAR / 2, 20]);
    first.cancel();
    for claim in &wanted {
        assert_eq!(claim.limit.standing().remaining, claim.limit.standing().limit);
    }
}

#[tokio::test(start_paused = true)]
async fn settling_keeps_what_is_known_and_estimates_what_is_not() {
    let (requests, tokens) = (rate("5/m", Unit::Requests), rate("100/m", Unit::Tokens));
    let money = Arc::new(Limit::budget("budget", budget("1"), None));
    let call = reserve(claims([(&requests, 1), (&tokens, 80), (&money, DOLLAR)]), &key()).unwrap();
    call.settle(|unit, taken| match unit {
        Unit::Tokens => 30,
        Unit::Money => taken / 4,
        _ => taken,
    });
    assert_eq!(requests.standing().remaining, 4);
    assert_eq!(tokens.standing().remaining, 70);
    assert_eq!(money.books().unwrap().spent, Money::from_trillionths((DOLLAR / 4).into()));
    assert_eq!(money.books().unwrap().reserved, Money::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_however_its_call_ends() {
    let places = Arc::new(Limit::places("places", 1, true));
    assert_eq!(places.kind(), Kind::Concurrency);
    // Whatever the amount: a call takes one place.
    let wanted = claims([(&places, 0)]);
    reserve(wanted.to_vec(), &key()).unwrap().cancel();
    reserve(wanted.to_vec(), &key()).unwrap().settle(|_, _| 7);
    reserve(wanted.to_vec(), &key()).unwrap().settle(|_, taken| taken);
    let held = reserve(wanted.to_vec(), &key()).unwrap();
    let denied = reserve(wanted.to_vec(), &key()).unwrap_err();
    assert_eq!((denied.reason, denied.retry_after), (Reason::Concurrency, None));
    drop(held);
    assert_eq!(places.standing().remaining, 1);
}

#[tokio::test(start_paused = true)]
async fn a_budget_refuses_until_its_next_day_and_what_is_larger_than_it_for_ever() {
    let limit = Arc::new(Limit::budget("credit", budget("1"), None));
    let held = reserve(claims([(&limit, DOLLAR)]), &key()).unwrap();
    held.settle(|_, _| DOLLAR * 3);
    advance(Duration::from_secs(3_600)).await;
    let denied = reserve(claims([(&limit, 1)]), &key()).unwrap_err();
    assert_eq!((denied.reason, denied.retry_after), (Reason::Budget, Some(Duration::from_secs(23 * 3_600))));
    let denied = reserve(claims([(&limit, DOLLAR + 1)]), &key()).unwrap_err();
    assert_eq!((denied.reason, denied.retry_after), (Reason::TooLarge, None));
    assert_eq!(denied.to_string(), "credit: budget of 1 USD a day is less than this call alone may cost");
    advance(Duration::from_secs(23 * 3_600)).await;
    reserve(claims([(&limit, DOLLAR)]), &key()).unwrap().settle(|_, taken| taken);
}

#[tokio::test(start_paused = true)]
async fn whoever_writes_the_books_down_hears_of_each_change() {
    let heard = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&heard);
    let hook = Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let limit = Arc::new(Limit::budget("budget", budget("1"), Some(hook)));
    let mut expected = 0;
    let mut changed = |times: u32| {
        expected += times;
        assert_eq!(heard.load(Ordering::Relaxed), expected);
    };
    let call = reserve(claims([(&limit, DOLLAR * 9 / 10)]), &key()).unwrap();
    changed(1);
    assert!(limit.warns());
    reserve(claims([(&limit, DOLLAR)]), &key()).unwrap_err();
    changed(0);
    call.settle(|_, _| 1);
    changed(1);
    assert!(!limit.warns());
    assert!(!limit.restore("1970-02".parse().unwrap(), Money::MAX));
    changed(0);
    assert!(limit.restore("1970-01-01".parse().unwrap(), Money::from_trillionths(4)));
    changed(1);
    assert_eq!(limit.books().unwrap().spent, Money::from_trillionths(5));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_no_budget_has_no_books() {
    let tokens = rate("100/m", Unit::Tokens);
    assert_eq!(tokens.books(), None);
    assert!(!tokens.warns() && !tokens.restore("1970-01-01".parse().unwrap(), Money::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_settling_gives_the_rest_back() {
    let (tokens, places) = (rate("100/m", Unit::Tokens), Arc::new(Limit::places("places", 1, false)));
    let call = reserve(claims([(&places, 1), (&tokens, 80)]), &key()).unwrap();
    let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        call.settle(|_, _| panic!("a fault of the caller"))
    }));
    assert!(settled.is_err());
    assert_eq!((places.standing().remaining, tokens.standing().remaining), (1, 100));
}

#[test]
fn a_limit_is_cheap() {
    // 100,000 of them in 16 MB, with their `Arc`s but without their names.
    assert!(size_of::<Limit>() <= 144, "{}", size_of::<Limit>());
}
