//! The locked part of the crate, compiled once more over shuttle's mutex, in random schedules of several threads.
//!
//! `limit.rs` and `reservation.rs` are the only files that know of threads. They find `crate::sync` here.

#![cfg(test)]

#[expect(dead_code, unreachable_pub, reason = "written for the library, of which this is a part")]
#[path = "../src/limit.rs"]
mod limit;
#[expect(dead_code, unreachable_pub, reason = "written for the library, of which this is a part")]
#[path = "../src/reservation.rs"]
mod reservation;
mod sync {
    pub(crate) use shuttle::sync::Mutex;
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aigate_contract::Money;
pub(crate) use aigate_limits::{Bucket, Budget, BudgetState, Fair, Places, Rate, Standing, Unit, Window};
use aigate_limits::{Period, Wall};
use limit::Limit;
use reservation::{Claim, reserve};
use shuttle::{rand::Rng, thread};

const SCHEDULES: usize = 1_000;
const THREADS: u64 = 3;
const CALLS: u64 = 3;
const TOKENS: u64 = 100;
const MONEY: u64 = 100;
const PLACES: u32 = 2;

/// Runs on a clock that stands still: what time gives back is not of interest here.
fn in_random_schedules(test: impl Fn() + Send + Sync + 'static) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    shuttle::check_random(test, SCHEDULES);
}

struct Limits {
    tokens: Arc<Limit>,
    places: Arc<Limit>,
    money: Arc<Limit>,
    /// What calls consumed in the end, and how much of the money was beyond reservations.
    consumed: AtomicU64,
    spent: AtomicU64,
    beyond: AtomicU64,
}

impl Limits {
    fn new(fair: bool) -> Self {
        let rate = Rate::new(TOKENS, Duration::from_secs(60), None).unwrap();
        let now = tokio::time::Instant::now();
        let wall = Wall::starting(Duration::ZERO, now);
        let budget = Budget::new(Money::from_trillionths(MONEY.into()), Period::Day, Money::MAX, wall, now);
        Self {
            tokens: Arc::new(Limit::rate("tokens", Unit::Tokens, rate, fair)),
            places: Arc::new(Limit::places("places", PLACES, fair)),
            money: Arc::new(Limit::budget("money", budget, None)),
            consumed: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            beyond: AtomicU64::new(0),
        }
    }

    /// A call of random size with a random end.
    fn call(&self, who: &Arc<str>) {
        let mut random = shuttle::rand::thread_rng();
        let mut amounts = || random.gen_range(0..60);
        let (tokens, money, consumed, spent) = (amounts(), amounts(), amounts(), amounts());
        let claims = [(&self.tokens, tokens), (&self.places, 1), (&self.money, money)];
        let claims = claims.map(|(limit, amount)| Claim { limit: Arc::clone(limit), amount });
        let Ok(reservation) = reserve(claims.into(), who) else { return };
        self.check();
        match random.gen_range(0..4) {
            0 => drop(reservation),
            1 => reservation.cancel(),
            _ => {
                // Counted before it shows in the books, so that `check` never sees more in the books than is counted.
                self.consumed.fetch_add(consumed, Ordering::Relaxed);
                self.spent.fetch_add(spent, Ordering::Relaxed);
                self.beyond.fetch_add(spent.saturating_sub(money), Ordering::Relaxed);
                reservation.settle(|unit, _| if unit == Unit::Money { spent } else { consumed });
            }
        }
        self.check();
    }

    /// What holds at any moment.
    fn check(&self) {
        let books = self.money.books().unwrap();
        let beyond = self.beyond.load(Ordering::Relaxed);
        assert!((books.spent + books.reserved).trillionths() <= i128::from(MONEY + beyond));
        assert!(self.places.standing().remaining <= u64::from(PLACES));
    }

    /// What holds when all calls have ended: nothing was lost, nothing was given twice.
    fn check_the_end(&self) {
        let consumed = self.consumed.load(Ordering::Relaxed);
        let Standing { remaining, reset, .. } = self.tokens.standing();
        assert_eq!(remaining, TOKENS.saturating_sub(consumed));
        assert_eq!(reset, Duration::from_millis(consumed * 600));
        assert_eq!(self.places.standing().remaining, u64::from(PLACES));
        let books = self.money.books().unwrap();
        assert_eq!(books.spent, Money::from_trillionths(self.spent.load(Ordering::Relaxed).into()));
        assert_eq!(books.reserved, Money::ZERO);
    }
}

fn threads_reserve_and_settle(fair: bool) {
    in_random_schedules(move || {
        let limits = Arc::new(Limits::new(fair));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let limits = Arc::clone(&limits);
                let who = Arc::from(format!("key {thread}"));
                thread::spawn(move || (0..CALLS).for_each(|_| limits.call(&who)))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        limits.check_the_end();
    });
}

#[test]
fn in_any_schedule_nothing_leaks_and_the_budget_holds() {
    threads_reserve_and_settle(false);
}

#[test]
fn in_any_schedule_nothing_leaks_from_limits_that_are_shared_fairly() {
    threads_reserve_and_settle(true);
}
