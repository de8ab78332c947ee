//! Chat and embedding models on this machine: tiny ones made here, and those that `cargo xtask test` makes for the suites.

use std::{path::PathBuf, process::Command};

use aigate::{
    config::{Source, check, load, report},
    running::Running,
};
use aigate_sim::{CloudKind, Fault};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    clients::run,
    harness::{House, listeners},
    tiny,
};

/// A folder with the model `tiny`, which goes away with its test.
struct Models(tempfile::TempDir);

impl Models {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.gguf"), tiny::model(512)).unwrap();
        Self(folder)
    }

    /// A provider `house` with these settings, and a model `tiny` on it.
    fn config(&self, settings: &str) -> String {
        let folder = self.0.path().display();
        format!(
            r#"
[providers.house]
kind = "local"
folder = "{folder}"
{settings}
[models.tiny]
task = "chat"
deployments = [{{ provider = "house", target = "tiny" }}]
"#
        )
    }
}

async fn start(text: &str) -> Running {
    let plan = load(&Source::Text(text.to_owned())).and_then(check);
    Running::start(&plan.unwrap_or_else(|faults| panic!("{}", report(&faults)))).await.unwrap()
}

async fn ask(
    client: &reqwest::Client,
    url: &str,
    body: Value,
    degraded: Option<&str>,
) -> (HeaderMap, u16, Value) {
    let mut request = client.post(url).header("content-type", "application/json").body(body.to_string());
    if let Some(degraded) = degraded {
        request = request.header("x-aigate-degraded", degraded);
    }
    let response = request.send().await.unwrap();
    let (headers, status) = (response.headers().clone(), response.status().as_u16());
    (headers, status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn question(model: &str, tokens: u32) -> Value {
    json!({
        "model": model, "max_tokens": tokens, "temperature": 0, "logit_bias": { "2": -100 },
        "messages": [{ "role": "user", "content": "who is there?" }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_of_one_worker_each_get_an_answer_or_a_refusal_that_says_when_to_come_back() {
    let models = Models::new();
    let running = start(&(listeners("") + &models.config("queue = 2\nworkers = 1\ncontext = 256"))).await;
    let (client, url) = (reqwest::Client::builder().build().unwrap(), format!("http://{}", running.address));
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let (client, url) = (client.clone(), format!("{url}/v1/chat/completions"));
        callers.spawn(async move {
            let (headers, status, body) = ask(&client, &url, question("tiny", 200), None).await;
            (status, headers.contains_key("retry-after"), body)
        });
    }
    let (mut answered, mut refused) = (Vec::new(), 0);
    while let Some(caller) = callers.join_next().await {
        match caller.unwrap() {
            (200, _, body) => answered.push(body["choices"][0]["message"]["content"].clone()),
            (429, true, body) => {
                assert_eq!(body["error"]["code"], "rate_limit_exceeded", "{body}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    // One is served and two wait, and whoever comes when one of them has gone; with the usual sixteen places 17 would be answered.
    assert!((3..=16).contains(&answered.len()), "{} were answered", answered.len());
    assert_eq!(answered.len() + refused, 64);
    assert!(answered.iter().all(|text| *text == answered[0]), "the same question gets the same answer");
    let (_, status, _) = ask(&client, &format!("{url}/v1/chat/completions"), question("tiny", 1), None).await;
    assert_eq!(status, 200, "when the rush is over, there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_on_this_machine_answers_when_every_cloud_is_out_and_callers_may_refuse_it() {
    let models = Models::new();
    let folder = models.0.path().display();
    let fallback = format!(
        r#"
[providers.house]
kind = "local"
folder = "{folder}"
[models.assistant]
task = "chat"
deployments = [
  {{ provider = "azure", target = "gpt-4.1-mini" }},
  {{ provider = "house", target = "tiny" }},
]
"#
    );
    let house = House::new(&fallback).await;
    let url = house.url("/v1/chat/completions");
    let (headers, status, _) = ask(&house.client, &url, question("assistant", 5), None).await;
    assert_eq!((status, headers.get("x-aigate-degraded")), (200, None));

    house.cloud(CloudKind::Azure).set_fault(Some(Fault::ServerError { status: 503 }));
    let (headers, status, _) = ask(&house.client, &url, question("assistant", 5), None).await;
    assert_eq!(status, 200);
    assert_eq!(headers["x-aigate-degraded"], "local");
    assert_eq!(headers["x-aigate-deployment"], "house/tiny");

    let (_, status, _) = ask(&house.client, &url, question("assistant", 5), Some("refuse")).await;
    assert_eq!(status, 503, "a caller who refuses degraded answers gets none");
    let (_, status, _) = ask(&house.client, &url, question("assistant", 5), Some("maybe")).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_cannot_do_is_refused_by_name_and_what_does_not_fit_by_its_length() {
    let models = Models::new();
    let running = start(&(listeners("") + &models.config("context = 200"))).await;
    let (client, url) = (
        reqwest::Client::builder().build().unwrap(),
        format!("http://{}/v1/chat/completions", running.address),
    );
    let with = |field: &str, value: Value| {
        let mut body = question("tiny", 5);
        body[field] = value;
        body
    };
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let picture =
        json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:," } }] }]);
    let long = json!([{ "role": "user", "content": "x".repeat(500) }]);
    let book = json!([{ "role": "user", "content": "x".repeat(100_000) }]);
    let endless = json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": { "$ref": "#" } } });
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": { "not": {} } } });
    for (body, param, words) in [
        (with("tools", tool), "tools", "chat template takes none"),
        (with("messages", picture), "messages[0].content[0]", "text only"),
        (with("reasoning_effort", json!("high")), "reasoning_effort", "no switch for thinking"),
        (with("response_format", schema), "response_format.json_schema.schema", "not"),
        (with("response_format", endless), "response_format.json_schema.schema", "refer only to itself"),
        (with("reasoning_effort", json!("silly")), "reasoning_effort", "not \"silly\""),
        (with("logit_bias", json!({ "99999": 1 })), "logit_bias", "vocabulary has 259"),
        (with("n", json!(9)), "n", "at most 8"),
        (with("tool_choice", json!("required")), "tool_choice", "there are no `tools`"),
        (with("messages", book), "messages", "100000 bytes"),
        (with("top_k", json!(1.5)), "top_k", "whole number"),
        (with("logit_bias", json!({ "x": 1 })), "logit_bias", "token ids"),
        (with("messages", long), "messages", "the model's context here is 200"),
        (with("modalities", json!(["audio"])), "modalities", "nothing like it"),
    ] {
        let (_, status, answer) = ask(&client, &url, body, None).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(param)), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_fit_into_the_memory_is_a_fault_with_what_it_needs() {
    let models = Models::new();
    let text = listeners("") + &models.config("memory = \"100KiB\"");
    let faults = load(&Source::Text(text)).and_then(check).unwrap_err();
    let said = report(&faults);
    assert!(said.contains("needs") && said.contains("`memory` is 100.0 KiB"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chat_template_or_the_model_has_no_use_for_is_named_in_the_answer() {
    let models = Models::new();
    let running = start(&(listeners("") + &models.config(""))).await;
    let (client, url) = (
        reqwest::Client::builder().build().unwrap(),
        format!("http://{}/v1/chat/completions", running.address),
    );
    let mut body = question("tiny", 2);
    body["store"] = true.into();
    body["messages"] = json!([{
        "role": "user", "name": "somebody",
        "content": [{ "type": "text", "text": "hello", "cache_control": { "type": "ephemeral" } }],
    }]);
    let (headers, status, answer) = ask(&client, &url, body, None).await;
    assert_eq!(status, 200, "{answer}");
    let dropped = headers["x-aigate-dropped"].to_str().unwrap();
    for field in ["store", "messages[].name", "messages[].content[].cache_control"] {
        assert!(dropped.split(", ").any(|named| named == field), "{field} is not in {dropped}");
    }
}

#[test]
fn a_model_s_needs_are_told_before_it_is_loaded_and_its_speed_is_measured() {
    let models = Models::new();
    let config = models.0.path().join("aigate.toml");
    std::fs::write(
        &config,
        models.config("threads = 1\nworkers = 2\nqueue = 7\ncontext = 300\nload = \"start\""),
    )
    .unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_aigate"));
    let output = check.arg("check").arg(&config).args(["--explain", "tiny"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    for words in
        ["conversations of 300 tokens", "2 with 1 threads, 7 calls may wait", "at the start", "tokens/s"]
    {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let mut show = Command::new(env!("CARGO_BIN_EXE_aigate"));
    let output = show
        .args(["model", "show", "--measure", "--json"])
        .arg(models.0.path().join("tiny.gguf"))
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["architecture"], &told["tools"]), (&json!("llama"), &json!(false)));
    for speed in ["prompt_tokens_per_second", "answer_tokens_per_second"] {
        assert!(told[speed].as_f64().unwrap() > 0.0, "{told}");
    }
}

#[test]
fn a_model_of_the_hub_that_is_not_here_is_told_with_the_command_that_fetches_it() {
    let cache = tempfile::tempdir().unwrap();
    let config = cache.path().join("aigate.toml");
    let text = "[providers.house]\nkind = \"local\"\n[models.m]\ntask = \"chat\"\n\
                deployments = [{ provider = \"house\", target = \"hf:o/r@v1/dir/m.gguf\" }]\n";
    std::fs::write(&config, text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_aigate"));
    let output = check.arg("check").arg(&config).env("HF_HUB_CACHE", cache.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("fetch it with `aigate model pull hf:o/r@v1 dir/m.gguf`"), "{said}");
}

fn folder(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names a folder")))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs llama.cpp and the OpenAI SDK: `cargo xtask test` installs them"]
async fn the_python_sdk_gets_llama_cpp_s_text_from_every_family_of_models_on_this_machine() {
    let files = folder("AIGATE_TEST_GGUF");
    let families =
        ["llama", "llama-rope", "llama2", "llama-ends", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"];
    let models = families.map(|family| {
        format!(
            "[models.{family}]\ntask = \"chat\"\ndeployments = [{{ provider = \"house\", target = \"{family}-F32\" }}]\n"
        )
    });
    let provider = format!("[providers.house]\nkind = \"local\"\nfolder = \"{}\"\n", files.display());
    let running = start(&(listeners("") + &provider + &models.concat())).await;
    let mut suite = Command::new(std::env::var("AIGATE_TEST_NEURAL_PYTHON").unwrap());
    suite
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/neural"))
        .args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_chat.py", "test_shapes.py"])
        .env("AIGATE_URL", format!("http://{}/v1", running.address))
        .env("AIGATE_MODELS", &files);
    run(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs huggingface_hub: `cargo xtask test` installs it"]
async fn huggingface_hub_reads_what_is_pulled_and_what_it_fetched_is_found() {
    let mut suite = Command::new(std::env::var("AIGATE_TEST_NEURAL_PYTHON").unwrap());
    suite
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/neural"))
        .args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "test_hub.py"])
        .env("AIGATE_BIN", env!("CARGO_BIN_EXE_aigate"));
    run(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs sentence-transformers' vectors: `cargo xtask test` makes them"]
async fn every_encoder_minilm_among_them_gives_sentence_transformers_vectors_through_the_api() {
    let folder = folder("AIGATE_TEST_ENCODERS");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.iter().any(|name| name.to_lowercase().contains("minilm")), "{names:?}");
    let models = names.iter().map(|name| {
        format!("[models.\"{name}\"]\ntask = \"embed\"\ndeployments = [{{ provider = \"house\", target = \"{name}\" }}]\n")
    });
    let provider = format!("[providers.house]\nkind = \"local\"\nfolder = \"{}\"\n", folder.display());
    let running = start(&(listeners("") + &provider + &models.collect::<String>())).await;
    let (client, url) =
        (reqwest::Client::builder().build().unwrap(), format!("http://{}/v1/embeddings", running.address));
    for name in &names {
        let text = std::fs::read(folder.join(name).join("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&text).unwrap();
        let body = json!({ "model": name, "input": expected["texts"] });
        let (headers, status, answer) = ask(&client, &url, body, None).await;
        assert_eq!(status, 200, "{name}: {answer}");
        assert!(headers.contains_key("x-aigate-dropped"), "{name}: a text was cut, and the caller is told");
        let wanted = expected["vectors"].as_array().unwrap();
        assert_eq!(answer["data"].as_array().unwrap().len(), wanted.len());
        for (item, wanted) in answer["data"].as_array().unwrap().iter().zip(wanted) {
            let far = distance(&item["embedding"], wanted);
            assert!(far < 1e-4, "{name}: {far} off");
        }
    }
}

/// The largest difference, by the wanted vector's length.
fn distance(found: &Value, wanted: &Value) -> f64 {
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let (found, wanted) = (numbers(found), numbers(wanted));
    assert_eq!(found.len(), wanted.len());
    let length = wanted.iter().map(|number| number * number).sum::<f64>().sqrt();
    found.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / length).fold(0.0, f64::max)
}
