//! Models and their deployments.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use aigate_contract::{Description, Offers, Target, Usage};
use aigate_prices::{Catalogue, Place, Price};

use super::{Built, Faults, limits::Owner, policies::At};
use crate::config::{
    document::{Deployment, Hedge, Model, ModelCache, Policies, Strategy, TaskName},
    plan::{
        BreakerPlan, CachePlan, DeploymentPlan, HedgeAfter, HedgePlan, LimitPlan, ModelPlan, Plan, Scope,
    },
    predict,
    suggest::hint,
};

/// What every model's check needs to know of the rest.
pub(super) struct Defaults<'a> {
    pub(super) policies: Policies,
    pub(super) providers: &'a Built,
    pub(super) provider_names: &'a HashSet<String>,
    pub(super) catalogue: &'a Catalogue,
    pub(super) has_redis: bool,
}

impl Defaults<'_> {
    pub(super) fn model(&self, name: &str, model: Model, faults: &mut Faults) -> Option<ModelPlan> {
        let before = faults.0.len();
        let at = |table| At { model: name, table };
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '?' | '#' | '%');
        if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            faults.add::<()>(
                &["models", name],
                "a model's name is 1 to 128 visible ASCII characters without \" \\ ? # %",
            );
        }
        if model.deployments.is_empty() {
            faults.add::<()>(&["models", name, "deployments"], "there must be at least one deployment");
        }
        let timeouts = self.policies.timeouts(&model.timeouts, &at("timeouts"), faults);
        let retry = self.policies.retry(&model.retry, &at("retry"), faults);
        let breaker = self.policies.breaker(&model.breaker, &at("breaker"), faults);
        let predict = match model.task {
            TaskName::Predict => predict::model(self.providers, name, &model, &mut faults.0),
            _ => predict::refuse(name, &model, &mut faults.0),
        };
        let mut deployments = Vec::with_capacity(model.deployments.len());
        let mut seen = HashSet::new();
        for (index, deployment) in model.deployments.iter().enumerate() {
            let place = index.to_string();
            let path = ["models", name, "deployments", &place];
            let Some(mut plan) = self.deployment(&model, deployment, breaker, &path, faults) else {
                continue;
            };
            if let Some(predict) = &predict {
                predict::deployment(self.providers, predict, deployment, &mut plan, &path, &mut faults.0);
            }
            if !seen.insert(Arc::clone(&plan.target.deployment)) {
                faults.add::<()>(&path, format!("`{}` stands twice in this model", plan.target.deployment));
            }
            deployments.push(plan);
        }
        if model.strategy == Strategy::Weighted && deployments.iter().all(|plan| plan.weight == 0) {
            faults.add::<()>(&["models", name, "deployments"], "at least one weight must be above zero");
        }
        if let Some(predict) = &predict
            && model.strategy == Strategy::Weighted
        {
            predict::check_weights(name, predict, &deployments, &mut faults.0);
        }
        let limits = self.limits(
            &["models", name],
            format!("model {name}"),
            model.task,
            &model.limits,
            &model.limits_per_replica,
            faults,
        );
        let cache = model.cache.as_ref().map(|cache| check_cache(name, model.task, cache, faults));
        let hedge = model.hedge.as_ref().and_then(|hedge| check_hedge(name, &model, hedge, faults));
        let probe = model.probe.map(|probe| probe.every.0);
        if let Some(every) = probe {
            check_probe(name, every, &deployments, model.task, faults);
        }
        if faults.0.len() > before {
            return None;
        }
        Some(ModelPlan {
            limits,
            cache,
            hedge,
            probe,
            name: name.into(),
            task: model.task,
            strategy: model.strategy,
            deployments,
            timeouts: timeouts?,
            retry: retry?,
            predict,
        })
    }

    fn deployment(
        &self,
        model: &Model,
        deployment: &Deployment,
        breaker: Option<BreakerPlan>,
        path: &[&str],
        faults: &mut Faults,
    ) -> Option<DeploymentPlan> {
        let at = |key: &'static str| [path, &[key]].concat();
        if deployment.weight.is_some() && model.strategy != Strategy::Weighted {
            faults.add::<()>(&at("weight"), "only means something with `strategy = \"weighted\"`");
        }
        let Some(provider) = self.providers.get(&deployment.provider) else {
            if !self.provider_names.contains(&deployment.provider) {
                let known = self.provider_names.iter().map(String::as_str);
                let message = format!(
                    "no provider is called `{}`{}",
                    deployment.provider,
                    hint(&deployment.provider, known)
                );
                faults.add::<()>(&at("provider"), message);
            }
            return None;
        };
        if let Err(why) = provider.check_target(model.task.as_str(), &deployment.target) {
            faults.add::<()>(&at("target"), why);
        }
        let offers: Offers = Arc::clone(provider).offers();
        let able = match model.task {
            TaskName::Chat => offers.chat.is_some() && offers.chat_stream.is_some(),
            TaskName::Embed => offers.embed.is_some(),
            TaskName::Predict => offers.predict.is_some(),
        };
        if !able {
            let message = format!("`{}` cannot do the task `{}`", deployment.provider, model.task.as_str());
            faults.add::<()>(&at("provider"), message);
        }
        let description: Description = provider.describe();
        let owner = format!("deployment {}/{}", deployment.provider, deployment.target);
        let limits =
            self.limits(path, owner, model.task, &deployment.limits, &deployment.limits_per_replica, faults);
        let price = self.price(model.task, deployment, &description, path, faults);
        let weight = deployment.weight.unwrap_or(1);
        let stands_in = match model.strategy {
            Strategy::Order => path.last() != Some(&"0"),
            // A model on this machine is fast and free: it stands in for the others all the same, unless it is alone.
            Strategy::Fastest | Strategy::Cheapest => model.deployments.len() > 1,
            // One with a weight has a share of the calls of its own.
            Strategy::Weighted => weight == 0,
        };
        let target = Target {
            on_unsupported: deployment.on_unsupported.unwrap_or(model.on_unsupported),
            fallback: provider.is_local() && stands_in,
            ..Target::new(&deployment.provider, &deployment.target)
        };
        Some(DeploymentPlan {
            target: Arc::new(target),
            provider: Arc::clone(provider),
            offers,
            description,
            system: provider.system(model.task.as_str()),
            weight,
            limits,
            price,
            breaker: breaker?,
        })
    }

    fn limits(
        &self,
        path: &[&str],
        owner: String,
        task: TaskName,
        limits: &crate::config::document::Limits,
        per_replica: &crate::config::document::Limits,
        faults: &mut Faults,
    ) -> Vec<LimitPlan> {
        let tasks = BTreeSet::from([task.as_str()]);
        let owner = Owner { name: owner.into(), path, tasks: &tasks, fair: true, has_redis: self.has_redis };
        let mut plans = owner.limits("limits", limits, true, faults);
        plans.extend(owner.limits("limits_per_replica", per_replica, false, faults));
        plans
    }

    fn price(
        &self,
        task: TaskName,
        deployment: &Deployment,
        description: &Description,
        path: &[&str],
        faults: &mut Faults,
    ) -> Result<Arc<Price>, Arc<str>> {
        let place = Place {
            kind: description.kind,
            task: task.as_str(),
            model: &deployment.target,
            region: description.region.as_deref(),
            class: None,
        };
        let Some(own) = &deployment.price else {
            // The catalogue knows what OpenAI charges, not what others do who speak its API.
            if description.kind == "openai" && !description.endpoint.starts_with("https://api.openai.com/") {
                return Err("what this server charges is not known: add `price = { … }`".into());
            }
            return self.catalogue.find(&place).and_then(|price| reckonable(price, task)).map_err(Into::into);
        };
        match own.resolve(self.catalogue, &place) {
            Ok(price) => reckonable(price, task).map_err(Into::into),
            Err(inner) => {
                faults.beneath(&[path, &["price"]].concat(), inner);
                Err("its price is wrong".into())
            }
        }
    }
}

fn check_cache(name: &str, task: TaskName, cache: &ModelCache, faults: &mut Faults) -> CachePlan {
    let at = |key: &'static str| ["models", name, "cache", key];
    if cache.ttl.0.is_zero() {
        faults.add::<()>(&at("ttl"), "must be longer than zero");
    }
    if cache.sampled && task != TaskName::Chat {
        faults.add::<()>(&at("sampled"), "only means something with `task = \"chat\"`");
    }
    let scope = match cache.scope.as_deref() {
        None | Some("key") => Scope::Key,
        Some("public") => Scope::Public,
        Some(label) => Scope::Label(label.into()),
    };
    CachePlan {
        ttl: cache.ttl.0,
        scope,
        sampled: cache.sampled,
        stale_if_error: cache.stale_if_error.map_or(Duration::ZERO, |interval| interval.0),
    }
}

fn check_hedge(name: &str, model: &Model, hedge: &Hedge, faults: &mut Faults) -> Option<HedgePlan> {
    let at = |key: &'static str| ["models", name, "hedge", key];
    if model.task == TaskName::Chat {
        faults.add::<()>(
            &["models", name, "hedge"],
            "chat is too long and too dear to be asked twice: embed and predict only",
        );
    }
    if model.deployments.len() < 2 {
        faults.add::<()>(&["models", name, "hedge"], "needs a second deployment");
    }
    let max_extra = hedge.max_extra.unwrap_or(0.02);
    if !(max_extra > 0.0 && max_extra <= 1.0) {
        faults.add::<()>(&at("max_extra"), "must be above 0 and at most 1");
    }
    let percentile = hedge.after.strip_prefix('p').and_then(|text| text.parse::<u8>().ok());
    let after = match percentile {
        Some(percent @ 50..=99) => HedgeAfter::Percentile(f64::from(percent) / 100.0),
        Some(_) => return faults.add(&at("after"), "a percentile is p50 to p99"),
        None => match humantime::parse_duration(&hedge.after) {
            Ok(wait) if !wait.is_zero() => HedgeAfter::Fixed(wait),
            _ => {
                let message = format!(
                    "`{}` is neither a percentile such as \"p95\" nor a length of time such as \"200ms\"",
                    hedge.after
                );
                return faults.add(&at("after"), message);
            }
        },
    };
    Some(HedgePlan { after, max_extra })
}

fn check_probe(
    name: &str,
    every: Duration,
    deployments: &[DeploymentPlan],
    task: TaskName,
    faults: &mut Faults,
) {
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&every) {
        faults.add::<()>(&["models", name, "probe", "every"], "must be between 1s and 1h");
    }
    let can =
        |one: &DeploymentPlan| Arc::clone(&one.provider).probe(task.as_str(), &one.target.model).is_some();
    if !deployments.iter().any(can) {
        let message = "no provider of its deployments has a call that costs nothing";
        faults.add::<()>(&["models", name, "probe"], message);
    }
}

/// A price by which what a call of the task always tells can be reckoned.
fn reckonable(price: Arc<Price>, task: TaskName) -> Result<Arc<Price>, String> {
    let one = Some(1);
    let told = match task {
        TaskName::Chat => Usage { fresh_input: one, output: one, ..Usage::default() },
        TaskName::Embed => Usage { fresh_input: one, ..Usage::default() },
        TaskName::Predict => Usage { rows: one, ..Usage::default() },
    };
    price.cost(&told).map(|_| price)
}

/// A deployment has one share, whichever model it is asked for.
pub(super) fn check_shares(models: &[ModelPlan], faults: &mut Faults) {
    let mut shares = BTreeMap::new();
    for model in models {
        for (index, deployment) in model.deployments.iter().enumerate() {
            let first =
                shares.entry(&deployment.target.deployment).or_insert((&deployment.limits, &model.name));
            if *first.0 != deployment.limits {
                let message = format!(
                    "`{}` has other limits in the model `{}`: write the same ones in both",
                    deployment.target.deployment, first.1
                );
                faults.add::<()>(&["models", &model.name, "deployments", &index.to_string()], message);
            }
        }
    }
}

/// A cache that is shared by a label which nobody has would be shared by nobody.
pub(super) fn check_scopes(models: &[ModelPlan], known: &BTreeSet<String>, faults: &mut Faults) {
    for model in models {
        if let Some(CachePlan { scope: Scope::Label(label), .. }) = &model.cache
            && !known.contains(&**label)
        {
            let words = known.iter().map(String::as_str).chain(["key", "public"]);
            let message = format!("no key has a label `{label}`{}", hint(label, words));
            faults.add::<()>(&["models", &model.name, "cache", "scope"], message);
        }
    }
}

/// Money can only be counted where prices are known.
pub(super) fn check_prices(plan: &Plan, faults: &mut Faults) {
    let counts_money =
        |limits: &[LimitPlan]| limits.iter().any(|limit| limit.unit == aigate_limits::Unit::Money);
    let callers = plan.budgets().next().is_some()
        || plan.keys.iter().any(|key| counts_money(&key.allowance.limits))
        || plan.labels.iter().any(|label| counts_money(&label.allowance.limits));
    for model in &plan.models {
        let all = callers || counts_money(&model.limits);
        for (index, deployment) in model.deployments.iter().enumerate() {
            let Err(why) = &deployment.price else { continue };
            if all || counts_money(&deployment.limits) {
                let message = format!("a budget or a limit counts money, but the price is not known: {why}");
                faults
                    .add::<()>(&["models", &model.name, "deployments", &index.to_string(), "price"], message);
            }
        }
        if model.strategy == Strategy::Cheapest && model.deployments.iter().all(|one| one.price.is_err()) {
            let message = "no deployment has a known price: `cheapest` has nothing to go by";
            faults.add::<()>(&["models", &model.name, "strategy"], message);
        }
    }
}
