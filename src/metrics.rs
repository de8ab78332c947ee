//! What is counted, in one table. Names follow the GenAI semantic conventions where they have one, else `aigate_…`.
//!
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>

use std::{fmt, sync::Arc, time::Duration};

use aigate_contract::{ErrorKind, Usage};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

/// A label's value that is shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Word(pub Arc<str>);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.as_ref().encode(encoder)
    }
}

/// Labels of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The name callers use.
    pub model: Word,
    /// The task.
    pub task: &'static str,
    /// The caller's key, or empty.
    pub key: Word,
    /// `ok`, `abandoned`, or the kind of failure.
    pub outcome: &'static str,
}

/// Labels of a model's calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ModelLabels {
    /// The name callers use.
    pub model: Word,
    /// The task.
    pub task: &'static str,
}

/// Labels of an attempt, as the GenAI conventions name them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabels {
    /// `chat`, `embeddings`.
    pub gen_ai_operation_name: &'static str,
    /// `aws.bedrock`, `gcp.vertex_ai`, …
    pub gen_ai_provider_name: &'static str,
    /// The provider's model.
    pub gen_ai_request_model: Word,
    /// The deployment.
    pub aigate_deployment: Word,
    /// The kind of failure, or empty.
    pub error_type: &'static str,
}

/// Labels of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenLabels {
    /// `chat`, `embeddings`.
    pub gen_ai_operation_name: &'static str,
    /// `aws.bedrock`, `gcp.vertex_ai`, …
    pub gen_ai_provider_name: &'static str,
    /// The provider's model.
    pub gen_ai_request_model: Word,
    /// The deployment.
    pub aigate_deployment: Word,
    /// `input` or `output`.
    pub gen_ai_token_type: &'static str,
}

/// Labels of one kind of token of a deployment, disjoint: what prices are made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UsageLabels {
    /// The deployment.
    pub deployment: Word,
    /// `fresh_input`, `cached_read`, `cache_write`, `output`, `reasoning` (a part of `output`).
    pub unit: &'static str,
}

/// Labels of a deployment that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassedOverLabels {
    /// The deployment.
    pub deployment: Word,
    /// `circuit_open`, `asked_to_wait`, `overloaded`.
    pub reason: &'static str,
}

/// The label of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeploymentLabels {
    /// The deployment.
    pub deployment: Word,
}

/// The label of the running version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InfoLabels {
    /// aigate's version.
    pub version: &'static str,
    /// The config's version.
    pub config: Word,
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

/// Labels of a refusal at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// The HTTP status.
    pub status: u16,
}

impl Metrics {
    /// A fresh set, for one process.
    pub fn new(config_version: &Arc<str>) -> Self {
        let mut registry = Registry::default();
        let info = Family::<InfoLabels, Gauge>::default();
        let labels =
            InfoLabels { version: env!("CARGO_PKG_VERSION"), config: Word(Arc::clone(config_version)) };
        info.get_or_create(&labels).set(1);
        registry.register("aigate_info", "The running version and the version of its configuration", info);
        let metrics = Self {
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

    fn register(&self, registry: &mut Registry) {
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
    duration: Histogram,
    first_chunk: Histogram,
    input: Histogram,
    output: Histogram,
    /// In the order of [`parts`].
    usage: [Counter; 5],
}

impl DeploymentMetrics {
    /// Handles for attempts at `deployment`.
    pub fn new(
        metrics: &Arc<Metrics>,
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
