//! What callers, models and deployments may consume: limits and budgets, taken before a call and settled after it.
//!
//! [`Callers`] knows what each caller is allowed; [`Keeper`] takes it, in this process and, where replicas share it, in Redis;
//! [`Forecast`] tells what a call will consume before it is sent.

mod callers;
mod forecast;
mod keeper;
mod remote;

use std::sync::Arc;

use aigate_contract::{Money, Standing};
use aigate_limits::{Kind, Limit, Period, Unit, Window};

pub use self::{
    callers::Callers,
    forecast::{Forecast, RecentOutput, Reckoned, consumed},
    keeper::{Consumed, Hold, Keeper, No, Want},
    remote::Remote,
};
use crate::config::{Measure, document::OnExceeded};

/// One limit or budget in force.
#[derive(Debug)]
pub struct Ration {
    /// What counts, in this process.
    pub limit: Arc<Limit>,
    /// What happens when a budget is spent.
    pub on_exceeded: OnExceeded,
    /// Where all replicas count together: its name there, and how much.
    pub shared: Option<SharedRation>,
}

/// How a limit is kept by all replicas together.
#[derive(Debug)]
pub struct SharedRation {
    /// Its name in Redis.
    pub key: Arc<str>,
    /// How much.
    pub measure: SharedMeasure,
}

/// How much all replicas together let through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SharedMeasure {
    /// Of a limit.
    Limit(Measure),
    /// Of a budget.
    Budget {
        /// So much money …
        limit: Money,
        /// … in a day or month.
        period: Period,
        /// What is known to be spent from before this process began, and in which window.
        floor: Option<(Window, Money)>,
    },
}

impl Ration {
    /// How it stands here, for the headers: of requests and tokens a time. Budgets and places are told otherwise.
    pub fn told(&self) -> Option<Standing> {
        let unit = self.limit.unit();
        if self.limit.kind() != Kind::Rate || !matches!(unit, Unit::Requests | Unit::Tokens) {
            return None;
        }
        let aigate_limits::Standing { limit, remaining, reset } = self.limit.standing();
        Some(Standing { unit: unit.as_str(), limit, remaining, reset })
    }

    /// Whether it is a budget.
    pub fn is_budget(&self) -> bool {
        self.limit.kind() == Kind::Budget
    }
}
