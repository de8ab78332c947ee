//! What an operator writes under `[providers.NAME]` with `kind = "google"`, and the check of it.

use std::path::{Path, PathBuf};

use aigate_contract::settings::{Fault, Interval, Secret};
use aigate_transport as transport;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    auth::{Auth, Source},
    site::Site,
};

/// A Google account: Vertex AI in a project, or the Gemini API with a key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// The Google Cloud project that is billed. Needed for Vertex AI; has no meaning with `api_key`.
    #[serde(default)]
    pub project: Option<String>,
    /// Where Vertex AI answers: `global`, the multi-regions `us` and `eu`, or a region such as `europe-west4`.
    /// Default `global`.
    #[serde(default)]
    pub location: Option<String>,
    /// A key of the Gemini API (generativelanguage.googleapis.com). With it the Gemini API is used instead of Vertex
    /// AI, and `project`, `location`, `credentials`, `token_url` and `quota_project` are refused.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Another host than Google's, e.g. `https://aiplatform.internal` for Private Service Connect.
    #[serde(default)]
    pub base_url: Option<String>,
    /// A JSON file with credentials of type `service_account`, `authorized_user`, `external_account` (workload
    /// identity federation) or `impersonated_service_account`. Default: application default credentials, that is the
    /// file in `GOOGLE_APPLICATION_CREDENTIALS`, then gcloud's own file, then the metadata server.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// Another token endpoint than the one the credentials name. For credentials from the metadata server: its
    /// address, e.g. `http://metadata.internal`, or the whole URL of the token.
    #[serde(default)]
    pub token_url: Option<String>,
    /// The project whose quota counts, sent as `x-goog-user-project`. Default: `GOOGLE_CLOUD_QUOTA_PROJECT`, then what
    /// the credentials say.
    #[serde(default)]
    pub quota_project: Option<String>,
    /// A PEM file with CA certificates to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy for every call to this provider, e.g. `http://proxy.internal:3128`; Google's own metadata server is
    /// reached without it. Without this key `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.
    #[serde(default)]
    pub proxy: Option<String>,
    /// How long a connection may take to open. Default 5s.
    #[serde(default)]
    pub connect_timeout: Option<Interval>,
}

/// A config that was found to be right.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) site: Site,
    pub(crate) auth: Auth,
    pub(crate) client: transport::Client,
    pub(crate) quota_project: Option<String>,
}

/// What the process environment says; handed in, so that tests need not change it.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) gcloud_file: Option<PathBuf>,
    pub(crate) quota_project: Option<String>,
    pub(crate) metadata_host: Option<String>,
}

impl Environment {
    pub(crate) fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let gcloud = text("CLOUDSDK_CONFIG")
            .map(PathBuf::from)
            .or_else(|| text("HOME").map(|home| Path::new(&home).join(".config/gcloud")));
        Self {
            credentials: text("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from),
            gcloud_file: gcloud.map(|folder| folder.join("application_default_credentials.json")),
            quota_project: text("GOOGLE_CLOUD_QUOTA_PROJECT"),
            metadata_host: text("GCE_METADATA_HOST"),
        }
    }
}

impl Config {
    /// Checks everything and reads the files that are named. All faults at once.
    pub(crate) fn check(&self, environment: &Environment) -> Result<Settings, Vec<Fault>> {
        let mut faults = Vec::new();
        let client = self.client(self.proxy.clone(), &mut faults);
        let site = keep(Site::of(self), &mut faults);
        let (auth, found_quota_project) = match &self.api_key {
            Some(key) => {
                self.refuse_beside_key(&mut faults);
                (keep(Auth::with_key(key).map_err(|why| vec![Fault::at("api_key", why)]), &mut faults), None)
            }
            None => match keep(Source::find(self, environment), &mut faults) {
                Some((source, quota_project)) => {
                    let direct = match self.proxy {
                        Some(_) => self.client(None, &mut faults),
                        None => client.clone(),
                    };
                    let clients = client.clone().zip(direct);
                    (
                        clients.map(|(client, direct)| Auth::with_tokens(source, client, direct)),
                        environment.quota_project.clone().or(quota_project),
                    )
                }
                None => (None, None),
            },
        };
        let quota_project = self.quota_project.clone().or(found_quota_project);
        if quota_project.as_deref().is_some_and(|name| http::HeaderValue::from_str(name).is_err()) {
            faults.push(Fault::at("quota_project", "has characters that cannot stand in an HTTP header"));
        }
        match (site, auth, client) {
            (Some(site), Some(auth), Some(client)) if faults.is_empty() => {
                Ok(Settings { site, auth, client, quota_project })
            }
            _ => Err(faults),
        }
    }

    fn client(&self, proxy: Option<String>, faults: &mut Vec<Fault>) -> Option<transport::Client> {
        let settings = transport::Settings {
            ca_file: self.ca_file.clone(),
            proxy,
            connect_timeout: self.connect_timeout,
        };
        match transport::Client::build(&settings) {
            Ok(client) => Some(client),
            Err(fault) => {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                None
            }
        }
    }

    fn refuse_beside_key(&self, faults: &mut Vec<Fault>) {
        let given = [
            ("project", self.project.is_some()),
            ("location", self.location.is_some()),
            ("credentials", self.credentials.is_some()),
            ("token_url", self.token_url.is_some()),
            ("quota_project", self.quota_project.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = format!(
                "`api_key` selects the Gemini API, which has no use for `{key}`: remove one of the two"
            );
            faults.push(Fault::at(key, message));
        }
    }
}

fn keep<T>(result: Result<T, Vec<Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    result.map_err(|found| faults.extend(found)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(text).unwrap();
        let faults = config.check(&Environment::default()).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn all_faults_come_at_once() {
        assert_eq!(
            faults(
                r#"{"location":"eu/west","base_url":"ftp://x","token_url":"nope","ca_file":"/nowhere.pem",
                    "proxy":"::","credentials":"/nowhere.json"}"#
            ),
            ["ca_file", "project", "location", "base_url", "token_url", "credentials"]
        );
    }

    #[test]
    fn an_api_key_excludes_what_only_vertex_ai_knows() {
        assert_eq!(faults(r#"{"api_key":"k","project":"p","location":"global"}"#), ["project", "location"]);
        assert_eq!(faults(r#"{"api_key":"k"}"#), [""; 0]);
    }

    #[test]
    fn a_project_alone_is_enough() {
        assert_eq!(faults(r#"{"project":"bank-ai"}"#), [""; 0]);
    }

    #[test]
    fn the_schema_refuses_unknown_keys_and_describes_each_known_one() {
        let schema = schemars::schema_for!(Config).to_value();
        assert_eq!(schema["additionalProperties"], false);
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), 10);
    }
}
