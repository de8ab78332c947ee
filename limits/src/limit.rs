//! One limit: a gauge behind a lock, with a name.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use aigate_contract::Money;
use tokio::time::Instant;

use crate::{Bucket, Budget, BudgetState, Fair, Places, Rate, Standing, Unit, Window, sync::Mutex};

/// One limit, which any number of calls stand under.
pub struct Limit {
    name: Box<str>,
    unit: Unit,
    kind: Kind,
    on_change: Option<OnChange>,
    state: Mutex<State>,
}

/// Told after each change of a budget's books, outside its lock, by the thread that changed them: it should only wake someone.
pub type OnChange = Arc<dyn Fn() + Send + Sync>;

/// What a limit bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// So much a period.
    Rate,
    /// So many calls at once.
    Concurrency,
    /// So much money a day or a month.
    Budget,
}

/// Why a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The rate is used up.
    Rate,
    /// What there is of it stays for other keys.
    Share,
    /// All places are taken, or stay for other keys.
    Concurrency,
    /// The budget is spent or reserved.
    Budget,
    /// The call alone may cost more than the whole budget.
    TooLarge,
}

/// A limit's no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) reason: Reason,
    /// When to come back, if that is known: for a rate, exactly when the amount fits if nobody else takes or gives back anything; for a
    /// budget, when the next day or month begins.
    pub(crate) retry_after: Option<Duration>,
}

struct State {
    gauge: Gauge,
    fair: Option<Box<Fair>>,
}

/// Budgets are larger than the rest, and rarer.
enum Gauge {
    Bucket(Bucket),
    Places(Places),
    Budget(Box<Budget>),
}

impl Limit {
    /// So much a period. The name is for messages: `key "credit" requests 100/s`. With `fair`, the keys that share the limit share it
    /// fairly.
    pub fn rate(name: impl Into<Box<str>>, unit: Unit, rate: Rate, fair: bool) -> Self {
        let now = Instant::now();
        let fair = fair.then(|| Box::new(Fair::of_rate(rate, now)));
        Self::new(name.into(), unit, Kind::Rate, Gauge::Bucket(Bucket::new(rate, now)), fair)
    }

    /// So many calls at once. Its unit is requests.
    pub fn places(name: impl Into<Box<str>>, all: u32, fair: bool) -> Self {
        let fair = fair.then(|| Box::new(Fair::of_places(all, Instant::now())));
        Self::new(name.into(), Unit::Requests, Kind::Concurrency, Gauge::Places(Places::new(all)), fair)
    }

    /// So much money a day or month, in messages `NAME: budget of 5 USD a day`. `on_change` hears of every change of its books.
    pub fn budget(name: impl Into<Box<str>>, budget: Budget, on_change: Option<OnChange>) -> Self {
        let limit = Self::new(name.into(), Unit::Money, Kind::Budget, Gauge::Budget(Box::new(budget)), None);
        Self { on_change, ..limit }
    }

    fn new(name: Box<str>, unit: Unit, kind: Kind, gauge: Gauge, fair: Option<Box<Fair>>) -> Self {
        Self { name, unit, kind, on_change: None, state: Mutex::new(State { gauge, fair }) }
    }

    /// Its name in messages; a budget's with the amount that it has at present.
    pub fn name(&self) -> Cow<'_, str> {
        match self.with_budget(|budget| budget.words()) {
            Some(words) => format!("{}: {words}", self.name).into(),
            None => Cow::Borrowed(&self.name),
        }
    }

    /// What it counts.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// What it bounds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        self.with(|state| match &mut state.gauge {
            Gauge::Bucket(bucket) => bucket.standing(Instant::now()),
            Gauge::Places(places) => places.standing(),
            Gauge::Budget(budget) => budget.standing(Instant::now()),
        })
    }

    /// A budget's books, to be written down; `None` of other limits.
    pub fn books(&self) -> Option<BudgetState> {
        self.with_budget(|budget| budget.state(Instant::now()))
    }

    /// Adds what an earlier process spent of this budget; see [`Budget::restore`]. Says whether it counts.
    pub fn restore(&self, window: Window, spent: Money) -> bool {
        let counts = self.with_budget(|budget| budget.restore(window, spent, Instant::now())) == Some(true);
        if counts {
            self.tell();
        }
        counts
    }

    /// Learns that at least so much of this budget is spent, here and elsewhere together; see [`Budget::learn`].
    pub fn learn(&self, window: Window, spent: Money) {
        if self.with_budget(|budget| budget.learn(window, spent, Instant::now())) == Some(true) {
            self.tell();
        }
    }

    /// Gives a budget another amount and warning; what was spent of it stays spent. Other limits do not change.
    pub fn amend(&self, limit: Money, warn_from: Money) {
        if self.with_budget(|budget| budget.amend(limit, warn_from)).is_some() {
            self.tell();
        }
    }

    /// Books what was consumed without having been taken: a bucket may be left with a debt, a budget overdrawn.
    pub fn book(&self, consumed: u64) {
        let now = Instant::now();
        self.with(|state| match &mut state.gauge {
            Gauge::Bucket(bucket) => bucket.settle(0, consumed, now),
            Gauge::Budget(budget) => budget.settle(0, consumed, now),
            Gauge::Places(_) => {}
        });
        self.tell();
    }

    /// Whether this is a budget of which so much is spent or reserved that someone should know.
    pub fn warns(&self) -> bool {
        self.with_budget(|budget| budget.warns(Instant::now())) == Some(true)
    }

    /// Takes `amount` for `who`. Of places it takes one, whatever the amount.
    pub(crate) fn take(&self, amount: u64, who: &Arc<str>, now: Instant) -> Result<(), Refusal> {
        self.with(|state| state.take(amount, who, now))?;
        self.tell();
        Ok(())
    }

    /// Gives back what was taken for a call that was not sent: as if it had not been asked.
    pub(crate) fn undo(&self, amount: u64, who: &Arc<str>, now: Instant) {
        self.with(|state| {
            state.settle(amount, 0, who, now);
            let weight = state.gauge.weight(amount);
            if let Some(fair) = &mut state.fair {
                fair.unask(who, weight, now);
            }
        });
        self.tell();
    }

    /// Replaces what was taken by what was consumed. A place is free again in any case.
    pub(crate) fn settle(&self, taken: u64, consumed: u64, who: &Arc<str>, now: Instant) {
        self.with(|state| state.settle(taken, consumed, who, now));
        self.tell();
    }

    fn tell(&self) {
        if let Some(on_change) = &self.on_change {
            on_change();
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the kind first: other limits are asked as well, and often, and need no lock to say that they are none.
    fn with_budget<R>(&self, act: impl FnOnce(&mut Budget) -> R) -> Option<R> {
        if self.kind != Kind::Budget {
            return None;
        }
        self.with(|state| match &mut state.gauge {
            Gauge::Budget(budget) => Some(act(budget)),
            Gauge::Bucket(_) | Gauge::Places(_) => None,
        })
    }
}

impl State {
    fn take(&mut self, amount: u64, who: &Arc<str>, now: Instant) -> Result<(), Refusal> {
        let weight = self.gauge.weight(amount);
        let keep = self.fair.as_mut().map_or(0, |fair| fair.ask(who, weight, now));
        self.gauge.take(amount, keep, now)?;
        if let Some(fair) = &mut self.fair {
            fair.used(who, weight, now);
        }
        Ok(())
    }

    fn settle(&mut self, taken: u64, consumed: u64, who: &Arc<str>, now: Instant) {
        match &mut self.gauge {
            Gauge::Bucket(bucket) => bucket.settle(taken, consumed, now),
            Gauge::Places(places) => places.release(),
            Gauge::Budget(budget) => budget.settle(taken, consumed, now),
        }
        let Some(fair) = &mut self.fair else { return };
        match self.gauge {
            Gauge::Places(_) => fair.unused(who, 1, now),
            _ if consumed > taken => fair.used(who, consumed - taken, now),
            _ => fair.unused(who, taken - consumed, now),
        }
    }
}

impl Gauge {
    /// What an amount takes of it: of places always one.
    fn weight(&self, amount: u64) -> u64 {
        if matches!(self, Self::Places(_)) { 1 } else { amount }
    }

    fn take(&mut self, amount: u64, keep: u64, now: Instant) -> Result<(), Refusal> {
        match self {
            Self::Bucket(bucket) => bucket.take(amount, keep, now).map_err(|wait| {
                let others = keep > 0 && bucket.standing(now).remaining >= amount;
                let reason = if others { Reason::Share } else { Reason::Rate };
                Refusal { reason, retry_after: Some(wait) }
            }),
            Self::Places(places) => {
                let no = Refusal { reason: Reason::Concurrency, retry_after: None };
                if places.take(keep) { Ok(()) } else { Err(no) }
            }
            Self::Budget(budget) if budget.is_too_large(amount) => {
                Err(Refusal { reason: Reason::TooLarge, retry_after: None })
            }
            Self::Budget(budget) => {
                let no = |wait| Refusal { reason: Reason::Budget, retry_after: Some(wait) };
                if budget.take(amount, now) { Ok(()) } else { Err(no(budget.standing(now).reset)) }
            }
        }
    }
}

/// By its name: what it counts is being counted by others at the same time.
impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("name", &self.name)
            .field("unit", &self.unit)
            .field("kind", &self.kind)
            .finish()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rate => "is used up",
            Self::Share => "is kept for other keys",
            Self::Concurrency => "has no free place",
            Self::Budget => "is spent or reserved",
            Self::TooLarge => "is less than this call alone may cost",
        })
    }
}
