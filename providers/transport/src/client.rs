//! The one outbound HTTP client: pooled, bounded, without redirects, with the operator's CA and proxy.

use std::{
    fmt,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aigate_contract::{
    Error, ErrorKind, Result,
    settings::{Fault, Interval},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::{
    connect::{Connector, Proxies, tls},
    failure::transport_error,
};

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
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    proxies: Arc<Proxies>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

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
pub struct Response(http::Response<Incoming>);

impl Client {
    /// Builds a client.
    ///
    /// # Errors
    /// A fault at `ca_file` or `proxy` when it is not usable.
    pub fn build(settings: &Settings) -> Result<Self, Fault> {
        let connect = settings.connect_timeout.map_or(Duration::from_secs(5), |interval| interval.0);
        // Without a CA file only the system's own roots can be at fault, which is no key's.
        let key = if settings.ca_file.is_some() { "ca_file" } else { "" };
        let tls = tls(settings.ca_file.as_deref()).map_err(|why| Fault::at(key, why))?;
        let proxies = Proxies::new(settings.proxy.as_deref()).map_err(|why| Fault::at("proxy", why))?;
        let proxies = Arc::new(proxies);
        let connector = Connector::new(tls, Arc::clone(&proxies), connect);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(50))
            // A connection that leads nowhere any more is found out, not reused.
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_timeout(Duration::from_secs(5))
            .build(connector);
        Ok(Self { inner, proxies })
    }

    /// Sends a request and waits for the answer's head.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when there is no connection or it breaks. An HTTP error status is an answer.
    pub async fn send(&self, request: Request) -> Result<Response> {
        let uri = Uri::try_from(request.url.as_str()).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the provider's URL cannot be used: {error}"))
        })?;
        let authorization = self.proxies.authorization(&uri);
        let mut outgoing = http::Request::new(Full::new(request.body));
        *outgoing.method_mut() = request.method;
        *outgoing.uri_mut() = uri;
        *outgoing.headers_mut() = request.headers;
        let headers = outgoing.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(authorization) = authorization {
            headers.insert(header::PROXY_AUTHORIZATION, authorization);
        }
        self.inner.request(outgoing).await.map(Response).map_err(transport_error)
    }
}

/// What providers see of us.
pub(crate) const USER_AGENT: &str = concat!("aigate/", env!("CARGO_PKG_VERSION"));

impl Request {
    /// A GET.
    pub fn get(url: Url) -> Self {
        let request = Self::json(url, Bytes::new());
        Self { method: Method::GET, ..request }
    }

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
        if self.0.body().size_hint().lower() > limit as u64 {
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
        BodyStream(self.0.into_body())
    }
}

/// A body as it comes.
#[expect(missing_debug_implementations, reason = "a stream of bytes has nothing to show")]
pub struct BodyStream(Incoming);

impl Stream for BodyStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(broke_off(error)))),
                None => return Poll::Ready(None),
            };
            // Trailers say nothing that is used.
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

fn broke_off(error: hyper::Error) -> Error {
    Error::new(ErrorKind::Interrupted, "the provider's answer broke off").with_source(error)
}
