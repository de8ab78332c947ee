//! The configuration changes while calls go on, as operators and callers see it through HTTP.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aigate::{
    config::{Source, check, check_after, load, report},
    running::Running,
};
use aigate_sim::{Cloud, CloudKind, Credentials, Fault, Options, start};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{bearer, client, eventually, hash_of, key, metrics};

/// A gateway that was started from a file, which a test writes anew.
pub(crate) struct Desk {
    pub(crate) folder: TempDir,
    pub(crate) running: Running,
    pub(crate) client: reqwest::Client,
}

impl Desk {
    pub(crate) async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, text).await
    }

    async fn start_in(folder: TempDir, text: &str) -> Self {
        let path = folder.path().join("aigate.toml");
        fs::write(&path, text).unwrap();
        let source = Source::File(path);
        let plan = load(&source).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
        let running = Running::start_from(source, &plan).await.unwrap();
        Self { folder, running, client: client() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("aigate.toml")
    }

    pub(crate) fn operations(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.operations_address)
    }

    /// Writes the file and has it read: the status and what operators are told.
    pub(crate) async fn reload(&self, text: &str) -> (StatusCode, Value) {
        fs::write(self.path(), text).unwrap();
        let response = self.client.post(self.operations("/admin/reload")).send().await.unwrap();
        (response.status(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// The same for a file that is right: what changed.
    async fn change_to(&self, text: &str) -> Vec<String> {
        let (status, told) = self.reload(text).await;
        assert_eq!(status, 200, "{told}");
        words(&told["changes"])
    }

    pub(crate) async fn config(&self) -> Value {
        let response = self.client.get(self.operations("/admin/config")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// The lines of the metrics that begin so.
    async fn metrics(&self, beginning: &str) -> Vec<String> {
        metrics::lines(&metrics::fetch(&self.client, self.running.operations_address).await, beginning)
    }

    pub(crate) async fn ask(&self, model: &str, key: &str) -> Response {
        self.ask_for(model, key, json!({ "temperature": 0 })).await
    }

    async fn ask_for(&self, model: &str, key: &str, more: Value) -> Response {
        send(&self.client, self.running.address, model, key, more).await
    }

    /// The status of a call.
    async fn status(&self, model: &str, key: &str) -> u16 {
        self.ask(model, key).await.status().as_u16()
    }
}

/// Sends a chat of ten words.
pub(crate) async fn send(
    client: &reqwest::Client,
    address: std::net::SocketAddr,
    model: &str,
    key: &str,
    more: Value,
) -> Response {
    let mut body =
        json!({ "model": model, "messages": [{ "role": "user", "content": "a b c d e f g h i j" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = client
        .post(format!("http://{address}/v1/chat/completions"))
        .header("content-type", "application/json")
        .header("authorization", bearer(key));
    request.body(body.to_string()).send().await.unwrap()
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The version of the configuration that a call was answered by.
pub(crate) fn version(response: &Response) -> String {
    response.headers()["x-aigate-config"].to_str().unwrap().to_owned()
}

/// Listeners on ports that the system chooses; the file is read only when the test says so.
pub(crate) const QUIET: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[operations]\nlisten = \"127.0.0.1:0\"\n[reload]\nwatch = false\n[log]\nlevel = \"error\"\n";

pub(crate) async fn cloud() -> Cloud {
    start(CloudKind::OpenAi, Options::default()).await.unwrap()
}

pub(crate) fn provider(name: &str, cloud: &Cloud) -> String {
    format!(
        "[providers.{name}]\nkind = \"openai\"\nbase_url = \"{}/v1\"\napi_key = \"simulated-key\"\n",
        cloud.url()
    )
}

pub(crate) fn model(name: &str, more: &str) -> String {
    format!(
        "[models.{name}]\ntask = \"chat\"\ndeployments = [{{ provider = \"sim\", target = \"gpt-4.1-mini\", price = {{ usd_per_request = 1 }} }}]\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_tells_what_changed_and_the_next_call_says_so() {
    let cloud = cloud().await;
    let old = QUIET.to_owned() + &provider("sim", &cloud) + &model("one", "");
    let desk = Desk::start(&old).await;
    let first = version(&desk.ask("one", "").await);
    assert_eq!(desk.config().await["version"], first.as_str());
    assert_eq!(desk.status("two", "").await, 404);

    let changes = desk.change_to(&(old.clone() + &model("two", ""))).await;
    assert_eq!(changes, ["models.two: new model"]);
    let response = desk.ask("two", "").await;
    assert_eq!(response.status(), 200);
    let second = version(&response);
    assert_ne!(first, second);
    let told = desk.config().await;
    assert_eq!(
        (&told["version"], &told["reloads"], &told["refused"]),
        (&json!(second), &json!(1), &Value::Null)
    );
    assert_eq!(words(&told["changes"]), changes);
    assert_eq!(desk.metrics("aigate_reloads_total").await, ["aigate_reloads_total 1"]);
    let info = desk.metrics("aigate_info{").await;
    assert!(info.len() == 1 && info[0].contains(&second), "one version is in force: {info:?}");

    assert!(desk.change_to(&old).await.contains(&"models.two: removed".to_owned()));
    assert_eq!(version(&desk.ask("one", "").await), first, "the same text has the same version");
    assert_eq!(desk.status("two", "").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_file_changes_nothing_tells_every_fault_and_a_good_one_heals() {
    let cloud = cloud().await;
    let good = QUIET.to_owned() + &provider("sim", &cloud) + &model("one", "");
    let desk = Desk::start(&good).await;
    let before = version(&desk.ask("one", "").await);
    let faulty = good.clone()
        + &key("k", "limits_per_replica = { requests = \"many\" }")
        + "[models.two]\ntask = \"chat\"\ndeployments = [{ provider = \"simm\", target = \"t\" }]\ncolour = 1\n";
    for (text, faults) in [
        (faulty.as_str(), vec!["models.two.colour: unknown key"]),
        ("[server\n", vec!["line 1"]),
        ("", vec!["models: there is no model"]),
        (
            &faulty.replace("colour = 1\n", ""),
            vec!["keys.k.limits_per_replica.requests", "no provider is called `simm`; did you mean `sim`?"],
        ),
    ] {
        let (status, told) = desk.reload(text).await;
        assert_eq!(status, 422, "{told}");
        let said = told["faults"].as_str().unwrap();
        for fault in faults {
            assert!(said.contains(fault), "{fault} is missing in\n{said}");
        }
        let told = desk.config().await;
        assert_eq!(told["refused"]["faults"], said);
        assert_eq!(told["version"], before.as_str());
        assert_eq!(desk.metrics("aigate_config_faulty").await, ["aigate_config_faulty 1"]);
        let response = desk.ask("one", "").await;
        assert_eq!((response.status().as_u16(), version(&response)), (200, before.clone()));
    }
    assert_eq!(desk.metrics("aigate_reloads_refused_total").await, ["aigate_reloads_refused_total 4"]);

    fs::remove_file(desk.path()).unwrap();
    let response = desk.client.post(desk.operations("/admin/reload")).send().await.unwrap();
    assert_eq!(response.status(), 422);
    assert!(response.text().await.unwrap().contains("cannot read"));
    assert_eq!(desk.status("one", "").await, 200, "without its file it goes on");

    assert_eq!(desk.change_to(&good).await, [""; 0]);
    assert_eq!(desk.config().await["refused"], Value::Null);
    assert_eq!(desk.metrics("aigate_config_faulty").await, ["aigate_config_faulty 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_found_before_anything_changes() {
    let cloud = cloud().await;
    let good = QUIET.to_owned() + &provider("sim", &cloud) + &model("one", "");
    let desk = Desk::start(&good).await;
    let name = good.clone() + &key("a:b", "");
    // Before the reload, as `aigate check` would say it.
    let faults = load(&Source::Text(name.clone())).and_then(check).expect_err("a name like a token's caller");
    assert!(report(&faults).contains("keys.") && report(&faults).contains("a:b"), "{}", report(&faults));
    let (status, told) = desk.reload(&name).await;
    assert_eq!(status, 422, "{told}");
    assert_eq!(desk.status("one", "").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_key_guards_reload_and_config_and_can_itself_be_changed() {
    let cloud = cloud().await;
    let text = |secret: &str| {
        let with_key = format!("[operations]\nkey = \"{}\"", hash_of(secret));
        QUIET.replace("[operations]", &with_key) + &provider("sim", &cloud) + &model("one", "")
    };
    let desk = Desk::start(&text("first")).await;
    let call = |secret: &'static str| {
        let request = desk.client.post(desk.operations("/admin/reload"));
        request.header("authorization", bearer(secret)).send()
    };
    let bare = desk.client.post(desk.operations("/admin/reload")).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(desk.client.get(desk.operations("/admin/config")).send().await.unwrap().status(), 401);
    assert_eq!(call("guess").await.unwrap().status(), 401);
    fs::write(desk.path(), text("second")).unwrap();
    let response = call("first").await.unwrap();
    assert_eq!(response.status(), 200);
    let told = response.text().await.unwrap();
    assert!(told.contains("operations.key: changed (secret)") && !told.contains("sha256"), "{told}");
    assert_eq!(call("first").await.unwrap().status(), 401);
    assert_eq!(call("second").await.unwrap().status(), 200);
    let get = desk.client.get(desk.operations("/admin/reload")).send().await.unwrap();
    assert_eq!(get.status(), 405, "a reload is no GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_start_is_told_until_it_is_undone() {
    let cloud = cloud().await;
    let good = QUIET.to_owned() + &provider("sim", &cloud) + &model("one", "");
    let desk = Desk::start(&good).await;
    let other = good
        .replace("[server]", "[server]\nmax_connections = 7\nmax_body_bytes = 2048")
        .replace("[log]", "[log]\ncalls = false")
        .replace("level = \"error\"", "level = \"warn\"")
        + "[telemetry]\nsample_ratio = 0.5\n[state]\nfile = \"other.sqlite\"\n";
    let (status, told) = desk.reload(&other).await;
    assert_eq!(status, 200);
    let waiting = words(&told["at_next_start"]);
    assert_eq!(
        waiting,
        [
            "log.level: error -> warn",
            "server.max_connections: 10000 -> 7",
            "state.file: aigate.sqlite -> other.sqlite",
            "telemetry.sample_ratio: 1.0 -> 0.5",
        ]
    );
    assert!(words(&told["changes"]).iter().any(|change| change.starts_with("log.calls")));
    assert_eq!(words(&desk.config().await["at_next_start"]), waiting);
    // The rest of the same file is in force.
    let long = json!({ "messages": [{ "role": "user", "content": "x".repeat(4096) }] });
    assert_eq!(desk.ask_for("one", "", long).await.status(), 413);

    // Another change does not hide them.
    desk.change_to(&(other.clone() + &model("two", ""))).await;
    assert_eq!(words(&desk.config().await["at_next_start"]), waiting);
    // Undone, there is nothing left to wait for.
    desk.change_to(&good).await;
    assert_eq!(words(&desk.config().await["at_next_start"]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_switched_without_a_dropped_call() {
    let slow = Options { chunk_delay: Duration::from_millis(50), ..Options::default() };
    let first = start(CloudKind::OpenAi, slow).await.unwrap();
    let second = cloud().await;
    let text = |cloud: &Cloud| QUIET.to_owned() + &provider("sim", cloud) + &model("one", "");
    let desk = Desk::start(&text(&first)).await;
    let mut stream = desk.ask_for("one", "", json!({ "stream": true })).await;
    let old = version(&stream);
    let mut said = stream.chunk().await.unwrap().unwrap().to_vec();
    first.set_fault(Some(Fault::SlowFirstByte(Duration::from_secs(1))));
    let (client, address) = (desk.client.clone(), desk.running.address);
    let whole = tokio::spawn(async move { send(&client, address, "one", "", json!({})).await });
    eventually("both are asked", || first.stats().in_flight == 2).await;

    desk.change_to(&text(&second)).await;
    let next = desk.ask("one", "").await;
    assert_eq!(next.status(), 200);
    let new = version(&next);
    assert_ne!(old, new);
    assert_eq!((first.stats().seen, second.stats().seen), (2, 1));

    assert_eq!(first.stats().in_flight, 2, "both still go on");
    let whole = whole.await.unwrap();
    assert_eq!((whole.status().as_u16(), version(&whole)), (200, old));
    while let Some(piece) = stream.chunk().await.unwrap() {
        said.extend_from_slice(&piece);
    }
    assert!(String::from_utf8(said).unwrap().ends_with("data: [DONE]\n\n"), "the stream was cut off");
    assert_eq!(second.stats().seen, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_once_and_a_new_one_let_in() {
    let cloud = cloud().await;
    let base = QUIET.to_owned() + &provider("sim", &cloud) + &model("one", "");
    let desk = Desk::start(&(base.clone() + &key("anna", "") + &key("bert", ""))).await;
    assert_eq!((desk.status("one", "anna").await, desk.status("one", "carl").await), (200, 401));
    let changes = desk.change_to(&(base + &key("anna", "revoked = true") + &key("carl", ""))).await;
    assert_eq!(changes, ["keys.anna.revoked: set to true", "keys.bert: removed", "keys.carl: new key"]);
    let refused = desk.ask("one", "anna").await;
    assert_eq!(refused.status(), 401);
    assert!(refused.text().await.unwrap().contains("revoked"));
    assert_eq!((desk.status("one", "bert").await, desk.status("one", "carl").await), (401, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_limit_an_open_circuit_and_a_kept_answer_survive() {
    let (good, bad) = (cloud().await, cloud().await);
    let text = |more: &str| {
        QUIET.to_owned()
            + &provider("sim", &good)
            + &provider("down", &bad)
            + &model("one", "[models.one.cache]\nttl = \"1h\"\n[models.one.retry]\nmax_retries = 0")
            + &model("broken", "[models.broken.breaker]\nfailures = 1\nopen = \"1h\"\nmax_open = \"1h\"\n[models.broken.retry]\nmax_retries = 0")
                .replace("[{", "[{ provider = \"down\", target = \"gpt-4.1-mini\", price = { usd_per_request = 1 } }, {")
            + &key("anna", "limits_per_replica = { requests = \"2/h\" }")
            + &key("bert", "labels = { team = \"b\" }")
            + "[labels.team.b]\nlimits_per_replica = { concurrency = 50 }\n"
            + more
    };
    let desk = Desk::start(&text("")).await;
    bad.set_fault(Some(Fault::ServerError { status: 500 }));
    assert_eq!(desk.ask("broken", "bert").await.headers()["x-aigate-provider"], "sim");
    bad.set_fault(None);
    let other = json!({ "temperature": 1 });
    assert_eq!(desk.ask_for("one", "anna", other.clone()).await.status(), 200);
    assert_eq!(desk.ask_for("one", "anna", other.clone()).await.status(), 200);
    assert_eq!(desk.ask("one", "bert").await.headers()["x-aigate-cache"], "miss");
    let seen = good.stats().seen;
    assert_eq!(bad.stats().seen, 1);
    for round in 0..3 {
        assert_eq!(desk.ask_for("one", "anna", other.clone()).await.status(), 429, "round {round}");
        assert_eq!(desk.ask("one", "bert").await.headers()["x-aigate-cache"], "hit", "round {round}");
        assert_eq!(desk.ask("broken", "bert").await.headers()["x-aigate-provider"], "sim", "round {round}");
        let circuits = desk.metrics("aigate_circuit{").await;
        assert!(circuits.iter().any(|line| line.contains("down/") && line.ends_with(" 2")), "{circuits:?}");
        // Other models, other sizes of the cache, other keys.
        let more =
            format!("[cache]\nmax_bytes = \"{}MiB\"\n", 100 + round) + &model(&format!("extra{round}"), "");
        desk.change_to(&text(&(more + &key(&format!("k{round}"), "")))).await;
    }
    assert_eq!((good.stats().seen, bad.stats().seen), (seen + 3, 1), "nobody else was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_under_way_count_after_a_reload_that_leaves_their_limit_as_it_was() {
    let cloud = cloud().await;
    let text = |more: &str| {
        QUIET.to_owned()
            + &provider("sim", &cloud)
            + &model("one", "")
            + &key("anna", "limits_per_replica = { concurrency = 1 }")
            + more
    };
    let desk = Desk::start(&text("")).await;
    cloud.set_fault(Some(Fault::SlowFirstByte(Duration::from_secs(2))));
    let (client, address) = (desk.client.clone(), desk.running.address);
    let first = tokio::spawn(async move { send(&client, address, "one", "anna", json!({})).await });
    eventually("it is asked", || cloud.stats().in_flight == 1).await;
    desk.change_to(&text(&model("two", ""))).await;
    assert_eq!(desk.status("one", "anna").await, 429);
    assert_eq!(first.await.unwrap().status(), 200);
    cloud.set_fault(None);
    assert_eq!(desk.status("one", "anna").await, 200, "the place is given back across the reload");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_whose_amount_changes_begins_anew_and_goes_on_when_it_is_as_it_was() {
    let cloud = cloud().await;
    let text = |requests: u32| {
        let limits = format!("limits_per_replica = {{ requests = \"{requests}/h\" }}");
        QUIET.to_owned() + &provider("sim", &cloud) + &model("one", "") + &key("anna", &limits)
    };
    let desk = Desk::start(&text(2)).await;
    let passes = async || {
        let mut passed = 0;
        while desk.status("one", "anna").await == 200 {
            passed += 1;
        }
        passed
    };
    assert_eq!(passes().await, 2);
    assert_eq!(desk.change_to(&text(3)).await, ["keys.anna.limits_per_replica.requests: 2/h -> 3/h"]);
    assert_eq!(passes().await, 3);
    desk.change_to(&text(2)).await;
    assert_eq!(passes().await, 0, "to change it and to change it back refills nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_budget_whose_file_cannot_be_used_changes_nothing() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    // A file is no folder.
    let state = folder.path().join("aigate.toml").join("state.sqlite");
    let text = |more: &str| {
        QUIET.to_owned()
            + &format!("[state]\nfile = \"{}\"\n", state.display())
            + &provider("sim", &cloud)
            + &model("one", "")
            + more
    };
    let desk = Desk::start_in(folder, &text(&key("anna", ""))).await;
    let before = desk.running.gateway.now();
    let next = text(
        &(key("anna", "budget_per_replica = { usd_per_month = 1 }") + &key("bert", "") + &model("two", "")),
    );
    assert!(load(&Source::Text(next.clone())).and_then(check).is_ok(), "the text has no fault");
    let (status, told) = desk.reload(&next).await;
    assert_eq!(status, 422, "{told}");
    assert!(told["faults"].as_str().unwrap().contains("state.sqlite"), "{told}");
    assert!(Arc::ptr_eq(&before, &desk.running.gateway.now()));
    assert_eq!(desk.config().await["refused"]["faults"], told["faults"]);
    assert_eq!(desk.metrics("aigate_config_faulty").await, ["aigate_config_faulty 1"]);
    assert_eq!(desk.metrics("aigate_budget_usd{").await, [""; 0]);
    assert_eq!((desk.status("one", "anna").await, desk.status("one", "bert").await), (200, 401));
    assert_eq!(desk.status("two", "anna").await, 404);
    assert_eq!(version(&desk.ask("one", "anna").await), *before.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_whose_amount_changes_keeps_what_was_spent() {
    let cloud = cloud().await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.sqlite");
    let text = |dollars: u32, state: &Path| {
        let budget = format!("budget_per_replica = {{ usd_per_month = {dollars} }}");
        QUIET.to_owned()
            + &format!("[state]\nfile = \"{}\"\n", state.display())
            + &provider("sim", &cloud)
            + &model("one", "")
            + &key("anna", &budget)
    };
    let desk = Desk::start_in(folder, &text(2, &state)).await;
    let spend = || desk.status("one", "anna");
    assert_eq!((spend().await, spend().await, spend().await), (200, 200, 429));
    assert_eq!(
        desk.change_to(&text(3, &state)).await,
        ["keys.anna.budget_per_replica.usd_per_month: 2 -> 3"]
    );
    assert_eq!((spend().await, spend().await), (200, 429));
    desk.change_to(&text(1, &state)).await;
    assert_eq!(spend().await, 429);
    let spent = desk.metrics("aigate_budget_usd{").await;
    assert!(spent.iter().any(|line| line.contains("what=\"spent\"") && line.ends_with(" 3.0")), "{spent:?}");

    // A faulty file does not touch it, whatever it says of the budget.
    let (status, _) = desk.reload(&(text(9, &state) + "[keys.\"x:y\"]\nhash = \"sha256:00\"\n")).await;
    assert_eq!((status.as_u16(), spend().await), (422, 429));

    // The books stay where they are until the next start; the rest of the file takes effect.
    let elsewhere = desk.folder.path().join("elsewhere.sqlite");
    let (status, told) = desk.reload(&text(4, &elsewhere)).await;
    assert_eq!(status, 200, "{told}");
    assert!(words(&told["at_next_start"])[0].starts_with("state.file"), "{told}");
    assert_eq!((spend().await, spend().await), (200, 429));
    assert!(!elsewhere.exists());
    desk.running.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_providers_are_kept_with_their_tokens() {
    let google = start(CloudKind::Google, Options::default()).await.unwrap();
    let credentials = crate::harness::user_credentials();
    let text = |quota: &str, more: &str| {
        let url = google.url();
        QUIET.to_owned()
            + &format!(
                "[providers.sim]\nkind = \"google\"\nproject = \"p\"\nlocation = \"europe-west4\"\nbase_url = \"{url}\"\ntoken_url = \"{url}/token\"\ncredentials = \"{}\"\nquota_project = \"{quota}\"\n",
                credentials.0.display()
            )
            + &model("one", "").replace("gpt-4.1-mini", "gemini-2.5-flash")
            + more
    };
    let desk = Desk::start(&text("q", "")).await;
    for round in 0..50 {
        assert_eq!(desk.status("one", "").await, 200);
        let more = format!("[models.one.timeouts]\nattempt = \"{}s\"\n", 100 + round);
        assert_eq!(desk.change_to(&text("q", &more)).await.len(), 1);
    }
    assert_eq!((desk.status("one", "").await, google.stats().token_requests), (200, 1));
    desk.change_to(&text("other", "")).await;
    assert_eq!((desk.status("one", "").await, google.stats().token_requests), (200, 2));
}

#[test]
fn the_models_on_this_machine_stay_while_their_settings_and_files_do() {
    let folder = tempfile::tempdir().unwrap();
    let text = |more: &str| {
        Source::Text(format!(
            "[providers.here]\nkind = \"local\"\nfolder = \"{}\"\n[models.m]\ntask = \"predict\"\ndeployments = [{{ provider = \"here\", target = \"sample/credit-risk\" }}]\n{more}",
            folder.path().display()
        ))
    };
    let first = load(&text("")).and_then(check).unwrap();
    let again = |before: &aigate::config::Plan, more: &str| {
        load(&text(more)).and_then(|loaded| check_after(loaded, &before.into())).unwrap()
    };
    let second = again(&first, "[models.m.timeouts]\nattempt = \"1s\"\n");
    assert!(Arc::ptr_eq(&first.providers["here"].1, &second.providers["here"].1));
    fs::write(folder.path().join("new.onnx"), "x").unwrap();
    let third = again(&second, "");
    assert!(
        !Arc::ptr_eq(&second.providers["here"].1, &third.providers["here"].1),
        "its folder holds more now"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_file_is_read_again_and_told_without_being_shown() {
    let credentials = Credentials { api_key: "next-secret".to_owned(), ..Credentials::default() };
    let cloud = start(CloudKind::OpenAi, Options { credentials, ..Options::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "old-secret\n").unwrap();
    let text = QUIET.to_owned()
        + &provider("sim", &cloud).replace("simulated-key", &format!("file:{}", secret.display()))
        + &model("one", "");
    let desk = Desk::start_in(folder, &text).await;
    assert_ne!(desk.status("one", "").await, 200);
    fs::write(&secret, "next-secret\n").unwrap();
    let changes = desk.change_to(&text).await;
    assert_eq!(desk.status("one", "").await, 200);
    let said = changes.join("\n");
    assert!(said.contains("providers.sim") && !said.contains("next-secret"), "{changes:?}");
}
