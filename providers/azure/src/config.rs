//! Settings of a provider with `kind = "azure"`.

use std::path::PathBuf;

use aigate_contract::settings::{Interval, Secret};
use aigate_openai::TokenLimitField;
use aigate_transport::Settings;
use schemars::JsonSchema;
use serde::Deserialize;

/// An Azure OpenAI or Foundry resource, or Azure ML's online endpoints. Needs `endpoint` and exactly one of `api_key` and
/// `auth`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// The resource's address without a path that `api` stands for, e.g. `https://bank-weu.openai.azure.com`,
    /// `https://bank-weu.services.ai.azure.com` or `https://bank-weu.cognitiveservices.azure.com`. A gateway of your own in
    /// front of it may have a path.
    ///
    /// For `ml` the scoring address without the path of `wire`: of one endpoint, e.g.
    /// `https://credit.westeurope.inference.ml.azure.com`, or with a placeholder for each deployment's target:
    /// `https://{target}.westeurope.inference.ml.azure.com`.
    pub endpoint: String,
    /// Which of Azure's APIs to speak. Default `v1`.
    #[serde(default)]
    pub api: Api,
    /// The dated version of the API, e.g. `2024-10-21`. Needed by `deployments`; `models` has the default
    /// `2024-05-01-preview`; `v1` and `ml` have none.
    #[serde(default)]
    pub api_version: Option<String>,
    /// One of the resource's two keys, sent as `api-key`; for `ml` the endpoint's key or token, sent as a bearer token.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// How to get tokens of Microsoft Entra ID instead of a key.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The tenant's id or domain. For `client_secret` and `workload_identity`; the latter has the default
    /// `AZURE_TENANT_ID` of the environment.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// The client id of the app registration, or of a user-assigned managed identity. For `client_secret`,
    /// `managed_identity` (without it: the system-assigned one) and `workload_identity` (default: `AZURE_CLIENT_ID` of the
    /// environment).
    #[serde(default)]
    pub client_id: Option<String>,
    /// The app registration's client secret, for `client_secret`.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The file with the federated token, for `workload_identity`. Read anew for each token. Default:
    /// `AZURE_FEDERATED_TOKEN_FILE` of the environment.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Where to get tokens, for any `auth`: the whole URL, or only the server's address, to which the usual path is added.
    /// Default: Entra ID at `AZURE_AUTHORITY_HOST` of the environment or `https://login.microsoftonline.com`; for
    /// `managed_identity` the machine's own service.
    #[serde(default)]
    pub token_url: Option<String>,
    /// What tokens are for, for any `auth`. Default `https://ai.azure.com/.default` for `v1`,
    /// `https://cognitiveservices.azure.com/.default` for `deployments` and `models`, `https://ml.azure.com/.default` for `ml`.
    /// Sovereign clouds have their own.
    #[serde(default)]
    pub scope: Option<String>,
    /// Whether to ask for the usage of every stream (`stream_options.include_usage`). Default true, except for `models`,
    /// which sends it unasked and does not know the field. Where it is false, what the caller asks is still passed on.
    /// `ml` has no streams.
    #[serde(default)]
    pub stream_usage: Option<bool>,
    /// The name under which the model knows the output limit. Default `as_sent`. `ml` has none.
    #[serde(default)]
    pub token_limit_field: Option<TokenLimitField>,
    /// A PEM file with CA certificates to trust beside the system's, for calls and for tokens.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy for every call to this provider and for tokens, e.g. `http://proxy.internal:3128`. A managed identity's tokens
    /// come from the machine itself, never through this proxy.
    #[serde(default)]
    pub proxy: Option<String>,
    /// How long a connection may take to open. Default 5s.
    #[serde(default)]
    pub connect_timeout: Option<Interval>,
}

/// Which of Azure's APIs to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `{endpoint}/openai/v1/…`: undated, the deployment's name in the body; also serves other vendors' models.
    #[default]
    V1,
    /// `{endpoint}/openai/deployments/{target}/…?api-version=…`: dated, the deployment's name in the URL.
    Deployments,
    /// `{endpoint}/models/…?api-version=…`: the older API of Foundry Models. Fields that it does not know are handed
    /// to the model (`extra-parameters: pass-through`).
    Models,
    /// `{endpoint}/score`: online endpoints of Azure ML with models of one's own. Serves `predict` and nothing else; the
    /// others do not serve it.
    Ml,
}

/// How to get tokens of Microsoft Entra ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// An app registration with a secret: `tenant_id`, `client_id`, `client_secret`.
    ClientSecret,
    /// The identity of the machine, App Service or container app; `client_id` names a user-assigned one.
    ManagedIdentity,
    /// A federated token from a file, as on Kubernetes: `tenant_id`, `client_id`, `token_file`.
    WorkloadIdentity,
    /// What the environment is set up for, in this order: a client secret (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`,
    /// `AZURE_CLIENT_SECRET`), a workload identity (the same with `AZURE_FEDERATED_TOKEN_FILE`), a managed identity
    /// (with `AZURE_CLIENT_ID`, if set). Chosen once, when the config is loaded.
    Entra,
}

impl Config {
    /// The transport's part of the settings.
    pub(crate) fn transport(&self) -> Settings {
        Settings {
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
            connect_timeout: self.connect_timeout,
        }
    }
}

impl Api {
    /// The word in the config.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Deployments => "deployments",
            Self::Models => "models",
            Self::Ml => "ml",
        }
    }

    /// What tokens for this API are for, in the public cloud.
    ///
    /// <https://learn.microsoft.com/azure/foundry/openai/how-to/troubleshoot-errors> (`v1`),
    /// <https://learn.microsoft.com/azure/ai-foundry/model-inference/how-to/inference> (`models`),
    /// <https://learn.microsoft.com/azure/machine-learning/how-to-authenticate-online-endpoint> (`ml`).
    pub(crate) const fn scope(self) -> &'static str {
        match self {
            Self::V1 => "https://ai.azure.com/.default",
            Self::Deployments | Self::Models => "https://cognitiveservices.azure.com/.default",
            Self::Ml => "https://ml.azure.com/.default",
        }
    }
}

impl Auth {
    /// The word in the config.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ClientSecret => "client_secret",
            Self::ManagedIdentity => "managed_identity",
            Self::WorkloadIdentity => "workload_identity",
            Self::Entra => "entra",
        }
    }
}
