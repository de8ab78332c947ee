//! Deployments are looked at without a caller: off unless a model says so, free of charge, one look at a time for each.
//!
//! Health is learned from calls. A look helps where calls are rare: it opens the circuit of a deployment that is gone before a
//! caller meets it, and closes the circuit of one that is back.

use std::{collections::HashSet, sync::Arc, time::Duration};

use aigate_contract::{Error, Provider, Result};
use rand::Rng;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    config::Plan,
    policy::breaker::{Circuit, Verdict},
    state::State,
};

/// Looks at deployments until it is dropped.
#[derive(Debug)]
pub struct Probing(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

/// The longest that a look waits for an answer.
const LIMIT: Duration = Duration::from_secs(5);

impl Probing {
    /// Begins to look at the deployments of the models that want it. `None` where none does.
    pub fn start(plan: &Plan, state: &State) -> Option<Self> {
        let mut tasks = JoinSet::new();
        let mut seen = HashSet::new();
        for model in &plan.models {
            let Some(every) = model.probe else { continue };
            for deployment in &model.deployments {
                let (task, target) = (model.task.as_str(), Arc::clone(&deployment.target.model));
                let provider = Arc::clone(&deployment.provider);
                let can = Arc::clone(&provider).probe(task, &target).is_some();
                if can && seen.insert((Arc::clone(&deployment.target.deployment), task)) {
                    tasks.spawn(look_again(provider, task, target, every, state.circuit(deployment)));
                }
            }
        }
        (!tasks.is_empty()).then_some(Self(tasks))
    }
}

async fn look_again(
    provider: Arc<dyn Provider>,
    task: &'static str,
    target: Arc<str>,
    every: Duration,
    circuit: Arc<Circuit>,
) {
    loop {
        // Replicas that start together do not look together.
        let share = rand::rng().random_range(0.9..1.1);
        sleep(every.mul_f64(share)).await;
        let Some(probe) = Arc::clone(&provider).probe(task, &target) else { return };
        look(&circuit, probe).await;
    }
}

/// One look. A circuit that is left alone on the provider's wish, or that a call is trying, is not looked at.
async fn look(circuit: &Circuit, probe: impl Future<Output = Result<()>>) {
    let Ok(was_open) = circuit.ask(true) else { return };
    let outcome = timeout(LIMIT, probe).await;
    let blames = |error: &Error| error.kind().blames_provider();
    match outcome {
        Ok(Ok(())) if was_open => circuit.tell(Verdict::Success, true),
        // Calls tell more than a look that went well.
        Ok(Ok(())) => {}
        // It has gone on being out: the opening is not made longer for our asking.
        _ if was_open => circuit.tell(Verdict::Unknown, true),
        Ok(Err(error)) if !blames(&error) => {}
        Ok(Err(_)) | Err(_) => circuit.tell(Verdict::Failure(None), false),
    }
}

#[cfg(test)]
mod tests {
    use aigate_contract::ErrorKind;

    use super::*;
    use crate::policy::{breaker::Standing, testing::plan};

    fn failed() -> Result<()> {
        Err(Error::new(ErrorKind::Unavailable, "x"))
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_fail_open_a_circuit_and_one_that_goes_well_closes_it() {
        let circuit = Circuit::new(plan().breaker);
        for _ in 0..plan().breaker.failures {
            assert_eq!(circuit.standing(), Standing::Closed);
            look(&circuit, async { failed() }).await;
        }
        assert_eq!(circuit.standing(), Standing::Open);
        look(&circuit, async { failed() }).await;
        assert_eq!(circuit.standing(), Standing::Open);
        look(&circuit, async { Ok(()) }).await;
        assert_eq!(circuit.standing(), Standing::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_gets_no_answer_is_a_failure() {
        let circuit = Circuit::new(plan().breaker);
        for _ in 0..plan().breaker.failures {
            look(&circuit, std::future::pending()).await;
        }
        assert_eq!(circuit.standing(), Standing::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_asked_for_patience_is_not_looked_at() {
        let circuit = Circuit::new(plan().breaker);
        circuit.tell(Verdict::AskedToWait(Duration::from_secs(30)), false);
        look(&circuit, async { panic!("it was asked") }).await;
    }
}
