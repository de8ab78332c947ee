//! The settings of an AWS provider, and every fault that can be seen in them without a network.

use std::path::PathBuf;

use aigate_contract::settings::{Fault, Interval, Secret};
use aigate_transport::is_loopback;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Amazon Bedrock and SageMaker in one region, with one identity.
///
/// Without any credential here the AWS SDK's usual chain counts: `AWS_BEARER_TOKEN_BEDROCK`, the environment's keys,
/// the shared profile files, a web identity (IRSA), the ECS or EKS container, the EC2 instance.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// The AWS region, e.g. `eu-central-1`.
    pub region: String,
    /// Where Bedrock's runtime API is reached: a VPC endpoint, a proxy or a simulator. Default: the region's own
    /// endpoint, or what `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` or `AWS_ENDPOINT_URL` says.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Where SageMaker's runtime API is reached. Default: the region's own endpoint, or what
    /// `AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME` or `AWS_ENDPOINT_URL` says.
    #[serde(default)]
    pub sagemaker_endpoint: Option<String>,
    /// Where AWS STS is reached when `assume_role` asks it for a session. Default: the region's own endpoint.
    #[serde(default)]
    pub sts_endpoint: Option<String>,
    /// A Bedrock API key, sent as a bearer token. Excludes every other credential, and SageMaker, which does not take it.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// A static access key; needs `secret_access_key`.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// The secret of `access_key_id`.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The session token of a temporary `access_key_id`.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// A profile of the shared config and credentials files. It wins over keys in the environment. Profiles that log
    /// in through SSO or run a process are not supported.
    #[serde(default)]
    pub profile: Option<String>,
    /// The ARN of a role to assume with the other credentials.
    #[serde(default)]
    pub assume_role: Option<String>,
    /// The external id that the role's trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The name of the role's session, seen in CloudTrail. Default `aigate`.
    #[serde(default)]
    pub session_name: Option<String>,
    /// The id or ARN of a guardrail to apply to every chat.
    #[serde(default)]
    pub guardrail_id: Option<String>,
    /// The guardrail's version: a number, or `DRAFT`.
    #[serde(default)]
    pub guardrail_version: Option<String>,
    /// A PEM file with CA certificates to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy for every call to this provider, e.g. `http://proxy.internal:3128`; the machine's own metadata services
    /// and loopback addresses are reached without it. Without it `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.
    #[serde(default)]
    pub proxy: Option<String>,
    /// How long a connection may take to open. Default 5s.
    #[serde(default)]
    pub connect_timeout: Option<Interval>,
}

impl Config {
    /// Everything that is wrong or contradictory, all at once.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check_places(&mut faults);
        self.check_credentials(&mut faults);
        self.check_role(&mut faults);
        self.check_guardrail(&mut faults);
        faults
    }

    fn check_places(&self, faults: &mut Vec<Fault>) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.region.is_empty() || self.region.len() > 32 || !self.region.bytes().all(plain) {
            faults.push(Fault::at("region", "expected the name of an AWS region such as `eu-central-1`"));
        }
        for (path, place) in [
            ("endpoint", &self.endpoint),
            ("sagemaker_endpoint", &self.sagemaker_endpoint),
            ("sts_endpoint", &self.sts_endpoint),
        ] {
            if let Some(why) = place.as_deref().and_then(|place| self.bad_endpoint(place)) {
                faults.push(Fault::at(path, why));
            }
        }
    }

    fn bad_endpoint(&self, place: &str) -> Option<String> {
        let url = match Url::parse(place) {
            Ok(url) => url,
            Err(error) => return Some(format!("not a URL: {error}")),
        };
        match url.scheme() {
            _ if url.host().is_none() => Some("the URL has no host".to_owned()),
            "https" => None,
            "http" if self.api_key.is_none() || is_loopback(&url) => None,
            "http" => Some("an API key is not sent over plain http: use https".to_owned()),
            scheme => Some(format!("`{scheme}:` is not a way to reach AWS: use https")),
        }
    }

    fn check_credentials(&self, faults: &mut Vec<Fault>) {
        let keys = [
            ("access_key_id", self.access_key_id.is_some()),
            ("secret_access_key", self.secret_access_key.is_some()),
            ("session_token", self.session_token.is_some()),
        ];
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            let (here, missing) = match self.access_key_id {
                Some(_) => ("access_key_id", "secret_access_key"),
                None => ("secret_access_key", "access_key_id"),
            };
            faults.push(Fault::at(here, format!("needs `{missing}` beside it")));
        }
        if self.session_token.is_some() && self.access_key_id.is_none() && self.secret_access_key.is_none() {
            faults
                .push(Fault::at("session_token", "needs `access_key_id` and `secret_access_key` beside it"));
        }
        if self.access_key_id.as_ref().is_some_and(|id| id.is_empty() || !id.bytes().all(is_graphic)) {
            faults.push(Fault::at("access_key_id", "expected an access key id such as `AKIA…`"));
        }
        let others = keys
            .into_iter()
            .chain([("profile", self.profile.is_some()), ("assume_role", self.assume_role.is_some())]);
        if self.api_key.is_some() && self.sagemaker_endpoint.is_some() {
            let why = "acts only with credentials that sign: SageMaker does not take `api_key`";
            faults.push(Fault::at("sagemaker_endpoint", why));
        }
        if self.api_key.is_some() {
            for (path, _) in others.filter(|(_, set)| *set) {
                faults.push(Fault::at(path, "contradicts `api_key`: give one credential"));
            }
        } else if self.profile.is_some() {
            for (path, _) in keys.into_iter().filter(|(_, set)| *set) {
                faults.push(Fault::at(path, "contradicts `profile`: give one credential"));
            }
        }
    }

    fn check_role(&self, faults: &mut Vec<Fault>) {
        match &self.assume_role {
            Some(role) if !role.starts_with("arn:") || !role.contains(":role/") => {
                faults.push(Fault::at(
                    "assume_role",
                    "expected a role's ARN such as `arn:aws:iam::123456789012:role/NAME`",
                ));
            }
            Some(_) => {}
            None => {
                for (path, set) in [
                    ("external_id", self.external_id.is_some()),
                    ("session_name", self.session_name.is_some()),
                ] {
                    if set {
                        faults.push(Fault::at(path, "acts only with `assume_role`, which is not set"));
                    }
                }
                if self.sts_endpoint.is_some() {
                    let why = "acts only with `assume_role`, which is not set; for a web identity set the \
                               variable AWS_ENDPOINT_URL_STS";
                    faults.push(Fault::at("sts_endpoint", why));
                }
            }
        }
        let name_fits = |name: &String| {
            (2..=64).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        };
        if self.session_name.as_ref().is_some_and(|name| !name_fits(name)) {
            faults.push(Fault::at(
                "session_name",
                "expected 2 to 64 letters, digits or any of `_`, `+`, `=`, `,`, `.`, `@`, `-`",
            ));
        }
    }

    fn check_guardrail(&self, faults: &mut Vec<Fault>) {
        match (&self.guardrail_id, &self.guardrail_version) {
            (Some(_), None) => {
                faults.push(Fault::at("guardrail_id", "needs `guardrail_version`: a number, or `DRAFT`"));
            }
            (None, Some(_)) => faults.push(Fault::at("guardrail_version", "needs `guardrail_id` beside it")),
            (Some(_), Some(version))
                if version != "DRAFT" && !version.parse::<u32>().is_ok_and(|number| number > 0) =>
            {
                faults.push(Fault::at("guardrail_version", "expected a number from 1, or `DRAFT`"));
            }
            _ => {}
        }
    }
}

fn is_graphic(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn paths(settings: Value) -> Vec<String> {
        let config: Config = serde_json::from_value(settings).unwrap();
        config.faults().into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn all_faults_come_at_once_and_each_names_its_key() {
        let found = paths(json!({
            "region": "Frankfurt", "endpoint": "bedrock", "access_key_id": "AKIA", "external_id": "x",
            "sts_endpoint": "ftp://sts", "guardrail_version": "1",
        }));
        let wanted = [
            "region",
            "endpoint",
            "sts_endpoint",
            "access_key_id",
            "external_id",
            "sts_endpoint",
            "guardrail_version",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn contradictory_credentials_are_refused() {
        let keys =
            json!({"region": "eu-west-1", "api_key": "k", "access_key_id": "a", "secret_access_key": "s"});
        assert_eq!(paths(keys), ["access_key_id", "secret_access_key"]);
        let role = json!({"region": "eu-west-1", "api_key": "k", "assume_role": "arn:aws:iam::1:role/R"});
        assert_eq!(paths(role), ["assume_role"]);
        let profile =
            json!({"region": "eu-west-1", "profile": "p", "access_key_id": "a", "secret_access_key": "s"});
        assert_eq!(paths(profile), ["access_key_id", "secret_access_key"]);
        assert_eq!(paths(json!({"region": "eu-west-1", "session_token": "t"})), ["session_token"]);
        let unsigned =
            json!({"region": "eu-west-1", "api_key": "k", "sagemaker_endpoint": "https://s.internal"});
        assert_eq!(paths(unsigned), ["sagemaker_endpoint"]);
        let elsewhere = json!({"region": "eu-west-1", "sagemaker_endpoint": "ftp://s.internal"});
        assert_eq!(paths(elsewhere), ["sagemaker_endpoint"]);
    }

    #[test]
    fn an_api_key_travels_over_plain_http_to_this_machine_only() {
        let away = json!({"region": "eu-west-1", "api_key": "k", "endpoint": "http://bedrock.internal"});
        assert_eq!(paths(away), ["endpoint"]);
        for here in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(paths(json!({"region": "eu-west-1", "api_key": "k", "endpoint": here})).is_empty());
        }
    }

    #[test]
    fn whole_settings_have_no_faults_and_show_no_secret() {
        let config: Config = serde_json::from_value(json!({
            "region": "eu-central-1", "access_key_id": "AKIA", "secret_access_key": "hush", "session_token": "hush",
            "assume_role": "arn:aws:iam::123456789012:role/R", "external_id": "e", "session_name": "gate",
            "sts_endpoint": "https://sts.internal", "guardrail_id": "abc", "guardrail_version": "DRAFT",
            "connect_timeout": "2s",
        }))
        .unwrap();
        assert!(config.faults().is_empty());
        assert!(!format!("{config:?}").contains("hush"));
    }
}
