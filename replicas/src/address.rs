//! Redis' URL.

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
    io::tcp::TcpSettings,
};
use secrecy::{ExposeSecret, SecretString};

/// Says whether a URL, and certificates for it, would do. Touches no network.
///
/// # Errors
/// What is wrong, in words, without the URL: it may hold a password.
pub fn check_url(url: &SecretString, ca: Option<&[u8]>) -> Result<(), String> {
    Address::new(url, ca).map(drop)
}

/// Where Redis is, checked. Has no `Debug`: it knows the password.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) client: Client,
}

impl Address {
    pub(crate) fn new(url: &SecretString, ca: Option<&[u8]>) -> Result<Self, String> {
        let info = read(url.expose_secret())?;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if tls {
            // Redis' client takes the process' provider. Whoever came first has chosen it: no fault.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = match ca {
            None => Client::open(info),
            Some(_) if !tls => return Err("certificates are for `rediss://` URLs only".to_owned()),
            Some(pem) if !holds_certificate(pem) => {
                return Err("the CA file holds no certificate in PEM".to_owned());
            }
            Some(pem) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) },
            ),
        };
        Ok(Self { client: client.map_err(|error| format!("the URL of Redis cannot be used: {error}"))? })
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
