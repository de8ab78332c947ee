//! Simulated clouds, a gateway in front of them, and a plain client.

#[path = "harness/collector.rs"]
mod collector;
#[path = "harness/metrics.rs"]
pub(crate) mod metrics;
#[path = "harness/program.rs"]
pub(crate) mod program;
#[path = "harness/redis.rs"]
mod redis;
#[path = "harness/reply.rs"]
mod reply;

pub(crate) use self::{collector::collector, program::Program, redis::Redis, reply::Reply};

use std::{path::PathBuf, time::Duration};

use aigate::{
    config::{Source, check, load, report},
    running::Running,
};
use aigate_keys::secret::{format_hash, hash};
use aigate_sim::{Cloud, CloudKind, Options, start};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

/// The clouds in the order in which the model `all` tries them.
pub(crate) const KINDS: [CloudKind; 4] =
    [CloudKind::Azure, CloudKind::Aws, CloudKind::Google, CloudKind::OpenAi];

/// Clouds and a gateway, for one test.
pub(crate) struct House {
    pub(crate) clouds: Vec<Cloud>,
    pub(crate) running: Running,
    pub(crate) client: reqwest::Client,
    _credentials: TempFile,
}

/// A file that goes away with its test.
pub(crate) struct TempFile(pub(crate) PathBuf);

impl TempFile {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("aigate-test-{}-{number}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The name of a cloud in the config and in its answers.
pub(crate) fn name(kind: CloudKind) -> &'static str {
    kind.name()
}

pub(crate) fn chat_target(kind: CloudKind) -> &'static str {
    match kind {
        CloudKind::Google => "gemini-2.5-flash",
        CloudKind::Aws => "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        CloudKind::Azure | CloudKind::OpenAi => "gpt-4.1-mini",
    }
}

/// Listeners on ports that the system chooses, unless the test has its own.
pub(crate) fn listeners(more: &str) -> String {
    let section = |name: &str| {
        if more.contains(&format!("[{name}]")) {
            String::new()
        } else {
            format!("[{name}]\nlisten = \"127.0.0.1:0\"\n")
        }
    };
    section("server") + &section("operations")
}

/// The providers of the four clouds, as TOML.
pub(crate) fn providers(clouds: &[Cloud], credentials: &std::path::Path) -> String {
    let url = |kind: CloudKind| {
        let place = KINDS.iter().position(|known| *known == kind).unwrap();
        clouds[place].url()
    };
    let (azure, aws, google, openai) =
        (url(CloudKind::Azure), url(CloudKind::Aws), url(CloudKind::Google), url(CloudKind::OpenAi));
    format!(
        r#"
[providers.azure]
kind = "azure"
endpoint = "{azure}"
api_key = "simulated-key"
[providers.aws]
kind = "aws"
region = "eu-central-1"
endpoint = "{aws}"
sagemaker_endpoint = "{aws}"
access_key_id = "SIMULATED"
secret_access_key = "simulated-secret"
[providers.google]
kind = "google"
project = "p"
location = "europe-west4"
base_url = "{google}"
token_url = "{google}/token"
credentials = "{}"
[providers.openai]
kind = "openai"
base_url = "{openai}/v1"
api_key = "simulated-key"
"#,
        credentials.display()
    )
}

/// The providers of the predict services, and this machine, as TOML.
pub(crate) fn predict_providers(clouds: &[Cloud]) -> String {
    let azure = clouds[KINDS.iter().position(|kind| *kind == CloudKind::Azure).unwrap()].url();
    format!(
        r#"
[providers.azureml]
kind = "azure"
api = "ml"
endpoint = "{azure}/{{target}}"
api_key = "simulated-key"
[providers.local]
kind = "local"
"#
    )
}

/// One model for each cloud, named like it, and `all`, which tries them in order.
pub(crate) fn models() -> String {
    let deployment = |kind| format!(r#"{{ provider = "{}", target = "{}" }}"#, name(kind), chat_target(kind));
    let one =
        |kind| format!("[models.{}]\ntask = \"chat\"\ndeployments = [{}]\n", name(kind), deployment(kind));
    let all: Vec<String> = KINDS.map(deployment).into();
    KINDS.map(one).concat() + &format!("[models.all]\ntask = \"chat\"\ndeployments = [{}]\n", all.join(", "))
}

pub(crate) fn user_credentials() -> TempFile {
    TempFile::new(
        "adc.json",
        r#"{"type":"authorized_user","client_id":"c","client_secret":"simulated","refresh_token":"simulated"}"#,
    )
}

impl House {
    /// A house with the usual models and some more TOML.
    pub(crate) async fn new(more: &str) -> Self {
        Self::with_options(more, &Options::default()).await
    }

    pub(crate) async fn with_options(more: &str, options: &Options) -> Self {
        let mut clouds = Vec::new();
        for kind in KINDS {
            clouds.push(start(kind, options.clone()).await.unwrap());
        }
        let credentials = user_credentials();
        let providers = providers(&clouds, &credentials.0) + &predict_providers(&clouds);
        let text = listeners(more) + &providers + more + &models();
        let loaded = load(&Source::Text(text)).and_then(check);
        let plan = loaded.unwrap_or_else(|faults| panic!("{}", report(&faults)));
        let running = Running::start(&plan).await.unwrap();
        Self { clouds, running, client: client(), _credentials: credentials }
    }

    pub(crate) fn cloud(&self, kind: CloudKind) -> &Cloud {
        &self.clouds[KINDS.iter().position(|known| *known == kind).unwrap()]
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.client.post(self.url(path)).header("content-type", "application/json");
        request.body(body.to_string()).send().await.unwrap()
    }

    /// A chat with one user message.
    pub(crate) async fn ask(&self, model: &str, text: &str, stream: bool) -> Response {
        let messages = json!([{ "role": "user", "content": text }]);
        self.post("/v1/chat/completions", &json!({ "model": model, "messages": messages, "stream": stream }))
            .await
    }

    /// The answer's text, or what the error says.
    pub(crate) async fn answer(&self, model: &str, text: &str, stream: bool) -> Result<String, String> {
        let response = self.ask(model, text, stream).await;
        let status = response.status();
        let body = response.text().await.map_err(|error| error.to_string())?;
        if status != StatusCode::OK {
            return Err(format!("{status}: {body}"));
        }
        if !stream {
            let value: Value = serde_json::from_str(&body).unwrap();
            return Ok(value["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned());
        }
        let Events { chunks, done } = events(&body);
        if let Some(error) = chunks.iter().find(|chunk| chunk.get("error").is_some()) {
            return Err(error.to_string());
        }
        assert!(done, "a stream ends with [DONE] or an error: {body}");
        Ok(chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect())
    }
}

/// What a streamed body holds.
pub(crate) struct Events {
    pub(crate) chunks: Vec<Value>,
    pub(crate) done: bool,
}

pub(crate) fn events(body: &str) -> Events {
    let data: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let done = data.last() == Some(&"[DONE]");
    let chunks =
        data.iter().filter(|data| **data != "[DONE]").map(|data| serde_json::from_str(data).unwrap());
    Events { chunks: chunks.collect(), done }
}

/// The stanza of a key with the rest of its table.
pub(crate) fn key(name: &str, more: &str) -> String {
    format!("[keys.\"{name}\"]\nhash = \"{}\"\n{more}\n", hash_of(name))
}

/// The hash of the secret of that name, as it stands in the configuration.
pub(crate) fn hash_of(name: &str) -> String {
    format_hash(&hash(&secret(name)))
}

/// The secret of the key of that name.
pub(crate) fn secret(name: &str) -> String {
    format!("secret-of-{}", name.replace(' ', "-"))
}

/// What a caller with the key of that name sends as `Authorization`.
pub(crate) fn bearer(name: &str) -> String {
    format!("Bearer {}", secret(name))
}

/// A client of its own, with connections of its own.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap()
}

/// Waits for something to become true, for at most ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(Duration::from_secs(10), what, async || holds()).await;
}

/// Waits for something to become true, for at most so long.
pub(crate) async fn within(time: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(time, waiting).await.is_ok(), "{what} did not come true within {time:?}");
}
