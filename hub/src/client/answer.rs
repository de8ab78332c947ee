//! An answer of the Hub or of a CDN: its headers, and where a redirect leads.

use reqwest::{
    Response, StatusCode,
    header::{self, HeaderMap},
};
use url::Url;

use crate::{error::PullError, patience::Fault};

/// The header that a Hub's answer about a file has.
pub(super) const COMMIT: &str = "x-repo-commit";

/// An answer, with what the Hub's own headers said on the way to it.
pub(super) struct Sent {
    pub(super) response: Response,
    etag: Option<String>,
    pub(super) size: Option<String>,
    pub(super) commit: Option<String>,
}

impl Sent {
    pub(super) fn etag(&self) -> Option<String> {
        self.etag.as_deref().map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned())
    }
}

/// The headers of the Hub's own answers: the first that says a thing counts.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) etag: Option<String>,
    size: Option<String>,
    commit: Option<String>,
}

impl Seen {
    pub(super) fn look(&mut self, headers: &HeaderMap, status: StatusCode) {
        let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // The `ETag` and the length of a redirect are those of its own short text.
        let own = |name: &str| of(name).filter(|_| status.is_success());
        self.etag = self.etag.take().or_else(|| of("x-linked-etag")).or_else(|| own("etag"));
        self.size = self.size.take().or_else(|| of("x-linked-size")).or_else(|| own("content-length"));
        self.commit = self.commit.take().or_else(|| of(COMMIT));
    }

    pub(super) fn with(self, response: Response) -> Sent {
        Sent { response, etag: self.etag, size: self.size, commit: self.commit }
    }
}

/// Where a redirect leads; nowhere for another answer.
pub(super) fn target(url: &Url, response: &Response) -> Result<Option<Url>, Fault> {
    let location = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection());
    let Some(location) = location else { return Ok(None) };
    let wrong =
        || PullError::Answer(format!("{} redirects to an address that is none to follow", shown(url)));
    let next = location.to_str().ok().and_then(|location| url.join(location).ok()).ok_or_else(wrong)?;
    let safe = next.scheme() == "https" || (next.scheme() == "http" && url.scheme() == "http");
    if safe { Ok(Some(next)) } else { Err(wrong().into()) }
}

/// An address for a message: the query of a CDN's address is a secret.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}
