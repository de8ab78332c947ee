//! What several tests need.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aigate_contract::{
    Error, ErrorKind, FinishReason, Result, Target,
    chat::{ChatChunk, ChunkStream, ChunkWriter},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use crate::{Entry, Fingerprint, Opened, Origin};

pub(crate) fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint([number; 32])
}

pub(crate) fn origin() -> Arc<Origin> {
    Arc::new(Origin { target: Arc::new(Target::new("p", "m")), dropped: vec!["seed".into()] })
}

pub(crate) fn text(text: &str) -> ChatChunk {
    ChunkWriter::new("id", 1, "m").text(0, text, None).unwrap()
}

pub(crate) fn finish(reason: FinishReason) -> ChatChunk {
    ChunkWriter::new("id", 1, "m").finish(0, reason, None).unwrap()
}

pub(crate) fn broken_stream() -> Error {
    Error::new(ErrorKind::Interrupted, "the stream broke")
}

/// The texts of what was read, and how it ended.
pub(crate) type Seen = (Vec<Bytes>, Result<(), ErrorKind>);

/// What a whole reader sees.
pub(crate) async fn read(mut chunks: impl Stream<Item = Result<ChatChunk>> + Unpin) -> Seen {
    use futures_util::StreamExt;
    let mut seen = Vec::new();
    while let Some(item) = chunks.next().await {
        match item {
            Ok(chunk) => seen.push(chunk.json),
            Err(error) => return (seen, Err(error.kind())),
        }
    }
    (seen, Ok(()))
}

pub(crate) fn whole(chunks: &[ChatChunk]) -> Seen {
    (chunks.iter().map(|chunk| chunk.json.clone()).collect(), Ok(()))
}

/// An upstream that is fed by hand; its stream ends when the sender is dropped.
pub(crate) fn upstream() -> (mpsc::UnboundedSender<Result<ChatChunk>>, ChunkStream) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    (sender, Box::pin(stream::poll_fn(move |cx| receiver.poll_recv(cx))))
}

pub(crate) fn opened(chunks: ChunkStream) -> Result<Opened> {
    Ok(Opened { chunks, origin: origin() })
}

/// Counts.
#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Where a finished stream's entry is put.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Vec<Arc<Entry>>>>);

impl Shelf {
    pub(crate) fn keeper(&self) -> impl FnOnce(Entry) + Send + 'static {
        let shelf = Arc::clone(&self.0);
        move |entry| shelf.lock().unwrap().push(Arc::new(entry))
    }

    pub(crate) fn take(&self) -> Vec<Arc<Entry>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
