//! The cache for streams: a finished stream is kept, and given again chunk by chunk; a stream that is under way is read by all
//! who ask for the same.

use std::{
    future::ready,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use aigate_cache::{Entry, Fingerprint, Opened, Role, Streams};
use aigate_contract::{CacheStatus, Call, ChatStream, Error, ErrorKind, Result, chat::ChunkStream};
use futures_util::{FutureExt, stream};
use tower::Service;

use super::{
    super::{Answer, Upstream},
    Look, Shelf, instead, is_the_maker_s, note, origin,
};

/// Gives kept streams again.
#[derive(Clone, Debug)]
pub struct CacheStream<S> {
    inner: S,
    cache: Option<(Arc<Shelf>, Arc<Streams>)>,
}

impl<S> CacheStream<S> {
    /// Keeps the streams of `inner`; without a cache every call is made.
    pub fn new(inner: S, cache: Option<(Arc<Shelf>, Arc<Streams>)>) -> Self {
        Self { inner, cache }
    }
}

impl<S: Upstream<ChatStream>> Service<Call<ChatStream>> for CacheStream<S>
where
    S::Future: 'static,
{
    type Response = ChunkStream;
    type Error = Error;
    type Future = Answer<ChatStream>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<ChatStream>) -> Answer<ChatStream> {
        let Some((shelf, streams)) = &self.cache else { return Box::pin(self.inner.call(call)) };
        let (shelf, streams, mut inner) = (Arc::clone(shelf), Arc::clone(streams), self.inner.clone());
        Box::pin(async move {
            let (fingerprint, stale, alone) = match shelf.look(&call).await {
                Look::Bypass => {
                    note(&call.trail, CacheStatus::Bypass, None);
                    return inner.call(call).await;
                }
                Look::Fresh(entry) => match again(&entry) {
                    Some(answer) => {
                        note(&call.trail, CacheStatus::Hit, Some((entry.origin(), Some(entry.age()))));
                        return Ok(answer);
                    }
                    None => (shelf.fingerprint_of(&call), None, true),
                },
                Look::Make { fingerprint, stale, alone } => (fingerprint, stale, alone),
            };
            // One that is made alone joins nobody, but what comes of it is kept: in slots that nobody else knows.
            let own = alone.then(|| Arc::new(Streams::new(1)));
            let (streams, look_again) = (own.as_ref().unwrap_or(&streams), own.is_none());
            let outcome = together(&shelf, streams, look_again, fingerprint, inner, call.clone()).await;
            let Err(error) = outcome else { return outcome };
            match instead(stale, &error, &call.trail).and_then(|entry| Some((again(&entry)?, entry))) {
                Some((answer, entry)) => {
                    note(&call.trail, CacheStatus::Stale, Some((entry.origin(), Some(entry.age()))));
                    Ok(answer)
                }
                None => Err(error),
            }
        })
    }
}

fn again(entry: &Entry) -> Option<ChunkStream> {
    Some(Box::pin(stream::iter(entry.chat_stream()?.into_iter().map(Ok))))
}

/// Opens the stream, or reads one that is the same.
async fn together<S: Upstream<ChatStream>>(
    shelf: &Arc<Shelf>,
    streams: &Streams,
    look_again: bool,
    fingerprint: Fingerprint,
    inner: S,
    call: Call<ChatStream>,
) -> Result<ChunkStream>
where
    S::Future: 'static,
{
    let (ours, mut by_ourselves) = (call.clone(), inner.clone());
    let kept: Arc<OnceLock<Arc<Entry>>> = Arc::default();
    let (found, opening) = (Arc::clone(&kept), (Arc::clone(shelf), Arc::clone(&kept)));
    let keeping = Arc::clone(shelf);
    let keep = move |entry: Entry| {
        // What was kept already stays as old as it is.
        if found.get().is_none() {
            keeping.put(fingerprint, Arc::new(entry));
        }
    };
    let make = move || {
        let (shelf, found) = opening;
        let just_kept = if look_again { shelf.just_kept(&fingerprint) } else { None };
        match just_kept.and_then(|entry| Some((again(&entry)?, entry))) {
            Some((chunks, entry)) => {
                let origin = Arc::clone(found.get_or_init(|| entry).origin());
                ready(Ok(Opened { chunks, origin })).boxed()
            }
            None => open(inner, call).boxed(),
        }
    };
    let (role, mut reader) = streams.join(fingerprint, shelf.plan.max_entry, make, keep);
    if role == Role::Leader {
        note(&ours.trail, CacheStatus::Miss, None);
    }
    match reader.opened().await {
        Ok(origin) => {
            if role == Role::Follower {
                note(&ours.trail, CacheStatus::Coalesced, Some((&origin, None)));
            } else if let Some(entry) = kept.get() {
                note(&ours.trail, CacheStatus::Hit, Some((&origin, Some(entry.age()))));
            }
            Ok(Box::pin(reader))
        }
        Err(error) if role == Role::Follower && is_the_maker_s(&error) => {
            note(&ours.trail, CacheStatus::Miss, None);
            by_ourselves.call(ours).await
        }
        Err(error) => {
            if role == Role::Follower {
                note(&ours.trail, CacheStatus::Coalesced, None);
            }
            Err(error)
        }
    }
}

async fn open<S: Upstream<ChatStream>>(mut inner: S, call: Call<ChatStream>) -> Result<Opened> {
    let trail = Arc::clone(&call.trail);
    let chunks = inner.call(call).await?;
    let origin = origin(&trail).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a stream was lost between the cache and its caller")
    })?;
    Ok(Opened { chunks, origin })
}
