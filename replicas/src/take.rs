//! One decision over several limits: what is asked, and what the answer is.

use std::{sync::Arc, time::Duration};

use redis::{ScriptInvocation, Value};

use crate::{
    Lost,
    floors::Floors,
    keys::Keys,
    link::Failure,
    scripts::{self, whole_numbers},
    settle::{Settle, member, microseconds, number},
};

/// The largest number that Redis' scripts count exactly: 2^53 - 1. In billionths of a dollar it is 9 million dollars.
pub const LARGEST: u64 = (1 << 53) - 1;
/// The most that one decision is over.
pub(crate) const MAX_TAKES: usize = 64;
const MAX_KEY: usize = 512;
const MAX_HOLDER: usize = 128;
const MAX_LEASE: Duration = Duration::from_secs(31 * 86_400);
const MAX_PERIOD: Duration = Duration::from_secs(366 * 86_400);

/// An amount a period, and how much of it may come at once. A bucket that begins full, and that time fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What a period adds, 1 to [`LARGEST`].
    pub amount: u64,
    /// The period, a microsecond to a year.
    pub per: Duration,
    /// The most that a bucket holds, 1 to [`LARGEST`].
    pub burst: u64,
}

/// Something to be taken. Keys are the caller's names, without the prefix, of at most 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// From a rate. More than the burst is let through when the bucket is full, and leaves a debt that time repays.
    Rate {
        /// Whose bucket.
        key: Arc<str>,
        /// How it fills.
        rate: Rate,
        /// How much; 0 is let through unless there is a debt.
        count: u64,
    },
    /// One of so many places.
    Places {
        /// Whose places.
        key: Arc<str>,
        /// How many there are.
        max: u64,
        /// Who holds it: a name that no other call on any replica has, of at most 128 bytes.
        holder: Arc<str>,
        /// How long it is held without being renewed: so long a dead replica's places are missed. 1 ms to 31 days.
        lease: Duration,
    },
    /// Money, or whatever else is reserved first and spent later, of so much in a window.
    Budget {
        /// Whose, and of which window.
        key: Arc<str>,
        /// How much may be spent and reserved together, at most [`LARGEST`].
        limit: u64,
        /// How much is reserved.
        amount: u64,
        /// What is known to be spent from elsewhere, such as from before this process started. What [`Standing::Budget`] told is known
        /// already. What was given to [`Shared::settle`](crate::Shared::settle) must not be in it: that would count twice.
        floor: u64,
        /// Who reserves it: a name that no other call on any replica has, of at most 128 bytes.
        holder: Arc<str>,
        /// When it runs out unrenewed, the amount counts as spent, and settling it later gives nothing back: take one that is
        /// longer than a call. A long one costs nothing but that a dead replica's money is shown as reserved. 1 ms to 31 days.
        lease: Duration,
        /// How long Redis keeps the window, from the first take: until its end, and as much longer as calls may last.
        expires: Duration,
    },
}

/// How a limit stands, after what was granted or without what was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A rate.
    Rate {
        /// What could be taken now.
        remaining: u64,
        /// How long until it is full.
        reset: Duration,
    },
    /// Places: nobody asks.
    Places,
    /// A budget.
    Budget {
        /// What is spent.
        spent: u64,
    },
}

/// Whether all was taken, or nothing. The standings are in the order of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All of it.
    Granted {
        /// How each stands now.
        standings: Vec<Standing>,
    },
    /// Nothing.
    Denied {
        /// The first that refused, an index into what was asked.
        index: usize,
        /// The longest that any rate wants to wait, to the microsecond; nothing if only places and budgets refused: nobody knows
        /// when a call ends, and the caller knows when a window does.
        retry_after: Option<Duration>,
        /// How each stands.
        standings: Vec<Standing>,
    },
}

impl Decision {
    /// How each stands.
    pub fn standings(&self) -> &[Standing] {
        match self {
            Self::Granted { standings } | Self::Denied { standings, .. } => standings,
        }
    }
}

impl Take {
    /// What settles it after it was granted and `actual` of it was used; a place is released whatever the number.
    pub fn settle(&self, actual: u64) -> Settle {
        Settle::Taken { take: self.clone(), actual }
    }

    /// Whether it is held by a lease, and may be renewed.
    pub fn is_leased(&self) -> bool {
        !matches!(self, Self::Rate { .. })
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        match self.clone() {
            Self::Rate { .. } => None,
            Self::Places { key, holder, lease: time, .. } => Some(Lease::Place { key, holder, time }),
            Self::Budget { key, amount, floor, holder, lease: time, expires, .. } => {
                Some(Lease::Money { key, amount, floor, holder, time, expires })
            }
        }
    }
}

/// What is held for a time only: see the fields of [`Take`].
pub(crate) enum Lease {
    Place { key: Arc<str>, holder: Arc<str>, time: Duration },
    Money { key: Arc<str>, amount: u64, floor: u64, holder: Arc<str>, time: Duration, expires: Duration },
}

impl Rate {
    fn fault(self) -> Option<String> {
        let whole = 1..=LARGEST;
        let period = Duration::from_micros(1)..=MAX_PERIOD;
        if !whole.contains(&self.amount) || !whole.contains(&self.burst) {
            return Some(format!("a rate's amount and burst must be from 1 to {LARGEST}"));
        }
        (!period.contains(&self.per))
            .then(|| "a rate's period must be from a microsecond to a year".to_owned())
    }
}

/// What cannot be asked, in words.
pub(crate) fn fault(takes: &[Take]) -> Option<String> {
    if takes.is_empty() || takes.len() > MAX_TAKES {
        return Some(format!("a decision is over 1 to {MAX_TAKES} limits, not {}", takes.len()));
    }
    takes.iter().find_map(|take| {
        let (key, fault) = match take {
            Take::Rate { key, rate, .. } => (key, rate.fault()),
            Take::Places { key, holder, lease, .. } => (key, lease_fault(holder, *lease)),
            Take::Budget { key, limit, holder, lease, .. } => {
                let too_large = (*limit > LARGEST).then(|| format!("a budget can be at most {LARGEST}"));
                (key, too_large.or_else(|| lease_fault(holder, *lease)))
            }
        };
        let fault = fault.or_else(|| {
            (key.is_empty() || key.len() > MAX_KEY).then(|| format!("a key must have 1 to {MAX_KEY} bytes"))
        });
        fault.map(|fault| format!("`{}`: {fault}", key.chars().take(MAX_HOLDER).collect::<String>()))
    })
}

fn lease_fault(holder: &str, lease: Duration) -> Option<String> {
    if holder.is_empty() || holder.len() > MAX_HOLDER {
        return Some(format!("a holder's name must have 1 to {MAX_HOLDER} bytes"));
    }
    let fits = (Duration::from_millis(1)..=MAX_LEASE).contains(&lease);
    (!fits).then(|| "a lease must be from 1 ms to 31 days".to_owned())
}

/// What is asked of `take.lua`.
pub(crate) fn ask(takes: &[Take], keys: &Keys, floors: &Floors, line: u64) -> ScriptInvocation<'static> {
    let mut script = scripts::TAKE.prepare_invoke();
    script.key(keys.replica()).arg(line);
    for take in takes {
        match take {
            Take::Rate { key, rate, count } => {
                rate.write(script.key(keys.rate(key)).arg("R"));
                script.arg(number(*count))
            }
            Take::Places { key, max, holder, lease } => {
                script.key(keys.places(key)).arg("P").arg(number(*max));
                script.arg(&**holder).arg(microseconds(*lease))
            }
            Take::Budget { key, limit, amount, floor, holder, lease, expires } => {
                let floor = floors.of(key).max(*floor);
                script.key(keys.budget(key)).key(keys.leases(key));
                script.arg("B").arg(number(*limit)).arg(number(*amount)).arg(number(floor));
                script.arg(member(*amount, holder)).arg(microseconds(*lease)).arg(microseconds(*expires))
            }
        };
    }
    script
}

impl Rate {
    pub(crate) fn write(self, script: &mut ScriptInvocation<'_>) {
        script.arg(number(self.amount)).arg(microseconds(self.per)).arg(number(self.burst));
    }
}

/// The answer of `take.lua`.
pub(crate) fn read(takes: &[Take], answer: Value) -> Result<Decision, Failure> {
    let failure = |why: &str, done| Failure { lost: Lost { why: why.into() }, done };
    let unreadable = || failure("its answer to a decision cannot be read", true);
    let Value::Array(values) = answer else { return Err(unreadable()) };
    let numbers = whole_numbers(&values).ok_or_else(unreadable)?;
    if numbers == [-1] {
        return Err(failure("the connection was given up meanwhile", false));
    }
    let [granted, index, wait, standings @ ..] = &*numbers else { return Err(unreadable()) };
    if standings.len() != takes.len() * 2 {
        return Err(unreadable());
    }
    let pairs = takes.iter().zip(standings.chunks_exact(2));
    let standings = pairs.map(|(take, pair)| standing(take, whole(pair[0]), whole(pair[1]))).collect();
    Ok(if *granted == 1 {
        Decision::Granted { standings }
    } else {
        let index = usize::try_from(*index).ok().filter(|index| *index < takes.len());
        let index = index.ok_or_else(unreadable)?;
        Decision::Denied {
            index,
            retry_after: u64::try_from(*wait).ok().map(Duration::from_micros),
            standings,
        }
    })
}

fn standing(take: &Take, one: u64, other: u64) -> Standing {
    match take {
        Take::Rate { .. } => Standing::Rate { remaining: one, reset: Duration::from_micros(other) },
        Take::Places { .. } => Standing::Places,
        Take::Budget { .. } => Standing::Budget { spent: one },
    }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
