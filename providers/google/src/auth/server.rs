//! One question to a token server, in each of the forms that Google's have.
//!
//! <https://google.aip.dev/auth/4110>, <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>,
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken>

use std::time::{Duration, SystemTime};

use aigate_contract::{Error, ErrorKind, Result};
use aigate_transport::{Client, Request, Token, excerpt, kind_of_status, retry_after};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::source::SCOPE;

/// A token server has this long to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// No answer of a token server is larger.
const MAX_BODY: usize = 1024 * 1024;
/// A token is not believed to live longer.
const LONGEST_LIFE: Duration = Duration::from_secs(12 * 3600);

/// The clients that reach token servers.
#[derive(Debug)]
pub(super) struct Server {
    /// With the operator's proxy.
    pub(super) client: Client,
    /// Without it, for what lies inside the house.
    pub(super) direct: Client,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImpersonationAnswer {
    access_token: String,
    expire_time: String,
}

/// OAuth's error, or Google's own. Nothing else of a refusal is shown: it may repeat what was sent.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: serde_json::Value,
    #[serde(default)]
    error_description: Option<String>,
}

impl Server {
    /// OAuth: a form for an access token.
    pub(super) async fn exchange(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        basic: Option<HeaderValue>,
    ) -> Result<Token> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::json(url.clone(), body)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(basic) = basic {
            request = request.header(header::AUTHORIZATION, basic);
        }
        let answer = ask(&self.client, request).await?;
        read_token(url, &answer)
    }

    /// The metadata server of a machine at Google. Its own address is never reached through a proxy.
    pub(super) async fn metadata(&self, url: &Url, is_default: bool) -> Result<Token> {
        let client = if is_default { &self.direct } else { &self.client };
        let request = get(url.clone()).header("metadata-flavor", HeaderValue::from_static("Google"));
        let answer = ask(client, request).await?;
        read_token(url, &answer)
    }

    /// Anything else that is to be read from a URL: a subject token.
    pub(super) async fn read(&self, url: &Url, headers: &[(String, String)]) -> Result<Bytes> {
        let mut request = get(url.clone());
        for (name, value) in headers {
            let invalid =
                |_| Error::new(ErrorKind::Denied, "a header of the credential source cannot be sent");
            let name = header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                Error::new(ErrorKind::Denied, "a header of the credential source has no name")
            })?;
            let mut value = HeaderValue::from_str(value).map_err(invalid)?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        // Plain http means a server on this machine or link, which no proxy knows.
        let client = if url.scheme() == "http" { &self.direct } else { &self.client };
        ask(client, request).await
    }

    /// A service account's token for the bearer of another token.
    pub(super) async fn impersonate(&self, url: &Url, delegates: &[String], bearer: &Token) -> Result<Token> {
        let body = serde_json::json!({"scope": [SCOPE], "delegates": delegates, "lifetime": "3600s"});
        let request =
            Request::json(url.clone(), body.to_string()).header(header::AUTHORIZATION, bearer.header.clone());
        let answer = ask(&self.client, request).await?;
        let answer: ImpersonationAnswer = parse(url, &answer)?;
        let expires = humantime::parse_rfc3339(&answer.expire_time)
            .map_err(|_| malformed(url, "its `expireTime` is not a time"))?;
        let life = expires.duration_since(SystemTime::now()).unwrap_or_default();
        Token::bearer(&answer.access_token, life.min(LONGEST_LIFE))
    }
}

fn get(url: Url) -> Request {
    let mut request = Request::json(url, Bytes::new());
    request.method = Method::GET;
    request.headers.clear();
    request
}

async fn ask(client: &Client, request: Request) -> Result<Bytes> {
    let url = request.url.clone();
    let talk = async {
        let answer = client.send(request).await?;
        let (status, wait) = (answer.status(), retry_after(answer.headers()));
        let body = answer.bytes(MAX_BODY).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body).with_retry_after(wait)) }
    };
    let late = || Error::new(ErrorKind::Timeout, format!("no answer within {} s", TIMEOUT.as_secs()));
    let result = tokio::time::timeout(TIMEOUT, talk).await.unwrap_or_else(|_| Err(late()));
    result.map_err(|error| {
        let message = format!("no access token from {}: {}", place(&url), error.message());
        let wait = error.retry_after();
        Error::new(error.kind(), message).with_retry_after(wait).with_source(error)
    })
}

/// A token server that says no means that the gateway's own credentials are wrong.
fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let told: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let word = told.error.as_str().or_else(|| told.error.get("status")?.as_str()).unwrap_or_default();
    let text = told.error_description.as_deref().or_else(|| told.error.get("message")?.as_str());
    let text = excerpt(format!("{status} {word} {}", text.unwrap_or_default()).as_bytes());
    let kind = match kind_of_status(status) {
        ErrorKind::Invalid | ErrorKind::Missing | ErrorKind::TooLarge => ErrorKind::Denied,
        kind => kind,
    };
    Error::new(kind, text)
}

fn read_token(url: &Url, body: &[u8]) -> Result<Token> {
    let answer: TokenAnswer = parse(url, body)?;
    Token::bearer(&answer.access_token, Duration::from_secs(answer.expires_in).min(LONGEST_LIFE))
}

fn parse<T: for<'a> Deserialize<'a>>(url: &Url, body: &[u8]) -> Result<T> {
    // The parser's own words may quote the token.
    serde_json::from_slice(body).map_err(|_| malformed(url, "its answer has no token and lifetime"))
}

fn malformed(url: &Url, why: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("no access token from {}: {why}", place(url)))
}

fn place(url: &Url) -> &str {
    url.host_str().unwrap_or("the token server")
}
