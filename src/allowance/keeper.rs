//! Takes what a call wants of its limits, all or nothing, and settles when it has ended: in this process, and in Redis for
//! those that all replicas keep together.

use std::{fmt, sync::Arc, time::Duration};

use aigate_contract::{Money, Standing, Usage};
use aigate_limits::{Claim, Kind, Reservation, Unit, amount_of, reserve};

use super::{
    Ration, Reckoned,
    remote::{Refused, Remote, RemoteHold},
};

/// Takes what calls want of their limits.
#[derive(Debug)]
pub struct Keeper {
    remote: Option<Remote>,
}

/// What a call wants of one limit.
#[derive(Clone, Debug)]
pub struct Want {
    /// The limit.
    pub ration: Arc<Ration>,
    /// How much, in the limit's unit.
    pub amount: u64,
}

impl Want {
    /// What a call that will consume so much wants of `ration`.
    pub fn new(ration: &Arc<Ration>, reckoned: &Reckoned) -> Self {
        let Reckoned { demand, expected, cost } = reckoned;
        let amount = match ration.limit.unit() {
            Unit::Requests => 1,
            Unit::Tokens => expected.input.saturating_add(expected.output),
            Unit::Characters => demand.characters,
            Unit::Rows => demand.rows,
            Unit::Images => demand.images,
            Unit::Money => amount_of(*cost),
            // No task of this version reads pages or hears audio.
            Unit::Pages | Unit::AudioMs => 0,
        };
        Self { ration: Arc::clone(ration), amount }
    }
}

/// Why a call may not be sent.
#[derive(Debug)]
pub enum No {
    /// A limit refuses it.
    Denied {
        /// Which.
        ration: Arc<Ration>,
        /// What it bounds.
        kind: Kind,
        /// In words.
        message: String,
        /// When to come back, if that is known.
        retry_after: Option<Duration>,
        /// How it stands, for the headers.
        standing: Option<Standing>,
    },
    /// Redis cannot be reached, and the config wants no call without it.
    Unknown,
}

impl No {
    /// The budget that refuses, if one does.
    pub fn budget(&self) -> Option<&Arc<Ration>> {
        match self {
            Self::Denied { ration, .. } if ration.is_budget() => Some(ration),
            _ => None,
        }
    }

    /// When to come back, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Denied { retry_after, .. } => *retry_after,
            Self::Unknown => None,
        }
    }

    /// How the limit stands that refuses, for the headers.
    pub fn standing(&self) -> Option<Standing> {
        match self {
            Self::Denied { standing, .. } => standing.clone(),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { message, .. } => f.write_str(message),
            Self::Unknown => f.write_str(
                "the limits cannot be reckoned at the moment: the replicas' common store cannot be reached",
            ),
        }
    }
}

/// What a call consumed. What is `None` is held to be what was expected.
#[derive(Clone, Debug, Default)]
pub struct Consumed {
    /// Usage.
    pub usage: Option<Usage>,
    /// Money.
    pub money: Option<Money>,
    /// Whether `money` is only a part of it.
    pub money_is_part: bool,
}

impl Consumed {
    /// This much money and no more.
    pub fn exactly(money: Money) -> Self {
        Self { money: Some(money), ..Self::default() }
    }

    /// This much money, and something that nobody knows.
    pub fn at_least(money: Money) -> Self {
        Self { money: Some(money), money_is_part: true, ..Self::default() }
    }

    /// How much of a limit's unit that was, where `taken` was reserved.
    fn of(&self, unit: Unit, taken: u64) -> u64 {
        let usage = self.usage.as_ref();
        let known = match unit {
            Unit::Tokens => {
                usage.and_then(|usage| Some(usage.input()?.saturating_add(usage.output.unwrap_or(0))))
            }
            Unit::Money => self.money.map(|money| match amount_of(money) {
                part if self.money_is_part => part.max(taken),
                all => all,
            }),
            // Known before the call.
            _ => None,
        };
        known.unwrap_or(taken)
    }
}

/// What a call holds of its limits. It must be settled; dropped, everything is given back.
#[derive(Debug)]
pub struct Hold {
    wants: Vec<Want>,
    local: Reservation,
    remote: Option<RemoteHold>,
}

impl Keeper {
    /// Keeps limits in this process, and in `remote` those of all replicas together.
    pub fn new(remote: Option<Remote>) -> Self {
        Self { remote }
    }

    /// Takes what a call wants, all or nothing, on behalf of `who`.
    ///
    /// # Errors
    /// The limit that refuses.
    pub async fn reserve(&self, wants: Vec<Want>, who: Option<&Arc<str>>) -> Result<Hold, No> {
        let claims = wants
            .iter()
            .map(|want| Claim { limit: Arc::clone(&want.ration.limit), amount: want.amount })
            .collect();
        let nobody = Arc::default();
        let who = who.unwrap_or(&nobody);
        // Also those that are kept elsewhere: they divide fairly among callers here, and hold on when Redis is lost.
        let local = reserve(claims, who).map_err(|denied| {
            let ration = Arc::clone(&wants[denied.index].ration);
            No::Denied {
                kind: ration.limit.kind(),
                message: denied.to_string(),
                retry_after: denied.retry_after,
                standing: ration.told(),
                ration,
            }
        })?;
        let remote = match &self.remote {
            Some(remote) if wants.iter().any(|want| want.ration.shared.is_some()) => {
                match remote.take(&wants).await {
                    Ok(hold) => hold,
                    Err(refused) => {
                        local.cancel();
                        return Err(no(refused));
                    }
                }
            }
            _ => None,
        };
        Ok(Hold { wants, local, remote })
    }

    /// Books money that was spent beyond a budget.
    pub fn book(&self, ration: &Arc<Ration>, money: Money) {
        ration.limit.book(amount_of(money));
        if let Some(remote) = &self.remote {
            remote.book(ration, money);
        }
    }
}

fn no(refused: Refused) -> No {
    match refused {
        Refused::Denied { ration, retry_after, standing } => No::Denied {
            kind: ration.limit.kind(),
            message: format!("{} is used up over all replicas", ration.limit.name()),
            retry_after,
            standing,
            ration,
        },
        Refused::Lost => No::Unknown,
    }
}

impl Hold {
    /// How the limits of requests and tokens stand, for the headers.
    pub fn standings(&self) -> Vec<Standing> {
        let here = self.wants.iter().filter_map(|want| want.ration.told());
        let there = self.remote.iter().flat_map(RemoteHold::standings);
        here.chain(there).collect()
    }

    /// The call has ended.
    pub fn settle(self, consumed: Consumed) {
        self.end(|unit, taken| consumed.of(unit, taken));
    }

    /// The call failed: `spent` is what it cost all the same, `None` if nobody was asked.
    pub fn failed(self, spent: Option<Money>) {
        self.end(|unit, taken| match (unit, spent) {
            (_, None) => 0,
            (Unit::Money, Some(money)) => amount_of(money),
            (Unit::Requests, Some(_)) => taken,
            (_, Some(_)) => 0,
        });
    }

    fn end(self, consumed: impl Fn(Unit, u64) -> u64) {
        // Here first: what all replicas have spent is learnt from Redis, and must not be booked here once more.
        self.local.settle(&consumed);
        if let Some(remote) = self.remote {
            remote.settle(consumed);
        }
    }
}
