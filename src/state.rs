//! What outlives a configuration: circuits, retry budgets, places. Kept by deployment and settings, so that a changed
//! setting begins anew and an unchanged one goes on as it was; two models that share a deployment share these as well.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;
use tower::retry::budget::TpsBudget;

use crate::{
    config::{DeploymentPlan, RetryPlan},
    metrics::{DeploymentLabels, Metrics, Word},
    policy::{
        breaker::{Circuit, Standing},
        retry::budget,
    },
};

/// What outlives a configuration.
#[derive(Debug, Default)]
pub struct State {
    circuits: Kept<Circuit>,
    budgets: Kept<TpsBudget>,
    places: Kept<Semaphore>,
}

/// Things by deployment and settings.
type Kept<V> = Mutex<HashMap<(Arc<str>, String), Arc<V>>>;

fn keep<K: Eq + Hash + Clone, V>(
    kept: &Mutex<HashMap<K, Arc<V>>>,
    key: K,
    make: impl FnOnce() -> V,
) -> Arc<V> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(kept.entry(key).or_insert_with(|| Arc::new(make())))
}

impl State {
    /// The circuit of a deployment.
    pub fn circuit(&self, deployment: &DeploymentPlan) -> Arc<Circuit> {
        let key = (Arc::clone(&deployment.target.deployment), format!("{:?}", deployment.breaker));
        keep(&self.circuits, key, || Circuit::new(deployment.breaker))
    }

    /// The retry budget of a deployment.
    pub fn budget(&self, deployment: &DeploymentPlan, plan: &RetryPlan) -> Arc<TpsBudget> {
        let key = (Arc::clone(&deployment.target.deployment), format!("{plan:?}"));
        keep(&self.budgets, key, || budget(plan))
    }

    /// The places for calls at a deployment, if they are bounded.
    pub fn places(&self, deployment: &DeploymentPlan) -> Option<Arc<Semaphore>> {
        let bound = deployment.concurrency?;
        let key = (Arc::clone(&deployment.target.deployment), bound.to_string());
        Some(keep(&self.places, key, || Semaphore::new(bound.min(Semaphore::MAX_PERMITS))))
    }

    /// Writes how each circuit stands into the metrics.
    pub fn report(&self, metrics: &Metrics) {
        let circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        // Models with other breaker settings have circuits of their own at the same deployment: the worst is shown.
        let mut worst: HashMap<&Arc<str>, i64> = HashMap::new();
        for ((deployment, _), circuit) in circuits.iter() {
            let standing = match circuit.standing() {
                Standing::Closed => 0,
                Standing::HalfOpen => 1,
                Standing::Open => 2,
            };
            let shown = worst.entry(deployment).or_default();
            *shown = standing.max(*shown);
        }
        for (deployment, standing) in worst {
            let labels = DeploymentLabels { deployment: Word(Arc::clone(deployment)) };
            metrics.circuit.get_or_create(&labels).set(standing);
        }
    }
}
