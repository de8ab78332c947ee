//! How the gateway proves to Google who it is: a key of the Gemini API, or access tokens.
//!
//! Tokens are fetched here rather than by Google's own auth crate: that one brings its own HTTP client and cache, so
//! the operator's CA, proxy and token URL would not count for it, and a refused token would be handed out again.

mod external;
mod server;
mod service_account;
mod source;

use std::sync::Arc;

use aigate_contract::{Result, settings::Secret};
use aigate_transport::{Client, Request, Token, TokenCache};
use http::{HeaderName, HeaderValue, header};
use secrecy::ExposeSecret;

use self::server::Server;
pub(crate) use self::source::Source;

const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The provider's credentials.
#[derive(Debug)]
pub(crate) struct Auth(Kind);

#[derive(Debug)]
enum Kind {
    Key(HeaderValue),
    Tokens(Box<Tokens>),
}

/// Where tokens come from, and the one that is held.
#[derive(Debug)]
struct Tokens {
    source: Source,
    server: Server,
    cache: TokenCache,
}

/// What one request carries.
#[derive(Clone, Debug)]
pub(crate) enum Pass {
    /// An API key.
    Key(HeaderValue),
    /// A token, that may be refused.
    Token(Arc<Token>),
}

impl Auth {
    /// With a key of the Gemini API.
    pub(crate) fn with_key(key: &Secret) -> Result<Self, String> {
        let mut value = HeaderValue::from_str(key.read()?.expose_secret())
            .map_err(|_| "the key has characters that cannot stand in an HTTP header".to_owned())?;
        value.set_sensitive(true);
        Ok(Self(Kind::Key(value)))
    }

    /// With access tokens. `direct` reaches servers inside the house, without the proxy.
    pub(crate) fn with_tokens(source: Source, client: Client, direct: Client) -> Self {
        let server = Server { client, direct };
        Self(Kind::Tokens(Box::new(Tokens { source, server, cache: TokenCache::default() })))
    }

    /// What the next request is to carry.
    ///
    /// # Errors
    /// When there is no token to be had.
    pub(crate) async fn pass(&self) -> Result<Pass> {
        match &self.0 {
            Kind::Key(key) => Ok(Pass::Key(key.clone())),
            Kind::Tokens(tokens) => {
                tokens.cache.get(|| tokens.source.fetch(&tokens.server)).await.map(Pass::Token)
            }
        }
    }

    /// Google refused `pass`. Whether another try with a new one makes sense.
    pub(crate) fn refused(&self, pass: &Pass) -> bool {
        match (&self.0, pass) {
            (Kind::Tokens(tokens), Pass::Token(token)) => {
                tokens.cache.drop_refused(token);
                true
            }
            _ => false,
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match &self.0 {
            Kind::Key(_) => "api key".to_owned(),
            Kind::Tokens(tokens) => tokens.source.describe(),
        }
    }
}

impl Pass {
    /// Puts the credentials into a request.
    pub(crate) fn sign(&self, request: Request) -> Request {
        match self {
            Self::Key(key) => request.header(API_KEY, key.clone()),
            Self::Token(token) => request.header(header::AUTHORIZATION, token.header.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
