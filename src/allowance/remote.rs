//! Limits that all replicas keep together, in Redis: one decision for all limits of a call.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use aigate_contract::{Money, Standing};
use aigate_limits::{Unit, Wall, Window, amount_of};
use aigate_replicas::{Decision, LARGEST, Rate, Settle, Shared, Standing as SharedStanding, Take};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Ration, SharedMeasure, SharedRation, Want};
use crate::config::{Measure, document::OnLoss};

/// Keeps limits in Redis.
#[derive(Debug)]
pub struct Remote {
    shared: Arc<Shared>,
    on_loss: OnLoss,
    wall: Wall,
    held: Arc<Held>,
    /// How long a call waits.
    timeout: Duration,
    since: Instant,
    /// Whether the first connection is there, or was waited for long enough.
    begun: AtomicBool,
}

/// How long a dead replica's places and reservations are missed.
const LEASE: Duration = Duration::from_secs(60);
/// How long calls wait, each no longer than its timeout, for the first connection.
const BEGINNING: Duration = Duration::from_secs(1);
/// How long Redis keeps a window after its end: as long as calls may last that began in it.
const AFTERWARDS: Duration = Duration::from_secs(3600);

/// Why a call may not be sent.
pub(super) enum Refused {
    /// A limit refuses it.
    Denied { ration: Arc<Ration>, retry_after: Option<Duration>, standing: Option<Standing> },
    /// Redis cannot be reached, and no call is wanted without it.
    Lost,
}

/// What calls hold in Redis by leases. Renewed and settled under one lock: a place that is renewed after its release would be
/// taken again.
#[derive(Debug, Default)]
struct Held {
    calls: Mutex<HashMap<u64, Arc<Vec<Take>>>>,
    next: AtomicU64,
}

impl Held {
    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Arc<Vec<Take>>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call holds in Redis.
#[derive(Debug)]
pub(super) struct RemoteHold {
    shared: Arc<Shared>,
    held: Arc<Held>,
    /// Under which number its leases are renewed, if it has any.
    lease: Option<u64>,
    asked: Vec<Asked>,
    takes: Arc<Vec<Take>>,
    standings: Vec<Standing>,
    granted: bool,
    settled: bool,
}

/// What a take is for.
#[derive(Debug)]
struct Asked {
    want: Want,
    /// Of a budget: the day or month that was asked about, which may be over when the answer comes.
    window: Option<Window>,
}

impl Remote {
    /// Keeps limits in `shared`. Must be called within a runtime.
    pub fn new(shared: Arc<Shared>, on_loss: OnLoss, timeout: Duration, wall: Wall) -> Self {
        let held = Arc::<Held>::default();
        tokio::spawn(renew(Arc::downgrade(&shared), Arc::downgrade(&held)));
        Self { shared, on_loss, wall, held, timeout, since: Instant::now(), begun: AtomicBool::new(false) }
    }

    /// After a start or a reload the connection is not there at once: that is no loss yet.
    async fn begin(&self) {
        if self.begun.load(Ordering::Relaxed) {
            return;
        }
        let until = (Instant::now() + self.timeout).min(self.since + BEGINNING);
        let is_up = timeout_at(until, self.shared.up().wait_for(|up| *up)).await.is_ok();
        if is_up || self.since.elapsed() >= BEGINNING {
            self.begun.store(true, Ordering::Relaxed);
        }
    }

    pub(super) async fn take(&self, wants: &[Want]) -> Result<Option<RemoteHold>, Refused> {
        self.begin().await;
        let holder: Arc<str> = Uuid::new_v4().simple().to_string().into();
        let moment = self.wall.since_epoch(Instant::now());
        let (asked, takes): (Vec<Asked>, Vec<Take>) =
            wants.iter().filter_map(|want| describe(want, &holder, moment)).unzip();
        match self.shared.take(&takes).await {
            Ok(decision) => {
                asked.iter().zip(decision.standings()).for_each(|(asked, standing)| asked.learn(*standing));
                self.decided(decision, asked, takes).map(Some)
            }
            Err(lost) => match self.on_loss {
                // This process' own books decide, and Redis is told of the money when it is back.
                OnLoss::Local => {
                    tracing::debug!(%lost, "limits are kept by this replica alone");
                    Ok(Some(self.hold(asked, takes, Vec::new(), false)))
                }
                OnLoss::Refuse => Err(Refused::Lost),
            },
        }
    }

    fn decided(
        &self,
        decision: Decision,
        asked: Vec<Asked>,
        takes: Vec<Take>,
    ) -> Result<RemoteHold, Refused> {
        let told = |index: usize, standing| told(&asked[index], &takes[index], standing);
        match decision {
            Decision::Granted { standings } => {
                let standings = standings.iter().enumerate().filter_map(|(index, one)| told(index, one));
                let standings = standings.collect();
                Ok(self.hold(asked, takes, standings, true))
            }
            Decision::Denied { index, retry_after, standings } => {
                let ration = Arc::clone(&asked[index].want.ration);
                let standing = standings.get(index).and_then(|standing| told(index, standing));
                let retry_after = match ration.is_budget() {
                    true => Some(ration.limit.standing().reset),
                    false => retry_after,
                };
                Err(Refused::Denied { ration, retry_after, standing })
            }
        }
    }

    fn hold(
        &self,
        asked: Vec<Asked>,
        takes: Vec<Take>,
        standings: Vec<Standing>,
        granted: bool,
    ) -> RemoteHold {
        let takes = Arc::new(takes);
        let lease = (granted && takes.iter().any(Take::is_leased)).then(|| {
            let id = self.held.next.fetch_add(1, Ordering::Relaxed);
            self.held.calls().insert(id, Arc::clone(&takes));
            id
        });
        let (shared, held) = (Arc::clone(&self.shared), Arc::clone(&self.held));
        RemoteHold { shared, held, lease, asked, takes, standings, granted, settled: false }
    }

    /// Money is spent beyond a budget.
    pub(super) fn book(&self, ration: &Ration, money: Money) {
        if let Some(SharedRation { key, measure: SharedMeasure::Budget { period, .. } }) = &ration.shared {
            let moment = self.wall.since_epoch(Instant::now());
            let window = Window::at(*period, moment);
            self.shared.settle([Settle::Spent {
                key: budget_key(key, window),
                actual: billionths(amount_of(money)),
                expires: lifetime(window, moment),
            }]);
        }
    }
}

/// What is asked of Redis for a want, so long after the start of 1970; nothing, if this replica keeps the limit alone.
fn describe(want: &Want, holder: &Arc<str>, moment: Duration) -> Option<(Asked, Take)> {
    let SharedRation { key, measure } = want.ration.shared.as_ref()?;
    let unit = want.ration.limit.unit();
    let count = scaled(unit, want.amount);
    let mut asked = Asked { want: want.clone(), window: None };
    let take = match measure {
        SharedMeasure::Limit(Measure::Rate(rate)) => Take::Rate {
            key: Arc::clone(key),
            rate: Rate {
                amount: scaled(unit, rate.amount()).max(1),
                per: rate.period(),
                burst: scaled(unit, rate.burst()).max(1),
            },
            count,
        },
        SharedMeasure::Limit(Measure::AtOnce(max)) => {
            Take::Places { key: Arc::clone(key), max: *max, holder: Arc::clone(holder), lease: LEASE }
        }
        SharedMeasure::Budget { limit, period, floor } => {
            let window = Window::at(*period, moment);
            asked.window = Some(window);
            Take::Budget {
                key: budget_key(key, window),
                limit: amount_of(*limit) / BILLIONTH,
                amount: count,
                floor: floor
                    .filter(|(known, _)| *known == window)
                    .map_or(0, |(_, spent)| billionths(amount_of(spent)).min(LARGEST)),
                holder: Arc::clone(holder),
                lease: LEASE,
                expires: lifetime(window, moment),
            }
        }
    };
    Some((asked, take))
}

fn budget_key(key: &str, window: Window) -> Arc<str> {
    format!("{key} {window}").into()
}

/// How long Redis keeps a window.
fn lifetime(window: Window, moment: Duration) -> Duration {
    window.end().saturating_sub(moment).saturating_add(AFTERWARDS)
}

impl Asked {
    /// What all replicas have spent of a budget is known here too: for warnings, for when Redis is lost, for the next start.
    fn learn(&self, standing: SharedStanding) {
        if let (Some(window), SharedStanding::Budget { spent }) = (self.window, standing) {
            let spent = Money::from_trillionths(i128::from(spent) * i128::from(BILLIONTH));
            self.want.ration.limit.learn(window, spent);
        }
    }

    fn unit(&self) -> Unit {
        self.want.ration.limit.unit()
    }
}

/// Renews leases while their calls are under way, also those of an earlier configuration.
async fn renew(shared: Weak<Shared>, held: Weak<Held>) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        let (Some(shared), Some(held)) = (shared.upgrade(), held.upgrade()) else { return };
        let calls = held.calls();
        shared.renew(calls.values().flat_map(|takes| takes.iter()));
    }
}

impl RemoteHold {
    /// How the limits of requests and tokens stand over all replicas.
    pub(super) fn standings(&self) -> impl Iterator<Item = Standing> {
        self.standings.iter().cloned()
    }

    /// The call has ended; `consumed` says how much of a unit that was, where so much was taken.
    pub(super) fn settle(mut self, consumed: impl Fn(Unit, u64) -> u64) {
        self.end(consumed);
    }

    fn end(&mut self, consumed: impl Fn(Unit, u64) -> u64) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let settles = self.asked.iter().zip(self.takes.iter()).filter_map(|(asked, take)| {
            let actual = scaled(asked.unit(), consumed(asked.unit(), asked.want.amount));
            match take {
                take if self.granted => Some(take.settle(actual)),
                // While Redis is lost it is told of the money alone.
                Take::Budget { key, expires, .. } => {
                    Some(Settle::Spent { key: Arc::clone(key), actual, expires: *expires })
                }
                _ => None,
            }
        });
        let settles: Vec<Settle> = settles.collect();
        // Leases end under the lock under which they are renewed.
        let mut calls = self.lease.map(|id| (id, self.held.calls()));
        if let Some((id, calls)) = &mut calls {
            calls.remove(id);
        }
        self.shared.settle(settles);
    }
}

impl Drop for RemoteHold {
    fn drop(&mut self) {
        self.end(|_, _| 0);
    }
}

/// Trillionths of a dollar in a billionth.
const BILLIONTH: u64 = 1000;

/// Redis' scripts count exactly up to 2^53: money in billionths of a dollar, rounded up.
fn scaled(unit: Unit, amount: u64) -> u64 {
    let amount = if unit == Unit::Money { billionths(amount) } else { amount };
    amount.min(LARGEST)
}

fn billionths(trillionths: u64) -> u64 {
    trillionths.div_ceil(BILLIONTH)
}

/// As a header tells it: requests and tokens of a time.
fn told(asked: &Asked, take: &Take, standing: &SharedStanding) -> Option<Standing> {
    let unit = asked.unit();
    match (take, standing) {
        (Take::Rate { rate, .. }, SharedStanding::Rate { remaining, reset })
            if matches!(unit, Unit::Requests | Unit::Tokens) =>
        {
            Some(Standing { unit: unit.as_str(), limit: rate.amount, remaining: *remaining, reset: *reset })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aigate_limits::{Budget, Limit, Period};

    use super::*;
    use crate::config::document::OnExceeded;

    /// On 2028-02-29, so long before midnight, of so many dollars.
    fn budget(before: Duration, dollars: i128) -> (Want, Wall) {
        let now = Instant::now();
        let midnight = "2028-02-29".parse::<Window>().unwrap().end();
        let wall = Wall::starting(midnight - before, now);
        let limit = Money::from_trillionths(dollars * 1_000_000_000_000);
        let measure = SharedMeasure::Budget { limit, period: Period::Day, floor: None };
        let books = Budget::new(limit, Period::Day, limit, wall, now);
        let ration = Ration {
            limit: Arc::new(Limit::budget("k", books, None)),
            on_exceeded: OnExceeded::Refuse,
            shared: Some(SharedRation { key: "k".into(), measure }),
        };
        (Want { ration: Arc::new(ration), amount: 1 }, wall)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_spent_yesterday_is_not_learnt_as_spent_today() {
        let (want, wall) = budget(Duration::from_millis(1), 5);
        let (asked, take) = describe(&want, &"h".into(), wall.since_epoch(Instant::now())).unwrap();
        let Take::Budget { key, expires, .. } = take else { panic!("{take:?}") };
        assert_eq!((&*key, expires), ("k 2028-02-29", AFTERWARDS + Duration::from_millis(1)));

        tokio::time::advance(Duration::from_millis(2)).await;
        asked.learn(SharedStanding::Budget { spent: 4_000_000_000 });
        let books = want.ration.limit.books().unwrap();
        assert_eq!((books.window.to_string().as_str(), books.spent), ("2028-03-01", Money::ZERO));

        let (asked, _) = describe(&want, &"h".into(), wall.since_epoch(Instant::now())).unwrap();
        asked.learn(SharedStanding::Budget { spent: 3_000_000_000 });
        assert_eq!(want.ration.limit.books().unwrap().spent, "3".parse().unwrap());
    }
}
