//! Replicas that share limits, budgets, answers and trips in Redis: each gateway here is a process of its own.

#[path = "replicas/loss.rs"]
mod loss;
#[path = "replicas/world.rs"]
mod world;

use std::time::Duration;

use aigate_sim::Fault;
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::world::{Gate, Setting, Who, cloud, eventually};
use crate::harness::Redis;

/// So long that a busy machine does not look like a lost Redis.
const PATIENT: &str = "timeout = \"5s\"";

/// Asks both gateways, about 400 times a second together, for so long; how many calls were answered, and how many refused.
async fn drive(gates: &[Gate; 2], time: Duration) -> (u32, u32) {
    let start = Instant::now();
    let workers = (0..20).map(|worker| async move {
        let (mut passed, mut refused) = (0, 0);
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        while start.elapsed() < time {
            pace.tick().await;
            match gates[worker % 2].call().await {
                200 => passed += 1,
                429 => refused += 1,
                other => panic!("{other}"),
            }
        }
        (passed, refused)
    });
    let each = join_all(workers).await;
    each.into_iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("{name} is missing")).to_str().unwrap()
}

async fn error(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let text = |key: &str| body["error"][key].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn two_processes_keep_100_requests_a_second_together_within_two_percent() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let caller = "limits = { requests = \"100/s burst 100\" }";
    let setting = Setting::new(&cloud, &redis.url(), PATIENT, caller);
    let gates = Gate::two(&setting).await;
    let start = Instant::now();
    let (passed, refused) = drive(&gates, Duration::from_secs(7)).await;
    let seconds = start.elapsed().as_secs_f64();
    // The bucket was full when the first call came: that is the burst. It is so large that a busy machine wastes none of it.
    let rate = (f64::from(passed) - 100.0) / seconds;
    assert!((98.0..=102.0).contains(&rate), "{rate} a second: {passed} in {seconds} s, {refused} refused");
    assert!(refused > 100, "it was driven beyond the limit: {passed} {refused}");
    assert_eq!(u64::from(passed), cloud.stats().answered);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn headers_show_how_the_limit_stands_over_all_replicas_also_when_it_refuses() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let caller = "limits = { requests = \"10/d\", tokens = \"1000/d\" }";
    let gates = Gate::two(&Setting::new(&cloud, &redis.url(), PATIENT, caller)).await;
    for left in (0..10).rev() {
        let response = gates[left % 2].chat(Who::Caller, json!({ "max_tokens": 20 })).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "x-ratelimit-limit-requests"), "10");
        assert_eq!(header(&response, "x-ratelimit-remaining-requests"), left.to_string());
        let tokens: usize = header(&response, "x-ratelimit-remaining-tokens").parse().unwrap();
        assert!((1000 - (10 - left) * 30..1000 - 20).contains(&tokens), "{tokens} with {left} calls left");
    }
    for gate in &gates {
        let response = gate.chat(Who::Caller, json!({})).await;
        assert_eq!(header(&response, "x-ratelimit-remaining-requests"), "0");
        let wait: u64 = header(&response, "retry-after").parse().unwrap();
        assert!((8000..=8640).contains(&wait), "a tenth of a day: {wait}");
        let (status, code, message) = error(response).await;
        assert_eq!((status, &*code), (429, "rate_limit_exceeded"));
        assert!(message.contains("key caller"), "{message}");
        assert!(message.contains("all replicas"), "{message}");
    }
    assert_eq!(gates[0].chat(Who::Free, json!({})).await.status(), 200, "who has no limits is not bound");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn tokens_are_reserved_and_settled_over_both_processes() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let gates =
        Gate::two(&Setting::new(&cloud, &redis.url(), PATIENT, "limits = { tokens = \"1000/d\" }")).await;
    let most = json!({ "max_tokens": 900 });
    // While this one may still use 900, there is no room for another.
    let text = "slowly ".to_owned() + &"word ".repeat(80);
    let body =
        json!({ "max_tokens": 900, "stream": true, "messages": [{ "role": "user", "content": text }] });
    let mut stream = gates[0].chat(Who::Caller, body).await;
    assert!(stream.chunk().await.unwrap().is_some());
    assert_eq!(gates[1].chat(Who::Caller, most.clone()).await.status(), 429);
    stream.text().await.unwrap();
    // It used some eighty words' tokens twice: the rest is free again, at the other one too, once and then no more.
    eventually("what was not used is given back", async || {
        let answer = gates[1].chat(Who::Caller, json!({ "max_tokens": 800 })).await;
        answer.status() == 200
    })
    .await;
    for gate in &gates {
        eventually("the second one's rest is given back as well", async || {
            let refused = gate.chat(Who::Caller, most.clone()).await;
            let left: u64 = header(&refused, "x-ratelimit-remaining-tokens").parse().unwrap();
            assert_eq!(refused.status(), 429, "{left} are left, and 900 are wanted");
            assert!(left < 840, "{left}");
            left > 800
        })
        .await;
    }
}

/// For each owner of a limit or a budget: his section of the configuration, of the model `m` first, and what the refusal says.
const OWNERS: [(&str, &str, &str); 4] = [
    ("", "[labels.team.t]\nlimits = { requests = \"4/d\" }\n", "label team=t: requests 4/d"),
    ("", "[labels.team.t]\nbudget = { usd_per_day = 0.04 }\n", "label team=t: budget of 0.04 USD a day"),
    ("limits = { requests = \"4/d\" }\n", "", "model m: requests 4/d"),
    (
        "",
        "[models.shared]\ntask = \"chat\"\ndeployments = [{ provider = \"openai\", target = \"gpt-4.1\", \
         limits = { requests = \"4/d\" } }]\n",
        "deployment openai/gpt-4.1: requests 4/d",
    ),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn what_labels_models_and_deployments_may_use_is_kept_over_both_processes() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    for (number, (of_model, more, words)) in OWNERS.into_iter().enumerate() {
        let shared = format!("{PATIENT}\nprefix = \"p{number}\"");
        let setting = Setting::new(&cloud, &redis.url(), &shared, "labels = { team = \"t\" }");
        let gates = Gate::two(&setting.and(&(of_model.to_owned() + more))).await;
        let model = if more.contains("[models.shared]") { "shared" } else { "m" };
        let body = json!({ "model": model });
        for call in 0..4 {
            let answer = gates[call % 2].chat(Who::Caller, body.clone()).await;
            assert_eq!(answer.status(), 200, "{words}: call {call}");
            answer.bytes().await.unwrap();
        }
        for gate in &gates {
            let (status, _, message) = error(gate.chat(Who::Caller, body.clone()).await).await;
            assert_eq!(status, 429, "{words}");
            assert!(message.contains(words), "{words}: {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn places_are_shared_and_free_again_when_a_stream_is_left() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let gates = Gate::two(&Setting::new(&cloud, &redis.url(), PATIENT, "limits = { concurrency = 3 }")).await;
    let mut streams = Vec::new();
    for place in [0, 0, 1] {
        let mut stream = gates[place].stream().await;
        assert!(stream.chunk().await.unwrap().is_some());
        streams.push(stream);
    }
    for gate in &gates {
        let (status, code, message) = error(gate.chat(Who::Caller, json!({})).await).await;
        assert_eq!((status, &*code), (429, "rate_limit_exceeded"), "{message}");
    }
    drop(streams.remove(0));
    eventually("the place is free", async || gates[1].call().await == 200).await;
    drop(streams);
    let all = async || {
        let each = join_all([0, 0, 1].map(|place| gates[place].stream())).await;
        each.iter().all(|stream| stream.status() == 200)
    };
    eventually("all places are free", all).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_budget_is_spent_to_the_cent_by_parallel_callers_of_both_and_both_warn() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let gates =
        Gate::two(&Setting::new(&cloud, &redis.url(), PATIENT, "budget = { usd_per_day = 0.5 }")).await;
    let calls = (0..35).flat_map(|_| &gates).map(Gate::call);
    let passed = join_all(calls).await.iter().filter(|status| **status == 200).count();
    assert_eq!(passed, 50);
    for gate in &gates {
        let (status, code, _) = error(gate.chat(Who::Caller, json!({})).await).await;
        assert_eq!((status, &*code), (429, "insufficient_quota"));
    }
    assert_eq!(cloud.stats().answered, 50);

    // Each spends half: none of them would warn on its own account.
    let gates = Gate::two(&Setting::new(
        &cloud,
        &redis.url(),
        "timeout = \"5s\"\nprefix = \"b\"",
        "budget = { usd_per_day = 0.1 }",
    ))
    .await;
    let mut warned = Vec::new();
    for number in 0..10 {
        let response = gates[number % 2].chat(Who::Caller, json!({})).await;
        assert_eq!(response.status(), 200);
        warned.push(response.headers().contains_key("x-aigate-warning"));
        response.bytes().await.unwrap();
    }
    assert!(!warned[5] && warned[8] && warned[9], "{warned:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn an_answer_that_one_has_kept_is_given_by_the_other() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let cache = "[models.m.cache]\nttl = \"10m\"";
    let gates = Gate::two(&Setting::new(&cloud, &redis.url(), PATIENT, "").and(cache)).await;
    let mut body = Value::Null;
    let mut number = 0;
    // It is put there behind the answer's back, so the other may be too early: it makes the call then, as if nothing was shared.
    eventually("the other has it", async || {
        number += 1;
        let messages = json!([{ "role": "user", "content": format!("keep me {number}") }]);
        body = json!({ "temperature": 0, "messages": messages });
        let first = gates[0].chat(Who::Caller, body.clone()).await;
        assert_eq!(header(&first, "x-aigate-cache"), "miss");
        let first = first.text().await.unwrap();
        let again = gates[1].chat(Who::Caller, body.clone()).await;
        assert_eq!(header(&again, "x-aigate-deployment"), "openai/gpt-4.1-mini");
        let hit = header(&again, "x-aigate-cache") == "hit";
        assert_eq!(again.text().await.unwrap() == first, hit);
        hit
    })
    .await;
    let asked = cloud.stats().seen;
    let other = gates[1].chat(Who::Free, body.clone()).await;
    assert_eq!(header(&other, "x-aigate-cache"), "miss", "another key's answers are not shared");
    assert_eq!(cloud.stats().seen, asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_deployment_that_tripped_one_replica_is_left_alone_by_the_other_then_probed() {
    let (redis, bad, good) = (Redis::start(), cloud().await, cloud().await);
    let more = format!(
        r#"
[defaults.retry]
max_retries = 0
[defaults.breaker]
failures = 3
open = "2s"
[providers.good]
kind = "openai"
base_url = "{}/v1"
api_key = "simulated-key"
[models.both]
task = "chat"
deployments = [{{ provider = "openai", target = "gpt-4.1-mini" }}, {{ provider = "good", target = "gpt-4.1-mini" }}]
"#,
        good.url()
    );
    let gates = Gate::two(&Setting::new(&bad, &redis.url(), PATIENT, "").and(&more)).await;
    let ask = async |gate: &Gate| {
        let response = gate.chat(Who::Caller, json!({ "model": "both" })).await;
        assert_eq!(response.status(), 200);
        header(&response, "x-aigate-provider").to_owned()
    };
    let circuit = "aigate_circuit{deployment=\"openai/gpt-4.1-mini\"}";
    bad.set_fault(Some(Fault::ServerError { status: 500 }));
    for _ in 0..3 {
        assert_eq!(ask(&gates[0]).await, "good");
    }
    let tripped = Instant::now();
    gates[1].metric_is(circuit, 2.0).await;
    let seen = bad.stats().seen;
    assert_eq!(ask(&gates[1]).await, "good");
    assert!(bad.stats().seen == seen || tripped.elapsed() > Duration::from_secs(2), "it was asked");

    // It ends by itself: a trip that came back as one's own would go on for ever.
    bad.set_fault(None);
    for gate in &gates {
        gate.metric_is(circuit, 1.0).await;
        assert_eq!(ask(gate).await, "openai");
        gate.metric_is(circuit, 0.0).await;
    }

    // Patience is shared as well.
    bad.set_fault_times(Fault::Throttled { retry_after: Some(Duration::from_secs(3)) }, 1);
    assert_eq!(ask(&gates[1]).await, "good");
    gates[0].metric_is(circuit, 2.0).await;
    gates[0].metric_is(circuit, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn a_replica_that_stops_leaves_nothing_behind_that_the_others_miss() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let caller = "limits = { concurrency = 1 }\nbudget = { usd_per_day = 0.02 }";
    let setting = Setting::new(&cloud, &redis.url(), PATIENT, caller);
    let [mut first, second] = Gate::two(&setting).await;
    let words = "slowly ".to_owned() + &"word ".repeat(60);
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": words }] });
    let mut stream = first.chat(Who::Caller, body).await;
    assert!(stream.chunk().await.unwrap().is_some());
    first.terminate();
    assert!(stream.text().await.unwrap().ends_with("data: [DONE]\n\n"), "it may end");
    assert!(first.ended().await.success(), "{}", first.log());
    assert_eq!(second.call().await, 200, "its place is free at once");
    let (_, code, message) = error(second.chat(Who::Caller, json!({})).await).await;
    assert_eq!(code, "insufficient_quota", "two cents are spent: {message}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn sharing_is_changed_by_reloads_while_calls_go_on() {
    let (redis, cloud) = (Redis::start(), cloud().await);
    let strict = "on_loss = \"refuse\"\ntimeout = \"5s\"";
    let limited = "limits = { concurrency = 2 }";
    let on = Setting::new(&cloud, &redis.url(), strict, limited);
    let gates = Gate::two(&on).await;
    let mut stream = gates[0].stream().await;
    assert!(stream.chunk().await.unwrap().is_some());

    // Another prefix, another group: its places are free, and the first call after the reload does not fail.
    let other = Setting { shared: on.shared.clone() + "prefix = \"other\"\n", ..on.clone() };
    gates[0].reload(&other).await;
    assert_eq!(gates[0].call().await, 200);
    let mut second = gates[0].stream().await;
    assert!(second.chunk().await.unwrap().is_some());
    let third = gates[0].stream().await;
    assert_eq!(
        (third.status().as_u16(), gates[0].call().await),
        (429, 429),
        "this process has its own books"
    );

    // Off: what Redis would keep is refused, limits of each replica are not.
    let off = Setting {
        shared: String::new(),
        caller: "limits_per_replica = { concurrency = 9 }".to_owned(),
        ..on.clone()
    };
    gates[0].reload(&off).await;
    assert_eq!(gates[0].call().await, 200);

    // The first group still holds one place for the stream that began there, and gets it back when it is left.
    let rival = gates[1].stream().await;
    assert_eq!((rival.status().as_u16(), gates[1].call().await), (200, 429));
    drop(stream);
    eventually("the place of the old configuration is free", async || gates[1].call().await == 200).await;
    drop((second, rival));

    // On again.
    gates[0].reload(&on).await;
    let mut holds = Vec::new();
    for gate in &gates {
        let taken = async || {
            let stream = gate.stream().await;
            let taken = stream.status() == 200;
            holds.push(stream);
            taken
        };
        eventually("a place is free", taken).await;
    }
    assert_eq!((gates[0].call().await, gates[1].call().await), (429, 429));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn redis_over_tls_is_trusted_for_the_ca_file_of_the_configuration_and_not_without_it() {
    const UP: &str = "aigate_redis_up{what=\"limits\"}";
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let _redis = Redis::start_with(&[
        "--bind",
        "127.0.0.1",
        "--tls-port",
        &port,
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-auth-clients",
        "no",
    ]);
    let cloud = cloud().await;
    let with = |more: &str| {
        let shared = format!("{PATIENT}\non_loss = \"refuse\"\n{more}");
        let caller = "limits = { concurrency = 9 }";
        Setting::new(&cloud, &format!("rediss://localhost:{port}"), &shared, caller)
    };
    let trusting = with(&format!("ca_file = \"{cert}\""));
    let gate = Gate::start(&trusting).await;
    gate.metric_is(UP, 1.0).await;
    assert_eq!(gate.call().await, 200);
    // Only the file has changed: that is another connection.
    gate.reload(&with("")).await;
    gate.metric_is(UP, 0.0).await;
    assert_eq!(gate.call().await, 503);
    assert!(gate.log().contains("certificate"), "{}", gate.log());
    gate.reload(&trusting).await;
    gate.metric_is(UP, 1.0).await;
    assert_eq!(gate.call().await, 200);
}
