//! A simulated cloud, and gateways that are processes.

use std::{process::ExitStatus, time::Duration};

use aigate_sim::{Cloud, CloudKind, Options, start};
use reqwest::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Program, bearer, client, key, metrics, program::aigate, within};

/// Who calls: the key `caller`, which has limits, or the key `free`, which has none.
pub(crate) enum Who {
    Caller,
    Free,
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
{caller}
{free}
[models.m]
task = "chat"
deployments = [{{ provider = "openai", target = "gpt-4.1-mini", price = {{ usd_per_request = 0.01 }} }}]
{more}
"#,
            state = folder.join("state.sqlite").display(),
            caller = key("caller", caller),
            free = key("free", ""),
        )
    }
}

/// A gateway, as a process.
pub(crate) struct Gate {
    program: Program,
    folder: TempDir,
    client: reqwest::Client,
}

impl Gate {
    /// A gateway that is ready; whether it has reached Redis is another question.
    pub(crate) async fn start(setting: &Setting) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("aigate.toml"), setting.text(folder.path())).unwrap();
        Self { program: begin(&folder).await, folder, client: client() }
    }

    /// Starts again, when it has ended.
    pub(crate) async fn start_again(&mut self) {
        self.program = begin(&self.folder).await;
    }

    /// Two gateways with the same configuration that have reached Redis.
    pub(crate) async fn two(setting: &Setting) -> [Self; 2] {
        let both = [Self::start(setting).await, Self::start(setting).await];
        for gate in &both {
            gate.is_up().await;
        }
        both
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.program.log().join("\n")
    }

    pub(crate) async fn chat(&self, who: Who, body: Value) -> Response {
        let name = match who {
            Who::Caller => "caller",
            Who::Free => "free",
        };
        let request = self.client.post(format!("http://{}/v1/chat/completions", self.program.address));
        let request = request.header("authorization", bearer(name));
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
        metrics::value(&metrics::fetch(&self.client, self.program.operations).await, name)
    }

    pub(crate) async fn is_up(&self) {
        self.metric_is("aigate_redis_up{what=\"limits\"}", 1.0).await;
    }

    pub(crate) async fn metric_is(&self, name: &str, value: f64) {
        eventually(name, async || self.metric(name).await == Some(value)).await;
    }

    pub(crate) async fn reload(&self, setting: &Setting) {
        std::fs::write(self.folder.path().join("aigate.toml"), setting.text(self.folder.path())).unwrap();
        let answer = self
            .client
            .post(format!("http://{}/admin/reload", self.program.operations))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert_eq!(status, 200, "{}", answer.text().await.unwrap());
    }

    pub(crate) fn terminate(&self) {
        self.program.signal("-TERM");
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::task::block_in_place(|| self.program.ended().0)
    }
}

/// The program with the file in this folder, which is where it runs.
async fn begin(folder: &TempDir) -> Program {
    let mut command = aigate(&["serve", "--config", "aigate.toml"]);
    command.current_dir(folder.path());
    tokio::task::block_in_place(|| Program::start(command))
}

pub(crate) async fn cloud() -> Cloud {
    start(CloudKind::OpenAi, Options::default()).await.unwrap()
}

/// Waits for something to become true, for at most twenty seconds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    within(Duration::from_secs(20), what, holds).await;
}
