use aigate_cache::{Flights, Streams};
use aigate_contract::{
    Chat, ChatStream, Facts, FinishReason, Task,
    chat::{ChatReply, ChatRequest, ChunkStream, ChunkWriter},
};
use futures_util::{StreamExt, stream as streams};
use tower::{Service, ServiceExt};

use super::{super::Upstream, stream::CacheStream, whole::CacheWhole, *};
use crate::policy::testing::call;

const LARGEST: usize = 1 << 20;

fn shelf() -> Arc<Shelf> {
    let hour = Duration::from_secs(3600);
    let plan = CachePlan { ttl: hour, scope: Scope::Key, sampled: true, stale_if_error: Duration::ZERO };
    let store = Store::new(1 << 24, LARGEST);
    Arc::new(Shelf { model: "m".into(), settings: Vec::new(), plan, store, shared: None })
}

/// A provider that answers each call, numbered from 0, as told.
fn provider<T: Task, F>(
    answer: impl Fn(usize, Arc<Trail>) -> F + Clone + Send + Sync + 'static,
) -> impl Upstream<T>
where
    F: Future<Output = Result<T::Response, Error>> + Send + 'static,
{
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    tower::service_fn(move |call: Call<T>| {
        let number = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let answer = answer(number, Arc::clone(&call.trail));
        async move {
            let outcome = answer.await;
            call.trail.record(&call.target, Duration::ZERO, outcome.as_ref().err());
            outcome
        }
    })
}

fn whole() -> ChatReply {
    let facts = Facts { finish: vec![FinishReason::Stop], ..Facts::default() };
    ChatReply { json: Bytes::from_static(b"{}"), facts }
}

fn chunks() -> ChunkStream {
    let writer = ChunkWriter::new("id", 1, "m");
    let chunks = [writer.text(0, "hi", None), writer.finish(0, FinishReason::Stop, None)];
    Box::pin(streams::iter(chunks.map(|chunk| Ok(chunk.unwrap()))))
}

/// What the cache had to do with an equal call of its own.
async fn status<T, S>(service: &S, read: impl AsyncFnOnce(T::Response)) -> CacheStatus
where
    T: Task<Request = ChatRequest>,
    S: Service<Call<T>, Response = T::Response, Error = Error> + Clone,
{
    let call = call::<T>();
    let trail = Arc::clone(&call.trail);
    read(service.clone().oneshot(call).await.unwrap()).await;
    trail.cache_note().unwrap().status
}

async fn read(stream: ChunkStream) {
    stream.for_each(async |chunk| drop(chunk.unwrap())).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_a_spent_budget_made_do_with_is_not_kept() {
    for narrowing in [Narrowing::Local, Narrowing::Cheapest] {
        let make = move |number: usize, trail: Arc<Trail>| async move {
            if number == 0 {
                trail.narrow(narrowing);
            }
            Ok(whole())
        };
        let service = CacheWhole::new(provider::<Chat, _>(make), Some((shelf(), Arc::new(Flights::new(9)))));
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(status::<Chat, _>(&service, async |_| ()).await);
        }
        assert_eq!(seen, [CacheStatus::Miss, CacheStatus::Miss, CacheStatus::Hit], "{narrowing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_spent_budget_made_do_with_is_not_kept() {
    let make = |number: usize, trail: Arc<Trail>| async move {
        if number == 0 {
            trail.narrow(Narrowing::Cheapest);
        }
        Ok(chunks())
    };
    let joined = Arc::new(Streams::new(9, LARGEST));
    let service = CacheStream::new(provider::<ChatStream, _>(make), Some((shelf(), joined)));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(status::<ChatStream, _>(&service, read).await);
    }
    assert_eq!(seen, [CacheStatus::Miss, CacheStatus::Miss, CacheStatus::Hit]);
}

#[tokio::test(start_paused = true)]
async fn what_a_follower_gets_by_itself_after_the_maker_was_refused_is_kept() {
    let make = |number: usize, _| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if number == 0 { Err(Error::new(ErrorKind::Limited, "too many")) } else { Ok(chunks()) }
    };
    let joined = Arc::new(Streams::new(9, LARGEST));
    let service = CacheStream::new(provider::<ChatStream, _>(make), Some((shelf(), joined)));
    let maker = service.clone().oneshot(call::<ChatStream>());
    let (refused, follower) = tokio::join!(maker, status::<ChatStream, _>(&service, read));
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::Limited);
    assert_eq!(follower, CacheStatus::Miss);
    assert_eq!(status::<ChatStream, _>(&service, read).await, CacheStatus::Hit);
}
