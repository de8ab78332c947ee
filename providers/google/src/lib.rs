//! Vertex AI and the Gemini API as a provider: chat, streamed chat, embeddings, and predictions of models of one's own.
//!
//! A call goes the same way for each task: the request is translated (`chat`, `embed`, `predict`), sent with the
//! provider's credentials (`auth`) to the right place (`site`), and the answer is translated back, or its refusal becomes an
//! error (`error`).
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>,
//! <https://ai.google.dev/api/generate-content>

mod auth;
mod chat;
mod config;
mod embed;
mod error;
mod predict;
mod site;
#[cfg(test)]
mod stub;

use std::sync::Arc;

use aigate_contract::{
    Call, Chat, Description, Endpoint, Offers, Predict, Provider, Result, Target, Task, predict::BodyForm,
    settings::Fault,
};
use aigate_transport::{Client, Fetcher, Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use url::Url;

pub use self::config::Config;
use self::{
    auth::{Auth, Pass},
    config::Environment,
    site::{Api, Site},
};

/// One Google account.
#[derive(Debug)]
pub struct Google {
    site: Site,
    auth: Auth,
    client: Client,
    fetcher: Fetcher,
    quota_project: Option<HeaderValue>,
}

/// Builds a provider. Reads the files that the config names; calls nobody.
///
/// # Errors
/// Everything that is wrong with the config, at once.
pub fn build(config: Config, fetcher: Fetcher) -> Result<Arc<Google>, Vec<Fault>> {
    build_in(&config, fetcher, &Environment::of_process())
}

fn build_in(config: &Config, fetcher: Fetcher, environment: &Environment) -> Result<Arc<Google>, Vec<Fault>> {
    let settings = config.check(environment)?;
    let quota_project = settings.quota_project.as_deref().and_then(|name| HeaderValue::from_str(name).ok());
    Ok(Arc::new(Google {
        site: settings.site,
        auth: settings.auth,
        client: settings.client,
        fetcher,
        quota_project,
    }))
}

impl Provider for Google {
    fn offers(self: Arc<Self>) -> Offers {
        Offers {
            chat: Some(Endpoint::new(Arc::clone(&self))),
            chat_stream: Some(Endpoint::new(Arc::clone(&self))),
            embed: Some(Endpoint::new(Arc::clone(&self))),
            predict: self.site.has_endpoints().then(|| Endpoint::new(self)),
        }
    }

    fn describe(&self) -> Description {
        let (system, place) = match &self.site.api {
            Api::Vertex { project, location } => {
                ("gcp.vertex_ai", format!(" (project {project}, location {location})"))
            }
            Api::Gemini => ("gcp.gemini", String::new()),
        };
        let endpoint = format!("{}{place}", self.site.base());
        let region = match &self.site.api {
            Api::Vertex { location, .. } => Some(location.to_string()),
            Api::Gemini => None,
        };
        Description { kind: "google", region, system, endpoint, credentials: self.auth.describe() }
    }

    fn check_target(&self, task: &str, target: &str) -> Result<(), String> {
        match task {
            Predict::NAME => self.site.check_endpoint(target),
            _ => self.site.resource(target).map(drop),
        }
    }

    /// Counting tokens costs nothing and needs the model, the credentials and the quota of a call.
    ///
    /// <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/get-token-count>
    fn probe(self: Arc<Self>, task: &str, target: &str) -> Option<BoxFuture<'static, Result<()>>> {
        let url = (task == Chat::NAME).then(|| self.site.url(target, "countTokens").ok())??;
        Some(Box::pin(async move { self.count_nothing(url).await }))
    }

    fn usual_body(&self) -> Option<BodyForm> {
        Some(BodyForm::Instances)
    }

    fn check_form(&self, target: &Target) -> Result<(), Vec<Fault>> {
        predict::check(target)
    }
}

impl Google {
    /// Sends a request for `call` and waits for the head of a good answer. A refused token is replaced once.
    async fn post<T: Task>(&self, call: &Call<T>, request: Request) -> Result<Response> {
        let pass = self.auth.pass().await?;
        let mut answer = self.send(call, request.clone(), &pass).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.auth.refused(&pass) {
            tracing::debug!(provider = %call.target.provider, "a token was refused, trying a new one");
            let pass = self.auth.pass().await?;
            answer = self.send(call, request, &pass).await?;
        }
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(error::from_response(answer).await.with_target(&call.target))
        }
    }

    async fn count_nothing(&self, url: Url) -> Result<()> {
        let body = br#"{"contents":[{"role":"user","parts":[{"text":"."}]}]}"#;
        let mut request = self.auth.pass().await?.sign(Request::json(url, Bytes::from_static(body)));
        if let Some(project) = &self.quota_project {
            request = request.header("x-goog-user-project", project.clone());
        }
        let answer = self.client.send(request).await?;
        if answer.status().is_success() { Ok(()) } else { Err(error::from_response(answer).await) }
    }

    async fn send<T: Task>(&self, call: &Call<T>, request: Request, pass: &Pass) -> Result<Response> {
        let mut request = pass.sign(request);
        if let Some(project) = &self.quota_project {
            request = request.header("x-goog-user-project", project.clone());
        }
        self.client.send(request.traced(call.trail.traceparent())).await
    }
}

/// Writes a request's body.
fn write(body: &impl Serialize) -> Result<Bytes> {
    use aigate_contract::{Error, ErrorKind};
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be written").with_source(error))
}
