//! Proof of who the gateway is: a key, or a token of Microsoft Entra ID that is fetched when needed, kept, renewed early
//! and dropped when Azure refuses it.

mod answer;
mod choose;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aigate_contract::{Error, ErrorKind, Result, settings::Fault};
use aigate_openai::Pass;
use aigate_transport::{Client, Request, Settings, Token, TokenCache};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use tokio::{io::AsyncReadExt, time::timeout};
use url::{Url, form_urlencoded};

pub(crate) use self::choose::{Choice, choose};

/// How long one token may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer of a token server, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The largest federated token, in bytes.
const MAX_ASSERTION: u64 = 64 * 1024;

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How the gateway proves who it is.
#[derive(Debug)]
pub(crate) enum Proof {
    /// One of the resource's keys.
    Key(Pass),
    /// Tokens.
    Entra(Box<Credential>),
}

/// A source of tokens, and the token it gave last.
#[derive(Debug)]
pub(crate) struct Credential {
    way: Way,
    scope: String,
    client: Client,
    cache: TokenCache,
    /// The last token was refused: a server that keeps tokens itself must not give the same one again.
    refused: AtomicBool,
}

/// Where a token comes from.
#[derive(Debug)]
pub(crate) enum Way {
    /// An app registration's secret.
    ///
    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#first-case-access-token-request-with-a-shared-secret>
    ClientSecret { url: Url, client_id: String, secret: SecretString },
    /// A token of another issuer, in a file.
    ///
    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential>
    Workload { url: Url, client_id: String, token_file: PathBuf },
    /// The machine's own metadata service.
    ///
    /// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#get-a-token-using-http>
    Machine { url: Url, client_id: Option<String> },
    /// App Service, Functions and Container Apps.
    ///
    /// <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>
    AppService { url: Url, header: HeaderValue, client_id: Option<String> },
}

impl Proof {
    /// The proof that the settings ask for, with tokens fetched over the calls' own client.
    pub(crate) fn build(choice: Choice, client: &Client, transport: &Settings) -> Result<Self, Fault> {
        let (way, scope) = match choice {
            Choice::Key(pass) => return Ok(Self::Key(pass)),
            Choice::Entra(way, scope) => (way, scope),
        };
        let client = match way {
            // These addresses have a meaning only on the machine itself: no proxy may be asked for them.
            Way::Machine { .. } | Way::AppService { .. } if transport.proxy.is_some() => {
                Client::build(&Settings { proxy: None, ..transport.clone() })?
            }
            _ => client.clone(),
        };
        let (cache, refused) = (TokenCache::default(), AtomicBool::new(false));
        Ok(Self::Entra(Box::new(Credential { way, scope, client, cache, refused })))
    }

    /// What the next request is to carry.
    ///
    /// # Errors
    /// When there is no token to be had.
    pub(crate) async fn pass(&self) -> Result<Pass> {
        match self {
            Self::Key(pass) => Ok(pass.clone()),
            Self::Entra(credential) => credential.token().await.map(Pass::Token),
        }
    }

    /// Azure refused this token.
    pub(crate) fn refused(&self, token: &Arc<Token>) {
        if let Self::Entra(credential) = self {
            credential.refused(token);
        }
    }

    /// In words, without a secret.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Key(_) => "api key".to_owned(),
            Self::Entra(credential) => format!("entra id ({})", credential.way.describe()),
        }
    }
}

impl Credential {
    /// The token; fetched when there is none or it is about to expire.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the token server refuses, [`ErrorKind::Unavailable`] when it fails or is not there.
    async fn token(&self) -> Result<Arc<Token>> {
        self.cache.get(|| self.fetch()).await
    }

    /// Azure refused this token.
    fn refused(&self, token: &Arc<Token>) {
        self.refused.store(true, Ordering::Relaxed);
        self.cache.drop_refused(token);
    }

    async fn fetch(&self) -> Result<Token> {
        let request = self.way.request(&self.scope, self.refused.load(Ordering::Relaxed)).await?;
        let server = request.url.origin().ascii_serialization();
        let exchange = async {
            let answer = self.client.send(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok((status, headers, answer.bytes(MAX_ANSWER).await?))
        };
        let failed = |kind, why: &str| Error::new(kind, format!("no token from {server}: {why}"));
        let (status, headers, body) = match timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let error: Error = error;
                let kind = match error.kind() {
                    ErrorKind::Malformed => ErrorKind::Malformed,
                    _ => ErrorKind::Unavailable,
                };
                return Err(failed(kind, error.message()).with_source(error));
            }
            Err(_) => {
                return Err(failed(ErrorKind::Unavailable, &format!("no answer within {PATIENCE:?}")));
            }
        };
        let token = if status.is_success() {
            answer::read_token(&server, &body)
        } else {
            Err(answer::read_refusal(&self.way, &server, status, &headers, &body))
        }?;
        self.refused.store(false, Ordering::Relaxed);
        Ok(token)
    }
}

impl Way {
    const fn describe(&self) -> &'static str {
        match self {
            Self::ClientSecret { .. } => "client secret",
            Self::Workload { .. } => "workload identity",
            Self::Machine { client_id: None, .. } | Self::AppService { client_id: None, .. } => {
                "managed identity"
            }
            Self::Machine { .. } | Self::AppService { .. } => "managed identity, user-assigned",
        }
    }

    /// The request for a token. `fresh`: not one that the server has given before.
    async fn request(&self, scope: &str, fresh: bool) -> Result<Request> {
        Ok(match self {
            Self::ClientSecret { url, client_id, secret } => {
                form(url, &[("client_secret", secret.expose_secret())], client_id, scope)
            }
            Self::Workload { url, client_id, token_file } => {
                let assertion = read_assertion(token_file).await?;
                let proof = [
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", assertion.expose_secret()),
                ];
                form(url, &proof, client_id, scope)
            }
            Self::Machine { url, client_id } => {
                let request = query(url, "2018-02-01", scope, client_id.as_deref());
                let mut request = request.header("metadata", HeaderValue::from_static("true"));
                if fresh {
                    request.url.query_pairs_mut().append_pair("bypass_cache", "true");
                }
                request
            }
            Self::AppService { url, header, client_id } => {
                query(url, "2019-08-01", scope, client_id.as_deref())
                    .header("x-identity-header", header.clone())
            }
        })
    }
}

fn form(url: &Url, proof: &[(&str, &str)], client_id: &str, scope: &str) -> Request {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id)
        .append_pair("scope", scope)
        .extend_pairs(proof)
        .finish();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Request { method: Method::POST, url: url.clone(), headers, body: body.into() }
}

/// Managed identities know resources instead of scopes: the same without its last part.
fn query(url: &Url, version: &str, scope: &str, client_id: Option<&str>) -> Request {
    let mut url = url.clone();
    let resource = scope.strip_suffix("/.default").unwrap_or(scope);
    url.query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", resource)
        .extend_pairs(client_id.map(|id| ("client_id", id)));
    Request { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
}

async fn read_assertion(path: &Path) -> Result<SecretString> {
    let denied = |why: String| {
        Error::new(
            ErrorKind::Denied,
            format!("cannot read the federated token's file {}: {why}", path.display()),
        )
    };
    let file = tokio::fs::File::open(path).await.map_err(|error| denied(error.to_string()))?;
    let mut text = String::new();
    let mut bounded = file.take(MAX_ASSERTION + 1);
    bounded.read_to_string(&mut text).await.map_err(|error| denied(error.to_string()))?;
    if text.len() as u64 > MAX_ASSERTION {
        return Err(denied(format!("it is larger than {MAX_ASSERTION} bytes")));
    }
    match text.trim() {
        "" => Err(denied("it is empty".to_owned())),
        token => Ok(SecretString::from(token)),
    }
}
