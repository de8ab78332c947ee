//! Who is let in and what for, as callers see it: keys, tokens, refusals that help and tell nothing, what is counted by label.

#[path = "rights/tokens.rs"]
mod tokens;

use std::{process::Output, time::Duration};

use aigate::{
    config::{Source, check, load, report},
    running::Running,
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{
    House, Program, Reply, TempFile, client, hash_of, key, listeners, metrics, program::aigate, secret,
};

/// A model of each other task, beside the chat models of the house.
const MORE_MODELS: &str = r#"
[models.embedder]
task = "embed"
deployments = [{ provider = "openai", target = "text-embedding-3-small" }]
[models.credit-risk]
task = "predict"
deployments = [{ provider = "local", target = "sample/credit-risk" }]
"#;

/// An answer's status and JSON.
async fn told(response: Response) -> (u16, Value) {
    let Reply { status, body, .. } = Reply::of(response).await;
    (status, body)
}

fn chat(house: &House, model: &str) -> RequestBuilder {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
    house
        .client
        .post(house.url("/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn embed(house: &House, model: &str) -> RequestBuilder {
    let body = json!({ "model": model, "input": "hi" });
    house
        .client
        .post(house.url("/v1/embeddings"))
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn get(house: &House, path: &str) -> RequestBuilder {
    house.client.get(house.url(path))
}

async fn as_caller(request: RequestBuilder, secret: &str) -> (u16, Value) {
    told(request.header("authorization", format!("Bearer {secret}")).send().await.unwrap()).await
}

/// The names that `GET /v1/models` lists.
async fn listed(house: &House, secret: &str) -> Vec<String> {
    let (status, body) = as_caller(get(house, "/v1/models"), secret).await;
    assert_eq!(status, 200, "{body}");
    let data = body["data"].as_array().unwrap().iter();
    data.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

async fn scrape(house: &House) -> String {
    metrics::fetch(&house.client, house.running.operations_address).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_from_each_of_the_three_headers_and_its_second_secret_is_as_good() {
    let more = key("team", &format!("second_hash = \"{}\"", hash_of("team-new")));
    let house = House::new(&more).await;
    for name in ["team", "team-new"] {
        let secret = secret(name);
        for (header, value) in [
            ("authorization", format!("Bearer {secret}")),
            ("authorization", format!("bearer {secret}")),
            ("x-api-key", secret.clone()),
            ("api-key", secret.clone()),
        ] {
            let (status, body) =
                told(chat(&house, "azure").header(header, &value).send().await.unwrap()).await;
            assert_eq!(status, 200, "{header}: {body}");
        }
    }
    let text = scrape(&house).await;
    let calls = r#"aigate_calls_total{model="azure",task="chat",key="team",outcome="ok"}"#;
    assert_eq!(metrics::value(&text, calls), Some(8.0), "both secrets are one caller\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_reads_why_in_the_words_of_the_surface_and_nothing_else() {
    let more = key("team", "")
        + &key("late", "expires = \"2020-02-29T12:00:00Z\"")
        + &key("gone", "revoked = true")
        + MORE_MODELS;
    let house = House::new(&more).await;
    for (secret, words) in [
        (None, "no API key: send `Authorization: Bearer YOUR_KEY`"),
        (Some("guess-of-mine".to_owned()), "not known here"),
        (Some(secret("late")), "expired at 2020-02-29T12:00:00Z"),
        (Some(secret("gone")), "revoked"),
    ] {
        for path in ["/v1/models", "/v1/models/azure", "/v2/models/credit-risk", "/v1/nowhere", "/v2/nowhere"]
        {
            let mut request = get(&house, path);
            if let Some(secret) = &secret {
                request = request.header("authorization", format!("Bearer {secret}"));
            }
            let response = request.send().await.unwrap();
            assert!(response.headers().contains_key("x-request-id"));
            assert!(!response.headers().contains_key("retry-after"), "trying again does not help");
            let (status, body) = told(response).await;
            assert_eq!(status, 401, "{path}: {body}");
            let message = if path.starts_with("/v2") {
                assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
                body["error"].as_str().unwrap()
            } else {
                assert_eq!(body["error"]["code"], "invalid_api_key", "{body}");
                assert_eq!(body["error"]["type"], "authentication_error", "{body}");
                body["error"]["message"].as_str().unwrap()
            };
            assert!(message.contains(words), "{message}");
            for leak in ["guess-of-mine", "secret-of", "sha256", "late", "gone", "credit-risk", "azure"] {
                assert!(!message.contains(leak), "{leak} is told: {message}");
            }
        }
    }
    let text = scrape(&house).await;
    assert_eq!(metrics::value(&text, r#"aigate_refused_total{status="401"}"#), Some(20.0), "{text}");
    assert!(house.clouds.iter().all(|cloud| cloud.stats().seen == 0), "no cloud was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_may_use_and_see_the_models_and_tasks_of_their_key_only() {
    let more = key("some", "models = [\"a*\", \"credit-*\"]")
        + &key("talker", "tasks = [\"chat\"]")
        + &key("scorer", "tasks = [\"predict\"]")
        + &key("all", "")
        + MORE_MODELS;
    let house = House::new(&more).await;
    let chats = ["all", "aws", "azure", "google", "openai"];
    assert_eq!(listed(&house, &secret("some")).await, ["all", "aws", "azure", "credit-risk"]);
    assert_eq!(listed(&house, &secret("talker")).await, chats);
    assert_eq!(listed(&house, &secret("scorer")).await, ["credit-risk"]);
    assert_eq!(listed(&house, &secret("all")).await.len(), 7);

    assert_eq!(as_caller(chat(&house, "azure"), &secret("some")).await.0, 200);
    let (status, body) = as_caller(chat(&house, "google"), &secret("some")).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("not_allowed")), "{body}");
    assert_eq!(
        (&body["error"]["type"], &body["error"]["param"]),
        (&json!("permission_error"), &json!("model"))
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("`google`") && message.contains("`a*`, `credit-*`"), "{message}");

    let (status, body) = as_caller(embed(&house, "embedder"), &secret("talker")).await;
    assert_eq!(status, 403, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("task `embed` here, only `chat`"), "{body}");
    for path in ["/v2/models/credit-risk", "/v2/models/credit-risk/ready"] {
        let (status, body) = as_caller(get(&house, path), &secret("talker")).await;
        assert_eq!((status, body.as_object().unwrap().len()), (403, 1), "{body}");
        assert!(body["error"].as_str().unwrap().contains("task `predict`"), "{body}");
        assert_eq!(as_caller(get(&house, path), &secret("scorer")).await.0, 200);
        assert_eq!(as_caller(get(&house, path), &secret("some")).await.0, 200);
    }
}

/// The same request for a model that is there and for one that is not, but for the name.
async fn same_answer(ask: impl Fn(&str) -> RequestBuilder, model: &str, caller: &str) {
    let absent = model.chars().rev().collect::<String>();
    let (status, body) = as_caller(ask(model), &secret(caller)).await;
    let (other_status, other) = as_caller(ask(&absent), &secret(caller)).await;
    let other = other.to_string().replace(&absent, model);
    assert_eq!((status, body.to_string()), (other_status, other), "{caller} learns of {model}");
    assert!(status == 403 || status == 404, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_model_exists_is_not_told_to_those_who_may_not_use_it() {
    let more = key("some", "models = [\"az*\"]")
        + &key("talker", "tasks = [\"chat\"]")
        + &key("scorer", "tasks = [\"predict\"]")
        + MORE_MODELS;
    let house = House::new(&more).await;
    for caller in ["some", "talker"] {
        same_answer(|model| chat(&house, model), "embedder", caller).await;
        same_answer(|model| embed(&house, model), "embedder", caller).await;
        same_answer(|model| get(&house, &format!("/v1/models/{model}")), "embedder", caller).await;
        same_answer(|model| get(&house, &format!("/v2/models/{model}")), "credit-risk", caller).await;
        same_answer(|model| chat(&house, model), "credit-risk", caller).await;
    }
    same_answer(|model| get(&house, &format!("/v2/models/{model}")), "google", "scorer").await;
    same_answer(
        |model| house.client.post(house.url(&format!("/v2/models/{model}/infer"))),
        "google",
        "scorer",
    )
    .await;
    // A wrong name brings no names to mind but those that the caller may use.
    let (status, body) = as_caller(get(&house, "/v1/models/embeder"), &secret("talker")).await;
    assert!(status == 404 && !body.to_string().contains("embedder"), "{body}");
    let (status, body) = as_caller(get(&house, "/v1/models/azur"), &secret("talker")).await;
    assert!(status == 404 && body.to_string().contains("`azure`"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_money_are_counted_for_each_label() {
    let more = key("one", "labels = { team = \"retail\", project = \"letters\" }")
        + &key("two", "labels = { team = \"retail\" }")
        + &key("three", "");
    let house = House::new(&more).await;
    for name in ["one", "one", "two", "three"] {
        let (status, body) = as_caller(chat(&house, "azure"), &secret(name)).await;
        assert_eq!(status, 200, "{body}");
    }
    let text = scrape(&house).await;
    let of =
        |line: &str| metrics::value(&text, line).unwrap_or_else(|| panic!("{line} is missing in\n{text}"));
    assert_eq!(of(r#"aigate_label_calls_total{label="team",value="retail"}"#), 3.0);
    assert_eq!(of(r#"aigate_label_calls_total{label="project",value="letters"}"#), 2.0);
    let spent = of(r#"aigate_key_cost_usd_total{key="one"}"#);
    assert!(spent > 0.0);
    let close = |one: f64, other: f64| (one - other).abs() < spent * 1e-6;
    assert!(close(of(r#"aigate_label_cost_usd_total{label="project",value="letters"}"#), spent));
    assert!(close(of(r#"aigate_label_cost_usd_total{label="team",value="retail"}"#), spent * 1.5), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_call_names_the_key_and_its_labels_and_no_secret() {
    let house = House::new("").await;
    let upstream = format!(
        "[providers.o]\nkind = \"openai\"\nbase_url = \"{}/v1\"\napi_key = \"simulated-key\"\n\
         [models.m]\ntask = \"chat\"\ndeployments = [{{ provider = \"o\", target = \"gpt-4.1-mini\" }}]\n",
        house.cloud(aigate_sim::CloudKind::OpenAi).url()
    );
    let text = listeners("")
        + "[log]\nformat = \"json\"\n"
        + &upstream
        + &key("one", "labels = { team = \"retail\", project = \"letters\" }");
    let config = TempFile::new("labels.toml", &text);
    let program = Program::serve(&config.0);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let call = |secret: &str| {
        let request = house.client.post(format!("http://{}/v1/chat/completions", program.address));
        request.header("content-type", "application/json").header("api-key", secret).body(body.clone()).send()
    };
    assert_eq!(call("guess-of-mine").await.unwrap().status(), 401);
    assert_eq!(call(&secret("one")).await.unwrap().status(), 200);
    let refused = program.said(|line| line["message"] == "refused");
    assert_eq!(refused["status"], 401, "{refused}");
    assert!(!refused.to_string().contains("guess-of-mine"), "{refused}");
    let line = program.said(|line| line["message"] == "call");
    assert_eq!(line["key"], "one", "{line}");
    let mut labels: Vec<&str> = line["labels"].as_str().unwrap().split(',').collect();
    labels.sort_unstable();
    assert_eq!(labels, ["project=letters", "team=retail"]);
    assert!(!line.to_string().contains("secret-of"), "{line}");
}

/// What is wrong with a configuration, or nothing.
fn faults(text: &str) -> String {
    let outcome = load(&Source::Text(text.to_owned())).and_then(check);
    outcome.err().map(|faults| report(&faults)).unwrap_or_default()
}

#[test]
fn without_keys_or_tokens_only_this_machine_is_listened_to() {
    let model = "[providers.o]\nkind = \"openai\"\napi_key = \"k\"\n[models.m]\ntask = \"chat\"\n\
                 deployments = [{ provider = \"o\", target = \"t\" }]\n";
    let open = format!("[server]\nlisten = \"0.0.0.0:0\"\n{model}");
    let said = faults(&open);
    assert!(said.contains("server.listen: 0.0.0.0:0 can be reached from other machines"), "{said}");
    assert!(said.contains("aigate key new NAME") && said.contains("127.0.0.1"), "{said}");
    assert_eq!(faults(&format!("{open}{}", key("team", ""))), "");
    let bank = "[jwt.bank]\nissuer = \"https://id.bank.example\"\naudience = \"aigate\"\n";
    assert_eq!(faults(&format!("{open}{bank}")), "");
    assert_eq!(faults(&open.replace("0.0.0.0", "[::1]")), "");
    assert!(faults(&open.replace("0.0.0.0", "[::]")).contains("server.listen"));
    let operators = format!("[operations]\nlisten = \"0.0.0.0:0\"\n{model}");
    let said = faults(&format!("{operators}{}", key("team", "")));
    assert!(said.contains("operations.listen") && said.contains("`operations.key` is not set"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_a_key_of_their_own_and_no_caller_s_key_opens_their_door() {
    let desk = format!("[operations]\nlisten = \"127.0.0.1:0\"\nkey = \"{}\"\n", hash_of("desk"));
    let house = House::new(&(desk + &key("team", ""))).await;
    let url = |path: &str| format!("http://{}{path}", house.running.operations_address);
    let ask = |method: reqwest::Method, path: &str, secret: Option<&str>| {
        let request = house.client.request(method, url(path));
        match secret {
            Some(secret) => request.header("authorization", format!("Bearer {secret}")),
            None => request,
        }
        .send()
    };
    for (method, path, good) in [
        (reqwest::Method::GET, "/metrics", 200),
        (reqwest::Method::GET, "/admin/config", 200),
        // It was not started from a file.
        (reqwest::Method::POST, "/admin/reload", 409),
    ] {
        for secret in [None, Some(secret("team")), Some(hash_of("desk"))] {
            let answer = ask(method.clone(), path, secret.as_deref()).await.unwrap();
            assert_eq!(answer.status(), 401, "{path}");
            assert!(answer.text().await.unwrap().contains("operators' key"));
        }
        assert_eq!(ask(method, path, Some(&secret("desk"))).await.unwrap().status(), good, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(reqwest::Method::GET, path, None).await.unwrap().status(), 200);
    }
    assert_eq!(as_caller(get(&house, "/v1/models"), &secret("desk")).await.0, 401);
}

fn printed(arguments: &[&str]) -> (Output, String) {
    let output = aigate(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

fn secret_in(text: &str) -> String {
    let mut found = text.split_whitespace().filter(|word| word.starts_with("aig_"));
    let secret = found.next().unwrap().to_owned();
    assert_eq!(found.next(), None, "the secret is shown once: {text}");
    secret
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stanza_of_a_new_key_works_as_it_is_pasted_and_with_its_comments_taken_in() {
    let (output, text) = printed(&["key", "new", "team-a"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let secret = secret_in(&text);
    let stanza = text.split("For the configuration file:\n").nth(1).unwrap();
    assert!(!stanza.contains(&secret));
    let house = House::new(stanza).await;
    assert_eq!(as_caller(chat(&house, "azure"), &secret).await.0, 200);

    for word in ["models", "tasks", "expires", "labels", "limits_per_replica", "budget_per_replica"] {
        assert!(stanza.contains(&format!("  # {word} = ")), "{word} is not shown: {stanza}");
    }
    // A budget needs the price of every model: those of the house have none at an unknown server.
    let state = tempfile::tempdir().unwrap();
    let model = |name: &str| {
        format!(
            "[models.{name}]\ntask = \"chat\"\n\
             deployments = [{{ provider = \"cloud\", target = \"gpt-4.1-mini\" }}]\n"
        )
    };
    let all = stanza.replace("\n  # ", "\n  ")
        + &listeners("")
        + &format!("[state]\nfile = '{}'\n", state.path().join("spent.sqlite").display())
        + &format!(
            "[providers.cloud]\nkind = \"azure\"\nendpoint = \"{}\"\napi_key = \"simulated-key\"\n",
            house.cloud(aigate_sim::CloudKind::Azure).url()
        )
        + &["assistant", "credit-letters", "other"].map(model).concat();
    let plan =
        load(&Source::Text(all)).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
    let running = Running::start(&plan).await.unwrap();
    let ask = async |model: &str| {
        let url = format!("http://{}/v1/chat/completions", running.address);
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
        let request =
            house.client.post(url).header("content-type", "application/json").body(body.to_string());
        as_caller(request, &secret).await
    };
    for (model, status) in [("assistant", 200), ("credit-letters", 200), ("other", 403)] {
        let (got, body) = ask(model).await;
        assert_eq!(got, status, "{model}: {body}");
    }
    assert!(running.stop(Duration::ZERO).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_key_is_printed_for_its_own_place() {
    let (_, text) = printed(&["key", "new", "operations"]);
    let secret = secret_in(&text);
    let stanza = text.split("For the configuration file:\n").nth(1).unwrap();
    assert!(stanza.contains("[operations]") && !stanza.contains("[keys"), "{stanza}");
    let house = House::new(&stanza.replace("[operations]", "[operations]\nlisten = \"127.0.0.1:0\"")).await;
    let url = format!("http://{}/metrics", house.running.operations_address);
    assert_eq!(house.client.get(&url).send().await.unwrap().status(), 401);
    let answer = house.client.get(&url).header("authorization", format!("Bearer {secret}")).send().await;
    assert_eq!(answer.unwrap().status(), 200);
}

/// The program's memory in bytes: once it serves so many keys, and once it has read its file again, with another model in it.
async fn memory(keys: usize) -> [u64; 2] {
    let model = |name: &str| {
        format!(
            "[models.{name}]\ntask = \"chat\"\ndeployments = [{{ provider = \"o\", target = \"gpt-4.1-mini\" }}]\n"
        )
    };
    let mut text = listeners("")
        + "[log]\nformat = \"json\"\n[providers.o]\nkind = \"openai\"\napi_key = \"k\"\n[reload]\nwatch = false\n"
        + &model("m");
    for number in 0..keys {
        let labels = format!("labels = {{ team = \"team-{}\" }}", number % 300);
        text.push_str(&key(&format!("application-{number:06}"), &labels));
    }
    let config = TempFile::new("many.toml", &text);
    let program = Program::serve(&config.0);
    assert!(std::net::TcpStream::connect(program.address).is_ok());
    let at_start = program.memory() * 1024;
    std::fs::write(&config.0, text + &model("n")).unwrap();
    let reload = client().post(format!("http://{}/admin/reload", program.operations)).send().await.unwrap();
    assert_eq!(reload.status(), 200, "{}", reload.text().await.unwrap());
    [at_start, program.memory() * 1024]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_keys_cost_the_program_less_than_100_mb_also_after_a_reload() {
    let (one, many) = (memory(1).await, memory(100_000).await);
    for (place, when) in ["at the start", "after a reload"].into_iter().enumerate() {
        let (one, many) = (one[place], many[place]);
        let cost = many.saturating_sub(one);
        assert!(
            cost < 100_000_000,
            "{when} they cost {cost} bytes: {one} with one key, {many} with a hundred thousand"
        );
    }
}
