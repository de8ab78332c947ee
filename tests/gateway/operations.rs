use std::{sync::Arc, time::Duration};

use aigate_sim::CloudKind;

use crate::harness::{House, bearer, eventually, hash_of};

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_are_on_the_operators_listener_only() {
    let house = House::new("").await;
    let operations = format!("http://{}", house.running.operations_address);
    let get = |path: &str| house.client.get(format!("{operations}{path}")).send();
    assert_eq!(get("/healthz").await.unwrap().status(), 200);
    assert_eq!(get("/readyz").await.unwrap().status(), 200);
    assert!(house.answer("azure", "hi", false).await.is_ok());
    assert_eq!(house.ask("nobody", "hi", false).await.status(), 404);
    let text = get("/metrics").await.unwrap().text().await.unwrap();
    for line in [
        r#"aigate_calls_total{model="azure",task="chat",key="",outcome="ok"} 1"#,
        r#"aigate_tokens_total{deployment="azure/gpt-4.1-mini",unit="output"}"#,
        r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="azure.ai.openai""#,
        r#"gen_ai_client_token_usage_bucket{"#,
        "aigate_calls_in_flight 0",
        r#"aigate_refused_total{status="404"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert_eq!(house.client.get(house.url("/metrics")).send().await.unwrap().status(), 404);
    house.running.gateway.drain();
    assert_eq!(get("/readyz").await.unwrap().status(), 503);
    assert_eq!(get("/healthz").await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_key_guards_the_metrics_but_not_health() {
    let key = hash_of("operator");
    let house = House::new(&format!("[operations]\nlisten = \"127.0.0.1:0\"\nkey = \"{key}\"\n")).await;
    let url = |path: &str| format!("http://{}{path}", house.running.operations_address);
    assert_eq!(house.client.get(url("/metrics")).send().await.unwrap().status(), 401);
    let wrong =
        house.client.get(url("/metrics")).header("authorization", "Bearer guess").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let right =
        house.client.get(url("/metrics")).header("authorization", bearer("operator")).send().await.unwrap();
    assert_eq!(right.status(), 200);
    assert_eq!(house.client.get(url("/healthz")).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_still_taken_during_the_shutdown_delay_while_readiness_says_no() {
    let house = House::new("").await;
    let (address, gateway) = (house.running.address, Arc::clone(&house.running.gateway));
    let stopping = tokio::spawn(house.running.stop(Duration::from_secs(2)));
    eventually("readiness says no", || !gateway.is_ready()).await;
    let models = house.client.get(format!("http://{address}/v1/models")).send().await;
    assert_eq!(models.unwrap().status(), 200);
    assert!(stopping.await.unwrap(), "nothing had to be cut off");
    assert!(house.client.get(format!("http://{address}/v1/models")).send().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_ended_within_the_shutdown_grace_is_told() {
    let house = House::new("[server]\nlisten = \"127.0.0.1:0\"\nshutdown_grace = \"50ms\"\n").await;
    let words = "slowly ".to_owned() + &"word ".repeat(200);
    let mut stream = house.ask("azure", &words, true).await;
    assert!(stream.chunk().await.unwrap().is_some());
    assert_eq!(house.clouds[0].stats().in_flight, 1, "{:?} is still talking", CloudKind::Azure);
    assert!(!house.running.stop(Duration::ZERO).await);
}
