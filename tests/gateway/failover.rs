use std::time::Duration;

use aigate_sim::{CloudKind, Fault, Latency, Options};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{House, KINDS, name};

const QUICK: &str = r#"
[defaults.timeouts]
attempt = "800ms"
first_chunk = "800ms"
idle = "800ms"
deadline = "8s"
[defaults.retry]
base = "10ms"
[defaults.breaker]
open = "100ms"
max_open = "200ms"
"#;

/// Every fault that shows before a stream's first chunk, or in a whole answer.
fn faults() -> Vec<Fault> {
    vec![
        Fault::Throttled { retry_after: Some(Duration::from_secs(30)) },
        Fault::Throttled { retry_after: None },
        Fault::ServerError { status: 500 },
        Fault::ServerError { status: 503 },
        Fault::Hang,
        Fault::SlowFirstByte(Duration::from_secs(2)),
        Fault::ErrorInside200,
        Fault::ExpiredToken,
        Fault::Refused,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_each_cloud_is_survived_whole_and_streamed() {
    for kind in [CloudKind::Azure, CloudKind::Aws, CloudKind::Google] {
        // In a stream these strike after the first chunk, when nothing fails over any more.
        let only_whole = [Fault::Malformed, Fault::CutMidStream { after_chunks: 1 }];
        for fault in faults().into_iter().chain(only_whole.clone()) {
            for stream in [false, true] {
                if stream && only_whole.contains(&fault) {
                    continue;
                }
                let house = House::new(QUICK).await;
                house.cloud(kind).set_fault(Some(fault.clone()));
                // The clouds before it in the order are gone, so that this one is asked.
                for before in KINDS.iter().take_while(|other| **other != kind) {
                    house.cloud(*before).set_fault(Some(Fault::Refused));
                }
                let answer = house.answer("all", "who answers", stream).await;
                let text =
                    answer.unwrap_or_else(|error| panic!("{kind:?} {fault:?} stream={stream}: {error}"));
                assert!(text.starts_with("SIM ") && text.ends_with(" heard: who answers"), "{text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_under_rotating_faults_give_a_thousand_right_answers() {
    let house = House::new(QUICK).await;
    let healthy = house.cloud(CloudKind::OpenAi);
    let rotation = async {
        for round in 0.. {
            for (place, kind) in [CloudKind::Azure, CloudKind::Aws, CloudKind::Google].into_iter().enumerate()
            {
                let faults = faults();
                let fault = &faults[(round * 3 + place * 2) % faults.len()];
                house.cloud(kind).set_fault(Some(fault.clone()));
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    let house = &house;
    let calls = stream::iter(0..1000)
        .map(|number| async move {
            let text = format!("question {number}");
            (number, house.answer("all", &text, number % 2 == 0).await)
        })
        .buffer_unordered(32)
        .for_each(|(number, answer)| async move {
            let text = answer.unwrap_or_else(|error| panic!("call {number}: {error}"));
            assert!(text.ends_with(&format!(" heard: question {number}")), "call {number}: {text}");
        });
    tokio::select! {
        () = calls => {}
        () = rotation => {}
    }
    assert!(healthy.stats().answered > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_cloud_is_out_the_caller_learns_who_was_tried_why_and_when_to_come_back() {
    let house = House::new(QUICK).await;
    house.cloud(CloudKind::Azure).set_fault(Some(Fault::Refused));
    house.cloud(CloudKind::Aws).set_fault(Some(Fault::ServerError { status: 503 }));
    house.cloud(CloudKind::Google).set_fault(Some(Fault::Hang));
    house
        .cloud(CloudKind::OpenAi)
        .set_fault(Some(Fault::Throttled { retry_after: Some(Duration::from_secs(7)) }));
    for stream in [false, true] {
        let begun = Instant::now();
        let response = house.ask("all", "anyone?", stream).await;
        assert!(begun.elapsed() < Duration::from_secs(8));
        assert_eq!(response.status(), 503);
        let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=7).contains(&wait), "{wait}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["error"]["code"], "all_deployments_failed");
        let attempts = body["error"]["attempts"].as_array().unwrap();
        for kind in KINDS {
            let tried = attempts.iter().any(|attempt| {
                attempt["deployment"].as_str().unwrap().starts_with(&format!("{}/", name(kind)))
            });
            assert!(tried, "{kind:?} is missing in {body}");
        }
        assert!(attempts.iter().all(|attempt| !attempt["message"].as_str().unwrap().is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_cloud_throttles_the_answer_is_429_with_the_shortest_wait() {
    let house = House::new(QUICK).await;
    for (kind, seconds) in KINDS.into_iter().zip([40, 30, 20, 50]) {
        let retry_after = Some(Duration::from_secs(seconds));
        house.cloud(kind).set_fault(Some(Fault::Throttled { retry_after }));
    }
    let response = house.ask("google", "hello", false).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "20", "from the body: Google sends no header");
    assert_eq!(house.ask("all", "hello", true).await.status(), 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_clouds_end_at_the_call_s_deadline() {
    let house =
        House::new("[defaults.timeouts]\nattempt = \"30s\"\nfirst_chunk = \"30s\"\ndeadline = \"400ms\"\n")
            .await;
    for kind in KINDS {
        house.cloud(kind).set_fault(Some(Fault::Hang));
    }
    for stream in [false, true] {
        let begun = Instant::now();
        let response = house.ask("all", "hello", stream).await;
        assert_eq!(response.status(), 503);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert!(response.text().await.unwrap().contains("deadline"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn weighted_deployments_share_the_calls() {
    let weighted = r#"
[models.shared]
task = "chat"
strategy = "weighted"
deployments = [
  { provider = "azure", target = "gpt-4.1-mini", weight = 3 },
  { provider = "openai", target = "gpt-4.1-mini", weight = 1 },
]
"#;
    let house = House::new(weighted).await;
    let mut azure = 0;
    for _ in 0..200 {
        let response = house.ask("shared", "hi", false).await;
        azure += usize::from(response.headers()["x-aigate-provider"] == "azure");
    }
    assert!((120..180).contains(&azure), "{azure} of 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fastest_deployment_gets_most_of_the_calls_though_it_stands_last() {
    let fastest = r#"
[models.quick]
task = "chat"
strategy = "fastest"
deployments = [
  { provider = "azure", target = "gpt-4.1-mini" },
  { provider = "openai", target = "gpt-4.1-mini" },
]
"#;
    let options =
        Options { latency: Latency { median: Duration::from_millis(20), sigma: 0.0 }, ..Options::default() };
    let house = House::with_options(fastest, &options).await;
    house.cloud(CloudKind::Azure).set_fault(Some(Fault::SlowFirstByte(Duration::from_millis(200))));
    let mut slow = 0;
    for _ in 0..40 {
        let response = house.ask("quick", "hi", false).await;
        assert_eq!(response.status(), 200);
        slow += usize::from(response.headers()["x-aigate-provider"] == "azure");
    }
    assert!(slow <= 6, "{slow} of 40 went to the one that is ten times slower");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_one_cloud_cannot_honour_goes_to_one_that_can_or_is_dropped_and_named() {
    let models = r#"
[models.picky]
task = "chat"
deployments = [
  { provider = "aws", target = "eu.anthropic.claude-haiku-4-5-20251001-v1:0" },
  { provider = "openai", target = "gpt-4.1-mini" },
]
[models.lenient]
task = "chat"
on_unsupported = "drop"
deployments = [{ provider = "aws", target = "eu.anthropic.claude-haiku-4-5-20251001-v1:0" }]
"#;
    let house = House::new(models).await;
    let body = |model: &str| {
        serde_json::json!({ "model": model, "logprobs": true, "user": "u1",
            "messages": [{ "role": "user", "content": "hi" }] })
    };
    let response = house.post("/v1/chat/completions", &body("picky")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-aigate-provider"], "openai");
    assert!(response.headers().get("x-aigate-dropped").is_none(), "nothing was dropped by who answered");

    let response = house.post("/v1/chat/completions", &body("lenient")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-aigate-dropped"], "logprobs");

    let response = house.post("/v1/chat/completions", &body("aws")).await;
    assert_eq!(response.status(), 400);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["param"], "logprobs");
}
