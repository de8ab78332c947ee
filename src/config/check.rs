//! From the document to the plan: every reference resolved, every bound checked, all faults reported at once.

mod keys;
mod limits;
mod models;
mod policies;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, LazyLock},
};

use aigate_contract::{
    Provider,
    settings::{Fault, Secret},
};
use aigate_keys::secret::parse_hash;
use aigate_prices::Catalogue;
use aigate_transport::Fetcher;
use secrecy::SecretString;

use super::{
    document::{CacheStore, Document, Prices, Shared},
    load::{Loaded, join},
    plan::{Before, CacheStorePlan, Plan, Print, ServerPlan, SharedPlan, UpkeepPlan},
};

/// Turns a document into a plan. Touches no network.
///
/// # Errors
/// Every fault of meaning, at once.
pub fn check(loaded: Loaded) -> Result<Plan, Vec<Fault>> {
    check_after(loaded, &Before::default())
}

/// Turns a document into the plan that comes after another one: what is unchanged of that is kept.
///
/// # Errors
/// As [`check`].
pub fn check_after(loaded: Loaded, before: &Before) -> Result<Plan, Vec<Fault>> {
    let Loaded { document, version, tree, callers, prints, files } = loaded;
    let mut faults = Faults::default();
    let Document { server, operations, log, telemetry, defaults, keys, providers, models, .. } = document;

    let provider_names: HashSet<String> = providers.keys().cloned().collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for name in provider_names.iter().filter(|name| name.is_empty() || !name.chars().all(plain)) {
        faults
            .add::<()>(&["providers", name], "a provider's name has letters, digits, `-`, `_` and `.` only");
    }
    let built = build_providers(providers, &prints, before, &mut faults);
    let Some(catalogue) = catalogue(&document.prices, &mut faults) else { return Err(faults.0) };
    let shared = shared(document.shared, &mut faults);
    let cache = cache_store(&document.cache, &mut faults);
    let operations_key = operations.key.as_deref().and_then(|text| match parse_hash(text) {
        Ok(hash) => Some(hash),
        Err(why) => faults.add(&["operations", "key"], why),
    });
    server::check_listeners(&server, &operations, !keys.is_empty() || !document.jwt.is_empty(), &mut faults);
    server::check_telemetry(&telemetry, &log, &mut faults);

    // Also of models with faults: a key may name them. Sorted.
    let names: Vec<String> = models.keys().cloned().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tasks: BTreeSet<&'static str> = models.values().map(|model| model.task.as_str()).collect();
    let base = models::Defaults {
        policies: defaults,
        providers: &built,
        provider_names: &provider_names,
        catalogue: &catalogue,
        has_redis: shared.is_some(),
    };
    let models = models
        .into_iter()
        .filter_map(|(name, model)| base.model(&name, model, &mut faults))
        .collect::<Vec<_>>();
    models::check_shares(&models, &mut faults);
    if models.is_empty() && faults.0.is_empty() {
        faults
            .add::<()>(&["models"], "there is no model: callers have nothing to name; add a `[models.NAME]`");
    }
    let context = keys::Context { tasks: &tasks, models: &names, has_redis: shared.is_some() };
    let (keys, holders) = keys::check_keys(&keys, &context, &mut faults);
    let labels =
        keys::check_labels(&document.labels, &holders, !document.jwt.is_empty(), &context, &mut faults);
    let known = keys::known_labels(&holders, &document.jwt);
    models::check_scopes(&models, &known, &mut faults);
    let gate = keys::gate(holders, &document.jwt, callers, before, &mut faults);
    let plan = Plan {
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
        gate,
        callers,
        keys,
        issuers: document.jwt.len(),
        labels,
        providers: with_prints(built, &prints),
        models,
        cache,
        shared,
        upkeep: UpkeepPlan { watch: document.reload.watch, files, state: document.state.file },
        tree: Arc::new(tree),
    };
    models::check_prices(&plan, &mut faults);
    if faults.0.is_empty() { Ok(plan) } else { Err(faults.0) }
}

fn with_prints(
    built: Built,
    prints: &BTreeMap<String, Print>,
) -> BTreeMap<String, (Print, Arc<dyn Provider>)> {
    let one = |(name, provider)| {
        let print = prints.get(&name).copied()?;
        Some((name, (print, provider)))
    };
    built.into_iter().filter_map(one).collect()
}

/// The shipped prices, and the operator's own.
fn catalogue(prices: &Prices, faults: &mut Faults) -> Option<Catalogue> {
    static SHIPPED: LazyLock<Result<Catalogue, Vec<Fault>>> = LazyLock::new(Catalogue::shipped);
    let mut catalogue = match &*SHIPPED {
        Ok(catalogue) => catalogue.clone(),
        Err(inner) => {
            faults.0.extend(inner.iter().cloned());
            return None;
        }
    };
    let Some(file) = &prices.file else { return Some(catalogue) };
    let own = std::fs::read_to_string(file)
        .map_err(|error| vec![Fault::at("", format!("cannot read {}: {error}", file.display()))])
        .and_then(|text| Catalogue::parse(&text));
    match own {
        Ok(own) => catalogue.extend(own),
        Err(inner) => faults.0.extend(inner.into_iter().map(|fault| {
            let place = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
            Fault::at("prices.file", format!("{place}{}", fault.message))
        })),
    }
    Some(catalogue)
}

fn shared(shared: Shared, faults: &mut Faults) -> Option<SharedPlan> {
    let redis = match shared.redis.as_ref().map(Secret::read) {
        Some(Err(why)) => return faults.add(&["shared", "redis"], why),
        read => read.and_then(Result::ok),
    };
    let ca = match shared.ca_file.as_ref().map(|file| (file, std::fs::read(file))) {
        Some((file, Err(error))) => {
            return faults.add(&["shared", "ca_file"], format!("cannot read {}: {error}", file.display()));
        }
        read => read.and_then(|(_, read)| read.ok()),
    };
    // What is not used yet is to be right as well.
    let url = redis.clone().unwrap_or_else(|| SecretString::from("redis://localhost".to_owned()));
    let own = ca.as_deref().filter(|_| redis.is_some());
    if let Err((key, why)) = aigate_replicas::check(&url, own, &shared.prefix, shared.timeout.0) {
        let key = match key {
            "url" => "redis",
            "ca" => "ca_file",
            key => key,
        };
        return faults.add(&["shared", key], why);
    }
    let (prefix, timeout, on_loss) = (shared.prefix.into(), shared.timeout.0, shared.on_loss);
    Some(SharedPlan { redis: redis?, ca, prefix, timeout, on_loss })
}

fn cache_store(store: &CacheStore, faults: &mut Faults) -> CacheStorePlan {
    if store.max_entry_bytes.0 == 0 || store.max_entry_bytes > store.max_bytes {
        faults.add::<()>(&["cache", "max_entry_bytes"], "must be above zero and at most `max_bytes`");
    }
    CacheStorePlan {
        max_bytes: store.max_bytes.0,
        max_entry: usize::try_from(store.max_entry_bytes.0).unwrap_or(usize::MAX),
    }
}

/// What is wrong, in the order in which it was found.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// Faults that were found of what stands at `path`.
    pub(super) fn beneath(&mut self, path: &[&str], inner: Vec<Fault>) {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        let base = join(&path);
        self.0.extend(inner.into_iter().map(|fault| {
            let path = if fault.path.is_empty() { base.clone() } else { format!("{base}.{}", fault.path) };
            Fault { path, ..fault }
        }));
    }

    /// Always `None`, for use at the end of an arm.
    pub(super) fn add<T>(&mut self, path: &[&str], message: impl Into<String>) -> Option<T> {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        self.0.push(Fault::at(join(&path), message));
        None
    }
}

pub(super) type Built = BTreeMap<String, Arc<dyn Provider>>;

fn build_providers(
    providers: BTreeMap<String, crate::fleet::ProviderConfig>,
    prints: &BTreeMap<String, Print>,
    before: &Before,
    faults: &mut Faults,
) -> Built {
    let fetcher = Fetcher::new();
    let mut built = Built::new();
    for (name, config) in providers {
        if let Some(known) = prints.get(&name).and_then(|print| before.provider(&name, print)) {
            built.insert(name, Arc::clone(known));
            continue;
        }
        match config.build(&fetcher) {
            Ok(provider) => {
                built.insert(name, provider);
            }
            Err(inner) => faults.beneath(&["providers", &name], inner),
        }
    }
    built
}
