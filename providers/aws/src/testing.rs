//! For tests: Bedrock played from memory, in the SDK's place for an HTTP client, and golden files.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use aigate_contract::{
    Call, OnUnsupported, Target, Task, Trail,
    chat::ChatRequest,
    embed::EmbedRequest,
    predict::{FormConfig, PredictRequest, Signature},
};
use aigate_transport::Fetcher;
use aws_sdk_bedrockruntime::config::{
    RuntimeComponents, SharedHttpClient,
    http::{HttpRequest, HttpResponse},
};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_runtime_api::{
    client::http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    http::StatusCode,
    shared::IntoShared,
};
use aws_smithy_types::{
    body::SdkBody,
    event_stream::{Header, HeaderValue, Message},
};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Aws, Config, auth::Access};

/// What was asked of the played Bedrock.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the played Bedrock answers.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Bytes>,
    breaks: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, pieces: vec![Bytes::from(body.to_string())], breaks: false }
    }

    pub(crate) fn text(status: u16, content_type: &str, body: &str) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { status, headers, pieces: vec![Bytes::from(body.to_owned())], breaks: false }
    }

    pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"message": message})).with("x-amzn-errortype", code)
    }

    pub(crate) fn stream(pieces: Vec<Bytes>) -> Self {
        let headers = vec![("content-type", "application/vnd.amazon.eventstream".to_owned())];
        Self { status: 200, headers, pieces, breaks: false }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The connection breaks after the last piece.
    pub(crate) fn breaking(self) -> Self {
        Self { breaks: true, ..self }
    }

    fn into_response(self) -> HttpResponse {
        let broken = self.breaks.then(|| Err(io::Error::from(io::ErrorKind::ConnectionReset)));
        let frames = self.pieces.into_iter().map(|piece| Ok(Frame::data(piece))).chain(broken);
        let body = SdkBody::from_body_1_x(StreamBody::new(stream::iter(frames)));
        let mut response = HttpResponse::new(StatusCode::try_from(self.status).unwrap(), body);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Bedrock from memory: gives its answers in order and keeps what was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Played {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Played {
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl HttpConnector for Played {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.asked.lock().unwrap().push(Asked {
            uri: request.uri().to_owned(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: request.body().bytes().unwrap_or_default().to_vec(),
        });
        let answer = self.answers.lock().unwrap().pop_front();
        HttpConnectorFuture::ready(Ok(answer.expect("one request more than answers").into_response()))
    }
}

impl HttpClient for Played {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.clone().into_shared()
    }
}

/// One fetcher for all tests: making one reads the system's certificates.
pub(crate) fn fetcher() -> Fetcher {
    static ONE: LazyLock<Fetcher> = LazyLock::new(Fetcher::new);
    ONE.clone()
}

/// A provider whose Bedrock is played.
pub(crate) fn played(settings: Value, answers: impl IntoIterator<Item = Answer>) -> (Aws, Played) {
    let played = Played::default();
    played.answers.lock().unwrap().extend(answers);
    let config: Config = serde_json::from_value(settings).unwrap();
    assert!(config.faults().is_empty(), "{:?}", config.faults());
    let http: SharedHttpClient = played.clone().into_shared();
    let access = Access::build(&config).unwrap().over(http);
    let guardrail = config
        .guardrail_id
        .zip(config.guardrail_version)
        .map(|(id, version)| crate::Guardrail { id, version });
    (Aws { access, fetcher: fetcher(), guardrail }, played)
}

/// Settings with static keys.
pub(crate) fn keys() -> Value {
    json!({"region": "eu-central-1", "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cr3t"})
}

fn new_call<T: Task>(model: &str, request: T::Request, on_unsupported: OnUnsupported) -> Call<T> {
    let target = Target { on_unsupported, ..Target::new("aws", model) };
    Call {
        request: Arc::new(request),
        target: Arc::new(target),
        deadline: Instant::now() + Duration::from_secs(30),
        trail: Arc::new(Trail::new("test", Some("00-trace-span-01".to_owned()))),
    }
}

/// A chat call; unsupported fields are dropped when `drops`.
pub(crate) fn chat<T: Task<Request = ChatRequest>>(model: &str, body: &Value, drops: bool) -> Call<T> {
    let request = ChatRequest::parse(Bytes::from(body.to_string())).unwrap();
    new_call(model, request, if drops { OnUnsupported::Drop } else { OnUnsupported::Refuse })
}

/// An embeddings call.
pub(crate) fn embed(model: &str, body: &Value) -> Call<aigate_contract::Embed> {
    let request = EmbedRequest::parse(Bytes::from(body.to_string())).unwrap();
    new_call(model, request, OnUnsupported::Refuse)
}

/// A predictions call at a deployment of this form; `model` has the lists `inputs` and `outputs`.
pub(crate) fn predict(
    target: &str,
    model: &Value,
    wire: &Value,
    body: &Value,
) -> Call<aigate_contract::Predict> {
    let mut request = PredictRequest::parse("m", None, &Bytes::from(body.to_string()), None).unwrap();
    let signature = Signature {
        inputs: serde_json::from_value(model["inputs"].clone()).unwrap(),
        outputs: serde_json::from_value(model["outputs"].clone()).unwrap(),
    };
    signature.check(&mut request).unwrap();
    let config: FormConfig = serde_json::from_value(wire.clone()).unwrap();
    let form = config.resolve(&signature, None).unwrap();
    let mut call = new_call(target, request, OnUnsupported::Refuse);
    let target =
        Target { form: Some(Arc::new(form)), version: Some("3".into()), ..Target::new("aws", target) };
    call.target = Arc::new(target);
    call
}

/// A frame of an event stream.
pub(crate) fn frame(message: &str, kind: &str, payload: &Value) -> Bytes {
    let header =
        |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
    let written = Message::new(Bytes::from(payload.to_string()))
        .add_header(header(":message-type", message))
        .add_header(header(if message == "event" { ":event-type" } else { ":exception-type" }, kind))
        .add_header(header(":content-type", "application/json"));
    let mut bytes = Vec::new();
    write_message_to(&written, &mut bytes).unwrap();
    Bytes::from(bytes)
}

/// An event.
pub(crate) fn event(kind: &str, payload: &Value) -> Bytes {
    frame("event", kind, payload)
}

/// The golden files of a folder, by name.
pub(crate) fn goldens(folder: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, value)
    };
    paths.into_iter().map(read).collect()
}

/// Compares with what the golden file says under `key`. With `AIGATE_BLESS` set, writes it there instead.
pub(crate) fn check_golden(path: &Path, golden: &Value, key: &str, now: &Value) {
    if std::env::var_os("AIGATE_BLESS").is_some() {
        let mut blessed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        blessed[key] = now.clone();
        std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&blessed).unwrap())).unwrap();
        return;
    }
    assert!(
        golden[key] == *now,
        "{}: `{key}` differs\n--- golden\n{:#}\n+++ now\n{now:#}",
        path.display(),
        golden[key],
    );
}
