//! What is told after a call, and how it is written down for `settle.lua`.

use std::{sync::Arc, time::Duration};

use redis::Cmd;
use tokio::time::Instant;

use crate::{Rate, Take, floors::Floors, keys::Keys, outbox::Item, take::LARGEST, trips};

/// The most that waits to be settled.
pub const MAX_SETTLES: usize = 10_000;

/// What happened to something that was granted. [`Take::settle`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// More, or less than nothing, is taken from a rate.
    Rate {
        /// Whose bucket.
        key: Arc<str>,
        /// How it fills.
        rate: Rate,
        /// What is taken; below 0 it is given back, up to the burst. A bucket may be left with a debt.
        change: i64,
    },
    /// A place is free.
    Place {
        /// Whose places.
        key: Arc<str>,
        /// Who held it.
        holder: Arc<str>,
    },
    /// What was reserved is free, and something is spent, perhaps more.
    Budget {
        /// Whose, and of which window.
        key: Arc<str>,
        /// Who reserved it.
        holder: Arc<str>,
        /// What was reserved.
        reserved: u64,
        /// What is spent.
        actual: u64,
        /// As in [`Take::Budget`].
        floor: u64,
        /// As in [`Take::Budget`].
        expires: Duration,
    },
    /// Money is spent that was not reserved here, such as while Redis was lost.
    Spent {
        /// Whose, and of which window.
        key: Arc<str>,
        /// How much.
        actual: u64,
        /// As in [`Take::Budget`].
        expires: Duration,
    },
}

/// Keys and arguments of `settle.lua`.
pub(crate) fn write(command: &mut Cmd, items: &[Item], keys: &Keys, floors: &Floors, line: u64, batch: u64) {
    let count = items.iter().map(|item| 1 + usize::from(budget_of(item).is_some())).sum::<usize>();
    command.arg(1 + count).arg(keys.replica());
    for item in items {
        match item {
            Item::Settle(Settle::Rate { key, .. }) | Item::Renew(Take::Rate { key, .. }) => {
                command.arg(keys.rate(key))
            }
            Item::Settle(Settle::Place { key, .. }) | Item::Renew(Take::Places { key, .. }) => {
                command.arg(keys.places(key))
            }
            Item::Settle(Settle::Budget { key, .. } | Settle::Spent { key, .. })
            | Item::Renew(Take::Budget { key, .. }) => command.arg(keys.budget(key)).arg(keys.leases(key)),
            Item::Trip { .. } => command.arg(keys.trips()),
        };
    }
    command.arg(line).arg(batch);
    for item in items {
        match item {
            Item::Settle(settle) => write_settle(command, settle, floors),
            Item::Renew(take) => write_renewal(command, take, floors),
            Item::Trip { deployment, until } => {
                let left = microseconds(until.saturating_duration_since(Instant::now()));
                command.arg("T").arg(&**deployment).arg(left).arg(keys.trips()).arg(trips::MOST);
            }
        }
    }
}

fn write_settle(command: &mut Cmd, settle: &Settle, floors: &Floors) {
    match settle {
        Settle::Rate { rate, change, .. } => {
            rate.write(command.arg("R"));
            command.arg((*change).clamp(-LARGEST.cast_signed(), LARGEST.cast_signed()))
        }
        Settle::Place { holder, .. } => command.arg("P").arg(&**holder),
        Settle::Budget { key, holder, reserved, actual, floor, expires } => {
            command.arg("B").arg(number(floors.of(key).max(*floor))).arg(number(*actual));
            command.arg(member(*reserved, holder)).arg(microseconds(*expires))
        }
        // No reservation has an empty name.
        Settle::Spent { key, actual, expires } => command
            .arg("B")
            .arg(number(floors.of(key)))
            .arg(number(*actual))
            .arg("")
            .arg(microseconds(*expires)),
    };
}

fn write_renewal(command: &mut Cmd, take: &Take, floors: &Floors) {
    match take {
        // The outbox is not given any: a rate has no lease. Changing it by nothing is the same.
        Take::Rate { rate, .. } => {
            rate.write(command.arg("R"));
            command.arg(0)
        }
        Take::Places { holder, lease, .. } => command.arg("N").arg(&**holder).arg(microseconds(*lease)),
        Take::Budget { key, amount, floor, holder, lease, expires, .. } => {
            command.arg("M").arg(number(floors.of(key).max(*floor))).arg(member(*amount, holder));
            command.arg(microseconds(*lease)).arg(microseconds(*expires))
        }
    };
}

/// The budget that an item is about, and how long it is kept.
pub(crate) fn budget_of(item: &Item) -> Option<(&Arc<str>, Duration)> {
    match item {
        Item::Settle(Settle::Budget { key, expires, .. } | Settle::Spent { key, expires, .. })
        | Item::Renew(Take::Budget { key, expires, .. }) => Some((key, *expires)),
        _ => None,
    }
}

/// A reservation's name in Redis: the amount stands in it, so that what a lost lease reserved is known.
pub(crate) fn member(amount: u64, holder: &str) -> String {
    format!("{}:{holder}", number(amount))
}

/// A number that the scripts count exactly.
pub(crate) fn number(number: u64) -> u64 {
    number.min(LARGEST)
}

/// A time as the scripts count it.
pub(crate) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).map_or(LARGEST, number)
}
