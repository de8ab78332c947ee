//! The configuration is read again while calls go on: load, check, build, swap. A bad file changes nothing but what
//! operators are told.

mod watch;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use self::watch::{Seen, Watch};
use crate::{
    config::{self, Plan, Source},
    gateway::Gateway,
};

/// What became of the last reloads, for `/admin/config`.
#[derive(Debug)]
pub struct Reloads(Mutex<Told>);

#[derive(Debug)]
struct Told {
    version: Arc<str>,
    since: SystemTime,
    reloads: u64,
    /// What changed when this version came.
    changes: Vec<String>,
    /// What the running process cannot change.
    at_next_start: Vec<String>,
    refused: Option<Refused>,
}

#[derive(Clone, Debug)]
struct Refused {
    at: SystemTime,
    faults: String,
}

impl Reloads {
    /// A gateway that begins with this version.
    pub fn new(version: &Arc<str>) -> Self {
        Self(Mutex::new(Told {
            version: Arc::clone(version),
            since: SystemTime::now(),
            reloads: 0,
            changes: Vec::new(),
            at_next_start: Vec::new(),
            refused: None,
        }))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of the configuration, for operators.
    pub fn state(&self) -> Value {
        let told = self.told();
        let time = |at: SystemTime| humantime::format_rfc3339_seconds(at).to_string();
        json!({
            "version": &*told.version,
            "since": time(told.since),
            "reloads": told.reloads,
            "changes": told.changes,
            "at_next_start": told.at_next_start,
            "refused": told.refused.as_ref().map(|refused| json!({"at": time(refused.at), "faults": refused.faults})),
        })
    }
}

/// Reads the configuration again, when told to.
#[derive(Debug)]
pub struct Reloader {
    source: Source,
    gateway: Arc<Gateway>,
    /// The plan that is in force. Held while a reload is under way: there is one at a time.
    plan: tokio::sync::Mutex<Arc<Plan>>,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The version that is in force.
    pub version: Arc<str>,
    /// What changed, in words.
    pub changes: Vec<String>,
    /// Of these what the running process cannot change: it takes effect at the next start.
    pub at_next_start: Vec<String>,
}

impl Reloader {
    /// Reads `source` for a gateway that runs on `plan`.
    pub fn new(source: Source, gateway: Arc<Gateway>, plan: Plan) -> Self {
        Self { source, gateway, plan: tokio::sync::Mutex::new(Arc::new(plan)) }
    }

    /// Reads the configuration again and serves from it, if it is right.
    ///
    /// # Errors
    /// All its faults; the last good one stays in force.
    pub async fn reload(&self, why: &'static str) -> Result<Outcome, String> {
        let mut plan = self.plan.lock().await;
        let (source, before, gateway) = (self.source.clone(), Arc::clone(&plan), Arc::clone(&self.gateway));
        // Files are read, certificates parsed, models looked at: not on the threads that serve calls.
        let built = tokio::task::spawn_blocking(move || {
            let next = config::load(&source)
                .and_then(|loaded| config::check_after(loaded, Some(&before)))
                .map_err(|faults| config::report(&faults))?;
            gateway.change_to(&next)?;
            Ok(next)
        });
        match built.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(next) => {
                let outcome = outcome(&plan, &next);
                self.tell(why, &outcome);
                *plan = Arc::new(next);
                Ok(outcome)
            }
            Err(faults) => {
                self.gateway.metrics.reloads_refused.inc();
                self.gateway.metrics.config_faulty.set(1);
                self.gateway.reloads.told().refused =
                    Some(Refused { at: SystemTime::now(), faults: faults.clone() });
                tracing::error!(why, in_force = %plan.version, faults = %faults, "the configuration is faulty: the last good one stays in force");
                Err(faults)
            }
        }
    }

    fn tell(&self, why: &'static str, outcome: &Outcome) {
        let metrics = &self.gateway.metrics;
        metrics.reloads.inc();
        metrics.config_faulty.set(0);
        let mut told = self.gateway.reloads.told();
        told.reloads += 1;
        told.refused = None;
        if !outcome.changes.is_empty() {
            told.version = Arc::clone(&outcome.version);
            told.since = SystemTime::now();
            told.changes.clone_from(&outcome.changes);
        }
        for change in outcome
            .at_next_start
            .iter()
            .filter(|change| !told.at_next_start.contains(change))
            .cloned()
            .collect::<Vec<_>>()
        {
            told.at_next_start.push(change);
        }
        drop(told);
        tracing::info!(why, config = %outcome.version, changes = %words(&outcome.changes), "the configuration was read again");
        if !outcome.at_next_start.is_empty() {
            tracing::warn!(changes = %words(&outcome.at_next_start), "takes effect at the next start");
        }
    }

    /// Looks at the files that the configuration in force was read from.
    async fn seen(&self) -> Seen {
        let files = self.plan.lock().await.upkeep.files.clone();
        tokio::task::spawn_blocking(move || Seen::of(files)).await.unwrap_or_default()
    }

    /// The configuration may name other files now.
    async fn with_new_files(&self, mut seen: Seen) -> Seen {
        let files = self.plan.lock().await.upkeep.files.clone();
        let look = move || {
            files.into_iter().for_each(|file| seen.add(file));
            seen
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Reloads on SIGHUP and, if `watch`, when a file changes. Ends with the process.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub async fn run(self: Arc<Self>, watch: bool) -> Result<(), String> {
        let mut hangup =
            signal(SignalKind::hangup()).map_err(|error| format!("cannot listen for SIGHUP: {error}"))?;
        let (changed, mut changes) = mpsc::channel(1);
        // Held for as long as its files are those of the configuration in force.
        let mut _watching = if watch { Some(Watch::start(self.seen().await, changed.clone())) } else { None };
        if let Some(Err(why)) = &_watching {
            tracing::warn!(%why, "the configuration's files are not watched: send SIGHUP after a change");
        }
        loop {
            let why = tokio::select! {
                _ = hangup.recv() => "SIGHUP",
                Some(()) = changes.recv() => "a file changed",
            };
            // Before they are read: what changes meanwhile is seen by the next watch.
            let seen = self.seen().await;
            if self.reload(why).await.is_ok() && watch {
                _watching = Some(Watch::start(self.with_new_files(seen).await, changed.clone()));
            }
        }
    }
}

fn outcome(before: &Plan, next: &Plan) -> Outcome {
    let changes = config::diff(&before.tree, &next.tree);
    let at_next_start = changes.iter().filter(|change| needs_start(change)).cloned().collect();
    Outcome { version: Arc::clone(&next.version), changes, at_next_start }
}

/// What only a new process can change: listeners are open, the log and the traces have begun.
fn needs_start(change: &str) -> bool {
    const FIXED: [&str; 10] = [
        "server.listen",
        "server.header_timeout",
        "server.max_connections",
        "server.shutdown_delay",
        "server.shutdown_grace",
        "operations.listen",
        "log.",
        "telemetry.",
        "state.",
        "reload.",
    ];
    FIXED.iter().any(|fixed| change.starts_with(fixed))
}

fn words(changes: &[String]) -> String {
    if changes.is_empty() { "none".to_owned() } else { changes.join("; ") }
}
