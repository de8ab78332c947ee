//! The way to AWS: one HTTP client, one identity, and the SDK's clients made of both when they are first needed.

use std::{future::Future, time::Duration};

use aigate_contract::{
    Error, ErrorKind, Result,
    settings::{Fault, Secret},
};
use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, sts::AssumeRoleProvider,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_bedrockruntime::config::{Credentials, SharedHttpClient, Token};
use aws_smithy_runtime_api::client::auth::{AuthSchemeId, http::HTTP_BEARER_AUTH_SCHEME_ID};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::RwLock;

use crate::{config::Config, http};

/// AWS Signature Version 4, by its name in the SDK.
const SIGV4: AuthSchemeId = AuthSchemeId::new("sigv4");
/// The session's name in CloudTrail when the settings give none.
const SESSION: &str = "aigate";

/// How calls reach AWS and prove who they are.
#[derive(Debug)]
pub(crate) struct Access {
    region: String,
    endpoint: Option<String>,
    sagemaker_endpoint: Option<String>,
    identity: Identity,
    role: Option<Role>,
    http: SharedHttpClient,
    connect_timeout: Duration,
    /// The SDK's clients with their cache of credentials; `None` until needed, and again after a refusal.
    current: RwLock<Option<Connected>>,
}

/// The SDK's clients, one for each of AWS's services.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) bedrock: aws_sdk_bedrockruntime::Client,
    pub(crate) sagemaker: aws_sdk_sagemakerruntime::Client,
}

/// The SDK's clients, and how many were made before them.
#[derive(Clone, Debug)]
struct Connected {
    clients: Clients,
    generation: u64,
}

#[derive(Debug)]
enum Identity {
    ApiKey(SecretString),
    Keys { id: String, secret: SecretString, session: Option<SecretString> },
    Profile(String),
    Chain,
}

#[derive(Debug)]
struct Role {
    arn: String,
    external_id: Option<String>,
    session_name: String,
    sts_endpoint: Option<String>,
}

impl Access {
    /// Reads the secrets and files of settings without faults.
    pub(crate) fn build(config: &Config) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let identity = identity(config, &mut faults);
        let http = match http::client(config) {
            Ok(http) => http,
            Err(fault) => {
                faults.push(fault);
                return Err(faults);
            }
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            region: config.region.clone(),
            endpoint: config.endpoint.clone(),
            sagemaker_endpoint: config.sagemaker_endpoint.clone(),
            identity,
            role: config.assume_role.clone().map(|arn| Role {
                arn,
                external_id: config.external_id.clone(),
                session_name: config.session_name.clone().unwrap_or_else(|| SESSION.to_owned()),
                sts_endpoint: config.sts_endpoint.clone(),
            }),
            http,
            connect_timeout: http::connect_timeout(config),
            current: RwLock::new(None),
        })
    }

    /// The same access over another HTTP client.
    #[cfg(test)]
    pub(crate) fn over(self, http: SharedHttpClient) -> Self {
        Self { http, ..self }
    }

    /// Makes an attempt, and once more with fresh credentials when AWS says that these are not valid any more.
    ///
    /// # Errors
    /// The attempt's.
    pub(crate) async fn attempt<R, F>(&self, attempt: impl Fn(Clients) -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        let connected = self.connected().await;
        match attempt(connected.clients.clone()).await {
            Err(error) if is_stale(&error) => {
                let fresh = self.renew(&connected, error).await?;
                attempt(fresh.clients).await
            }
            outcome => outcome,
        }
    }

    /// The SDK's clients, made on first use.
    async fn connected(&self) -> Connected {
        if let Some(connected) = self.current.read().await.as_ref() {
            return connected.clone();
        }
        let mut current = self.current.write().await;
        match current.as_ref() {
            Some(connected) => connected.clone(),
            None => current.insert(Connected { clients: self.connect().await, generation: 0 }).clone(),
        }
    }

    /// Makes new clients, with credentials read anew, after those of `refused` were refused. Concurrent callers with
    /// the same refused clients share them.
    ///
    /// # Errors
    /// `error` itself when fresh credentials cannot be had: they stand in the settings.
    async fn renew(&self, refused: &Connected, error: Error) -> Result<Connected> {
        if self.role.is_none() && matches!(self.identity, Identity::ApiKey(_) | Identity::Keys { .. }) {
            return Err(error);
        }
        let mut current = self.current.write().await;
        match current.as_ref() {
            Some(held) if held.generation != refused.generation => Ok(held.clone()),
            _ => {
                tracing::info!(error = %error, "AWS refused the credentials: reading them anew");
                let generation = refused.generation.wrapping_add(1);
                Ok(current.insert(Connected { clients: self.connect().await, generation }).clone())
            }
        }
    }

    async fn connect(&self) -> Clients {
        let base = self.base().await;
        let mut bedrock = aws_sdk_bedrockruntime::config::Builder::from(&base);
        let mut sagemaker = aws_sdk_sagemakerruntime::config::Builder::from(&base);
        if let Some(role) = &self.role {
            let session = SharedCredentialsProvider::new(self.assume(role, &base).await);
            // Set, not added: the clients find each other's session in the cache only if nothing wraps its provider.
            bedrock.set_credentials_provider(Some(session.clone()));
            sagemaker.set_credentials_provider(Some(session));
        }
        if let Some(endpoint) = &self.endpoint {
            bedrock = bedrock.endpoint_url(endpoint);
        }
        if let Some(endpoint) = &self.sagemaker_endpoint {
            sagemaker = sagemaker.endpoint_url(endpoint);
        }
        Clients {
            bedrock: aws_sdk_bedrockruntime::Client::from_conf(bedrock.build()),
            sagemaker: aws_sdk_sagemakerruntime::Client::from_conf(sagemaker.build()),
        }
    }

    /// Without the role: what the role is assumed with.
    async fn base(&self) -> SdkConfig {
        let loader = self.loader();
        let loader = match &self.identity {
            Identity::ApiKey(key) => {
                loader.no_credentials().token_provider(Token::new(key.expose_secret(), None))
            }
            Identity::Keys { id, secret, session } => {
                let session = session.as_ref().map(|token| token.expose_secret().to_owned());
                let keys = Credentials::new(id, secret.expose_secret(), session, None, "aigate settings");
                loader.credentials_provider(keys)
            }
            Identity::Profile(name) => loader.credentials_provider(self.profile(name)).profile_name(name),
            Identity::Chain => loader,
        };
        // A key in AWS_BEARER_TOKEN_BEDROCK must not win over what the settings say: the SDK lets it win unless told
        // what to prefer.
        let loader = match &self.identity {
            Identity::ApiKey(_) => loader.auth_scheme_preference([HTTP_BEARER_AUTH_SCHEME_ID]),
            Identity::Chain if self.role.is_none() => loader,
            Identity::Chain | Identity::Keys { .. } | Identity::Profile(_) => {
                loader.auth_scheme_preference([SIGV4])
            }
        };
        loader.load().await
    }

    /// A profile by itself: in the SDK's chain the environment's keys would win over it.
    fn profile(&self, name: &str) -> ProfileFileCredentialsProvider {
        let provider = ProviderConfig::without_region()
            .with_region(Some(Region::new(self.region.clone())))
            .with_http_client(self.http.clone());
        ProfileFileCredentialsProvider::builder().profile_name(name).configure(&provider).build()
    }

    async fn assume(&self, role: &Role, base: &SdkConfig) -> AssumeRoleProvider {
        let mut loader = self.loader();
        if let Some(endpoint) = &role.sts_endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(credentials) = base.credentials_provider() {
            loader = loader.credentials_provider(credentials);
        }
        let mut builder = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name);
        if let Some(id) = &role.external_id {
            builder = builder.external_id(id);
        }
        builder.configure(&loader.load().await).build().await
    }

    fn loader(&self) -> ConfigLoader {
        // Retries and timeouts are the gateway's policies; a model that thinks for a minute has not stalled.
        let timeouts = TimeoutConfig::builder().connect_timeout(self.connect_timeout).build();
        aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .http_client(self.http.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
    }

    /// Whether the settings name a Bedrock API key, which signs nothing: no other service takes it.
    pub(crate) fn has_key_alone(&self) -> bool {
        matches!(self.identity, Identity::ApiKey(_))
    }

    /// The region's name.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Where calls go, in words.
    pub(crate) fn place(&self) -> String {
        let bedrock =
            self.at(self.endpoint.as_deref(), "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "bedrock-runtime");
        if self.has_key_alone() {
            return bedrock;
        }
        let own = self.sagemaker_endpoint.as_deref();
        format!("{bedrock}, {}", self.at(own, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "runtime.sagemaker"))
    }

    fn at(&self, endpoint: Option<&str>, own: &str, service: &str) -> String {
        let told = || [own, "AWS_ENDPOINT_URL"].into_iter().find_map(variable);
        endpoint.map(str::to_owned).or_else(told).unwrap_or_else(|| {
            let suffix = match self.region.split('-').next() {
                Some("cn") => "amazonaws.com.cn",
                Some("eusc") => "amazonaws.eu",
                _ => "amazonaws.com",
            };
            format!("https://{service}.{}.{suffix}", self.region)
        })
    }

    /// The credentials, in words.
    pub(crate) fn credentials(&self) -> String {
        let base = match &self.identity {
            Identity::ApiKey(_) => "api key".to_owned(),
            Identity::Keys { session: None, .. } => "access key".to_owned(),
            Identity::Keys { session: Some(_), .. } => "access key with session token".to_owned(),
            Identity::Profile(name) => format!("profile {name}"),
            Identity::Chain if self.role.is_none() && variable("AWS_BEARER_TOKEN_BEDROCK").is_some() => {
                "api key (AWS_BEARER_TOKEN_BEDROCK)".to_owned()
            }
            Identity::Chain => "the AWS SDK's chain".to_owned(),
        };
        match &self.role {
            Some(role) => format!("role {} ({base})", role.arn),
            None => base,
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn identity(config: &Config, faults: &mut Vec<Fault>) -> Identity {
    let mut read = |path: &str, secret: &Secret| {
        secret.read().unwrap_or_else(|why| {
            faults.push(Fault::at(path, why));
            SecretString::from(String::new())
        })
    };
    if let Some(key) = &config.api_key {
        return Identity::ApiKey(read("api_key", key));
    }
    if let (Some(id), Some(secret)) = (&config.access_key_id, &config.secret_access_key) {
        return Identity::Keys {
            id: id.clone(),
            secret: read("secret_access_key", secret),
            session: config.session_token.as_ref().map(|token| read("session_token", token)),
        };
    }
    config.profile.clone().map_or(Identity::Chain, Identity::Profile)
}

/// Whether fresh credentials may help against this refusal.
fn is_stale(error: &Error) -> bool {
    const CODES: [&str; 6] = [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "RequestExpired",
        "UnrecognizedClientException",
    ];
    error.kind() == ErrorKind::Denied && error.code().is_some_and(|code| CODES.contains(&code))
}
