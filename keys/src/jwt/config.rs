//! `[jwt.NAME]`: an identity provider whose tokens are taken, as it is written in the config.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use aigate_contract::settings::{Fault, Interval};
use schemars::JsonSchema;
use serde::Deserialize;

/// An identity provider whose JSON Web Tokens are taken in place of a key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct JwtConfig {
    /// What its tokens name as their issuer (claim `iss`), to the letter.
    pub issuer: String,
    /// Whom a token must be for (claim `aud`): one of these.
    pub audience: OneOrMany,
    /// Where its public keys are published. Default: where `ISSUER/.well-known/openid-configuration` says.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// A file with its public keys, in place of `jwks_url`; read again when the config is, and when a token names an unknown
    /// key.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// How its tokens may be signed. Default RS256, ES256 and EdDSA.
    #[serde(default)]
    pub algorithms: Option<Vec<Algorithm>>,
    /// How far its clock may be off, at most 10m. Default 30s.
    #[serde(default)]
    pub leeway: Option<Interval>,
    /// How old its public keys may become before they are fetched again, 10s to 24h. Default 10m.
    #[serde(default)]
    pub refresh: Option<Interval>,
    /// The claim that says who calls. Default `sub`. Here and below `/a/b` means the claim `b` within the claim `a`.
    #[serde(default)]
    pub subject_claim: Option<String>,
    /// A claim with the models that the caller may use: a list, or a text with spaces, of names and patterns. A token in which
    /// neither it nor `models` grants any is refused.
    #[serde(default)]
    pub models_claim: Option<String>,
    /// A claim with the tasks that the caller may use, in the same form.
    #[serde(default)]
    pub tasks_claim: Option<String>,
    /// Models that every caller with a token may use. Default: all, or what `models_claim` grants.
    #[serde(default)]
    pub models: Vec<String>,
    /// Tasks that every caller with a token may use. Default: all, or what `tasks_claim` grants.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// Which claim each label is taken from, e.g. `team = "department"`. A claim that is absent, a list or a table gives none.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What claims must hold, e.g. `scope = "aigate"`: in a list, or in a text with spaces.
    #[serde(default)]
    pub required: BTreeMap<String, String>,
    /// A PEM file with CA certificates to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy for fetching the public keys. Without it `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.
    #[serde(default)]
    pub proxy: Option<String>,
}

/// A text, or a list of texts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum OneOrMany {
    /// A text.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// How a token may be signed: with a private key, whose public key its issuer publishes. Algorithms with a shared secret
/// (`HS256` and its like) and unsigned tokens are never taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// RSA, PSS, SHA-384.
    Ps384,
    /// RSA, PSS, SHA-512.
    Ps512,
    /// ECDSA, P-256, SHA-256.
    Es256,
    /// ECDSA, P-384, SHA-384.
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    pub(super) fn library(self) -> jsonwebtoken::Algorithm {
        use jsonwebtoken::Algorithm as Library;
        match self {
            Self::Rs256 => Library::RS256,
            Self::Rs384 => Library::RS384,
            Self::Rs512 => Library::RS512,
            Self::Ps256 => Library::PS256,
            Self::Ps384 => Library::PS384,
            Self::Ps512 => Library::PS512,
            Self::Es256 => Library::ES256,
            Self::Es384 => Library::ES384,
            Self::EdDsa => Library::EdDSA,
        }
    }
}

impl JwtConfig {
    pub(super) fn leeway(&self) -> Duration {
        self.leeway.map_or(Duration::from_secs(30), |leeway| leeway.0)
    }

    pub(super) fn refresh(&self) -> Duration {
        self.refresh.map_or(Duration::from_secs(600), |refresh| refresh.0)
    }

    pub(super) fn algorithms(&self) -> Vec<jsonwebtoken::Algorithm> {
        let given = self.algorithms.as_deref();
        let chosen = given.unwrap_or(&[Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]);
        chosen.iter().map(|algorithm| algorithm.library()).collect()
    }

    /// What is wrong with the values, but for where the public keys are and the rights.
    pub(super) fn faults(&self, name: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |good: bool, path: &str, message: &str| {
            if !good {
                faults.push(Fault::at(path, message));
            }
        };
        check(!name.contains(':'), "", "an issuer's name has no `:`: it stands between it and the subject");
        check(!self.issuer.is_empty(), "issuer", "is empty: expected what tokens hold in their claim `iss`");
        let audience = self.audience.as_slice();
        let named = !audience.is_empty() && audience.iter().all(|text| !text.is_empty());
        check(
            named,
            "audience",
            "names nobody: expected what tokens for this gateway hold in their claim `aud`",
        );
        let some = self.algorithms.as_ref().is_none_or(|list| !list.is_empty());
        check(
            some,
            "algorithms",
            "is empty: no token would be good. Leave it out for RS256, ES256 and EdDSA",
        );
        check(
            self.leeway() <= Duration::from_secs(600),
            "leeway",
            "is more than 10m: tokens would outlive their time",
        );
        let refresh = Duration::from_secs(10)..=Duration::from_secs(86_400);
        check(refresh.contains(&self.refresh()), "refresh", "must be 10s to 24h");
        for (path, claim) in [
            ("subject_claim", &self.subject_claim),
            ("models_claim", &self.models_claim),
            ("tasks_claim", &self.tasks_claim),
        ] {
            check(claim.as_deref() != Some(""), path, "is empty: expected the name of a claim");
        }
        for (label, claim) in &self.labels {
            let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let plain = (1..=64).contains(&label.len()) && label.chars().all(name);
            check(
                plain && !label.starts_with(|c: char| c.is_ascii_digit()),
                "labels",
                &format!(
                    "the label's name `{label}` is not 1 to 64 letters, digits and `_` that begin with no digit"
                ),
            );
            check(!claim.is_empty(), &format!("labels.{label}"), "is empty: expected the name of a claim");
        }
        for (claim, value) in &self.required {
            let word = !value.is_empty() && !value.contains(char::is_whitespace);
            check(word, &format!("required.{claim}"), "must be one word without white space");
        }
        faults
    }
}
