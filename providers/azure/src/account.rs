//! One resource: where it lives, and proof of who the gateway is.

use std::sync::Arc;

use aigate_contract::{Description, Error, Result, settings::Fault};
use aigate_openai::{Account, Dialect, Pass, Purpose};
use aigate_transport::{Client, Request, Token};
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use crate::{
    Api, Config,
    auth::{Environment, Proof, choose},
    endpoint::Site,
    error,
};

/// An Azure OpenAI or Foundry resource.
#[derive(Debug)]
pub(crate) struct AzureAccount {
    site: Site,
    proof: Proof,
}

impl AzureAccount {
    pub(crate) fn build(
        config: &Config,
        environment: Environment<'_>,
    ) -> Result<(Self, Client, Dialect), Vec<Fault>> {
        let transport = config.transport();
        let site = Site::build(config);
        let choice = choose(config, environment);
        let client = Client::build(&transport).map_err(|fault| vec![fault]);
        match (site, choice, client) {
            (Ok(site), Ok(choice), Ok(client)) => {
                let dialect = Dialect {
                    model_in_body: config.api != Api::Deployments,
                    stream_usage: config.stream_usage.unwrap_or(config.api != Api::Models),
                    token_limit_field: config.token_limit_field.unwrap_or_default(),
                };
                let proof = Proof::build(choice, &client, &transport).map_err(|fault| vec![fault])?;
                Ok((Self { site, proof }, client, dialect))
            }
            (site, choice, client) => {
                Err([site.err(), choice.err(), client.err()].into_iter().flatten().flatten().collect())
            }
        }
    }

    pub(crate) fn describe(&self) -> Description {
        Description {
            kind: "azure",
            region: None,
            system: if self.site.api == Api::Models { "azure.ai.inference" } else { "azure.ai.openai" },
            endpoint: self.site.base().to_string(),
            credentials: self.proof.describe(),
        }
    }

    /// Whether the API has a list of models at the same place as its calls.
    pub(crate) fn lists_models(&self) -> bool {
        self.site.api == Api::V1
    }

    pub(crate) fn check_name(&self, name: &str) -> Result<(), String> {
        self.site.check_name(name)
    }
}

impl Account for AzureAccount {
    fn url(&self, purpose: Purpose, model: &str) -> Url {
        self.site.url(purpose, model)
    }

    async fn pass(&self) -> Result<Pass> {
        self.proof.pass().await
    }

    fn refused(&self, token: &Arc<Token>) {
        self.proof.refused(token);
    }

    fn decorate(&self, request: Request) -> Request {
        match self.site.api {
            Api::V1 | Api::Deployments | Api::Ml => request,
            // Without it, every field that is OpenAI's but not this API's is refused; `drop` would drop it in silence.
            Api::Models => request.header("extra-parameters", HeaderValue::from_static("pass-through")),
        }
    }

    fn explain(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        error::from_answer(status, headers, body)
    }
}
