//! Which credentials there are, and the file forms they come in.
//!
//! <https://cloud.google.com/docs/authentication/application-default-credentials>

use std::path::Path;

use aigate_contract::{Result, settings::Fault};
use aigate_transport::Token;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{external::External, server::Server, service_account::ServiceAccount};
use crate::{
    config::{Config, Environment},
    site::web_url,
};

/// What a token is good for.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

const METADATA_HOST: &str = "metadata.google.internal";
const METADATA_PATH: &str = "computeMetadata/v1/instance/service-accounts/default/token";
/// The largest credentials file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Where tokens come from.
#[derive(Debug)]
pub(crate) struct Source {
    origin: Origin,
    impersonation: Option<Impersonation>,
}

#[derive(Debug)]
enum Origin {
    ServiceAccount(ServiceAccount),
    User { url: Url, client_id: String, client_secret: SecretString, refresh_token: SecretString },
    External(External),
    Metadata { url: Url, is_default: bool },
}

/// The service account whose token is wanted in the end.
#[derive(Debug)]
struct Impersonation {
    url: Url,
    delegates: Vec<String>,
}

#[derive(Deserialize)]
struct User {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    #[serde(default)]
    token_uri: Option<String>,
}

impl Source {
    /// Finds the credentials that a config means, with the quota project that they name.
    pub(crate) fn find(
        config: &Config,
        environment: &Environment,
    ) -> Result<(Self, Option<String>), Vec<Fault>> {
        let mut faults = Vec::new();
        let token_url = config
            .token_url
            .as_deref()
            .and_then(|text| web_url(text).map_err(|why| faults.push(Fault::at("token_url", why))).ok());
        let gcloud = environment.gcloud_file.as_deref().filter(|path| path.is_file());
        let (path, said_by) = match (&config.credentials, &environment.credentials) {
            (Some(path), _) => (Some(path.as_path()), ""),
            (None, Some(path)) => (Some(path.as_path()), "GOOGLE_APPLICATION_CREDENTIALS: "),
            (None, None) => (gcloud, "application default credentials: "),
        };
        let found = match path {
            Some(path) => read(path)
                .and_then(|json| Self::of_file(json, token_url.as_ref()))
                .map_err(|why| Fault::at("credentials", format!("{said_by}{}: {why}", path.display()))),
            None => Self::of_metadata(token_url.as_ref(), environment.metadata_host.as_deref())
                .map(|source| (source, None, None))
                .map_err(|why| Fault::at("credentials", why)),
        };
        match found {
            Ok((_, _, Some(domain))) if domain != "googleapis.com" && config.base_url.is_none() => {
                let message = format!("the credentials belong to the universe `{domain}`: set its host here");
                faults.push(Fault::at("base_url", message));
            }
            Ok((source, quota_project, _)) if faults.is_empty() => return Ok((source, quota_project)),
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
        Err(faults)
    }

    /// With the file's quota project and universe.
    fn of_file(
        mut json: Value,
        token_url: Option<&Url>,
    ) -> Result<(Self, Option<String>, Option<String>), String> {
        let text = |json: &Value, field: &str| json.get(field).and_then(Value::as_str).map(str::to_owned);
        let (quota, domain) = (text(&json, "quota_project_id"), text(&json, "universe_domain"));
        let mut impersonation = None;
        if let Some(address) = text(&json, "service_account_impersonation_url") {
            let delegates = json.get("delegates").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
            impersonation = Some(Impersonation {
                url: url("service_account_impersonation_url", &address)?,
                delegates: serde_json::from_value(delegates)
                    .map_err(|error| format!("`delegates`: {error}"))?,
            });
        }
        if text(&json, "type").as_deref() == Some("impersonated_service_account") {
            if impersonation.is_none() {
                return Err("`service_account_impersonation_url` is missing".to_owned());
            }
            json = json.get("source_credentials").cloned().ok_or("`source_credentials` is missing")?;
        }
        let origin = Origin::of_file(json, token_url)?;
        Ok((Self { origin, impersonation }, quota, domain))
    }

    fn of_metadata(token_url: Option<&Url>, host: Option<&str>) -> Result<Self, String> {
        let mut url = match (token_url, host) {
            (Some(url), _) => url.clone(),
            (None, host) => web_url(&format!("http://{}", host.unwrap_or(METADATA_HOST)))?,
        };
        if url.path() == "/" {
            url.set_path(METADATA_PATH);
        }
        Ok(Self { origin: Origin::Metadata { url, is_default: token_url.is_none() }, impersonation: None })
    }

    /// Gets a new token.
    ///
    /// # Errors
    /// [`aigate_contract::ErrorKind::Denied`] when the credentials are refused; otherwise what befell the call.
    pub(super) async fn fetch(&self, server: &Server) -> Result<Token> {
        let token = match &self.origin {
            Origin::ServiceAccount(account) => account.fetch(server).await?,
            Origin::External(account) => account.fetch(server).await?,
            Origin::Metadata { url, is_default } => server.metadata(url, *is_default).await?,
            Origin::User { url, client_id, client_secret, refresh_token } => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.expose_secret()),
                    ("refresh_token", refresh_token.expose_secret()),
                ];
                server.exchange(url, &fields, None).await?
            }
        };
        match &self.impersonation {
            Some(other) => server.impersonate(&other.url, &other.delegates, &token).await,
            None => Ok(token),
        }
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let origin = match &self.origin {
            Origin::ServiceAccount(account) => format!("service account {}", account.email()),
            Origin::User { .. } => "authorized user".to_owned(),
            Origin::External(_) => "workload identity federation".to_owned(),
            Origin::Metadata { url, .. } => {
                format!("metadata server {}", url.host_str().unwrap_or_default())
            }
        };
        match &self.impersonation {
            Some(_) => format!("{origin}, impersonating a service account"),
            None => origin,
        }
    }
}

impl Origin {
    fn of_file(json: Value, token_url: Option<&Url>) -> Result<Self, String> {
        let kind = json.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "service_account" => ServiceAccount::parse(json, token_url).map(Self::ServiceAccount),
            "external_account" => External::parse(json, token_url).map(Self::External),
            "authorized_user" => {
                let user: User = serde_json::from_value(json).map_err(|error| error.to_string())?;
                let own = user.token_uri.as_deref().unwrap_or("https://oauth2.googleapis.com/token");
                let own = url("token_uri", own)?;
                Ok(Self::User {
                    url: token_url.cloned().unwrap_or(own),
                    client_id: user.client_id,
                    client_secret: SecretString::from(user.client_secret),
                    refresh_token: SecretString::from(user.refresh_token),
                })
            }
            other => Err(format!(
                "credentials of type `{other}` are not supported: expected `service_account`, `authorized_user`, \
                 `external_account` or `impersonated_service_account`"
            )),
        }
    }
}

pub(super) fn url(field: &str, text: &str) -> Result<Url, String> {
    web_url(text).map_err(|why| format!("`{field}`: {why}"))
}

fn read(path: &Path) -> Result<Value, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MAX_FILE {
        return Err(format!("larger than {MAX_FILE} bytes"));
    }
    let content = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    serde_json::from_slice(&content)
        .map_err(|error| format!("not JSON (line {}, column {})", error.line(), error.column()))
}
