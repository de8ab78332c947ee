//! An issuer's public keys at hand: fetched when they are first needed, again when they are old or a token names an unknown
//! one, once for all that wait. Nobody waits where old ones serve.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    task::JoinHandle,
    time::Instant,
};

use super::{set::KeySet, source::Source};

/// How soon keys that could not be fetched are tried again when there are none.
pub(crate) const RETRY: Duration = Duration::from_secs(5);
/// How soon they are tried again when old ones serve meanwhile, and how often unknown keys may cause a fetch.
const PAUSE: Duration = Duration::from_secs(30);
/// How long old keys serve while no new ones are to be had.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// An issuer's public keys, kept up to date.
pub(super) struct Jwks {
    /// The issuer's name in the config.
    pub(super) name: Arc<str>,
    pub(super) source: Arc<Source>,
    pub(super) refresh: Duration,
    /// Survives a reload of the config.
    pub(super) store: Arc<Store>,
}

/// The keys and what is known of their state.
#[derive(Default)]
pub(super) struct Store {
    state: Mutex<State>,
    /// Held by the one who fetches.
    turn: Arc<AsyncMutex<()>>,
}

#[derive(Default)]
struct State {
    /// The keys, and when they were read.
    held: Option<(Arc<KeySet>, Instant)>,
    /// When reading them failed, if that is the last that happened.
    failed: Option<Instant>,
    /// When an unknown key last caused a fetch.
    asked: Option<Instant>,
}

/// Why keys are fetched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// There are none.
    Missing,
    /// They are older than this.
    Older(Duration),
    /// A token names one that is not there.
    Unknown,
}

impl Jwks {
    /// The keys; none when they are not to be had. Where old ones serve, nobody waits for the new ones.
    pub(super) async fn current(&self) -> Option<Arc<KeySet>> {
        let Some((keys, age)) = self.store.held() else { return self.fetched(Why::Missing).await };
        if age >= self.refresh
            && let Ok(turn) = Arc::clone(&self.store.turn).try_lock_owned()
        {
            self.fetch(turn, Why::Older(self.refresh));
        }
        Some(keys)
    }

    /// The keys after a token named one that is not among them; none when they cannot be read, for then the token may be good.
    pub(super) async fn renewed(&self) -> Option<Arc<KeySet>> {
        self.fetched(Why::Unknown).await.filter(|_| !self.store.has_failed())
    }

    /// Fetches, or waits for the fetch that is under way.
    async fn fetched(&self, why: Why) -> Option<Arc<KeySet>> {
        match Arc::clone(&self.store.turn).try_lock_owned() {
            Ok(turn) => {
                if let Some(fetch) = self.fetch(turn, why)
                    && let Err(error) = fetch.await
                {
                    tracing::error!(issuer = &*self.name, %error, "fetching the public keys was stopped");
                }
            }
            Err(_) => drop(self.store.turn.lock().await),
        }
        self.store.held().map(|(keys, _)| keys)
    }

    /// Begins to fetch if it is still time to. A task of its own: a caller who goes away must not leave the others without
    /// keys.
    fn fetch(&self, turn: OwnedMutexGuard<()>, why: Why) -> Option<JoinHandle<()>> {
        if !self.store.is_due(why) {
            return None;
        }
        let (name, source, store) =
            (Arc::clone(&self.name), Arc::clone(&self.source), Arc::clone(&self.store));
        Some(tokio::spawn(async move {
            let _turn = turn;
            match source.read().await.and_then(|text| KeySet::parse(&text)) {
                Ok(keys) => store.put(&name, keys),
                Err(reason) => store.fail(&name, &reason),
            }
        }))
    }

    /// Waits until nobody fetches.
    #[cfg(test)]
    pub(super) async fn idle(&self) {
        drop(self.store.turn.lock().await);
    }
}

impl Store {
    /// The keys, and their age; none when they are too old to be used.
    fn held(&self) -> Option<(Arc<KeySet>, Duration)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, since) = state.held.as_ref()?;
        Some((Arc::clone(keys), since.elapsed())).filter(|(_, age)| *age < MAX_AGE)
    }

    /// Whether reading them failed the last time.
    fn has_failed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failed.is_some()
    }

    /// Whether to fetch, now that it is our turn: another caller may have just done so.
    fn is_due(&self, why: Why) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let long_ago =
            |moment: Option<Instant>, pause: Duration| moment.is_none_or(|moment| moment.elapsed() >= pause);
        let read = state.held.as_ref().map(|(_, since)| *since);
        match why {
            Why::Missing => long_ago(read, MAX_AGE) && long_ago(state.failed, RETRY),
            Why::Older(age) => long_ago(read, age) && long_ago(state.failed, PAUSE),
            Why::Unknown => {
                let due = long_ago(state.asked, PAUSE);
                if due {
                    state.asked = Some(Instant::now());
                }
                due
            }
        }
    }

    /// Keeps keys that were just read.
    pub(super) fn put(&self, issuer: &str, keys: KeySet) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = state.held.as_ref().map(|(held, _)| held.digest);
        if digest != Some(keys.digest) {
            tracing::info!(issuer, keys = keys.len(), "the issuer's public keys are at hand");
        }
        state.held = Some((Arc::new(keys), Instant::now()));
        state.failed = None;
    }

    fn fail(&self, issuer: &str, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = state.held.as_ref().map(|(_, since)| since.elapsed());
        match age.filter(|age| *age < MAX_AGE) {
            Some(age) => {
                let age = age.as_secs();
                tracing::warn!(
                    issuer,
                    reason,
                    age,
                    "the issuer's public keys cannot be read; old ones serve (age in s)"
                );
            }
            None => tracing::error!(
                issuer,
                reason,
                "the issuer's public keys cannot be read: its tokens are refused"
            ),
        }
        state.failed = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Signer, jwks};

    #[tokio::test(start_paused = true)]
    async fn whoever_gets_its_turn_after_another_fetched_does_not_fetch_again() {
        let store = Store::default();
        let older = Why::Older(Duration::from_secs(600));
        assert!(store.is_due(Why::Missing) && store.is_due(older));
        store.put("bank", KeySet::parse(jwks(&[&Signer::ed("a")]).as_bytes()).unwrap());
        assert!(!store.is_due(Why::Missing) && !store.is_due(older));
        tokio::time::advance(Duration::from_secs(600)).await;
        assert!(!store.is_due(Why::Missing) && store.is_due(older));
    }
}
