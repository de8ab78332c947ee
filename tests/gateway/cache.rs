//! Answers that are kept: which, for how long, what they cost, what is said of them, and that equal calls are made once.

use std::{collections::HashSet, sync::Mutex, time::Duration};

use aigate::config::{Plan, Source, check, load, report};
use aigate_sim::{CloudKind, Fault, Latency, Options};
use serde_json::{Value, json};
use tokio::{
    runtime::{Handle, Id},
    task::JoinSet,
};

use crate::harness::{
    House, Reply, TempFile, bearer, client, events, eventually, key, listeners, metrics, predict_providers,
    providers, secret, user_credentials,
};

/// A deployment that the tests' models have: Azure, unless they say otherwise.
pub(crate) const AZURE: &str = r#"{ provider = "azure", target = "gpt-4.1-mini" }"#;

/// A chat model that keeps its answers.
pub(crate) fn kept(name: &str, deployments: &str, cache: &str) -> String {
    format!(
        "[models.{name}]\ntask = \"chat\"\ndeployments = [{deployments}]\n[models.{name}.cache]\n{cache}\n"
    )
}

/// The model `kept` at Azure.
pub(crate) fn usual() -> String {
    kept("kept", AZURE, "ttl = \"10m\"")
}

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// One for each test: it takes long to make.
fn kept_client() -> reqwest::Client {
    static KNOWN: Mutex<Vec<(Id, reqwest::Client)>> = Mutex::new(Vec::new());
    let here = Handle::current().id();
    let mut known = KNOWN.lock().unwrap();
    if let Some((_, client)) = known.iter().find(|(test, _)| *test == here) {
        return client.clone();
    }
    let client = client();
    known.push((here, client.clone()));
    client
}

/// Posts a body as it is.
pub(crate) async fn send(url: String, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Reply {
    let mut request = kept_client().post(url).body(body);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::of(request.send().await.unwrap()).await
}

/// A deterministic chat.
pub(crate) fn question(model: &str, text: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }], "temperature": 0 })
}

pub(crate) fn streamed(mut question: Value) -> Value {
    question["stream"] = json!(true);
    question
}

async fn chat(house: &House, body: &Value) -> Reply {
    send(house.url(CHAT), &[], body.to_string()).await
}

async fn chat_with(house: &House, headers: &[(&str, &str)], body: &Value) -> Reply {
    send(house.url(CHAT), headers, body.to_string()).await
}

/// How often a cloud was asked.
pub(crate) fn asked(house: &House, kind: CloudKind) -> u64 {
    house.cloud(kind).stats().seen
}

/// The value of a metric, by its name with its labels; 0 if there is none.
pub(crate) fn metric(house: &House, line: &str) -> f64 {
    metrics::value(&house.running.gateway.metrics_text().unwrap(), line).unwrap_or(0.0)
}

fn told(house: &House, status: &str) -> f64 {
    metric(house, &format!("aigate_cache_total{{model=\"kept\",status=\"{status}\"}}"))
}

/// A plan for the clouds of a house, without the usual models.
pub(crate) fn plan(house: &House, more: &str) -> (Plan, TempFile) {
    let credentials = user_credentials();
    let text = listeners(more)
        + &providers(&house.clouds, &credentials.0)
        + &predict_providers(&house.clouds)
        + more;
    let plan =
        load(&Source::Text(text)).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
    (plan, credentials)
}

fn slow(median: u64) -> Options {
    Options { latency: Latency { median: Duration::from_millis(median), sigma: 0.0 }, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_request_gets_the_kept_answer_which_says_what_it_is_how_old_and_that_it_cost_nothing() {
    let house = House::new(&usual()).await;
    let first = chat(&house, &question("kept", "hello")).await;
    assert_eq!((first.cache(), first.header("age")), ("miss", ""));
    assert!(first.header("x-aigate-cost-usd").parse::<f64>().unwrap() > 0.0, "{:?}", first.headers);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // Neither the fields' order nor white space makes it another request.
    let same = "{ \"temperature\" : 0,\n\"messages\":[ {\"content\":\"hell\\u006f\", \"role\":\"user\"}],\"model\":\"kept\" }";
    for body in [question("kept", "hello").to_string(), same.to_owned()] {
        let again = send(house.url(CHAT), &[], body).await;
        assert_eq!((again.cache(), again.header("x-aigate-cost-usd")), ("hit", "0"), "{:?}", again.headers);
        assert!(again.header("age").parse::<u64>().unwrap() >= 1);
        assert_eq!(again.header("x-aigate-attempts"), "0");
        assert_eq!(again.header("x-aigate-deployment"), "azure/gpt-4.1-mini");
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"), "the call's id is its own");
        assert_eq!(again.text, first.text);
    }
    assert_eq!(asked(&house, CloudKind::Azure), 1);
    // Whatever may change the answer does.
    let mut others = [("seed", json!(1)), ("user", json!("u")), ("metadata", json!({"a": "b"}))]
        .map(|(name, value)| {
            let mut body = question("kept", "hello");
            body[name] = value;
            body
        })
        .to_vec();
    others.push(question("kept", "hello "));
    others.push(question("kept", "Hello"));
    for (count, other) in others.iter().enumerate() {
        assert_eq!(chat(&house, other).await.cache(), "miss", "{other}");
        assert_eq!(asked(&house, CloudKind::Azure), count as u64 + 2);
    }
    assert_eq!((told(&house, "hit"), told(&house, "miss")), (2.0, 6.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_drawn_by_chance_is_kept_only_where_the_model_or_the_caller_says_so() {
    let more = usual() + &kept("sampled", AZURE, "ttl = \"10m\"\nsampled = true");
    let house = House::new(&more).await;
    let with = |model: &str, name: &str, value: Value| {
        let mut body = question(model, "hello");
        body[name] = value;
        body
    };
    let warm = with("kept", "temperature", json!(0.7));
    let mut without = question("kept", "hello");
    without.as_object_mut().unwrap().remove("temperature");
    for body in [&warm, &without, &with("kept", "n", json!(2))] {
        for _ in 0..2 {
            assert_eq!(chat(&house, body).await.cache(), "bypass", "{body}");
        }
    }
    assert_eq!(asked(&house, CloudKind::Azure), 6);
    let one = [("x-aigate-cache", "use")];
    assert_eq!(chat_with(&house, &one, &warm).await.cache(), "miss");
    assert_eq!(chat_with(&house, &one, &warm).await.cache(), "hit");
    assert_eq!(chat(&house, &warm).await.cache(), "bypass", "another caller did not say so");
    assert_eq!(chat(&house, &with("sampled", "temperature", json!(1))).await.cache(), "miss");
    assert_eq!(chat(&house, &with("sampled", "temperature", json!(1))).await.cache(), "hit");
    assert_eq!(asked(&house, CloudKind::Azure), 9);

    let wrong = chat_with(&house, &[("x-aigate-cache", "yes")], &warm).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text.contains("`use` or `bypass`"), "{}", wrong.text);
    assert!(!chat(&house, &question("azure", "hello")).await.headers.contains_key("x-aigate-cache"));
    let listed = house.client.get(house.url("/v1/models")).send().await.unwrap();
    assert!(!listed.headers().contains_key("x-aigate-cache"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_control_is_obeyed() {
    let house = House::new(&usual()).await;
    for stream in [false, true] {
        let mut body = question("kept", &format!("hello {stream}"));
        body["stream"] = json!(stream);
        let ask = async |header: &'static str, value: &'static str| {
            chat_with(&house, &[(header, value)], &body).await
        };
        let before = asked(&house, CloudKind::Azure);
        // Not kept, not asked.
        for (header, value) in [
            ("cache-control", "no-store"),
            ("cache-control", "private, NO-STORE"),
            ("x-aigate-cache", "bypass"),
        ] {
            assert_eq!(ask(header, value).await.cache(), "bypass");
        }
        assert_eq!(asked(&house, CloudKind::Azure), before + 3);
        let first = chat(&house, &body).await;
        assert_eq!(first.cache(), "miss", "what came under no-store was not kept");
        // Fresh, and kept instead of the one before.
        let mut last = first.id();
        for value in ["no-cache", "max-age=0", "Max-Age=0, No-Cache"] {
            let fresh = ask("cache-control", value).await;
            assert_eq!(fresh.cache(), "miss", "{value}");
            assert_ne!(fresh.id(), last);
            last = fresh.id();
            let again = chat(&house, &body).await;
            assert_eq!((again.cache(), again.id()), ("hit", last.clone()), "{value}");
        }
        // Passes by, and leaves what is kept.
        assert_ne!(ask("cache-control", "no-store").await.id(), last);
        assert_eq!(chat(&house, &body).await.id(), last);
        assert_eq!(asked(&house, CloudKind::Azure), before + 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_uses_up_no_limit_and_no_budget() {
    let folder = tempfile::tempdir().unwrap();
    let allowance = "limits_per_replica = { requests = \"3/h\", tokens = \"10_000/h\" }\n\
                     budget_per_replica = { usd_per_day = 5 }";
    let state = format!("[state]\nfile = \"{}\"\n", folder.path().join("s.sqlite").display());
    let house = House::new("").await;
    // The usual models are not all of known price.
    let (plan, _credentials) = plan(&house, &(usual() + &key("team", allowance) + &state));
    house.running.gateway.change_to(&plan).unwrap();
    let bearer = bearer("team");
    let ask = async |text: &str, stream: bool| {
        let mut body = question("kept", text);
        body["stream"] = json!(stream);
        chat_with(&house, &[("authorization", &bearer)], &body).await
    };
    let spent = || {
        let text = house.running.gateway.metrics_text().unwrap();
        let money = ["aigate_budget_usd", "aigate_key_cost_usd", "aigate_cost_usd"];
        text.lines()
            .filter(|line| money.iter().any(|name| line.starts_with(name)))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let first = ask("hello", false).await;
    assert_eq!(first.cache(), "miss");
    let left: u64 = first.header("x-ratelimit-remaining-tokens").parse().unwrap();
    let before = spent();
    assert!(before.contains("aigate_budget_usd") && before.contains("team"), "{before}");
    for stream in [false, true, false, true, false, true] {
        let again = ask("hello", stream).await;
        assert_eq!((again.status, again.cache()), (200, "hit"));
        assert_eq!(again.header("x-aigate-cost-usd"), "0");
        assert!(!again.headers.contains_key("x-ratelimit-limit-requests"), "no limit was asked");
    }
    assert_eq!(spent(), before);
    assert!(metric(&house, "aigate_key_cost_usd_total{key=\"team\"}") > 0.0, "{before}");
    // Three requests an hour: only what was made has been counted.
    let second = ask("hallo", false).await;
    assert_eq!(second.cache(), "miss");
    let now: u64 = second.header("x-ratelimit-remaining-tokens").parse().unwrap();
    assert!(now.abs_diff(left) < 100, "{left} {now}");
    assert_eq!(second.header("x-ratelimit-remaining-requests"), "1");
    assert_eq!(ask("salut", false).await.status, 200);
    assert_eq!(ask("ciao", false).await.status, 429);
    assert_eq!(ask("hello", false).await.cache(), "hit", "who is over the limit still gets what is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_calls_at_once_cost_one() {
    let house = House::with_options(&usual(), &slow(400)).await;
    for stream in [false, true] {
        let mut body = question("kept", &format!("hello {stream}"));
        body["stream"] = json!(stream);
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            calls.spawn(send(house.url(CHAT), &[], body.to_string()));
        }
        let replies = calls.join_all().await;
        let ids: HashSet<String> = replies.iter().map(Reply::id).collect();
        assert_eq!(ids.len(), 1);
        assert!(replies.iter().all(|reply| reply.said() == format!("SIM azure heard: hello {stream}")));
        let count = |status: &str| replies.iter().filter(|reply| reply.cache() == status).count();
        assert_eq!((count("miss"), count("coalesced") + count("hit")), (1, 99));
        assert!(count("coalesced") > 0);
        for reply in replies.iter().filter(|reply| reply.cache() == "coalesced") {
            assert_eq!(reply.header("x-aigate-cost-usd"), "0");
            assert_eq!((reply.header("x-aigate-attempts"), reply.header("age")), ("0", ""));
            assert_eq!(reply.header("x-aigate-deployment"), "azure/gpt-4.1-mini");
        }
    }
    assert_eq!(asked(&house, CloudKind::Azure), 2);
    assert!(told(&house, "coalesced") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn equal_calls_cost_one_also_where_the_answer_comes_while_the_last_of_them_look() {
    let house = House::new(&usual()).await;
    for round in 0..150 {
        let mut body = question("kept", &format!("round {round}"));
        body["stream"] = json!(round % 2 == 0);
        let mut calls = JoinSet::new();
        for _ in 0..16 {
            let request = house.client.post(house.url(CHAT)).header("content-type", "application/json");
            let request = request.body(body.to_string());
            calls.spawn(async move { request.send().await.unwrap().text().await.unwrap() });
        }
        calls.join_all().await;
        assert_eq!(asked(&house, CloudKind::Azure), round + 1, "round {round}");
    }
}

/// On one thread: when a call is counted as under way, it has joined those that are equal.
#[tokio::test]
async fn the_first_caller_may_leave_while_others_wait_and_when_all_have_left_the_call_is_given_up() {
    for stream in [false, true] {
        let house = House::new(&usual()).await;
        let cloud = house.cloud(CloudKind::Azure);
        cloud.set_fault_times(Fault::SlowFirstByte(Duration::from_millis(1500)), 1);
        let mut body = question("kept", "hello");
        body["stream"] = json!(stream);
        let leader = tokio::spawn(send(house.url(CHAT), &[], body.to_string()));
        eventually("the cloud is asked", || cloud.stats().in_flight == 1).await;
        let follower = tokio::spawn(send(house.url(CHAT), &[], body.to_string()));
        eventually("both wait", || metric(&house, "aigate_calls_in_flight") == 2.0).await;
        leader.abort();
        eventually("one has left", || metric(&house, "aigate_calls_in_flight") == 1.0).await;
        let reply = follower.await.unwrap();
        assert_eq!((reply.cache(), reply.said().as_str()), ("coalesced", "SIM azure heard: hello"));
        assert_eq!(chat(&house, &body).await.id(), reply.id(), "it was kept");
        assert_eq!(cloud.stats().seen, 1);

        cloud.set_fault(Some(Fault::SlowFirstByte(Duration::from_secs(30))));
        let mut body = question("kept", "adieu");
        body["stream"] = json!(stream);
        let calls: Vec<_> =
            (0..3).map(|_| tokio::spawn(send(house.url(CHAT), &[], body.to_string()))).collect();
        eventually("all wait", || {
            metric(&house, "aigate_calls_in_flight") == 3.0 && cloud.stats().in_flight == 1
        })
        .await;
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        eventually("it is given up", || {
            let stats = cloud.stats();
            let left = stats.abandoned_before_head + stats.abandoned_before_first_chunk;
            (stats.in_flight, left) == (0, 1)
        })
        .await;
        cloud.set_fault(None);
        assert_eq!(chat(&house, &body).await.cache(), "miss", "the next one is made anew");
        assert_eq!(cloud.stats().seen, 3);
    }
}

/// On one thread, as above.
#[tokio::test]
async fn a_call_that_others_wait_for_is_paid_for_though_its_first_caller_has_left() {
    let house = House::new(&(usual() + &key("team", ""))).await;
    let cloud = house.cloud(CloudKind::Azure);
    cloud.set_fault_times(Fault::SlowFirstByte(Duration::from_millis(1500)), 1);
    let begin = || {
        let (url, secret) = (house.url(CHAT), secret("team"));
        tokio::spawn(async move {
            send(url, &[("x-api-key", &secret)], question("kept", "hello").to_string()).await
        })
    };
    let leader = begin();
    eventually("the cloud is asked", || cloud.stats().in_flight == 1).await;
    let follower = begin();
    eventually("both wait", || metric(&house, "aigate_calls_in_flight") == 2.0).await;
    leader.abort();
    assert_eq!(follower.await.unwrap().cache(), "coalesced");
    eventually("both have ended", || metric(&house, "aigate_calls_in_flight") == 0.0).await;
    let paid = metric(
        &house,
        "aigate_deployment_cost_usd_total{deployment=\"azure/gpt-4.1-mini\",known=\"reported\"}",
    );
    assert!(paid > 0.0, "{}", house.running.gateway.metrics_text().unwrap());
    for line in
        ["aigate_cost_usd_total{model=\"kept\",task=\"chat\"}", "aigate_key_cost_usd_total{key=\"team\"}"]
    {
        assert_eq!(metric(&house, line), paid, "{line}");
    }
}

/// On one thread, as above.
#[tokio::test]
async fn whoever_leaves_in_the_middle_of_a_stream_cuts_off_nobody_else() {
    let house = House::new(&usual()).await;
    let words = "slowly ".to_owned() + &"word ".repeat(40);
    let body = streamed(question("kept", &words)).to_string();
    let request = || {
        let request = house.client.post(house.url(CHAT)).header("content-type", "application/json");
        request.body(body.clone()).send()
    };
    let mut first = request().await.unwrap();
    assert!(first.chunk().await.unwrap().is_some());
    let second = request().await.unwrap();
    assert_eq!(second.headers()["x-aigate-cache"], "coalesced");
    drop(first);
    let text = second.text().await.unwrap();
    let whole: String = events(&text)
        .chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert!(events(&text).done && whole.trim_end().ends_with("word"), "{text}");
    assert!(whole.starts_with("SIM azure heard: slowly word"), "who comes late sees it from its beginning");
    let stats = house.cloud(CloudKind::Azure).stats();
    assert_eq!((stats.seen, stats.abandoned_mid_stream), (1, 0));
    let again = send(house.url(CHAT), &[], body).await;
    assert_eq!((again.cache(), again.said()), ("hit", whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_not_kept_and_all_together_stay_within_their_bound() {
    let more = "[cache]\nmax_bytes = \"64KiB\"\nmax_entry_bytes = \"8KiB\"\n".to_owned() + &usual();
    let house = House::new(&more).await;
    for stream in [false, true] {
        let mut body = question("kept", &"word ".repeat(2_000));
        body["stream"] = json!(stream);
        for _ in 0..2 {
            assert_eq!(chat(&house, &body).await.cache(), "miss");
        }
    }
    for number in 0..200 {
        chat(&house, &question("kept", &format!("{number} {}", "word ".repeat(100)))).await;
    }
    let held = |what: &str| metric(&house, &format!("aigate_cache_holds{{what=\"{what}\"}}"));
    assert!(held("bytes") > 0.0 && held("bytes") <= 65_536.0, "{}", held("bytes"));
    assert!(held("evicted") > 0.0 && held("entries") < 100.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_answers_that_a_filter_cut_off_are_not_kept() {
    let house = House::new(&usual()).await;
    for stream in [false, true] {
        let ask = async |text: &str| {
            let mut body = question("kept", text);
            body["stream"] = json!(stream);
            chat(&house, &body).await
        };
        for text in ["filter-output please", "please\nfinish: content_filter", "please\nfinish: oddly"] {
            let before = asked(&house, CloudKind::Azure);
            for _ in 0..2 {
                let reply = ask(text).await;
                assert_eq!((reply.status, reply.cache()), (200, "miss"), "{text}: {}", reply.text);
            }
            assert_eq!(asked(&house, CloudKind::Azure), before + 2, "{text}");
        }
        for _ in 0..2 {
            assert_eq!(ask("filter-me").await.status, 400);
        }
        let cloud = house.cloud(CloudKind::Azure);
        cloud.set_fault(Some(Fault::ServerError { status: 500 }));
        let (failing, cut) = (format!("fail {stream}"), format!("one two three {stream}"));
        let failed = ask(&failing).await;
        assert_eq!((failed.status, failed.cache()), (503, "miss"));
        cloud.set_fault(Some(Fault::CutMidStream { after_chunks: 2 }));
        let _half = ask(&cut).await;
        cloud.set_fault(None);
        for text in [failing, cut] {
            assert_eq!(ask(&text).await.cache(), "miss", "{text}");
            assert_eq!(ask(&text).await.cache(), "hit", "{text}");
        }
    }
}
