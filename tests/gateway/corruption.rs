//! One wrong character anywhere in a configuration: it is told, or it is a right one that says something else. Nothing
//! panics, and a running gateway serves the whole old or the whole new version.

use std::{fs, path::Path, sync::Arc};

use aigate::config::{Source, check, load};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    harness::key,
    reload::{Desk, QUIET, cloud, model, provider, send, version},
};

/// Characters that mean something in TOML or in our texts, and some that have no business there.
const CHARACTERS: &[char] = &[
    '"', '\'', '[', ']', '{', '}', '=', '.', ',', ':', '#', '$', '-', '_', '*', '/', '\\', '\n', '\t', ' ',
    '0', '9', 'a', 'Z', 'e', 'ä', '\u{feff}', '\0', '\u{7f}', '😀',
];

/// The text with one character more, less or other.
fn corrupted(text: &str, random: &mut StdRng) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = random.random_range(0..characters.len());
    let other = CHARACTERS[random.random_range(0..CHARACTERS.len())];
    match random.random_range(0..3) {
        0 => drop(characters.remove(at)),
        1 => characters.insert(at, other),
        _ => characters[at] = other,
    }
    characters.into_iter().collect()
}

/// A file with every section of `config/default.toml`.
fn full(folder: &Path) -> String {
    let folder = folder.display();
    fs::write(format!("{folder}/secret"), "s").unwrap();
    fs::write(format!("{folder}/prices.toml"), "").unwrap();
    let hash = aigate_keys::secret::format_hash(&aigate_keys::secret::hash("s"));
    let other = aigate_keys::secret::format_hash(&aigate_keys::secret::hash("t"));
    format!(
        r#"[server]
listen = "127.0.0.1:0"
max_body_bytes = 33_554_432
body_timeout = "30s"
[operations]
listen = "127.0.0.1:0"
key = "{hash}"
[log]
format = "json"
level = "info,aigate::policy=debug"
calls = false
[telemetry]
otlp_endpoint = "http://127.0.0.1:4318"
sample_ratio = 0.5
[defaults.timeouts]
deadline = "10m"
idle = "1m 30s"
[defaults.retry]
max_retries = 2
budget = 0.25
[defaults.breaker]
failure_ratio = 0.5
[cache]
max_bytes = "64MiB"
[prices]
file = "{folder}/prices.toml"
[shared]
redis = "redis://:password@127.0.0.1:6379"
prefix = "gate"
on_loss = "refuse"
[state]
file = "{folder}/state.sqlite"
[reload]
watch = false
[keys.anna]
hash = "{hash}"
models = ["assistant", "credit-*"]
tasks = ["chat", "embed"]
expires = "2077-01-31T00:00:00Z"
labels = {{ team = "retail", project = "letters" }}
limits = {{ requests = "100/s", tokens = "60_000/m", concurrency = 20 }}
limits_per_replica = {{ usd = "2.50/h", images = "5/10s burst 9" }}
[keys.bert]
hash = "{other}"
revoked = true
budget_per_replica = {{ usd_per_day = 50, usd_per_month = "1000.5", warn_at = 0.8, on_exceeded = "cheapest" }}
[labels.team.retail]
limits_per_replica = {{ characters = "1000/s" }}
budget = {{ usd_per_month = 10 }}
[jwt.login]
issuer = "https://login.bank.example/"
audience = ["aigate", "other"]
jwks_url = "https://login.bank.example/keys"
algorithms = ["RS256", "EdDSA"]
leeway = "30s"
labels = {{ team = "department" }}
required = {{ scope = "aigate" }}
[providers.azure]
kind = "azure"
endpoint = "https://bank-weu.openai.azure.com"
api = "deployments"
api_version = "2024-10-21"
api_key = "${{NOT_SET_ANYWHERE:-k}}"
[providers.aws]
kind = "aws"
region = "eu-central-1"
access_key_id = "A"
secret_access_key = "file:{folder}/secret"
guardrail_id = "g"
guardrail_version = "1"
[providers.gemini]
kind = "google"
api_key = "$${{k}}"
[providers.own]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
stream_usage = false
token_limit_field = "max_tokens"
[providers.here]
kind = "local"
folder = "{folder}"
memory = "1GiB"
unload_after = "10m"
[models.assistant]
task = "chat"
strategy = "weighted"
on_unsupported = "drop"
limits_per_replica = {{ requests = "5/m", concurrency = 9 }}
deployments = [
  {{ provider = "azure", target = "gpt", weight = 3, price = {{ model = "gpt-4.1-mini" }} }},
  {{ provider = "aws", target = "eu.anthropic.claude-haiku-4-5-20251001-v1:0", weight = 1, limits_per_replica = {{ requests = "600/m" }} }},
  {{ provider = "own", target = "m", weight = 0, price = {{ input_usd_per_mtok = 1.5, output_usd_per_mtok = "2", tiers = [{{ above_input_tokens = 200_000, input_usd_per_mtok = 3, output_usd_per_mtok = 4 }}] }} }},
]
[models.assistant.cache]
ttl = "10m"
scope = "team"
sampled = true
stale_if_error = "1h"
[models.vectors]
task = "embed"
deployments = [{{ provider = "own", target = "e", price = {{ usd_per_request = 0 }} }}, {{ provider = "gemini", target = "gemini-embedding-001" }}]
[models.vectors.hedge]
after = "p95"
max_extra = 0.05
[models.vectors.probe]
every = "30s"
[models.credit-risk]
task = "predict"
failover = "any_version"
deployments = [
  {{ provider = "aws", target = "credit-risk", version = "3", price = {{ usd_per_row = 0.001 }}, wire = {{ body = "csv", variant = "blue" }} }},
]
inputs = [{{ name = "age", datatype = "INT64" }}, {{ name = "history", datatype = "FP32", shape = [-1, 2], columns = ["m1", "m2"], nullable = true }}]
outputs = [{{ name = "score", datatype = "FP64", on_request = false }}]
[models.credit-risk.timeouts]
attempt = "2s"
"#
    )
}

/// An example with its variables filled in.
fn filled(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some(start) = out.find("${") {
        let end = start + out[start..].find('}').unwrap();
        out.replace_range(start..=end, "filled");
    }
    out
}

#[test]
fn a_wrong_character_is_told_with_its_place_or_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut texts = vec![full(folder.path()); 4];
    for example in fs::read_dir(examples).unwrap() {
        texts.push(filled(&fs::read_to_string(example.unwrap().path()).unwrap()));
    }
    for text in &texts {
        let checked = load(&Source::Text(text.clone())).and_then(check);
        assert!(checked.is_ok(), "{}\n{text}", aigate::config::report(&checked.unwrap_err()));
    }
    let mut random = StdRng::seed_from_u64(5);
    let tries: Vec<String> =
        (0..1000).map(|number| corrupted(&texts[number % texts.len()], &mut random)).collect();
    let good: usize = std::thread::scope(|scope| {
        let halves: Vec<_> = tries
            .chunks(500)
            .map(|half| scope.spawn(|| half.iter().filter(|text| is_right(text)).count()))
            .collect();
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    // Comments, names and numbers of another value: there must be some of each.
    assert!((100..600).contains(&good), "{good} were right");
}

/// Whether a text has no faults; those it has must be told as faults are to be.
fn is_right(text: &str) -> bool {
    let Err(faults) = load(&Source::Text(text.to_owned())).and_then(check) else { return true };
    assert!(!faults.is_empty(), "refused without a fault:\n{text}");
    for fault in &faults {
        let place = !fault.path.is_empty() || fault.message.contains("line ");
        assert!(place && !fault.message.is_empty(), "no place: {fault:?}\n{text}");
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_has_the_whole_old_or_the_whole_new_version() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.sqlite");
    let good = QUIET.to_owned()
        + &format!("[state]\nfile = \"{}\"\n", state.display())
        + &provider("sim", &cloud)
        + &model("one", "limits_per_replica = { requests = \"1000/s\" }\n[models.one.cache]\nttl = \"5m\"\n")
        + &model("two", "[models.two.timeouts]\nidle = \"7s\"\n")
        + &key("anna", "labels = { team = \"a\" }\nlimits_per_replica = { tokens = \"1_000_000/s\" }")
        + &key("bert", "budget_per_replica = { usd_per_day = 5000 }")
        + "[labels.team.a]\nlimits_per_replica = { requests = \"1000/s\" }\n";
    let desk = Desk::start(&good).await;
    let mut known = version(&desk.ask("one", "anna").await);
    let mut random = StdRng::seed_from_u64(6);
    let (mut taken, mut refused) = (0, 0);
    // As many as `cargo xtask test` wants, or fewer.
    let tries = if std::env::var_os("AIGATE_TEST_LONG").is_some() { 1000 } else { 300 };
    for number in 0..tries {
        let before = desk.running.gateway.now();
        let text = corrupted(&good, &mut random);
        let checked = load(&Source::Text(text.clone())).and_then(check);
        let (status, told) = desk.reload(&text).await;
        let response = send(&desk.client, desk.running.address, "two", "bert", json!({})).await;
        // An operators' key may be new: the gateway itself tells its version as well.
        let state = desk.running.gateway.reloads.state();
        assert_eq!(version(&response), state["version"], "try {number}\n{text}");
        assert_eq!(version(&response), &*desk.running.gateway.now().version, "try {number}");
        if status == 200 {
            taken += 1;
            let plan = checked.unwrap_or_else(|faults| panic!("taken in spite of {faults:?}\n{text}"));
            assert_eq!(*plan.version, *state["version"].as_str().unwrap());
            // Back, so that the next try begins where this one did.
            let (status, told) = desk.reload(&good).await;
            assert_eq!(status, 200, "{told}");
            let response = desk.ask("one", "anna").await;
            assert_eq!(response.status(), 200, "try {number}\n{text}");
            known = version(&response);
        } else {
            refused += 1;
            assert_eq!(status, 422, "{told}");
            let faults = checked
                .map(|_| ())
                .expect_err(&format!("refused, though the check has no fault: {told}\n{text}"));
            assert_eq!(told["faults"], aigate::config::report(&faults).as_str());
            assert_eq!(response.status(), 200, "try {number}: {told}\n{text}");
            assert_eq!(version(&response), known, "try {number}\n{text}");
            assert!(
                Arc::ptr_eq(&before, &desk.running.gateway.now()),
                "try {number}: something was swapped\n{text}"
            );
        }
    }
    assert!(taken > 30 && refused > 100, "{taken} were taken, {refused} refused");
}
