//! What outlives a configuration: circuits, retry budgets, limits, budgets, kept answers, what was learned of each deployment's
//! speed. Kept by name and settings, so that a changed setting begins anew and an unchanged one goes on as it was; two models
//! that share a deployment share these as well.

mod money;

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aigate_cache::{Entry, Flights, Store, Streams};
use aigate_limits::{Limit, Wall};
use aigate_replicas::{Settings, Shared};
use tokio::sync::Semaphore;
use tower::retry::budget::TpsBudget;

use self::money::Purses;
use crate::{
    allowance::{Keeper, Ration, RecentOutput, Remote, SharedMeasure, SharedRation},
    config::{
        BudgetPlan, CacheStorePlan, DeploymentPlan, LimitPlan, Measure, Plan, RetryPlan, SharedPlan,
        document::OnExceeded,
    },
    metrics::{DeploymentLabels, Metrics, ModelLabels, Word},
    policy::{
        breaker::{Circuit, Standing},
        failover::HedgeBudget,
        load::Load,
        retry::budget,
    },
};

/// What outlives a configuration.
#[derive(Debug)]
pub struct State {
    wall: Wall,
    circuits: Kept<(Arc<str>, String), Circuit>,
    budgets: Kept<(Arc<str>, String), TpsBudget>,
    loads: Kept<(Arc<str>, &'static str), Load>,
    hedges: Kept<(Arc<str>, &'static str), HedgeBudget>,
    outputs: Kept<Arc<str>, RecentOutput>,
    limits: Kept<LimitPlan, Limit>,
    purses: Purses,
    rooms: Kept<usize, Semaphore>,
    store: Mutex<Option<(CacheStorePlan, Arc<Store>)>>,
    /// Calls under way, which equal ones join.
    pub flights: Arc<Flights<Arc<Entry>>>,
    /// Streams under way, which equal ones join.
    pub streams: Arc<Streams>,
    keeper: Mutex<Option<(SharedKey, Option<Arc<Shared>>, Arc<Keeper>)>>,
}

/// What makes the connection to Redis another one.
type SharedKey = Option<(String, Arc<str>, Duration, bool)>;

/// Things by what they are known by.
type Kept<K, V> = Mutex<HashMap<K, Arc<V>>>;

/// So many calls can be joined at once, of each kind.
const JOINED: usize = 100_000;
/// Unused things are kept, in case they are used again, until there are so many of a kind.
const UNUSED: usize = 4096;

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
    pub fn new(plan: &Plan, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let wall = Wall::system();
        let state = Self {
            wall,
            circuits: Mutex::default(),
            budgets: Mutex::default(),
            loads: Mutex::default(),
            hedges: Mutex::default(),
            outputs: Mutex::default(),
            limits: Mutex::default(),
            purses: Purses::new(wall, Arc::clone(metrics)),
            rooms: Mutex::default(),
            store: Mutex::default(),
            flights: Arc::new(Flights::new(JOINED)),
            streams: Arc::new(Streams::new(JOINED)),
            keeper: Mutex::default(),
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
        prune(&self.circuits);
        prune(&self.budgets);
        prune(&self.loads);
        prune(&self.hedges);
        prune(&self.outputs);
        prune(&self.limits);
        prune(&self.rooms);
    }

    /// Writes down the budgets and tells Redis what it should know. Blocks.
    pub fn put_down(&self) {
        self.purses.put_down();
    }

    /// Room for request bodies, in KiB.
    pub fn room(&self, bytes: usize) -> Arc<Semaphore> {
        keep(&self.rooms, bytes, || Semaphore::new((bytes / 1024).min(Semaphore::MAX_PERMITS)))
    }

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
        let name = match plan.measure {
            Measure::Rate(rate) => {
                format!("{}: {} {}", plan.owner, plan.unit.as_str(), rate.words(plan.unit))
            }
            Measure::AtOnce(most) => format!("{}: {most} calls at once", plan.owner),
        };
        let limit = keep(&self.limits, plan.clone(), || match plan.measure {
            Measure::Rate(rate) => Limit::rate(name, plan.unit, rate, plan.fair),
            Measure::AtOnce(most) => Limit::places(name, u32::try_from(most).unwrap_or(u32::MAX), plan.fair),
        });
        let shared = plan.shared.then(|| SharedRation {
            key: format!("{} {}", plan.owner, kind(plan)).into(),
            measure: match plan.measure {
                Measure::Rate(rate) => SharedMeasure::Rate(rate),
                Measure::AtOnce(most) => SharedMeasure::AtOnce(most),
            },
        });
        Arc::new(Ration { limit, on_exceeded: OnExceeded::Refuse, shared })
    }

    /// A budget in force. What was spent of it stays spent, whatever becomes of its amount.
    pub fn purse(&self, plan: &BudgetPlan) -> Arc<Ration> {
        let shared = plan.shared.then(|| SharedRation {
            key: plan.owner.clone(),
            measure: SharedMeasure::Budget(plan.limit, plan.period),
        });
        Arc::new(Ration { limit: self.purses.limit(plan), on_exceeded: plan.on_exceeded, shared })
    }

    /// Where answers are kept. What is kept moves along when its bounds change.
    pub fn store(&self, plan: CacheStorePlan) -> Arc<Store> {
        let mut store = lock(&self.store);
        let now = match store.take() {
            Some((before, known)) if before == plan => known,
            Some((_, known)) => Arc::new(known.resized(plan.max_bytes, plan.max_entry)),
            None => Arc::new(Store::new(plan.max_bytes, plan.max_entry)),
        };
        *store = Some((plan, Arc::clone(&now)));
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
            (plan.redis.expose_secret().to_owned(), Arc::clone(&plan.prefix), plan.timeout, local)
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
            .map(|(shared, plan)| Remote::new(Arc::clone(shared), plan.on_loss, self.wall));
        let keeper = Arc::new(Keeper::new(remote));
        *known = Some((key, shared.clone(), Arc::clone(&keeper)));
        Ok((keeper, shared))
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
        let circuits = lock(&self.circuits);
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

fn connect(plan: &SharedPlan, metrics: &Arc<Metrics>) -> Result<Arc<Shared>, String> {
    let observed = Arc::clone(metrics);
    let settings = Settings {
        url: plan.redis.clone(),
        ca: None,
        prefix: plan.prefix.to_string(),
        timeout: plan.timeout,
        observe: Some(Arc::new(move |what, time| observed.redis_answered(what, time))),
    };
    Shared::new(settings).map(Arc::new).map_err(|why| format!("shared.redis: {why}"))
}

/// What a limit is called in Redis, beside its owner: another measure begins anew.
fn kind(plan: &LimitPlan) -> String {
    match plan.measure {
        Measure::Rate(rate) => format!("{} {}", plan.unit.as_str(), rate.words(plan.unit)),
        Measure::AtOnce(_) => "at once".to_owned(),
    }
}
