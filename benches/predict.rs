//! What a prediction costs by itself: reading and checking a request, the sample's score and contributions through all policies,
//! writing the answer. `cargo bench --bench predict`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{hint::black_box, sync::Arc};

use aigate::{
    config::{Source, check, load},
    metrics::Metrics,
    policy::send,
    stack::{ModelRoutes, PredictRoutes, Routes},
    state::State,
};
use aigate_contract::{
    Trail,
    predict::{PredictRequest, Wanted},
};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};

const CONFIG: &str = r#"
[log]
calls = false
[providers.local]
kind = "local"
[models.credit-risk]
task = "predict"
deployments = [{ provider = "local", target = "sample/credit-risk" }]
"#;

fn routes() -> Arc<PredictRoutes> {
    let plan = load(&Source::Text(CONFIG.to_owned())).and_then(check).unwrap();
    let metrics = Arc::new(Metrics::new());
    let state = State::new(&plan).unwrap();
    let routes = Routes::build(&plan, &state, &metrics).unwrap();
    match routes.get("credit-risk") {
        Some(ModelRoutes::Predict(routes)) => Arc::clone(routes),
        _ => std::process::abort(),
    }
}

fn parse(body: &Bytes) -> PredictRequest {
    PredictRequest::parse("credit-risk", None, body, None).unwrap()
}

fn predictions(criterion: &mut Criterion) {
    let routes = routes();
    let body = Bytes::from(aigate_local::sample_request().unwrap().to_string());
    let mut group = criterion.benchmark_group("predict, one row of 20 inputs");
    group.bench_function("read and check the request", |bench| {
        bench.iter(|| {
            let mut request = parse(black_box(&body));
            routes.signature.check(&mut request).unwrap();
            request
        });
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut ask = |name: &str, outputs: &[&str]| {
        let mut request = parse(&body);
        request.outputs = (outputs.iter())
            .map(|name| Wanted { name: (*name).to_owned(), binary: None, parameters: serde_json::Map::new() })
            .collect();
        group.bench_function(name, |bench| {
            bench.to_async(&runtime).iter(|| async {
                let trail = Arc::new(Trail::new("id", None));
                let reply = send(&routes.usual, request.clone(), trail).await.unwrap();
                reply.write(&request).unwrap()
            });
        });
    };
    ask("all policies, the sample's score, the answer written", &["score"]);
    ask("the same with its contributions", &["score", "contributions", "base"]);
    group.finish();
}

criterion_group!(benches, predictions);
criterion_main!(benches);
