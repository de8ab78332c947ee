//! Random interleavings beside a model: a plain list of what happened.

use std::{sync::Arc, time::Duration};

use aigate_contract::Money;
use aigate_limits::{Budget, Claim, Limit, Period, Rate, Reason, Reservation, Unit, Wall, reserve};
use proptest::prelude::*;
use tokio::time::{Instant, advance};

/// Runs on a clock that only `advance` moves.
pub(super) fn paused<R>(test: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

/// The limits: requests of each of two keys; tokens, places and a budget that they share.
const KEYS: usize = 2;
const TOKENS: usize = 2;
const PLACES: usize = 3;
const BUDGET: usize = 4;

const ALL_PLACES: usize = 3;
const ALL_MONEY: u64 = 5_000;
const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;
/// Before midnight, so that days end while calls are in flight.
const START: i128 = DAY - 20 * SECOND;

/// Amount, period in seconds, burst of a bucket.
fn rate(limit: usize) -> (u64, u64, u64) {
    if limit == TOKENS { (1_000, 7, 700) } else { (7, 3, 5) }
}

/// A bucket's amounts on an exact scale: amount × nanoseconds of the period.
fn scaled(limit: usize, amount: u64) -> i128 {
    i128::from(amount) * i128::from(rate(limit).1) * SECOND
}

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        key: usize,
        tokens: u64,
        money: u64,
        order: Vec<usize>,
    },
    Settle {
        call: usize,
        tokens: Option<u64>,
        money: Option<u64>,
    },
    Cancel {
        call: usize,
    },
    Drop {
        call: usize,
    },
    Wait {
        nanoseconds: u64,
    },
    /// Compares all limits with the model: a step of its own, because looking brings a limit up to date.
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = |usual: u64| prop_oneof![5 => 0..usual, 1 => usual..usual * 6];
    let order = Just(vec![0, TOKENS, PLACES, BUDGET]).prop_shuffle();
    let step = prop_oneof![
        6 => (0..KEYS, amount(300), amount(1_000), order)
            .prop_map(|(key, tokens, money, order)| Step::Reserve { key, tokens, money, order }),
        4 => (0..8usize, proptest::option::of(amount(300)), proptest::option::of(amount(1_000)))
            .prop_map(|(call, tokens, money)| Step::Settle { call, tokens, money }),
        1 => (0..8usize).prop_map(|call| Step::Cancel { call }),
        1 => (0..8usize).prop_map(|call| Step::Drop { call }),
        2 => Just(Step::Look),
        4 => (0u64..2_500_000_000).prop_map(|nanoseconds| Step::Wait { nanoseconds }),
    ];
    proptest::collection::vec(step, 1..80)
}

/// A call that was admitted.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    key: usize,
    at: i128,
    tokens: u64,
    money: u64,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    at: i128,
    requests: u64,
    tokens: u64,
    money: u64,
}

/// The model: everything that happened, in order. Each question is answered by going through all of it.
#[derive(Debug, Default)]
struct Story {
    now: i128,
    calls: Vec<Admitted>,
    /// When, at which bucket, and what changed in it.
    movements: Vec<(i128, usize, i128)>,
}

impl Story {
    fn level(&self, limit: usize) -> i128 {
        let (amount, _, burst) = rate(limit);
        let full = scaled(limit, burst);
        let (mut level, mut last) = (full, 0);
        for (at, _, change) in self.movements.iter().filter(|movement| movement.1 == limit) {
            level = (level + (at - last) * i128::from(amount)).min(full);
            level = (level + change).min(full);
            last = *at;
        }
        (level + (self.now - last) * i128::from(amount)).min(full)
    }

    /// What was spent in the present day, what is reserved, and what the day's calls cost beyond their reservations.
    fn books(&self) -> (u64, u64, u64) {
        let today = |at: i128| (START + at) / DAY == (START + self.now) / DAY;
        let (mut spent, mut reserved, mut beyond) = (0, 0, 0);
        for call in &self.calls {
            match call.ended {
                None => reserved += call.money,
                Some(ended) if today(ended.at) => {
                    spent += ended.money;
                    beyond += ended.money.saturating_sub(call.money);
                }
                Some(_) => {}
            }
        }
        (spent, reserved, beyond)
    }

    /// Why a limit should refuse, and the nanoseconds after which it should not.
    fn refusal(&self, limit: usize, amount: u64) -> Option<(Reason, Option<i128>)> {
        match limit {
            PLACES => {
                let held = self.calls.iter().filter(|call| call.ended.is_none()).count();
                (held >= ALL_PLACES).then_some((Reason::Concurrency, None))
            }
            BUDGET if amount > ALL_MONEY => Some((Reason::TooLarge, None)),
            BUDGET => {
                let (spent, reserved, _) = self.books();
                let midnight = DAY - (START + self.now) % DAY;
                (spent + reserved + amount > ALL_MONEY).then_some((Reason::Budget, Some(midnight)))
            }
            bucket => {
                let (a_nanosecond, _, burst) = rate(bucket);
                let missing = scaled(bucket, amount.min(burst)) - self.level(bucket);
                let wait = (missing + i128::from(a_nanosecond) - 1) / i128::from(a_nanosecond);
                (missing > 0).then_some((Reason::Rate, Some(wait)))
            }
        }
    }

    fn admit(&mut self, key: usize, tokens: u64, money: u64) {
        self.movements.push((self.now, key, -scaled(key, 1)));
        self.movements.push((self.now, TOKENS, -scaled(TOKENS, tokens)));
        self.calls.push(Admitted { key, at: self.now, tokens, money, ended: None });
    }

    fn end(&mut self, index: usize, requests: u64, tokens: Option<u64>, money: Option<u64>) {
        let call = &mut self.calls[index];
        let (tokens, money) = (tokens.unwrap_or(call.tokens), money.unwrap_or(call.money));
        call.ended = Some(Ended { at: self.now, requests, tokens, money });
        self.movements.push((self.now, call.key, scaled(call.key, 1) - scaled(call.key, requests)));
        self.movements.push((self.now, TOKENS, scaled(TOKENS, call.tokens) - scaled(TOKENS, tokens)));
    }

    /// In any span, calls that were let through consumed no more than the burst and what time gave, but for: what they consumed beyond
    /// their reservations, what calls from before gave back in the span, and what the last took beyond the burst from a full bucket.
    fn check_spans(&self, limit: usize) {
        let (amount, _, burst) = rate(limit);
        let call = |call: &Admitted| {
            let (taken, consumed) = match limit {
                TOKENS => (call.tokens, call.ended.map(|ended| ended.tokens)),
                _ => (
                    u64::from(call.key == limit),
                    call.ended.map(|ended| if call.key == limit { ended.requests } else { 0 }),
                ),
            };
            (scaled(limit, taken), scaled(limit, consumed.unwrap_or(taken)))
        };
        let full = scaled(limit, burst);
        for first in 0..self.calls.len() {
            let start = self.calls[first].at;
            let (mut consumed, mut beyond) = (0, 0);
            for last in &self.calls[first..] {
                let (last_taken, last_consumed) = call(last);
                consumed += last_consumed;
                beyond += (last_consumed - last_taken).max(0);
                let given_back: i128 = self.calls[..first]
                    .iter()
                    .filter(|earlier| {
                        earlier.ended.is_some_and(|ended| ended.at >= start && ended.at <= last.at)
                    })
                    .map(|earlier| (call(earlier).0 - call(earlier).1).max(0))
                    .sum();
                let given = full + (last.at - start) * i128::from(amount);
                assert!(
                    consumed <= given + beyond + given_back + (last_taken - full).max(0),
                    "{limit} {first} {self:?}"
                );
            }
        }
    }
}

/// The real limits, and calls in flight with their places in the story.
struct World {
    limits: Vec<Arc<Limit>>,
    keys: [Arc<str>; KEYS],
    flying: Vec<(usize, Reservation)>,
    story: Story,
    /// Whether limits keep something back for other keys, of which the model knows nothing.
    fair: bool,
}

impl World {
    fn new(fair: bool) -> Self {
        let bucket = |index, unit| {
            let (amount, period, burst) = rate(index);
            let rate = Rate::new(amount, Duration::from_secs(period), Some(burst)).unwrap();
            Limit::rate("a rate", unit, rate, fair)
        };
        let now = Instant::now();
        let wall = Wall::starting(Duration::from_nanos(u64::try_from(START).unwrap()), now);
        let money = Money::from_trillionths(ALL_MONEY.into());
        let limits = vec![
            bucket(0, Unit::Requests),
            bucket(1, Unit::Requests),
            bucket(TOKENS, Unit::Tokens),
            Limit::places("places", u32::try_from(ALL_PLACES).unwrap(), fair),
            Limit::budget("a budget", Budget::new(money, Period::Day, money, wall, now), None),
        ];
        let limits = limits.into_iter().map(Arc::new).collect();
        Self {
            limits,
            keys: [Arc::from("a"), Arc::from("b")],
            flying: Vec::new(),
            story: Story::default(),
            fair,
        }
    }

    async fn act(&mut self, step: Step) {
        match step {
            Step::Look => self.check(),
            Step::Reserve { key, tokens, money, order } => self.reserve(key, tokens, money, &order),
            Step::Wait { nanoseconds } => {
                advance(Duration::from_nanos(nanoseconds)).await;
                self.story.now += i128::from(nanoseconds);
            }
            Step::Settle { call, tokens, money } => {
                if let Some((index, reservation)) = self.land(call) {
                    reservation.settle(|unit, taken| match unit {
                        Unit::Tokens => tokens.unwrap_or(taken),
                        Unit::Money => money.unwrap_or(taken),
                        _ => taken,
                    });
                    self.story.end(index, 1, tokens, money);
                }
            }
            Step::Cancel { call } => {
                if let Some((index, reservation)) = self.land(call) {
                    reservation.cancel();
                    self.story.end(index, 0, Some(0), Some(0));
                }
            }
            Step::Drop { call } => {
                if let Some((index, reservation)) = self.land(call) {
                    drop(reservation);
                    self.story.end(index, 0, Some(0), Some(0));
                }
            }
        }
    }

    fn land(&mut self, call: usize) -> Option<(usize, Reservation)> {
        (call < self.flying.len()).then(|| self.flying.swap_remove(call))
    }

    fn reserve(&mut self, key: usize, tokens: u64, money: u64, order: &[usize]) {
        let wanted: Vec<(usize, u64)> = order
            .iter()
            .map(|limit| match *limit {
                TOKENS => (TOKENS, tokens),
                BUDGET => (BUDGET, money),
                PLACES => (PLACES, 1),
                _ => (key, 1),
            })
            .collect();
        let refusal =
            wanted.iter().find_map(|(limit, amount)| Some((*limit, self.story.refusal(*limit, *amount)?)));
        let claims: Vec<Claim> = wanted
            .iter()
            .map(|(limit, amount)| Claim { limit: Arc::clone(&self.limits[*limit]), amount: *amount })
            .collect();
        match (reserve(claims, &self.keys[key]), refusal) {
            (Ok(reservation), None) => {
                self.flying.push((self.story.calls.len(), reservation));
                self.story.admit(key, tokens, money);
            }
            // A limit that keeps something back may refuse earlier, and for longer.
            (Err(_), _) if self.fair => {}
            (Err(denied), Some((limit, (reason, wait)))) => {
                assert!(Arc::ptr_eq(&denied.limit, &self.limits[limit]), "{denied:?}");
                assert_eq!(wanted[denied.index].0, limit);
                assert_eq!(denied.reason, reason);
                assert_eq!(denied.retry_after.map(|wait| i128::try_from(wait.as_nanos()).unwrap()), wait);
            }
            (real, model) => panic!("the limits say {real:?}, the model {model:?}"),
        }
    }

    /// All limits stand as the model says, and the budget's invariant holds.
    fn check(&self) {
        for limit in 0..=TOKENS {
            let level = self.story.level(limit).max(0);
            assert_eq!(i128::from(self.limits[limit].standing().remaining), level / scaled(limit, 1));
        }
        let free = ALL_PLACES - self.flying.len();
        assert_eq!(self.limits[PLACES].standing().remaining, free as u64);
        let (spent, reserved, beyond) = self.story.books();
        let books = self.limits[BUDGET].books().unwrap();
        assert_eq!(
            (books.spent.trillionths(), books.reserved.trillionths()),
            (spent.into(), reserved.into())
        );
        assert!(spent + reserved <= ALL_MONEY + beyond);
    }

    /// When all calls have ended and time has passed, nothing is missing.
    async fn check_the_end(mut self) {
        for (index, reservation) in std::mem::take(&mut self.flying) {
            reservation.settle(|_, taken| taken);
            self.story.end(index, 1, None, None);
        }
        self.check();
        for limit in 0..=TOKENS {
            self.story.check_spans(limit);
        }
        let resets = self.limits[..PLACES].iter().map(|limit| limit.standing().reset);
        advance(resets.max().unwrap()).await;
        for (index, limit) in self.limits[..PLACES].iter().enumerate() {
            assert_eq!(limit.standing().remaining, rate(index).2);
        }
        advance(self.limits[BUDGET].standing().reset).await;
        assert_eq!(self.limits[BUDGET].standing().remaining, ALL_MONEY);
    }
}

async fn play(mut world: World, steps: Vec<Step>) {
    for step in steps {
        world.act(step).await;
    }
    world.check_the_end().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_interleaving_goes_as_the_model_says(steps in steps()) {
        paused(async {
            play(World::new(false), steps).await;
        });
    }

    #[test]
    fn limits_that_are_shared_fairly_let_nothing_through_that_the_model_refuses(steps in steps()) {
        paused(async {
            play(World::new(true), steps).await;
        });
    }
}
