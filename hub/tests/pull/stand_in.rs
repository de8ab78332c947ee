//! A hub on loopback, written from the Hub's documents: the API's revision, `resolve` with its headers and redirects, a
//! CDN on another port. It can cut, stall, refuse and lie.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, Method, Response, StatusCode},
};
use futures_util::{StreamExt, stream};
use sha1::{Digest, Sha1};
use sha2::Sha256;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const TOKEN: &str = "hf_secret";

/// A file of the repository `o/r`.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) etag: String,
    pub(crate) large: bool,
}

/// A request that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: bool,
}

/// A part of a path, and what a request to it gets: a status and headers.
pub(crate) type Answer = (&'static str, u16, Vec<(&'static str, String)>);

/// What goes wrong.
#[derive(Default)]
pub(crate) struct Faults {
    /// Each content request ends after this many bytes of its body, as long as there are entries.
    pub(crate) cuts: VecDeque<usize>,
    /// These requests to `path` parts are answered so, first come first served.
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) ignores_ranges: bool,
    /// The size that is told instead of the true one.
    pub(crate) size: Option<String>,
    /// Names that are listed besides those of the files.
    pub(crate) names: Vec<String>,
    pub(crate) commit: Option<String>,
    /// The content does not come as long as this is so.
    pub(crate) stalls: bool,
}

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    files: Vec<File>,
    seen: Mutex<Vec<Seen>>,
    cdn_seen: Mutex<Vec<Seen>>,
    faults: Mutex<Faults>,
    cdn: SocketAddr,
}

impl File {
    /// A file in Git: its etag is Git's SHA-1.
    pub(crate) fn small(name: &str, content: &[u8]) -> Self {
        let mut sum = Sha1::new();
        sum.update(format!("blob {}\0", content.len()));
        sum.update(content);
        Self { name: name.to_owned(), content: content.to_vec(), etag: hex(&sum.finalize()), large: false }
    }

    /// A file in LFS: its etag is its SHA-256, and it comes from the CDN.
    pub(crate) fn large(name: &str, content: Vec<u8>) -> Self {
        let etag = hex(&Sha256::digest(&content));
        Self { name: name.to_owned(), content, etag, large: true }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl StandIn {
    pub(crate) async fn start(files: Vec<File>) -> Self {
        let hub = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cdn = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, cdn_address) = (hub.local_addr().unwrap(), cdn.local_addr().unwrap());
        let shared = Arc::new(Shared {
            files,
            seen: Mutex::default(),
            cdn_seen: Mutex::default(),
            faults: Mutex::default(),
            cdn: cdn_address,
        });
        for (listener, is_cdn) in [(hub, false), (cdn, true)] {
            let shared = shared.clone();
            let app = Router::new().fallback(move |request: Request| answer(shared.clone(), request, is_cdn));
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
        Self { address, shared }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.shared.faults.lock().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The requests for content, at the CDN or at the hub.
    pub(crate) fn contents(&self) -> Vec<Seen> {
        let at_hub = self.seen().into_iter().filter(|seen| {
            seen.method == Method::GET
                && self.shared.files.iter().any(|file| !file.large && seen.path.ends_with(&file.name))
        });
        at_hub.chain(self.shared.cdn_seen.lock().unwrap().clone()).collect()
    }

    pub(crate) fn at_cdn(&self) -> Vec<Seen> {
        self.shared.cdn_seen.lock().unwrap().clone()
    }
}

async fn answer(shared: Arc<Shared>, request: Request, is_cdn: bool) -> Response<Body> {
    let text =
        |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let path = request.uri().path().to_owned();
    let authorization = text(request.headers(), "authorization");
    let seen = Seen {
        method: request.method().clone(),
        path: path.clone(),
        range: text(request.headers(), "range"),
        token: authorization == Some(format!("Bearer {TOKEN}")),
    };
    let log = if is_cdn { &shared.cdn_seen } else { &shared.seen };
    log.lock().unwrap().push(seen.clone());
    if let Some(answer) = planned(&shared, &path) {
        return answer;
    }
    if let Some(file) = shared.files.iter().find(|file| is_cdn && path == format!("/{}", file.etag)) {
        while shared.faults.lock().unwrap().stalls {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        return content(&shared, file, &seen);
    }
    match path.strip_prefix(&format!("/o/r/resolve/{COMMIT}/")) {
        Some(name) => resolve(&shared, &name.replace("%20", " "), &seen),
        None => api(&shared, &path),
    }
}

fn planned(shared: &Shared, path: &str) -> Option<Response<Body>> {
    let mut faults = shared.faults.lock().unwrap();
    faults.answers.front().filter(|(part, ..)| path.contains(part))?;
    let (_, status, headers) = faults.answers.pop_front()?;
    let plain = Response::builder().status(status);
    let build = headers.iter().fold(plain, |build, (name, value)| build.header(*name, value));
    Some(build.body(Body::empty()).unwrap())
}

fn api(shared: &Shared, path: &str) -> Response<Body> {
    let json = |text: String| Response::builder().body(Body::from(text)).unwrap();
    match path {
        "/api/models/o/r/revision/main" | "/api/models/o/r/revision/v1" => json(listing(shared)),
        "/api/models/o/r/refs" => {
            json(r#"{"branches":[{"name":"main"}],"tags":[{"name":"v1"},{"name":"v1.1"}]}"#.to_owned())
        }
        "/api/models" => json(r#"[{"id":"o/r"},{"id":"o/other-model"}]"#.to_owned()),
        path if path.starts_with("/api/models/o/r/revision/") => failure(404, "RevisionNotFound"),
        _ => failure(401, "RepoNotFound"),
    }
}

fn listing(shared: &Shared) -> String {
    let faults = shared.faults.lock().unwrap();
    let file = |file: &File| serde_json::json!({ "rfilename": file.name, "size": file.content.len(), "blobId": file.etag });
    let others = faults.names.iter().map(|name| serde_json::json!({ "rfilename": name, "size": 1 }));
    let siblings: Vec<_> = shared.files.iter().map(file).chain(others).collect();
    serde_json::json!({ "sha": faults.commit.as_deref().unwrap_or(COMMIT), "siblings": siblings }).to_string()
}

fn resolve(shared: &Shared, name: &str, seen: &Seen) -> Response<Body> {
    let Some(file) = shared.files.iter().find(|file| file.name == name) else {
        return failure(404, "EntryNotFound");
    };
    let told = shared.faults.lock().unwrap().size.clone().unwrap_or_else(|| file.content.len().to_string());
    let builder = Response::builder().header("x-repo-commit", COMMIT);
    if file.large {
        let (etag, location) =
            (format!("\"{}\"", file.etag), format!("http://{}/{}?signed=1", shared.cdn, file.etag));
        let builder = builder
            .header("x-linked-etag", etag)
            .header("x-linked-size", told)
            .header("etag", "\"of-the-redirect\"");
        return builder.status(302).header("location", location).body(Body::from("found")).unwrap();
    }
    if seen.method == Method::HEAD {
        let builder = builder.header("etag", format!("W/\"{}\"", file.etag)).header("content-length", told);
        return builder.body(Body::empty()).unwrap();
    }
    let mut response = content(shared, file, seen);
    response.headers_mut().insert("etag", format!("\"{}\"", file.etag).parse().unwrap());
    response.headers_mut().insert("x-repo-commit", COMMIT.parse().unwrap());
    response
}

fn content(shared: &Shared, file: &File, seen: &Seen) -> Response<Body> {
    let mut faults = shared.faults.lock().unwrap();
    let from = seen.range.as_deref().filter(|_| !faults.ignores_ranges).map(|range| {
        range
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'))
            .unwrap()
            .parse::<usize>()
            .unwrap()
    });
    let whole = file.content.len();
    let bytes = Bytes::copy_from_slice(&file.content[from.unwrap_or(0)..]);
    let mut builder =
        Response::builder().header("content-length", bytes.len()).header("etag", "\"of-the-cdn\"");
    if let Some(from) = from {
        let range = format!("bytes {from}-{}/{whole}", whole - 1);
        builder = builder.status(StatusCode::PARTIAL_CONTENT).header("content-range", range);
    }
    match faults.cuts.pop_front() {
        Some(cut) => {
            let cut = cut.min(bytes.len());
            let first = stream::iter([Ok(bytes.slice(..cut))]);
            // The pause lets the server send what it has before it learns of the cut.
            let then = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            builder.body(Body::from_stream(first.chain(then))).unwrap()
        }
        None => builder.body(Body::from(bytes)).unwrap(),
    }
}

fn failure(status: u16, code: &str) -> Response<Body> {
    Response::builder().status(status).header("x-error-code", code).body(Body::empty()).unwrap()
}
