//! The configuration is read again while calls go on: load, check, build, swap. A bad file changes nothing but what
//! operators are told.

mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Value, json};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch as latest},
};

use self::watch::{Seen, Watch};
use crate::{
    config::{self, Before, Plan, Source, Tree},
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
    /// Held while a reload is under way: there is one at a time.
    in_force: tokio::sync::Mutex<InForce>,
    /// Of the configuration that the process began with: what only a new process can change.
    fixed: Value,
    /// What the last reload saw of the files to watch.
    seen: latest::Sender<Seen>,
}

/// What the next reload needs to know of the configuration in force.
#[derive(Debug)]
struct InForce {
    version: Arc<str>,
    tree: Arc<Tree>,
    kept: Before,
    files: Vec<PathBuf>,
}

impl From<&Plan> for InForce {
    fn from(plan: &Plan) -> Self {
        Self {
            version: Arc::clone(&plan.version),
            tree: Arc::clone(&plan.tree),
            kept: plan.into(),
            files: plan.upkeep.files.clone(),
        }
    }
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The version that is in force.
    pub version: Arc<str>,
    /// What changed, in words.
    pub changes: Vec<String>,
    /// What differs from the configuration that the process began with and that it cannot change: it takes effect at the next
    /// start.
    pub at_next_start: Vec<String>,
}

impl Reloader {
    /// Reads `source` for a gateway that runs on `plan`.
    pub fn new(source: Source, gateway: Arc<Gateway>, plan: &Plan) -> Self {
        Self {
            source,
            gateway,
            in_force: tokio::sync::Mutex::new(plan.into()),
            fixed: fixed(&plan.tree),
            seen: latest::Sender::new(Seen::default()),
        }
    }

    /// Reads the configuration again and serves from it, if it is right.
    ///
    /// # Errors
    /// All its faults; the last good one stays in force.
    pub async fn reload(&self, why: &'static str) -> Result<Outcome, String> {
        let mut in_force = self.in_force.lock().await;
        let (source, gateway) = (self.source.clone(), Arc::clone(&self.gateway));
        let (tree, files) = (Arc::clone(&in_force.tree), in_force.files.clone());
        let kept = in_force.kept.clone();
        // Files are read, certificates parsed, models looked at: not on the threads that serve calls.
        let reading = tokio::task::spawn_blocking(move || {
            // Before they are read: what changes meanwhile is seen by the next watch.
            let mut seen = Seen::of(files);
            let next = on_a_thread(|| read(&source, &tree, &kept, &gateway)).and_then(|next| next);
            // The configuration may name other files now.
            next.iter().flat_map(|next| &next.files).for_each(|file| seen.add(file.clone()));
            (next, seen)
        });
        let (next, seen) = reading.await.unwrap_or_else(|error| (Err(error.to_string()), Seen::default()));
        self.seen.send_replace(seen);
        match next {
            Ok(next) => {
                let outcome = self.outcome(&in_force, &next);
                self.tell(why, &outcome);
                *in_force = next;
                Ok(outcome)
            }
            Err(faults) => {
                self.gateway.metrics.reloads_refused.inc();
                self.gateway.metrics.config_faulty.set(1);
                self.gateway.reloads.told().refused =
                    Some(Refused { at: SystemTime::now(), faults: faults.clone() });
                tracing::error!(why, in_force = %in_force.version, faults = %faults, "the configuration is faulty: the last good one stays in force");
                Err(faults)
            }
        }
    }

    fn outcome(&self, before: &InForce, next: &InForce) -> Outcome {
        let mut changes = before.tree.changes(&next.tree);
        for name in before.kept.changed(&next.kept) {
            let path = format!("providers.{name}");
            if !changes.iter().any(|change| change.starts_with(&path)) {
                changes.push(format!("{path}: a file that it names has another content"));
            }
        }
        let at_next_start = config::diff(&self.fixed, &fixed(&next.tree));
        Outcome { version: Arc::clone(&next.version), changes, at_next_start }
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
        let waiting = told.at_next_start != outcome.at_next_start && !outcome.at_next_start.is_empty();
        told.at_next_start.clone_from(&outcome.at_next_start);
        drop(told);
        tracing::info!(why, config = %outcome.version, changes = %words(&outcome.changes), "the configuration was read again");
        if waiting {
            tracing::warn!(changes = %words(&outcome.at_next_start), "takes effect at the next start");
        }
    }

    /// Looks at the files that the configuration in force was read from.
    async fn look(&self) -> Seen {
        let files = self.in_force.lock().await.files.clone();
        tokio::task::spawn_blocking(move || Seen::of(files)).await.unwrap_or_default()
    }

    /// Reloads on SIGHUP and, if `watch`, when a file changes. Ends with the process.
    pub async fn run(self: Arc<Self>, watch: bool, mut hangup: Signal) {
        let (changed, mut changes) = mpsc::channel(1);
        let mut looks = self.seen.subscribe();
        // Held for as long as its files are those of the configuration in force.
        let mut _watching = None;
        if watch {
            let watching = Watch::start(self.look().await, changed.clone());
            if let Err(why) = &watching {
                tracing::warn!(%why, "the configuration's files are not watched: send SIGHUP after a change");
            }
            _watching = watching.ok();
        }
        loop {
            let why = tokio::select! {
                _ = hangup.recv() => "SIGHUP",
                Some(()) = changes.recv() => "a file changed",
                // After each reload, by whomever: also what was not there, or was faulty, is then news when it comes.
                Ok(()) = looks.changed(), if watch => {
                    let seen = looks.borrow_and_update().clone();
                    _watching = Watch::start(seen, changed.clone()).ok();
                    continue;
                }
            };
            // Its faults are told.
            let _ = self.reload(why).await;
        }
    }
}

/// Listens for SIGHUP: from then on it does not end the process.
///
/// # Errors
/// When signals cannot be listened for.
pub fn hangup() -> Result<Signal, String> {
    signal(SignalKind::hangup()).map_err(|error| format!("cannot listen for SIGHUP: {error}"))
}

/// Reads a configuration on a thread of its own: what that took for a while goes back when the thread ends, which is the better
/// part of it when there are very many keys.
///
/// # Errors
/// When there is no thread to be had, or it fails.
pub fn on_a_thread<T: Send>(read: impl FnOnce() -> T + Send) -> Result<T, String> {
    let runtime = tokio::runtime::Handle::try_current().ok();
    let read = move || {
        let _within = runtime.as_ref().map(tokio::runtime::Handle::enter);
        read()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("aigate-reload".to_owned());
        let thread = thread.spawn_scoped(scope, read).map_err(|error| format!("no thread: {error}"))?;
        thread
            .join()
            .map_err(|_| "the configuration could not be read: this is a defect of aigate".to_owned())
    })
}

/// Loads, checks, builds, swaps.
fn read(source: &Source, before: &Tree, kept: &Before, gateway: &Gateway) -> Result<InForce, String> {
    let next = config::load_after(source, Some(before))
        .and_then(|loaded| config::check_after(loaded, kept))
        .map_err(|faults| config::report(&faults))?;
    gateway.change_to(&next)?;
    Ok(InForce::from(&next))
}

/// What only a new process can change: listeners are open, the log and the traces have begun.
fn fixed(tree: &Tree) -> Value {
    const FIXED: [(&str, &[&str]); 6] = [
        ("server", &["listen", "header_timeout", "max_connections", "shutdown_delay", "shutdown_grace"]),
        ("operations", &["listen"]),
        ("log", &["format", "level"]),
        ("telemetry", &["otlp_endpoint", "service_name", "sample_ratio"]),
        ("state", &["file"]),
        ("reload", &["watch"]),
    ];
    let section = |(name, keys): (&str, &[&str])| {
        let section = tree.section(name)?;
        let kept = keys.iter().filter_map(|key| Some(((*key).to_owned(), section.get(*key)?.clone())));
        Some((name.to_owned(), Value::Object(kept.collect())))
    };
    Value::Object(FIXED.into_iter().filter_map(section).collect())
}

fn words(changes: &[String]) -> String {
    if changes.is_empty() { "none".to_owned() } else { changes.join("; ") }
}
