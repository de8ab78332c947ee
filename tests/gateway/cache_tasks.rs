//! Kept answers of every task and form: streams and whole answers share them, predictions and embeddings are told in each
//! caller's own form, stale ones help in an outage, and a changed model has none.

use std::time::Duration;

use aigate::running::Running;
use aigate_sim::{CloudKind, Fault, Latency, Options, start};
use serde_json::{Value, json};

use crate::{
    cache::{AZURE, CHAT, asked, kept, metric, plan, question, send, streamed, usual},
    harness::{House, KINDS, Program, Reply, TempFile, key, listeners, providers, secret, user_credentials},
};

async fn chat(house: &House, body: &Value) -> Reply {
    send(house.url(CHAT), &[], body.to_string()).await
}

fn tool_question(model: &str) -> Value {
    let mut body = question(model, "go\ncall: look({\"b\": 1, \"a\": \"ü\"})");
    body["tools"] =
        json!([{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }]);
    body
}

/// What every client of OpenAI relies on in a chunk.
fn is_a_chunk(chunk: &Value) {
    assert_eq!(chunk["object"], "chat.completion.chunk", "{chunk}");
    assert!(chunk["id"].is_string() && chunk["created"].is_u64() && chunk["model"].is_string(), "{chunk}");
    for choice in chunk["choices"].as_array().unwrap() {
        assert!(choice["index"].is_u64() && choice["delta"].is_object(), "{chunk}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_whole_answers_share_what_is_kept_and_each_is_told_in_its_own_form() {
    for kind in KINDS {
        let deployment = format!(
            r#"{{ provider = "{}", target = "{}" }}"#,
            kind.name(),
            crate::harness::chat_target(kind)
        );
        let house = House::new(&kept("kept", &deployment, "ttl = \"10m\"")).await;
        let said = format!("SIM {} heard: ", kind.name());
        for whole_first in [true, false] {
            let body = question("kept", &format!("hello you {whole_first}"));
            let (first, second) =
                if whole_first { (body.clone(), streamed(body)) } else { (streamed(body.clone()), body) };
            let before = asked(&house, kind);
            let one = chat(&house, &first).await;
            let other = chat(&house, &second).await;
            assert_eq!((one.cache(), other.cache()), ("miss", "hit"), "{kind:?} {whole_first}");
            assert_eq!((one.id(), one.said()), (other.id(), other.said()));
            assert_eq!(one.said(), format!("{said}hello you {whole_first}"));
            assert_eq!(asked(&house, kind), before + 1);

            let (whole, stream) = if whole_first { (one, other) } else { (other, one) };
            let whole = whole.body;
            assert_eq!(
                (&whole["object"], &whole["choices"][0]["finish_reason"]),
                (&json!("chat.completion"), &json!("stop"))
            );
            assert_eq!(whole["choices"][0]["message"]["role"], "assistant");
            assert!(whole["usage"]["total_tokens"].as_u64().unwrap() > 0, "{whole}");
            assert_eq!(stream.header("content-type"), "text/event-stream; charset=utf-8");
            let chunks = stream.chunks();
            assert!(
                chunks.iter().all(|chunk| chunk["usage"].is_null()),
                "usage was not asked for: {chunks:?}"
            );
            let finish: Vec<&Value> = chunks
                .iter()
                .filter_map(|chunk| chunk["choices"].get(0)?.get("finish_reason"))
                .filter(|reason| !reason.is_null())
                .collect();
            assert_eq!(finish, ["stop"]);

            // The usage is for who asks for it; the same answer is told with it.
            let mut with_usage = if whole_first { second } else { first };
            with_usage["stream_options"] = json!({ "include_usage": true });
            let with_usage = chat(&house, &with_usage).await;
            assert_eq!(with_usage.cache(), "hit");
            let chunks = with_usage.chunks();
            assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], whole["usage"]["total_tokens"]);
            assert_eq!(chunks.last().unwrap()["choices"], json!([]));
            if whole_first {
                chunks.iter().for_each(is_a_chunk);
                assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_calls_are_told_in_both_forms() {
    for kind in KINDS {
        let deployment = format!(
            r#"{{ provider = "{}", target = "{}" }}"#,
            kind.name(),
            crate::harness::chat_target(kind)
        );
        let more = kept("kept", &deployment, "ttl = \"10m\"") + &kept("other", &deployment, "ttl = \"10m\"");
        let house = House::new(&more).await;
        // `kept` is filled by a whole answer, `other` by a stream.
        let whole = chat(&house, &tool_question("kept")).await;
        let stream = chat(&house, &streamed(tool_question("kept"))).await;
        let live = chat(&house, &streamed(tool_question("other"))).await;
        let again = chat(&house, &tool_question("other")).await;
        let caches = [&whole, &stream, &live, &again].map(Reply::cache);
        assert_eq!(caches, ["miss", "hit", "miss", "hit"], "{kind:?}");
        for whole in [whole, again] {
            let message = whole.body["choices"][0]["message"].clone();
            assert_eq!(message["content"], Value::Null, "{message}");
            assert_eq!(message["tool_calls"][0]["type"], "function");
            assert_eq!(message["tool_calls"][0]["function"]["name"], "look");
            let arguments = message["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
            assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({ "b": 1, "a": "ü" }));
            assert_eq!(whole.body["choices"][0]["finish_reason"], "tool_calls");
        }
        for stream in [stream, live] {
            let chunks = stream.chunks();
            let calls: Vec<&Value> = chunks
                .iter()
                .filter_map(|chunk| chunk["choices"].get(0)?.pointer("/delta/tool_calls/0"))
                .collect();
            assert!(calls.iter().all(|call| call["index"] == 0), "{calls:?}");
            assert!(calls[0]["id"].is_string() && calls[0]["function"]["name"] == "look", "{calls:?}");
            let arguments: String =
                calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
            assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({ "b": 1, "a": "ü" }));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_are_kept() {
    let more = "[models.vectors]\ntask = \"embed\"\ndeployments = [{ provider = \"openai\", target = \"text-embedding-3-small\" }]\n\
                [models.vectors.cache]\nttl = \"10m\"\n";
    let house = House::new(more).await;
    let ask = async |body: Value| send(house.url("/v1/embeddings"), &[], body.to_string()).await;
    let plain = json!({ "model": "vectors", "input": "hello" });
    let first = ask(plain.clone()).await;
    let again = ask(plain).await;
    assert_eq!((first.cache(), again.cache(), &first.text), ("miss", "hit", &again.text));
    assert_eq!(again.header("x-aigate-cost-usd"), "0");
    for (count, other) in [
        json!({ "model": "vectors", "input": ["hello"] }),
        json!({ "model": "vectors", "input": "hello", "encoding_format": "base64" }),
        json!({ "model": "vectors", "input": "hello", "dimensions": 8 }),
        json!({ "model": "vectors", "input": "hello", "user": "u" }),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(ask(other.clone()).await.cache(), "miss", "{other}");
        let again = ask(other.clone()).await;
        assert_eq!(again.cache(), "hit", "{other}");
        assert_eq!(again.body["data"][0]["embedding"].is_string(), other.get("encoding_format").is_some());
        assert_eq!(asked(&house, CloudKind::OpenAi), count as u64 + 2);
    }
}

/// A predict model at SageMaker, on this machine, or at both.
fn credit(name: &str, deployments: &str, more: &str) -> String {
    let signature = crate::predict::signature();
    format!("[models.{name}]\ntask = \"predict\"\n{signature}deployments = [{deployments}]\n{more}\n")
}

fn form(name: &str) -> &'static str {
    crate::predict::FORMS.iter().find(|(known, _)| *known == name).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_are_kept_where_the_config_says_so_and_carry_each_caller_s_own_id() {
    let cache = "cache = { ttl = \"10m\" }";
    let more = credit("cached", form("credit-sagemaker-csv"), cache)
        + &credit("plain", form("credit-sagemaker-csv"), "")
        + &format!("[models.here]\ntask = \"predict\"\ndeployments = [{}]\n{cache}\n", form("credit-local"));
    let house = House::with_options(&more, &crate::predict::options()).await;
    let ask = async |model: &str, body: &Value| {
        send(house.url(&format!("/v2/models/{model}/infer")), &[], body.to_string()).await
    };
    let mut body = aigate_local::sample_request().unwrap();
    for _ in 0..2 {
        assert_eq!(
            ask("plain", &body).await.header("x-aigate-cache"),
            "",
            "predictions are kept on demand only"
        );
    }
    assert_eq!(asked(&house, CloudKind::Aws), 2);
    body["id"] = json!("first");
    let first = ask("cached", &body).await;
    body["id"] = json!("second");
    let second = ask("cached", &body).await;
    body.as_object_mut().unwrap().remove("id");
    let third = ask("cached", &body).await;
    assert_eq!([first.cache(), second.cache(), third.cache()], ["miss", "hit", "hit"]);
    assert_eq!((&first.body["id"], &second.body["id"]), (&json!("first"), &json!("second")));
    assert_eq!(third.body.get("id"), None);
    assert_eq!(first.body["outputs"], second.body["outputs"]);
    assert_eq!(second.body["parameters"], first.body["parameters"]);
    assert_eq!((second.header("x-aigate-model-version"), &second.body["model_version"]), ("3", &json!("3")));
    assert_eq!(asked(&house, CloudKind::Aws), 3);
    // A named version has answers of its own; another row has, too.
    let path = house.url("/v2/models/cached/versions/3/infer");
    assert_eq!(send(path, &[], body.to_string()).await.cache(), "miss");
    let number =
        body["inputs"].as_array().unwrap().iter().position(|input| input["datatype"] == "INT64").unwrap();
    body["inputs"][number]["data"] = json!([body["inputs"][number]["data"][0].as_i64().unwrap() + 1]);
    assert_eq!(ask("cached", &body).await.cache(), "miss");
    assert_eq!(asked(&house, CloudKind::Aws), 5);

    // Who wants other outputs, or the same in another order or form, gets those.
    let wishes = [
        json!([{ "name": "score" }]),
        json!([{ "name": "label" }]),
        json!([{ "name": "score" }, { "name": "label" }]),
        json!([{ "name": "label" }, { "name": "score" }]),
        json!([{ "name": "score", "parameters": { "binary_data": true } }]),
    ];
    let mut body = aigate_local::sample_request().unwrap();
    for round in ["miss", "hit"] {
        for wish in &wishes {
            body["outputs"] = wish.clone();
            body["id"] = json!(round);
            let reply = ask("here", &body).await;
            assert_eq!((reply.status, reply.cache()), (200, round), "{wish}: {}", reply.text);
            let binary = reply.header("inference-header-content-length");
            assert_eq!(binary.is_empty(), wish[0]["parameters"].is_null(), "{wish}");
            let text = if binary.is_empty() { &*reply.text } else { &reply.text[..binary.parse().unwrap()] };
            let told: Value = serde_json::from_str(text).unwrap();
            let names = |list: &Value| -> Vec<Value> {
                list.as_array().unwrap().iter().map(|one| one["name"].clone()).collect()
            };
            assert_eq!(names(&told["outputs"]), names(wish));
            assert_eq!(told["id"], round);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_a_model_that_stands_in_is_not_kept() {
    let deployments = [form("credit-azureml"), form("credit-local")].join(", ");
    let more = credit("credit", &deployments, "failover = \"any_version\"\ncache = { ttl = \"10m\" }\n");
    let more = "[defaults.retry]\nmax_retries = 0\n".to_owned() + &more;
    let house = House::with_options(&more, &crate::predict::options()).await;
    let body = aigate_local::sample_request().unwrap().to_string();
    let ask = async || send(house.url("/v2/models/credit/infer"), &[], body.clone()).await;
    house.cloud(CloudKind::Azure).set_fault(Some(Fault::ServerError { status: 500 }));
    for _ in 0..2 {
        let reply = ask().await;
        assert_eq!((reply.cache(), reply.header("x-aigate-degraded")), ("miss", "local"));
    }
    house.cloud(CloudKind::Azure).set_fault(None);
    for expected in ["miss", "hit"] {
        let reply = ask().await;
        assert_eq!((reply.cache(), reply.header("x-aigate-degraded")), (expected, ""));
        assert_eq!(reply.header("x-aigate-deployment"), "azureml/credit-risk");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_can_answer_the_stale_answer_is_given_and_said_to_be_stale() {
    let both = format!(r#"{AZURE}, {{ provider = "openai", target = "gpt-4.1-mini" }}"#);
    let quick = "[defaults.retry]\nmax_retries = 0\n".to_owned();
    let more = quick
        + &kept("kept", &both, "ttl = \"50ms\"\nstale_if_error = \"1h\"")
        + &kept("short", &both, "ttl = \"50ms\"\nstale_if_error = \"100ms\"")
        + &kept("none", &both, "ttl = \"50ms\"");
    let house = House::new(&more).await;
    let fault = |fault: Option<Fault>| {
        house.cloud(CloudKind::Azure).set_fault(fault.clone());
        house.cloud(CloudKind::OpenAi).set_fault(fault);
    };
    let old = chat(&house, &question("kept", "hello")).await;
    for model in ["short", "none"] {
        chat(&house, &question(model, "hello")).await;
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    fault(Some(Fault::ServerError { status: 500 }));
    for stream in [false, true] {
        let mut body = question("kept", "hello");
        body["stream"] = json!(stream);
        let reply = chat(&house, &body).await;
        assert_eq!((reply.status, reply.cache(), reply.header("x-aigate-degraded")), (200, "stale", "stale"));
        assert_eq!((reply.id(), reply.said()), (old.id(), old.said()));
        assert!(reply.header("age").parse::<u64>().unwrap() >= 1);
        assert_eq!(reply.header("x-aigate-cost-usd"), "0");
        assert_eq!(reply.header("x-aigate-deployment"), "azure/gpt-4.1-mini");
        assert_ne!(reply.header("x-aigate-attempts"), "0", "the clouds were asked");

        let text = body.to_string();
        for (name, value) in
            [("x-aigate-degraded", "refuse"), ("cache-control", "no-cache"), ("cache-control", "no-store")]
        {
            let refused = send(house.url(CHAT), &[(name, value)], text.clone()).await;
            assert_eq!(refused.status, 503, "{name}: {value}");
        }
        for model in ["short", "none"] {
            let mut body = body.clone();
            body["model"] = json!(model);
            assert_eq!(chat(&house, &body).await.status, 503, "{model}");
        }
    }
    assert_eq!(metric(&house, "aigate_cache_total{model=\"kept\",status=\"stale\"}"), 2.0);
    // A refusal is no outage.
    fault(None);
    let fresh = chat(&house, &question("kept", "hello")).await;
    assert_eq!(fresh.cache(), "miss", "stale is for outages only");
    assert_ne!(fresh.id(), old.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_over_the_limit_draws_nobody_else_into_the_refusal() {
    let cache = "ttl = \"10m\"\nscope = \"team\"";
    let labels = "labels = { team = \"t\" }\n";
    let more = kept("kept", AZURE, cache)
        + &key("spent", &format!("{labels}limits_per_replica = {{ requests = \"1/d\" }}"))
        + &key("free", labels);
    let house = House::new(&more).await;
    let ask = async |name: &str, text: String, stream: bool| {
        let mut body = question("kept", &text);
        body["stream"] = json!(stream);
        send(house.url(CHAT), &[("x-api-key", &secret(name))], body.to_string()).await
    };
    assert_eq!(ask("spent", "first".to_owned(), false).await.status, 200);
    for round in 0..40 {
        let (text, stream) = (format!("round {round}"), round % 2 == 0);
        let (spent, free) = tokio::join!(ask("spent", text.clone(), stream), ask("free", text, stream));
        assert_eq!(free.status, 200, "{}", free.text);
        // It may share the answer of the other one, which costs it nothing.
        match spent.status {
            200 => assert!(["hit", "coalesced"].contains(&spent.cache())),
            status => assert_eq!(status, 429),
        }
        assert_eq!(asked(&house, CloudKind::Azure), round + 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_is_kept_unless_the_model_is_another_one() {
    let house = House::new("").await;
    let change = |more: &str| {
        let (plan, _credentials) = plan(&house, more);
        house.running.gateway.change_to(&plan).unwrap();
    };
    let ask = async || chat(&house, &question("kept", "hello")).await;
    change(&usual());
    let first = ask().await;
    // What does not change what is said.
    for more in [
        usual(),
        usual() + "[models.kept.retry]\nmax_retries = 2\n",
        usual() + "[models.more]\ntask = \"chat\"\ndeployments = [{ provider = \"aws\", target = \"m\" }]\n",
        "[cache]\nmax_bytes = \"1MiB\"\n".to_owned() + &usual(),
    ] {
        change(&more);
        let again = ask().await;
        assert_eq!((again.cache(), again.id()), ("hit", first.id()), "{more}");
    }
    assert_eq!(asked(&house, CloudKind::Azure), 1);
    // Other deployments, or the same in another order.
    let openai = r#"{ provider = "openai", target = "gpt-4.1-mini" }"#;
    let other = r#"{ provider = "azure", target = "gpt-4.1" }"#;
    let dropping = AZURE.replace(" }", r#", on_unsupported = "drop" }"#);
    let both = [format!("{AZURE}, {openai}"), format!("{openai}, {AZURE}")];
    for deployments in [openai, other, &dropping, &both[0], &both[1]] {
        change(&kept("kept", deployments, "ttl = \"10m\""));
        assert_eq!(ask().await.cache(), "miss", "{deployments}");
    }
    change(&usual());
    assert_eq!(ask().await.id(), first.id(), "the model that it was at first");
    // A shorter time counts at once; no cache keeps nothing and gives nothing.
    tokio::time::sleep(Duration::from_millis(20)).await;
    change(&kept("kept", AZURE, "ttl = \"10ms\""));
    assert_eq!(ask().await.cache(), "miss");
    change(&format!("[models.kept]\ntask = \"chat\"\ndeployments = [{AZURE}]\n"));
    assert_eq!(ask().await.cache(), "");
}

/// A provider of the same name is another one at another address: what the old one said is not what the new one says.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_moves_takes_no_kept_answers_along() {
    let house = House::new("").await;
    let at = |kind: CloudKind, rest: &str| {
        let url = house.cloud(kind).url();
        format!(
            "[providers.moving]\nkind = \"openai\"\nbase_url = \"{url}{}\"\napi_key = \"simulated-key\"\n{rest}\n",
            if kind == CloudKind::Azure { "/openai/v1" } else { "/v1" }
        ) + &kept("kept", r#"{ provider = "moving", target = "gpt-4.1-mini" }"#, "ttl = \"10m\"")
    };
    let change = |more: &str| {
        let (plan, _credentials) = plan(&house, more);
        house.running.gateway.change_to(&plan).unwrap();
    };
    change(&at(CloudKind::OpenAi, ""));
    let ask = async || chat(&house, &question("kept", "hello")).await;
    assert_eq!((ask().await.cache(), ask().await.cache()), ("miss", "hit"));
    change(&at(CloudKind::Azure, ""));
    let reply = ask().await;
    assert_eq!((reply.cache(), reply.said().as_str()), ("miss", "SIM azure heard: hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_survives_a_reload_by_an_operator_s_post() {
    let house = House::new("").await;
    let credentials = user_credentials();
    let text = |more: &str| listeners("") + &providers(&house.clouds, &credentials.0) + more;
    let file = TempFile::new("reload.toml", &text(&usual()));
    let source = aigate::config::Source::File(file.0.clone());
    let plan = aigate::config::load(&source).and_then(aigate::config::check).unwrap();
    let running = Running::start_from(source, &plan).await.unwrap();
    let ask = async || {
        send(format!("http://{}{CHAT}", running.address), &[], question("kept", "hi").to_string()).await
    };
    let reload = async || {
        let reply = send(format!("http://{}/admin/reload", running.operations_address), &[], "").await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    };
    let first = ask().await;
    reload().await;
    let again = ask().await;
    assert_eq!((first.cache(), again.cache(), again.id()), ("miss", "hit", first.id()));
    std::fs::write(&file.0, text(&kept("kept", &AZURE.replace("-mini", ""), "ttl = \"10m\""))).unwrap();
    reload().await;
    assert_eq!(ask().await.cache(), "miss");
    assert!(running.stop(Duration::ZERO).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_what_the_cache_did_and_that_it_cost_nothing() {
    let mut clouds = Vec::new();
    for kind in KINDS {
        let latency = Latency { median: Duration::from_millis(300), sigma: 0.0 };
        clouds.push(start(kind, Options { latency, ..Options::default() }).await.unwrap());
    }
    let credentials = user_credentials();
    let stale = kept("old", AZURE, "ttl = \"1ms\"\nstale_if_error = \"1h\"");
    let text = listeners("")
        + &providers(&clouds, &credentials.0)
        + &usual()
        + &stale
        + "[log]\nformat = \"json\"\n";
    let config = TempFile::new("cache-log.toml", &text);
    let program = Program::serve(&config.0);
    let line = || program.line(|line| line["message"] == "call");
    let url = format!("http://{}{CHAT}", program.address);
    let ask = async |body: Value| send(url.clone(), &[], body.to_string()).await;

    let body = question("kept", "hello there");
    let _both = tokio::join!(ask(body.clone()), ask(body.clone()));
    let mut two = [line(), line()];
    two.sort_by_key(|line| line["cache"].as_str().unwrap().to_owned());
    assert_eq!([&two[0]["cache"], &two[1]["cache"]], ["coalesced", "miss"], "{two:?}");
    assert!(two[1]["output_tokens"].as_u64().unwrap() > 0 && two[1]["cost_usd"] != "0", "{two:?}");
    ask(body.clone()).await;
    let hit = line();
    ask(streamed(body)).await;
    let streamed_hit = line();
    ask(question("kept", "warm")
        .as_object()
        .map(|body| {
            let mut body = body.clone();
            body.insert("temperature".to_owned(), json!(1));
            Value::Object(body)
        })
        .unwrap())
    .await;
    assert_eq!(line()["cache"], "bypass");
    ask(question("old", "hello")).await;
    line();
    clouds[0].set_fault(Some(Fault::ServerError { status: 500 }));
    ask(question("old", "hello")).await;
    let stale = line();
    assert_eq!(stale["degraded"], "stale");
    for (line, cache) in [(&two[0], "coalesced"), (&hit, "hit"), (&streamed_hit, "hit"), (&stale, "stale")] {
        assert_eq!(
            (&line["cache"], &line["cost_usd"], &line["outcome"]),
            (&json!(cache), &json!("0"), &json!("ok"))
        );
        assert_eq!(line["deployment"], "azure/gpt-4.1-mini", "{line}");
        assert!(line["input_tokens"].is_null() && line["output_tokens"].is_null(), "{line}");
    }
}
