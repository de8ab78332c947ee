use aigate_sim::{CloudKind, Fault};

use crate::harness::{House, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_keeps_failing_is_left_alone_and_asked_again_when_it_is_back() {
    let house =
        House::new("[defaults.breaker]\nfailures = 3\nopen = \"200ms\"\n[defaults.retry]\nmax_retries = 0\n")
            .await;
    let azure = house.cloud(CloudKind::Azure);
    azure.set_fault(Some(Fault::ServerError { status: 500 }));
    for _ in 0..20 {
        assert!(house.answer("all", "hi", false).await.unwrap().contains("aws"));
    }
    let seen = azure.stats().seen;
    assert!((3..=8).contains(&seen), "asked {seen} times while it failed");
    let metrics = house.running.gateway.metrics_text().unwrap();
    assert!(metrics.contains("aigate_circuit{deployment=\"azure/gpt-4.1-mini\"}"), "{metrics}");

    azure.set_fault(None);
    eventually("azure's circuit may be probed", || {
        let text = house.running.gateway.metrics_text().unwrap();
        text.contains("aigate_circuit{deployment=\"azure/gpt-4.1-mini\"} 1")
    })
    .await;
    assert!(house.answer("all", "hi", true).await.unwrap().contains("azure"));
    assert!(house.answer("all", "hi", true).await.unwrap().contains("azure"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_a_deployment_s_bound_go_to_the_next_one_and_a_stream_holds_its_place() {
    let model = r#"
[models.narrow]
task = "chat"
deployments = [
  { provider = "azure", target = "gpt-4.1-nano", limits_per_replica = { concurrency = 1 } },
  { provider = "openai", target = "gpt-4.1-mini" },
]
"#;
    let house = House::new(model).await;
    let words = "slowly ".to_owned() + &"word ".repeat(100);
    let mut first = house.ask("narrow", &words, true).await;
    assert!(first.chunk().await.unwrap().is_some());
    let second = house.ask("narrow", "hi", false).await;
    assert_eq!(second.headers()["x-aigate-provider"], "openai");
    assert_eq!(second.headers()["x-aigate-attempts"], "2");
    drop(first);
    eventually("the first stream is gone", || house.cloud(CloudKind::Azure).stats().in_flight == 0).await;
    let third = house.ask("narrow", "hi", false).await;
    assert_eq!(third.headers()["x-aigate-provider"], "azure");
}
