//! `aigate serve`: the story from a configuration to a listening gateway, and to its end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use super::{find_or_sample, out::print, plan, runtime, sample};
use crate::{
    config::{Plan, Source},
    gateway::Gateway,
    reload::on_a_thread,
    running::Running,
    telemetry,
};

pub(super) fn serve(config: Option<PathBuf>) -> Result<(), String> {
    let source = find_or_sample(config);
    let plan = on_a_thread(|| plan(&source)).and_then(|plan| plan).map_err(|why| match &source {
        Source::File(file) => format!("{}: {why}", file.display()),
        Source::Text(_) => why,
    })?;
    let is_sample = matches!(source, Source::Text(_));
    runtime()?.block_on(run(source, plan, is_sample))
}

async fn run(source: Source, plan: Plan, is_sample: bool) -> Result<(), String> {
    let guard = telemetry::start(&plan.log, &plan.telemetry)
        .map_err(|error| format!("cannot start the log or the traces: {error}"))?;
    let guard = Arc::new(guard);
    let running = Running::start_from(source, &plan).await?;
    let (delay, grace) = (plan.server.shutdown_delay, plan.server.shutdown_grace);
    if is_sample {
        print(&sample::greeting(running.address)?)?;
    }
    if plan.gate.is_open() {
        tracing::warn!("no keys are set: every caller on this machine is let in, and none from elsewhere");
    }
    tracing::info!(
        listen = %running.address,
        operations = %running.operations_address,
        models = plan.models.len(),
        config = %plan.version,
        "aigate {} is ready", env!("CARGO_PKG_VERSION")
    );
    // The running gateway has what it needs of it.
    drop(plan);
    let lost = tokio::spawn(report_lost_lines(Arc::clone(&guard), Arc::clone(&running.gateway)));
    wait_for_signal().await?;
    tracing::info!(grace = %humantime::format_duration(grace), "stopping: running calls may end");
    let clean = tokio::select! {
        clean = running.stop(delay) => clean,
        // Whoever asks twice does not want to wait.
        again = wait_for_signal() => again.map(|()| false)?,
    };
    if !clean {
        tracing::warn!("some calls had not ended within the grace period and were cut off");
    }
    lost.abort();
    // Sending the last traces blocks.
    let _ = tokio::task::spawn_blocking(move || guard.finish()).await;
    Ok(())
}

/// Copies the count of lost log lines into the metrics.
async fn report_lost_lines(guard: Arc<telemetry::Guard>, gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let lost = i64::try_from(guard.lost_lines()).unwrap_or(i64::MAX);
        gateway.metrics.log_lines_dropped.set(lost);
    }
}

pub(super) async fn wait_for_signal() -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
