use std::sync::atomic::{AtomicBool, Ordering};

use aigate_contract::FinishReason;
use futures_util::{FutureExt, StreamExt, future::poll_immediate, stream};
use proptest::prelude::*;

use super::*;
use crate::testing::{broken_stream, finish, opened, text, upstream};

fn tape(chunks: ChunkStream, limit: usize) -> Arc<Tape> {
    Tape::new(async { opened(chunks) }.boxed(), limit, memory(usize::MAX), Box::new(|_| ()))
}

fn memory(most: usize) -> Arc<Memory> {
    Arc::new(Memory::new(most))
}

fn size(chunks: usize) -> usize {
    chunks * size_of_chunk(&text("a"))
}

#[tokio::test]
async fn a_slow_reader_sees_all_that_a_fast_one_sees() {
    let chunks: Vec<_> = ["a", "b", "c"].map(text).into();
    let tape = tape(stream::iter(chunks.clone()).map(Ok).boxed(), size(100));
    let (mut slow, fast) = (tape.enter(), tape.join().unwrap());
    assert_eq!(slow.next().await.unwrap().unwrap().json, chunks[0].json);
    assert_eq!(fast.count().await, 3);
    assert_eq!(slow.next().await.unwrap().unwrap().json, chunks[1].json);
    assert_eq!(slow.next().await.unwrap().unwrap().json, chunks[2].json);
    assert!(slow.next().await.is_none() && slow.next().await.is_none());
}

#[tokio::test]
async fn an_overgrown_tape_keeps_nothing_for_a_single_reader() {
    let tape = tape(stream::iter((0..1000).map(|_| Ok(text("a")))).boxed(), size(5));
    let mut reader = tape.enter();
    for read in 1..=1000 {
        reader.next().await.unwrap().unwrap();
        let held = tape.lock().chunks.len();
        assert!(held == if read <= 5 { read } else { 0 }, "{held} after {read}");
    }
    assert!(reader.next().await.is_none());
    assert!(tape.join().is_none());
}

#[tokio::test]
async fn an_overgrown_tape_holds_twice_its_limit_at_most_and_cuts_off_who_is_too_far_behind() {
    let tape = tape(stream::iter((0..100).map(|_| Ok(text("a")))).boxed(), size(5));
    let (mut fast, mut near, mut far) = (tape.enter(), tape.enter(), tape.enter());
    for read in 0..11 {
        fast.next().await.unwrap().unwrap();
        if read > 0 {
            near.next().await.unwrap().unwrap();
        }
        assert!(tape.lock().bytes <= size(10));
    }
    let error = far.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.message().contains("too slowly"), "{error}");
    assert!(far.next().await.is_none());
    drop(far);
    for _ in 11..100 {
        near.next().await.unwrap().unwrap();
        fast.next().await.unwrap().unwrap();
    }
    near.next().await.unwrap().unwrap();
    assert!(near.next().await.is_none() && fast.next().await.is_none());
}

#[tokio::test]
async fn an_overgrown_tape_holds_no_more_than_its_slowest_reader_lacks() {
    let tape = tape(stream::iter((0..100).map(|_| Ok(text("a")))).boxed(), size(5));
    let mut readers: Vec<_> = (0..10).map(|_| tape.enter()).collect();
    for read in 1..=100 {
        for reader in &mut readers {
            reader.next().await.unwrap().unwrap();
        }
        let held = tape.lock().chunks.len();
        assert_eq!(held, if read <= 5 { read } else { 0 }, "after {read}");
    }
}

#[tokio::test]
async fn tapes_that_together_outgrow_the_memory_are_overgrown_and_what_they_held_is_given_back() {
    let memory = memory(size(10));
    let held = || memory.held.load(Ordering::SeqCst) / size(1);
    let tape = || {
        let chunks = stream::iter((0..20).map(|_| Ok(text("a")))).boxed();
        Tape::new(async { opened(chunks) }.boxed(), size(100), Arc::clone(&memory), Box::new(|_| ()))
    };
    let (first, second) = (tape(), tape());
    let (mut one, mut two) = (first.enter(), second.enter());
    for _ in 0..8 {
        one.next().await.unwrap().unwrap();
    }
    for read in 1..=20 {
        assert_eq!(second.join().is_some(), read <= 3, "before {read}");
        two.next().await.unwrap().unwrap();
        assert_eq!(held(), if read <= 2 { 8 + read } else { 8 }, "after {read}");
    }
    assert!(first.join().is_some(), "what it holds is within the bound again");
    assert_eq!(one.count().await, 12);
    assert_eq!(held(), 0, "in the end it went beyond as well");
    drop((first, second, two));
    let (third, mut three) = (tape(), None);
    let three = three.insert(third.enter());
    for _ in 0..10 {
        three.next().await.unwrap().unwrap();
    }
    assert!(third.join().is_some());
}

#[tokio::test]
async fn a_chunk_larger_than_any_limit_still_reaches_its_readers() {
    let tape = tape(stream::iter(["a", "b"].map(text)).map(Ok).boxed(), 0);
    let (one, mut two) = (tape.enter(), tape.enter());
    two.next().await.unwrap().unwrap();
    assert_eq!((one.take(1).count().await, two.count().await), (1, 1));
}

#[tokio::test]
async fn a_reader_that_leaves_unpolled_after_it_was_woken_does_not_take_the_news_with_it() {
    let (sender, chunks) = upstream();
    let tape = tape(chunks, size(100));
    let (mut one, mut two) = (tape.enter(), tape.enter());
    assert!(poll_immediate(two.next()).await.is_none());
    let waiting = tokio::spawn(async move { two.next().await.is_some() });
    tokio::task::yield_now().await;
    // The last to poll is the one that leaves.
    assert!(poll_immediate(one.next()).await.is_none());
    sender.send(Ok(text("a"))).unwrap();
    drop(one);
    assert!(waiting.await.unwrap());
}

/// A timer that has run out tells whoever polls it, and then wakes nobody.
#[test]
fn what_one_reader_finds_upstream_wakes_the_others_though_the_upstream_woke_nobody() {
    let ready = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&ready);
    let quiet = stream::poll_fn(move |_| match said.swap(false, Ordering::SeqCst) {
        true => Poll::Ready(Some(Ok(text("a")))),
        false => Poll::Pending,
    });
    let tape = tape(quiet.boxed(), size(100));
    let (mut one, mut two) = (Task::new(tape.enter()), Task::new(tape.enter()));
    one.run();
    two.run();
    assert!(!one.is_woken());
    ready.store(true, Ordering::SeqCst);
    two.run();
    assert!(one.is_woken());
    one.run();
    assert_eq!((one.seen.len(), two.seen.len()), (1, 1));
}

#[tokio::test]
async fn an_overgrown_tape_is_emptied_when_all_readers_but_one_have_left() {
    let tape = tape(stream::iter((0..20).map(|_| Ok(text("a")))).boxed(), size(5));
    let (mut one, two) = (tape.enter(), tape.enter());
    for _ in 0..7 {
        one.next().await.unwrap().unwrap();
    }
    assert_eq!(tape.lock().chunks.len(), 7);
    drop(two);
    one.next().await.unwrap().unwrap();
    assert_eq!(tape.lock().chunks.len(), 0);
    assert_eq!(one.count().await, 12);
}

/// What happens, in order; numbers choose among those that there are.
#[derive(Clone, Debug)]
enum Step {
    Join,
    Leave(usize),
    /// A reader is polled though nobody woke it.
    Poll(usize),
    /// Whoever was woken is polled: one of them.
    Run(usize),
    Say,
    Open,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Join),
        (0..8_usize).prop_map(Step::Leave),
        (0..8_usize).prop_map(Step::Poll),
        (0..8_usize).prop_map(Step::Run),
        (0..8_usize).prop_map(Step::Run),
        Just(Step::Say),
        Just(Step::Say),
        Just(Step::Open),
    ]
}

/// A reader in an executor that polls only those who were woken.
struct Task {
    reader: Reader,
    woken: Arc<Flag>,
    seen: Vec<bytes::Bytes>,
    end: Option<Result<(), ErrorKind>>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Task {
    fn new(reader: Reader) -> Self {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        Self { reader, woken, seen: Vec::new(), end: None }
    }

    /// Polls until there is nothing more for now.
    fn run(&mut self) {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        while let Poll::Ready(item) = self.reader.poll_next_unpin(&mut Context::from_waker(&waker)) {
            match item {
                Some(Ok(chunk)) => self.seen.push(chunk.json),
                Some(Err(error)) => self.end = Some(Err(error.kind())),
                None => {
                    self.end.get_or_insert(Ok(()));
                    return;
                }
            }
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }
}

proptest! {
    #[test]
    fn every_reader_that_stays_sees_the_whole_stream_in_whatever_order_things_happen(
        steps in prop::collection::vec(step(), 0..60),
        breaks in any::<bool>(),
    ) {
        let (sender, chunks) = upstream();
        let (open, opening) = tokio::sync::oneshot::channel::<()>();
        let call = async move {
            let _ = opening.await;
            opened(chunks)
        };
        let (kept, memory) = (Arc::new(Mutex::new(None)), memory(usize::MAX));
        let shelf = Arc::clone(&kept);
        let keep = move |entry: Entry| *shelf.lock().unwrap() = Some(Arc::new(entry));
        let tape = Tape::new(call.boxed(), size(1000), Arc::clone(&memory), Box::new(keep));
        let mut tasks = vec![Task::new(tape.enter())];
        let (mut open, mut said) = (Some(open), Vec::new());
        for step in steps {
            let count = tasks.len();
            match step {
                Step::Join => tasks.push(Task::new(tape.join().unwrap())),
                Step::Leave(which) if count > 1 => drop(tasks.remove(which % count)),
                Step::Leave(_) => {}
                Step::Poll(which) => tasks[which % count].run(),
                Step::Run(which) => {
                    let mut woken: Vec<_> = tasks.iter_mut().filter(|task| task.is_woken()).collect();
                    if !woken.is_empty() {
                        let which = which % woken.len();
                        woken[which].run();
                    }
                }
                Step::Say => {
                    let chunk = text(&said.len().to_string());
                    said.push(chunk.json.clone());
                    sender.send(Ok(chunk)).unwrap();
                }
                Step::Open => drop(open.take()),
            }
        }
        drop(open);
        let last = if breaks { Err(broken_stream()) } else { Ok(finish(FinishReason::Stop)) };
        said.extend(last.as_ref().ok().map(|chunk| chunk.json.clone()));
        sender.send(last).unwrap();
        drop(sender);
        // From here on only those who are woken are polled: a waker that is lost leaves its reader without an end.
        while let Some(task) = tasks.iter_mut().find(|task| task.is_woken() && task.end.is_none()) {
            task.run();
        }
        for task in &tasks {
            prop_assert_eq!(&task.seen, &said);
            prop_assert_eq!(task.end, Some(if breaks { Err(ErrorKind::Interrupted) } else { Ok(()) }));
        }
        let kept = kept.lock().unwrap().take().map(|entry| entry.chat_stream().unwrap().map(|chunk| chunk.json).collect());
        prop_assert_eq!(kept, (!breaks).then_some(said));
        prop_assert_eq!(memory.held.load(Ordering::SeqCst), tape.lock().bytes);
        drop((tasks, tape));
        prop_assert_eq!(memory.held.load(Ordering::SeqCst), 0);
    }
}
