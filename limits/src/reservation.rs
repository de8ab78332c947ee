//! Reserve before a call, settle after it.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    Standing, Unit,
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
    /// Which.
    pub limit: Arc<Limit>,
    /// Why.
    pub reason: Reason,
    /// When to come back, if that is known; see [`Refusal::retry_after`].
    pub retry_after: Option<Duration>,
}

/// Takes what each claim wants, in their order, for the key `who`: all, or nothing. A limit that is claimed twice is taken from twice.
///
/// There is no moment at which all limits are locked: while a call is refused by a later limit, another may be refused because of what
/// the first was about to give back. Never is too much let through.
///
/// # Errors
/// The first limit that refuses; what was taken from those before it is given back.
pub fn reserve(claims: &[Claim], who: &Arc<str>) -> Result<Reservation, Denied> {
    let now = Instant::now();
    for (index, claim) in claims.iter().enumerate() {
        if let Err(Refusal { reason, retry_after }) = claim.limit.take(claim.amount, who, now) {
            for taken in claims[..index].iter().rev() {
                taken.limit.undo(taken.amount, who, now);
            }
            return Err(Denied { limit: Arc::clone(&claim.limit), reason, retry_after });
        }
    }
    Ok(Reservation { holds: claims.to_vec(), who: Arc::clone(who) })
}

/// What a call holds of its limits until it has ended.
///
/// Dropped without having been settled, it is cancelled: what never was sent consumed nothing. A call that was sent and then
/// failed or was left has consumed something, and whoever sent it must settle with what that was.
#[derive(Debug)]
#[must_use = "dropping a reservation cancels it"]
pub struct Reservation {
    holds: Vec<Claim>,
    who: Arc<str>,
}

impl Reservation {
    /// Replaces what was reserved by what the call consumed, and frees its places. `actual` says how much of a unit that was; `None`
    /// where it is not known: the reserved amount stays, as the best estimate there is.
    pub fn settle(mut self, actual: impl Fn(Unit) -> Option<u64>) {
        self.end(|claim| actual(claim.limit.unit()).unwrap_or(claim.amount));
    }

    /// Gives back everything: the call was not sent.
    pub fn cancel(self) {
        drop(self);
    }

    /// How each of the call's limits stands now, in the order of the claims.
    pub fn standings(&self) -> impl Iterator<Item = (&Arc<Limit>, Standing)> {
        self.holds.iter().map(|claim| (&claim.limit, claim.limit.standing()))
    }

    /// Each hold leaves the list before its limit is settled and after its amount is known: none is settled twice, and none is lost
    /// to a panic of `consumed`.
    fn end(&mut self, consumed: impl Fn(&Claim) -> u64) {
        let now = Instant::now();
        while let Some(claim) = self.holds.last() {
            let consumed = consumed(claim);
            if let Some(claim) = self.holds.pop() {
                claim.limit.settle(claim.amount, consumed, &self.who, now);
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.end(|_| 0);
    }
}

/// Names the limit and why it refuses: `key credit: requests 100/s is used up`.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.limit.name(), self.reason)
    }
}

impl std::error::Error for Denied {}
