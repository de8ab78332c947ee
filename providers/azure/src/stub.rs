//! A small HTTP server on loopback for this crate's tests: it records what it is sent and answers as it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aigate_contract::{Call, Target, Task, Trail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::Config;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Method and target, e.g. `GET /x?y=z`.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field of a form.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.body.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }
}

/// A server that runs until its test ends.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// Gives the answers in order, the last one over and over. An answer is a status and a body.
    pub(crate) async fn start(answers: &[(u16, &str)]) -> Self {
        Self::start_with("", answers).await
    }

    /// The same with more header lines in each answer, each with its end.
    pub(crate) async fn start_with(headers: &str, answers: &[(u16, &str)]) -> Self {
        let headers = headers.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self { url: format!("http://{}", listener.local_addr().unwrap()), seen: Arc::default() };
        let mut answers: VecDeque<(u16, String)> =
            answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let seen = Arc::clone(&stub.seen);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let Some(request) = read(&mut socket).await else { continue };
                seen.lock().unwrap().push(request);
                let (status, body) = answers.front().cloned().unwrap();
                if answers.len() > 1 {
                    answers.pop_front();
                }
                let kind = if body.starts_with("data:") { "text/event-stream" } else { "application/json" };
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
                    body.len()
                );
                socket.write_all((head + &body).as_bytes()).await.unwrap();
            }
        });
        stub
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap();
    Some(Seen { line, headers, body })
}

/// Settings from JSON.
pub(crate) fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

/// A call of the deployment `gpt-4.1 mini`.
pub(crate) fn call<T: Task>(request: T::Request) -> Call<T> {
    let target = Target::new("azure-weu", "gpt-4.1 mini");
    Call {
        request: Arc::new(request),
        target: Arc::new(target),
        deadline: Instant::now() + Duration::from_secs(30),
        trail: Arc::new(Trail::new("test", None)),
    }
}
