//! What is counted, in one table. Names follow the GenAI semantic conventions where they have one, else `aigate_…`.
//!
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>

mod labels;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use aigate_contract::{Caller, Cost, ErrorKind, Money, Usage};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

pub use self::labels::{
    AttemptLabels, BudgetLabels, CacheLabels, CallLabels, CostLabels, DeploymentLabels, InfoLabels,
    KeyLabels, LabelLabels, ModelLabels, PassedOverLabels, RedisLabels, RefusalLabels, TokenLabels,
    UsageLabels, WhatLabels, Word,
};

/// So many callers have a series of their own; the rest share one. Tokens of an identity provider may name any number.
const MOST_SERIES: usize = 10_000;

/// Milliseconds and less, for what is near.
#[derive(Clone, Copy, Debug)]
pub struct Near;

impl MetricConstructor<Histogram> for Near {
    fn new_metric(&self) -> Histogram {
        Histogram::new((0..14).map(|power| 0.0001 * f64::from(1_u32 << power)))
    }
}

/// Seconds, doubling from 10 ms: the conventions' buckets.
#[derive(Clone, Copy, Debug)]
pub struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new((0..14).map(|power| 0.01 * f64::from(1_u32 << power)))
    }
}

/// Tokens, times four from one: the conventions' buckets.
#[derive(Clone, Copy, Debug)]
pub struct Tokens;

impl MetricConstructor<Histogram> for Tokens {
    fn new_metric(&self) -> Histogram {
        Histogram::new((0..14).map(|power| f64::from(1_u32 << (2 * power))))
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    info: Family<InfoLabels, Gauge>,
    /// Labels and their values that have a series of their own.
    series: RwLock<HashSet<(Arc<str>, Arc<str>)>>,
    /// What calls cost, by model.
    pub cost: Family<ModelLabels, Counter<f64, AtomicU64>>,
    /// What attempts cost, by deployment.
    pub attempt_cost: Family<CostLabels, Counter<f64, AtomicU64>>,
    /// Answers whose cost nobody knows.
    pub cost_absent: Family<DeploymentLabels, Counter>,
    /// What keys spent.
    pub key_cost: Family<KeyLabels, Counter<f64, AtomicU64>>,
    /// What the keys with a label spent.
    pub label_cost: Family<LabelLabels, Counter<f64, AtomicU64>>,
    /// The calls of keys with a label.
    pub label_calls: Family<LabelLabels, Counter>,
    /// How budgets stand, in US dollars.
    pub budget: Family<BudgetLabels, Gauge<f64, AtomicU64>>,
    /// Writes of the budgets that failed, and were or will be made again.
    pub state_write_failures: Gauge,
    /// What the cache had to do with calls.
    pub cache: Family<CacheLabels, Counter>,
    /// What the cache holds: `entries`, `bytes`, `evicted`.
    pub cache_holds: Family<WhatLabels, Gauge>,
    /// Calls that were asked twice.
    pub hedges: Family<ModelLabels, Gauge>,
    /// Calls whose second deployment was first.
    pub hedges_won: Family<ModelLabels, Gauge>,
    /// Whether Redis answers; absent without one.
    pub redis_up: Family<WhatLabels, Gauge>,
    /// What happened between here and Redis.
    pub redis: Family<WhatLabels, Gauge>,
    /// How long Redis took.
    pub redis_duration: Family<RedisLabels, Histogram, Near>,
    /// Times the configuration was read again.
    pub reloads: Counter,
    /// Times a faulty configuration was refused.
    pub reloads_refused: Counter,
    /// Whether the configuration's files are faulty, so that an older one is in force.
    pub config_faulty: Gauge,
    /// Calls that ended.
    pub calls: Family<CallLabels, Counter>,
    /// How long calls took, streams to their end.
    pub call_duration: Family<ModelLabels, Histogram, Seconds>,
    /// Calls on their way now.
    pub in_flight: Gauge,
    /// Attempts: count and duration, streams until their first chunk.
    pub attempt_duration: Family<AttemptLabels, Histogram, Seconds>,
    /// Time to a stream's first chunk.
    pub first_chunk: Family<AttemptLabels, Histogram, Seconds>,
    /// Tokens of a call.
    pub tokens: Family<TokenLabels, Histogram, Tokens>,
    /// Tokens in disjoint units.
    pub usage: Family<UsageLabels, Counter>,
    /// Rows scored.
    pub rows: Family<DeploymentLabels, Counter>,
    /// Answers whose usage the provider did not tell.
    pub usage_absent: Family<DeploymentLabels, Counter>,
    /// Times a deployment was passed over without being asked.
    pub passed_over: Family<PassedOverLabels, Counter>,
    /// How each circuit stands: 0 closed, 1 half open, 2 open.
    pub circuit: Family<DeploymentLabels, Gauge>,
    /// Refusals at the edge, before a model was found, by status.
    pub refused: Family<RefusalLabels, Counter>,
    /// Log lines that were lost because the log could not keep up.
    pub log_lines_dropped: Gauge,
}

impl Metrics {
    /// A fresh set, for one process.
    #[expect(clippy::new_without_default, reason = "a set that nobody serves is of no use")]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            info: Family::default(),
            series: RwLock::default(),
            cost: Family::default(),
            attempt_cost: Family::default(),
            cost_absent: Family::default(),
            key_cost: Family::default(),
            label_cost: Family::default(),
            label_calls: Family::default(),
            budget: Family::default(),
            state_write_failures: Gauge::default(),
            cache: Family::default(),
            cache_holds: Family::default(),
            hedges: Family::default(),
            hedges_won: Family::default(),
            redis_up: Family::default(),
            redis: Family::default(),
            redis_duration: Family::new_with_constructor(Near),
            reloads: Counter::default(),
            reloads_refused: Counter::default(),
            config_faulty: Gauge::default(),
            calls: Family::default(),
            call_duration: Family::new_with_constructor(Seconds),
            in_flight: Gauge::default(),
            attempt_duration: Family::new_with_constructor(Seconds),
            first_chunk: Family::new_with_constructor(Seconds),
            tokens: Family::new_with_constructor(Tokens),
            usage: Family::default(),
            rows: Family::default(),
            usage_absent: Family::default(),
            passed_over: Family::default(),
            circuit: Family::default(),
            refused: Family::default(),
            log_lines_dropped: Gauge::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        Self { registry, ..metrics }
    }

    /// From now on this configuration is in force.
    pub fn runs_on(&self, config: &Arc<str>) {
        self.info.clear();
        let labels = InfoLabels { version: env!("CARGO_PKG_VERSION"), config: Word(Arc::clone(config)) };
        self.info.get_or_create(&labels).set(1);
    }

    /// A value of a label that may come from tokens: past ten thousand of them, of all such labels together, `other`.
    fn bounded(&self, label: &Arc<str>, value: &Arc<str>) -> Word {
        let series = (Arc::clone(label), Arc::clone(value));
        if self.series.read().unwrap_or_else(PoisonError::into_inner).contains(&series) {
            return Word(series.1);
        }
        let mut known = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_SERIES {
            return Word("other".into());
        }
        let word = Word(Arc::clone(value));
        known.insert(series);
        word
    }

    /// A caller's name as a label.
    pub fn key(&self, caller: &Caller) -> Word {
        self.bounded(&Arc::default(), &caller.name)
    }

    /// A caller's call has ended.
    pub fn called_by(&self, caller: &Caller) {
        for (label, value) in &caller.labels {
            self.label_calls.get_or_create(&self.label(label, value)).inc();
        }
    }

    /// A caller has spent this much.
    pub fn spent_by(&self, caller: &Caller, cost: Money) {
        let (key, dollars) = (self.key(caller), cost.as_dollars());
        self.key_cost.get_or_create(&KeyLabels { key }).inc_by(dollars);
        for (label, value) in &caller.labels {
            self.label_cost.get_or_create(&self.label(label, value)).inc_by(dollars);
        }
    }

    fn label(&self, label: &Arc<str>, value: &Arc<str>) -> LabelLabels {
        LabelLabels { label: Word(Arc::clone(label)), value: self.bounded(label, value) }
    }

    /// What the cache holds.
    pub fn cache_holds(&self, counts: aigate_cache::Counts) {
        self.set(&self.cache_holds, "entries", counts.entries);
        self.set(&self.cache_holds, "bytes", counts.bytes);
        self.set(&self.cache_holds, "evicted", counts.evicted);
    }

    /// How Redis stands.
    pub fn shares(&self, up: bool, counts: aigate_replicas::Counts) {
        self.set(&self.redis_up, "limits", u64::from(up));
        for (what, count) in [
            ("losses", counts.losses),
            ("timeouts", counts.timeouts),
            ("script_errors", counts.script_errors),
            ("settles_waiting", counts.settles_waiting),
            ("settles_dropped", counts.settles_dropped),
            ("puts_dropped", counts.puts_dropped),
        ] {
            self.set(&self.redis, what, count);
        }
    }

    fn set(&self, family: &Family<WhatLabels, Gauge>, what: &'static str, count: u64) {
        family.get_or_create(&WhatLabels { what }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Redis took so long to answer.
    pub fn redis_answered(&self, what: &'static str, time: Duration) {
        self.redis_duration.get_or_create(&RedisLabels { what }).observe(time.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "aigate_info",
            "The running version and the version of its configuration",
            self.info.clone(),
        );
        registry.register("aigate_cost_usd", "What calls cost, as far as it is known", self.cost.clone());
        registry.register("aigate_deployment_cost_usd", "What attempts cost", self.attempt_cost.clone());
        registry.register("aigate_cost_absent", "Answers whose cost is not known", self.cost_absent.clone());
        registry.register("aigate_key_cost_usd", "What keys spent", self.key_cost.clone());
        registry.register(
            "aigate_label_cost_usd",
            "What the keys with a label spent",
            self.label_cost.clone(),
        );
        registry.register("aigate_label_calls", "Calls of the keys with a label", self.label_calls.clone());
        registry.register(
            "aigate_budget_usd",
            "Budgets: their limits, what is spent and reserved",
            self.budget.clone(),
        );
        registry.register(
            "aigate_state_write_failures",
            "Writes of the budgets that failed",
            self.state_write_failures.clone(),
        );
        registry.register("aigate_cache", "What the cache had to do with calls", self.cache.clone());
        registry.register(
            "aigate_cache_holds",
            "Entries and bytes in the cache, entries evicted",
            self.cache_holds.clone(),
        );
        registry.register("aigate_hedges", "Calls that two deployments were asked", self.hedges.clone());
        registry.register(
            "aigate_hedges_won",
            "Such calls that the second one answered first",
            self.hedges_won.clone(),
        );
        registry.register("aigate_redis_up", "Whether Redis answers", self.redis_up.clone());
        registry.register(
            "aigate_redis_events",
            "Losses, timeouts and errors of Redis, what waits for it",
            self.redis.clone(),
        );
        registry.register_with_unit(
            "aigate_redis_duration",
            "How long Redis took to answer",
            Unit::Seconds,
            self.redis_duration.clone(),
        );
        registry.register("aigate_reloads", "Times the configuration was read again", self.reloads.clone());
        registry.register(
            "aigate_reloads_refused",
            "Times a faulty configuration was refused",
            self.reloads_refused.clone(),
        );
        registry.register(
            "aigate_config_faulty",
            "1 while the configuration's files are faulty and an older one is in force",
            self.config_faulty.clone(),
        );
        registry.register("aigate_calls", "Calls that ended", self.calls.clone());
        registry.register_with_unit(
            "aigate_call_duration",
            "How long calls took, streams to their end",
            Unit::Seconds,
            self.call_duration.clone(),
        );
        registry.register("aigate_calls_in_flight", "Calls on their way", self.in_flight.clone());
        registry.register_with_unit(
            "gen_ai_client_operation_duration",
            "How long attempts took, streams until their first chunk",
            Unit::Seconds,
            self.attempt_duration.clone(),
        );
        registry.register_with_unit(
            "gen_ai_client_operation_time_to_first_chunk",
            "Time to a stream's first chunk",
            Unit::Seconds,
            self.first_chunk.clone(),
        );
        registry.register("gen_ai_client_token_usage", "Tokens of an answer", self.tokens.clone());
        registry.register("aigate_tokens", "Tokens in disjoint units", self.usage.clone());
        registry.register("aigate_rows", "Rows scored", self.rows.clone());
        registry.register(
            "aigate_usage_absent",
            "Answers whose usage the provider did not tell",
            self.usage_absent.clone(),
        );
        registry.register(
            "aigate_passed_over",
            "Times a deployment was passed over without being asked",
            self.passed_over.clone(),
        );
        registry.register("aigate_circuit", "Circuits: 0 closed, 1 half open, 2 open", self.circuit.clone());
        registry.register(
            "aigate_refused",
            "Requests refused before a model was called",
            self.refused.clone(),
        );
        registry.register(
            "aigate_log_lines_dropped",
            "Log lines lost because the log could not keep up",
            self.log_lines_dropped.clone(),
        );
    }

    /// The OpenMetrics text.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Handles of one deployment's metrics for one task, made once.
#[derive(Debug)]
pub struct DeploymentMetrics {
    metrics: Arc<Metrics>,
    labels: AttemptLabels,
    /// What calls of the model cost.
    model_cost: Counter<f64, AtomicU64>,
    duration: Histogram,
    first_chunk: Histogram,
    input: Histogram,
    output: Histogram,
    /// In the order of [`parts`].
    usage: [Counter; 5],
}

impl DeploymentMetrics {
    /// Handles for attempts at `deployment`, for calls of a model.
    pub fn new(
        metrics: &Arc<Metrics>,
        called: &ModelLabels,
        operation: &'static str,
        system: &'static str,
        model: &Arc<str>,
        deployment: &Arc<str>,
    ) -> Self {
        let labels = AttemptLabels {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: system,
            gen_ai_request_model: Word(Arc::clone(model)),
            aigate_deployment: Word(Arc::clone(deployment)),
            error_type: "",
        };
        let tokens = |kind| {
            let labels = TokenLabels {
                gen_ai_operation_name: operation,
                gen_ai_provider_name: system,
                gen_ai_request_model: Word(Arc::clone(model)),
                aigate_deployment: Word(Arc::clone(deployment)),
                gen_ai_token_type: kind,
            };
            metrics.tokens.get_or_create(&labels).clone()
        };
        Self {
            model_cost: metrics.cost.get_or_create(called).clone(),
            duration: metrics.attempt_duration.get_or_create(&labels).clone(),
            first_chunk: metrics.first_chunk.get_or_create(&labels).clone(),
            input: tokens("input"),
            output: tokens("output"),
            usage: parts(&Usage::default()).map(|(unit, _)| {
                let labels = UsageLabels { deployment: Word(Arc::clone(deployment)), unit };
                metrics.usage.get_or_create(&labels).clone()
            }),
            metrics: Arc::clone(metrics),
            labels,
        }
    }

    /// An attempt that answered.
    pub fn answered(&self, elapsed: Duration, streamed: bool) {
        self.duration.observe(elapsed.as_secs_f64());
        if streamed {
            self.first_chunk.observe(elapsed.as_secs_f64());
        }
    }

    /// An attempt that failed. The gateway's own refusals took no time at the provider: they are only counted.
    pub fn failed(&self, elapsed: Duration, kind: ErrorKind) {
        if kind.is_own_refusal() {
            let deployment = self.labels.aigate_deployment.clone();
            let labels = PassedOverLabels { deployment, reason: kind.as_str() };
            self.metrics.passed_over.get_or_create(&labels).inc();
            return;
        }
        let labels = AttemptLabels { error_type: kind.as_str(), ..self.labels.clone() };
        self.metrics.attempt_duration.get_or_create(&labels).observe(elapsed.as_secs_f64());
    }

    /// What an attempt cost, on whose account.
    pub fn cost(&self, cost: &Cost, caller: Option<&Caller>) {
        let deployment = self.labels.aigate_deployment.clone();
        let Some(money) = cost.money() else {
            self.metrics.cost_absent.get_or_create(&DeploymentLabels { deployment }).inc();
            return;
        };
        self.model_cost.inc_by(money.as_dollars());
        if let Some(caller) = caller {
            self.metrics.spent_by(caller, money);
        }
        let labels = CostLabels { deployment, known: cost.as_str() };
        self.metrics.attempt_cost.get_or_create(&labels).inc_by(money.as_dollars());
    }

    /// What an answer consumed, as far as it is known.
    pub fn consumed(&self, usage: Option<&Usage>) {
        let deployment = || self.labels.aigate_deployment.clone();
        let Some(usage) = usage else {
            self.metrics.usage_absent.get_or_create(&DeploymentLabels { deployment: deployment() }).inc();
            return;
        };
        // Counts of tokens are far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^52")]
        let float = |count: u64| count as f64;
        if let Some(input) = usage.input() {
            self.input.observe(float(input));
        }
        if let Some(output) = usage.output {
            self.output.observe(float(output));
        }
        if let Some(rows) = usage.rows {
            let labels = DeploymentLabels { deployment: deployment() };
            self.metrics.rows.get_or_create(&labels).inc_by(rows);
        }
        for (counter, (_, count)) in self.usage.iter().zip(parts(usage)) {
            counter.inc_by(count.unwrap_or(0));
        }
    }
}

/// The disjoint units of usage, by name.
fn parts(usage: &Usage) -> [(&'static str, Option<u64>); 5] {
    [
        ("fresh_input", usage.fresh_input),
        ("cached_read", usage.cached_read),
        ("cache_write", usage.cache_write),
        ("output", usage.output),
        ("reasoning", usage.reasoning),
    ]
}
