//! The log and the traces.

use std::{io::IsTerminal, time::Duration};

use aigate_contract::{BoxError, Trail};
use http::HeaderMap;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource, runtime,
    trace::{
        BatchConfigBuilder, Sampler, SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor,
    },
};
use tracing::{Span, field::Empty};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    Layer, filter::Targets, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::config::document::{Log, LogFormat, Telemetry};

const TRACEPARENT: &str = "traceparent";

/// Spans for traces have this target; the log does not show them.
const TRACE: &str = "aigate::trace";

/// Keeps the log and the traces going; dropped last, it writes out what is left.
#[derive(Debug)]
pub struct Guard {
    _log: WorkerGuard,
    lost: ErrorCounter,
    traces: Option<SdkTracerProvider>,
}

impl Guard {
    /// How many log lines were lost because the log could not keep up.
    pub fn lost_lines(&self) -> usize {
        self.lost.dropped_lines()
    }

    /// Sends the traces that are left, for at most a few seconds.
    pub fn finish(&self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(Duration::from_secs(3))
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Starts the log and, when an endpoint is set, the traces. Must be called inside the runtime.
///
/// # Errors
/// When the exporter cannot be built, or a log is there already.
pub fn start(log: &Log, telemetry: &Telemetry) -> Result<Guard, BoxError> {
    // Written by a thread of its own, so that a slow reader of the log never stops a call.
    let (writer, worker) = NonBlockingBuilder::default().lossy(true).finish(std::io::stderr());
    let lost = writer.error_counter();
    let levels: Targets = log.level.parse()?;
    let levels = levels.with_target(TRACE, tracing::level_filters::LevelFilter::OFF);
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<_> + Send + Sync> = if json {
        let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        lines.with_filter(levels).boxed()
    } else {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        lines.with_ansi(colours).with_filter(levels).boxed()
    };
    let traces = telemetry.otlp_endpoint.as_deref().map(|url| provider(url, telemetry)).transpose()?;
    let registry = tracing_subscriber::registry().with(lines);
    match &traces {
        Some(traces) => registry.with(trace_layer(traces)).try_init()?,
        None => registry.try_init()?,
    }
    Ok(Guard { _log: worker, lost, traces })
}

fn provider(endpoint: &str, telemetry: &Telemetry) -> Result<SdkTracerProvider, BoxError> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()?;
    let batch = BatchConfigBuilder::default().with_scheduled_delay(Duration::from_secs(1)).build();
    let processor = BatchSpanProcessor::builder(exporter, runtime::Tokio).with_batch_config(batch).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(telemetry.sample_ratio)));
    opentelemetry::global::set_text_map_propagator(
        opentelemetry_sdk::propagation::TraceContextPropagator::new(),
    );
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(sampler)
        .with_resource(Resource::builder().with_service_name(telemetry.service_name.clone()).build())
        .build())
}

fn trace_layer<S>(traces: &SdkTracerProvider) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let only_traces = Targets::new().with_target(TRACE, tracing::level_filters::LevelFilter::INFO);
    tracing_opentelemetry::layer().with_tracer(traces.tracer("aigate")).with_filter(only_traces)
}

/// The caller's trace context, if it sent one in the W3C's form.
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = text.split('-');
    let version = parts.next().is_some_and(|part| hex(part, 2));
    let trace = parts.next().is_some_and(|part| hex(part, 32));
    let parent = parts.next().is_some_and(|part| hex(part, 16));
    let flags = parts.next().is_some_and(|part| hex(part, 2));
    (version && trace && parent && flags && text.len() <= 128).then(|| text.to_owned())
}

/// The span of a call; its parent is the caller's.
pub fn call_span(operation: &'static str, trail: &Trail) -> Span {
    let span = tracing::info_span!(
        target: TRACE,
        "call",
        otel.name = operation,
        otel.kind = "server",
        otel.status_code = Empty,
        gen_ai.operation.name = operation,
        gen_ai.request.model = Empty,
        error.type = Empty,
        aigate.request_id = %trail.request_id,
    );
    if !span.is_disabled()
        && let Some(traceparent) = trail.received_traceparent()
    {
        let carrier = std::collections::HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
        let parent =
            opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
        // Fails only for a span that has begun already.
        let _ = span.set_parent(parent);
    }
    span
}

/// The `traceparent` of a span, for the provider; `None` when nothing is traced.
pub fn traceparent_of(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let mut carrier = std::collections::HashMap::<String, String>::new();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&span.context(), &mut carrier);
    });
    carrier.remove(TRACEPARENT)
}
