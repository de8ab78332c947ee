//! With a Redis of their own: each test starts one, on a Unix socket in a folder of its own.

mod budgets;
mod loss;
mod reach;
mod sharing;
mod takes;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{Decision, Rate, Settings, Shared, Standing, Take};

const HOUR: Duration = Duration::from_secs(3_600);
/// So long that a busy machine does not look like a lost Redis.
const PATIENT: Duration = Duration::from_secs(5);

struct Server {
    folder: TempDir,
    child: Child,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path().join("redis.sock"), options);
        Self { folder, child }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(self.socket()).unwrap();
    }

    /// Starts again, with nothing.
    fn restart(&mut self) {
        self.child = spawn(self.socket(), &[]);
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// A replica that has reached this server.
    async fn replica(&self) -> Shared {
        self.replica_within(PATIENT).await
    }

    async fn replica_within(&self, bound: Duration) -> Shared {
        let shared = Shared::new(settings(&self.url(), bound)).unwrap();
        is_up(&shared).await;
        shared
    }

    /// Runs a command past the replicas.
    async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(socket: PathBuf, options: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(socket)
        .args(options);
    command.stdout(Stdio::null()).spawn().expect("redis-server is needed")
}

fn settings(url: &str, bound: Duration) -> Settings {
    Settings { url: SecretString::from(url), ca: None, prefix: "t".to_owned(), timeout: bound, observe: None }
}

async fn is_up(shared: &Shared) {
    timeout(Duration::from_secs(20), shared.up().wait_for(|up| *up)).await.expect("Redis comes up").unwrap();
}

async fn is_down(shared: &Shared) {
    timeout(Duration::from_secs(20), shared.up().wait_for(|up| !up)).await.expect("Redis is lost").unwrap();
}

/// Waits for something that comes about by itself.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 20 s");
}

async fn arrived(shared: &Shared) {
    assert!(shared.flush(Duration::from_secs(20)).await, "{:?}", shared.counts());
}

fn rate(key: &str, amount: u64, per: Duration, burst: u64, count: u64) -> Take {
    Take::Rate { key: key.into(), rate: Rate { amount, per, burst }, count }
}

fn place(key: &str, max: u64, holder: &str) -> Take {
    Take::Places { key: key.into(), max, holder: holder.into(), lease: HOUR }
}

fn budget(key: &str, limit: u64, amount: u64, holder: &str) -> Take {
    Take::Budget {
        key: key.into(),
        limit,
        amount,
        floor: 0,
        holder: holder.into(),
        lease: HOUR,
        expires: HOUR,
    }
}

fn with_lease(mut take: Take, time: Duration) -> Take {
    match &mut take {
        Take::Places { lease, .. } | Take::Budget { lease, .. } => *lease = time,
        Take::Rate { .. } => panic!("a rate has no lease"),
    }
    take
}

async fn is_granted(shared: &Shared, takes: &[Take]) -> bool {
    matches!(shared.take(takes).await.unwrap(), Decision::Granted { .. })
}

/// How one limit stands, seen by a decision that is refused, so that nothing is taken.
async fn standing(shared: &Shared, take: &Take) -> Standing {
    let decision = shared.take(&[take.clone(), place("none", 0, "nobody")]).await.unwrap();
    assert!(matches!(decision, Decision::Denied { .. }));
    decision.standings()[0]
}

async fn spent_and_reserved(shared: &Shared, key: &str) -> (u64, u64) {
    // A decision brings it up to date.
    let told = standing(shared, &budget(key, crate::LARGEST, 0, "nobody")).await;
    let mut command = redis::cmd("HMGET");
    command.arg(shared.keys.budget(key)).arg("spent").arg("reserved");
    let (spent, reserved): (Option<u64>, Option<u64>) = look(shared, &command).await;
    assert_eq!(told, Standing::Budget { spent: spent.unwrap_or(0) });
    (spent.unwrap_or(0), reserved.unwrap_or(0))
}

async fn free_places(shared: &Shared, key: &str, max: u64) -> u64 {
    const HELD: &str = "local clock = redis.call('TIME')
        local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
        return redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')";
    let mut command = redis::cmd("EVAL");
    command.arg(HELD).arg(1).arg(shared.keys.places(key));
    max - look::<u64>(shared, &command).await
}

/// Asks Redis past the replica, on its connection.
async fn look<T: redis::FromRedisValue>(shared: &Shared, command: &redis::Cmd) -> T {
    let line = shared.limits.line().unwrap();
    let answer = shared.limits.ask("look", &line, PATIENT, command).await;
    redis::from_redis_value(answer.map_err(|failure| failure.lost).unwrap()).unwrap()
}

async fn left_of_rate(shared: &Shared, take: &Take) -> u64 {
    match standing(shared, take).await {
        Standing::Rate { remaining, .. } => remaining,
        other => panic!("{other:?}"),
    }
}
