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

use super::{Ration, SharedMeasure, Want};
use crate::config::document::OnLoss;

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
    calls: Mutex<HashMap<u64, Vec<Take>>>,
    next: AtomicU64,
}

impl Held {
    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Vec<Take>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call holds in Redis.
#[derive(Debug)]
pub(super) struct RemoteHold {
    shared: Arc<Shared>,
    held: Arc<Held>,
    id: u64,
    /// With the wants that they are for. While Redis is lost, only the budgets, which are told of what is spent.
    takes: Vec<(Want, Take)>,
    standings: Vec<Standing>,
    granted: bool,
    settled: bool,
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
        let holder: Arc<str> = Uuid::new_v4().simple().to_string().into();
        let takes: Vec<(Want, Take)> = wants
            .iter()
            .filter_map(|want| Some((want.clone(), self.describe(&want.ration, want.amount, &holder)?)))
            .collect();
        let asked: Vec<Take> = takes.iter().map(|(_, take)| take.clone()).collect();
        self.begin().await;
        let decision = self.shared.take(&asked).await;
        if let Ok(decision) = &decision {
            takes
                .iter()
                .zip(decision.standings())
                .for_each(|((want, _), standing)| self.learn(want, *standing));
        }
        match decision {
            Ok(Decision::Granted { standings }) => {
                let standings =
                    takes.iter().zip(&standings).filter_map(|((want, take), one)| told(want, take, one));
                Ok(Some(self.hold(standings.collect(), takes, true)))
            }
            Ok(Decision::Denied { index, retry_after, standings }) => {
                let Some((want, take)) = takes.into_iter().nth(index) else { return Err(Refused::Lost) };
                let standing = standings.get(index).and_then(|standing| told(&want, &take, standing));
                let retry_after = match want.ration.is_budget() {
                    true => Some(want.ration.limit.standing().reset),
                    false => retry_after,
                };
                Err(Refused::Denied { ration: want.ration, retry_after, standing })
            }
            Err(lost) => match self.on_loss {
                // This process' own books decide, and Redis is told of the money when it is back.
                OnLoss::Local => {
                    tracing::debug!(%lost, "limits are kept by this replica alone");
                    let budgets = takes.into_iter().filter(|(want, _)| want.ration.is_budget()).collect();
                    Ok(Some(self.hold(Vec::new(), budgets, false)))
                }
                OnLoss::Refuse => Err(Refused::Lost),
            },
        }
    }

    /// What all replicas have spent of a budget is known here too: for warnings, for when Redis is lost, for the next start.
    fn learn(&self, want: &Want, standing: SharedStanding) {
        let measure = want.ration.shared.as_ref().map(|shared| shared.measure);
        if let (Some(SharedMeasure::Budget(_, period)), SharedStanding::Budget { spent, .. }) =
            (measure, standing)
        {
            let window = Window::at(period, self.wall.since_epoch(Instant::now()));
            want.ration
                .limit
                .learn(window, Money::from_trillionths(i128::from(spent) * i128::from(BILLIONTH)));
        }
    }

    fn hold(&self, standings: Vec<Standing>, takes: Vec<(Want, Take)>, granted: bool) -> RemoteHold {
        let id = self.held.next.fetch_add(1, Ordering::Relaxed);
        let leased: Vec<Take> =
            takes.iter().map(|(_, take)| take).filter(|take| take.is_leased()).cloned().collect();
        if granted && !leased.is_empty() {
            self.held.calls().insert(id, leased);
        }
        let (shared, held) = (Arc::clone(&self.shared), Arc::clone(&self.held));
        RemoteHold { shared, held, id, takes, standings, granted, settled: false }
    }

    /// Money is spent beyond a budget.
    pub(super) fn book(&self, ration: &Ration, money: Money) {
        if let Some(Take::Budget { key, expires, .. }) = self.describe(ration, 0, &Arc::from("book")) {
            self.shared.settle([Settle::Spent { key, actual: billionths(amount_of(money)), expires }]);
        }
    }

    /// What is asked of Redis for a limit.
    fn describe(&self, ration: &Ration, amount: u64, holder: &Arc<str>) -> Option<Take> {
        let shared = ration.shared.as_ref()?;
        let key: Arc<str> = Arc::clone(&shared.key);
        let count = scaled(ration.limit.unit(), amount);
        Some(match shared.measure {
            SharedMeasure::Rate(rate) => Take::Rate {
                key,
                rate: Rate {
                    amount: scaled(ration.limit.unit(), rate.amount()).max(1),
                    per: rate.period(),
                    burst: scaled(ration.limit.unit(), rate.burst()).max(1),
                },
                count,
                keep: 0,
            },
            SharedMeasure::AtOnce(max) => {
                Take::Places { key, max, keep: 0, holder: Arc::clone(holder), lease: LEASE }
            }
            SharedMeasure::Budget(limit, period) => {
                let now = self.wall.since_epoch(Instant::now());
                let window = Window::at(period, now);
                Take::Budget {
                    key: format!("{key} {window}").into(),
                    limit: amount_of(limit) / BILLIONTH,
                    amount: count,
                    floor: shared
                        .floor
                        .filter(|(known, _)| *known == window)
                        .map_or(0, |(_, spent)| billionths(amount_of(spent)).min(LARGEST)),
                    holder: Arc::clone(holder),
                    lease: LEASE,
                    expires: window.end().saturating_sub(now).saturating_add(AFTERWARDS),
                }
            }
        })
    }
}

/// Renews leases while their calls are under way, also those of an earlier configuration.
async fn renew(shared: Weak<Shared>, held: Weak<Held>) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        let (Some(shared), Some(held)) = (shared.upgrade(), held.upgrade()) else { return };
        let calls = held.calls();
        shared.renew(calls.values().flatten());
    }
}

impl RemoteHold {
    /// How the limits of requests and tokens stand over all replicas.
    pub(super) fn standings(&self) -> impl Iterator<Item = Standing> {
        self.standings.iter().cloned()
    }

    /// The call has ended; `consumed` says how much of each want that was.
    pub(super) fn settle(mut self, consumed: impl Fn(&Want) -> u64) {
        self.end(consumed);
    }

    fn end(&mut self, consumed: impl Fn(&Want) -> u64) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let granted = self.granted;
        let settles = self.takes.drain(..).map(|(want, take)| {
            let actual = scaled(want.ration.limit.unit(), consumed(&want));
            match take {
                Take::Budget { key, expires, .. } if !granted => Settle::Spent { key, actual, expires },
                take => take.settle(actual),
            }
        });
        let settles: Vec<Settle> = settles.collect();
        let mut calls = self.held.calls();
        calls.remove(&self.id);
        self.shared.settle(settles);
    }
}

impl Drop for RemoteHold {
    fn drop(&mut self) {
        self.end(|_| 0);
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
fn told(want: &Want, take: &Take, standing: &SharedStanding) -> Option<Standing> {
    let unit = want.ration.limit.unit();
    match (take, standing) {
        (Take::Rate { rate, .. }, SharedStanding::Rate { remaining, reset })
            if matches!(unit, Unit::Requests | Unit::Tokens) =>
        {
            Some(Standing { unit: unit.as_str(), limit: rate.amount, remaining: *remaining, reset: *reset })
        }
        _ => None,
    }
}
