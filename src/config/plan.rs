//! The configuration as it is used: references resolved, defaults filled in, secrets wrapped.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use aigate_contract::{Description, Offers, Provider, Target, predict::Signature};

use super::document::{FailoverTo, Log, Strategy, TaskName, Telemetry};

/// A checked configuration.
#[derive(Debug)]
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
    /// Callers' keys; without any, every caller is let in (on loopback only).
    pub keys: Vec<KeyPlan>,
    /// The models, sorted by name.
    pub models: Vec<ModelPlan>,
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

/// A caller's key.
#[derive(Clone, Debug)]
pub struct KeyPlan {
    /// Its name, for logs and metrics.
    pub name: Arc<str>,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
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
    /// The most calls at once.
    pub concurrency: Option<usize>,
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
