//! The configuration as it is written. Every key stands in `config/default.toml` with its default and its meaning.

mod policies;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use aigate_contract::{
    OnUnsupported,
    predict::{FormConfig, Input, Output},
    settings::Interval,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::policies::{
    Budget, CacheStore, Decimal, Hedge, Label, Labels, Limits, ModelCache, OnExceeded, OnLoss, Prices, Probe,
    Reload, Shared, StateFile,
};
use super::Entry;

/// The whole configuration.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Document {
    /// The listener for callers.
    pub server: Server,
    /// The listener for operators.
    pub operations: Operations,
    /// The log.
    pub log: Log,
    /// Traces.
    pub telemetry: Telemetry,
    /// Policies of every model, unless the model says otherwise.
    pub defaults: Policies,
    /// The memory of the cache.
    pub cache: CacheStore,
    /// What things cost.
    pub prices: Prices,
    /// What replicas share.
    pub shared: Shared,
    /// What must outlive the process.
    pub state: StateFile,
    /// When this file is read again.
    pub reload: Reload,
    /// Limits and budgets of all keys with a label, by the label's name and value.
    #[serde(default)]
    pub labels: Labels,
    /// Identity providers whose tokens let callers in, by name.
    #[serde(default)]
    pub jwt: BTreeMap<String, aigate_keys::JwtConfig>,
    /// Callers' keys, by name.
    // There may be very many: each is read when it is looked at.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Key>")]
    pub keys: Arc<[Entry]>,
    /// Accounts at clouds and servers, by name.
    #[serde(default)]
    pub providers: BTreeMap<String, crate::fleet::ProviderConfig>,
    /// The models callers may name.
    #[serde(default)]
    pub models: BTreeMap<String, Model>,
}

/// The listener for callers.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Server {
    /// Address and port. Anything but loopback needs at least one key.
    pub listen: SocketAddr,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// The most bytes of request bodies held at once; a request for which there is no room gets 503.
    pub max_buffered_bytes: usize,
    /// How long the request's head may take to arrive.
    pub header_timeout: Interval,
    /// How long the request's body may take to arrive.
    pub body_timeout: Interval,
    /// The most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// How long calls are still taken after a signal to stop, while `/readyz` says no already.
    pub shutdown_delay: Interval,
    /// How long running calls may go on after that.
    pub shutdown_grace: Interval,
}

/// The listener for operators: health, metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Operations {
    /// Address and port. Anything but loopback needs `key`.
    pub listen: SocketAddr,
    /// `sha256:…` of the key for all but `/healthz` and `/readyz`; `aigate key new` makes one.
    #[serde(default)]
    pub key: Option<String>,
}

/// The log, on standard error.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Log {
    /// One JSON object a line, or lines for people; `auto` is `pretty` on a terminal and `json` elsewhere.
    pub format: LogFormat,
    /// What is logged: a level, or filters such as `info,aigate::policy=debug`.
    pub level: String,
    /// Whether each call is logged, in one line.
    pub calls: bool,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Pretty,
}

/// Traces, sent by OTLP over HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Telemetry {
    /// Base URL of the collector, e.g. `http://127.0.0.1:4318`; unset: no traces.
    #[serde(default)]
    pub otlp_endpoint: Option<String>,
    /// `service.name` of the traces.
    pub service_name: String,
    /// The share of calls traced when the caller does not decide, 0 to 1.
    pub sample_ratio: f64,
}

/// A caller's key.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Key {
    /// `sha256:…` of the secret; `aigate key new NAME` makes both.
    pub hash: String,
    /// A second secret that is good as well, while the first one is replaced.
    #[serde(default)]
    pub second_hash: Option<String>,
    /// The models that it may call, `*` stands for any characters. Default: all.
    #[serde(default)]
    pub models: Vec<String>,
    /// The tasks that it may call models of. Default: all.
    #[serde(default)]
    pub tasks: Vec<TaskName>,
    /// From this moment on it is not good any more: `2027-01-31T00:00:00Z`, or a date.
    #[serde(default)]
    pub expires: Option<String>,
    /// Whether it is called back: kept, so that its holder reads why it is refused.
    #[serde(default)]
    pub revoked: bool,
    /// Labels such as `team` and `project`, for metrics, the log, limits and the cache.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Limits over all replicas together.
    #[serde(default)]
    pub limits: Option<Box<Limits>>,
    /// Limits of each replica.
    #[serde(default)]
    pub limits_per_replica: Option<Box<Limits>>,
    /// A budget over all replicas together.
    #[serde(default)]
    pub budget: Option<Box<Budget>>,
    /// A budget of each replica.
    #[serde(default)]
    pub budget_per_replica: Option<Box<Budget>>,
}

/// A name that callers use.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Model {
    /// The kind of work.
    pub task: TaskName,
    /// In which order deployments are tried.
    #[serde(default)]
    pub strategy: Strategy,
    /// Who may answer.
    pub deployments: Vec<Deployment>,
    /// What to do with a field that a deployment cannot honour: `refuse` (and try the next one) or `drop` (and say so).
    #[serde(default)]
    pub on_unsupported: OnUnsupported,
    /// Time limits that differ from `[defaults.timeouts]`.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Retries that differ from `[defaults.retry]`.
    #[serde(default)]
    pub retry: Retry,
    /// A circuit breaker that differs from `[defaults.breaker]`.
    #[serde(default)]
    pub breaker: Breaker,
    /// Limits of all callers and replicas together.
    #[serde(default)]
    pub limits: Limits,
    /// Limits of all callers of each replica.
    #[serde(default)]
    pub limits_per_replica: Limits,
    /// Answers that are kept. Default: none.
    #[serde(default)]
    pub cache: Option<ModelCache>,
    /// Deployments are looked at without a caller. Default: never, their health is learned from calls.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// A second deployment is asked when the first one is slow: embed and predict. Default: never.
    #[serde(default)]
    pub hedge: Option<Hedge>,
    /// Predict: the tensors that callers send. Default: those of the model's deployment on this machine.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// Predict: the tensors that callers get. Default: those of the model's deployment on this machine.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// Predict: what the metadata names as the model's platform. Default: that of the model's deployment on this machine, else
    /// `aigate`.
    #[serde(default)]
    pub platform: Option<String>,
    /// Predict: which deployments may stand in for the first one. Default `same_version`.
    #[serde(default)]
    pub failover: Option<FailoverTo>,
}

/// Which deployments may stand in for the first one of a predict model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailoverTo {
    /// Those that state the same version. The others answer only when a caller asks for their version.
    #[default]
    SameVersion,
    /// All: another version, or the model on this machine, may decide. The answer says which did.
    AnyVersion,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskName {
    /// Chat completions, whole and streamed.
    Chat,
    /// Embeddings.
    Embed,
    /// Scores for rows of a table, by the Open Inference Protocol.
    Predict,
}

impl TaskName {
    /// The word in the config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embed => "embed",
            Self::Predict => "predict",
        }
    }
}

/// In which order deployments are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// As they stand.
    #[default]
    Order,
    /// By chance, in proportion to their weights; the rest follow in the same way.
    Weighted,
    /// The one that has answered fastest lately and has least to do; the rest follow in the same way.
    Fastest,
    /// The one whose answer will cost least; the rest follow in the same way, those without a price as they stand.
    Cheapest,
}

/// One concrete model at a provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Deployment {
    /// The provider's name in this config.
    pub provider: String,
    /// What the provider calls the model.
    pub target: String,
    /// Its share under `strategy = "weighted"`. Default 1.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Our share of its quota, over all replicas together; a call over it goes to the next deployment.
    #[serde(default)]
    pub limits: Limits,
    /// The same for each replica.
    #[serde(default)]
    pub limits_per_replica: Limits,
    /// What it costs, where the catalogue does not know it or the contract is another.
    #[serde(default)]
    pub price: Option<aigate_prices::PriceConfig>,
    /// Overrides the model's `on_unsupported`.
    #[serde(default)]
    pub on_unsupported: Option<OnUnsupported>,
    /// Predict: the version of the model that is deployed there. A model on this machine knows its own.
    #[serde(default)]
    pub version: Option<String>,
    /// Predict: how the deployment wants to be asked, and where its answer has the outputs.
    #[serde(default)]
    pub wire: Option<FormConfig>,
}

/// Policies.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Policies {
    /// Time limits.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Retries at one deployment.
    #[serde(default)]
    pub retry: Retry,
    /// The circuit breaker of each deployment.
    #[serde(default)]
    pub breaker: Breaker,
}

/// Time limits. A limit that is not set comes from `[defaults.timeouts]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Timeouts {
    /// For the whole call, retries, failover and the stream's end included.
    #[serde(default)]
    pub deadline: Option<Interval>,
    /// For one attempt at a whole answer.
    #[serde(default)]
    pub attempt: Option<Interval>,
    /// For one attempt until the first chunk of a stream.
    #[serde(default)]
    pub first_chunk: Option<Interval>,
    /// For the silence between two chunks of a stream.
    #[serde(default)]
    pub idle: Option<Interval>,
}

/// Retries at one deployment, before the next one is tried.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Retry {
    /// How often to try again, 0 to 10.
    #[serde(default)]
    pub max_retries: Option<u32>,
    /// The first wait; it doubles each time, and a random part of it is waited.
    #[serde(default)]
    pub base: Option<Interval>,
    /// The longest wait. A provider that asks for a longer one is not waited for; where the model has another deployment,
    /// neither is one that asks for more than `base`.
    #[serde(default)]
    pub max: Option<Interval>,
    /// Retries may add this share to a deployment's calls, 0 to 1, so that they do not add to an overload.
    #[serde(default)]
    pub budget: Option<f32>,
}

/// The circuit breaker of a deployment.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Breaker {
    /// Opens after this many failures in a row.
    #[serde(default)]
    pub failures: Option<u32>,
    /// Opens when this share of the last 32 attempts failed (at least 16 of them made), 0 to 1.
    #[serde(default)]
    pub failure_ratio: Option<f32>,
    /// How long it stays open the first time; doubles while the probes fail.
    #[serde(default)]
    pub open: Option<Interval>,
    /// The longest it stays open, also when a provider says to come back later.
    #[serde(default)]
    pub max_open: Option<Interval>,
}
