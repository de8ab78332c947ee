//! The running gateway: the snapshot that new calls are served from, and what outlives every snapshot.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aigate_keys::{Admitted, Gate, Refused};
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::{
    config::{Plan, nearest},
    metrics::Metrics,
    probe::Probing,
    reload::Reloads,
    stack::{ModelRoutes, Routes},
    state::State,
};

/// The running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What became of the configuration's reloads.
    pub reloads: Reloads,
    now: ArcSwap<Snapshot>,
    state: State,
    probing: Mutex<Option<Probing>>,
    draining: AtomicBool,
}

/// What one configuration was built into. A call keeps the one it began with until its end.
#[derive(Debug)]
pub struct Snapshot {
    /// Version of the config.
    pub version: Arc<str>,
    /// Seconds since the epoch when it was built.
    pub created: u64,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// Room for request bodies, in KiB.
    pub room: Arc<Semaphore>,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    routes: Routes,
    gate: Arc<Gate>,
    operations_key: Option<[u8; 32]>,
}

impl Gateway {
    /// Builds what a plan says.
    ///
    /// # Errors
    /// When what must outlive the process cannot be kept.
    pub fn build(plan: &Plan) -> Result<Self, String> {
        let metrics = Arc::new(Metrics::new());
        let state = State::new(plan)?;
        let snapshot = Snapshot::build(plan, &state, &metrics)?;
        metrics.runs_on(&snapshot.version);
        Ok(Self {
            metrics,
            reloads: Reloads::new(&snapshot.version),
            now: ArcSwap::from_pointee(snapshot),
            probing: Mutex::new(Probing::start(plan, &state)),
            state,
            draining: AtomicBool::new(false),
        })
    }

    /// From now on calls are served as `plan` says; those on their way end as they began.
    ///
    /// # Errors
    /// When it cannot be built: nothing has changed then.
    pub fn change_to(&self, plan: &Plan) -> Result<(), String> {
        self.state.prepare(plan)?;
        let snapshot = Snapshot::build(plan, &self.state, &self.metrics)?;
        self.metrics.runs_on(&snapshot.version);
        self.now.store(Arc::new(snapshot));
        *self.probing.lock().unwrap_or_else(PoisonError::into_inner) = Probing::start(plan, &self.state);
        self.state.prune();
        Ok(())
    }

    /// What calls that begin now are served from.
    pub fn now(&self) -> Arc<Snapshot> {
        self.now.load_full()
    }

    /// From now on `/readyz` says no.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new calls are welcome.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Writes down what must outlive the process. Blocks for as long as the disk takes, at most some seconds.
    pub fn put_down(&self) {
        self.state.put_down();
    }

    /// Waits until the replicas' common store knows what the last calls consumed, for some seconds at most.
    pub async fn farewell(&self) {
        self.state.farewell().await;
    }

    /// The metrics' text.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn metrics_text(&self) -> Result<String, std::fmt::Error> {
        self.state.report(&self.metrics);
        self.metrics.text()
    }
}

impl Snapshot {
    fn build(plan: &Plan, state: &State, metrics: &Arc<Metrics>) -> Result<Self, String> {
        Ok(Self {
            version: Arc::clone(&plan.version),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
            max_body: plan.server.max_body,
            room: state.room(plan.server.max_buffered),
            body_timeout: plan.server.body_timeout,
            metrics: Arc::clone(metrics),
            routes: Routes::build(plan, state, metrics)?,
            gate: Arc::clone(&plan.gate),
            operations_key: plan.operations_key,
        })
    }

    /// Lets a caller in: who it is, or `None` where everyone is let in.
    ///
    /// # Errors
    /// Why it is not let in.
    pub async fn admit(&self, secret: Option<&str>) -> Result<Option<Admitted>, Refused> {
        self.gate.admit(secret).await
    }

    /// Whether an operator may see more than health.
    pub fn admit_operator(&self, secret: Option<&str>) -> bool {
        match (&self.operations_key, secret) {
            (None, _) => true,
            (Some(known), Some(secret)) => aigate_keys::secret::matches(secret, known),
            (Some(_), None) => false,
        }
    }

    /// The routes of a model.
    pub fn model(&self, name: &str) -> Option<&ModelRoutes> {
        self.routes.get(name)
    }

    /// The models' names, sorted.
    pub fn models(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.routes.names().collect();
        names.sort_unstable();
        names
    }

    /// The models' names nearest to a wrong one.
    pub fn nearest(&self, wrong: &str) -> Vec<&str> {
        nearest(wrong, self.routes.names())
    }
}
