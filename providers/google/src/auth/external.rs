//! Workload identity federation: a token of another identity provider, exchanged for one of Google's.
//!
//! <https://google.aip.dev/auth/4117>

use std::path::PathBuf;

use aigate_contract::{Error, ErrorKind, Result};
use aigate_transport::Token;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::{
    server::Server,
    source::{SCOPE, url},
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The largest subject token, in bytes.
const MAX_TOKEN: u64 = 1024 * 1024;

/// An external account.
#[derive(Debug)]
pub(super) struct External {
    audience: String,
    token_type: String,
    url: Url,
    client: Option<(String, SecretString)>,
    user_project: Option<String>,
    subject: Subject,
    /// The field that holds the token; without it the whole content is the token.
    field: Option<String>,
}

/// Where the other identity provider's token is found.
#[derive(Debug)]
enum Subject {
    File(PathBuf),
    Url { url: Url, headers: Vec<(String, String)> },
}

#[derive(Deserialize)]
struct File {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: Source,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    workforce_pool_user_project: Option<String>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    environment_id: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subject_token_field_name: Option<String>,
}

impl External {
    /// Reads a credentials file's content.
    pub(super) fn parse(json: Value, token_url: Option<&Url>) -> Result<Self, String> {
        let file: File = serde_json::from_value(json).map_err(|error| error.to_string())?;
        let own = url("token_url", &file.token_url)?;
        let field = match file.credential_source.format {
            Some(Format { kind, subject_token_field_name: Some(name) }) if kind == "json" => Some(name),
            Some(Format { kind, .. }) if kind == "json" => {
                return Err("`credential_source.format` lacks `subject_token_field_name`".to_owned());
            }
            _ => None,
        };
        let subject = match (file.credential_source.file, file.credential_source.url) {
            _ if file.credential_source.environment_id.is_some() => None,
            (Some(path), None) => Some(Subject::File(path)),
            (None, Some(text)) => {
                let headers = file.credential_source.headers.into_iter();
                let headers = headers.filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
                Some(Subject::Url { url: source_url(&text)?, headers: headers.collect() })
            }
            _ => None,
        };
        Ok(Self {
            audience: file.audience,
            token_type: file.subject_token_type,
            url: token_url.cloned().unwrap_or(own),
            client: file.client_id.zip(file.client_secret.map(SecretString::from)),
            user_project: file.workforce_pool_user_project,
            subject: subject
                .ok_or("`credential_source` is of a kind that is not supported: expected `file` or `url`")?,
            field,
        })
    }

    /// Gets a token.
    pub(super) async fn fetch(&self, server: &Server) -> Result<Token> {
        let subject = self.subject_token(server).await?;
        let options = self.user_project.as_ref().map(|id| serde_json::json!({"userProject": id}).to_string());
        let mut fields = vec![
            ("grant_type", GRANT),
            ("requested_token_type", ACCESS_TOKEN),
            ("audience", &self.audience),
            ("scope", SCOPE),
            ("subject_token", subject.expose_secret()),
            ("subject_token_type", &self.token_type),
        ];
        // A client that proves itself needs no project; Google takes one of the two.
        match &options {
            Some(options) if self.client.is_none() => fields.push(("options", options)),
            _ => {}
        }
        server.exchange(&self.url, &fields, self.basic()?).await
    }

    fn basic(&self) -> Result<Option<HeaderValue>> {
        let Some((id, secret)) = &self.client else { return Ok(None) };
        let text = format!("Basic {}", STANDARD.encode(format!("{id}:{}", secret.expose_secret())));
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Error::new(ErrorKind::Denied, "the client's secret cannot be sent"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The other provider's token: read anew each time, for it is renewed in place.
    async fn subject_token(&self, server: &Server) -> Result<SecretString> {
        let content = match &self.subject {
            Subject::File(path) => read_file(path).await?,
            Subject::Url { url, headers } => server.read(url, headers).await?.to_vec(),
        };
        let denied = |why: &str| Error::new(ErrorKind::Denied, format!("the subject token {why}"));
        let token = match &self.field {
            None => String::from_utf8(content).map_err(|_| denied("is not text"))?.trim().to_owned(),
            Some(field) => {
                let json: Value = serde_json::from_slice(&content).map_err(|_| denied("is not JSON"))?;
                let token = json.get(field).and_then(Value::as_str);
                token.ok_or_else(|| denied(&format!("has no text field `{field}`")))?.to_owned()
            }
        };
        if token.is_empty() { Err(denied("is empty")) } else { Ok(SecretString::from(token)) }
    }
}

fn source_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(format!("`credential_source.url` is not an http or https URL: `{text}`")),
    }
}

async fn read_file(path: &std::path::Path) -> Result<Vec<u8>> {
    let failed = |why: String| {
        Error::new(ErrorKind::Denied, format!("cannot read the subject token {}: {why}", path.display()))
    };
    let size = tokio::fs::metadata(path).await.map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_TOKEN {
        return Err(failed(format!("larger than {MAX_TOKEN} bytes")));
    }
    tokio::fs::read(path).await.map_err(|error| failed(error.to_string()))
}
