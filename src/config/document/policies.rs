//! Limits, budgets, the cache and hedging, as they are written.

use std::collections::BTreeMap;

use aigate_contract::settings::{Interval, Size};
use schemars::JsonSchema;
use serde::Deserialize;

/// Limits: texts such as `100/s`, `60_000/m`, `2.50/h burst 1`. Units that the limited calls cannot consume are refused.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    /// Calls.
    #[serde(default)]
    pub requests: Option<String>,
    /// Tokens, of input and output together.
    #[serde(default)]
    pub tokens: Option<String>,
    /// Unicode characters of the texts that are sent.
    #[serde(default)]
    pub characters: Option<String>,
    /// Pictures that are sent.
    #[serde(default)]
    pub images: Option<String>,
    /// Rows that are scored.
    #[serde(default)]
    pub rows: Option<String>,
    /// Pages that are read.
    #[serde(default)]
    pub pages: Option<String>,
    /// Seconds of audio that are heard.
    #[serde(default)]
    pub audio_seconds: Option<String>,
    /// Money, in US dollars.
    #[serde(default)]
    pub usd: Option<String>,
    /// Calls at once.
    #[serde(default)]
    pub concurrency: Option<u64>,
}

/// What a caller may spend.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Budget {
    /// US dollars for each day (UTC).
    #[serde(default)]
    pub usd_per_day: Option<Decimal>,
    /// US dollars for each calendar month (UTC).
    #[serde(default)]
    pub usd_per_month: Option<Decimal>,
    /// From this share on answers carry a warning, and a metric says so. Default 0.8.
    #[serde(default)]
    pub warn_at: Option<f64>,
    /// What happens when it is spent.
    #[serde(default)]
    pub on_exceeded: OnExceeded,
}

/// What happens when a budget is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExceeded {
    /// Calls are refused.
    #[default]
    Refuse,
    /// The model's cheapest deployment answers, and goes on costing.
    Cheapest,
    /// A deployment on this machine answers, or none.
    Local,
}

/// An exact decimal number: written as a number or as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(pub String);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            // The shortest text that is this number: what was written.
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(serde::de::Error::custom("expected a number such as 12.50")),
        }
    }
}

impl JsonSchema for Decimal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["number", "string"],
            "description": "An exact decimal number.",
            "examples": [12.5, "12.50"]
        })
    }
}

/// Limits and budget of all keys with one value of a label.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Label {
    /// Limits over all replicas together.
    #[serde(default)]
    pub limits: Limits,
    /// Limits of each replica.
    #[serde(default)]
    pub limits_per_replica: Limits,
    /// A budget over all replicas together.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// A budget of each replica.
    #[serde(default)]
    pub budget_per_replica: Option<Budget>,
}

/// Labels, by name and value.
pub type Labels = BTreeMap<String, BTreeMap<String, Label>>;

/// Answers that are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CacheStore {
    /// The most memory of all kept answers.
    pub max_bytes: Size,
    /// The largest answer that is kept.
    pub max_entry_bytes: Size,
}

/// The cache of one model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ModelCache {
    /// How long an answer is good.
    pub ttl: Interval,
    /// Who shares answers: `key` (nobody with another key), `public` (everyone), or the name of a label (all keys with the
    /// same value of it).
    #[serde(default)]
    pub scope: Option<String>,
    /// Chat: keep answers that were drawn by chance as well. Without it, only those with `temperature = 0` are kept, and those
    /// whose caller asks for it.
    #[serde(default)]
    pub sampled: bool,
    /// For so long after its `ttl` an answer is given when nobody can give a fresh one; marked as stale and degraded.
    #[serde(default)]
    pub stale_if_error: Option<Interval>,
}

/// A second deployment is asked when the first one is slow to answer; the first answer counts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Hedge {
    /// When: `p95` of the deployment's recent latencies (any of p50 to p99), or a length of time.
    pub after: String,
    /// The most calls that may be asked twice, as a share of the model's calls. Default 0.02.
    #[serde(default)]
    pub max_extra: Option<f64>,
}

/// Deployments are looked at without a caller, by calls that cost nothing.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Probe {
    /// How often each is looked at, 1s to 1h.
    pub every: Interval,
}

/// What the replicas share.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Shared {
    /// `redis://…`, `rediss://…`; unset: nothing is shared.
    #[serde(default)]
    pub redis: Option<aigate_contract::settings::Secret>,
    /// PEM file with the certificates of who may vouch for Redis, instead of the system's. Only with `rediss://`.
    #[serde(default)]
    pub ca_file: Option<std::path::PathBuf>,
    /// What the keys in Redis begin with: one for each group of replicas.
    pub prefix: String,
    /// The longest that a call waits for Redis.
    pub timeout: Interval,
    /// What happens to calls with limits while Redis cannot be reached.
    pub on_loss: OnLoss,
}

/// What happens to calls with limits while Redis cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Each replica keeps the limits by itself.
    #[default]
    Local,
    /// They are refused.
    Refuse,
}

/// What must outlive the process.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StateFile {
    /// An SQLite file; made when there is a budget.
    pub file: std::path::PathBuf,
}

/// When the configuration is read again.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reload {
    /// Whether the files are watched. SIGHUP and `POST /admin/reload` work anyway.
    pub watch: bool,
}

/// What things cost.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Prices {
    /// A file with prices of one's own, in the form of the shipped `config/prices.toml`; its rows win.
    #[serde(default)]
    pub file: Option<std::path::PathBuf>,
}
