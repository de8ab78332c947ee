//! The cache's second level: answers, on a connection of their own, so that a large one keeps no decision waiting.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{Lost, counts::Counters, keys::Keys, link::Link};

/// The largest answer that is put or got, in bytes.
pub(crate) const MAX_ANSWER: usize = 1 << 20;
/// Answers that wait to be put, and their bytes.
const QUEUE: usize = 1_024;
const QUEUE_BYTES: usize = 32 << 20;
/// Putting keeps nobody waiting: a large answer on a slow network may take so long.
const PUT: Duration = Duration::from_secs(1);

pub(crate) struct Answers {
    link: Arc<Link>,
    keys: Arc<Keys>,
    counters: Arc<Counters>,
    queue: mpsc::Sender<Put>,
    room: Arc<Semaphore>,
}

struct Put {
    key: String,
    answer: Bytes,
    /// Milliseconds.
    ttl: u64,
    _room: OwnedSemaphorePermit,
}

/// The end of the queue.
pub(crate) struct Puts {
    link: Arc<Link>,
    counters: Arc<Counters>,
    queue: mpsc::Receiver<Put>,
}

impl Answers {
    pub(crate) fn new(link: Arc<Link>, keys: Arc<Keys>, counters: Arc<Counters>) -> (Self, Puts) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        let puts = Puts { link: Arc::clone(&link), counters: Arc::clone(&counters), queue: receiver };
        (Self { link, keys, counters, queue: sender, room }, puts)
    }

    pub(crate) async fn get(&self, key: &[u8; 32]) -> Result<Option<Bytes>, Lost> {
        let line = self.link.line()?;
        // Never more than the largest answer and a byte, whatever is there. What is not there is empty.
        let mut command = redis::cmd("GETRANGE");
        command.arg(self.keys.answer(key)).arg(0).arg(MAX_ANSWER);
        let answer = self
            .link
            .ask("get", &line, self.link.timeout(), &command)
            .await
            .map_err(|failure| failure.lost)?;
        let Value::BulkString(answer) = answer else { return Ok(None) };
        Ok((!answer.is_empty() && answer.len() <= MAX_ANSWER).then(|| answer.into()))
    }

    pub(crate) fn put(&self, key: &[u8; 32], answer: Bytes, ttl: Duration) {
        if self.queue(key, answer, ttl).is_none() {
            self.counters.put_dropped();
        }
    }

    /// `None`: there is no room for it.
    fn queue(&self, key: &[u8; 32], answer: Bytes, ttl: Duration) -> Option<()> {
        let ttl = u64::try_from(ttl.as_millis()).ok().filter(|ttl| (1..=MAX_TTL).contains(ttl))?;
        let length = u32::try_from(answer.len())
            .ok()
            .filter(|length| (1..=MAX_ANSWER).contains(&(*length as usize)))?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(length).ok()?;
        self.queue.try_send(Put { key: self.keys.answer(key), answer, ttl, _room: room }).ok()
    }
}

/// A year, in milliseconds.
const MAX_TTL: u64 = 366 * 86_400 * 1_000;

impl Puts {
    /// The task that writes them.
    pub(crate) async fn write(mut self) {
        while let Some(put) = self.queue.recv().await {
            if self.write_one(&put).await.is_none() {
                self.counters.put_dropped();
            }
        }
    }

    async fn write_one(&self, put: &Put) -> Option<()> {
        let line = self.link.line().ok()?;
        let mut command = redis::cmd("SET");
        command.arg(&put.key).arg(&put.answer[..]).arg("PX").arg(put.ttl);
        let within = PUT.max(self.link.timeout());
        self.link.ask("put", &line, within, &command).await.ok().map(drop)
    }
}
