//! Money: what calls cost at each cloud, what budgets let through, warn of and refuse, and that none of it is forgotten.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aigate::config::{Source, check, load, report};
use aigate_sim::{Cloud, CloudKind, Fault, Latency, Options, start};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    harness::{
        KINDS, Program, Reply, TempFile, bearer, chat_target, client, eventually, key, listeners, metrics,
        name,
    },
    limits::{Gate, StateFile, chat, streamed},
};

/// A chat model at Azure whose calls cost a dollar each.
fn dollar(name: &str) -> String {
    format!(
        "[models.{name}]\ntask = \"chat\"\ndeployments = [{{ provider = \"azure\", target = \"gpt-4.1-mini\", price = {{ usd_per_request = 1 }} }}]\n"
    )
}

fn with_latency(millis: u64) -> Options {
    let latency = Latency { median: Duration::from_millis(millis), sigma: 0.0 };
    Options { latency, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_call_at_once_no_more_is_spent_than_there_is() {
    let budget = "budget_per_replica = { usd_per_day = 10 }";
    let gate = Gate::with_options(&(key("k", budget) + &dollar("m")), &with_latency(30)).await;
    let body = chat("m", "hi", 10);
    let calls = (0..64).map(|_| gate.ask("k", &body));
    let told = join_all(calls).await;
    let answered = told.iter().filter(|told| told.status == 200).count();
    assert_eq!(answered, 10);
    let refused = told.iter().find(|told| told.status == 429).unwrap();
    assert_eq!(refused.body["error"]["code"], "insufficient_quota", "{refused:?}");
    assert!(refused.message().contains("key k: budget of 10 USD a day is spent or reserved"), "{refused:?}");
    assert!((1..=86_400).contains(&refused.number("retry-after")), "{refused:?}");
    eventually("all is settled", || gate.reserved("key k") == 0.0).await;
    assert_eq!(gate.spent("key k"), 10.0);
    assert_eq!(gate.cloud(CloudKind::Azure).stats().seen, 10, "what is refused is not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_its_share_on_a_budget_warns_and_its_metric_tells_how_it_stands() {
    let budget = "labels = { team = \"t\" }\nbudget_per_replica = { usd_per_day = 10, warn_at = 0.5 }";
    let team =
        "[labels.team.t]\nbudget_per_replica = { usd_per_day = 100, usd_per_month = 6, warn_at = 1 }\n";
    let gate = Gate::new(&(key("k", budget) + team + &dollar("m"))).await;
    for call in 1..=6 {
        let told = gate.ask("k", &chat("m", "hi", 10)).await;
        assert_eq!((told.status, told.header("x-aigate-cost-usd")), (200, "1"), "{told:?}");
        let warning = match call {
            1..=4 => "",
            5 => "key k: budget of 10 USD a day is nearly spent",
            _ => {
                "key k: budget of 10 USD a day is nearly spent; label team=t: budget of 6 USD a month is nearly spent"
            }
        };
        assert_eq!(told.header("x-aigate-warning"), warning, "{call}");
        assert_eq!(gate.spent("key k"), f64::from(call));
    }
    let told = gate.ask("k", &chat("m", "hi", 10)).await;
    assert_eq!(told.status, 429, "{told:?}");
    assert!(told.message().contains("label team=t: budget of 6 USD a month is spent"), "{told:?}");
    assert!(told.number("retry-after") <= 31 * 86_400, "{told:?}");
    let of = |period: &str, what: &str| {
        let labels = ["owner=\"label team=t\"", period, what];
        gate.metric("aigate_budget_usd", &labels)
    };
    assert_eq!(of("period=\"month\"", "what=\"spent\""), 6.0);
    assert_eq!(of("period=\"day\"", "what=\"spent\""), 6.0);
    assert_eq!(of("period=\"day\"", "what=\"limit\""), 100.0);
    assert_eq!(gate.spent("key k"), 6.0, "the refused call cost the key nothing");
    assert_eq!(gate.metric("aigate_key_cost_usd_total", &["key=\"k\""]), 6.0);
    assert_eq!(gate.metric("aigate_label_cost_usd_total", &["\"team\"", "\"t\""]), 6.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_one_label_spend_one_budget() {
    let team = "labels = { team = \"t\" }";
    let budget = "[labels.team.t]\nbudget_per_replica = { usd_per_day = 3 }\n";
    let gate = Gate::new(&(key("a", team) + &key("b", team) + &key("c", "") + budget + &dollar("m"))).await;
    let body = chat("m", "hi", 10);
    for who in ["a", "b", "a"] {
        assert_eq!(gate.ask(who, &body).await.status, 200);
    }
    for who in ["a", "b"] {
        let told = gate.ask(who, &body).await;
        assert_eq!((told.status, &told.body["error"]["code"]), (429, &json!("insufficient_quota")));
        assert!(told.message().starts_with("label team=t: budget of 3 USD a day"), "{told:?}");
    }
    assert_eq!(gate.ask("c", &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_alone_may_cost_more_than_the_budget_reads_that() {
    let price = "{ input_usd_per_mtok = 0, output_usd_per_mtok = 1000 }";
    let model = format!(
        "[models.m]\ntask = \"chat\"\ndeployments = [{{ provider = \"azure\", target = \"gpt-4.1-mini\", price = {price} }}]\n"
    );
    let gate = Gate::new(&(key("k", "budget_per_replica = { usd_per_day = 1 }") + &model)).await;
    let told = gate.ask("k", &chat("m", "hi", 1_001)).await;
    assert_eq!((told.status, &told.body["error"]["code"]), (429, &json!("insufficient_quota")), "{told:?}");
    assert!(told.message().contains("is less than this call alone may cost"), "{told:?}");
    // What is reserved is what may be spent at most; four tokens are.
    let told = gate.ask("k", &chat("m", "hi", 1_000)).await;
    assert_eq!((told.status, told.header("x-aigate-cost-usd")), (200, "0.004"), "{told:?}");
    assert_eq!((gate.spent("key k"), gate.reserved("key k")), (0.004, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_with_cheapest_goes_on_at_the_cheapest_deployment() {
    let model = r#"[models.m]
task = "chat"
deployments = [
  { provider = "azure", target = "gpt-4.1-mini", price = { usd_per_request = 1 } },
  { provider = "openai", target = "gpt-4.1-mini", price = { usd_per_request = 0.25 } },
]
"#;
    let budget = "budget_per_replica = { usd_per_day = 2, on_exceeded = \"cheapest\" }";
    let gate = Gate::new(&(key("k", budget) + model)).await;
    let body = chat("m", "hi", 10);
    for (who, cost, warning, spent) in [
        ("azure", "1", "", 1.0),
        ("azure", "1", "key k: budget of 2 USD a day is nearly spent", 2.0),
        ("openai", "0.25", "key k: budget of 2 USD a day is spent or reserved", 2.25),
        ("openai", "0.25", "key k: budget of 2 USD a day is spent or reserved", 2.5),
    ] {
        let told = gate.ask("k", &body).await;
        assert_eq!((told.status, told.header("x-aigate-provider")), (200, who), "{told:?}");
        assert_eq!(told.header("x-aigate-cost-usd"), cost);
        assert_eq!(told.header("x-aigate-warning"), warning);
        assert_eq!(gate.spent("key k"), spent);
    }
    let told = gate.ask("k", &streamed(body)).await;
    assert_eq!((told.status, told.header("x-aigate-provider")), (200, "openai"), "{told:?}");
    eventually("the stream is booked", || gate.spent("key k") == 2.75).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_with_local_is_answered_on_this_machine_or_refused() {
    let cloud = r#"{ provider = "aws", target = "credit-risk", version = "3", wire = { body = "csv" }, price = { usd_per_request = 1 } }"#;
    let local = r#"{ provider = "local", target = "sample/credit-risk" }"#;
    let signature = crate::predict::signature();
    let model = format!(
        "[models.both]\ntask = \"predict\"\nfailover = \"any_version\"\ndeployments = [{cloud}, {local}]\n\
         [models.cloud]\ntask = \"predict\"\n{signature}deployments = [{cloud}]\n"
    );
    let budget = "budget_per_replica = { usd_per_day = 1, on_exceeded = \"local\" }";
    let gate = Gate::with_options(&(key("k", budget) + &model), &crate::predict::options()).await;
    let request = aigate_local::sample_request().unwrap();
    let infer = async |model: &str, degraded: &str| {
        let path = format!("/v2/models/{model}/infer");
        Reply::of(gate.send_with("k", &path, &request, ("x-aigate-degraded", degraded)).await).await
    };
    let told = infer("both", "accept").await;
    assert_eq!((told.status, told.header("x-aigate-provider")), (200, "aws"), "{told:?}");
    let told = infer("both", "accept").await;
    assert_eq!((told.status, told.header("x-aigate-provider")), (200, "local"), "{told:?}");
    assert_eq!(told.header("x-aigate-degraded"), "local");
    assert_eq!(told.header("x-aigate-warning"), "key k: budget of 1 USD a day is spent or reserved");
    assert_eq!(told.header("x-aigate-cost-usd"), "0");
    assert_eq!(gate.spent("key k"), 1.0, "this machine costs nothing");
    let told = infer("both", "refuse").await;
    assert_eq!(told.status, 429, "{told:?}");
    assert!(told.message().contains("the caller refuses degraded answers"), "{told:?}");
    let told = infer("cloud", "accept").await;
    assert_eq!(told.status, 429, "{told:?}");
    assert!(
        told.message().contains("only a deployment on this machine may answer, and there is none"),
        "{told:?}"
    );
    assert_eq!(gate.cloud(CloudKind::Aws).stats().seen, 1);
}

/// Four words of which two are cached; seven come back, and three of thinking.
const PRICED: &str = "one two cached-prompt think";

/// What that costs at each cloud, by hand, in dollars.
const COSTS: [(CloudKind, &str, f64); 4] = [
    // (2 × 0.40 + 2 × 0.10 + 10 × 1.60) / 1,000,000
    (CloudKind::Azure, "0.000017", 0.000_017),
    // 1.1 × (2 × 1.00 + 2 × 0.10 + 10 × 5.00) / 1,000,000: an EU profile
    (CloudKind::Aws, "0.00005742", 0.000_057_42),
    // (2 × 0.30 + 2 × 0.03 + 10 × 2.50) / 1,000,000
    (CloudKind::Google, "0.00002566", 0.000_025_66),
    (CloudKind::OpenAi, "0.000017", 0.000_017),
];

fn priced_models() -> String {
    let model = |kind: CloudKind| {
        let price = if kind == CloudKind::OpenAi { ", price = { model = \"gpt-4.1-mini\" }" } else { "" };
        let (name, target) = (name(kind), chat_target(kind));
        format!(
            "[models.{name}]\ntask = \"chat\"\ndeployments = [{{ provider = \"{name}\", target = \"{target}\"{price} }}]\n"
        )
    };
    KINDS.map(model).concat()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_costs_at_each_cloud_what_the_hand_reckons_whole_or_streamed() {
    let gate = Gate::new(&(key("k", "budget_per_replica = { usd_per_day = 1 }") + &priced_models())).await;
    let mut all = 0.0;
    for (kind, text, cost) in COSTS {
        let model = name(kind);
        let told = gate.ask("k", &chat(model, PRICED, 100)).await;
        assert_eq!((told.status, told.header("x-aigate-cost-usd")), (200, text), "{kind:?}: {told:?}");
        let labels = format!("model=\"{model}\"");
        assert!(close(gate.metric("aigate_cost_usd_total", &[&labels]), cost), "{kind:?}");
        let told = gate.ask("k", &streamed(chat(model, PRICED, 100))).await;
        assert_eq!((told.status, told.header("x-aigate-cost-usd")), (200, ""), "{kind:?}: {told:?}");
        eventually("the stream's cost is told", || {
            close(gate.metric("aigate_cost_usd_total", &[&labels]), 2.0 * cost)
        })
        .await;
        let labels = format!("deployment=\"{model}/{}\"", chat_target(kind));
        assert!(close(gate.metric("aigate_deployment_cost_usd_total", &[&labels]), 2.0 * cost), "{kind:?}");
        all += 2.0 * cost;
    }
    assert!(close(gate.spent("key k"), all), "{} {all}", gate.spent("key k"));
    assert_eq!(gate.reserved("key k"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_tells_what_its_attempts_cost_and_why_that_is_not_known() {
    let quiet = "[defaults.retry]\nmax_retries = 0\n[defaults.timeouts]\nattempt = \"200ms\"\n";
    let model = r#"[models.m]
task = "chat"
deployments = [
  { provider = "azure", target = "gpt-4.1-mini" },
  { provider = "aws", target = "eu.anthropic.claude-haiku-4-5-20251001-v1:0" },
]
"#;
    let text = key("k", "budget_per_replica = { usd_per_day = 1 }") + quiet + model;
    let gate = Gate::new(&text).await;
    gate.cloud(CloudKind::Azure).set_fault(Some(Fault::ServerError { status: 500 }));
    gate.cloud(CloudKind::Aws).set_fault(Some(Fault::Hang));
    let told = gate.ask("k", &chat("m", "hi", 10)).await;
    assert_eq!(told.status, 503, "{told:?}");
    let attempts = &told.body["error"]["attempts"];
    assert_eq!(attempts[0]["cost_usd"], "0", "{told:?}");
    assert_eq!(attempts[1]["cost_usd"], Value::Null, "{told:?}");
    assert!(attempts[1]["why_no_cost"].as_str().unwrap().contains("may bill"), "{told:?}");
    assert_eq!(gate.reserved("key k"), 0.0);
    // An answer after a failure costs what the answer costs.
    gate.cloud(CloudKind::Aws).set_fault(None);
    let told = gate.ask("k", &chat("m", PRICED, 100)).await;
    assert_eq!((told.status, told.header("x-aigate-cost-usd")), (200, "0.00005742"), "{told:?}");
    assert_eq!(told.header("x-aigate-attempts"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_a_hedge_is_paid_what_was_expected_of_it() {
    let model = r#"[models.twice]
task = "embed"
hedge = { after = "20ms", max_extra = 1.0 }
deployments = [
  { provider = "azure", target = "text-embedding-3-small", price = { usd_per_request = 1 } },
  { provider = "openai", target = "text-embedding-3-small", price = { usd_per_request = 2 } },
]
"#;
    let gate = Gate::new(&(key("k", "budget_per_replica = { usd_per_day = 10 }") + model)).await;
    gate.cloud(CloudKind::Azure).set_fault(Some(Fault::SlowFirstByte(Duration::from_millis(500))));
    let body = json!({ "model": "twice", "input": "hi" });
    let told = Reply::of(gate.send("k", "/v1/embeddings", &body).await).await;
    assert_eq!((told.status, told.header("x-aigate-provider")), (200, "openai"), "{told:?}");
    assert_eq!(told.header("x-aigate-attempts"), "2", "{told:?}");
    eventually("both are paid", || gate.spent("key k") == 3.0).await;
    let cost = |deployment: &str, known: &str| {
        let labels = [format!("deployment=\"{deployment}/"), format!("known=\"{known}\"")];
        gate.metric("aigate_deployment_cost_usd_total", &[&labels[0], &labels[1]])
    };
    assert_eq!((cost("azure", "estimated"), cost("openai", "reported")), (1.0, 2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_leave_a_budget_as_it_was_and_who_leaves_pays_what_was_expected() {
    let options = Options { chunk_delay: Duration::from_millis(5), ..Options::default() };
    let price = "{ input_usd_per_mtok = 0, output_usd_per_mtok = 1000 }";
    let model = format!(
        "[defaults.retry]\nmax_retries = 0\n[models.m]\ntask = \"chat\"\ndeployments = [{{ provider = \"azure\", target = \"gpt-4.1-mini\", price = {price} }}]\n"
    );
    let text = key("k", "budget_per_replica = { usd_per_day = 10 }") + &model;
    let gate = Gate::with_options(&text, &options).await;
    let azure = gate.cloud(CloudKind::Azure);
    azure.set_fault(Some(Fault::ServerError { status: 500 }));
    assert_eq!(gate.ask("k", &chat("m", "hi", 1000)).await.status, 503);
    assert_eq!((gate.spent("key k"), gate.reserved("key k")), (0.0, 0.0));
    // A stream that is left after its first chunk.
    azure.set_fault(None);
    let mut left = gate.open("k", &streamed(chat("m", &"word ".repeat(300), 1000))).await;
    assert!(left.chunk().await.unwrap().is_some());
    assert_eq!((gate.spent("key k"), gate.reserved("key k")), (0.0, 1.0));
    drop(left);
    eventually("the call has ended", || gate.reserved("key k") == 0.0).await;
    assert_eq!(gate.spent("key k"), 1.0);
    // A whole answer that nobody waits for.
    azure.set_fault(Some(Fault::Hang));
    let body = chat("m", "hi", 2000);
    tokio::select! {
        told = gate.ask("k", &body) => panic!("{told:?}"),
        () = eventually("the cloud has the call", || azure.stats().in_flight > 0) => {}
    }
    eventually("the call has ended", || gate.reserved("key k") == 0.0).await;
    assert_eq!(gate.spent("key k"), 3.0);
    // A stream that breaks: nobody knows what it cost.
    azure.set_fault(Some(Fault::CutMidStream { after_chunks: 3 }));
    let told = gate.ask("k", &streamed(chat("m", &"word ".repeat(300), 500))).await;
    assert_eq!(told.status, 200);
    eventually("the call has ended", || gate.reserved("key k") == 0.0).await;
    assert_eq!(gate.spent("key k"), 3.5);
}

async fn spent(program: &Program, client: &reqwest::Client) -> f64 {
    let text = metrics::fetch(client, program.operations).await;
    let labels = ["owner=\"key k\"", "period=\"month\"", "what=\"spent\""];
    assert!(text.contains("aigate_budget_usd{"), "{text}");
    metrics::sum(&text, "aigate_budget_usd", &labels)
}

/// The program's configuration: each call costs a dollar.
fn config(cloud: &Cloud, state: &StateFile, budget: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[operations]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
         [state]\nfile = \"{}\"\n[providers.azure]\nkind = \"azure\"\nendpoint = \"{}\"\napi_key = \"simulated-key\"\n",
        state.0.display(),
        cloud.url(),
    ) + &key("k", &format!("budget_per_replica = {{ usd_per_month = {budget} }}"))
        + &dollar("m")
}

async fn call(client: &reqwest::Client, address: SocketAddr, stream: bool) -> Result<String, reqwest::Error> {
    let mut body = chat("m", "hi", 10);
    body["stream"] = stream.into();
    let request = client
        .post(format!("http://{address}/v1/chat/completions"))
        .header("content-type", "application/json")
        .header("authorization", bearer("k"))
        .body(body.to_string());
    request.send().await?.error_for_status()?.text().await
}

const CALLERS: u64 = 8;
/// What a call has reserved is in the file some milliseconds later; on a machine that is too busy to run the thread that writes,
/// so much later at most.
const WRITTEN: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_outlives_kill_9_under_load_again_and_again() {
    // A hundred times, as `cargo xtask test` wants it: two programs at once.
    if std::env::var_os("AIGATE_TEST_LONG").is_some() {
        tokio::join!(outlives_kill_9(50, 50), outlives_kill_9(50, 50));
    } else {
        outlives_kill_9(25, 5).await;
    }
}

/// Kills and starts so many times. Where starts are slow fewer do, after half a minute, but for the least.
async fn outlives_kill_9(rounds: u64, least: u64) {
    let state = StateFile::new();
    let cloud = start(CloudKind::Azure, with_latency(60)).await.unwrap();
    let config = TempFile::new("budget.toml", &config(&cloud, &state, "1_000_000"));
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let mut program = Program::serve(&config.0);
    let mut before = spent(&program, &client).await;
    assert_eq!(before, 0.0);
    assert!(state.0.exists(), "the file is where the configuration says");
    let (mut all, began) = (0, Instant::now());
    for round in 0..rounds {
        if round >= least && began.elapsed() > Duration::from_secs(30) {
            break;
        }
        let (begun, ended) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let address = program.address;
        let caller = async |stream: bool| {
            loop {
                begun.fetch_add(1, Ordering::Relaxed);
                let at = Instant::now();
                if call(&client, address, stream).await.is_err() {
                    return;
                }
                ended.lock().unwrap().push(at);
            }
        };
        let kill = async {
            // Spread over the calls' time, never twice at the same moment of it.
            tokio::time::sleep(WRITTEN + Duration::from_millis(100 + (round * 137) % 400)).await;
            let at = Instant::now();
            program.signal("-KILL");
            at
        };
        let callers = join_all((0..CALLERS).map(|number| caller(number % 2 == 0)));
        let (_, killed) = tokio::join!(callers, kill);
        program = Program::serve(&config.0);
        let now = spent(&program, &client).await;
        let (begun, ended) = (begun.into_inner(), ended.into_inner().unwrap());
        let known = ended.iter().filter(|at| **at + WRITTEN <= killed).count();
        let (least, most) = (before + known as f64, before + begun as f64);
        assert!(least <= now && now <= most, "round {round}: {least} <= {now} <= {most}");
        before = now;
        all += known;
    }
    assert!(before > 0.0 && all > 20, "there was no load: {all} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_good_order_loses_no_call_and_the_log_tells_what_each_cost() {
    let state = StateFile::new();
    let cloud = start(CloudKind::Azure, with_latency(100)).await.unwrap();
    let config = TempFile::new("budget.toml", &config(&cloud, &state, "1_000_000"));
    let client = client();
    let mut so_far = 0.0;
    for _ in 0..3 {
        let program = Program::serve(&config.0);
        assert_eq!(spent(&program, &client).await, so_far);
        let seen = cloud.stats().seen;
        let calls = join_all((0..10).map(|count| call(&client, program.address, count % 2 == 0)));
        let stop = async {
            eventually("all are under way", || cloud.stats().seen == seen + 10).await;
            program.signal("-TERM");
        };
        let (answers, ()) = tokio::join!(calls, stop);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let mut program = program;
        let (status, lines) = program.ended();
        assert!(status.success());
        so_far += 10.0;
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &Value| line["message"] == "call")
            .collect();
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().all(|line| line["cost_usd"] == "1" && line["key"] == "k"), "{lines:?}");
    }
    assert_eq!(spent(&Program::serve(&config.0), &client).await, so_far);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_a_budget_s_amount_and_what_was_spent_stays_spent() {
    let state = StateFile::new();
    let cloud = start(CloudKind::Azure, Options::default()).await.unwrap();
    let file = TempFile::new("budget.toml", &config(&cloud, &state, "3"));
    let served = Program::serve(&file.0);
    let client = client();
    let refused = async || {
        let request = client
            .post(format!("http://{}/v1/chat/completions", served.address))
            .header("content-type", "application/json")
            .header("authorization", bearer("k"));
        let told = Reply::of(request.body(chat("m", "hi", 10).to_string()).send().await.unwrap()).await;
        (told.status == 429).then(|| told.message().to_owned())
    };
    for _ in 0..3 {
        assert_eq!(refused().await, None);
    }
    let message = refused().await.unwrap();
    assert!(message.contains("key k: budget of 3 USD a month is spent"), "{message}");
    std::fs::write(&file.0, config(&cloud, &state, "5")).unwrap();
    served.signal("-HUP");
    let begun = Instant::now();
    while refused().await.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the new budget does not come into force");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refused().await, None);
    let message = refused().await.unwrap();
    assert!(message.contains("key k: budget of 5 USD a month is spent"), "{message}");
    assert_eq!(spent(&served, &client).await, 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_is_called_like_a_key_has_a_budget_of_its_own() {
    let budget = "budget_per_replica = { usd_per_day = 2 }";
    let text =
        key("a", &format!("labels = {{ key = \"a\" }}\n{budget}")) + &format!("[labels.key.a]\n{budget}\n");
    let gate = Gate::new(&(text + &dollar("m"))).await;
    for _ in 0..2 {
        let told = gate.ask("a", &chat("m", "hi", 10)).await;
        assert_eq!(told.status, 200, "{told:?}");
    }
}

#[test]
fn a_price_in_a_unit_that_no_call_of_the_task_consumes_is_refused_where_money_counts() {
    let provider = "[providers.azure]\nkind = \"azure\"\nendpoint = \"https://a.example\"\napi_key = \"k\"\n";
    for (task, price) in
        [("chat", "usd_per_row = 1"), ("chat", "usd_per_page = 1"), ("embed", "usd_per_image = 1")]
    {
        let model = format!(
            "[models.m]\ntask = \"{task}\"\ndeployments = [{{ provider = \"azure\", target = \"x\", price = {{ {price} }} }}]\n"
        );
        let text = listeners("") + provider + &key("k", "budget_per_replica = { usd_per_day = 1 }") + &model;
        let said = report(&load(&Source::Text(text)).and_then(check).err().unwrap_or_default());
        assert!(said.contains("models.m.deployments[0].price"), "{price}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheapest_deployment_by_the_price_of_its_tokens_is_asked_first() {
    let model = r#"[models.m]
task = "chat"
strategy = "cheapest"
deployments = [
  { provider = "azure", target = "gpt-4.1-mini", price = { input_usd_per_mtok = 10, output_usd_per_mtok = 20 } },
  { provider = "openai", target = "gpt-4.1-mini", price = { input_usd_per_mtok = 1, output_usd_per_mtok = 2 } },
]
"#;
    let gate = Gate::new(&(key("k", "") + model)).await;
    let told = gate.ask("k", &chat("m", "hi", 10)).await;
    assert_eq!((told.status, told.header("x-aigate-provider")), (200, "openai"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dearer_service_tier_costs_is_not_known_and_not_reckoned_at_the_usual_price() {
    let model = "[models.m]\ntask = \"chat\"\ndeployments = [{ provider = \"openai\", target = \"gpt-4.1-mini\", price = { usd_per_request = 1 } }]\n";
    let gate = Gate::new(&(key("k", "") + model)).await;
    for (tier, cost) in [("default", "1"), ("priority", "")] {
        let mut body = chat("m", "hi", 10);
        body["service_tier"] = tier.into();
        let told = gate.ask("k", &body).await;
        assert_eq!((told.status, told.header("x-aigate-cost-usd")), (200, cost), "{told:?}");
    }
}
