//! The running gateway: what a plan was built into, and what every request needs of it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Semaphore;

use crate::{
    config::{KeyPlan, Plan, nearest},
    keys,
    metrics::Metrics,
    stack::{ModelRoutes, Routes},
    state::State,
};

/// The running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Version of the config that it runs on.
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
    /// By the first eight bytes of the hash; the rest is compared in constant time.
    keys: Option<HashMap<[u8; 8], Vec<KeyPlan>>>,
    operations_key: Option<[u8; 32]>,
    state: State,
    draining: AtomicBool,
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No key was sent.
    NoKey,
    /// The key is none of ours.
    WrongKey,
}

impl Gateway {
    /// Builds what a plan says.
    pub fn build(plan: &Plan) -> Self {
        let metrics = Arc::new(Metrics::new(&plan.version));
        let state = State::default();
        let routes = Routes::build(plan, &state, &metrics);
        let keys = (!plan.keys.is_empty()).then(|| {
            let mut keys: HashMap<[u8; 8], Vec<KeyPlan>> = HashMap::new();
            for key in &plan.keys {
                keys.entry(prefix(&key.hash)).or_default().push(key.clone());
            }
            keys
        });
        Self {
            version: Arc::clone(&plan.version),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
            max_body: plan.server.max_body,
            room: Arc::new(Semaphore::new((plan.server.max_buffered / 1024).min(Semaphore::MAX_PERMITS))),
            body_timeout: plan.server.body_timeout,
            metrics,
            routes,
            keys,
            operations_key: plan.operations_key,
            state,
            draining: AtomicBool::new(false),
        }
    }

    /// Lets a caller in: the name of its key, or `None` where no keys are set.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn admit(&self, secret: Option<&str>) -> Result<Option<Arc<str>>, Refused> {
        let Some(known) = &self.keys else { return Ok(None) };
        let secret = secret.ok_or(Refused::NoKey)?;
        let candidates = known.get(&prefix(&keys::hash(secret)));
        let key = candidates.into_iter().flatten().find(|key| keys::matches(secret, &key.hash));
        key.map(|key| Some(Arc::clone(&key.name))).ok_or(Refused::WrongKey)
    }

    /// Whether an operator may see more than health.
    pub fn admit_operator(&self, secret: Option<&str>) -> bool {
        match (&self.operations_key, secret) {
            (None, _) => true,
            (Some(known), Some(secret)) => keys::matches(secret, known),
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

    /// From now on `/readyz` says no.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new calls are welcome.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
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

fn prefix(hash: &[u8; 32]) -> [u8; 8] {
    let mut prefix = [0; 8];
    for (to, from) in prefix.iter_mut().zip(hash) {
        *to = *from;
    }
    prefix
}
