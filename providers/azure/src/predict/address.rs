//! From `endpoint`, a target and `path` to a scoring URL.
//!
//! <https://learn.microsoft.com/azure/machine-learning/how-to-manage-quotas#azure-machine-learning-online-endpoints-and-batch-endpoints>
//! has the rules of names.

use std::fmt;

use aigate_contract::{Error, ErrorKind, Result};
use url::Url;

use crate::endpoint::parse_address;

const EXAMPLE: &str = "https://credit.westeurope.inference.ml.azure.com";
const PLACEHOLDER: &str = "{target}";
/// Where scoring scripts and MLflow models answer.
const SCORE: &str = "/score";

/// Where online endpoints answer: one of them, or with a placeholder each by its name.
#[derive(Debug)]
pub(super) struct Address {
    /// As configured, without a slash at its end.
    text: String,
}

impl Address {
    /// Reads `endpoint`.
    ///
    /// # Errors
    /// A message that says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let filled = text.replace(PLACEHOLDER, "target");
        if filled.contains(['{', '}']) {
            return Err(format!("`{text}` has another placeholder than `{PLACEHOLDER}`"));
        }
        let url = parse_address(&filled, EXAMPLE)?;
        if url.path().trim_end_matches('/').ends_with(SCORE) {
            return Err(format!(
                "`{SCORE}` is added by the gateway: write `endpoint` without it, or `path` in a deployment's `wire` for \
                 another one"
            ));
        }
        Ok(Self { text: text.trim_end_matches('/').to_owned() })
    }

    /// The scoring URL of an endpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] when the target cannot be an endpoint here.
    pub(super) fn url(&self, target: &str, path: Option<&str>) -> Result<Url> {
        let missing = |why: String| Error::new(ErrorKind::Missing, why);
        self.check_target(target).map_err(missing)?;
        let mut url = self.filled(target).map_err(missing)?;
        let path = format!("{}{}", url.path().trim_end_matches('/'), path.unwrap_or(SCORE));
        url.set_path(&path);
        Ok(url)
    }

    /// Whether `target` can be an endpoint here.
    ///
    /// # Errors
    /// A message that says what would be right.
    pub(super) fn check_target(&self, target: &str) -> Result<(), String> {
        if self.text.contains(PLACEHOLDER) {
            return check_name(target);
        }
        if target.trim().is_empty() || target.chars().any(char::is_control) {
            return Err("the endpoint's name is empty or has control characters in it".to_owned());
        }
        // Azure's own address names the endpoint already; it cannot be another one.
        let url = self.filled(target)?;
        match url.host_str().and_then(|host| host.split_once('.')) {
            Some((name, rest))
                if rest.contains("inference.ml.azure.") && !name.eq_ignore_ascii_case(target) =>
            {
                Err(format!(
                    "the provider's `endpoint` is that of `{name}`: write this name, or `{PLACEHOLDER}` instead of it in \
                     `endpoint` to serve others too"
                ))
            }
            _ => Ok(()),
        }
    }

    fn filled(&self, target: &str) -> Result<Url, String> {
        parse_address(&self.text.replace(PLACEHOLDER, target), EXAMPLE)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether this can be the name of an endpoint or of a deployment: up to 32 letters, digits and hyphens.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let ends = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.ends_with('-');
    if ends && name.len() <= 32 && name.bytes().all(letter) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a name at Azure ML: up to 32 letters, digits and hyphens, beginning with a letter"
    ))
}

/// Whether this can be the path of a scoring URL.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let graphic = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'));
    let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
    if path.starts_with('/') && path.len() <= 1024 && graphic && !climbs {
        return Ok(());
    }
    Err(format!("`{path}` is not a path such as `{SCORE}` or `/v2/models/credit/infer`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str, target: &str, path: Option<&str>) -> String {
        Address::parse(endpoint).unwrap().url(target, path).unwrap().to_string()
    }

    #[test]
    fn one_provider_serves_one_endpoint_or_with_a_placeholder_many() {
        for (endpoint, target, path, expected) in [
            (EXAMPLE, "credit", None, "https://credit.westeurope.inference.ml.azure.com/score"),
            (
                EXAMPLE,
                "Credit",
                Some("/v2/models/m/infer"),
                "https://credit.westeurope.inference.ml.azure.com/v2/models/m/infer",
            ),
            (
                "https://{target}.westeurope.inference.ml.azure.com/",
                "fraud-2",
                None,
                "https://fraud-2.westeurope.inference.ml.azure.com/score",
            ),
            ("https://ml.bank.example/{target}", "fraud", None, "https://ml.bank.example/fraud/score"),
            ("http://127.0.0.1:9/ml/", "any name", Some("/"), "http://127.0.0.1:9/ml/"),
        ] {
            assert_eq!(url(endpoint, target, path), expected);
        }
    }

    #[test]
    fn an_endpoint_that_is_no_scoring_address_is_refused() {
        for endpoint in [
            "",
            "credit.westeurope.inference.ml.azure.com",
            "https://{endpoint}.westeurope.inference.ml.azure.com",
            "https://x/?a={target}",
            "ftp://{target}",
            "https://user:secret@x",
            "https://credit.westeurope.inference.ml.azure.com/score/",
        ] {
            assert!(Address::parse(endpoint).is_err(), "{endpoint}");
        }
        let why = Address::parse("https://x/score").unwrap_err();
        assert!(why.contains("`path`"), "{why}");
    }

    #[test]
    fn a_target_that_cannot_be_reached_is_refused() {
        let one = Address::parse(EXAMPLE).unwrap();
        let why = one.check_target("fraud").unwrap_err();
        assert!(why.contains("`credit`"), "{why}");
        let many = Address::parse("https://{target}.westeurope.inference.ml.azure.com").unwrap();
        for target in ["", "a.b", "a/b", "1a", "-a", "a-", "a b", "ü", &"a".repeat(33), "evil.example/"] {
            assert!(many.check_target(target).is_err(), "{target}");
            assert!(many.url(target, None).is_err(), "{target}");
        }
        assert!(Address::parse("https://ml.bank.example").unwrap().check_target(" ").is_err());
    }

    #[test]
    fn a_path_stays_below_the_endpoint() {
        for (path, good) in [
            ("/score", true),
            ("/v2/models/m/infer", true),
            ("score", false),
            ("", false),
            ("/../admin", false),
            ("/a?b", false),
            ("/a#b", false),
            ("/a b", false),
            ("/a\\b", false),
        ] {
            assert_eq!(check_path(path).is_ok(), good, "{path}");
        }
    }
}
