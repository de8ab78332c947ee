//! The configuration as it is used: references resolved, defaults filled in, secrets wrapped.

mod policies;

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc, time::Duration};

use aigate_contract::{Description, Offers, Provider, Target, predict::Signature};
use aigate_keys::Gate;
use aigate_limits::Unit;
use aigate_prices::Price;

pub use self::policies::{
    Allowance, BudgetPlan, CachePlan, CacheStorePlan, HedgeAfter, HedgePlan, KeyPlan, LabelPlan, LimitPlan,
    Measure, Scope, SharedPlan, UpkeepPlan,
};
use super::document::{FailoverTo, Log, Strategy, TaskName, Telemetry};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Version of the config this was made from.
    pub version: Arc<str>,
    /// The listener for callers.
    pub server: ServerPlan,
    /// The listener for operators.
    pub operations: SocketAddr,
    /// The operators' key, as a hash.
    pub operations_key: Option<[u8; 32]>,
    /// The log.
    pub log: Log,
    /// Traces.
    pub telemetry: Telemetry,
    /// Who is let in: everyone (on loopback only) where there are neither keys nor identity providers.
    pub gate: Arc<Gate>,
    /// What the gate was built from.
    pub callers: Print,
    /// What callers' keys may consume.
    pub keys: Vec<KeyPlan>,
    /// How many identity providers there are.
    pub issuers: usize,
    /// What the values of labels may consume.
    pub labels: Vec<LabelPlan>,
    /// The providers by name, with the print of what each was built from: a reload keeps those that are unchanged, and with
    /// them their connections, tokens and loaded models.
    pub providers: BTreeMap<String, (Print, Arc<dyn Provider>)>,
    /// The models, sorted by name.
    pub models: Vec<ModelPlan>,
    /// The memory of the cache.
    pub cache: CacheStorePlan,
    /// What replicas share.
    pub shared: Option<SharedPlan>,
    /// What the running gateway does by itself.
    pub upkeep: UpkeepPlan,
    /// The merged configuration, before variables were filled in: to tell what changed.
    pub tree: Arc<super::Tree>,
}

/// What a provider was built from: its settings and the files that they name, as a hash.
pub type Print = [u8; 32];

/// What a configuration hands on to the next one, where that does not change it: connections, tokens, loaded models, public keys.
#[derive(Clone, Debug, Default)]
pub struct Before {
    providers: BTreeMap<String, (Print, Arc<dyn Provider>)>,
    gate: Option<(Print, Arc<Gate>)>,
}

impl From<&Plan> for Before {
    fn from(plan: &Plan) -> Self {
        Self { providers: plan.providers.clone(), gate: Some((plan.callers, Arc::clone(&plan.gate))) }
    }
}

impl Before {
    /// The provider of this name, if it was built from the same.
    pub fn provider(&self, name: &str, print: &Print) -> Option<&Arc<dyn Provider>> {
        self.providers.get(name).filter(|(before, _)| before == print).map(|(_, provider)| provider)
    }

    /// The names of the providers that were built from something else.
    pub fn changed<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = &'a str> {
        let other = |(name, (print, _)): &(&String, &(Print, _))| {
            next.providers.get(*name).is_some_and(|(next, _)| next != print)
        };
        self.providers.iter().filter(other).map(|(name, _)| name.as_str())
    }

    /// The gate.
    pub fn gate(&self) -> Option<&(Print, Arc<Gate>)> {
        self.gate.as_ref()
    }
}

impl Plan {
    /// The same with one model alone: without callers, without what replicas share, without a line in the log for each call.
    #[must_use]
    pub fn with_model_alone(&self, model: ModelPlan) -> Self {
        Self {
            models: vec![model],
            keys: Vec::new(),
            labels: Vec::new(),
            shared: None,
            log: Log { calls: false, ..self.log.clone() },
            ..self.clone()
        }
    }

    /// Whether any limit, budget or strategy goes by tokens or money.
    pub fn counts_tokens(&self) -> bool {
        let counts = |limits: &[LimitPlan]| {
            limits.iter().any(|limit| matches!(limit.unit, Unit::Tokens | Unit::Money))
        };
        let of_model = |model: &ModelPlan| {
            let shares = model.deployments.iter().any(|deployment| counts(&deployment.limits));
            shares || counts(&model.limits) || model.strategy == Strategy::Cheapest
        };
        let of_callers = self.allowances().any(|one| counts(&one.limits) || !one.budgets.is_empty());
        of_callers || self.models.iter().any(of_model)
    }

    fn allowances(&self) -> impl Iterator<Item = &Allowance> {
        let of_keys = self.keys.iter().map(|key| &key.allowance);
        of_keys.chain(self.labels.iter().map(|label| &label.allowance))
    }

    /// Every budget.
    pub fn budgets(&self) -> impl Iterator<Item = &BudgetPlan> {
        self.allowances().flat_map(|allowance| &allowance.budgets)
    }
}

/// The listener for callers.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// Address and port.
    pub listen: SocketAddr,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The most bytes of request bodies held at once.
    pub max_buffered: usize,
    /// For the request's head.
    pub header_timeout: Duration,
    /// For the request's body.
    pub body_timeout: Duration,
    /// The most connections at once.
    pub max_connections: usize,
    /// For balancers to notice a signal to stop.
    pub shutdown_delay: Duration,
    /// For running calls after that.
    pub shutdown_grace: Duration,
}

/// A name that callers use.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// The name.
    pub name: Arc<str>,
    /// The kind of work.
    pub task: TaskName,
    /// In which order deployments are tried.
    pub strategy: Strategy,
    /// Who may answer.
    pub deployments: Vec<DeploymentPlan>,
    /// Time limits.
    pub timeouts: TimeoutPlan,
    /// Retries at one deployment.
    pub retry: RetryPlan,
    /// What all callers together may consume.
    pub limits: Vec<LimitPlan>,
    /// Answers that are kept.
    pub cache: Option<CachePlan>,
    /// When a second deployment is asked.
    pub hedge: Option<HedgePlan>,
    /// How often its deployments are looked at without a caller.
    pub probe: Option<Duration>,
    /// What only predict models have.
    pub predict: Option<PredictPlan>,
}

/// What only predict models have. Every deployment's target has a version.
#[derive(Clone, Debug)]
pub struct PredictPlan {
    /// What callers send and get.
    pub signature: Arc<Signature>,
    /// What the metadata names as the platform.
    pub platform: Arc<str>,
    /// Which deployments may stand in for the first one.
    pub failover: FailoverTo,
}

/// One concrete model at a provider.
#[derive(Clone)]
pub struct DeploymentPlan {
    /// Its names.
    pub target: Arc<Target>,
    /// Its provider.
    pub provider: Arc<dyn Provider>,
    /// What its provider can do.
    pub offers: Offers,
    /// Its provider in words.
    pub description: Description,
    /// The provider's name in metrics and traces, for the model's task.
    pub system: &'static str,
    /// Its share under `weighted`.
    pub weight: u32,
    /// Our share of its quota.
    pub limits: Vec<LimitPlan>,
    /// What it costs, or why nobody knows.
    pub price: Result<Arc<Price>, Arc<str>>,
    /// Its circuit breaker.
    pub breaker: BreakerPlan,
}

impl fmt::Debug for DeploymentPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeploymentPlan").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Time limits of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutPlan {
    /// For the whole call.
    pub deadline: Duration,
    /// For one attempt at a whole answer.
    pub attempt: Duration,
    /// For one attempt until the first chunk.
    pub first_chunk: Duration,
    /// For the silence between two chunks.
    pub idle: Duration,
}

/// Retries at one deployment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPlan {
    /// How often to try again.
    pub max_retries: u32,
    /// The first wait.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
    /// The share that retries may add to the calls.
    pub budget: f32,
}

/// When a circuit breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPlan {
    /// Failures in a row.
    pub failures: u32,
    /// Share of failures among the last attempts.
    pub failure_ratio: f32,
    /// How long it stays open the first time.
    pub open: Duration,
    /// The longest it stays open.
    pub max_open: Duration,
}
