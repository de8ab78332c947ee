//! From `endpoint`, `api` and `api_version` to URLs.
//!
//! <https://learn.microsoft.com/azure/foundry/openai/reference>

use aigate_contract::settings::Fault;
use aigate_openai::Purpose;
use url::Url;

use crate::{Api, Config};

const EXAMPLE: &str = "https://bank-weu.openai.azure.com";
/// The last version that the reference of Foundry Models names.
const MODELS_VERSION: &str = "2024-05-01-preview";

/// Where one API of one resource lives.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) api: Api,
    /// Everything before the purpose or the deployment's name, e.g. `https://x.openai.azure.com/openai/v1`.
    base: Url,
    version: Option<String>,
}

impl Site {
    pub(crate) fn build(config: &Config) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let version = check_version(config).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let base = check_endpoint(&config.endpoint).map_err(|why| faults.push(Fault::at("endpoint", why)));
        match base {
            Ok(endpoint) if faults.is_empty() => {
                let path: &[&str] = match config.api {
                    Api::V1 => &["openai", "v1"],
                    Api::Deployments => &["openai", "deployments"],
                    Api::Models => &["models"],
                    // The path is each deployment's own.
                    Api::Ml => &[],
                };
                Ok(Self { api: config.api, base: below(&endpoint, path), version })
            }
            _ => Err(faults),
        }
    }

    /// The base of all URLs, for the operator.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The URL for a purpose and a deployment, whatever characters its name has.
    pub(crate) fn url(&self, purpose: Purpose, deployment: &str) -> Url {
        let mut url = self.base.clone();
        if self.api == Api::Deployments {
            url = below(&url, &[deployment]);
        }
        url = below(&url, &purpose.path().split('/').collect::<Vec<_>>());
        if let Some(version) = &self.version {
            url.query_pairs_mut().append_pair("api-version", version);
        }
        url
    }

    /// Whether a URL or a body can carry this name.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), String> {
        let what = "the deployment's name";
        if name.trim().is_empty() {
            return Err(format!("{what} is empty"));
        }
        if name.trim() != name || name.chars().any(char::is_control) {
            return Err(format!("{what} has white space around it or control characters in it"));
        }
        if self.api == Api::Deployments && matches!(name, "." | "..") {
            return Err(format!("`{name}` cannot stand in a URL: write {what} as the portal shows it"));
        }
        Ok(())
    }
}

/// The URL with segments added to its path, each percent-encoded.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Only a URL without a host has no path, and such URLs are refused when the config is loaded.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Reads an http or https URL that has a host and holds no password, query or fragment.
pub(crate) fn parse_address(text: &str, example: &str) -> Result<Url, String> {
    let url = parse_url(text, example)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` has a query or a fragment: write `{}`", shown(&bare(&url))));
    }
    Ok(url)
}

fn parse_url(text: &str, example: &str) -> Result<Url, String> {
    // Before anything is repeated in a message: what stands before an `@` may be a password.
    if text.contains('@') {
        return Err(format!(
            "holds a user name, a password or another `@`: write an address such as {example}"
        ));
    }
    let url =
        Url::parse(text).map_err(|error| format!("`{text}` is not a URL such as {example}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("`{text}` is not an http or https URL such as {example}"));
    }
    Ok(url)
}

fn check_endpoint(text: &str) -> Result<Url, String> {
    let url = parse_url(text, EXAMPLE)?;
    let segments: Vec<&str> =
        url.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let own = |part: &&str| part.eq_ignore_ascii_case("openai") || part.eq_ignore_ascii_case("models");
    // An address copied from the portal has a query too: the path is the more telling fault.
    let Some(place) = segments.iter().position(own) else { return parse_address(text, EXAMPLE) };
    let mut root = bare(&url);
    root.set_path("");
    let root = below(&root, segments.get(..place).unwrap_or_default());
    let rest = segments.get(place..).unwrap_or_default();
    let api = match rest {
        ["models", ..] => Api::Models,
        [_, "deployments", ..] => Api::Deployments,
        _ => Api::V1,
    };
    Err(format!(
        "`/{}` is added by the gateway: write `{}` here and `api = \"{}\"` beside it",
        rest.join("/"),
        shown(&root),
        api.word(),
    ))
}

fn bare(url: &Url) -> Url {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    bare
}

pub(crate) fn check_version(config: &Config) -> Result<Option<String>, Fault> {
    let fault = |why: String| Err(Fault::at("api_version", why));
    let word = config.api.word();
    let Some(version) = config.api_version.as_deref() else {
        return match config.api {
            Api::V1 | Api::Ml => Ok(None),
            Api::Models => Ok(Some(MODELS_VERSION.to_owned())),
            Api::Deployments => {
                fault(format!("`api = \"{word}\"` needs a version, e.g. `api_version = \"2024-10-21\"`"))
            }
        };
    };
    if matches!(config.api, Api::V1 | Api::Ml) {
        let other = if config.api == Api::V1 { ", or set `api = \"deployments\"`" } else { "" };
        return fault(format!("`api = \"{word}\"` has no version: remove the key{other}"));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if version.is_empty() || version.len() > 64 || !version.bytes().all(fits) {
        return fault(format!("`{version}` is not a version such as `2024-10-21`"));
    }
    Ok(Some(version.to_owned()))
}

fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::config;

    fn url(settings: &str, purpose: Purpose, name: &str) -> String {
        Site::build(&config(settings)).unwrap().url(purpose, name).to_string()
    }

    fn faults(settings: &str) -> Vec<(String, String)> {
        let faults = Site::build(&config(settings)).unwrap_err();
        faults.into_iter().map(|fault| (fault.path, fault.message)).collect()
    }

    #[test]
    fn each_api_has_its_own_url() {
        use Purpose::{Chat, Embeddings};
        for (settings, purpose, expected) in [
            (
                r#"{"endpoint":"https://x.openai.azure.com"}"#,
                Chat,
                "https://x.openai.azure.com/openai/v1/chat/completions",
            ),
            (
                r#"{"endpoint":"https://x.services.ai.azure.com/"}"#,
                Embeddings,
                "https://x.services.ai.azure.com/openai/v1/embeddings",
            ),
            (
                r#"{"endpoint":"https://x.cognitiveservices.azure.com","api":"deployments","api_version":"2024-10-21"}"#,
                Chat,
                "https://x.cognitiveservices.azure.com/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21",
            ),
            (
                r#"{"endpoint":"https://x.openai.azure.com/","api":"deployments","api_version":"2024-10-21"}"#,
                Embeddings,
                "https://x.openai.azure.com/openai/deployments/gpt-4.1/embeddings?api-version=2024-10-21",
            ),
            (
                r#"{"endpoint":"https://x.services.ai.azure.com","api":"models"}"#,
                Chat,
                "https://x.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview",
            ),
            (
                r#"{"endpoint":"https://x.services.ai.azure.com","api":"models","api_version":"2025-04-01"}"#,
                Embeddings,
                "https://x.services.ai.azure.com/models/embeddings?api-version=2025-04-01",
            ),
            (
                r#"{"endpoint":"https://api.bank.example/ai/azure/"}"#,
                Chat,
                "https://api.bank.example/ai/azure/openai/v1/chat/completions",
            ),
        ] {
            assert_eq!(url(settings, purpose, "gpt-4.1"), expected, "{settings}");
        }
    }

    #[test]
    fn a_deployment_s_name_is_one_segment_of_the_url_whatever_its_characters() {
        let settings = r#"{"endpoint":"https://x.azure.com","api":"deployments","api_version":"2024-10-21"}"#;
        for (name, expected) in [
            ("my model", "my%20model"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("a?b#c", "a%3Fb%23c"),
            ("../x", "..%2Fx"),
            ("a\\b", "a%5Cb"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(
                url(settings, Purpose::Chat, name),
                format!(
                    "https://x.azure.com/openai/deployments/{expected}/chat/completions?api-version=2024-10-21"
                )
            );
        }
    }

    #[test]
    fn a_name_that_no_url_can_carry_is_refused_when_the_config_is_loaded() {
        let site = |settings| Site::build(&config(settings)).unwrap();
        let dated = site(r#"{"endpoint":"https://x","api":"deployments","api_version":"2024-10-21"}"#);
        for name in ["", " ", ".", "..", " a", "a\n"] {
            assert!(dated.check_name(name).is_err(), "{name:?}");
        }
        assert!(dated.check_name("gpt-4.1 mini").is_ok());
        assert!(site(r#"{"endpoint":"https://x"}"#).check_name("").is_err());
    }

    #[test]
    fn an_endpoint_with_the_api_s_path_is_refused_with_what_to_write() {
        for (endpoint, write, api) in [
            ("https://x.openai.azure.com/openai/v1/", "https://x.openai.azure.com", "v1"),
            (
                "https://x.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
                "https://x.openai.azure.com",
                "deployments",
            ),
            ("https://x.services.ai.azure.com/models", "https://x.services.ai.azure.com", "models"),
            ("https://api.bank.example/ai/openai/v1", "https://api.bank.example/ai", "v1"),
        ] {
            let faults = faults(&format!(r#"{{"endpoint":"{endpoint}"}}"#));
            let [(path, message)] = faults.as_slice() else { panic!("{faults:?}") };
            assert_eq!(path, "endpoint");
            assert!(message.contains(&format!("write `{write}` here and `api = \"{api}\"`")), "{message}");
        }
    }

    #[test]
    fn an_endpoint_that_is_no_plain_address_is_refused() {
        for endpoint in ["x.openai.azure.com", "ftp://x", "https://", "", "https://x/?a=b", "data:text,x"] {
            assert_eq!(faults(&format!(r#"{{"endpoint":"{endpoint}"}}"#)).len(), 1, "{endpoint}");
        }
        let faults = faults(r#"{"endpoint":"https://user:hunter2@x"}"#);
        assert!(!faults[0].1.contains("hunter2"), "{faults:?}");
    }

    #[test]
    fn a_version_is_needed_for_deployments_and_refused_for_v1() {
        let only = |settings: &str| {
            let faults = faults(settings);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].0, "api_version");
            faults[0].1.clone()
        };
        assert!(only(r#"{"endpoint":"https://x","api":"deployments"}"#).contains("2024-10-21"));
        assert!(only(r#"{"endpoint":"https://x","api_version":"2024-10-21"}"#).contains("remove the key"));
        only(r#"{"endpoint":"https://x","api":"models","api_version":""}"#);
        only(r#"{"endpoint":"https://x","api":"models","api_version":"a&b=c"}"#);
        assert_eq!(faults(r#"{"endpoint":"x","api":"deployments"}"#).len(), 2);
    }
}
