//! The circuits of deployments. Where replicas share, each trip is told to the others, and theirs are heeded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aigate_replicas::{Shared, Trip as Told};
use arc_swap::ArcSwapOption;
use tokio::{sync::watch, task::JoinSet};

use super::{Kept, keep, lock, prune};
use crate::{
    config::DeploymentPlan,
    policy::breaker::{Circuit, Standing, Trip},
};

/// The circuits of deployments.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    kept: Arc<Kept<Id, Circuit>>,
    shared: Arc<ArcSwapOption<Shared>>,
    following: Mutex<JoinSet<()>>,
}

/// A deployment, and how its breaker is set.
type Id = (Arc<str>, String);

impl Circuits {
    pub(super) fn of(&self, deployment: &DeploymentPlan) -> Arc<Circuit> {
        let (name, plan) = (&deployment.target.deployment, deployment.breaker);
        let circuit = keep(&self.kept, (Arc::clone(name), format!("{plan:?}")), || {
            if deployment.provider.is_local() {
                // Others have a machine of their own.
                return Circuit::new(plan);
            }
            let (shared, name) = (Arc::clone(&self.shared), Arc::clone(name));
            let tell = move |trip, wait: Duration| {
                if let Some(shared) = &*shared.load() {
                    shared.trip(&format!("{} {name}", word(trip)), wait);
                }
            };
            Circuit::telling(plan, Box::new(tell))
        });
        if let Some(shared) = &*self.shared.load() {
            hear(&circuit, name, &shared.trips().borrow());
        }
        circuit
    }

    /// From now on trips are shared there. Must be called within a runtime.
    pub(super) fn share(&self, shared: Option<&Arc<Shared>>) {
        self.shared.store(shared.cloned());
        let mut following = lock(&self.following);
        following.abort_all();
        if let Some(shared) = shared {
            following.spawn(follow(shared.trips(), Arc::clone(&self.kept)));
        }
    }

    pub(super) fn prune(&self) {
        prune(&self.kept);
    }

    /// How each deployment's circuit stands. Models with other breaker settings have circuits of their own at the same deployment:
    /// the worst is shown.
    pub(super) fn standings(&self) -> HashMap<Arc<str>, i64> {
        let mut worst: HashMap<Arc<str>, i64> = HashMap::new();
        for ((deployment, _), circuit) in lock(&self.kept).iter() {
            let standing = match circuit.standing() {
                Standing::Closed => 0,
                Standing::HalfOpen => 1,
                Standing::Open => 2,
            };
            let shown = worst.entry(Arc::clone(deployment)).or_default();
            *shown = standing.max(*shown);
        }
        worst
    }
}

/// The task that heeds the trips of all replicas. Ends with what they share.
async fn follow(mut trips: watch::Receiver<Arc<[Told]>>, kept: Arc<Kept<Id, Circuit>>) {
    loop {
        let known = Arc::clone(&trips.borrow_and_update());
        for ((deployment, _), circuit) in lock(&kept).iter() {
            hear(circuit, deployment, &known);
        }
        if trips.changed().await.is_err() {
            return;
        }
    }
}

/// Tells a circuit the trips of its deployment.
fn hear(circuit: &Circuit, deployment: &str, known: &[Told]) {
    for told in known {
        let heard = told.deployment.split_once(' ').filter(|(_, name)| *name == deployment);
        let trip = [Trip::Open, Trip::Asked]
            .into_iter()
            .find(|trip| heard.is_some_and(|(kind, _)| kind == word(*trip)));
        if let Some(trip) = trip {
            circuit.hear(trip, told.until);
        }
    }
}

/// What a kind of trip is called between replicas.
fn word(trip: Trip) -> &'static str {
    match trip {
        Trip::Open => "open",
        Trip::Asked => "wait",
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::policy::testing::plan;

    #[tokio::test(start_paused = true)]
    async fn a_circuit_hears_the_trips_of_its_own_deployment_alone_and_of_either_kind() {
        let told =
            |name: &str| Told { deployment: name.into(), until: Instant::now() + Duration::from_secs(9) };
        let standing = |known: &[Told]| {
            let circuit = Circuit::new(plan().breaker);
            hear(&circuit, "azure/gpt", known);
            circuit.standing()
        };
        assert_eq!(
            standing(&[told("open azure/gpt-5"), told("azure/gpt"), told("shut azure/gpt")]),
            Standing::Closed
        );
        assert_eq!(standing(&[told("open aws/x"), told("open azure/gpt")]), Standing::Open);
        assert_eq!(standing(&[told("wait azure/gpt")]), Standing::Open);
    }
}
