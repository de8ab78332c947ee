//! A Redis of the test's own, a simulated cloud, and gateways that are processes.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use aigate_sim::{Cloud, CloudKind, Options, start};
use reqwest::Response;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// Secret of the key `caller`, which has limits.
const CALLER: &str = "aig_test_caller_0123456789abcdefghijklmnopqrstuv";
/// Secret of the key `free`, which has none.
const FREE: &str = "aig_test_free_0123456789abcdefghijklmnopqrstuv";

pub(crate) enum Who {
    Caller,
    Free,
}

pub(crate) struct Redis {
    folder: TempDir,
    child: Child,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(&folder.path().join("redis.sock"), options);
        Self { folder, child }
    }

    fn spawn(socket: &std::path::Path, options: &[&str]) -> Child {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(socket);
        command.args(options).stdout(Stdio::null()).spawn().expect("redis-server is needed")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts again, with nothing.
    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(&self.socket(), &[]);
    }

    pub(crate) fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// What a gateway is configured with. The model `m` costs a cent a call.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) cloud: String,
    /// The section `[shared]`.
    pub(crate) shared: String,
    /// What the key `caller` may consume: lines of its table.
    pub(crate) caller: String,
    /// More of the model `m`, or more sections.
    pub(crate) more: String,
}

impl Setting {
    pub(crate) fn new(cloud: &Cloud, redis: &str, shared: &str, caller: &str) -> Self {
        Self {
            cloud: cloud.url(),
            shared: format!("[shared]\nredis = \"{redis}\"\n{shared}\n"),
            caller: caller.to_owned(),
            more: String::new(),
        }
    }

    pub(crate) fn and(mut self, more: &str) -> Self {
        self.more = more.to_owned();
        self
    }

    fn text(&self, folder: &std::path::Path) -> String {
        let hash = |secret| aigate_keys::secret::format_hash(&aigate_keys::secret::hash(secret));
        let Self { cloud, shared, caller, more } = self;
        format!(
            r#"
[server]
listen = "127.0.0.1:0"
shutdown_grace = "10s"
[operations]
listen = "127.0.0.1:0"
[log]
format = "json"
calls = false
[state]
file = "{state}"
[reload]
watch = false
{shared}
[providers.openai]
kind = "openai"
base_url = "{cloud}/v1"
api_key = "simulated-key"
[keys.caller]
hash = "{one}"
{caller}
[keys.free]
hash = "{other}"
[models.m]
task = "chat"
deployments = [{{ provider = "openai", target = "gpt-4.1-mini", price = {{ usd_per_request = 0.01 }} }}]
{more}
"#,
            state = folder.join("state.sqlite").display(),
            one = hash(CALLER),
            other = hash(FREE),
        )
    }
}

/// A gateway, as a process.
pub(crate) struct Gate {
    child: Child,
    folder: TempDir,
    log: Arc<Mutex<Vec<String>>>,
    url: String,
    operations: String,
    client: reqwest::Client,
}

impl Gate {
    /// A gateway that is ready; whether it has reached Redis is another question.
    pub(crate) async fn start(setting: &Setting) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("aigate.toml"), setting.text(folder.path())).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let (child, log) = spawn(folder.path());
        let (url, operations) = (String::new(), String::new());
        let mut gate = Self { child, folder, log, url, operations, client };
        gate.is_ready().await;
        gate
    }

    /// Starts again, when it has ended.
    pub(crate) async fn start_again(&mut self) {
        (self.child, self.log) = spawn(self.folder.path());
        self.is_ready().await;
    }

    async fn is_ready(&mut self) {
        eventually("the gateway is ready", async || self.ready().is_some()).await;
        let ready = self.ready().unwrap();
        let address = |key: &str| format!("http://{}", ready[key].as_str().unwrap());
        (self.url, self.operations) = (address("listen"), address("operations"));
    }

    /// Two gateways with the same configuration that have reached Redis.
    pub(crate) async fn two(setting: &Setting) -> [Self; 2] {
        let both = [Self::start(setting).await, Self::start(setting).await];
        for gate in &both {
            gate.is_up().await;
        }
        both
    }

    fn ready(&self) -> Option<Value> {
        let log = self.log.lock().unwrap();
        let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["message"].as_str().is_some_and(|text| text.ends_with("is ready")))
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(crate) async fn chat(&self, who: Who, body: Value) -> Response {
        let secret = match who {
            Who::Caller => CALLER,
            Who::Free => FREE,
        };
        let request = self.client.post(format!("{}/v1/chat/completions", self.url)).bearer_auth(secret);
        let mut whole = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        request.header("content-type", "application/json").body(whole.to_string()).send().await.unwrap()
    }

    /// A call of the key with limits; its status.
    pub(crate) async fn call(&self) -> u16 {
        let response = self.chat(Who::Caller, json!({})).await;
        let status = response.status().as_u16();
        response.bytes().await.unwrap();
        status
    }

    /// A stream that goes on for as long as it is read, up to some seconds.
    pub(crate) async fn stream(&self) -> Response {
        let text = "slowly ".to_owned() + &"word ".repeat(400);
        let messages = json!([{ "role": "user", "content": text }]);
        self.chat(Who::Caller, json!({ "messages": messages, "stream": true })).await
    }

    /// A metric's value, by its name with its labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.client.get(format!("{}/metrics", self.operations)).send().await.unwrap();
        let text = text.text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    pub(crate) async fn is_up(&self) {
        self.metric_is("aigate_redis_up{what=\"limits\"}", 1.0).await;
    }

    pub(crate) async fn metric_is(&self, name: &str, value: f64) {
        eventually(name, async || self.metric(name).await == Some(value)).await;
    }

    pub(crate) async fn reload(&self, setting: &Setting) {
        std::fs::write(self.folder.path().join("aigate.toml"), setting.text(self.folder.path())).unwrap();
        let answer = self.client.post(format!("{}/admin/reload", self.operations)).send().await.unwrap();
        let status = answer.status();
        assert_eq!(status, 200, "{}", answer.text().await.unwrap());
    }

    pub(crate) fn terminate(&self) {
        send("-TERM", self.child.id());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the gateway ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

/// The process, and the lines of its log.
fn spawn(folder: &std::path::Path) -> (Child, Arc<Mutex<Vec<String>>>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aigate"))
        .args(["serve", "--config", "aigate.toml"])
        .current_dir(folder)
        .env_remove("AIGATE_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let log = Arc::<Mutex<Vec<String>>>::default();
    let lines = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
    (child, log)
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn cloud() -> Cloud {
    start(CloudKind::OpenAi, Options::default()).await.unwrap()
}

/// Waits for something to become true, for at most twenty seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
