//! The cache for answers that come whole.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use aigate_cache::{Answer as Kept, Cacheable, Entry, Fingerprint, Flights, Role};
use aigate_contract::{
    CacheStatus, Call, Chat, Embed, Error, ErrorKind, Facts, Predict, Result, chat::ChatReply,
    embed::EmbedReply, predict::PredictReply,
};
use futures_util::FutureExt;
use tower::Service;

use super::{
    super::{Answer, Upstream},
    Look, Shelf, instead, is_the_maker_s, note, origin, worth_keeping,
};

/// A task whose answers come whole and may be kept.
pub trait Whole: Cacheable {
    /// The answer, to be kept.
    fn kept(response: Self::Response) -> Kept;

    /// The answer, given again. `None` when the entry does not hold one that can be told in this task's form.
    fn again(entry: &Entry) -> Option<Self::Response>;

    /// Whether it may be given to others.
    fn is_worth_keeping(_facts: &Facts) -> bool {
        true
    }
}

impl Whole for Chat {
    fn kept(response: ChatReply) -> Kept {
        Kept::Chat(response)
    }

    fn again(entry: &Entry) -> Option<ChatReply> {
        entry.chat()
    }

    fn is_worth_keeping(facts: &Facts) -> bool {
        worth_keeping(facts)
    }
}

impl Whole for Embed {
    fn kept(response: EmbedReply) -> Kept {
        Kept::Embed(response)
    }

    fn again(entry: &Entry) -> Option<EmbedReply> {
        match entry.answer() {
            Kept::Embed(reply) => Some(reply.clone()),
            _ => None,
        }
    }
}

impl Whole for Predict {
    fn kept(response: PredictReply) -> Kept {
        Kept::Predict(response)
    }

    fn again(entry: &Entry) -> Option<PredictReply> {
        match entry.answer() {
            Kept::Predict(reply) => Some(reply.clone()),
            _ => None,
        }
    }
}

/// Where answers are kept, and the calls under way that equal ones join.
pub type Cache = (Arc<Shelf>, Arc<Flights<Arc<Entry>>>);

/// Gives kept answers again.
#[derive(Clone, Debug)]
pub struct CacheWhole<S> {
    inner: S,
    cache: Option<Cache>,
}

impl<S> CacheWhole<S> {
    /// Keeps the answers of `inner`; without a cache every call is made.
    pub fn new(inner: S, cache: Option<Cache>) -> Self {
        Self { inner, cache }
    }
}

impl<T: Whole, S: Upstream<T>> Service<Call<T>> for CacheWhole<S>
where
    S::Future: 'static,
{
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let Some((shelf, flights)) = &self.cache else { return Box::pin(self.inner.call(call)) };
        let (shelf, flights, mut inner) = (Arc::clone(shelf), Arc::clone(flights), self.inner.clone());
        Box::pin(async move {
            let (fingerprint, stale, alone) = match shelf.look(&call).await {
                Look::Bypass => {
                    note(&call.trail, CacheStatus::Bypass, None);
                    return inner.call(call).await;
                }
                Look::Fresh(entry) => match T::again(&entry) {
                    Some(answer) => {
                        note(&call.trail, CacheStatus::Hit, Some((entry.origin(), Some(entry.age()))));
                        return Ok(answer);
                    }
                    None => (shelf.fingerprint_of(&call), None, true),
                },
                Look::Make { fingerprint, stale, alone } => (fingerprint, stale, alone),
            };
            let outcome = if alone {
                note(&call.trail, CacheStatus::Miss, None);
                let entry = make(Arc::clone(&shelf), fingerprint, inner, call.clone()).await;
                entry.and_then(|entry| T::again(&entry).ok_or_else(lost))
            } else {
                together(&shelf, &flights, fingerprint, inner, call.clone()).await
            };
            let Err(error) = outcome else { return outcome };
            match instead(stale, &error, &call.trail).and_then(|entry| Some((T::again(&entry)?, entry))) {
                Some((answer, entry)) => {
                    note(&call.trail, CacheStatus::Stale, Some((entry.origin(), Some(entry.age()))));
                    Ok(answer)
                }
                None => Err(error),
            }
        })
    }
}

/// Makes the call, or waits for an equal one.
async fn together<T: Whole, S: Upstream<T>>(
    shelf: &Arc<Shelf>,
    flights: &Flights<Arc<Entry>>,
    fingerprint: Fingerprint,
    inner: S,
    call: Call<T>,
) -> Result<T::Response>
where
    S::Future: 'static,
{
    let (ours, again, shelf) = (call.clone(), inner.clone(), Arc::clone(shelf));
    let making = Arc::clone(&shelf);
    // The answer that was just kept, for whoever would have made the call.
    let kept = Arc::new(Mutex::new(None));
    let found = Arc::clone(&kept);
    let work = async move {
        match making.just_kept(&fingerprint).and_then(|entry| Some((T::again(&entry)?, entry))) {
            Some((answer, entry)) => {
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                Ok(entry)
            }
            None => make(making, fingerprint, inner, call).await,
        }
    };
    let (role, waiter) = flights.join(fingerprint, move || work.boxed());
    if role == Role::Leader {
        note(&ours.trail, CacheStatus::Miss, None);
    }
    let entry = match waiter.await {
        Ok(entry) if role == Role::Leader => {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(answer) = kept {
                note(&ours.trail, CacheStatus::Hit, Some((entry.origin(), Some(entry.age()))));
                return Ok(answer);
            }
            entry
        }
        Ok(entry) => {
            note(&ours.trail, CacheStatus::Coalesced, Some((entry.origin(), None)));
            entry
        }
        Err(error) if role == Role::Follower && is_the_maker_s(&error) => {
            note(&ours.trail, CacheStatus::Miss, None);
            make(shelf, fingerprint, again, ours).await?
        }
        Err(error) => {
            if role == Role::Follower {
                note(&ours.trail, CacheStatus::Coalesced, None);
            }
            return Err(error);
        }
    };
    T::again(&entry).ok_or_else(lost)
}

/// Makes the call and keeps its answer.
async fn make<T: Whole, S: Upstream<T>>(
    shelf: Arc<Shelf>,
    fingerprint: Fingerprint,
    mut inner: S,
    call: Call<T>,
) -> Result<Arc<Entry>> {
    let trail = Arc::clone(&call.trail);
    let answer = T::kept(inner.call(call).await?);
    let good = T::is_worth_keeping(answer.facts());
    let origin = origin(&trail).ok_or_else(lost)?;
    let entry = Arc::new(Entry::new(answer, origin));
    if good {
        shelf.put(fingerprint, Arc::clone(&entry), &trail);
    }
    Ok(entry)
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "an answer was lost between the cache and its caller")
}
