//! The cache for streams: a finished stream is kept, and given again chunk by chunk; a stream that is under way is read by all
//! who ask for the same.

use std::{
    future::ready,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use aigate_cache::{Entry, Fingerprint, Opened, Role, Streams};
use aigate_contract::{CacheStatus, Call, ChatStream, Error, ErrorKind, Result, Trail, chat::ChunkStream};
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
            let mut joined = None;
            if !alone {
                joined = together(&shelf, &streams, fingerprint, inner.clone(), call.clone()).await;
            }
            let outcome = match joined {
                Some(outcome) => outcome,
                None => by_itself(&shelf, &streams, fingerprint, inner, call.clone()).await,
            };
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

fn again(entry: &Arc<Entry>) -> Option<ChunkStream> {
    Some(Box::pin(stream::iter(entry.chat_stream()?.map(Ok))))
}

/// Opens the stream, or reads one that is the same. `None` when its maker was refused for reasons of its own: then the call is
/// to be made by itself.
async fn together<S: Upstream<ChatStream>>(
    shelf: &Arc<Shelf>,
    streams: &Streams,
    fingerprint: Fingerprint,
    inner: S,
    call: Call<ChatStream>,
) -> Option<Result<ChunkStream>>
where
    S::Future: 'static,
{
    let ours = Arc::clone(&call.trail);
    let kept: Arc<OnceLock<Arc<Entry>>> = Arc::default();
    let (found, opening) = (Arc::clone(&kept), (Arc::clone(shelf), Arc::clone(&kept)));
    let keep = keeper(shelf, fingerprint, &ours);
    let keep = move |entry: Entry| {
        // What was kept already stays as old as it is.
        if found.get().is_none() {
            keep(entry);
        }
    };
    let make = move || {
        let (shelf, found) = opening;
        match shelf.just_kept(&fingerprint).and_then(|entry| Some((again(&entry)?, entry))) {
            Some((chunks, entry)) => {
                let origin = Arc::clone(found.get_or_init(|| entry).origin());
                ready(Ok(Opened { chunks, origin })).boxed()
            }
            None => open(inner, call).boxed(),
        }
    };
    let (role, mut reader) = streams.join(fingerprint, shelf.store.max_entry(), make, keep);
    if role == Role::Leader {
        note(&ours, CacheStatus::Miss, None);
    }
    match reader.opened().await {
        Ok(origin) => {
            if role == Role::Follower {
                note(&ours, CacheStatus::Coalesced, Some((&origin, None)));
            } else if let Some(entry) = kept.get() {
                note(&ours, CacheStatus::Hit, Some((&origin, Some(entry.age()))));
            }
            Some(Ok(Box::pin(reader)))
        }
        Err(error) if role == Role::Follower && is_the_maker_s(&error) => None,
        Err(error) => {
            if role == Role::Follower {
                note(&ours, CacheStatus::Coalesced, None);
            }
            Some(Err(error))
        }
    }
}

/// Opens the stream, whatever else is under way. What comes of it is kept.
async fn by_itself<S: Upstream<ChatStream>>(
    shelf: &Arc<Shelf>,
    streams: &Streams,
    fingerprint: Fingerprint,
    inner: S,
    call: Call<ChatStream>,
) -> Result<ChunkStream>
where
    S::Future: 'static,
{
    note(&call.trail, CacheStatus::Miss, None);
    let keep = keeper(shelf, fingerprint, &call.trail);
    let make = move || open(inner, call).boxed();
    let (_, mut reader) = streams.apart().join(fingerprint, shelf.store.max_entry(), make, keep);
    reader.opened().await?;
    Ok(Box::pin(reader))
}

/// Keeps what comes of a call.
fn keeper(
    shelf: &Arc<Shelf>,
    fingerprint: Fingerprint,
    trail: &Arc<Trail>,
) -> impl FnOnce(Entry) + Send + use<> {
    let (shelf, trail) = (Arc::clone(shelf), Arc::clone(trail));
    move |entry| shelf.put(fingerprint, Arc::new(entry), &trail)
}

async fn open<S: Upstream<ChatStream>>(mut inner: S, call: Call<ChatStream>) -> Result<Opened> {
    let trail = Arc::clone(&call.trail);
    let chunks = inner.call(call).await?;
    let origin = origin(&trail).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a stream was lost between the cache and its caller")
    })?;
    Ok(Opened { chunks, origin })
}
