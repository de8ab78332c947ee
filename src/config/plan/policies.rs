//! Limits, budgets, the cache and hedging, as they are used.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aigate_contract::Money;
use aigate_limits::{Period, Rate, Unit};
use secrecy::SecretString;

use crate::config::document::{OnExceeded, OnLoss};

/// A limit. Kept by its id: one that is unchanged survives a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitPlan {
    /// Whose limit it is: `key credit`, `label team=retail`, `model assistant`, `deployment azure/gpt`.
    pub owner: Arc<str>,
    /// What is counted.
    pub unit: Unit,
    /// How much of it.
    pub measure: Measure,
    /// Whether all replicas keep it together.
    pub shared: bool,
    /// Whether several callers share it, so that it is divided fairly among them.
    pub fair: bool,
}

/// How much a limit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// So much in a time.
    Rate(Rate),
    /// So many at once.
    AtOnce(u64),
}

/// What a caller may spend in a day or a month.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPlan {
    /// Whose budget it is: `key credit`, `label team=retail`.
    pub owner: Arc<str>,
    /// The amount.
    pub limit: Money,
    /// Of each day or month.
    pub period: Period,
    /// From this share on callers are warned.
    pub warn_at: f64,
    /// What happens when it is spent.
    pub on_exceeded: OnExceeded,
    /// Whether all replicas keep it together.
    pub shared: bool,
}

/// Limits and budgets of one owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowance {
    /// Limits.
    pub limits: Vec<LimitPlan>,
    /// Budgets.
    pub budgets: Vec<BudgetPlan>,
}

/// A caller's key. How it is recognised and what it may do is the gate's.
#[derive(Clone, Debug)]
pub struct KeyPlan {
    /// Its name.
    pub name: Arc<str>,
    /// What it may consume.
    pub allowance: Allowance,
}

/// What all keys with a value of a label may consume together.
#[derive(Clone, Debug)]
pub struct LabelPlan {
    /// The label's name.
    pub name: Arc<str>,
    /// Its value.
    pub value: Arc<str>,
    /// What they may consume.
    pub allowance: Allowance,
}

/// The cache of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePlan {
    /// How long an answer is good.
    pub ttl: Duration,
    /// Who shares answers.
    pub scope: Scope,
    /// Whether chat answers that were drawn by chance are kept unasked.
    pub sampled: bool,
    /// How long after its time an answer is better than none.
    pub stale_if_error: Duration,
}

/// Who shares answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nobody: each key has its own.
    Key,
    /// Keys with the same value of this label; a key without it has its own.
    Label(Arc<str>),
    /// Everyone.
    Public,
}

/// When a second deployment is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgePlan {
    /// How long the first one has.
    pub after: HedgeAfter,
    /// The share of the model's calls that may be asked twice.
    pub max_extra: f64,
}

/// How long the first deployment has before a second one is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HedgeAfter {
    /// This share of its recent answers came sooner.
    Percentile(f64),
    /// So long.
    Fixed(Duration),
}

/// What replicas share.
#[derive(Clone, Debug)]
pub struct SharedPlan {
    /// Redis' URL, with its password.
    pub redis: SecretString,
    /// Certificates, PEM, of who may vouch for it.
    pub ca: Option<Vec<u8>>,
    /// What its keys begin with.
    pub prefix: Arc<str>,
    /// The longest that a call waits for it.
    pub timeout: Duration,
    /// What happens while it cannot be reached.
    pub on_loss: OnLoss,
}

/// The memory of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStorePlan {
    /// Of all answers, in bytes.
    pub max_bytes: u64,
    /// Of one answer, in bytes.
    pub max_entry: usize,
}

/// What the running gateway does by itself.
#[derive(Clone, Debug)]
pub struct UpkeepPlan {
    /// Whether the files are watched.
    pub watch: bool,
    /// Files that the configuration was read from or refers to.
    pub files: Vec<PathBuf>,
    /// The file of the budgets.
    pub state: PathBuf,
}
