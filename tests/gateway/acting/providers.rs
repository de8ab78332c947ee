//! Keys of providers and of prices.

use aigate::{
    config::{Source, check, load, report},
    running::Running,
};
use aigate_contract::Usage;
use aigate_prices::{Catalogue, Place, PriceConfig};
use aigate_sim::{Cloud, CloudKind, Options};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::PLAIN;
use crate::harness::{House, KINDS, listeners, user_credentials};

/// A proxy that tells whom it was asked for, and connects to nobody.
pub(crate) async fn proxy() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            let _ = send.send(text.lines().next().unwrap_or_default().to_owned());
        }
    });
    (url, receive)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_provider_goes_through_its_proxy() {
    let (url, mut asked) = proxy().await;
    let provider = |name: &str, settings: &str, target: &str| {
        format!(
            "[providers.far-{name}]\nkind = \"{name}\"\nproxy = \"{url}\"\n{settings}\n[models.far-{name}]\n\
             task = \"chat\"\ndeployments = [{{ provider = \"far-{name}\", target = \"{target}\" }}]\n"
        )
    };
    let more = PLAIN.to_owned()
        + &provider("azure", "endpoint = \"https://azure.invalid\"\napi_key = \"k\"", "gpt-4.1-mini")
        + &provider("openai", "base_url = \"https://openai.invalid/v1\"\napi_key = \"k\"", "gpt-4.1-mini")
        + &provider("google", "base_url = \"https://google.invalid\"\napi_key = \"k\"", "gemini-2.5-flash")
        + &provider(
            "aws",
            "region = \"eu-central-1\"\nendpoint = \"https://aws.invalid\"\napi_key = \"k\"",
            "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        );
    let house = House::new(&more).await;
    for kind in ["azure", "openai", "google", "aws"] {
        assert_eq!(house.ask(&format!("far-{kind}"), "hi", false).await.status(), 503);
        assert_eq!(asked.recv().await.unwrap(), format!("CONNECT {kind}.invalid:443 HTTP/1.1"));
        while asked.try_recv().is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_limit_and_the_wish_for_usage_are_sent_as_the_provider_s_settings_say() {
    let cloud = |kind| aigate_sim::start(kind, Options { keep_requests: 10, ..Options::default() });
    let (azure, openai) = (cloud(CloudKind::Azure).await.unwrap(), cloud(CloudKind::OpenAi).await.unwrap());
    let mut text = listeners("");
    for (name, settings) in
        [("plain", ""), ("own", "stream_usage = false\ntoken_limit_field = \"max_tokens\"")]
    {
        for (kind, address) in [
            ("azure", format!("endpoint = \"{}\"", azure.url())),
            ("openai", format!("base_url = \"{}/v1\"", openai.url())),
        ] {
            text += &format!(
                "[providers.{kind}-{name}]\nkind = \"{kind}\"\n{address}\napi_key = \"simulated-key\"\n{settings}\n\
                 [models.{kind}-{name}]\ntask = \"chat\"\n\
                 deployments = [{{ provider = \"{kind}-{name}\", target = \"gpt-4.1-mini\" }}]\n"
            );
        }
    }
    let plan =
        load(&Source::Text(text)).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
    let running = Running::start(&plan).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (kind, cloud) in [("azure", &azure), ("openai", &openai)] {
        for (name, usage, limit) in [("plain", true, "max_completion_tokens"), ("own", false, "max_tokens")] {
            let body = json!({ "model": format!("{kind}-{name}"), "stream": true, "max_completion_tokens": 7,
                "messages": [{ "role": "user", "content": "hi" }] });
            let request = client.post(format!("http://{}/v1/chat/completions", running.address));
            let request = request.header("content-type", "application/json").body(body.to_string());
            assert_eq!(request.send().await.unwrap().status(), 200);
            let sent = cloud.requests().pop().unwrap();
            let sent: Value = serde_json::from_slice(&sent.body).unwrap();
            assert_eq!(sent[limit], 7, "{kind}-{name}: {sent}");
            assert_eq!(sent["stream_options"]["include_usage"] == true, usage, "{kind}-{name}: {sent}");
        }
    }
}

/// What a cloud was sent last, by a gateway with this provider and the model `m` at it.
async fn sent(cloud: &Cloud, provider: &str, target: &str) -> aigate_sim::Recorded {
    let text = listeners("")
        + &format!(
            "[providers.p]\n{provider}\n[models.m]\ntask = \"chat\"\n\
             deployments = [{{ provider = \"p\", target = \"{target}\" }}]\n"
        );
    let plan =
        load(&Source::Text(text)).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
    let running = Running::start(&plan).await.unwrap();
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{}/v1/chat/completions", running.address));
    let answer =
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    cloud.requests().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardrail_and_a_quota_project_of_the_settings_are_sent() {
    let cloud = |kind| aigate_sim::start(kind, Options { keep_requests: 10, ..Options::default() });
    let aws = cloud(CloudKind::Aws).await.unwrap();
    let settings = format!(
        "kind = \"aws\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\naccess_key_id = \"SIMULATED\"\n\
         secret_access_key = \"simulated-secret\"\nguardrail_id = \"gr1234\"\nguardrail_version = \"7\"",
        aws.url()
    );
    let request = sent(&aws, &settings, "eu.anthropic.claude-haiku-4-5-20251001-v1:0").await;
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["guardrailConfig"]["guardrailIdentifier"], "gr1234", "{body}");
    assert_eq!(body["guardrailConfig"]["guardrailVersion"], "7", "{body}");

    let (google, credentials) = (cloud(CloudKind::Google).await.unwrap(), user_credentials());
    let settings = format!(
        "kind = \"google\"\nproject = \"p\"\nlocation = \"europe-west4\"\nbase_url = \"{0}\"\ntoken_url = \"{0}/token\"\n\
         credentials = '{1}'\nquota_project = \"billing\"",
        google.url(),
        credentials.0.display()
    );
    let request = sent(&google, &settings, "gemini-2.5-flash").await;
    assert_eq!(request.headers["x-goog-user-project"], "billing");
}

/// A server that tells all that it is sent and refuses it.
async fn refusing() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = [0; 8192];
            while !text.contains("Action=AssumeRole") {
                match stream.read(&mut buffer).await {
                    Ok(count @ 1..) => text += &String::from_utf8_lossy(&buffer[..count]),
                    _ => break,
                }
            }
            let _ = send.send(text);
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    (url, receive)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_under_the_names_of_the_settings() {
    let (url, mut asked) = refusing().await;
    let more = format!(
        "[providers.roles]\nkind = \"aws\"\nregion = \"eu-central-1\"\nendpoint = \"{url}\"\nsts_endpoint = \"{url}\"\n\
         access_key_id = \"AKIAEXAMPLE\"\nsecret_access_key = \"s3cr3t\"\n\
         assume_role = \"arn:aws:iam::123456789012:role/Reader\"\nexternal_id = \"ext-1\"\nsession_name = \"gate-1\"\n\
         [models.roles]\ntask = \"chat\"\n\
         deployments = [{{ provider = \"roles\", target = \"amazon.nova-lite-v1:0\" }}]\n"
    );
    let house = House::new(&(PLAIN.to_owned() + &more)).await;
    assert_eq!(house.ask("roles", "hi", false).await.status(), 503);
    let said = asked.recv().await.unwrap();
    for words in ["role%2FReader", "ExternalId=ext-1", "RoleSessionName=gate-1"] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
    assert_eq!(house.clouds.len(), KINDS.len());
}

/// What a usage of everything costs at these prices of one's own.
fn cost(price: &Value) -> String {
    let usage = Usage {
        fresh_input: Some(1_000_000),
        cached_read: Some(1_000_000),
        cache_write: Some(1_000_000),
        output: Some(1_000_000),
        reasoning: None,
        rows: Some(1),
        characters: Some(50),
        pages: Some(1),
        images: Some(1),
        audio_ms: Some(7_400),
    };
    let config: PriceConfig = serde_json::from_value(price.clone()).unwrap();
    let place = Place { kind: "azure", task: "chat", model: "gpt-4.1-mini", region: None, class: None };
    let price = config.resolve(&Catalogue::shipped().unwrap(), &place).unwrap();
    price.cost(&usage).unwrap().to_string()
}

#[test]
fn each_key_of_a_price_changes_what_a_call_costs() {
    let whole = json!({
        "input_usd_per_mtok": 1, "cached_read_usd_per_mtok": 0.5, "cache_write_usd_per_mtok": 1.5,
        "output_usd_per_mtok": 2,
        "tiers": [{ "above_input_tokens": 2_000_000, "input_usd_per_mtok": 6, "cached_read_usd_per_mtok": 4,
            "cache_write_usd_per_mtok": 7, "output_usd_per_mtok": 9 }],
        "usd_per_1k_characters": 0.01, "unit_characters": 100, "minimum_units": 3,
        "usd_per_page": 0.02, "usd_per_image": 0.03, "usd_per_row": 0.04, "usd_per_request": 0.05,
        "usd_per_audio_minute": 0.06, "minimum_audio_seconds": 15, "audio_step_seconds": 1,
    });
    let usual = cost(&whole);
    // The tier's 6 + 4 + 7 + 9; 3 units of 100 characters; a page, an image, a row and a request; 15 seconds.
    assert_eq!(usual, "26.158");
    let mut paths: Vec<Vec<&str>> = whole.as_object().unwrap().keys().map(|key| vec![key.as_str()]).collect();
    // Prices beneath the tier count where the tier does not.
    let beneath =
        ["input_usd_per_mtok", "cached_read_usd_per_mtok", "cache_write_usd_per_mtok", "output_usd_per_mtok"];
    paths.retain(|path| !beneath.contains(&path[0]) && path[0] != "tiers");
    for path in paths {
        let mut other = whole.clone();
        let value = other[path[0]].as_f64().unwrap();
        other[path[0]] = if value.fract() == 0.0 { json!(value as u64 + 45) } else { json!(value * 2.0) };
        assert_ne!(cost(&other), usual, "{path:?} does not act");
    }
    for key in beneath {
        let mut other = whole.clone();
        other["tiers"][0][key] = json!(other["tiers"][0][key].as_f64().unwrap() * 0.9);
        assert_ne!(cost(&other), usual, "tiers.{key} does not act");
        let mut other = whole.clone();
        other["tiers"][0]["above_input_tokens"] = json!(4_000_000);
        let below = cost(&other);
        assert_ne!(below, usual, "tiers.above_input_tokens does not act");
        other[key] = json!(other[key].as_f64().unwrap() * 0.9);
        assert_ne!(cost(&other), below, "{key} does not act");
    }
    // An hour's price instead of a minute's.
    let mut hourly = whole.clone();
    hourly.as_object_mut().unwrap().remove("usd_per_audio_minute");
    hourly["usd_per_audio_hour"] = json!(7.2);
    assert_eq!(cost(&hourly), "26.173");
}

#[test]
fn the_service_class_of_a_price_changes_it() {
    let place = Place { kind: "aws", task: "chat", model: "own", region: Some("eu-central-1"), class: None };
    let of = |class: &str| {
        let config = json!({ "model": "anthropic.claude-haiku-4-5", "class": class });
        let config: PriceConfig = serde_json::from_value(config).unwrap();
        let price = config.resolve(&Catalogue::shipped().unwrap(), &place).unwrap();
        let usage = Usage { fresh_input: Some(1_000_000), output: Some(0), ..Usage::default() };
        price.cost(&usage).unwrap().as_dollars()
    };
    let (usual, batch) = (of("default"), of("batch"));
    assert!((usual / batch - 2.0).abs() < 1e-9, "{usual} and {batch}");
}
