//! What is told after a call, and how it is written down for `settle.lua`.

use std::{sync::Arc, time::Duration};

use redis::ScriptInvocation;
use tokio::time::Instant;

use crate::{
    Take,
    floors::Floors,
    keys::Keys,
    outbox::Item,
    scripts,
    take::{LARGEST, Lease},
    trips,
};

/// What happened after a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// What was granted has been used; see [`Take::settle`].
    Taken {
        /// What was granted.
        take: Take,
        /// How much of it was used, perhaps more. What was taken too much from a rate is given back, up to the burst; what was taken
        /// too little is a debt. A place is free whatever the number.
        actual: u64,
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

/// What `settle.lua` is told of a connection and a batch, before its items.
pub(crate) fn begin(keys: &Keys, line: u64, batch: u64) -> ScriptInvocation<'static> {
    let mut script = scripts::SETTLE.prepare_invoke();
    script.key(keys.replica()).arg(line).arg(batch);
    script
}

/// What `settle.lua` is told.
pub(crate) fn tell(
    items: &[Item],
    keys: &Keys,
    floors: &Floors,
    line: u64,
    batch: u64,
) -> ScriptInvocation<'static> {
    let mut script = begin(keys, line, batch);
    for item in items {
        match item {
            Item::Settle(Settle::Taken { take, actual }) => settle(&mut script, take, *actual, keys, floors),
            Item::Settle(Settle::Spent { key, actual, expires }) => {
                // No reservation has an empty name.
                budget(&mut script, key, floors.of(key), *actual, String::new(), *expires, keys);
            }
            Item::Renew(lease) => renew(&mut script, lease, keys, floors),
            Item::Trip { deployment, until } => {
                let left = microseconds(until.saturating_duration_since(Instant::now()));
                script.key(keys.trips());
                script.arg("T").arg(&**deployment).arg(left).arg(keys.trips()).arg(trips::MOST);
            }
        }
    }
    script
}

fn settle(script: &mut ScriptInvocation<'_>, take: &Take, actual: u64, keys: &Keys, floors: &Floors) {
    match take {
        Take::Rate { key, rate, count } => {
            rate.write(script.key(keys.rate(key)).arg("R"));
            script.arg(number(actual).cast_signed() - number(*count).cast_signed());
        }
        Take::Places { key, holder, .. } => {
            script.key(keys.places(key)).arg("P").arg(&**holder);
        }
        Take::Budget { key, amount, floor, holder, expires, .. } => {
            let floor = floors.of(key).max(*floor);
            budget(script, key, floor, actual, member(*amount, holder), *expires, keys);
        }
    }
}

fn budget(
    script: &mut ScriptInvocation<'_>,
    key: &str,
    floor: u64,
    actual: u64,
    member: String,
    expires: Duration,
    keys: &Keys,
) {
    script.key(keys.budget(key)).key(keys.leases(key));
    script.arg("B").arg(number(floor)).arg(number(actual)).arg(member).arg(microseconds(expires));
}

fn renew(script: &mut ScriptInvocation<'_>, lease: &Lease, keys: &Keys, floors: &Floors) {
    match lease {
        Lease::Place { key, holder, time } => {
            script.key(keys.places(key)).arg("N").arg(&**holder).arg(microseconds(*time))
        }
        Lease::Money { key, amount, floor, holder, time, expires } => {
            script.key(keys.budget(key)).key(keys.leases(key));
            script.arg("M").arg(number(floors.of(key).max(*floor))).arg(member(*amount, holder));
            script.arg(microseconds(*time)).arg(microseconds(*expires))
        }
    };
}

/// The budget that an item is about, and how long it is kept.
pub(crate) fn budget_of(item: &Item) -> Option<(&Arc<str>, Duration)> {
    match item {
        Item::Settle(
            Settle::Taken { take: Take::Budget { key, expires, .. }, .. }
            | Settle::Spent { key, expires, .. },
        )
        | Item::Renew(Lease::Money { key, expires, .. }) => Some((key, *expires)),
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
