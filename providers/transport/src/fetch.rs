//! Pictures that a caller names by URL, fetched for clouds that take only bytes: within bounds of size and time, and
//! never from an address inside the house.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use aigate_contract::{Error, ErrorKind, Result, Trail};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The largest picture, in bytes.
const MAX_BYTES: usize = 20 * 1024 * 1024;
/// The time for all of it.
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_REDIRECTS: usize = 3;

/// A picture or document in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    /// Media type, lower case, without parameters, e.g. `image/png`.
    pub media_type: String,
    /// The content.
    pub bytes: Bytes,
}

/// What a URL in a request led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The content.
    Inline(Inline),
    /// A URL of a scheme that is not fetched here (`gs`, `s3`): for the cloud to read itself.
    Reference(Url),
}

/// Fetches what callers name by URL. Cheap to clone; its client is made when it is first needed, which for most gateways is
/// never.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Arc<OnceLock<reqwest::Client>>,
    /// `https`, but for tests.
    scheme: &'static str,
    allowed: fn(IpAddr) -> bool,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetcher {
    /// A fetcher that reaches public addresses only. It uses no proxy: a proxy would resolve names beyond our checks.
    pub fn new() -> Self {
        Self::with_policy("https", is_public)
    }

    fn with_policy(scheme: &'static str, allowed: fn(IpAddr) -> bool) -> Self {
        Self { client: Arc::default(), scheme, allowed }
    }

    fn client(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .user_agent(crate::client::USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(PublicOnly(self.allowed)))
            .connect_timeout(Duration::from_secs(5))
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "pictures cannot be fetched").with_source(error)
            })?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Reads a data URI, fetches an `https` URL, or hands a cloud's own URL (`gs://`, `s3://`) back. `param` names the
    /// request's field for the error; the call's `trail` keeps count, so that one call cannot make the gateway fetch without end.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the URL is not allowed, too large, or no URL; [`ErrorKind::Unsupported`] when it cannot be
    /// fetched from here: a deployment that fetches for itself may do better.
    pub async fn resolve(&self, url: &str, param: &str, trail: &Trail) -> Result<Fetched> {
        if url.starts_with("data:") {
            return parse_data_uri(url)
                .map(Fetched::Inline)
                .map_err(|why| Error::new(ErrorKind::Invalid, why).with_param(param));
        }
        let invalid = |why: String| Error::new(ErrorKind::Invalid, why).with_param(param);
        let url = Url::parse(url).map_err(|error| invalid(format!("not a URL: {error}")))?;
        match url.scheme() {
            scheme if scheme == self.scheme => {
                let limit = trail.may_fetch().ok_or_else(|| {
                    invalid(
                        "the conversation names more pictures by URL than are fetched for one call"
                            .to_owned(),
                    )
                })?;
                let inline = self.fetch(url, param, limit.min(MAX_BYTES)).await?;
                trail.fetched(inline.bytes.len());
                Ok(Fetched::Inline(inline))
            }
            "gs" | "s3" => Ok(Fetched::Reference(url)),
            scheme => {
                Err(beyond(&format!("`{scheme}:` URLs are not fetched: use https or a data URI"), param))
            }
        }
    }

    async fn fetch(&self, mut url: Url, param: &str, limit: usize) -> Result<Inline> {
        let client = self.client()?;
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url).map_err(|why| Error::new(ErrorKind::Invalid, why).with_param(param))?;
            let answer = client.get(url.clone()).send().await.map_err(|error| refused(&error, param))?;
            if answer.status().is_redirection()
                && let Some(next) =
                    answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok())
            {
                url = url.join(next).map_err(|error| {
                    Error::new(ErrorKind::Invalid, format!("the URL redirects to nowhere: {error}"))
                        .with_param(param)
                })?;
                continue;
            }
            if !answer.status().is_success() {
                return Err(beyond(&format!("the URL's server answered {}", answer.status()), param));
            }
            return read(answer, param, limit).await;
        }
        Err(Error::new(ErrorKind::Invalid, format!("the URL redirects more than {MAX_REDIRECTS} times"))
            .with_param(param))
    }

    /// Addresses written as numbers never meet the resolver: they are checked here, names there.
    fn check(&self, url: &Url) -> Result<(), String> {
        if url.scheme() != self.scheme {
            return Err(format!("the URL leads to a `{}:` URL: only https is fetched", url.scheme()));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err("the URL has no host".to_owned()),
        };
        if (self.allowed)(address) { Ok(()) } else { Err(format!("{NOT_PUBLIC} ({address})")) }
    }
}

const NOT_PUBLIC: &str = "the URL leads to an address that is not public, which is never fetched";

async fn read(answer: reqwest::Response, param: &str, limit: usize) -> Result<Inline> {
    let invalid = |why: String| Error::new(ErrorKind::Invalid, why).with_param(param);
    let media_type = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(media_type)
        .ok_or_else(|| invalid("the URL's server does not say what kind of content it sends".to_owned()))?;
    let mut body = answer.bytes_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| refused(&error, param))?;
        if bytes.len() + piece.len() > limit {
            return Err(invalid(format!("the URL's content is larger than {limit} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Inline { media_type, bytes: bytes.freeze() })
}

fn refused(error: &reqwest::Error, param: &str) -> Error {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(found) = cause {
        if found.is::<NotPublic>() {
            return Error::new(ErrorKind::Invalid, NOT_PUBLIC).with_param(param);
        }
        cause = found.source();
    }
    let why = if error.is_timeout() { "did not answer in time" } else { "could not be reached" };
    beyond(&format!("the URL's server {why}"), param)
}

/// Not to be had from here.
fn beyond(why: &str, param: &str) -> Error {
    Error::unsupported(param, why)
}

fn media_type(text: &str) -> Option<String> {
    let plain = text.split(';').next()?.trim().to_ascii_lowercase();
    plain.contains('/').then_some(plain)
}

/// Reads `data:image/png;base64,…`.
///
/// # Errors
/// A message for the caller.
pub fn parse_data_uri(uri: &str) -> Result<Inline, String> {
    let (head, data) = uri
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(','))
        .ok_or("not a data URI: expected `data:image/png;base64,…`")?;
    let head = head
        .strip_suffix(";base64")
        .ok_or("the data URI is not base64: expected `;base64,` before the data")?;
    let media_type = media_type(head).ok_or("the data URI names no media type, such as image/png")?;
    let bytes =
        STANDARD.decode(data.trim()).map_err(|error| format!("the data URI's base64 is damaged: {error}"))?;
    Ok(Inline { media_type, bytes: Bytes::from(bytes) })
}

#[derive(Debug)]
struct PublicOnly(fn(IpAddr) -> bool);

#[derive(Debug)]
struct NotPublic;

impl std::fmt::Display for NotPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NOT_PUBLIC)
    }
}

impl std::error::Error for NotPublic {}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One inside address is enough to refuse: a name that is both is a trick.
            if found.iter().any(|address| !allowed(address.ip())) {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is on the public internet: not private, loopback, link-local, metadata, carrier-grade NAT,
/// multicast, documentation, benchmarking or reserved; the same for IPv4 addresses wrapped in IPv6.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let wrapped = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // IPv4-mapped, NAT64 and 6to4 lead to the IPv4 address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => wrapped(high, low),
        [0x2002, high, low, ..] => wrapped(high, low),
        // Teredo and documentation.
        [0x2001, 0 | 0xdb8, ..] => false,
        // Only 2000::/3 is global unicast; loopback, link-local, unique local and multicast lie outside.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_the_house_are_never_public() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[tokio::test]
    async fn urls_to_inside_addresses_and_names_are_refused_before_any_connection() {
        let fetcher = Fetcher::new();
        for url in [
            "https://127.0.0.1/x.png",
            "https://[::1]/x.png",
            "https://169.254.169.254/latest/meta-data",
            "https://2130706433/x.png",
            "https://0x7f.1/x.png",
            "https://localhost/x.png",
        ] {
            let error = fetcher.resolve(url, "p", &trail()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.message().contains("not public"), "{url}: {error}");
        }
        for url in ["http://example.com/x.png", "file:///etc/passwd", "ftp://example.com/x", "x.png"] {
            let kind = fetcher.resolve(url, "p", &trail()).await.unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::Unsupported | ErrorKind::Invalid), "{url}");
        }
    }

    fn trail() -> Trail {
        Trail::new("id", None)
    }

    /// A server on loopback that gives each connection the next of these answers.
    async fn server(answers: Vec<String>) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        url
    }

    fn picture(size: usize) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: image/PNG; x=y\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n{}",
            "p".repeat(size)
        )
    }

    async fn fetch(answers: Vec<String>, trail: &Trail) -> Result<Fetched> {
        let fetcher = Fetcher::with_policy("http", |_| true);
        fetcher.resolve(&server(answers).await, "p", trail).await
    }

    #[tokio::test]
    async fn a_picture_is_fetched_also_behind_a_redirect_and_counted() {
        let redirect =
            "HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
        let trail = trail();
        let fetched = fetch(vec![redirect.clone(), picture(5)], &trail).await.unwrap();
        let inline = Inline { media_type: "image/png".to_owned(), bytes: Bytes::from_static(b"ppppp") };
        assert_eq!(fetched, Fetched::Inline(inline));
        assert_eq!(trail.may_fetch(), Some(64 * 1024 * 1024 - 5));
        let error = fetch(vec![redirect; 5], &trail).await.unwrap_err();
        assert!(error.message().contains("redirects more than"), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_into_the_house_and_a_picture_without_bounds_are_refused() {
        let redirect = "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let url = server(vec![redirect.to_owned()]).await;
        let fetcher = Fetcher::with_policy("http", |address| address.is_loopback());
        let error = fetcher.resolve(&url, "p", &trail()).await.unwrap_err();
        assert!(error.message().contains("not public"), "{error}");

        let error = fetch(vec![picture(MAX_BYTES + 1)], &trail()).await.unwrap_err();
        assert!(error.message().contains("larger than"), "{error}");
        let spent = trail();
        spent.fetched(64 * 1024 * 1024);
        let error = fetch(vec![picture(1)], &spent).await.unwrap_err();
        assert!(error.message().contains("more pictures"), "{error}");
        let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(fetch(vec![gone.to_owned()], &trail()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn data_uris_are_read_or_refused_with_the_reason() {
        let inline = parse_data_uri("data:IMAGE/PNG;base64,aGk=").unwrap();
        assert_eq!((inline.media_type.as_str(), inline.bytes.as_ref()), ("image/png", &b"hi"[..]));
        assert!(parse_data_uri("data:image/png,hi").unwrap_err().contains("base64"));
        assert!(parse_data_uri("data:image/png;base64,@@").unwrap_err().contains("damaged"));
        assert!(parse_data_uri("data:;base64,aGk=").unwrap_err().contains("media type"));
    }
}
