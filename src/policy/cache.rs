//! Answers that are kept: given again to equal calls of the same tenant, fresh ones at once, stale ones when nobody can give
//! a fresh one. Equal calls under way at the same time are made once.
//!
//! Stands above the limits, so that what is kept costs nothing, and beneath the observer. [`whole`] and [`stream`] are the two
//! policies; this file is what they share.

pub mod stream;
pub mod whole;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aigate_cache::{Cacheable, Entry, Fingerprint, Origin, Scope as Sharing, Store, Tenant, worth_keeping};
use aigate_contract::{CacheNote, CacheStatus, Call, Caller, Error, ErrorKind, Narrowing, Trail};
use aigate_replicas::Shared;
use bytes::Bytes;

use crate::config::{CachePlan, Scope};

/// The kept answers of one model.
#[derive(Debug)]
pub struct Shelf {
    /// The model's name.
    pub model: Arc<str>,
    /// What makes it another model under the same name: its deployments.
    pub settings: Vec<u8>,
    /// What is kept, for whom, for how long.
    pub plan: CachePlan,
    /// Where it is kept, with that of other models.
    pub store: Store,
    /// Where replicas keep it together.
    pub shared: Option<Arc<Shared>>,
}

/// What to do with a call.
enum Look {
    /// The cache has nothing to do with it.
    Bypass,
    /// A fresh answer is there.
    Fresh(Arc<Entry>),
    /// It must be made; a stale answer may be there.
    Make { fingerprint: Fingerprint, stale: Option<Arc<Entry>>, alone: bool },
}

impl Shelf {
    /// Looks for an answer, here and, where replicas share, in Redis.
    async fn look<T: Cacheable>(&self, call: &Call<T>) -> Look {
        let trail = &call.trail;
        let may = self.plan.sampled || trail.cache.sampled || T::deterministic(&call.request);
        if !may || trail.cache.no_store {
            return Look::Bypass;
        }
        let fingerprint = self.fingerprint_of(call);
        // An older answer is none, and one from a model that stands in may be what another call gets.
        let alone = trail.cache.no_cache || trail.refuses_degraded;
        if trail.cache.no_cache {
            return Look::Make { fingerprint, stale: None, alone };
        }
        match self.find(&fingerprint).await {
            Some(entry) if self.is_fresh(&entry) => Look::Fresh(entry),
            stale => Look::Make { fingerprint, stale, alone },
        }
    }

    fn fingerprint_of<T: Cacheable>(&self, call: &Call<T>) -> Fingerprint {
        let tenant = self.tenant(call.trail.caller.as_deref());
        let tenant = tenant.as_deref().map_or(Tenant::Public, Tenant::Named);
        let scope = Sharing { tenant, model: &self.model, settings: &self.settings };
        Fingerprint::of::<T>(&scope, &call.request)
    }

    async fn find(&self, fingerprint: &Fingerprint) -> Option<Arc<Entry>> {
        let here = self.store.get(fingerprint);
        let Some(shared) =
            self.shared.as_ref().filter(|_| !here.as_deref().is_some_and(|entry| self.is_fresh(entry)))
        else {
            return here;
        };
        // Redis that cannot be reached is a miss.
        let there = shared.get(fingerprint.as_bytes()).await.ok().flatten();
        let there = there.and_then(|bytes| Entry::from_bytes(&bytes, fingerprint, SystemTime::now()));
        // Again: another call may have been answered meanwhile.
        let here = self.store.get(fingerprint);
        let younger = |entry: &Entry| here.as_ref().is_none_or(|here| entry.age() < here.age());
        let left = |entry: &Entry| self.keep().checked_sub(entry.age()).filter(|left| !left.is_zero());
        match there.filter(younger).and_then(|entry| Some((left(&entry)?, Arc::new(entry)))) {
            Some((left, entry)) => {
                self.store.put(*fingerprint, Arc::clone(&entry), left);
                Some(entry)
            }
            None => here,
        }
    }

    /// What came of an equal call that ended between a look and the moment from which others join this one: whoever makes
    /// a call that others can join looks here once more, or equal calls would be made twice.
    fn just_kept(&self, fingerprint: &Fingerprint) -> Option<Arc<Entry>> {
        self.store.get(fingerprint).filter(|entry| self.is_fresh(entry))
    }

    fn is_fresh(&self, entry: &Entry) -> bool {
        entry.age() <= self.plan.ttl
    }

    /// Keeps the answer of a call, unless it should not be given again.
    fn put(&self, fingerprint: Fingerprint, entry: Arc<Entry>, trail: &Trail) {
        // What stood in for the others during an outage is not to outlast it, nor what a spent budget made do with. What is
        // too large for the store is for the one that replicas share as well.
        let makeshift = entry.origin().target.fallback || trail.narrowing() != Narrowing::None;
        if makeshift || entry.size() > self.store.max_entry() {
            return;
        }
        if let Some(shared) = &self.shared
            && let Some(bytes) = entry.to_bytes(&fingerprint, SystemTime::now())
        {
            shared.put(fingerprint.as_bytes(), Bytes::from(bytes), self.keep());
        }
        self.store.put(fingerprint, entry, self.keep());
    }

    fn keep(&self) -> Duration {
        self.plan.ttl.saturating_add(self.plan.stale_if_error)
    }

    /// Who shares the caller's answers; `None` for everyone.
    fn tenant(&self, caller: Option<&Caller>) -> Option<String> {
        let caller = caller?;
        match &self.plan.scope {
            Scope::Public => None,
            Scope::Label(label) => match caller.label(label) {
                Some(value) => Some(format!("label {label} {value}")),
                None => Some(format!("key {}", caller.name)),
            },
            Scope::Key => Some(format!("key {}", caller.name)),
        }
    }
}

/// Tells the caller where the answer comes from.
fn note(trail: &Trail, status: CacheStatus, entry: Option<(&Origin, Option<Duration>)>) {
    let target = entry.map(|(origin, _)| Arc::clone(&origin.target));
    if let Some((origin, _)) = &entry {
        origin.dropped.iter().for_each(|field| trail.drop_field(&origin.target, field));
    }
    trail.note_cache(CacheNote { status, age: entry.and_then(|(_, age)| age), target });
}

/// Who answered a call, for those who will get the same answer.
fn origin(trail: &Trail) -> Option<Arc<Origin>> {
    let target = trail.told()?.served_by?;
    Some(Arc::new(Origin { target, dropped: trail.dropped() }))
}

/// Whether an error says that nobody can answer at the moment, so that a stale answer is better.
fn is_outage(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Exhausted
        | ErrorKind::Deadline
        | ErrorKind::Timeout
        | ErrorKind::Unavailable
        | ErrorKind::Interrupted
        | ErrorKind::Malformed
        | ErrorKind::Throttled
        | ErrorKind::Overloaded
        | ErrorKind::OverShare
        | ErrorKind::CircuitOpen
        | ErrorKind::AskedToWait
        | ErrorKind::Denied
        | ErrorKind::Missing => true,
        ErrorKind::Invalid
        | ErrorKind::Unsupported
        | ErrorKind::TooLarge
        | ErrorKind::Filtered
        | ErrorKind::Limited
        | ErrorKind::OverBudget
        | ErrorKind::LimitsUnknown
        | ErrorKind::Abandoned
        | ErrorKind::Internal => false,
    }
}

/// Whether an error concerns the caller who made the call, and not those who waited for its answer.
fn is_the_maker_s(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Limited | ErrorKind::OverBudget | ErrorKind::LimitsUnknown)
}

/// The stale answer that this caller may have instead of an error.
fn instead(stale: Option<Arc<Entry>>, error: &Error, trail: &Trail) -> Option<Arc<Entry>> {
    stale.filter(|_| is_outage(error) && !trail.refuses_degraded)
}

#[cfg(test)]
mod tests;
