//! Deployments that are looked at without a caller.

use std::time::Duration;

use aigate::{
    config::{Source, check, load, report},
    running::Running,
};
use aigate_sim::{Cloud, CloudKind, Options, start};

use crate::harness::{eventually, listeners};

/// A gateway with one deployment at this cloud, which is looked at `every` so often.
async fn gateway(cloud: &Cloud, every: &str) -> Running {
    let text = format!(
        "{}[providers.openai]\nkind = \"openai\"\nbase_url = \"{}/v1\"\napi_key = \"simulated-key\"\n\
         [models.m]\ntask = \"chat\"\nprobe = {{ every = \"{every}\" }}\nbreaker = {{ failures = 1, open = \"5m\", max_open = \"5m\" }}\n\
         deployments = [{{ provider = \"openai\", target = \"gpt-4.1-mini\" }}]\n",
        listeners(""),
        cloud.url()
    );
    let plan =
        load(&Source::Text(text)).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
    Running::start(&plan).await.unwrap()
}

#[tokio::test]
async fn a_deployment_is_not_looked_at_more_often_than_the_configuration_says() {
    let cloud = start(CloudKind::OpenAi, Options::default()).await.unwrap();
    let _running = gateway(&cloud, "1h").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(cloud.stats().seen, 0);
}

#[tokio::test]
async fn a_deployment_that_is_gone_is_found_out_before_a_caller_meets_it_and_found_again() {
    let options = Options { keep_requests: 16, ..Options::default() };
    let cloud = start(CloudKind::OpenAi, options.clone()).await.unwrap();
    let port = cloud.addr().port();
    let running = gateway(&cloud, "1s").await;
    let circuit = |standing: &str| {
        let text = running.gateway.metrics_text().unwrap();
        text.contains(&format!("aigate_circuit{{deployment=\"openai/gpt-4.1-mini\"}} {standing}\n"))
    };
    eventually("a look", || cloud.requests().iter().any(|request| request.path == "/v1/models")).await;
    assert!(circuit("0"));
    drop(cloud);
    eventually("an open circuit", || circuit("2")).await;

    let cloud = start(CloudKind::OpenAi, Options { port, ..options }).await.unwrap();
    eventually("a closed circuit", || circuit("0")).await;
    assert!(
        cloud.requests().iter().all(|request| request.path == "/v1/models"),
        "nothing that costs was asked"
    );
}
