//! The official OpenAI SDKs, unchanged, against every kind of provider. `cargo xtask test` installs them and says where
//! they are; without that these tests are left out.

use std::{fmt::Write, process::Command, sync::Arc};

use aigate::{
    config::{Source, check, load, report},
    running::Running,
};
use aigate_keys::secret::{format_hash, hash};
use aigate_sim::{Cloud, CloudKind, Options, start};
use axum::{Router, routing::get};
use serde_json::{Map, Value, json};

use crate::{
    harness::{House, KINDS, TempFile, listeners, providers, user_credentials},
    predict,
};

/// Kind of provider, its name in the config, its chat model, its embedding model.
const PROVIDERS: [[&str; 4]; 7] = [
    ["google", "google", "gemini-2.5-flash", "text-embedding-005"],
    ["gemini", "gemini", "gemini-2.5-flash", "gemini-embedding-001"],
    ["aws", "aws", "eu.anthropic.claude-haiku-4-5-20251001-v1:0", "cohere.embed-v4:0"],
    ["azure", "azure", "gpt-4.1-mini", "text-embedding-3-small"],
    ["azure-dated", "azure-dated", "gpt-4.1-mini", "text-embedding-3-small"],
    ["foundry", "foundry", "Mistral-Large-2411", "Cohere-embed-v3-english"],
    ["openai", "openai", "gpt-4.1-mini", "text-embedding-3-small"],
];

const SECRET: &str = "aig_for-the-sdks";

struct Stage {
    _clouds: Arc<Vec<Cloud>>,
    running: Running,
    stats: String,
    _credentials: TempFile,
}

impl Stage {
    async fn set() -> Self {
        let mut clouds = Vec::new();
        for kind in KINDS {
            clouds.push(start(kind, Options::default()).await.unwrap());
        }
        let credentials = user_credentials();
        let text = listeners("") + &providers(&clouds, &credentials.0) + &more_providers(&clouds) + &models();
        let plan =
            load(&Source::Text(text)).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
        let running = Running::start(&plan).await.unwrap();
        let clouds = Arc::new(clouds);
        let stats = serve_stats(Arc::clone(&clouds)).await;
        Self { _clouds: clouds, running, stats, _credentials: credentials }
    }

    /// Runs a suite with the stage in its environment.
    async fn judge(&self, mut suite: Command) {
        let models: Vec<String> =
            PROVIDERS.iter().map(|[kind, ..]| format!("{kind}=chat-{kind}/embed-{kind}")).collect();
        suite
            .env("AIGATE_URL", format!("http://{}", self.running.address))
            .env("AIGATE_KEY", SECRET)
            .env("AIGATE_MODELS", models.join(","))
            .env("AIGATE_SIM_STATS", &self.stats)
            .env_remove("OPENAI_API_KEY")
            .env_remove("OPENAI_BASE_URL");
        run(suite).await;
    }
}

/// Runs a suite; its own words when it fails.
pub(crate) async fn run(mut suite: Command) {
    let output = tokio::task::spawn_blocking(move || suite.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let count = text.lines().rev().find(|line| line.contains("passed") || line.contains("pass "));
    // Shown by `cargo test -- --nocapture`.
    let count = count.expect("a suite says how many of its tests passed");
    std::io::Write::write_all(&mut std::io::stdout(), format!("{}\n", count.trim()).as_bytes()).unwrap();
}

fn more_providers(clouds: &[Cloud]) -> String {
    let url = |kind| clouds[KINDS.iter().position(|known| *known == kind).unwrap()].url();
    let (azure, google) = (url(CloudKind::Azure), url(CloudKind::Google));
    let hash = format_hash(&hash(SECRET));
    format!(
        r#"
[keys.sdk]
hash = "{hash}"
[providers.azure-dated]
kind = "azure"
endpoint = "{azure}"
api = "deployments"
api_version = "2024-10-21"
api_key = "simulated-key"
[providers.foundry]
kind = "azure"
endpoint = "{azure}"
api = "models"
api_key = "simulated-key"
[providers.gemini]
kind = "google"
base_url = "{google}"
api_key = "simulated-key"
[defaults.breaker]
failures = 1000000
failure_ratio = 1.0
[defaults.retry]
max_retries = 0
"#
    )
}

fn models() -> String {
    let mut text = String::new();
    for [kind, provider, chat, embed] in PROVIDERS {
        let mut model = |name: &str, task: &str, target: &str| {
            writeln!(
                text,
                "[models.{name}]\ntask = \"{task}\"\ndeployments = [{{ provider = \"{provider}\", target = \"{target}\" }}]"
            )
            .unwrap();
        };
        model(&format!("chat-{kind}"), "chat", chat);
        model(&format!("chat-{kind}-busy"), "chat", "busy-model");
        model(&format!("chat-{kind}-missing"), "chat", "missing-model");
        model(&format!("embed-{kind}"), "embed", embed);
    }
    text
}

/// What the simulated clouds have seen, for the suites' cancellation tests.
async fn serve_stats(clouds: Arc<Vec<Cloud>>) -> String {
    let stats = move || {
        let all: Map<String, Value> = KINDS
            .iter()
            .zip(clouds.iter())
            .map(|(kind, cloud)| {
                let stats = cloud.stats();
                let seen = json!({
                    "in_flight": stats.in_flight,
                    "abandoned_calls": stats.abandoned_before_head,
                    "abandoned_streams": stats.abandoned_before_first_chunk + stats.abandoned_mid_stream,
                });
                (kind.name().to_owned(), seen)
            })
            .collect();
        std::future::ready(Value::Object(all).to_string())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(stats));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn suite(language: &str) -> String {
    format!("{}/tests/clients/{language}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the OpenAI SDK for Python, which `cargo xtask test` installs"]
async fn the_python_sdk_is_content_with_every_kind_of_provider() {
    let python = std::env::var("AIGATE_TEST_PYTHON").expect("`cargo xtask test` sets AIGATE_TEST_PYTHON");
    let mut command = Command::new(python);
    command.args(["-B", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]).arg(suite("python"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    Stage::set().await.judge(command).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Triton and KServe clients for Python, which `cargo xtask test` installs"]
async fn the_triton_and_kserve_clients_are_content_with_every_form_of_deployment() {
    let python = std::env::var("AIGATE_TEST_INFERENCE_PYTHON")
        .expect("`cargo xtask test` sets AIGATE_TEST_INFERENCE_PYTHON");
    let hash = format_hash(&hash(SECRET));
    let more = format!("[keys.sdk]\nhash = \"{hash}\"\n") + &predict::models();
    let house = House::with_options(&more, &predict::options()).await;
    let sample = aigate_local::sample_request().unwrap();
    let inputs = sample["inputs"].as_array().unwrap();
    let row: Map<String, Value> = inputs
        .iter()
        .map(|input| (input["name"].as_str().unwrap().to_owned(), input["data"][0].clone()))
        .collect();
    let other = json!({ "checking_status": "none", "duration_months": 48, "age": 24, "credit_amount": 9000 });
    let models: Vec<&str> = predict::FORMS.iter().map(|(name, _)| *name).collect();
    let mut suite = Command::new(python);
    suite
        .args(["-B", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"])
        .arg(self::suite("inference"))
        .env("AIGATE_URL", house.running.address.to_string())
        .env("AIGATE_KEY", SECRET)
        .env("AIGATE_MODELS", models.join(","))
        .env("AIGATE_SAMPLE_ROW", Value::Object(row).to_string())
        .env("AIGATE_OTHER_ROW", other.to_string());
    run(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the OpenAI SDK for Node, which `cargo xtask test` installs"]
async fn the_node_sdk_is_content_with_every_kind_of_provider() {
    let folder = std::env::var("AIGATE_TEST_NODE").expect("`cargo xtask test` sets AIGATE_TEST_NODE");
    let mut command = Command::new("npm");
    command.args(["test", "--silent"]).current_dir(folder);
    Stage::set().await.judge(command).await;
}
