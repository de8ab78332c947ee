//! Connections: TCP, TLS with the system's and the operator's roots, through a proxy where one is set, within a time.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use aigate_contract::BoxError;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use rustls::{
    ClientConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::{net::TcpStream, time::timeout};
use tower::Service;
use url::{Host, Url};

/// Opens connections, TLS included, within a time.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: HttpsConnector<Proxied>,
    limit: Duration,
}

impl Connector {
    /// A connector with this TLS, through these proxies.
    pub(crate) fn new(tls: ClientConfig, proxies: Arc<Proxies>, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        tcp.set_tcp_user_timeout(Some(Duration::from_secs(30)));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Proxied { tcp, proxies });
        Self { inner, limit }
    }
}

/// Whether a URL leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// TLS that trusts the system's roots and those in `ca_file`.
pub(crate) fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = match ca_file {
        Some(path) => Arc::new(verifier(read_certificates(path)?, &provider)?),
        None => system_verifier(&provider)?,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))?;
    // The platform's verifier is the safe one: rustls only files every custom verifier under this name.
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn verifier(extra: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Verifier, String> {
    Verifier::new_with_extra_roots(extra, Arc::clone(provider))
        .map_err(|error| format!("cannot set up TLS: {error}"))
}

/// The system's roots alone, read once for all providers: they are some megabytes.
fn system_verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, String> {
    static SYSTEM: OnceLock<Arc<Verifier>> = OnceLock::new();
    if let Some(verifier) = SYSTEM.get() {
        return Ok(Arc::clone(verifier));
    }
    let fresh = Arc::new(verifier(Vec::new(), provider)?);
    Ok(Arc::clone(SYSTEM.get_or_init(|| fresh)))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem =
        std::fs::read(path).map_err(|error| format!("cannot read `ca_file` {}: {error}", path.display()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("`ca_file` {} holds no certificate", path.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("`ca_file` {} is not a PEM bundle: {error}", path.display())),
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Socket>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (opening, limit) = (self.inner.call(to), self.limit);
        Box::pin(async move {
            match timeout(limit, opening).await {
                Ok(opened) => opened,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time").into()),
            }
        })
    }
}

/// Which calls go through which proxy.
#[derive(Debug)]
pub(crate) struct Proxies(Matcher);

/// Where clouds tell machines who they are: an address of the machine itself, which no proxy can reach.
const NEVER_PROXIED: [&str; 3] = ["169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]"];

impl Proxies {
    /// The operator's proxy for every call, or what `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    pub(crate) fn new(proxy: Option<&str>) -> Result<Self, String> {
        let Some(text) = proxy else { return Ok(Self(Matcher::from_env())) };
        let uri: Uri = text.parse().map_err(|error| format!("`proxy` is not usable: {error}"))?;
        match uri.scheme_str() {
            Some("http") if uri.host().is_some() => Ok(Self(Matcher::builder().all(text).build())),
            _ => Err("`proxy` is not usable: expected a URL such as http://proxy.internal:3128".to_owned()),
        }
    }

    fn intercept(&self, to: &Uri) -> Option<Intercept> {
        if to.host().is_some_and(|host| NEVER_PROXIED.contains(&host)) { None } else { self.0.intercept(to) }
    }

    /// The proxy's credentials that a plain http request carries itself; a tunnel carries them at its opening.
    pub(crate) fn authorization(&self, to: &Uri) -> Option<HeaderValue> {
        if to.scheme_str() != Some("http") {
            return None;
        }
        self.intercept(to)?.basic_auth().cloned()
    }
}

/// Opens TCP connections, to the proxy where there is one: as a tunnel for https.
#[derive(Clone)]
struct Proxied {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
}

impl Service<Uri> for Proxied {
    type Response = Socket;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Socket, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&to) else {
            let opening = self.tcp.call(to);
            return Box::pin(async move { Ok(Socket { io: opening.await?, forwarded: false }) });
        };
        if to.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            return Box::pin(async move { Ok(Socket { io: tunnel.call(to).await?, forwarded: false }) });
        }
        let opening = self.tcp.call(proxy.uri().clone());
        Box::pin(async move { Ok(Socket { io: opening.await?, forwarded: true }) })
    }
}

/// A TCP connection.
pub(crate) struct Socket {
    io: TokioIo<TcpStream>,
    /// Whether requests are to name their whole URL, for a proxy that forwards them.
    forwarded: bool,
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        self.io.inner().connected().proxy(self.forwarded)
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests;
