//! Where an account's API lives and how the gateway proves who it is.

use std::{fmt, future::Future, sync::Arc};

use aigate_contract::{Description, Error, Result, settings::Fault};
use aigate_transport::{Client, Request, Token};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret;
use url::Url;

use crate::{Config, Dialect, from_answer};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `chat/completions`
    Chat,
    /// `embeddings`
    Embeddings,
    /// `models`: which there are. Costs nothing.
    Models,
}

impl Purpose {
    /// The path below the API's base.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
        }
    }
}

/// Proof of who the gateway is, for one request.
#[derive(Clone, Debug)]
pub enum Pass {
    /// None needed.
    Open,
    /// A fixed key.
    Key(HeaderName, HeaderValue),
    /// A token that can expire.
    Token(Arc<Token>),
}

/// One account behind an API in OpenAI's shape.
pub trait Account: fmt::Debug + Send + Sync + 'static {
    /// The URL for a purpose and a model.
    fn url(&self, purpose: Purpose, model: &str) -> Url;

    /// Proof for the next request.
    fn pass(&self) -> impl Future<Output = Result<Pass>> + Send;

    /// The provider refused this token.
    fn refused(&self, token: &Arc<Token>);

    /// Adds headers of the account's own.
    fn decorate(&self, request: Request) -> Request;

    /// The error behind an answer whose status is not a success. Overridden where the account's server says more than
    /// OpenAI does.
    fn explain(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        from_answer(status, headers, body)
    }
}

impl Pass {
    /// Puts the proof on a request.
    pub fn stamp(&self, request: Request) -> Request {
        match self {
            Self::Open => request,
            Self::Key(name, value) => request.header(name.clone(), value.clone()),
            Self::Token(token) => request.header(header::AUTHORIZATION, token.header.clone()),
        }
    }
}

/// An account at OpenAI or at a server of one's own.
#[derive(Debug)]
pub(crate) struct OpenAiAccount {
    chat: Url,
    embeddings: Url,
    base: Url,
    pass: Pass,
    extra: Vec<(HeaderName, HeaderValue)>,
}

const DEFAULT_BASE: &str = "https://api.openai.com/v1";

impl OpenAiAccount {
    pub(crate) fn build(config: &Config) -> Result<(Self, Client, Dialect), Vec<Fault>> {
        let mut faults = Vec::new();
        let base = parse_base(config.base_url.as_deref().unwrap_or(DEFAULT_BASE));
        let pass = match &config.api_key {
            None if config.base_url.is_none() => Err(Fault::at(
                "api_key",
                "OpenAI needs an API key: set `api_key = \"${OPENAI_API_KEY}\"`, or `base_url` for a server of your own",
            )),
            None => Ok(Pass::Open),
            Some(secret) => secret.read().map_err(|why| Fault::at("api_key", why)).and_then(|secret| {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()))
                    .map_err(|_| Fault::at("api_key", "the key cannot stand in an HTTP header"))?;
                value.set_sensitive(true);
                Ok(Pass::Key(header::AUTHORIZATION, value))
            }),
        };
        let mut extra = Vec::new();
        for (key, name, value) in [
            ("organization", "openai-organization", &config.organization),
            ("project", "openai-project", &config.project),
        ] {
            let Some(text) = value else { continue };
            match HeaderValue::from_str(text) {
                Ok(value) => extra.push((HeaderName::from_static(name), value)),
                Err(_) => faults.push(Fault::at(key, "cannot stand in an HTTP header")),
            }
        }
        let client = Client::build(&config.transport());
        match (base, pass, client) {
            (Ok(base), Ok(pass), Ok(client)) if faults.is_empty() => {
                let dialect = Dialect {
                    model_in_body: true,
                    stream_usage: config.stream_usage,
                    token_limit_field: config.token_limit_field,
                };
                let account = Self {
                    chat: below(&base, Purpose::Chat.path()),
                    embeddings: below(&base, Purpose::Embeddings.path()),
                    base,
                    pass,
                    extra,
                };
                Ok((account, client, dialect))
            }
            (base, pass, client) => {
                faults.extend([base.err(), pass.err(), client.err()].into_iter().flatten());
                Err(faults)
            }
        }
    }

    pub(crate) fn describe(&self) -> Description {
        Description {
            kind: "openai",
            region: None,
            system: "openai",
            endpoint: self.base.to_string(),
            credentials: if matches!(self.pass, Pass::Open) { "none" } else { "api key" }.to_owned(),
        }
    }
}

impl Account for OpenAiAccount {
    fn url(&self, purpose: Purpose, _model: &str) -> Url {
        match purpose {
            Purpose::Chat => self.chat.clone(),
            Purpose::Embeddings => self.embeddings.clone(),
            Purpose::Models => below(&self.base, Purpose::Models.path()),
        }
    }

    async fn pass(&self) -> Result<Pass> {
        Ok(self.pass.clone())
    }

    fn refused(&self, _token: &Arc<Token>) {}

    fn decorate(&self, mut request: Request) -> Request {
        for (name, value) in &self.extra {
            request = request.header(name.clone(), value.clone());
        }
        request
    }
}

fn parse_base(text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text).map_err(|error| {
        Fault::at("base_url", format!("`{text}` is not a URL such as {DEFAULT_BASE}: {error}"))
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Fault::at(
            "base_url",
            format!("`{text}` is not an http or https URL such as {DEFAULT_BASE}"),
        ));
    }
    Ok(url)
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_organization_and_the_project_are_sent_and_the_key_is_never_shown() {
        let config = config(r#"{"api_key":"k-secret","organization":"org-1","project":"proj-1"}"#);
        let (account, ..) = OpenAiAccount::build(&config).unwrap();
        let request =
            account.decorate(account.pass.stamp(Request::json(account.url(Purpose::Chat, "m"), "{}")));
        assert_eq!(request.url.as_str(), "https://api.openai.com/v1/chat/completions");
        assert_eq!(request.headers["openai-organization"], "org-1");
        assert_eq!(request.headers["openai-project"], "proj-1");
        assert_eq!(request.headers["authorization"], "Bearer k-secret");
        assert!(!format!("{request:?} {account:?} {config:?}").contains("k-secret"));
    }

    #[test]
    fn every_fault_of_the_settings_is_told_at_once() {
        let config = config(
            r#"{"base_url":"ftp://x","api_key":"file:/nowhere","organization":"\u00fc\n","proxy":"x"}"#,
        );
        let paths: Vec<String> =
            OpenAiAccount::build(&config).err().unwrap().into_iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["organization", "base_url", "api_key", "proxy"]);
    }
}
