//! The whole stack of policies, on one screen.
//!
//! call:    observe > deadline > failover > candidates
//! attempt: retry > observe > breaker > concurrency > timeout > provider

use std::{collections::HashMap, sync::Arc};

use aigate_contract::{Chat, ChatStream, Embed, Predict, Target, Task, predict::Signature};

use crate::{
    config::{
        DeploymentPlan, ModelPlan, Plan,
        document::{FailoverTo, TaskName},
    },
    metrics::{DeploymentMetrics, Metrics},
    policy::{
        Route,
        breaker::Breaker,
        concurrency::Concurrency,
        deadline::Deadline,
        failover::{Candidate, Failover},
        observe::{ObserveAttempt, ObserveCall},
        retry::Retry,
        timeout::Timeout,
    },
    state::State,
};

/// Every model's routes.
#[derive(Debug)]
pub struct Routes(HashMap<Arc<str>, ModelRoutes>);

/// The routes of one model: by its task.
#[derive(Clone, Debug)]
pub enum ModelRoutes {
    /// Chat, whole and streamed.
    Chat {
        /// Whole answers.
        whole: Route<Chat>,
        /// Streams.
        stream: Route<ChatStream>,
    },
    /// Embeddings.
    Embed(Route<Embed>),
    /// Scores.
    Predict(Arc<PredictRoutes>),
}

/// The routes of a predict model: a caller may insist on a version.
#[derive(Debug)]
pub struct PredictRoutes {
    /// What callers send and get.
    pub signature: Arc<Signature>,
    /// What the metadata names as the platform.
    pub platform: Arc<str>,
    /// Where a caller names no version.
    pub usual: Route<Predict>,
    /// Each version's own route, in the deployments' order.
    pub versions: Vec<(Arc<str>, Route<Predict>)>,
}

impl Routes {
    /// Builds the routes of a plan upon what outlives it.
    pub fn build(plan: &Plan, state: &State, metrics: &Arc<Metrics>) -> Self {
        Self::of(&plan.models, state, metrics, plan.log.calls)
    }

    /// Builds the routes of some models.
    pub fn of(models: &[ModelPlan], state: &State, metrics: &Arc<Metrics>, log: bool) -> Self {
        let routes = models.iter().filter_map(|model| {
            let routes = match model.task {
                TaskName::Chat => ModelRoutes::Chat {
                    whole: route(model, state, metrics, log),
                    stream: route(model, state, metrics, log),
                },
                TaskName::Embed => ModelRoutes::Embed(route(model, state, metrics, log)),
                TaskName::Predict => ModelRoutes::Predict(predict(model, state, metrics, log)?.into()),
            };
            Some((Arc::clone(&model.name), routes))
        });
        Self(routes.collect())
    }

    /// The routes of a model.
    pub fn get(&self, model: &str) -> Option<&ModelRoutes> {
        self.0.get(model)
    }

    /// The models' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

/// The routes of a predict model. `None` for a model of another task.
fn predict(model: &ModelPlan, state: &State, metrics: &Arc<Metrics>, log: bool) -> Option<PredictRoutes> {
    let plan = model.predict.as_ref()?;
    let has =
        |deployment: &DeploymentPlan, version: &Arc<str>| deployment.target.version.as_ref() == Some(version);
    // What a caller insists on is no stand-in.
    let meant = |deployment: &DeploymentPlan| DeploymentPlan {
        target: Arc::new(Target { fallback: false, ..(*deployment.target).clone() }),
        ..deployment.clone()
    };
    let of = |version: &Arc<str>| {
        let same: Vec<_> = model.deployments.iter().filter(|one| has(one, version)).map(meant).collect();
        route_over(model, same.iter(), state, metrics, log)
    };
    let mut versions: Vec<(Arc<str>, Route<Predict>)> = Vec::new();
    for version in model.deployments.iter().filter_map(|deployment| deployment.target.version.as_ref()) {
        if !versions.iter().any(|(known, _)| known == version) {
            versions.push((Arc::clone(version), of(version)));
        }
    }
    let usual = match plan.failover {
        FailoverTo::AnyVersion => route(model, state, metrics, log),
        FailoverTo::SameVersion => {
            let first = &versions.first()?.0;
            let same = model.deployments.iter().filter(|one| has(one, first));
            route_over(model, same, state, metrics, log)
        }
    };
    Some(PredictRoutes {
        signature: Arc::clone(&plan.signature),
        platform: Arc::clone(&plan.platform),
        usual,
        versions,
    })
}

/// What a call passes through.
fn route<T: Task>(model: &ModelPlan, state: &State, metrics: &Arc<Metrics>, log: bool) -> Route<T> {
    route_over(model, model.deployments.iter(), state, metrics, log)
}

/// What a call passes through that only some deployments may answer.
fn route_over<'a, T: Task>(
    model: &ModelPlan,
    deployments: impl Iterator<Item = &'a DeploymentPlan>,
    state: &State,
    metrics: &Arc<Metrics>,
    log: bool,
) -> Route<T> {
    let candidates = deployments.filter_map(|deployment| candidate(model, deployment, state, metrics));
    let service = Failover::new(Arc::clone(&model.name), model.strategy, candidates.collect());
    // Above failover: the deadline bounds all attempts together.
    let service = Deadline::new(service, model.timeouts.deadline);
    // Above everything: a refusal by any policy is seen.
    Route::new(ObserveCall::new(service, &model.name, T::NAME, metrics, log))
}

/// What an attempt at one deployment passes through. `None` when its provider cannot do the task, which the config's
/// check has ruled out.
fn candidate<T: Task>(
    model: &ModelPlan,
    deployment: &DeploymentPlan,
    state: &State,
    metrics: &Arc<Metrics>,
) -> Option<Candidate<T>> {
    let (target, system) = (&deployment.target, deployment.system);
    let endpoint = T::offer(&deployment.offers)?.clone();
    // One attempt's time; the call's deadline bounds their sum.
    let service = Timeout::new(endpoint, model.timeouts);
    // Refuses, never waits. Beneath the breaker, which does not count its refusals.
    let service = Concurrency::new(service, state.places(deployment));
    // Counts the provider's failures only.
    let service = Breaker::new(service, state.circuit(deployment));
    // Above the breaker: a refusal by an open circuit is an attempt that the caller can read about.
    let metrics = DeploymentMetrics::new(metrics, T::OPERATION, system, &target.model, &target.deployment);
    let service = ObserveAttempt::new(service, metrics, system);
    // Each try passes everything beneath.
    // Where there is another deployment, nobody waits for one that asks for patience.
    let patience = if model.deployments.len() > 1 { model.retry.base } else { model.retry.max };
    let service = Retry::new(service, model.retry, patience, state.budget(deployment, &model.retry));
    Some(Candidate { target: Arc::clone(target), weight: deployment.weight, route: Route::new(service) })
}
