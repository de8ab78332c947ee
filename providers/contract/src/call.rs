//! One request on its way, and what happened to it so far.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Error, ErrorKind, Result, Task, predict::Form};

/// One request on its way. Cheap to clone: retries and failover share the request.
#[derive(Debug)]
pub struct Call<T: Task> {
    /// What is asked.
    pub request: Arc<T::Request>,
    /// The deployment that is asked.
    pub target: Arc<Target>,
    /// When the whole call must have ended.
    pub deadline: Instant,
    /// What happened to the call so far.
    pub trail: Arc<Trail>,
}

impl<T: Task> Clone for Call<T> {
    fn clone(&self) -> Self {
        Self {
            request: Arc::clone(&self.request),
            target: Arc::clone(&self.target),
            deadline: self.deadline,
            trail: Arc::clone(&self.trail),
        }
    }
}

impl<T: Task> Call<T> {
    /// The deployment cannot honour `field`, which changes the answer: refuses the attempt, or drops the field and
    /// names it in the answer's `x-aigate-dropped`, as the config says.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] naming the field, unless the deployment's `on_unsupported` is `drop`.
    pub fn unsupported(&self, field: &str, why: &str) -> Result<()> {
        match self.target.on_unsupported {
            OnUnsupported::Refuse => Err(Error::unsupported(field, why)),
            OnUnsupported::Drop => {
                self.trail.drop_field(field);
                Ok(())
            }
        }
    }

    /// The deployment has no use for `field`, which does not change the answer (`user`, `metadata`, …): it is left
    /// out and named in `x-aigate-dropped`.
    pub fn leave_out(&self, field: &str) {
        self.trail.drop_field(field);
    }
}

/// One concrete model or endpoint at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's name in the config.
    pub provider: Arc<str>,
    /// The deployment's name: `provider/target`, unique within its model.
    pub deployment: Arc<str>,
    /// What the provider calls the model: `target` in the config.
    pub model: Arc<str>,
    /// What to do with a field that the deployment cannot honour.
    pub on_unsupported: OnUnsupported,
    /// The version of the model, where the config states one.
    pub version: Option<Arc<str>>,
    /// How a predict deployment wants to be asked.
    pub form: Option<Arc<Form>>,
    /// Whether it is a model on this machine that stands in for others: its answers are marked as degraded.
    pub fallback: bool,
}

impl Target {
    /// A deployment of which nothing but its names is known.
    pub fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.into(),
            deployment: format!("{provider}/{model}").into(),
            model: model.into(),
            on_unsupported: OnUnsupported::Refuse,
            version: None,
            form: None,
            fallback: false,
        }
    }
}

/// What to do with a request's field that the deployment cannot honour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnsupported {
    /// Refuse the attempt, naming the field; the next deployment is tried.
    #[default]
    Refuse,
    /// Leave the field out and name it in `x-aigate-dropped`.
    Drop,
}

/// What happened to a call so far: written by policies and providers, read by the HTTP edge.
#[derive(Debug)]
pub struct Trail {
    /// The call's id, from the caller or made here.
    pub request_id: Arc<str>,
    /// The caller's W3C `traceparent`.
    received: Option<String>,
    /// The `traceparent` of our own span, once there is one.
    own: OnceLock<String>,
    /// The name of the caller's key, if it has one.
    pub caller: Option<Arc<str>>,
    /// When the call arrived.
    pub started: Instant,
    /// Whether the caller would rather have no answer than a degraded one.
    pub refuses_degraded: bool,
    urgent: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    attempts: Vec<AttemptRecord>,
    dropped: Vec<String>,
    /// The deployment asked last, whether or not it has answered.
    asked: Option<Arc<Target>>,
    fetches: usize,
    fetched: usize,
}

/// The most fields that are named as left out.
const MAX_DROPPED: usize = 32;
/// The most URLs that are fetched for one call, retries and failover included.
const MAX_FETCHES: usize = 32;
/// The most bytes that are fetched for one call.
const MAX_FETCHED: usize = 64 * 1024 * 1024;

/// One try of a call at one deployment.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The deployment tried.
    pub target: Arc<Target>,
    /// How long it took until the answer, its first chunk, or the failure.
    pub elapsed: Duration,
    /// The failure; `None` for the attempt that answered.
    pub failure: Option<Failure>,
}

/// Why an attempt failed, as told to the caller.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
    /// The request's field at fault.
    pub param: Option<String>,
    /// When the deployment may be tried again, if known.
    pub retry_after: Option<Duration>,
}

/// What the answer's headers tell of a call.
#[derive(Clone, Debug)]
pub struct Told {
    /// How many attempts were made.
    pub attempts: usize,
    /// The deployment that answered, if one did.
    pub served_by: Option<Arc<Target>>,
    /// The fields that it left out.
    pub dropped: Vec<String>,
}

impl Failure {
    /// What a caller may read. What concerns the operator's accounts (keys, organisations, quotas) is for the log only.
    pub fn public(&self) -> &str {
        match self.kind {
            ErrorKind::Denied => {
                "the provider refuses the gateway's credentials: its operator finds the reason in the log"
            }
            ErrorKind::Missing => {
                "the provider does not know the deployment: the operator finds the reason in the log"
            }
            ErrorKind::Throttled => "the provider asks for patience",
            _ => &self.message,
        }
    }
}

impl Trail {
    /// A call that begins now.
    pub fn new(request_id: impl Into<Arc<str>>, traceparent: Option<String>) -> Self {
        Self {
            request_id: request_id.into(),
            received: traceparent,
            own: OnceLock::new(),
            caller: None,
            started: Instant::now(),
            refuses_degraded: false,
            urgent: AtomicBool::new(false),
            notes: Mutex::default(),
        }
    }

    /// The caller's W3C `traceparent`.
    pub fn received_traceparent(&self) -> Option<&str> {
        self.received.as_deref()
    }

    /// From now on this `traceparent` is handed on.
    pub fn trace(&self, traceparent: String) {
        // The first span stays the call's.
        let _ = self.own.set(traceparent);
    }

    /// The W3C `traceparent` to hand on to the provider: our own span's, else the caller's.
    pub fn traceparent(&self) -> Option<&str> {
        self.own.get().or(self.received.as_ref()).map(String::as_str)
    }

    /// Every deployment is left alone: an open circuit may let this call try.
    pub fn become_urgent(&self) {
        self.urgent.store(true, Ordering::Relaxed);
    }

    /// Whether every deployment was left alone.
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed)
    }

    /// The call of one who refuses degraded answers, or does not.
    #[must_use]
    pub fn refusing_degraded(mut self, refuses: bool) -> Self {
        self.refuses_degraded = refuses;
        self
    }

    /// The call of a known caller.
    #[must_use]
    pub fn by(mut self, caller: Option<Arc<str>>) -> Self {
        self.caller = caller;
        self
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an attempt.
    pub fn record(&self, target: &Arc<Target>, elapsed: Duration, error: Option<&Error>) {
        let failure = error.map(|error| Failure {
            kind: error.kind(),
            message: error.message().to_owned(),
            param: error.param().map(str::to_owned),
            retry_after: error.retry_after(),
        });
        self.notes().attempts.push(AttemptRecord { target: Arc::clone(target), elapsed, failure });
    }

    /// Notes that a field of the request was left out.
    pub fn drop_field(&self, field: &str) {
        let mut notes = self.notes();
        // Names come from the caller: what cannot stand in a header is replaced.
        let plain = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '?' };
        let field: String = field.chars().take(128).map(plain).collect();
        if notes.dropped.len() < MAX_DROPPED && !notes.dropped.contains(&field) {
            notes.dropped.push(field);
        } else if notes.dropped.len() == MAX_DROPPED {
            notes.dropped.push("...".to_owned());
        }
    }

    /// A deployment is asked.
    pub fn ask(&self, target: &Arc<Target>) {
        self.notes().asked = Some(Arc::clone(target));
    }

    /// The deployment asked last, whether or not it has answered.
    pub fn asked(&self) -> Option<Arc<Target>> {
        self.notes().asked.clone()
    }

    /// Whether one more URL may be fetched for this call, and how many bytes of it.
    pub fn may_fetch(&self) -> Option<usize> {
        let mut notes = self.notes();
        notes.fetches += 1;
        (notes.fetches <= MAX_FETCHES)
            .then(|| MAX_FETCHED.saturating_sub(notes.fetched))
            .filter(|left| *left > 0)
    }

    /// So many bytes were fetched for this call.
    pub fn fetched(&self, bytes: usize) {
        self.notes().fetched += bytes;
    }

    /// The attempts so far.
    pub fn attempts(&self) -> Vec<AttemptRecord> {
        self.notes().attempts.clone()
    }

    /// What the answer's headers tell; `None` before the first attempt.
    pub fn told(&self) -> Option<Told> {
        let notes = self.notes();
        let last = notes.attempts.last()?;
        Some(Told {
            attempts: notes.attempts.len(),
            served_by: last.failure.is_none().then(|| Arc::clone(&last.target)),
            dropped: notes.dropped.clone(),
        })
    }

    /// The fields left out so far.
    pub fn dropped(&self) -> Vec<String> {
        self.notes().dropped.clone()
    }

    /// Forgets the fields left out by an attempt that failed: the next deployment may honour them.
    pub fn forget_dropped(&self) {
        self.notes().dropped.clear();
    }
}
