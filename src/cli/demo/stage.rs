//! The stage: three simulated clouds, a config that names them, a gateway on it.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};

use aigate_sim::{Cloud, CloudKind, Credentials, Latency, Options, start};

use crate::{cli::plan, config::Source, running::Running};

/// Clouds and gateway, running.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) azure: Cloud,
    pub(super) aws: Cloud,
    pub(super) google: Cloud,
    /// The chat model of this machine that is the last to be asked, if there is one.
    pub(super) own: Option<String>,
    running: Running,
    credentials: PathBuf,
}

impl Stage {
    /// Starts everything on loopback.
    pub(super) async fn set(port: u16) -> Result<Self, String> {
        let scorer = crate::sample::scorer()?;
        let cloud = |kind, median, seed| {
            let latency = Latency { median: Duration::from_millis(median), sigma: 0.3 };
            start(
                kind,
                Options {
                    latency,
                    chunk_delay: Duration::from_millis(8),
                    seed,
                    scorer: scorer.clone(),
                    ..Options::default()
                },
            )
        };
        let failed = |error| format!("cannot start a simulated cloud: {error}");
        let azure = cloud(CloudKind::Azure, 60, 1).await.map_err(failed)?;
        let aws = cloud(CloudKind::Aws, 80, 2).await.map_err(failed)?;
        let google = cloud(CloudKind::Google, 100, 3).await.map_err(failed)?;
        let credentials =
            write_credentials().map_err(|error| format!("cannot write a temporary file: {error}"))?;
        let own = own_model();
        let config = config(port, &azure, &aws, &google, &credentials, own.as_deref());
        let plan = plan(&Source::Text(config))?;
        let running =
            Running::start(&plan).await.map_err(|why| format!("{why} (choose another with --port)"))?;
        Ok(Self { azure, aws, google, own, running, credentials })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    pub(super) fn operations_url(&self) -> String {
        format!("http://{}", self.running.operations_address)
    }

    /// Stops the gateway and removes what was written.
    pub(super) async fn clear(self) {
        self.running.stop(Duration::ZERO).await;
        // A temporary file that is gone already is no loss.
        let _ = std::fs::remove_file(&self.credentials);
    }
}

/// A user's credentials that only the simulated token server takes.
fn write_credentials() -> std::io::Result<PathBuf> {
    let name = format!("aigate-demo-{}.json", uuid::Uuid::new_v4().simple());
    let path = std::env::temp_dir().join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(
        br#"{"type":"authorized_user","client_id":"demo","client_secret":"simulated","refresh_token":"simulated"}"#,
    )?;
    Ok(path)
}

/// The smallest chat model that is on this machine.
#[cfg(feature = "language")]
fn own_model() -> Option<String> {
    const MOST: u64 = 4 << 30;
    let smallest = aigate_local::installed(std::path::Path::new("models")).into_iter().next()?;
    (smallest.memory <= MOST).then_some(smallest.target)
}

#[cfg(not(feature = "language"))]
fn own_model() -> Option<String> {
    None
}

fn config(
    port: u16,
    azure: &Cloud,
    aws: &Cloud,
    google: &Cloud,
    credentials: &std::path::Path,
    own: Option<&str>,
) -> String {
    // A model on this machine needs more than the moment that simulated clouds are given.
    let (attempt, load) = if own.is_some() { ("4s", "start") } else { ("1s", "first_use") };
    let own =
        own.map(|target| format!("{{ provider = \"local\", target = \"{target}\" }},")).unwrap_or_default();
    let Credentials { access_key, secret_key, api_key, .. } = Credentials::default();
    let credentials = credentials.display();
    let (azure, aws, google) = (azure.url(), aws.url(), google.url());
    format!(
        r#"
[server]
listen = "127.0.0.1:{port}"
shutdown_grace = "2s"

[operations]
listen = "127.0.0.1:0"

[log]
calls = false

[providers.azure-simulated]
kind = "azure"
endpoint = "{azure}"
api_key = "{api_key}"

[providers.azureml-simulated]
kind = "azure"
api = "ml"
endpoint = "{azure}"
api_key = "{api_key}"

[providers.aws-simulated]
kind = "aws"
region = "eu-central-1"
endpoint = "{aws}"
sagemaker_endpoint = "{aws}"
access_key_id = "{access_key}"
secret_access_key = "{secret_key}"

[providers.google-simulated]
kind = "google"
project = "demo"
location = "europe-west4"
base_url = "{google}"
token_url = "{google}/token"
credentials = "{credentials}"

[providers.local]
kind = "local"
load = "{load}"

[defaults.timeouts]
attempt = "{attempt}"
first_chunk = "{attempt}"
idle = "1s"
deadline = "15s"

[defaults.breaker]
failures = 3
open = "1s"
max_open = "2s"

[models.assistant]
task = "chat"
deployments = [
  {{ provider = "azure-simulated", target = "gpt-4.1-mini" }},
  {{ provider = "aws-simulated", target = "eu.anthropic.claude-haiku-4-5-20251001-v1:0" }},
  {{ provider = "google-simulated", target = "gemini-2.5-flash" }},
  {own}
]

[models.embedder]
task = "embed"
deployments = [
  {{ provider = "azure-simulated", target = "text-embedding-3-small" }},
  {{ provider = "aws-simulated", target = "amazon.titan-embed-text-v2:0" }},
  {{ provider = "google-simulated", target = "text-embedding-005" }},
]

[models.credit-risk]
task = "predict"
failover = "any_version"
deployments = [
  {{ provider = "azureml-simulated", target = "credit-risk", version = "simulated" }},
  {{ provider = "aws-simulated", target = "credit-risk", version = "simulated", wire = {{ body = "csv" }} }},
  {{ provider = "google-simulated", target = "endpoints/4711", version = "simulated", wire = {{ outputs = {{ score = "/scores/1" }} }} }},
  {{ provider = "local", target = "sample/credit-risk" }},
]
"#
    )
}
