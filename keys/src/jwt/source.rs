//! Where an issuer's public keys are, and how they are read: within bounds of size and time, never over plain HTTP except on
//! this machine.

use std::{
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use aigate_contract::settings::Fault;
use aigate_transport::{Client, Request, Settings, is_loopback};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::JwtConfig;

/// The largest answer or file, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// The time for all of it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    Url(Url),
    /// In the issuer's own description of itself (OpenID Connect Discovery).
    Discovery {
        url: Url,
        issuer: String,
    },
}

/// Reads them.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    client: Client,
}

impl Source {
    /// # Errors
    /// Faults at the keys that say where the public keys are and how to get there.
    pub(super) fn build(config: &JwtConfig) -> Result<Self, Vec<Fault>> {
        let settings =
            Settings { ca_file: config.ca_file.clone(), proxy: config.proxy.clone(), connect_timeout: None };
        match (place(config), Client::build(&settings)) {
            (Ok(place), Ok(client)) => Ok(Self { place, client }),
            (place, client) => Err(place.err().into_iter().chain(client.err()).collect()),
        }
    }

    /// The text of the JWK Set.
    ///
    /// # Errors
    /// A message for the operator.
    pub(super) async fn read(&self) -> Result<Bytes, String> {
        match timeout(TIMEOUT, self.read_in_time()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("{} does not answer within {} s", self.place, TIMEOUT.as_secs())),
        }
    }

    async fn read_in_time(&self) -> Result<Bytes, String> {
        match &self.place {
            Place::File(path) => {
                let path = path.clone();
                let reading = tokio::task::spawn_blocking(move || read_file(&path));
                reading.await.map_err(|error| format!("reading the file was stopped: {error}"))?
            }
            Place::Url(url) => self.get(url).await,
            Place::Discovery { url, issuer } => {
                let found =
                    described(&self.get(url).await?, issuer).map_err(|why| format!("{url}: {why}"))?;
                self.get(&found).await
            }
        }
    }

    async fn get(&self, url: &Url) -> Result<Bytes, String> {
        let request = Request {
            method: Method::GET,
            url: url.clone(),
            headers: Default::default(),
            body: Bytes::new(),
        }
        .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.client.send(request).await.map_err(|error| format!("{url}: {error}"))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{url} answered {}", answer.status()));
        }
        answer.bytes(MAX_BYTES).await.map_err(|error| format!("{url}: {error}"))
    }
}

/// Reads a file with a JWK Set.
///
/// # Errors
/// A message for the operator.
pub(super) fn read_file(path: &Path) -> Result<Bytes, String> {
    let mut text = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text));
    match read {
        Ok(_) if text.len() > MAX_BYTES => {
            Err(format!("{} is larger than {MAX_BYTES} bytes", path.display()))
        }
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) | Self::Discovery { url, .. } => url.fmt(f),
        }
    }
}

fn place(config: &JwtConfig) -> Result<Place, Fault> {
    match (&config.jwks_url, &config.jwks_file) {
        (Some(_), Some(_)) => {
            Err(Fault::at("jwks_file", "stands beside `jwks_url`: the public keys are in one of them"))
        }
        (Some(url), None) => safe_url(url).map(Place::Url).map_err(|why| Fault::at("jwks_url", why)),
        (None, Some(path)) => Ok(Place::File(path.clone())),
        (None, None) => {
            let url = format!("{}/.well-known/openid-configuration", config.issuer.trim_end_matches('/'));
            match safe_url(&url) {
                Ok(url) => Ok(Place::Discovery { url, issuer: config.issuer.clone() }),
                Err(why) => Err(Fault::at(
                    "issuer",
                    format!("leads to no public keys ({why}): set `jwks_url` or `jwks_file`"),
                )),
            }
        }
    }
}

/// A URL that is safe to trust: whoever can change what it answers can forge every token.
fn safe_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(format!("`{text}` is not an https URL")),
    }
}

/// Where the issuer's description says that its keys are.
fn described(text: &[u8], issuer: &str) -> Result<Url, String> {
    #[derive(Deserialize)]
    struct Description {
        issuer: String,
        jwks_uri: String,
    }

    let description: Description =
        serde_json::from_slice(text).map_err(|error| format!("not an OpenID description: {error}"))?;
    if description.issuer != issuer {
        return Err(format!("describes the issuer `{}`, not `{issuer}`", description.issuer));
    }
    safe_url(&description.jwks_uri).map_err(|why| format!("jwks_uri: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in [
            "https://id.bank.example/keys",
            "http://127.0.0.1:8080/keys",
            "http://[::1]/",
            "http://localhost/k",
        ] {
            assert!(safe_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.bank.example/keys",
            "http://localhost.evil.example/",
            "ftp://127.0.0.1/",
            "keys",
            "file:///keys",
        ] {
            assert!(safe_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_description_must_be_of_the_issuer_itself() {
        let text = br#"{"issuer": "https://a.example", "jwks_uri": "https://a.example/keys"}"#;
        assert_eq!(described(text, "https://a.example").unwrap().path(), "/keys");
        assert!(described(text, "https://b.example").unwrap_err().contains("not `https://b.example`"));
        let plain = br#"{"issuer": "https://a.example", "jwks_uri": "http://a.example/keys"}"#;
        assert!(described(plain, "https://a.example").unwrap_err().contains("not an https URL"));
        assert!(described(b"{}", "https://a.example").unwrap_err().contains("not an OpenID description"));
    }
}
