//! Limits and budgets: read, and refused where nothing would ever count.

use std::{collections::BTreeSet, sync::Arc};

use aigate_contract::Money;
use aigate_limits::{Period, Rate, Unit};

use super::Faults;
use crate::config::{
    document::{Budget, Limits},
    plan::{Allowance, BudgetPlan, LimitPlan, Measure},
};

/// Whose limits are read.
pub(super) struct Owner<'a> {
    /// As in `key credit`.
    pub(super) name: Arc<str>,
    /// Where its table stands.
    pub(super) path: &'a [&'a str],
    /// The tasks of the calls that they are for.
    pub(super) tasks: &'a BTreeSet<&'static str>,
    /// Whether several callers share them.
    pub(super) fair: bool,
    /// Whether replicas share anything.
    pub(super) has_redis: bool,
}

/// An owner's tables, as they are written.
pub(super) struct Tables<'a> {
    pub(super) limits: Option<&'a Limits>,
    pub(super) limits_per_replica: Option<&'a Limits>,
    pub(super) budget: Option<&'a Budget>,
    pub(super) budget_per_replica: Option<&'a Budget>,
}

impl Owner<'_> {
    pub(super) fn allowance(&self, tables: &Tables<'_>, faults: &mut Faults) -> Allowance {
        let mut limits = Vec::new();
        for (table, written, shared) in
            [("limits", tables.limits, true), ("limits_per_replica", tables.limits_per_replica, false)]
        {
            limits
                .extend(written.into_iter().flat_map(|written| self.limits(table, written, shared, faults)));
        }
        let mut budgets = self.budgets("budget", tables.budget, true, faults);
        budgets.extend(self.budgets("budget_per_replica", tables.budget_per_replica, false, faults));
        Allowance { limits, budgets }
    }

    pub(super) fn limits(
        &self,
        table: &str,
        limits: &Limits,
        shared: bool,
        faults: &mut Faults,
    ) -> Vec<LimitPlan> {
        let rates = [
            ("requests", Unit::Requests, &limits.requests),
            ("tokens", Unit::Tokens, &limits.tokens),
            ("characters", Unit::Characters, &limits.characters),
            ("images", Unit::Images, &limits.images),
            ("rows", Unit::Rows, &limits.rows),
            ("pages", Unit::Pages, &limits.pages),
            ("audio_seconds", Unit::AudioMs, &limits.audio_seconds),
            ("usd", Unit::Money, &limits.usd),
        ];
        let mut plans = Vec::new();
        for (key, unit, text) in rates {
            let Some(text) = text else { continue };
            match Rate::parse(text, unit) {
                Ok(rate) if self.may(table, key, unit, shared, faults) => {
                    plans.push(self.plan(unit, Measure::Rate(rate), shared));
                }
                Ok(_) => {}
                Err(why) => {
                    faults.add::<()>(&[self.path, &[table, key]].concat(), why);
                }
            }
        }
        match limits.concurrency {
            Some(0) => {
                let path = [self.path, &[table, "concurrency"]].concat();
                faults.add::<()>(&path, "must be at least 1; leave the key out for no bound");
            }
            Some(most) if self.may(table, "concurrency", Unit::Requests, shared, faults) => {
                plans.push(self.plan(Unit::Requests, Measure::AtOnce(most), shared));
            }
            _ => {}
        }
        plans
    }

    fn plan(&self, unit: Unit, measure: Measure, shared: bool) -> LimitPlan {
        LimitPlan { owner: Arc::clone(&self.name), unit, measure, shared, fair: self.fair }
    }

    /// Whether a limit of this unit can act.
    fn may(&self, table: &str, key: &str, unit: Unit, shared: bool, faults: &mut Faults) -> bool {
        let path = [self.path, &[table, key]].concat();
        if !self.tasks.iter().any(|task| consumes(task, unit)) {
            let tasks: Vec<&str> = self.tasks.iter().copied().collect();
            let message =
                format!("would never count: no call of the task {} consumes {key}", tasks.join(" or "));
            faults.add::<()>(&path, message);
            return false;
        }
        if shared && !self.has_redis {
            let message = format!(
                "`{table}` are kept by all replicas together, which needs `[shared] redis`; without it write \
                 `{table}_per_replica`"
            );
            faults.add::<()>(&path, message);
            return false;
        }
        true
    }

    fn budgets(
        &self,
        table: &str,
        budget: Option<&Budget>,
        shared: bool,
        faults: &mut Faults,
    ) -> Vec<BudgetPlan> {
        let Some(budget) = budget else { return Vec::new() };
        let at = |key: &'static str| [self.path, &[table, key]].concat();
        if shared && !self.has_redis {
            let message = format!(
                "is kept by all replicas together, which needs `[shared] redis`; without it write `{table}_per_replica`"
            );
            faults.add::<()>(&[self.path, &[table]].concat(), message);
        }
        let warn_at = budget.warn_at.unwrap_or(WARN_AT);
        if !(0.0..=1.0).contains(&warn_at) {
            faults.add::<()>(&at("warn_at"), "must be between 0 and 1");
        }
        if budget.usd_per_day.is_none() && budget.usd_per_month.is_none() {
            faults.add::<()>(&[self.path, &[table]].concat(), "needs `usd_per_day` or `usd_per_month`");
        }
        let amounts = [
            ("usd_per_day", Period::Day, &budget.usd_per_day),
            ("usd_per_month", Period::Month, &budget.usd_per_month),
        ];
        let mut plans = Vec::new();
        for (key, period, amount) in amounts {
            let Some(amount) = amount else { continue };
            match amount.0.replace('_', "").parse::<Money>() {
                Ok(limit) if limit > Money::ZERO && limit <= most() => plans.push(BudgetPlan {
                    owner: Arc::clone(&self.name),
                    limit,
                    period,
                    warn_at,
                    on_exceeded: budget.on_exceeded,
                    shared,
                }),
                Ok(_) => {
                    faults.add::<()>(&at(key), format!("must be above zero and at most {} dollars", most()));
                }
                Err(why) => {
                    faults.add::<()>(&at(key), why);
                }
            }
        }
        plans
    }
}

/// From this share on callers are warned, unless the budget says otherwise.
const WARN_AT: f64 = 0.8;

/// The largest budget: what Redis can add up exactly.
fn most() -> Money {
    Money::from_trillionths(9_000_000 * 1_000_000_000_000)
}

/// Whether calls of a task consume a unit.
fn consumes(task: &str, unit: Unit) -> bool {
    match unit {
        Unit::Requests | Unit::Money => true,
        Unit::Tokens | Unit::Characters => matches!(task, "chat" | "embed"),
        Unit::Images => task == "chat",
        Unit::Rows => task == "predict",
        // No task of this version reads pages or hears audio.
        Unit::Pages | Unit::AudioMs => false,
    }
}
