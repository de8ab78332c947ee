//! Amazon Web Services as a provider: chat through Bedrock's Converse and ConverseStream, embeddings through its
//! InvokeModel, predictions through SageMaker's InvokeEndpoint, all with the official SDK.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>

mod auth;
mod chat;
mod config;
mod document;
mod embed;
mod error;
mod http;
mod model;
mod predict;
mod send;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod wire;

use std::sync::Arc;

use aigate_contract::{
    Chat, Description, Embed, Endpoint, Offers, Predict, Provider, Target, Task, settings::Fault,
};
use aigate_transport::Fetcher;

pub use crate::config::Config;
use crate::{auth::Access, model::Family};

/// One AWS account's Bedrock and SageMaker in one region.
#[derive(Debug)]
pub struct Aws {
    access: Access,
    fetcher: Fetcher,
    guardrail: Option<Guardrail>,
}

/// A guardrail that every chat passes.
#[derive(Clone, Debug)]
struct Guardrail {
    id: String,
    version: String,
}

/// Makes the provider that the settings describe. Reads files, but no network: the SDK's clients are made at the
/// first call.
///
/// # Errors
/// Every fault of the settings at once, each with its key.
pub fn build(config: Config, fetcher: Fetcher) -> Result<Arc<Aws>, Vec<Fault>> {
    let mut faults = config.faults();
    let access = match Access::build(&config) {
        Ok(access) if faults.is_empty() => access,
        Ok(_) => return Err(faults),
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    let guardrail =
        config.guardrail_id.zip(config.guardrail_version).map(|(id, version)| Guardrail { id, version });
    Ok(Arc::new(Aws { access, fetcher, guardrail }))
}

impl Provider for Aws {
    fn offers(self: Arc<Self>) -> Offers {
        Offers {
            chat: Some(Endpoint::new(Arc::clone(&self))),
            chat_stream: Some(Endpoint::new(Arc::clone(&self))),
            embed: Some(Endpoint::new(Arc::clone(&self))),
            predict: Some(Endpoint::new(self)),
        }
    }

    fn describe(&self) -> Description {
        Description {
            kind: "aws",
            region: Some(self.access.region().to_owned()),
            system: "aws.bedrock",
            endpoint: self.access.place(),
            credentials: self.access.credentials(),
        }
    }

    fn system(&self, task: &str) -> &'static str {
        if task == Predict::NAME { "aws.sagemaker" } else { self.describe().system }
    }

    fn check_form(&self, target: &Target) -> Result<(), Vec<Fault>> {
        let mut faults = predict::form_faults(target);
        if self.access.has_key_alone() {
            let why = "SageMaker takes signed requests, and the provider has `api_key` alone, which is for Bedrock: give \
                       it an access key, a profile or a role";
            faults.push(Fault::at("", why));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn check_target(&self, task: &str, target: &str) -> Result<(), String> {
        if task == Predict::NAME {
            return predict::check(target);
        }
        model::check(target)?;
        if task == Embed::NAME {
            return embed::check(target);
        }
        match model::id(target) {
            Some(id) if task == Chat::NAME && id.contains("embed") && Family::of(target) == Family::Other => {
                Err(format!("`{target}` makes embeddings and cannot chat"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn provider(settings: Value) -> Result<Arc<Aws>, Vec<Fault>> {
        build(serde_json::from_value(settings).unwrap(), Fetcher::new())
    }

    #[test]
    fn faults_of_files_come_with_the_others() {
        let faults = provider(json!({
            "region": "X", "api_key": "file:/nowhere/key", "ca_file": "/nowhere/ca.pem",
        }))
        .unwrap_err();
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["region", "api_key", "ca_file"]);
        let ca = std::env::temp_dir().join(format!("aigate-aws-{}.pem", std::process::id()));
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n").unwrap();
        let faults = provider(json!({"region": "eu-west-1", "ca_file": ca})).unwrap_err();
        std::fs::remove_file(&ca).unwrap();
        assert_eq!(faults[0].path, "ca_file", "{faults:?}");
        let faults = provider(json!({"region": "eu-west-1", "proxy": "::"})).unwrap_err();
        assert_eq!(faults[0].path, "proxy");
    }

    #[test]
    fn the_description_says_where_and_how_and_no_secret() {
        let aws = provider(json!({
            "region": "eu-west-1", "access_key_id": "AKIA", "secret_access_key": "hush",
            "assume_role": "arn:aws:iam::1:role/R",
        }))
        .unwrap();
        let text = format!("{:?} {aws:?}", aws.describe());
        assert!(text.contains("https://bedrock-runtime.eu-west-1.amazonaws.com"), "{text}");
        assert!(text.contains("https://runtime.sagemaker.eu-west-1.amazonaws.com"), "{text}");
        assert!(text.contains("role arn:aws:iam::1:role/R (access key)"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn targets_are_checked_for_their_task() {
        let aws = provider(json!({"region": "eu-west-1"})).unwrap();
        assert!(aws.check_target("chat", "eu.anthropic.claude-haiku-4-5-20251001-v1:0").is_ok());
        assert!(aws.check_target("chat", "two words").is_err());
        assert!(aws.check_target("chat", "amazon.titan-embed-text-v2:0").is_err());
        assert!(aws.check_target("embed", "eu.cohere.embed-v4:0").is_ok());
        assert!(aws.check_target("embed", "amazon.nova-lite-v1:0").is_err());
        let hidden = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/x";
        assert!(aws.check_target("chat", hidden).is_ok());
        assert!(aws.check_target("embed", hidden).is_err());
        assert!(aws.check_target("predict", "credit-risk-2").is_ok());
        assert!(aws.check_target("predict", "amazon.nova-lite-v1:0").is_err());
        assert_eq!((aws.system("predict"), aws.system("chat")), ("aws.sagemaker", "aws.bedrock"));
    }
}
