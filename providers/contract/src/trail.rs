//! What happened to a call so far.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{Caller, Cost, Error, ErrorKind, Money, Target};

/// What happened to a call so far: written by policies and providers, read by the HTTP edge.
#[derive(Debug)]
pub struct Trail {
    /// The call's id, from the caller or made here.
    pub request_id: Arc<str>,
    /// The caller's W3C `traceparent`.
    received: Option<String>,
    /// The `traceparent` of our own span, once there is one.
    own: OnceLock<String>,
    /// Who calls, where callers are known.
    pub caller: Option<Arc<Caller>>,
    /// When the call arrived.
    pub started: Instant,
    /// Whether the caller would rather have no answer than a degraded one.
    pub refuses_degraded: bool,
    /// What the caller says of the cache.
    pub cache: CacheWishes,
    urgent: AtomicBool,
    expected: OnceLock<Expected>,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    attempts: Vec<AttemptRecord>,
    /// Fields left out, and by which deployment: two may be asked at once.
    dropped: Vec<(Arc<str>, String)>,
    /// The deployment asked last, whether or not it has answered.
    asked: Option<Arc<Target>>,
    fetches: usize,
    fetched: usize,
    cache: Option<CacheNote>,
    narrowing: Narrowing,
    standings: Vec<Standing>,
    warnings: Vec<String>,
}

/// What a caller says of the cache, in `Cache-Control` and `x-aigate-cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheWishes {
    /// `no-cache`: the answer must be fresh.
    pub no_cache: bool,
    /// `no-store`: the answer must not be kept.
    pub no_store: bool,
    /// `x-aigate-cache: use`: an answer that was drawn by chance will do again.
    pub sampled: bool,
}

/// What the cache had to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheNote {
    /// In a word.
    pub status: CacheStatus,
    /// How old the answer is.
    pub age: Option<Duration>,
    /// Who gave it.
    pub target: Option<Arc<Target>>,
}

/// What the cache had to do with an answer, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheStatus {
    /// It was kept from before.
    Hit,
    /// It was not there.
    Miss,
    /// It was kept for longer than it is good, and nobody could give a fresh one.
    Stale,
    /// Another call for the same was on its way.
    Coalesced,
    /// The cache was not asked.
    Bypass,
}

impl CacheStatus {
    /// The word in headers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Coalesced => "coalesced",
            Self::Bypass => "bypass",
        }
    }

    /// Whether no provider was asked on behalf of this call.
    pub const fn is_free(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Coalesced)
    }
}

/// What a call was expected to consume before it was sent. Good for reservations, not for bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Input tokens.
    pub input: u64,
    /// Output tokens, of all choices.
    pub output: u64,
}

/// Which deployments may still answer a caller whose budget is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Narrowing {
    /// All.
    #[default]
    None,
    /// The one that costs least.
    Cheapest,
    /// Those on this machine.
    Local,
}

/// How a limit stands after a call was let through or refused: for the `x-ratelimit-…` headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `requests`, `tokens`, ….
    pub unit: &'static str,
    /// The most in one period.
    pub limit: u64,
    /// What is left at this moment.
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
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
    /// What it cost; `None` while that is not known yet.
    pub cost: Option<Cost>,
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
            cache: CacheWishes::default(),
            urgent: AtomicBool::new(false),
            expected: OnceLock::new(),
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
    pub fn by(mut self, caller: Option<Arc<Caller>>) -> Self {
        self.caller = caller;
        self
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the caller says of the cache.
    #[must_use]
    pub fn with_cache_wishes(mut self, wishes: CacheWishes) -> Self {
        self.cache = wishes;
        self
    }

    /// The call will consume about this much.
    pub fn expect(&self, expected: Expected) {
        // Failover and retries ask the same.
        let _ = self.expected.set(expected);
    }

    /// What the call was expected to consume, where a limit or a price made somebody reckon.
    pub fn expected(&self) -> Option<Expected> {
        self.expected.get().copied()
    }

    /// Only some deployments may answer.
    pub fn narrow(&self, narrowing: Narrowing) {
        self.notes().narrowing = narrowing;
    }

    /// Which deployments may answer.
    pub fn narrowing(&self) -> Narrowing {
        self.notes().narrowing
    }

    /// What the cache had to do with the answer.
    pub fn note_cache(&self, note: CacheNote) {
        self.notes().cache = Some(note);
    }

    /// What the cache had to do with the answer; `None` where the model has no cache.
    pub fn cache_note(&self) -> Option<CacheNote> {
        self.notes().cache.clone()
    }

    /// How the caller's limits stand. Of several of one unit the one with the least left is kept.
    pub fn note_standing(&self, standing: Standing) {
        let mut notes = self.notes();
        match notes.standings.iter_mut().find(|known| known.unit == standing.unit) {
            Some(known) if known.remaining <= standing.remaining => {}
            Some(known) => *known = standing,
            None => notes.standings.push(standing),
        }
    }

    /// How the caller's limits stand.
    pub fn standings(&self) -> Vec<Standing> {
        self.notes().standings.clone()
    }

    /// Something that the caller should know, though the call is answered.
    pub fn warn(&self, warning: String) {
        self.notes().warnings.push(warning);
    }

    /// What the caller should know.
    pub fn warnings(&self) -> Vec<String> {
        self.notes().warnings.clone()
    }

    /// What an attempt cost, by the place that [`Trail::record`] gave it.
    pub fn charge(&self, attempt: usize, cost: Cost) {
        if let Some(attempt) = self.notes().attempts.get_mut(attempt) {
            attempt.cost = Some(cost);
        }
    }

    /// What all attempts cost together: the sum of what is known, and whether that is all of it.
    pub fn cost(&self) -> (Money, bool) {
        let notes = self.notes();
        let known = notes.attempts.iter().filter_map(|attempt| attempt.cost.as_ref()?.money()).sum();
        let all = |attempt: &AttemptRecord| matches!(attempt.cost, Some(Cost::Reported(_)));
        (known, notes.attempts.iter().all(all))
    }

    /// Adds an attempt; its place among them.
    pub fn record(&self, target: &Arc<Target>, elapsed: Duration, error: Option<&Error>) -> usize {
        let failure = error.map(|error| Failure {
            kind: error.kind(),
            message: error.message().to_owned(),
            param: error.param().map(str::to_owned),
            retry_after: error.retry_after(),
        });
        let cost = error.map(|error| error.kind().cost());
        let mut notes = self.notes();
        notes.attempts.push(AttemptRecord { target: Arc::clone(target), elapsed, failure, cost });
        notes.attempts.len() - 1
    }

    /// Notes that a deployment leaves out a field of the request.
    pub fn drop_field(&self, target: &Target, field: &str) {
        let mut notes = self.notes();
        // Names come from the caller: what cannot stand in a header is replaced.
        let plain = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '?' };
        let mut field: String = field.chars().take(128).map(plain).collect();
        let own = notes.dropped.iter().filter(|(deployment, _)| *deployment == target.deployment);
        let (count, known) =
            own.fold((0, false), |(count, known), (_, one)| (count + 1, known || *one == field));
        if known || count > MAX_DROPPED {
            return;
        }
        if count == MAX_DROPPED {
            field = "...".to_owned();
        }
        notes.dropped.push((Arc::clone(&target.deployment), field));
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

    /// What the answer's headers tell; `None` when nobody was asked and nothing was kept.
    pub fn told(&self) -> Option<Told> {
        let notes = self.notes();
        let kept = notes.cache.as_ref().and_then(|note| note.target.clone());
        if notes.attempts.is_empty() && kept.is_none() {
            return None;
        }
        let served_by = kept.or_else(|| notes.answered());
        let dropped = served_by.as_ref().map(|target| notes.dropped_by(target)).unwrap_or_default();
        Some(Told { attempts: notes.attempts.len(), served_by, dropped })
    }

    /// The fields that were left out: by the deployment that answered, else by any.
    pub fn dropped(&self) -> Vec<String> {
        let notes = self.notes();
        match notes.answered() {
            Some(target) => notes.dropped_by(&target),
            None => notes.dropped.iter().map(|(_, field)| field.clone()).collect(),
        }
    }

    /// Forgets the fields that a deployment left out: its next attempt begins anew.
    pub fn forget_dropped(&self, target: &Target) {
        self.notes().dropped.retain(|(deployment, _)| *deployment != target.deployment);
    }
}

impl Notes {
    /// The deployment that answered.
    fn answered(&self) -> Option<Arc<Target>> {
        let answered = self.attempts.iter().rev().find(|attempt| attempt.failure.is_none());
        answered.map(|attempt| Arc::clone(&attempt.target))
    }

    fn dropped_by(&self, target: &Target) -> Vec<String> {
        let own = self.dropped.iter().filter(|(deployment, _)| *deployment == target.deployment);
        own.map(|(_, field)| field.clone()).collect()
    }
}
