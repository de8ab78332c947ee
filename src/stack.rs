//! The whole stack of policies, on one screen.
//!
//! call:    observe > cache > limits > deadline > failover > candidates
//! attempt: retry > observe > breaker > quota > timeout > provider

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aigate_cache::Store;
use aigate_contract::{
    Call, Chat, ChatStream, Embed, Money, Predict, Provider, Target, Task, predict::Signature,
};
use aigate_replicas::Shared;
use sha2::{Digest, Sha256};

use crate::{
    allowance::{Callers, Forecast, Keeper},
    config::{
        Allowance, DeploymentPlan, ModelPlan, Plan, Print,
        document::{FailoverTo, TaskName},
    },
    metrics::{DeploymentMetrics, Metrics, ModelLabels, Word},
    policy::{
        Route, Upstream,
        breaker::Breaker,
        cache::{
            Shelf,
            stream::CacheStream,
            whole::{CacheWhole, Whole},
        },
        deadline::Deadline,
        failover::{Candidate, Expect, Failover, Hedge, hedges},
        limit::{Limit, Scope},
        observe::{ObserveAttempt, ObserveCall},
        quota::{Quota, Share},
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

impl ModelRoutes {
    /// The task's name.
    pub fn task(&self) -> &'static str {
        match self {
            Self::Chat { .. } => "chat",
            Self::Embed(_) => "embed",
            Self::Predict(_) => "predict",
        }
    }
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
    ///
    /// # Errors
    /// When what replicas share cannot be set up.
    pub fn build(plan: &Plan, state: &State, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let (keeper, shared) = state.keeper(plan.shared.as_ref(), metrics)?;
        let base = Base {
            state,
            providers: &plan.providers,
            metrics,
            log: plan.log.calls,
            callers: Arc::new(callers(plan, state)),
            keeper,
            store: state.store(plan.cache),
            shared,
            counts_tokens: plan.counts_tokens(),
        };
        let routes = plan.models.iter().filter_map(|model| {
            let routes = match model.task {
                TaskName::Chat => ModelRoutes::Chat { whole: base.whole(model), stream: base.stream(model) },
                TaskName::Embed => ModelRoutes::Embed(base.whole(model)),
                TaskName::Predict => ModelRoutes::Predict(base.predict(model)?.into()),
            };
            Some((Arc::clone(&model.name), routes))
        });
        Ok(Self(routes.collect()))
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

/// What every route is built upon.
struct Base<'a> {
    state: &'a State,
    providers: &'a BTreeMap<String, (Print, Arc<dyn Provider>)>,
    metrics: &'a Arc<Metrics>,
    log: bool,
    callers: Arc<Callers>,
    keeper: Arc<Keeper>,
    store: Store,
    shared: Option<Arc<Shared>>,
    /// Whether any limit, budget or strategy of the plan goes by tokens or money.
    counts_tokens: bool,
}

/// What each caller may consume.
fn callers(plan: &Plan, state: &State) -> Callers {
    let rations = |allowance: &Allowance| {
        let limits = allowance.limits.iter().map(|limit| state.limit(limit));
        limits.chain(allowance.budgets.iter().map(|budget| state.purse(budget))).collect()
    };
    let mut callers = Callers::default();
    for key in &plan.keys {
        callers.key(&key.name, rations(&key.allowance));
    }
    for label in &plan.labels {
        callers.label(&label.name, &label.value, rations(&label.allowance));
    }
    callers
}

impl Base<'_> {
    /// The routes of a predict model. `None` for a model of another task.
    fn predict(&self, model: &ModelPlan) -> Option<PredictRoutes> {
        let plan = model.predict.as_ref()?;
        let has = |deployment: &DeploymentPlan, version: &Arc<str>| {
            deployment.target.version.as_ref() == Some(version)
        };
        // What a caller insists on is no stand-in.
        let meant = |deployment: &DeploymentPlan| DeploymentPlan {
            target: Arc::new(Target { fallback: false, ..(*deployment.target).clone() }),
            ..deployment.clone()
        };
        let of = |version: &Arc<str>| {
            let same: Vec<_> = model.deployments.iter().filter(|one| has(one, version)).map(meant).collect();
            self.whole_over(model, &same)
        };
        let mut versions: Vec<(Arc<str>, Route<Predict>)> = Vec::new();
        for version in model.deployments.iter().filter_map(|deployment| deployment.target.version.as_ref()) {
            if !versions.iter().any(|(known, _)| known == version) {
                versions.push((Arc::clone(version), of(version)));
            }
        }
        let usual = match plan.failover {
            FailoverTo::AnyVersion => self.whole(model),
            FailoverTo::SameVersion => {
                let first = &versions.first()?.0;
                let same: Vec<_> = model.deployments.iter().filter(|one| has(one, first)).cloned().collect();
                self.whole_over(model, &same)
            }
        };
        Some(PredictRoutes {
            signature: Arc::clone(&plan.signature),
            platform: Arc::clone(&plan.platform),
            usual,
            versions,
        })
    }

    /// What a call passes through whose answer comes whole.
    fn whole<T: Whole>(&self, model: &ModelPlan) -> Route<T> {
        self.whole_over(model, &model.deployments)
    }

    /// The same, where only some deployments may answer.
    fn whole_over<T: Whole>(&self, model: &ModelPlan, deployments: &[DeploymentPlan]) -> Route<T> {
        let flights = self.shelf(model, deployments).map(|shelf| (shelf, Arc::clone(&self.state.flights)));
        // Above the limits: what is kept costs nothing.
        self.observed(CacheWhole::new(self.limited::<T>(model, deployments), flights), model)
    }

    /// What a call passes through whose answer is a stream.
    fn stream(&self, model: &ModelPlan) -> Route<ChatStream> {
        let streams =
            self.shelf(model, &model.deployments).map(|shelf| (shelf, Arc::clone(&self.state.streams)));
        self.observed(CacheStream::new(self.limited::<ChatStream>(model, &model.deployments), streams), model)
    }

    /// Above everything: a refusal by any policy is seen.
    fn observed<T: Task>(&self, service: impl Upstream<T, Future: 'static>, model: &ModelPlan) -> Route<T> {
        Route::new(ObserveCall::new(service, &model.name, T::NAME, self.metrics, self.log))
    }

    /// What a call passes through that is made: within its limits, in its time, at one deployment after the other.
    fn limited<T: Task>(
        &self,
        model: &ModelPlan,
        deployments: &[DeploymentPlan],
    ) -> Limit<Deadline<Failover<T>>> {
        let candidates = deployments.iter().filter_map(|deployment| self.candidate(model, deployment));
        let hedge = model.hedge.filter(|_| hedges::<T>());
        let hedge = hedge.map(|plan| Hedge::new(plan, self.state.hedge(&model.name, T::NAME)));
        let service = Failover::new(Arc::clone(&model.name), model.strategy, candidates.collect(), hedge);
        // Above failover: the deadline bounds all attempts together.
        let service = Deadline::new(service, model.timeouts.deadline);
        // Above the deadline: a call counts once, however many deployments it takes.
        let scope = Scope {
            model: model.limits.iter().map(|limit| self.state.limit(limit)).collect(),
            callers: Arc::clone(&self.callers),
            keeper: Arc::clone(&self.keeper),
            forecast: self.forecast(model, deployments),
        };
        Limit::new(service, Arc::new(scope))
    }

    /// What an attempt at one deployment passes through. `None` when its provider cannot do the task, which the config's
    /// check has ruled out.
    fn candidate<T: Task>(&self, model: &ModelPlan, deployment: &DeploymentPlan) -> Option<Candidate<T>> {
        let (target, state) = (&deployment.target, self.state);
        let endpoint = T::offer(&deployment.offers)?.clone();
        // One attempt's time; the call's deadline bounds their sum.
        let service = Timeout::new(endpoint, model.timeouts);
        // Refuses, never waits. Beneath the breaker, which does not count its refusals.
        let service = Quota::new(service, self.share(model, deployment));
        // Counts the provider's failures only.
        let service = Breaker::new(service, state.circuit(deployment));
        // Above the breaker: a refusal by an open circuit is an attempt that the caller can read about.
        let called = ModelLabels { model: Word(Arc::clone(&model.name)), task: T::NAME };
        let metrics = DeploymentMetrics::new(
            self.metrics,
            &called,
            T::OPERATION,
            deployment.system,
            &target.model,
            &target.deployment,
        );
        let service = ObserveAttempt::new(service, metrics, deployment.system, deployment.price.clone());
        // Each try passes everything beneath.
        // Where there is another deployment, nobody waits for one that asks for patience.
        let patience = if model.deployments.len() > 1 { model.retry.base } else { model.retry.max };
        let service = Retry::new(service, model.retry, patience, state.budget(deployment, &model.retry));
        Some(Candidate {
            target: Arc::clone(target),
            local: deployment.provider.is_local(),
            weight: deployment.weight,
            expected: self.expect(model, deployment),
            load: state.load(deployment, T::NAME),
            route: Route::new(service),
        })
    }

    fn share(&self, model: &ModelPlan, deployment: &DeploymentPlan) -> Option<Arc<Share>> {
        let rations: Vec<_> = deployment.limits.iter().map(|limit| self.state.limit(limit)).collect();
        (!rations.is_empty()).then(|| {
            let forecast = self.forecast(model, std::slice::from_ref(deployment));
            Arc::new(Share { rations, keeper: Arc::clone(&self.keeper), forecast })
        })
    }

    fn forecast(&self, model: &ModelPlan, deployments: &[DeploymentPlan]) -> Forecast {
        let first = deployments.first().map_or("", |deployment| &*deployment.target.model);
        let prices = deployments.iter().filter_map(|deployment| deployment.price.clone().ok()).collect();
        let forecast = Forecast::new(first, prices, self.state.output(&model.name));
        if self.counts_tokens {
            forecast.prepare();
        }
        forecast
    }

    /// What a call will cost there; only asked where it decides something.
    fn expect<T: Task>(&self, model: &ModelPlan, deployment: &DeploymentPlan) -> Option<Arc<dyn Expect<T>>> {
        let forecast = self.forecast(model, std::slice::from_ref(deployment));
        Some(Arc::new(ExpectedCost(forecast)))
    }

    fn shelf(&self, model: &ModelPlan, deployments: &[DeploymentPlan]) -> Option<Arc<Shelf>> {
        let plan = model.cache.clone()?;
        let mut settings = Sha256::new();
        for deployment in deployments {
            settings.update(format!("{:?}", deployment.target));
            // A provider that is another one, or holds another model under the same name, answers differently.
            settings.update(
                self.providers.get(&*deployment.target.provider).map_or([0; 32], |(print, _)| *print),
            );
        }
        Some(Arc::new(Shelf {
            model: Arc::clone(&model.name),
            settings: settings.finalize().to_vec(),
            plan,
            store: self.store.clone(),
            shared: self.shared.clone(),
        }))
    }
}

/// What a call will cost at one deployment, by the catalogue.
#[derive(Debug)]
struct ExpectedCost(Forecast);

impl<T: Task> Expect<T> for ExpectedCost {
    fn cost(&self, call: &Call<T>) -> Option<Money> {
        self.0.cost(call)
    }
}
