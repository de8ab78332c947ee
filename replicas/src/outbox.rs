//! What is to be told to Redis and needs no answer: in order, in numbered batches, until it has arrived.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::Value;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use crate::{
    Settle, Take,
    counts::Counters,
    floors::Floors,
    keys::Keys,
    link::{Failure, Link},
    scripts::whole_numbers,
    settle::{self, budget_of},
    take::Lease,
};

/// The most that waits to be settled.
pub(crate) const MAX_SETTLES: usize = 10_000;

/// Items of one batch. Redis does nothing else meanwhile: some microseconds an item. Few make a busy Redis fall behind, since one
/// batch is on its way at a time and decisions are many.
const BATCH: usize = 1_000;
/// Between two attempts, when Redis is there but does not take it.
const AGAIN: Duration = Duration::from_millis(250);

pub(crate) enum Item {
    Settle(Settle),
    Renew(Lease),
    Trip { deployment: Arc<str>, until: Instant },
}

pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    news: Notify,
    /// How many wait or are on their way.
    count: watch::Sender<usize>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// What is renewed: the last list, of what is held at present. It goes first: nothing in it was settled before it was made.
    renewals: Vec<Lease>,
    /// Money spent without a reservation: summed up, so that a long loss does not drop any. No more than there are budgets.
    spent: HashMap<Arc<str>, (u64, Duration)>,
    on_their_way: usize,
}

impl Waiting {
    fn count(&self) -> usize {
        self.renewals.len() + self.settles()
    }

    fn settles(&self) -> usize {
        self.items.len() + self.spent.len() + self.on_their_way
    }

    /// Says whether there was room for it.
    fn add(&mut self, item: Item) -> bool {
        match item {
            // As much was used as was taken.
            Item::Settle(Settle::Taken { take: Take::Rate { count, .. }, actual }) if actual == count => {}
            Item::Settle(Settle::Spent { key, actual, expires }) => {
                let (sum, longest) = self.spent.entry(key).or_default();
                *sum = sum.saturating_add(actual);
                *longest = expires.max(*longest);
            }
            item if self.settles() < MAX_SETTLES => self.items.push_back(item),
            _ => return false,
        }
        true
    }

    fn next(&mut self) -> Vec<Item> {
        let renewals = self.renewals.split_off(self.renewals.len().saturating_sub(BATCH));
        let mut batch: Vec<_> = renewals.into_iter().map(Item::Renew).collect();
        let sums: Vec<_> = self.spent.keys().take(BATCH - batch.len()).cloned().collect();
        let sums = sums.into_iter().filter_map(|key| self.spent.remove_entry(&key));
        batch.extend(
            sums.map(|(key, (actual, expires))| Item::Settle(Settle::Spent { key, actual, expires })),
        );
        let rest = (BATCH - batch.len()).min(self.items.len());
        batch.extend(self.items.drain(..rest));
        self.on_their_way = batch.len();
        batch
    }
}

impl Outbox {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { waiting: Mutex::default(), news: Notify::new(), count: watch::Sender::new(0), counters }
    }

    /// Adds items, behind all others.
    pub(crate) fn push(&self, items: impl IntoIterator<Item = Item>) {
        let mut waiting = self.waiting();
        let before = waiting.count();
        for item in items {
            if !waiting.add(item) {
                self.counters.settle_dropped();
            }
        }
        if waiting.count() > before {
            self.count.send_replace(waiting.count());
            self.news.notify_one();
        }
    }

    /// Renews leases, instead of those that wait for it: what is in no list any more has been settled.
    pub(crate) fn renew(&self, leases: impl IntoIterator<Item = Lease>) {
        let mut waiting = self.waiting();
        waiting.renewals = leases.into_iter().collect();
        self.count.send_replace(waiting.count());
        self.news.notify_one();
    }

    /// How many wait or are on their way.
    pub(crate) fn waiting_count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until everything has arrived.
    pub(crate) async fn empty(&self) {
        // The sender of the count lives as long as this does.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// The task that sends.
    pub(crate) async fn send(self: Arc<Self>, link: Arc<Link>, keys: Arc<Keys>, floors: Arc<Floors>) {
        let mut up = link.up();
        for number in 1u64.. {
            let batch = self.next_batch().await;
            // The same batch under the same number, until it is answered: Redis ignores what it has seen.
            loop {
                // The link lives as long as this task.
                let _ = up.wait_for(|up| *up).await;
                match self.send_once(&link, &keys, &floors, &batch, number).await {
                    Ok(()) => break,
                    Err(_) => sleep(AGAIN).await,
                }
            }
            let mut waiting = self.waiting();
            waiting.on_their_way = 0;
            self.count.send_replace(waiting.count());
        }
    }

    async fn next_batch(&self) -> Vec<Item> {
        loop {
            let batch = self.waiting().next();
            if !batch.is_empty() {
                return batch;
            }
            self.news.notified().await;
        }
    }

    async fn send_once(
        &self,
        link: &Link,
        keys: &Keys,
        floors: &Floors,
        batch: &[Item],
        number: u64,
    ) -> Result<(), Failure> {
        let line = link.line()?;
        let script = settle::tell(batch, keys, floors, line.number, number);
        let answer = link.run("settle", &line, &script).await?;
        let (fault, spent) =
            read(answer).unwrap_or(("its answer to a settling cannot be read".to_owned(), Vec::new()));
        if !fault.is_empty() {
            self.counters.script_error(&fault);
        }
        for (item, spent) in batch.iter().zip(spent) {
            if let (Some((key, expires)), Ok(spent)) = (budget_of(item), u64::try_from(spent)) {
                floors.note(key, spent, expires);
            }
        }
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first fault or nothing, and what is spent of each item's budget.
fn read(answer: Value) -> Option<(String, Vec<i64>)> {
    let Value::Array(values) = answer else { return None };
    let (fault, spent) = values.split_first()?;
    let fault = redis::from_redis_value_ref::<String>(fault).ok()?;
    Some((fault, whole_numbers(spent)?))
}
