//! The one outbound HTTP client: pooled, bounded, without redirects, with the operator's CA and proxy.

use std::{
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use aigate_contract::{Error, ErrorKind, Result, settings::Interval};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::transport_error;

/// How to reach a provider. Part of each provider's settings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A PEM file with CA certificates to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy for every call to this provider, e.g. `http://proxy.internal:3128`. Without it `HTTPS_PROXY`,
    /// `HTTP_PROXY` and `NO_PROXY` count.
    #[serde(default)]
    pub proxy: Option<String>,
    /// How long a connection may take to open. Default 5s.
    #[serde(default)]
    pub connect_timeout: Option<Interval>,
}

/// A pooled HTTP client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method; POST unless changed.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers; mark secrets as sensitive.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// An answer whose body has not been read yet. Dropping it closes the stream upstream.
#[derive(Debug)]
pub struct Response(reqwest::Response);

impl Client {
    /// Builds a client.
    ///
    /// # Errors
    /// A message for the operator when the CA file or the proxy is not usable.
    pub fn build(settings: &Settings) -> Result<Self, String> {
        let connect = settings.connect_timeout.map_or(Duration::from_secs(5), |interval| interval.0);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aigate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect)
            .pool_idle_timeout(Duration::from_secs(50))
            .tcp_keepalive(Duration::from_secs(30))
            .tcp_nodelay(true);
        if let Some(path) = &settings.ca_file {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        }
        if let Some(proxy) = &settings.proxy {
            let proxy =
                reqwest::Proxy::all(proxy).map_err(|error| format!("`proxy` is not usable: {error}"))?;
            builder = builder.proxy(proxy);
        }
        builder.build().map(Self).map_err(|error| format!("cannot build the HTTP client: {error}"))
    }

    /// Sends a request and waits for the answer's head.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when there is no connection or it breaks. An HTTP error status is an answer.
    pub async fn send(&self, request: Request) -> Result<Response> {
        let mut outgoing = reqwest::Request::new(request.method, request.url);
        *outgoing.headers_mut() = request.headers;
        *outgoing.body_mut() = Some(request.body.into());
        self.0.execute(outgoing).await.map(Response).map_err(transport_error)
    }
}

fn read_certificates(path: &PathBuf) -> Result<Vec<reqwest::Certificate>, String> {
    let pem =
        std::fs::read(path).map_err(|error| format!("cannot read `ca_file` {}: {error}", path.display()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem)
        .map_err(|error| format!("`ca_file` {} is not a PEM bundle: {error}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("`ca_file` {} holds no certificate", path.display()));
    }
    Ok(certificates)
}

impl Request {
    /// A POST of a JSON body.
    pub fn json(url: Url, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { method: Method::POST, url, headers, body: body.into() }
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: impl header::IntoHeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Hands the call's trace context on.
    #[must_use]
    pub fn traced(self, traceparent: Option<&str>) -> Self {
        match traceparent.and_then(|text| HeaderValue::from_str(text).ok()) {
            Some(value) => self.header("traceparent", value),
            None => self,
        }
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] when it breaks off, [`ErrorKind::Malformed`] when it is larger.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        let too_large =
            || Error::new(ErrorKind::Malformed, format!("the answer is larger than {limit} bytes"));
        if self.0.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut body = self.into_body();
        let Some(first) = body.next().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = body.next().await.transpose()? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(more) = body.next().await.transpose()? {
            if whole.len() + more.len() > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&more);
        }
        Ok(whole.freeze())
    }

    /// The body as it comes.
    pub fn into_body(self) -> BodyStream {
        BodyStream(Box::pin(self.0.bytes_stream()))
    }
}

/// A body as it comes.
#[expect(missing_debug_implementations, reason = "a stream of bytes has nothing to show")]
pub struct BodyStream(Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>);

impl Stream for BodyStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(item.map(|chunk| {
            chunk.map_err(|error| {
                Error::new(ErrorKind::Interrupted, "the provider's answer broke off")
                    .with_source(error.without_url())
            })
        }))
    }
}
