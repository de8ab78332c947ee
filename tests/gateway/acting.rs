//! Keys of the configuration that no other test would miss: each acts, or its test fails. `every_key` names them.

#[path = "acting/providers.rs"]
mod providers;

pub(crate) use providers::proxy;

use std::{io::BufRead, net::SocketAddr, process::Stdio, time::Duration};

use aigate_sim::{CloudKind, Fault, Options};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{House, Program, TempFile, client, collector, listeners, program, within};

/// Nothing is tried twice and no circuit opens by itself.
const PLAIN: &str =
    "[defaults.retry]\nmax_retries = 0\n[defaults.breaker]\nfailures = 100000\nfailure_ratio = 1.0\n";

/// Where a policy's settings may stand: for all models, and for the one that is asked.
const PLACES: [&str; 2] = ["defaults", "models.azure"];

/// A model with a short limit and long other ones; it says how long it took to fail.
async fn fails_after(place: &str, limit: &str, fault: Option<Fault>, stream: bool) -> Duration {
    let other = match place {
        "defaults" => "models.azure",
        _ => "defaults",
    };
    let long: String = ["deadline", "attempt", "first_chunk", "idle"]
        .iter()
        .filter(|name| **name != limit)
        .map(|name| format!("{name} = \"30s\"\n"))
        .collect();
    // The one in question stands in one place; at a model it overrides the long default.
    let default = if place == "defaults" { String::new() } else { format!("{limit} = \"30s\"\n") };
    let more = format!("{PLAIN}[{place}.timeouts]\n{limit} = \"200ms\"\n[{other}.timeouts]\n{long}{default}");
    let options = Options { chunk_delay: Duration::from_secs(1), ..Options::default() };
    let house = House::with_options(&more, &options).await;
    house.cloud(CloudKind::Azure).set_fault(fault);
    let begun = Instant::now();
    let outcome = house.answer("azure", &"word ".repeat(30), stream).await;
    assert!(outcome.is_err(), "{limit}: {outcome:?}");
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_limit_ends_what_it_is_for_by_default_and_at_a_model() {
    let late = || Some(Fault::SlowFirstByte(Duration::from_secs(20)));
    for place in PLACES {
        for (limit, fault, stream) in [
            ("deadline", Some(Fault::Hang), false),
            ("attempt", Some(Fault::Hang), false),
            ("first_chunk", late(), true),
            // The cloud is silent for a second between two chunks.
            ("idle", None, true),
        ] {
            let took = fails_after(place, limit, fault, stream).await;
            assert!(took >= Duration::from_millis(150), "{place}.timeouts.{limit}: {took:?}");
            assert!(took < Duration::from_secs(10), "{place}.timeouts.{limit}: {took:?}");
        }
    }
}

/// How often the first cloud is asked for one call.
async fn asked(retry: &str, fault: Fault, model: &str) -> u64 {
    let quiet = "[defaults.breaker]\nfailures = 100000\nfailure_ratio = 1.0\n";
    let two = "[models.two]\ntask = \"chat\"\ndeployments = [{ provider = \"azure\", target = \"gpt-4.1-mini\" }, \
               { provider = \"openai\", target = \"gpt-4.1-mini\" }]\n";
    let house = House::new(&format!("{quiet}{retry}\n{two}")).await;
    let azure = house.cloud(CloudKind::Azure);
    azure.set_fault(Some(fault));
    house.ask(model, "hi", false).await;
    azure.stats().seen
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_as_many_and_wait_as_long_as_the_configuration_says() {
    let failing = || Fault::ServerError { status: 500 };
    let patient = || Fault::Throttled { retry_after: Some(Duration::from_millis(300)) };
    let calm = "base = \"1ms\"\nmax = \"1ms\"";
    for place in PLACES {
        for count in [0, 3] {
            let retry = format!("[{place}.retry]\nmax_retries = {count}\n{calm}");
            assert_eq!(asked(&retry, failing(), "azure").await, count + 1, "{place}.retry.max_retries");
        }
        // A provider that asks for more than `max` is not waited for.
        for (max, tries) in [("100ms", 1), ("5s", 2)] {
            let retry = format!("[{place}.retry]\nmax_retries = 1\nbase = \"1ms\"\nmax = \"{max}\"");
            assert_eq!(asked(&retry, patient(), "azure").await, tries, "{place}.retry.max = {max}");
        }
    }
    // Where there is another deployment, neither is one that asks for more than `base`.
    for (base, tries) in [("100ms", 1), ("400ms", 2)] {
        let retry = format!("[models.two.retry]\nmax_retries = 1\nbase = \"{base}\"\nmax = \"5s\"");
        assert_eq!(asked(&retry, patient(), "two").await, tries, "models.two.retry.base = {base}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_wait_before_a_retry_is_as_long_as_base_says() {
    for (base, low, high) in [("1ms", 0, 450), ("1s", 450, 10_000)] {
        let retry = format!("[models.azure.retry]\nmax_retries = 1\nbase = \"{base}\"\nmax = \"5s\"\n");
        let house = House::new(&retry).await;
        house.cloud(CloudKind::Azure).set_fault_times(Fault::ServerError { status: 500 }, 1);
        assert!(house.answer("azure", "warm", false).await.is_ok());
        house.cloud(CloudKind::Azure).set_fault_times(Fault::ServerError { status: 500 }, 1);
        let begun = Instant::now();
        assert!(house.answer("azure", "hi", false).await.is_ok());
        let took = begun.elapsed().as_millis();
        assert!((low..high).contains(&took), "{base}: {took} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_budget_of_nothing_leaves_ten_retries_a_second_and_a_whole_one_all() {
    for place in PLACES {
        for (budget, all) in [("0.0", false), ("1.0", true)] {
            let more = format!(
                "[defaults.breaker]\nfailures = 100000\nfailure_ratio = 1.0\n\
                 [{place}.retry]\nmax_retries = 1\nbase = \"1ms\"\nmax = \"1ms\"\nbudget = {budget}\n"
            );
            let house = House::new(&more).await;
            let azure = house.cloud(CloudKind::Azure);
            azure.set_fault_chance(Fault::ServerError { status: 500 }, 0.5);
            let calls = (0..400).map(|_| house.ask("azure", "hi", false));
            futures_util::future::join_all(calls).await;
            // About two hundred fail; the reserve is that of ten seconds.
            let retries = azure.stats().seen - 400;
            assert_eq!(retries > 150, all, "{place}.retry.budget = {budget}: {retries} retries");
        }
    }
}

/// Waits until the circuit of the azure deployment is as said: 0 closed, 1 may be probed, 2 open.
async fn circuit_becomes(house: &House, state: u8, within: Duration) -> bool {
    let line = format!("aigate_circuit{{deployment=\"azure/gpt-4.1-mini\"}} {state}");
    let begun = Instant::now();
    while begun.elapsed() < within {
        if house.running.gateway.metrics_text().unwrap().contains(&line) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_opens_after_as_many_failures_and_for_as_long_as_the_configuration_says() {
    let soon = Duration::from_millis(200);
    for place in PLACES {
        let house = |breaker: &str| {
            let more = format!("[defaults.retry]\nmax_retries = 0\n[{place}.breaker]\n{breaker}\n");
            async move { House::new(&more).await }
        };
        let fail = async |house: &House, count: usize| {
            house.cloud(CloudKind::Azure).set_fault(Some(Fault::ServerError { status: 500 }));
            for _ in 0..count {
                house.ask("azure", "hi", false).await;
            }
        };
        // After so many in a row, and not before; it stays open.
        let three = house("failures = 3\nopen = \"1m\"").await;
        fail(&three, 2).await;
        assert!(!circuit_becomes(&three, 2, soon).await, "{place}.breaker.failures");
        fail(&three, 1).await;
        assert!(circuit_becomes(&three, 2, soon).await, "{place}.breaker.failures");
        // After `open` it may be probed: the default takes 5 s, half of them with luck.
        let short = house("failures = 1\nopen = \"50ms\"").await;
        fail(&short, 1).await;
        assert!(circuit_becomes(&short, 1, Duration::from_secs(2)).await, "{place}.breaker.open");
        // A provider that wants a minute is not given it.
        let patient = house("failures = 1\nopen = \"50ms\"\nmax_open = \"100ms\"").await;
        let minute = Fault::Throttled { retry_after: Some(Duration::from_secs(60)) };
        patient.cloud(CloudKind::Azure).set_fault(Some(minute.clone()));
        patient.ask("azure", "hi", false).await;
        assert!(circuit_becomes(&patient, 0, Duration::from_secs(2)).await, "{place}.breaker.max_open");
        let obedient = house("failures = 1\nopen = \"50ms\"\nmax_open = \"5m\"").await;
        obedient.cloud(CloudKind::Azure).set_fault(Some(minute));
        obedient.ask("azure", "hi", false).await;
        assert!(!circuit_becomes(&obedient, 0, soon).await, "{place}.breaker.max_open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_opens_at_the_share_of_failures_that_the_configuration_says() {
    for place in PLACES {
        for (ratio, opens) in [("0.2", true), ("1.0", false)] {
            let more = format!(
                "[defaults.retry]\nmax_retries = 0\n\
                 [{place}.breaker]\nfailures = 1000\nfailure_ratio = {ratio}\nopen = \"1m\"\n"
            );
            let house = House::new(&more).await;
            // Every third call fails, the sixteenth among them: fewer than the default's half.
            for number in 0..16 {
                if number % 3 == 0 {
                    house.cloud(CloudKind::Azure).set_fault_times(Fault::ServerError { status: 500 }, 1);
                }
                house.ask("azure", "hi", false).await;
            }
            let opened = circuit_becomes(&house, 2, Duration::from_millis(200)).await;
            assert_eq!(opened, opens, "{place}.breaker.failure_ratio = {ratio}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_s_own_word_on_unsupported_fields_wins_over_its_model_s() {
    let target = "eu.anthropic.claude-haiku-4-5-20251001-v1:0";
    let more = format!(
        "[models.strict]\ntask = \"chat\"\non_unsupported = \"refuse\"\n\
         deployments = [{{ provider = \"aws\", target = \"{target}\", on_unsupported = \"drop\" }}]\n"
    );
    let house = House::new(&more).await;
    let body =
        json!({ "model": "strict", "logprobs": true, "messages": [{ "role": "user", "content": "hi" }] });
    let response = house.post("/v1/chat/completions", &body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-aigate-dropped"], "logprobs");
}

/// How many of so many embeddings, one after the other, the second cloud answers while the first is slow.
async fn hedged(calls: usize, hedge: &str) -> usize {
    let more = format!(
        "{PLAIN}[models.twice]\ntask = \"embed\"\nhedge = {{ {hedge} }}\ndeployments = [\n\
         {{ provider = \"azure\", target = \"text-embedding-3-small\" }},\n\
         {{ provider = \"openai\", target = \"text-embedding-3-small\" }},\n]\n"
    );
    let house = House::new(&more).await;
    house.cloud(CloudKind::Azure).set_fault(Some(Fault::SlowFirstByte(Duration::from_millis(500))));
    let body = json!({ "model": "twice", "input": "hi" });
    let mut second = 0;
    for _ in 0..calls {
        let answer = house.post("/v1/embeddings", &body).await;
        assert_eq!(answer.status(), 200);
        second += usize::from(answer.headers()["x-aigate-provider"] == "openai");
    }
    second
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_deployment_is_hedged_when_and_as_often_as_the_configuration_says() {
    assert_eq!(hedged(5, "after = \"20ms\", max_extra = 1.0").await, 5);
    assert_eq!(hedged(2, "after = \"50s\", max_extra = 1.0").await, 0, "not before its time");
    assert_eq!(hedged(10, "after = \"20ms\", max_extra = 0.2").await, 2, "one in five");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_of_a_file_of_one_s_own_win() {
    let own = TempFile::new(
        "prices.toml",
        "[[price]]\nkinds = [\"azure\"]\ntasks = [\"chat\"]\nmodels = [\"gpt-4.1-mini\"]\ninput_usd_per_mtok = 0.5\n\
         output_usd_per_mtok = 0.25\nas_of = \"2026-01-01\"\nsource = \"our contract\"\nconfidence = \"high\"\n",
    );
    let cost = async |more: &str| {
        let house = House::new(more).await;
        let response = house.ask("azure", "one two", false).await;
        response.headers()["x-aigate-cost-usd"].to_str().unwrap().to_owned()
    };
    let shipped = cost("").await;
    let ours = cost(&format!("[prices]\nfile = '{}'\n", own.0.display())).await;
    assert_ne!(ours, shipped);
    assert!(ours.parse::<f64>().unwrap() > 0.0, "{ours}");
}

/// A configuration for the program with one model `m` at a cloud of the house.
fn served(house: &House, more: &str) -> TempFile {
    let text = listeners(more)
        + more
        + &format!(
            "\n[providers.cloud]\nkind = \"azure\"\nendpoint = \"{}\"\napi_key = \"simulated-key\"\n\
             [models.m]\ntask = \"chat\"\ndeployments = [{{ provider = \"cloud\", target = \"gpt-4.1-mini\" }}]\n",
            house.cloud(CloudKind::Azure).url()
        );
    TempFile::new("acting.toml", &text)
}

async fn call(house: &House, address: SocketAddr) {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let request = house.client.post(format!("http://{address}/v1/chat/completions"));
    let request = request.header("content-type", "application/json").body(body.to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_form_and_the_lines_that_the_configuration_says() {
    let house = House::new("").await;
    for (log, calls) in [
        ("format = \"json\"", true),
        ("format = \"json\"\ncalls = false", false),
        ("format = \"json\"\nlevel = \"info,aigate::call=off\"", false),
    ] {
        let config = served(&house, &format!("[log]\n{log}\n"));
        let program = Program::serve(&config.0);
        call(&house, program.address).await;
        let lines = program.end();
        assert_eq!(lines.iter().any(|line| line.contains("\"message\":\"call\"")), calls, "{log}: {lines:?}");
    }
    let config = served(&house, "[log]\nformat = \"pretty\"\n");
    let mut child = program::serve(&config.0).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let stderr = child.stderr.take().unwrap();
    std::io::BufReader::new(stderr).read_line(&mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!first.is_empty() && serde_json::from_str::<Value>(&first).is_err(), "for people: {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_configured_share_of_the_calls_is_traced() {
    let house = House::new("").await;
    for (ratio, traced) in [("0.0", false), ("1.0", true)] {
        let (url, mut traces) = collector().await;
        let more = format!(
            "[log]\nformat = \"json\"\n[telemetry]\notlp_endpoint = \"{url}\"\nsample_ratio = {ratio}\n"
        );
        let config = served(&house, &more);
        let program = Program::serve(&config.0);
        for _ in 0..5 {
            call(&house, program.address).await;
        }
        // What is left is sent before it ends.
        program.end();
        assert_eq!(traces.try_recv().is_ok(), traced, "sample_ratio = {ratio}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_still_takes_calls_for_the_configured_delay_after_a_signal() {
    let house = House::new("").await;
    let more = "[server]\nlisten = \"127.0.0.1:0\"\nshutdown_delay = \"3s\"\n[log]\nformat = \"json\"\n";
    let config = served(&house, more);
    let program = Program::serve(&config.0);
    let (address, operations) = (program.address, program.operations);
    let begun = Instant::now();
    let ending = tokio::task::spawn_blocking(move || program.end());
    // Once it has ended nobody answers, which fails at once.
    let unready = async || {
        let ready = house.client.get(format!("http://{operations}/readyz")).send().await;
        ready.unwrap().status() == 503
    };
    within(Duration::from_secs(10), "readiness says no", unready).await;
    // A connection of its own: those that are open may go on anyway.
    let models = client().get(format!("http://{address}/v1/models")).send().await;
    assert_eq!(models.unwrap().status(), 200);
    ending.await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(3));
}

#[cfg(feature = "language")]
mod local {
    use super::*;
    use crate::harness::eventually;

    /// The program with a tiny model on this machine, named `tiny`.
    fn serve(settings: &str) -> (Program, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.gguf"), crate::tiny::model(512)).unwrap();
        let text = listeners("")
            + "[log]\nformat = \"json\"\n"
            + &format!(
                "[providers.house]\nkind = \"local\"\nfolder = '{}'\n{settings}\n[models.tiny]\n\
                 task = \"chat\"\ndeployments = [{{ provider = \"house\", target = \"tiny\" }}]\n",
                folder.path().display()
            );
        (Program::serve(&TempFile::new("local.toml", &text).0), folder)
    }

    async fn ask(program: &Program) {
        ask_for(&client(), program, 2).await;
    }

    async fn ask_for(client: &reqwest::Client, program: &Program, tokens: u32) {
        let messages = json!([{ "role": "user", "content": "hi" }]);
        let body = json!({ "model": "tiny", "max_tokens": tokens, "messages": messages });
        let request = client.post(format!("http://{}/v1/chat/completions", program.address));
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }

    fn says(line: &Value, words: &str) -> bool {
        line["message"].as_str().is_some_and(|text| text.contains(words))
    }

    #[test]
    fn a_model_on_this_machine_is_loaded_at_the_start_where_the_configuration_says_so() {
        let (program, _folder) = serve("load = \"start\"");
        // Nobody has asked for it.
        let line = program.line(|line| says(line, "loaded a model on this machine"));
        assert_eq!(line["model"], "tiny", "{line}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_idle_model_leaves_the_memory_after_the_configured_time() {
        let (program, _folder) = serve("unload_after = \"300ms\"");
        ask(&program).await;
        program.line(|line| says(line, "was idle: it is unloaded"));
        ask(&program).await;
    }

    /// How many threads of the program are called so.
    fn threads(program: &Program, called: &str) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
        };
        tasks.filter_map(name).filter(|name| name.starts_with(called)).count()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_of_a_model_has_the_configured_number_of_threads() {
        let (one, _folder) = serve("threads = 1");
        ask(&one).await;
        let (two, _folder) = serve("threads = 2");
        ask(&two).await;
        // A thread that has just begun has no name yet.
        let compute = |program| threads(program, "aigate-compute");
        eventually("another thread", || compute(&two) > compute(&one)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_model_on_this_machine_has_the_configured_number_of_workers_if_it_has_work_for_them() {
        for workers in [1, 3] {
            let (program, _folder) = serve(&format!("workers = {workers}\nqueue = 16"));
            let client = client();
            futures_util::future::join_all((0..16).map(|_| ask_for(&client, &program, 100))).await;
            let there = || threads(&program, "aigate-local");
            eventually("each worker is there", || there() == workers).await;
        }
    }
}
