//! Calls to the Hub: which address, which headers, where a redirect may lead, what an error means.
//!
//! <https://huggingface.co/docs/hub/api>

mod answer;

use std::error::Error;

use reqwest::{Client, Method, Response, StatusCode, header, redirect::Policy};
use serde::Deserialize;
use url::Url;

use self::answer::{COMMIT, Seen, Sent, shown, target};
use crate::{
    environment::Options,
    error::PullError,
    patience::{Fault, Patience},
    progress::Progress,
    reference::{Reference, is_commit, is_etag},
};

/// Redirects that are followed in a row.
const MOST_REDIRECTS: usize = 10;

/// The longest answer of the API that is read, in bytes: the list of 100,000 files is shorter.
const LONGEST_ANSWER: usize = 32 << 20;

/// The Hub, for one repository.
pub(crate) struct Hub<'a> {
    http: Client,
    options: &'a Options,
    reference: &'a Reference,
    progress: &'a dyn Progress,
}

/// A revision: its commit and its files.
#[derive(Debug)]
pub(crate) struct Revision {
    pub(crate) commit: String,
    pub(crate) files: Vec<Listed>,
}

/// A file in the API's list.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    #[serde(rename = "rfilename")]
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: Option<u64>,
}

/// What the Hub says of a file before it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// SHA-256 of the content, or Git's SHA-1 of it, in hexadecimal digits.
    pub(crate) etag: String,
    /// Bytes.
    pub(crate) size: u64,
}

impl<'a> Hub<'a> {
    pub(crate) fn new(
        options: &'a Options,
        reference: &'a Reference,
        progress: &'a dyn Progress,
    ) -> Result<Self, PullError> {
        // Redirects are followed here, where it is known which host may have the token.
        let http = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.stall_timeout)
            .user_agent(concat!("aigate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| PullError::Network(format!("cannot set up a client: {}", whole(&error))))?;
        Ok(Self { http, options, reference, progress })
    }

    /// Which commit a revision is, and its files.
    pub(crate) async fn revision(&self) -> Result<Revision, PullError> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            #[serde(default)]
            siblings: Vec<Listed>,
        }
        let revision = self.reference.revision_or_main();
        let mut url =
            self.url(&["api", "models", self.reference.owner(), self.reference.repo(), "revision", revision]);
        url.set_query(Some("blobs=true"));
        let answer: Answer = match self.json(url).await {
            Err(error) => return Err(self.with_near(error).await),
            Ok(answer) => answer,
        };
        if !is_commit(&answer.sha) {
            return Err(PullError::Answer(format!(
                "the hub names `{}` as the commit of {}",
                answer.sha, self.reference
            )));
        }
        Ok(Revision { commit: answer.sha, files: answer.siblings })
    }

    /// A file's checksum and size. `listed` is the size in the list.
    pub(crate) async fn meta(
        &self,
        commit: &str,
        file: &str,
        listed: Option<u64>,
    ) -> Result<Meta, PullError> {
        let mut patience = self.patience();
        loop {
            match self.send(Method::HEAD, self.file_url(commit, file), None).await {
                Ok(sent) => return self.read_meta(&sent, commit, file, listed),
                Err(fault) => patience.wait(fault, file).await?,
            }
        }
    }

    /// Begins a download at this byte.
    pub(crate) async fn content(
        &self,
        commit: &str,
        file: &str,
        from: u64,
        meta: &Meta,
    ) -> Result<Response, Fault> {
        let sent = self.send(Method::GET, self.file_url(commit, file), Some(from)).await?;
        // The commit is in the address, so another checksum now means that something between us and the Hub is wrong.
        match sent.etag() {
            Some(etag) if etag != meta.etag => Err(Fault::Final(PullError::Answer(format!(
                "the hub says that `{file}` has the checksum {}, and then {etag}",
                meta.etag
            )))),
            _ => Ok(sent.response),
        }
    }

    /// Counts failures of one piece of work.
    pub(crate) fn patience(&self) -> Patience<'a> {
        Patience::new(self.options, self.progress)
    }

    fn file_url(&self, commit: &str, file: &str) -> Url {
        address(self.reference, commit, file, self.options)
    }

    /// The page of the repository.
    fn page(&self) -> Url {
        self.url(&[self.reference.owner(), self.reference.repo()])
    }

    fn url(&self, parts: &[&str]) -> Url {
        below(&self.options.endpoint, parts)
    }

    fn read_meta(
        &self,
        sent: &Sent,
        commit: &str,
        file: &str,
        listed: Option<u64>,
    ) -> Result<Meta, PullError> {
        let wrong = |what: String| PullError::Answer(format!("the hub's answer for `{file}` {what}"));
        let etag = sent.etag().ok_or_else(|| wrong("has no checksum to verify it by".to_owned()))?;
        if !is_etag(&etag) {
            return Err(wrong(format!("has the etag {etag:?}, which is neither SHA-1 nor SHA-256")));
        }
        if let Some(other) = sent.commit.as_deref().filter(|other| *other != commit) {
            return Err(wrong(format!("is of the commit {other:?}, not of {commit}")));
        }
        let size = match &sent.size {
            Some(text) => Some(text.parse().map_err(|_| wrong(format!("has the size {text:?}")))?),
            None => listed,
        };
        let size = size.ok_or_else(|| wrong("tells no size".to_owned()))?;
        Ok(Meta { etag, size })
    }

    async fn json<T: for<'de> Deserialize<'de>>(&self, url: Url) -> Result<T, PullError> {
        let mut patience = self.patience();
        loop {
            match self.try_json(&url).await {
                Ok(body) => {
                    return serde_json::from_slice(&body).map_err(|error| {
                        PullError::Answer(format!("cannot read the answer of {url}: {error}"))
                    });
                }
                Err(fault) => patience.wait(fault, &self.reference.id()).await?,
            }
        }
    }

    async fn try_json(&self, url: &Url) -> Result<Vec<u8>, Fault> {
        let mut response = self.send(Method::GET, url.clone(), None).await?.response;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Fault::passing(whole(&error)))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(PullError::Answer(format!(
                    "the answer of {url} is longer than {LONGEST_ANSWER} bytes"
                ))
                .into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Sends a request and follows redirects. The token goes to the endpoint's origin alone. A HEAD request ends where a
    /// redirect leaves that origin, once the checksum is known: a CDN knows none. (A mirror may send on to the Hub itself.)
    async fn send(&self, method: Method, mut url: Url, from: Option<u64>) -> Result<Sent, Fault> {
        let mut seen = Seen::default();
        for _ in 0..=MOST_REDIRECTS {
            let at_home = url.origin() == self.options.endpoint.origin();
            let mut request =
                self.http.request(method.clone(), url.clone()).header(header::ACCEPT_ENCODING, "identity");
            if let Some(token) = self.options.authorization.as_ref().filter(|_| at_home) {
                request = request.header(header::AUTHORIZATION, token);
            }
            if let Some(from) = from.filter(|from| *from > 0) {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let response = request.send().await.map_err(|error| unsent(&url, &error))?;
            if at_home || response.headers().contains_key(COMMIT) {
                seen.look(response.headers(), response.status());
            }
            let Some(next) = target(&url, &response)? else {
                return self.judge(response, at_home).map(|response| seen.with(response));
            };
            let leaves = next.origin() != self.options.endpoint.origin();
            if method == Method::HEAD && leaves && seen.etag.is_some() {
                return Ok(seen.with(response));
            }
            url = next;
        }
        Err(PullError::Answer(format!("more than {MOST_REDIRECTS} redirects, the last to {}", shown(&url)))
            .into())
    }

    /// An answer that is none of what was asked for, as an error.
    fn judge(&self, response: Response, at_home: bool) -> Result<Response, Fault> {
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        if let Some(fault) = Fault::of_status(status, response.headers()) {
            return Err(fault);
        }
        let code =
            response.headers().get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or_default();
        let (id, with_token) = (self.reference.id(), self.options.authorization.is_some());
        let missing =
            |what: String, maybe_private| PullError::Missing { what, near: Vec::new(), maybe_private };
        Err(Fault::Final(match (status, code) {
            _ if !at_home => PullError::Answer(format!("{} answered {status}", shown(response.url()))),
            (_, "RevisionNotFound") => {
                missing(format!("revision `{}` of `{id}`", self.reference.revision_or_main()), false)
            }
            (_, "EntryNotFound") | (StatusCode::NOT_FOUND, "")
                if response.url().path().contains("/resolve/") =>
            {
                missing(format!("such file in `{id}`: {}", response.url().path()), false)
            }
            // Without a token the Hub answers 401 for what does not exist, too.
            (_, "RepoNotFound") | (StatusCode::NOT_FOUND, _) => missing(format!("repository `{id}`"), true),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => PullError::Denied {
                repository: id,
                page: self.page().to_string(),
                token_file: self.options.token_file.clone(),
                with_token,
            },
            _ => PullError::Answer(format!("{} answered {status}", shown(response.url()))),
        }))
    }

    /// A missing repository or revision with the names near it. That is a help only: where the Hub does not tell them, there are none.
    async fn with_near(&self, error: PullError) -> PullError {
        #[derive(Deserialize)]
        struct Named {
            #[serde(alias = "id")]
            name: String,
        }
        #[derive(Default, Deserialize)]
        struct Refs {
            #[serde(default)]
            branches: Vec<Named>,
            #[serde(default)]
            tags: Vec<Named>,
        }
        let PullError::Missing { what, maybe_private, .. } = error else { return error };
        let (owner, repo) = (self.reference.owner(), self.reference.repo());
        let (wanted, known) = if maybe_private {
            let mut url = self.url(&["api", "models"]);
            url.query_pairs_mut().append_pair("author", owner).append_pair("limit", "500");
            (self.reference.id(), self.json::<Vec<Named>>(url).await.unwrap_or_default())
        } else {
            let refs: Refs =
                self.json(self.url(&["api", "models", owner, repo, "refs"])).await.unwrap_or_default();
            (
                self.reference.revision_or_main().to_owned(),
                refs.branches.into_iter().chain(refs.tags).collect(),
            )
        };
        let known: Vec<String> = known.into_iter().map(|named| named.name).collect();
        PullError::Missing { what, near: near(&wanted, &known), maybe_private }
    }
}

/// Where a file of this commit is fetched from.
#[must_use]
pub fn address(reference: &Reference, commit: &str, file: &str, options: &Options) -> Url {
    let mut parts = vec![reference.owner(), reference.repo(), "resolve", commit];
    parts.extend(file.split('/'));
    below(&options.endpoint, &parts)
}

/// An address below another; each part is quoted.
fn below(endpoint: &Url, parts: &[&str]) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

/// Names near this one, the nearest first.
pub(crate) fn near(wanted: &str, known: &[String]) -> Vec<String> {
    let likeness = |name: &String| strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase());
    let mut ranked: Vec<(f64, &String)> = known.iter().map(|name| (likeness(name), name)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().filter(|(likeness, _)| *likeness > 0.7).take(5).map(|(_, name)| name.clone()).collect()
}

fn unsent(url: &Url, error: &reqwest::Error) -> Fault {
    let host = url.host_str().unwrap_or_default();
    let why = if error.is_timeout() { "no answer in time".to_owned() } else { whole(error) };
    Fault::passing(format!("cannot reach {host}: {why}"))
}

/// An error with its causes, without the address.
pub(crate) fn whole(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if causes.is_empty() { "the connection failed".to_owned() } else { causes.join(": ") }
}
