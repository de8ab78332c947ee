use std::time::Duration;

use aigate_contract::{ErrorKind, FinishReason, chat::ChatChunk};
use futures_util::{
    StreamExt,
    future::{join_all, pending, poll_immediate},
    stream,
};
use tokio::time::sleep;

use super::*;
use crate::testing::{
    Counter, Shelf, broken_stream, fingerprint, finish, opened, origin, read, text, upstream, whole,
};

const LIMIT: usize = 1 << 20;

fn unmade() -> BoxFuture<'static, Result<Opened>> {
    panic!("there is an equal call: this one must not be made")
}

fn answer() -> Vec<ChatChunk> {
    vec![text("a"), text("b"), finish(FinishReason::Stop)]
}

#[tokio::test(start_paused = true)]
async fn a_hundred_equal_streams_cost_one_and_its_answer_is_kept_once() {
    let (streams, begun, shelf) = (Streams::new(10, usize::MAX), Counter::default(), Shelf::default());
    let readers = (0..100).map(|_| {
        let begun = begun.clone();
        let make = move || {
            begun.add();
            async {
                sleep(Duration::from_secs(1)).await;
                let slowly = stream::iter(answer()).then(|chunk| async {
                    sleep(Duration::from_secs(1)).await;
                    Ok(chunk)
                });
                opened(slowly.boxed())
            }
            .boxed()
        };
        streams.join(fingerprint(1), LIMIT, make, shelf.keeper())
    });
    let readers: Vec<_> = readers.collect();
    assert_eq!(readers.iter().filter(|(role, _)| *role == Role::Leader).count(), 1);
    let seen = join_all(readers.into_iter().map(|(_, reader)| tokio::spawn(read(reader)))).await;
    assert!(seen.into_iter().all(|seen| seen.unwrap() == whole(&answer())));
    assert_eq!((begun.get(), streams.slots.len()), (1, 0));
    let kept = shelf.take();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].chat_stream().unwrap().count(), 3);
    assert_eq!(
        (kept[0].origin(), &kept[0].answer().facts().finish[..]),
        (&origin(), &[FinishReason::Stop][..])
    );
}

#[tokio::test(start_paused = true)]
async fn the_leader_may_leave_and_a_late_joiner_gets_all_from_the_start() {
    let (streams, shelf, (sender, chunks)) = (Streams::new(10, usize::MAX), Shelf::default(), upstream());
    let make = || async { opened(chunks) }.boxed();
    let (_, mut leader) = streams.join(fingerprint(1), LIMIT, make, shelf.keeper());
    assert_eq!(leader.opened().await.unwrap(), origin());
    sender.send(Ok(text("a"))).unwrap();
    leader.next().await.unwrap().unwrap();
    let (role, mut follower) = streams.join(fingerprint(1), LIMIT, unmade, shelf.keeper());
    assert_eq!((role, follower.opened().await.unwrap()), (Role::Follower, origin()));
    drop(leader);
    sender.send(Ok(text("b"))).unwrap();
    follower.next().await.unwrap().unwrap();
    let (_, late) = streams.join(fingerprint(1), LIMIT, unmade, shelf.keeper());
    drop(follower);
    sender.send(Ok(finish(FinishReason::Stop))).unwrap();
    drop(sender);
    assert_eq!(read(late).await, whole(&answer()));
    assert_eq!((shelf.take().len(), streams.slots.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn when_all_have_left_the_upstream_is_given_up_and_nothing_is_kept() {
    let (streams, shelf, (sender, chunks)) = (Streams::new(10, usize::MAX), Shelf::default(), upstream());
    let make = || async { opened(chunks) }.boxed();
    let (_, mut leader) = streams.join(fingerprint(1), LIMIT, make, shelf.keeper());
    sender.send(Ok(finish(FinishReason::Stop))).unwrap();
    leader.next().await.unwrap().unwrap();
    let (_, follower) = streams.join(fingerprint(1), LIMIT, unmade, shelf.keeper());
    drop(leader);
    assert!(!sender.is_closed());
    drop(follower);
    assert!(sender.is_closed());
    assert_eq!((shelf.take().len(), streams.slots.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn when_all_have_left_before_it_opened_the_call_is_given_up() {
    let (streams, (sender, chunks)) = (Streams::new(10, usize::MAX), upstream());
    let make = || {
        async move {
            pending::<()>().await;
            opened(chunks)
        }
        .boxed()
    };
    let (_, mut leader) = streams.join(fingerprint(1), LIMIT, make, drop);
    let (_, mut follower) = streams.join(fingerprint(1), LIMIT, unmade, drop);
    assert!(poll_immediate(leader.opened()).await.is_none());
    assert!(poll_immediate(follower.next()).await.is_none());
    drop(leader);
    assert!(!sender.is_closed());
    drop(follower);
    assert!(sender.is_closed());
    assert_eq!(streams.slots.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_fails_for_all_and_the_next_is_made() {
    let (streams, shelf) = (Streams::new(10, usize::MAX), Shelf::default());
    let make = || async { Err(broken_stream().with_status(502)) }.boxed();
    let (_, mut one) = streams.join(fingerprint(1), LIMIT, make, shelf.keeper());
    let (_, mut two) = streams.join(fingerprint(1), LIMIT, unmade, shelf.keeper());
    for error in [one.opened().await.unwrap_err(), two.opened().await.unwrap_err()] {
        assert_eq!((error.kind(), error.status()), (ErrorKind::Interrupted, Some(502)));
    }
    // Who did not wait for the opening sees the same.
    assert_eq!(read(one).await, (Vec::new(), Err(ErrorKind::Interrupted)));
    assert_eq!((shelf.take().len(), streams.slots.len()), (0, 0));
    let make = || async { opened(stream::iter(answer()).map(Ok).boxed()) }.boxed();
    let (role, next) = streams.join(fingerprint(1), LIMIT, make, shelf.keeper());
    assert_eq!((role, read(next).await, shelf.take().len()), (Role::Leader, whole(&answer()), 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_breaks_for_all_and_is_not_kept() {
    let (streams, shelf) = (Streams::new(10, usize::MAX), Shelf::default());
    let items = [Ok(finish(FinishReason::Stop)), Err(broken_stream())];
    let make = || async { opened(stream::iter(items).boxed()) }.boxed();
    let (_, one) = streams.join(fingerprint(1), LIMIT, make, shelf.keeper());
    let (_, two) = streams.join(fingerprint(1), LIMIT, unmade, shelf.keeper());
    let (one, two) = (read(one).await, read(two).await);
    assert_eq!((one.1, one.0.len()), (Err(ErrorKind::Interrupted), 1));
    assert_eq!((two.1, two.0.len()), (Err(ErrorKind::Interrupted), 1));
    assert_eq!((shelf.take().len(), streams.slots.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_filter_cut_off_or_that_does_not_say_why_it_ended_is_not_kept() {
    for last in [finish(FinishReason::ContentFilter), text("b")] {
        let (streams, shelf) = (Streams::new(10, usize::MAX), Shelf::default());
        let make = || async { opened(stream::iter([Ok(text("a")), Ok(last)]).boxed()) }.boxed();
        let (_, reader) = streams.join(fingerprint(1), LIMIT, make, shelf.keeper());
        assert_eq!(read(reader).await.1, Ok(()));
        assert!(shelf.take().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_upstream_is_an_error_for_all() {
    let (streams, shelf) = (Streams::new(10, usize::MAX), Shelf::default());
    let items = stream::iter([1, 0]).map(|n| if n == 1 { Ok(text("a")) } else { panic!("on purpose") });
    let make = || async { opened(items.boxed()) }.boxed();
    let (_, one) = streams.join(fingerprint(1), LIMIT, make, shelf.keeper());
    let (_, two) = streams.join(fingerprint(1), LIMIT, unmade, shelf.keeper());
    assert_eq!(read(one).await.1, Err(ErrorKind::Internal));
    assert_eq!(read(two).await.1, Err(ErrorKind::Internal));
    assert_eq!(streams.slots.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_outgrown_its_limit_is_not_joined_nor_kept_but_its_readers_go_on() {
    let (streams, shelf) = (Streams::new(10, usize::MAX), Shelf::default());
    let limit = 5 * crate::entry::size_of_chunk(&text("a"));
    let chunks: Vec<_> = (0..100).map(|_| text("a")).chain([finish(FinishReason::Stop)]).collect();
    let make = {
        let chunks = chunks.clone();
        || async { opened(stream::iter(chunks).map(Ok).boxed()) }.boxed()
    };
    let (_, mut one) = streams.join(fingerprint(1), limit, make, shelf.keeper());
    let (_, two) = streams.join(fingerprint(1), limit, unmade, shelf.keeper());
    for _ in 0..6 {
        one.next().await.unwrap().unwrap();
    }
    let make = || async { opened(stream::iter(answer()).map(Ok).boxed()) }.boxed();
    let (role, other) = streams.join(fingerprint(1), LIMIT, make, drop);
    assert_eq!((role, read(other).await), (Role::Leader, whole(&answer())));
    // Nobody is far behind: both see all of it.
    assert_eq!(read(two).await, whole(&chunks));
    assert_eq!((read(one).await.0.len(), shelf.take().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_for_which_the_memory_of_all_has_no_room_is_whole_but_not_joined_nor_kept() {
    let chunk = crate::entry::size_of_chunk(&text("a"));
    let (streams, shelf) = (Streams::new(10, 4 * chunk), Shelf::default());
    let (sender, chunks) = upstream();
    let make = || async { opened(chunks) }.boxed();
    let (_, mut first) = streams.join(fingerprint(1), LIMIT, make, drop);
    for _ in 0..3 {
        sender.send(Ok(text("a"))).unwrap();
        first.next().await.unwrap().unwrap();
    }
    let make = || || async { opened(stream::iter(answer()).map(Ok).boxed()) }.boxed();
    for apart in [false, true] {
        let own = streams.apart();
        let streams = if apart { &own } else { &streams };
        let (_, mut second) = streams.join(fingerprint(2), LIMIT, make(), shelf.keeper());
        second.next().await.unwrap().unwrap();
        second.next().await.unwrap().unwrap();
        let (role, third) = streams.join(fingerprint(2), LIMIT, make(), shelf.keeper());
        assert_eq!((role, read(second).await.0.len()), (Role::Leader, 1));
        assert_eq!((read(third).await, shelf.take().len()), (whole(&answer()), 0));
    }
    drop(first);
    let (_, alone) = streams.join(fingerprint(2), LIMIT, make(), shelf.keeper());
    assert_eq!((read(alone).await, shelf.take().len()), (whole(&answer()), 1), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn when_all_slots_are_taken_streams_are_made_each_by_itself() {
    let (streams, shelf) = (Streams::new(1, usize::MAX), Shelf::default());
    let make = || || async { opened(stream::iter(answer()).map(Ok).boxed()) }.boxed();
    let (_, first) = streams.join(fingerprint(1), LIMIT, make(), shelf.keeper());
    let (one, second) = streams.join(fingerprint(2), LIMIT, make(), shelf.keeper());
    let (two, third) = streams.join(fingerprint(2), LIMIT, make(), shelf.keeper());
    assert_eq!((one, two, streams.slots.len()), (Role::Leader, Role::Leader, 1));
    for reader in [first, second, third] {
        assert_eq!(read(reader).await, whole(&answer()));
    }
    assert_eq!(shelf.take().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_in_place_before_the_next_equal_call_is_a_new_one() {
    let streams = Arc::new(Streams::new(10, usize::MAX));
    let again = Arc::clone(&streams);
    let keep = move |_| assert_eq!(again.slots.len(), 1, "the stream can still be joined");
    let make = || async { opened(stream::iter(answer()).map(Ok).boxed()) }.boxed();
    let (_, reader) = streams.join(fingerprint(1), LIMIT, make, keep);
    assert_eq!(read(reader).await, whole(&answer()));
    assert_eq!(streams.slots.len(), 0);
}

/// Real threads: readers come and go while the upstream speaks; none hangs, all that stay see the same whole stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_of_readers_on_several_threads_loses_nothing() {
    let streams = Arc::new(Streams::new(10, usize::MAX));
    let chunks: Arc<Vec<ChatChunk>> = Arc::new((0..50).map(|n| text(&n.to_string())).collect());
    for round in 0..20_u8 {
        let tasks = (0..40_usize).map(|n| {
            let (streams, chunks) = (Arc::clone(&streams), Arc::clone(&chunks));
            tokio::spawn(async move {
                let said = Arc::clone(&chunks);
                let make = move || {
                    let items: Vec<ChatChunk> = said.to_vec();
                    async move {
                        tokio::task::yield_now().await;
                        let slowly = stream::iter(items).then(|chunk| async {
                            tokio::task::yield_now().await;
                            Ok(chunk)
                        });
                        opened(slowly.boxed())
                    }
                    .boxed()
                };
                let (_, reader) = streams.join(fingerprint(round % 2), LIMIT, make, drop);
                if n % 4 == 0 {
                    let seen = read(reader.take(n)).await;
                    assert_eq!(seen, whole(&chunks[..n]));
                } else {
                    assert_eq!(read(reader).await, whole(&chunks));
                }
            })
        });
        let all = join_all(tasks);
        let done = tokio::time::timeout(Duration::from_secs(30), all).await.expect("a reader hangs");
        done.into_iter().for_each(|task| task.unwrap());
    }
    assert_eq!(streams.slots.len(), 0);
}
