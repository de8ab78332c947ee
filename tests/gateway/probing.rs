//! Deployments that are looked at without a caller.

use aigate::{
    config::{Source, check, load, report},
    running::Running,
};
use aigate_sim::{CloudKind, Options, start};

use crate::harness::{eventually, listeners};

#[tokio::test]
async fn a_deployment_that_is_gone_is_found_out_before_a_caller_meets_it_and_found_again() {
    let options = Options { keep_requests: 16, ..Options::default() };
    let cloud = start(CloudKind::OpenAi, options.clone()).await.unwrap();
    let port = cloud.addr().port();
    let text = format!(
        "{}[providers.openai]\nkind = \"openai\"\nbase_url = \"{}/v1\"\napi_key = \"simulated-key\"\n\
         [models.m]\ntask = \"chat\"\nprobe = {{ every = \"1s\" }}\nbreaker = {{ failures = 1, open = \"5m\", max_open = \"5m\" }}\n\
         deployments = [{{ provider = \"openai\", target = \"gpt-4.1-mini\" }}]\n",
        listeners(""),
        cloud.url()
    );
    let plan =
        load(&Source::Text(text)).and_then(check).unwrap_or_else(|faults| panic!("{}", report(&faults)));
    let running = Running::start(&plan).await.unwrap();
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
