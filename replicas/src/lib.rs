//! What many replicas of the gateway share, in Redis: limits, budgets, trips of breakers, answers.
//!
//! ```text
//! call ── take ──> one script, all or nothing ──> Granted | Denied          waits at most `Settings::timeout`
//!  └──── settle ─> outbox ──> one script for many, each batch exactly once  never waits
//! breaker ─ trip ─> outbox ─> hash + message ──> every replica's `trips()`
//! cache ── get ──> second connection             put ─> bounded queue ──> second connection
//! ```
//!
//! **Lost.** One background task a connection connects and, when Redis is lost, comes back; no call ever waits for it. While Redis is
//! lost, everything that needs an answer fails at once with [`Lost`]; the caller then decides by itself or refuses. An answer
//! that does not come within the timeout loses the connection: one call waits for a Redis that hangs, the next ones do not. A
//! connection counts as made only when Redis answers within the timeout.
//!
//! **Lost answers.** Whether a take happened whose answer never came nobody knows. It is taken back: its places are released and its
//! reservations cancelled, and since Redis refuses whatever comes late on the connection that was given up, they stay so. The
//! same goes for a take whose future is dropped. Only what it may have taken from a rate stays taken. So a caller that gets
//! [`Lost`] holds nothing here and settles nothing for it, but tells money it spends meanwhile with [`Settle::Spent`].
//!
//! **Exactly once.** What is settled goes out in numbered batches, one at a time, in order, again and again until it is answered; Redis
//! remembers the last number of each replica for a day and ignores what it has seen.
//!
//! **Redis that forgets.** A Redis that lost its data (restart, FLUSHALL) is told what each replica knows: the largest `spent` of each
//! budget it was ever told goes out with whatever concerns this budget, and raises it. What other replicas settle between the loss
//! and the first word of the replica that knows most may count as known already. Rates start full; places come back
//! with the next renewal. Eviction is loss: run Redis with `maxmemory-policy noeviction`.
//!
//! **Needs** Redis 6 or newer, or Valkey: one primary, TCP, TLS or a Unix socket. All keys are called `{prefix}:…`, so that in a Redis
//! Cluster they are in one slot; this crate does not follow redirections, so the URL must be of the node that has it.

mod address;
mod answers;
mod counts;
mod floors;
mod keys;
mod link;
mod outbox;
mod scripts;
mod settle;
mod take;
mod trips;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use secrecy::SecretString;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

pub use self::{
    address::check,
    counts::Counts,
    settle::Settle,
    take::{Decision, LARGEST, Rate, Standing, Take},
    trips::Trip,
};
use self::{
    answers::Answers,
    counts::Counters,
    floors::Floors,
    keys::Keys,
    link::{Link, Role},
    outbox::{Item, Outbox},
    trips::Trips,
};

/// Told how long Redis took to answer: to what (`take`, `settle`, `trips`, `get`, `put`), and the time.
pub type Observe = Arc<dyn Fn(&'static str, Duration) + Send + Sync>;

/// Where Redis is, and how it is used.
pub struct Settings {
    /// `redis://`, `rediss://` (TLS) or `redis+unix://`, with user and password.
    pub url: SecretString,
    /// Certificates, PEM, of who may vouch for Redis, instead of the system's. Only with `rediss://`.
    pub ca: Option<Vec<u8>>,
    /// What all keys begin with: 1 to 64 of `a-z A-Z 0-9 _ - . :`. Gateways with the same prefix share.
    pub prefix: String,
    /// The longest that a call waits for Redis: 1 ms to 10 s.
    pub timeout: Duration,
    /// Told of each round trip.
    pub observe: Option<Observe>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// There is no shared decision, at once or after the timeout, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// In words, without secrets.
    pub why: Arc<str>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer from the shared Redis: {}", self.why)
    }
}

impl std::error::Error for Lost {}

/// What this replica shares with the others. Dropping it ends its tasks; [`Shared::flush`] first.
pub struct Shared {
    keys: Arc<Keys>,
    limits: Arc<Link>,
    outbox: Arc<Outbox>,
    floors: Arc<Floors>,
    trips: Arc<Trips>,
    answers: Answers,
    counters: Arc<Counters>,
    _tasks: JoinSet<()>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("up", &self.is_up())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Starts the tasks that connect. Touches no network itself: Redis may be lost from the start. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What is wrong with a setting, in words, without secrets.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let (address, keys) =
            address::usable(&settings.url, settings.ca.as_deref(), &settings.prefix, settings.timeout)
                .map_err(|(_, why)| why)?;
        let keys = Arc::new(keys);
        tokio::runtime::Handle::try_current()
            .map_err(|_| "there is no tokio runtime to connect in".to_owned())?;

        let counters = Arc::new(Counters::new(settings.observe));
        let trips = Arc::new(Trips::new());
        let role = Role::Limits { keys: Arc::clone(&keys), nudge: trips.nudge() };
        let limits = Arc::new(Link::new(role, address.clone(), settings.timeout, Arc::clone(&counters)));
        let cache = Arc::new(Link::new(Role::Answers, address, settings.timeout, Arc::clone(&counters)));
        let outbox = Arc::new(Outbox::new(Arc::clone(&counters)));
        let floors = Arc::new(Floors::new(Arc::clone(&counters)));
        let (answers, puts) = Answers::new(Arc::clone(&cache), Arc::clone(&keys), Arc::clone(&counters));

        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&limits).keep());
        tasks.spawn(cache.keep());
        tasks.spawn(Arc::clone(&outbox).send(Arc::clone(&limits), Arc::clone(&keys), Arc::clone(&floors)));
        tasks.spawn(Arc::clone(&trips).follow(Arc::clone(&limits), Arc::clone(&keys)));
        tasks.spawn(puts.write());
        Ok(Self { keys, limits, outbox, floors, trips, answers, counters, _tasks: tasks })
    }

    /// Takes all of it or nothing, for all replicas, in one step.
    ///
    /// # Errors
    /// There is no decision, within the timeout; nothing is held. At once while Redis is lost, or when this cannot be asked: more than
    /// 64 takes, too long a name, too large a number. That is logged, now and then.
    pub async fn take(&self, takes: &[Take]) -> Result<Decision, Lost> {
        if let Some(why) = take::fault(takes) {
            self.counters.unasked(&why);
            return Err(Lost { why: format!("it was not asked: {why}").into() });
        }
        let line = self.limits.line()?;
        let mut undo = Undo { outbox: &self.outbox, takes, armed: true };
        let script = take::ask(takes, &self.keys, &self.floors, line.number);
        let answer = self.limits.run("take", &line, &script).await;
        let decision = answer.and_then(|answer| take::read(takes, answer));
        undo.armed = decision.as_ref().is_err_and(|failure| failure.done);
        let decision = decision.map_err(|failure| failure.lost)?;
        self.floors.note_all(takes, decision.standings());
        Ok(decision)
    }

    /// Settles what was granted. Never waits: it is sent as soon as Redis is there, exactly once. Of more than 10,000 that
    /// wait for a lost Redis the newest are dropped, counted and logged: what they reserved counts as spent when its lease runs out, a
    /// place is free then. Money spent without a reservation is summed up by budget, and none of it is dropped.
    pub fn settle(&self, settles: impl IntoIterator<Item = Settle>) {
        self.outbox.push(settles.into_iter().map(Item::Settle));
    }

    /// Renews the leases of the places and reservations that were granted, all together; rates have none. Never waits. While
    /// Redis is lost, each list takes the place of the one before.
    ///
    /// Call it every third of a lease for calls that are still under way, and under the lock that guards their settling: a place
    /// that is renewed after it was released is taken again, for one lease. One that Redis forgot is taken again on purpose.
    pub fn renew<'a>(&self, takes: impl IntoIterator<Item = &'a Take>) {
        self.outbox.renew(takes.into_iter().filter_map(Take::lease));
    }

    /// Tells all replicas, this one too, that a deployment is to be left alone for so long from now. A shorter time than is
    /// known changes nothing. Never waits; what has passed by the time Redis is back is not told.
    pub fn trip(&self, deployment: &str, time: Duration) {
        self.outbox.push([Item::Trip { deployment: deployment.into(), until: Instant::now() + time }]);
    }

    /// The trips that are known, at most 1,000: within milliseconds by a message, within about a second without.
    pub fn trips(&self) -> watch::Receiver<Arc<[Trip]>> {
        self.trips.subscribe()
    }

    /// The answer that was put under a key, if Redis still has it.
    ///
    /// # Errors
    /// Nobody knows, within the timeout; at once while Redis is lost.
    pub async fn get(&self, key: &[u8; 32]) -> Result<Option<Bytes>, Lost> {
        self.answers.get(key).await
    }

    /// Puts an answer of at most 1 MiB under a key for a time. Never waits; what does not fit into the queue, is too
    /// large, or cannot be delivered is dropped and counted.
    pub fn put(&self, key: &[u8; 32], answer: Bytes, ttl: Duration) {
        self.answers.put(key, answer, ttl);
    }

    /// Whether decisions can be asked for.
    pub fn is_up(&self) -> bool {
        *self.limits.up().borrow()
    }

    /// Follows [`Shared::is_up`].
    pub fn up(&self) -> watch::Receiver<bool> {
        self.limits.up()
    }

    /// What has happened since the start.
    pub fn counts(&self) -> Counts {
        self.counters.counts(self.outbox.waiting_count())
    }

    /// Waits until everything that was to be settled has arrived, at most so long. Says whether it has.
    pub async fn flush(&self, within: Duration) -> bool {
        timeout(within, self.outbox.empty()).await.is_ok()
    }
}

/// Takes back what nobody knows to be taken: armed while a take has no answer.
struct Undo<'a> {
    outbox: &'a Outbox,
    takes: &'a [Take],
    armed: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed {
            let leased = self.takes.iter().filter(|take| take.is_leased());
            self.outbox.push(leased.map(|take| Item::Settle(take.settle(0))));
        }
    }
}

#[cfg(test)]
mod tests;
