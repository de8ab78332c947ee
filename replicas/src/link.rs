//! One connection to Redis, and the task that keeps it. Nobody else connects, so nobody else waits for it.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, PushInfo, PushKind, RedisError, ScriptInvocation, ServerErrorKind,
    Value, aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout_at},
};
use tracing::{debug, info, warn};

use crate::{Lost, address::Address, counts::Counters, keys::Keys, scripts, settle};

/// How long connecting may take. Nobody waits for it.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two attempts: the first, and, doubling, the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that stood so long is replaced at once when it is lost.
const STEADY: Duration = Duration::from_secs(5);

/// What a connection is for.
pub(crate) enum Role {
    /// Decisions, settling and trips.
    Limits { keys: Arc<Keys>, nudge: Arc<Notify> },
    /// The cache's second level.
    Answers,
}

pub(crate) struct Link {
    role: Role,
    address: Address,
    timeout: Duration,
    counters: Arc<Counters>,
    state: Mutex<State>,
    up: watch::Sender<bool>,
}

struct State {
    line: Option<Line>,
    /// Of the last attempt to connect.
    number: u64,
    why: Arc<str>,
}

/// A connection that stands, or stood.
#[derive(Clone)]
pub(crate) struct Line {
    connection: MultiplexedConnection,
    /// Grows with each connection of this replica.
    pub(crate) number: u64,
}

/// Nothing came back.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) lost: Lost,
    /// Whether Redis may have done it nevertheless.
    pub(crate) done: bool,
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self { lost, done: false }
    }
}

impl Link {
    pub(crate) fn new(role: Role, address: Address, timeout: Duration, counters: Arc<Counters>) -> Self {
        let state = State { line: None, number: 0, why: "not connected yet".into() };
        Self { role, address, timeout, counters, state: Mutex::new(state), up: watch::Sender::new(false) }
    }

    /// Whether there is a connection, to follow.
    pub(crate) fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// How long a call waits.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The connection, or at once why there is none.
    pub(crate) fn line(&self) -> Result<Line, Lost> {
        let state = self.state();
        state.line.clone().ok_or_else(|| Lost { why: Arc::clone(&state.why) })
    }

    /// Runs a script within the timeout, also one that Redis has forgotten.
    pub(crate) async fn run(
        &self,
        what: &'static str,
        line: &Line,
        script: &ScriptInvocation<'_>,
    ) -> Result<Value, Failure> {
        let mut connection = line.connection.clone();
        self.bounded(what, line.number, self.timeout, script.invoke_async(&mut connection)).await
    }

    /// Asks within a time.
    pub(crate) async fn ask(
        &self,
        what: &'static str,
        line: &Line,
        within: Duration,
        command: &Cmd,
    ) -> Result<Value, Failure> {
        let mut connection = line.connection.clone();
        self.bounded(what, line.number, within, command.query_async(&mut connection)).await
    }

    async fn bounded(
        &self,
        what: &'static str,
        number: u64,
        within: Duration,
        asking: impl Future<Output = Result<Value, RedisError>>,
    ) -> Result<Value, Failure> {
        let start = Instant::now();
        match timeout_at(start + within, asking).await {
            Ok(Ok(answer)) => {
                self.counters.round_trip(what, start.elapsed());
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(number, &error)),
            Err(_) => {
                self.counters.timeout();
                let why: Arc<str> = format!("it did not answer within {within:?}").into();
                self.lose(number, &why);
                Err(Failure { lost: Lost { why }, done: true })
            }
        }
    }

    fn failed(&self, number: u64, error: &RedisError) -> Failure {
        let why: Arc<str> = error.to_string().into();
        let refused = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        if refused {
            self.counters.script_error(&why);
        }
        if !refused || error.is_unrecoverable_error() || is_no_primary(error) {
            self.lose(number, &why);
        }
        // A script that Redis refuses has written nothing: each reads all it needs before it writes.
        Failure { lost: Lost { why }, done: !refused }
    }

    /// Gives a connection up. What is under way on it may still be answered.
    fn lose(&self, number: u64, why: &Arc<str>) {
        let mut state = self.state();
        let Some(line) = state.line.take_if(|line| line.number == number) else { return };
        state.why = Arc::clone(why);
        self.up.send_replace(false);
        drop(state);
        drop(line);
        self.counters.loss();
        warn!(connection = self.name(), why = &**why, "the shared Redis is lost");
    }

    /// The task that connects, and connects again.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut up = self.up();
        let mut pause = FIRST_PAUSE;
        loop {
            let number = self.next_number();
            match self.connect(number).await {
                Ok(line) => {
                    let since = Instant::now();
                    self.rise(line);
                    // The sender lives as long as this does.
                    let _ = up.wait_for(|up| !up).await;
                    if since.elapsed() >= STEADY {
                        pause = FIRST_PAUSE;
                        continue;
                    }
                }
                Err(why) => self.note(&why),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect(self: &Arc<Self>, number: u64) -> Result<Line, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(listener(Arc::downgrade(self), number));
        let connecting = async {
            let connection = self.address.client.get_multiplexed_async_connection_with_config(&config).await;
            let mut line = Line { connection: connection.map_err(|error| error.to_string())?, number };
            self.greet(&mut line).await?;
            Ok(line)
        };
        let late = || Err(format!("connecting took longer than {CONNECT:?}"));
        timeout_at(Instant::now() + CONNECT, connecting).await.unwrap_or_else(|_| late())
    }

    /// Makes a new connection useful, and sees that it answers within the timeout.
    async fn greet(&self, line: &mut Line) -> Result<(), String> {
        let words = |error: RedisError| error.to_string();
        if let Role::Limits { keys, .. } = &self.role {
            for script in [&scripts::TAKE, &scripts::SETTLE, &scripts::TRIPS] {
                script.load_async(&mut line.connection).await.map_err(words)?;
            }
            if let Err(error) = line.connection.subscribe(keys.trips()).await {
                warn!(%error, "the shared Redis sends no messages: other replicas' trips are learnt within a second only");
            }
        }
        let connection = &mut line.connection;
        let greeting = async {
            match &self.role {
                // From here on, Redis refuses what still comes on earlier connections.
                Role::Limits { keys, .. } => {
                    settle::begin(keys, line.number, 0).invoke_async(connection).await
                }
                Role::Answers => redis::cmd("PING").exec_async(connection).await,
            }
        };
        let answer = timeout_at(Instant::now() + self.timeout, greeting).await;
        answer.map_err(|_| format!("it does not answer within {:?}", self.timeout))?.map_err(words)
    }

    fn rise(&self, line: Line) {
        let mut state = self.state();
        state.line = Some(line);
        // Under the lock, as in `lose`: a loss in between would be overwritten, and nobody would connect again.
        self.up.send_replace(true);
        drop(state);
        info!(connection = self.name(), "the shared Redis is there");
    }

    /// Why there is no connection yet; logged when it is news.
    fn note(&self, why: &str) {
        let mut state = self.state();
        if *state.why == *why {
            drop(state);
            debug!(connection = self.name(), why, "the shared Redis cannot be reached");
        } else {
            state.why = why.into();
            drop(state);
            warn!(connection = self.name(), why, "the shared Redis cannot be reached");
        }
    }

    fn next_number(&self) -> u64 {
        let mut state = self.state();
        state.number += 1;
        state.number
    }

    fn name(&self) -> &'static str {
        match self.role {
            Role::Limits { .. } => "limits",
            Role::Answers => "cache",
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what Redis says unasked, and that a connection ended.
fn listener(link: Weak<Link>, number: u64) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
    move |push| {
        let link = link.upgrade().ok_or(())?;
        match (push.kind, &link.role) {
            (PushKind::Disconnection, _) => link.lose(number, &"it closed the connection".into()),
            (PushKind::Message, Role::Limits { nudge, .. }) => nudge.notify_one(),
            _ => {}
        }
        Ok(())
    }
}

/// Whether another machine may be the right one by now.
fn is_no_primary(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly};
    matches!(error.kind(), ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly))
}
