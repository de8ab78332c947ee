//! What outlives a configuration: circuits, retry budgets, limits, budgets, kept answers, what was learned of each deployment's
//! speed. Kept by name and settings, so that a changed setting begins anew and an unchanged one goes on as it was; two models
//! that share a deployment share these as well.

mod circuits;
mod money;

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use aigate_cache::{Entry, Flights, Store, Streams};
use aigate_limits::{Limit, Wall};
use aigate_replicas::{Settings, Shared};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tower::retry::budget::TpsBudget;

use self::{circuits::Circuits, money::Purses};
use crate::{
    allowance::{Keeper, Ration, RecentOutput, Remote, SharedMeasure, SharedRation},
    config::{
        BudgetPlan, CacheStorePlan, DeploymentPlan, LimitPlan, Measure, Plan, RetryPlan, SharedPlan,
        document::OnExceeded,
    },
    metrics::{DeploymentLabels, Metrics, ModelLabels, Word},
    policy::{breaker::Circuit, failover::HedgeBudget, load::Load, retry::budget},
};

/// What outlives a configuration.
#[derive(Debug)]
pub struct State {
    wall: Wall,
    circuits: Circuits,
    budgets: Kept<(Arc<str>, String), TpsBudget>,
    loads: Kept<(Arc<str>, &'static str), Load>,
    hedges: Kept<(Arc<str>, &'static str), HedgeBudget>,
    outputs: Kept<Arc<str>, RecentOutput>,
    limits: Kept<LimitPlan, Limit>,
    purses: Purses,
    rooms: Kept<usize, Semaphore>,
    store: Mutex<Option<(CacheStorePlan, Store)>>,
    /// Calls under way, which equal ones join.
    pub flights: Arc<Flights<Arc<Entry>>>,
    /// Streams under way, which equal ones join.
    pub streams: Arc<Streams>,
    keeper: Mutex<Option<Connected>>,
    /// Connections of earlier configurations, whose calls have not all ended.
    retired: Mutex<Vec<Weak<Shared>>>,
}

/// Who keeps the limits, and what replicas share, by what they were made from.
type Connected = (SharedKey, Option<Arc<Shared>>, Arc<Keeper>);
/// What makes the connection to Redis another one. Of the URL, which may hold a password, and the CA file the digest.
type SharedKey = Option<([u8; 32], Arc<str>, Duration, bool)>;

/// Things by what they are known by.
type Kept<K, V> = Mutex<HashMap<K, Arc<V>>>;

/// So many calls can be joined at once, of each kind.
const JOINED: usize = 100_000;
/// Bytes of streams under way that are held so that others can join them and what comes of them can be kept. Beside
/// `[cache] max_bytes`, which is for what is kept.
const STREAMED: usize = 256 << 20;
/// Unused things are kept, in case they are used again, until there are so many of a kind.
const UNUSED: usize = 4096;
/// How long Redis may take to hear the last of what it should know.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep<K: Eq + Hash, V>(kept: &Kept<K, V>, key: K, make: impl FnOnce() -> V) -> Arc<V> {
    Arc::clone(lock(kept).entry(key).or_insert_with(|| Arc::new(make())))
}

/// Forgets what nobody uses, if there is too much of it.
fn prune<K: Eq + Hash, V>(kept: &Kept<K, V>) {
    let mut kept = lock(kept);
    if kept.len() > UNUSED {
        kept.retain(|_, value| Arc::strong_count(value) > 1);
        kept.shrink_to_fit();
    }
}

impl State {
    /// For a gateway that begins with `plan`: opens the file of the budgets, if there are budgets.
    ///
    /// # Errors
    /// When that file cannot be used, in words.
    pub fn new(plan: &Plan) -> Result<Self, String> {
        let wall = Wall::system();
        let state = Self {
            wall,
            circuits: Circuits::default(),
            budgets: Mutex::default(),
            loads: Mutex::default(),
            hedges: Mutex::default(),
            outputs: Mutex::default(),
            limits: Mutex::default(),
            purses: Purses::new(wall),
            rooms: Mutex::default(),
            store: Mutex::default(),
            flights: Arc::new(Flights::new(JOINED)),
            streams: Arc::new(Streams::new(JOINED, STREAMED)),
            keeper: Mutex::default(),
            retired: Mutex::default(),
        };
        state.prepare(plan)?;
        Ok(state)
    }

    /// Gets ready for another plan, without harm to the one in force.
    ///
    /// # Errors
    /// When the file of the budgets cannot be used, or Redis' settings are wrong.
    pub fn prepare(&self, plan: &Plan) -> Result<(), String> {
        if plan.budgets().next().is_some() {
            self.purses.open(&plan.upkeep.state)?;
        }
        Ok(())
    }

    /// Forgets what no configuration has used for long.
    pub fn prune(&self) {
        self.circuits.prune();
        prune(&self.budgets);
        prune(&self.loads);
        prune(&self.hedges);
        prune(&self.outputs);
        prune(&self.limits);
        prune(&self.rooms);
    }

    /// Writes down the budgets. Blocks.
    pub fn put_down(&self) {
        self.purses.put_down();
    }

    /// Waits until Redis knows what the last calls consumed, for some seconds at most.
    pub async fn farewell(&self) {
        let now = lock(&self.keeper).as_ref().and_then(|(_, shared, _)| shared.clone());
        let before: Vec<_> = lock(&self.retired).iter().filter_map(Weak::upgrade).collect();
        let flushes = now.into_iter().chain(before).map(async |shared| {
            if !shared.flush(LAST_WORDS).await {
                let waiting = shared.counts().settles_waiting;
                tracing::error!(waiting, "the shared Redis was not told all that the last calls consumed");
            }
        });
        futures_util::future::join_all(flushes).await;
    }

    /// Room for request bodies, in KiB.
    pub fn room(&self, bytes: usize) -> Arc<Semaphore> {
        keep(&self.rooms, bytes, || Semaphore::new((bytes / 1024).min(Semaphore::MAX_PERMITS)))
    }

    /// The circuit of a deployment.
    pub fn circuit(&self, deployment: &DeploymentPlan) -> Arc<Circuit> {
        self.circuits.of(deployment)
    }

    /// The retry budget of a deployment.
    pub fn budget(&self, deployment: &DeploymentPlan, plan: &RetryPlan) -> Arc<TpsBudget> {
        let key = (Arc::clone(&deployment.target.deployment), format!("{plan:?}"));
        keep(&self.budgets, key, || budget(plan))
    }

    /// What was learned of a deployment's speed at a task.
    pub fn load(&self, deployment: &DeploymentPlan, task: &'static str) -> Arc<Load> {
        keep(&self.loads, (Arc::clone(&deployment.target.deployment), task), Load::default)
    }

    /// How often a model's calls were asked twice.
    pub fn hedge(&self, model: &Arc<str>, task: &'static str) -> Arc<HedgeBudget> {
        keep(&self.hedges, (Arc::clone(model), task), HedgeBudget::default)
    }

    /// How long a model's answers have been lately.
    pub fn output(&self, model: &Arc<str>) -> Arc<RecentOutput> {
        keep(&self.outputs, Arc::clone(model), RecentOutput::default)
    }

    /// A limit in force.
    pub fn limit(&self, plan: &LimitPlan) -> Arc<Ration> {
        let limit = keep(&self.limits, plan.clone(), || match plan.measure {
            Measure::Rate(rate) => {
                let name = format!("{}: {} {}", plan.owner, plan.unit.as_str(), rate.words(plan.unit));
                Limit::rate(name, plan.unit, rate, plan.fair)
            }
            Measure::AtOnce(most) => {
                let name = format!("{}: {most} calls at once", plan.owner);
                Limit::places(name, u32::try_from(most).unwrap_or(u32::MAX), plan.fair)
            }
        });
        let shared = plan.shared.then(|| SharedRation {
            key: format!("{} {}", plan.owner, kind(plan)).into(),
            measure: SharedMeasure::Limit(plan.measure),
        });
        Arc::new(Ration { limit, on_exceeded: OnExceeded::Refuse, shared })
    }

    /// A budget in force. What was spent of it stays spent, whatever becomes of its amount.
    pub fn purse(&self, plan: &BudgetPlan) -> Arc<Ration> {
        let shared = plan.shared.then(|| SharedRation {
            key: plan.owner.clone(),
            measure: SharedMeasure::Budget {
                limit: plan.limit,
                period: plan.period,
                floor: self.purses.stored(plan),
            },
        });
        Arc::new(Ration { limit: self.purses.limit(plan), on_exceeded: plan.on_exceeded, shared })
    }

    /// Where answers are kept. What is kept moves along when its bounds change.
    pub fn store(&self, plan: CacheStorePlan) -> Store {
        let mut store = lock(&self.store);
        let now = match store.take() {
            Some((before, known)) if before == plan => known,
            Some((_, known)) => known.resized(plan.max_bytes, plan.max_entry),
            None => Store::new(plan.max_bytes, plan.max_entry),
        };
        *store = Some((plan, now.clone()));
        now
    }

    /// Who keeps the limits, and what replicas share. The connection to Redis stays while its settings do.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn keeper(
        &self,
        plan: Option<&SharedPlan>,
        metrics: &Arc<Metrics>,
    ) -> Result<(Arc<Keeper>, Option<Arc<Shared>>), String> {
        use secrecy::ExposeSecret;
        let key: SharedKey = plan.map(|plan| {
            let local = plan.on_loss == crate::config::document::OnLoss::Local;
            let mut place = Sha256::new_with_prefix(plan.redis.expose_secret());
            // A URL holds no zero byte: the two cannot run into each other.
            place.update([0, u8::from(plan.ca.is_some())]);
            place.update(plan.ca.as_deref().unwrap_or_default());
            (place.finalize().into(), Arc::clone(&plan.prefix), plan.timeout, local)
        });
        let mut known = lock(&self.keeper);
        if let Some((before, shared, keeper)) = &*known
            && *before == key
        {
            return Ok((Arc::clone(keeper), shared.clone()));
        }
        let shared = plan.map(|plan| connect(plan, metrics)).transpose()?;
        let remote = shared
            .as_ref()
            .zip(plan)
            .map(|(shared, plan)| Remote::new(Arc::clone(shared), plan.on_loss, plan.timeout, self.wall));
        let keeper = Arc::new(Keeper::new(remote));
        self.circuits.share(shared.as_ref());
        if let Some((_, Some(before), _)) = known.replace((key, shared.clone(), Arc::clone(&keeper))) {
            self.retire(before);
        }
        Ok((keeper, shared))
    }

    /// Calls that began with a connection settle with it: it stays until the last has, and Redis has heard of it.
    fn retire(&self, shared: Arc<Shared>) {
        let mut retired = lock(&self.retired);
        retired.retain(|one| one.strong_count() > 0);
        retired.push(Arc::downgrade(&shared));
        drop(retired);
        tokio::spawn(async move {
            while Arc::strong_count(&shared) > 1 {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            shared.flush(LAST_WORDS).await;
        });
    }

    /// Writes how things stand into the metrics.
    pub fn report(&self, metrics: &Metrics) {
        self.report_circuits(metrics);
        self.purses.report(metrics);
        for ((model, task), hedge) in lock(&self.hedges).iter() {
            let labels = ModelLabels { model: Word(Arc::clone(model)), task };
            let set = |gauge: &prometheus_client::metrics::gauge::Gauge, count: u64| {
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            };
            set(&metrics.hedges.get_or_create(&labels), hedge.hedges());
            set(&metrics.hedges_won.get_or_create(&labels), hedge.won());
        }
        if let Some((_, store)) = &*lock(&self.store) {
            metrics.cache_holds(store.counts());
        }
        if let Some((_, Some(shared), _)) = &*lock(&self.keeper) {
            metrics.shares(shared.is_up(), shared.counts());
        }
    }

    fn report_circuits(&self, metrics: &Metrics) {
        for (deployment, standing) in self.circuits.standings() {
            let labels = DeploymentLabels { deployment: Word(deployment) };
            metrics.circuit.get_or_create(&labels).set(standing);
        }
    }
}

fn connect(plan: &SharedPlan, metrics: &Arc<Metrics>) -> Result<Arc<Shared>, String> {
    let observed = Arc::clone(metrics);
    let settings = Settings {
        url: plan.redis.clone(),
        ca: plan.ca.clone(),
        prefix: plan.prefix.to_string(),
        timeout: plan.timeout,
        observe: Some(Arc::new(move |what, time| observed.redis_answered(what, time))),
    };
    Shared::new(settings).map(Arc::new).map_err(|why| format!("shared: {why}"))
}

/// What a limit is called in Redis, beside its owner: another measure begins anew.
fn kind(plan: &LimitPlan) -> String {
    match plan.measure {
        Measure::Rate(rate) => format!("{} {}", plan.unit.as_str(), rate.words(plan.unit)),
        Measure::AtOnce(_) => "at once".to_owned(),
    }
}
