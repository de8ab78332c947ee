//! Where Redis is: its URL, and whether that and the other settings would do.

use std::{ops::RangeInclusive, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
    io::tcp::TcpSettings,
};
use secrecy::{ExposeSecret, SecretString};

use crate::keys::Keys;

/// Says whether settings would do. Touches no network.
///
/// # Errors
/// Which field of [`Settings`](crate::Settings) is wrong, `url`, `ca`, `prefix` or `timeout`, and what is wrong with it, in words, without
/// the URL: it may hold a password.
pub fn check(
    url: &SecretString,
    ca: Option<&[u8]>,
    prefix: &str,
    timeout: Duration,
) -> Result<(), (&'static str, String)> {
    usable(url, ca, prefix, timeout).map(drop)
}

/// What comes of settings that would do.
pub(crate) fn usable(
    url: &SecretString,
    ca: Option<&[u8]>,
    prefix: &str,
    timeout: Duration,
) -> Result<(Address, Keys), (&'static str, String)> {
    let address = Address::new(url, ca)?;
    let keys = Keys::new(prefix).map_err(|why| ("prefix", why))?;
    if !TIMEOUTS.contains(&timeout) {
        return Err(("timeout", "the timeout must be at least 1 ms and at most 10 s".to_owned()));
    }
    Ok((address, keys))
}

/// How long a call may be made to wait.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// Where Redis is, checked. Has no `Debug`: it knows the password.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) client: Client,
}

impl Address {
    fn new(url: &SecretString, ca: Option<&[u8]>) -> Result<Self, (&'static str, String)> {
        let info = read(url.expose_secret()).map_err(|why| ("url", why))?;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if tls {
            // Redis' client takes the process' provider. Whoever came first has chosen it: no fault.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = match ca {
            None => Client::open(info),
            Some(_) if !tls => return Err(("ca", "certificates are for `rediss://` URLs only".to_owned())),
            Some(pem) if !holds_certificate(pem) => {
                return Err(("ca", "the CA file holds no certificate in PEM".to_owned()));
            }
            Some(pem) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) },
            ),
        };
        let client = client.map_err(|error| ("url", format!("the URL of Redis cannot be used: {error}")))?;
        Ok(Self { client })
    }
}

fn read(url: &str) -> Result<ConnectionInfo, String> {
    const RIGHT: &str =
        "right is `redis://[user:password@]host[:6379][/0]`, `rediss://…` for TLS, or `redis+unix:///path`";
    let parsed = redis::parse_redis_url(url).ok_or_else(|| format!("this is no URL of a Redis; {RIGHT}"))?;
    if parsed.fragment().is_some() {
        return Err(format!(
            "the URL of Redis must have nothing after a `#`: certificates are always checked; {RIGHT}"
        ));
    }
    let is_socket = parsed.scheme().contains("unix");
    let known = |name: &str| is_socket && ["db", "user", "pass"].contains(&name);
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| !known(name)) {
        // The name only: the value may be a secret.
        return Err(format!("the URL of Redis has a parameter `{name}` that means nothing here; {RIGHT}"));
    }
    let info = parsed
        .into_connection_info()
        .map_err(|error| format!("the URL of Redis is wrong: {error}; {RIGHT}"))?;
    // Messages come on the same connection as answers, which only RESP3 can; and an answer must not wait for Nagle.
    let redis = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("aigate", env!("CARGO_PKG_VERSION"));
    Ok(info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

fn holds_certificate(pem: &[u8]) -> bool {
    pem.windows(BEGIN.len()).any(|window| window == BEGIN)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
