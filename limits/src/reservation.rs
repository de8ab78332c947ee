//! Reserve before a call, settle after it.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    Unit,
    limit::{Limit, Reason, Refusal},
};

/// What a call wants of one limit.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The limit.
    pub limit: Arc<Limit>,
    /// How much, in the limit's unit; 0 where nothing is known before the call. Of places, one is taken whatever this says.
    pub amount: u64,
}

/// The limit that refused a call.
#[derive(Clone, Debug)]
pub struct Denied {
    /// The index of its claim.
    pub index: usize,
    /// The limit itself.
    pub limit: Arc<Limit>,
    /// Why.
    pub reason: Reason,
    /// When to come back, if that is known: for a rate, exactly when the amount fits if nobody else takes or gives back anything; for a
    /// budget, when the next day or month begins.
    pub retry_after: Option<Duration>,
}

/// Takes what each claim wants, in their order, for the key `who`: all, or nothing. A limit that is claimed twice is taken from twice.
///
/// There is no moment at which all limits are locked: while a call is refused by a later limit, another may be refused because of what
/// the first was about to give back. Never is too much let through.
///
/// # Errors
/// The first limit that refuses; what was taken from those before it is given back.
pub fn reserve(claims: Vec<Claim>, who: &Arc<str>) -> Result<Reservation, Denied> {
    let now = Instant::now();
    for (index, claim) in claims.iter().enumerate() {
        if let Err(Refusal { reason, retry_after }) = claim.limit.take(claim.amount, who, now) {
            undo(&claims[..index], who, now);
            return Err(Denied { index, limit: Arc::clone(&claim.limit), reason, retry_after });
        }
    }
    Ok(Reservation { holds: claims, who: Arc::clone(who) })
}

fn undo(taken: &[Claim], who: &Arc<str>, now: Instant) {
    for claim in taken.iter().rev() {
        claim.limit.undo(claim.amount, who, now);
    }
}

/// What a call holds of its limits until it has ended.
///
/// Dropped without having been settled, it is cancelled: a call that never was sent consumed nothing, and is as if it had not been
/// asked. A call that was sent and then
/// failed or was left has consumed something, and whoever sent it must settle with what that was.
#[derive(Debug)]
#[must_use = "dropping a reservation cancels it"]
pub struct Reservation {
    holds: Vec<Claim>,
    who: Arc<str>,
}

impl Reservation {
    /// Replaces what was reserved by what the call consumed, and frees its places. `consumed` says how much of a unit that was, where
    /// so much was reserved: the same, where nothing better is known.
    ///
    /// Each hold leaves the list before its limit is settled and after its amount is known: none is settled twice, and none is lost
    /// to a panic of `consumed`.
    pub fn settle(mut self, consumed: impl Fn(Unit, u64) -> u64) {
        let now = Instant::now();
        while let Some(claim) = self.holds.last() {
            let consumed = consumed(claim.limit.unit(), claim.amount);
            if let Some(claim) = self.holds.pop() {
                claim.limit.settle(claim.amount, consumed, &self.who, now);
            }
        }
    }

    /// Gives back everything: the call was not sent.
    pub fn cancel(self) {
        drop(self);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        undo(&self.holds, &self.who, Instant::now());
    }
}

/// Names the limit and why it refuses: `key credit: requests 100/s is used up`.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.limit.name(), self.reason)
    }
}

impl std::error::Error for Denied {}
