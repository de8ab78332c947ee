//! From the document to the plan: every reference resolved, every bound checked, all faults reported at once.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use aigate_contract::{
    Description, Offers, Provider, Target,
    settings::{Fault, Interval},
};
use aigate_transport::Fetcher;

use super::{
    document::{
        Breaker, Deployment, Document, Model, Operations, Retry, Server, Strategy, TaskName, Timeouts,
    },
    load::{Loaded, join},
    plan::{BreakerPlan, DeploymentPlan, KeyPlan, ModelPlan, Plan, RetryPlan, ServerPlan, TimeoutPlan},
    predict,
    suggest::hint,
};
use crate::keys::parse_hash;

/// Turns a document into a plan. Touches no network.
///
/// # Errors
/// Every fault of meaning, at once.
pub fn check(loaded: Loaded) -> Result<Plan, Vec<Fault>> {
    let Loaded { document, version } = loaded;
    let mut faults = Faults::default();
    let Document { server, operations, log, telemetry, defaults, keys, providers, models } = document;

    let provider_names: HashSet<String> = providers.keys().cloned().collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for name in provider_names.iter().filter(|name| name.is_empty() || !name.chars().all(plain)) {
        faults
            .add::<()>(&["providers", name], "a provider's name has letters, digits, `-`, `_` and `.` only");
    }
    let built = build_providers(providers, &mut faults);
    let keys: Vec<KeyPlan> = keys
        .into_iter()
        .filter_map(|(name, key)| match parse_hash(&key.hash) {
            Ok(hash) => Some(KeyPlan { name: name.into(), hash }),
            Err(why) => faults.add(&["keys", &name, "hash"], why),
        })
        .collect();
    let mut seen = HashSet::new();
    for key in keys.iter().filter(|key| !seen.insert(key.hash)) {
        faults.add::<()>(&["keys", &key.name, "hash"], "another key has the same secret");
    }
    let operations_key = operations.key.as_deref().and_then(|text| match parse_hash(text) {
        Ok(hash) => Some(hash),
        Err(why) => faults.add(&["operations", "key"], why),
    });
    check_listeners(&server, &operations, !keys.is_empty(), &mut faults);
    check_telemetry(&telemetry, &log, &mut faults);

    let base = Defaults {
        timeouts: defaults.timeouts,
        retry: defaults.retry,
        breaker: defaults.breaker,
        providers: &built,
        provider_names: &provider_names,
    };
    let models = models
        .into_iter()
        .filter_map(|(name, model)| base.model(&name, model, &mut faults))
        .collect::<Vec<_>>();
    check_concurrency(&models, &mut faults);
    if models.is_empty() && faults.0.is_empty() {
        faults
            .add::<()>(&["models"], "there is no model: callers have nothing to name; add a `[models.NAME]`");
    }
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    Ok(Plan {
        version: version.into(),
        server: ServerPlan {
            listen: server.listen,
            max_body: server.max_body_bytes,
            max_buffered: server.max_buffered_bytes,
            header_timeout: server.header_timeout.0,
            body_timeout: server.body_timeout.0,
            max_connections: server.max_connections,
            shutdown_delay: server.shutdown_delay.0,
            shutdown_grace: server.shutdown_grace.0,
        },
        operations: operations.listen,
        operations_key,
        log,
        telemetry,
        keys,
        models,
    })
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    /// Always `None`, for use at the end of an arm.
    fn add<T>(&mut self, path: &[&str], message: impl Into<String>) -> Option<T> {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        self.0.push(Fault::at(join(&path), message));
        None
    }
}

pub(super) type Built = BTreeMap<String, Arc<dyn Provider>>;

fn build_providers(providers: BTreeMap<String, crate::fleet::ProviderConfig>, faults: &mut Faults) -> Built {
    let fetcher = Fetcher::new();
    let mut built = Built::new();
    for (name, config) in providers {
        match config.build(&fetcher) {
            Ok(provider) => {
                built.insert(name, provider);
            }
            Err(inner) => faults.0.extend(inner.into_iter().map(|fault| {
                let own = join(&["providers".to_owned(), name.clone()]);
                let path = if fault.path.is_empty() { own } else { format!("{own}.{}", fault.path) };
                Fault { path, ..fault }
            })),
        }
    }
    built
}

fn check_listeners(server: &Server, operations: &Operations, has_keys: bool, faults: &mut Faults) {
    let open = |address: &SocketAddr| !address.ip().is_loopback();
    if open(&server.listen) && !has_keys {
        let message = format!(
            "{} can be reached from other machines, but there are no keys: make one with `aigate key new NAME`, or \
             listen on 127.0.0.1",
            server.listen
        );
        faults.add::<()>(&["server", "listen"], message);
    }
    if open(&operations.listen) && operations.key.is_none() {
        let message = format!(
            "{} can be reached from other machines, but `operations.key` is not set: make one with `aigate key new \
             operations`, or listen on 127.0.0.1",
            operations.listen
        );
        faults.add::<()>(&["operations", "listen"], message);
    }
    if server.listen == operations.listen && server.listen.port() != 0 {
        faults.add::<()>(&["operations", "listen"], "must differ from `server.listen`");
    }
    for (key, value, low, high) in [
        ("max_body_bytes", server.max_body_bytes, 1024, 1024 * 1024 * 1024),
        ("max_connections", server.max_connections, 1, 1_000_000),
    ] {
        if !(low..=high).contains(&value) {
            faults.add::<()>(&["server", key], format!("must be between {low} and {high}, not {value}"));
        }
    }
    if server.max_buffered_bytes < server.max_body_bytes {
        faults.add::<()>(&["server", "max_buffered_bytes"], "must be at least `max_body_bytes`");
    }
    for (key, value) in [("header_timeout", server.header_timeout), ("body_timeout", server.body_timeout)] {
        if value.0.is_zero() {
            faults.add::<()>(&["server", key], "must be longer than zero");
        }
    }
}

/// A deployment has one bound, whichever model it is asked for.
fn check_concurrency(models: &[ModelPlan], faults: &mut Faults) {
    let mut bounds = BTreeMap::new();
    for model in models {
        for (index, deployment) in model.deployments.iter().enumerate() {
            let first =
                bounds.entry(&deployment.target.deployment).or_insert((deployment.concurrency, &model.name));
            if first.0 != deployment.concurrency {
                let message = format!(
                    "`{}` has another bound in the model `{}`: write the same one in both",
                    deployment.target.deployment, first.1
                );
                let path = ["models", &model.name, "deployments", &index.to_string(), "concurrency"];
                faults.add::<()>(&path, message);
            }
        }
    }
}

fn check_telemetry(telemetry: &super::document::Telemetry, log: &super::document::Log, faults: &mut Faults) {
    if !(0.0..=1.0).contains(&telemetry.sample_ratio) {
        faults.add::<()>(&["telemetry", "sample_ratio"], "must be between 0 and 1");
    }
    if let Some(endpoint) = &telemetry.otlp_endpoint
        && !endpoint.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some() && uri.scheme().is_some())
    {
        faults.add::<()>(&["telemetry", "otlp_endpoint"], "not a URL such as `http://127.0.0.1:4318`");
    }
    if let Err(error) = log.level.parse::<tracing_subscriber::filter::Targets>() {
        faults.add::<()>(&["log", "level"], format!("not a level such as `info`, nor filters: {error}"));
    }
}

struct Defaults<'a> {
    timeouts: Timeouts,
    retry: Retry,
    breaker: Breaker,
    providers: &'a Built,
    provider_names: &'a HashSet<String>,
}

impl Defaults<'_> {
    fn model(&self, name: &str, model: Model, faults: &mut Faults) -> Option<ModelPlan> {
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
        let timeouts = self.timeouts(&model.timeouts, &at("timeouts"), faults);
        let retry = self.retry(&model.retry, &at("retry"), faults);
        let breaker = self.breaker(&model.breaker, &at("breaker"), faults);
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
        if faults.0.len() > before {
            return None;
        }
        Some(ModelPlan {
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
        if deployment.concurrency == Some(0) {
            faults.add::<()>(&at("concurrency"), "must be at least 1; leave the key out for no bound");
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
        let weight = deployment.weight.unwrap_or(1);
        let stands_in = match model.strategy {
            Strategy::Order => path.last() != Some(&"0"),
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
            concurrency: deployment.concurrency,
            breaker: breaker?,
        })
    }

    fn timeouts(&self, own: &Timeouts, at: &At<'_>, faults: &mut Faults) -> Option<TimeoutPlan> {
        let base = &self.timeouts;
        let deadline = at.interval("deadline", own.deadline, base.deadline, faults);
        let attempt = at.interval("attempt", own.attempt, base.attempt, faults);
        let first_chunk = at.interval("first_chunk", own.first_chunk, base.first_chunk, faults);
        let idle = at.interval("idle", own.idle, base.idle, faults);
        Some(TimeoutPlan { deadline: deadline?, attempt: attempt?, first_chunk: first_chunk?, idle: idle? })
    }

    fn retry(&self, own: &Retry, at: &At<'_>, faults: &mut Faults) -> Option<RetryPlan> {
        let (first, max) = (
            at.interval("base", own.base, self.retry.base, faults),
            at.interval("max", own.max, self.retry.max, faults),
        );
        let share = |budget: &f32| (0.0..=1.0).contains(budget);
        let max_retries = at.within(
            "max_retries",
            own.max_retries,
            self.retry.max_retries,
            |count| *count <= 10,
            "between 0 and 10",
            faults,
        );
        let budget = at.within("budget", own.budget, self.retry.budget, share, "between 0 and 1", faults);
        Some(RetryPlan { max_retries: max_retries?, base: first?, max: max?, budget: budget? })
    }

    fn breaker(&self, own: &Breaker, at: &At<'_>, faults: &mut Faults) -> Option<BreakerPlan> {
        let base = &self.breaker;
        let open = at.interval("open", own.open, base.open, faults);
        let max_open = at.interval("max_open", own.max_open, base.max_open, faults);
        let some = |count: &u32| *count > 0;
        let failures = at.within("failures", own.failures, base.failures, some, "at least 1", faults);
        let share = |ratio: &f32| *ratio > 0.0 && *ratio <= 1.0;
        let failure_ratio = at.within(
            "failure_ratio",
            own.failure_ratio,
            base.failure_ratio,
            share,
            "above 0 and at most 1",
            faults,
        );
        Some(BreakerPlan {
            failures: failures?,
            failure_ratio: failure_ratio?,
            open: open?,
            max_open: max_open?,
        })
    }
}

/// Where a policy's settings stand: with a model, or among the defaults.
struct At<'a> {
    model: &'a str,
    table: &'static str,
}

impl At<'_> {
    /// The value that counts, if it is right. A wrong one is told where it stands; a default once, not for each model.
    fn within<V: Copy>(
        &self,
        key: &str,
        own: Option<V>,
        base: Option<V>,
        right: impl Fn(&V) -> bool,
        wanted: &str,
        faults: &mut Faults,
    ) -> Option<V> {
        let value = own.or(base);
        if let Some(value) = value.filter(right) {
            return Some(value);
        }
        let path = match own {
            Some(_) => vec!["models", self.model, self.table, key],
            None => vec!["defaults", self.table, key],
        };
        let message = if value.is_some() { format!("must be {wanted}") } else { "is not set".to_owned() };
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        let fault = Fault::at(join(&path), message);
        if !faults.0.contains(&fault) {
            faults.0.push(fault);
        }
        None
    }

    fn interval(
        &self,
        key: &str,
        own: Option<Interval>,
        base: Option<Interval>,
        faults: &mut Faults,
    ) -> Option<Duration> {
        let some = |interval: &Interval| !interval.0.is_zero();
        self.within(key, own, base, some, "longer than zero", faults).map(|interval| interval.0)
    }
}
