//! What each stage of a call costs, by itself: reading a request, splicing it, the policies over an upstream that answers at
//! once, reading a chunk, parsing server-sent events. `cargo bench`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{hint::black_box, sync::Arc, time::Duration};

use aigate::{
    config::{Source, check, load},
    metrics::Metrics,
    stack::{ModelRoutes, Routes},
    state::State,
};
use aigate_contract::{
    Call, Chat, ChatStream, Description, Facts, Offers, Provider, Result, Serve, Target, Trail,
    chat::{ChatChunk, ChatReply, ChatRequest, ChunkStream, ChunkWriter},
};
use aigate_transport::SseParser;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

const BODY: &[u8] = include_bytes!("../bench/conf/body.json");

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(BODY.len() as u64));
    let body = Bytes::from_static(BODY);
    group.bench_function("read", |bench| bench.iter(|| ChatRequest::parse(black_box(body.clone())).unwrap()));
    let request = ChatRequest::parse(body).unwrap();
    group.bench_function("splice the model's name", |bench| {
        bench.iter(|| request.body.with(black_box(&[("model", Some(&b"\"gpt-4.1-mini\""[..]))])));
    });
    let picture = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}]}}]}}"#,
        "A".repeat(400_000)
    );
    group.throughput(Throughput::Bytes(picture.len() as u64));
    let picture = Bytes::from(picture);
    group.bench_function("read, with a picture of 300 kB", |bench| {
        bench.iter(|| ChatRequest::parse(black_box(picture.clone())).unwrap());
    });
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let writer = ChunkWriter::new("chatcmpl-1", 1_760_000_000, "gpt-4.1-mini");
    let mut stream = Vec::new();
    for _ in 0..50 {
        let chunk = writer.text(0, " word", None).unwrap();
        stream.extend_from_slice(b"data: ");
        stream.extend_from_slice(&chunk.json);
        stream.extend_from_slice(b"\n\n");
    }
    let stream = Bytes::from(stream);
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(50));
    group.bench_function("parse 50 server-sent events", |bench| {
        bench.iter(|| {
            let mut parser = SseParser::default();
            parser.push(stream.clone()).unwrap();
            std::iter::from_fn(|| parser.next_event()).count()
        });
    });
    group.bench_function("write 50 chunks", |bench| {
        bench.iter(|| {
            (0..50).map(|_| writer.text(0, black_box(" word"), None).unwrap().json.len()).sum::<usize>()
        });
    });
    group.finish();
}

/// A provider that answers at once.
#[derive(Debug)]
struct Instantly;

impl Serve<Chat> for Instantly {
    async fn serve(&self, _call: Call<Chat>) -> Result<ChatReply> {
        Ok(ChatReply { json: Bytes::from_static(b"{}"), facts: Facts::default() })
    }
}

impl Serve<ChatStream> for Instantly {
    async fn serve(&self, _call: Call<ChatStream>) -> Result<ChunkStream> {
        let chunk =
            ChatChunk { json: Bytes::from_static(b"{}"), finish: Vec::new(), usage: None, usage_only: false };
        Ok(Box::pin(futures_util::stream::iter([Ok(chunk)])))
    }
}

impl Provider for Instantly {
    fn offers(self: Arc<Self>) -> Offers {
        let chat = aigate_contract::Endpoint::new(Arc::clone(&self));
        Offers {
            chat: Some(chat),
            chat_stream: Some(aigate_contract::Endpoint::new(self)),
            ..Offers::default()
        }
    }

    fn describe(&self) -> Description {
        Description {
            kind: "openai",
            region: None,
            system: "none",
            endpoint: String::new(),
            credentials: String::new(),
        }
    }

    fn check_target(&self, _task: &str, _target: &str) -> std::result::Result<(), String> {
        Ok(())
    }
}

fn policies(criterion: &mut Criterion) {
    let config = "[log]\ncalls = false\n[providers.o]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                  [models.m]\ntask = \"chat\"\ndeployments = [{ provider = \"o\", target = \"t\", limits_per_replica = { concurrency = 100 } }]\n";
    let mut plan = load(&Source::Text(config.to_owned())).and_then(check).unwrap();
    plan.models[0].deployments[0].offers = Arc::new(Instantly).offers();
    let metrics = Arc::new(Metrics::new());
    let Ok(state) = State::new(&plan) else { return };
    let Ok(routes) = Routes::build(&plan, &state, &metrics) else { return };
    let Some(ModelRoutes::Chat { whole, .. }) = routes.get("m") else { return };
    let request = Arc::new(ChatRequest::parse(Bytes::from_static(BODY)).unwrap());
    let target = Arc::new(Target::new("", ""));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    criterion.bench_function("policies/all of them, over an upstream that answers at once", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let call = Call {
                request: Arc::clone(&request),
                target: Arc::clone(&target),
                deadline: Instant::now() + Duration::from_secs(1),
                trail: Arc::new(Trail::new("id", None)),
            };
            let mut route = whole.clone();
            route.ready().await.unwrap().call(call).await.unwrap()
        });
    });
}

criterion_group!(stages, requests, events, policies);
criterion_main!(stages);
