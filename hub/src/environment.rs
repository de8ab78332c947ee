//! The environment variables that the Hub's own tools read, with the same meaning.
//!
//! <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::header::HeaderValue;
use url::Url;

/// Reads a variable; where there is none or an empty one, there is no value.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// How to talk to the Hub.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Hub or a mirror of it, without a slash at the end.
    pub endpoint: Url,
    /// `Authorization`'s value; sent to the endpoint alone.
    pub(crate) authorization: Option<HeaderValue>,
    /// Where a token is looked for, to say so when one is missing.
    pub(crate) token_file: PathBuf,
    /// Use what is in the cache, ask nobody.
    pub offline: bool,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for the next bytes.
    pub stall_timeout: Duration,
    /// Failures in a row, without progress between them, after which to give up.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each one.
    pub backoff: Duration,
}

impl Options {
    /// As `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_OFFLINE` and their relatives say.
    ///
    /// # Errors
    /// A variable with a value that cannot be used.
    pub fn from_environment() -> Result<Self, String> {
        Self::from_lookup(&variable)
    }

    /// As these variables say.
    ///
    /// # Errors
    /// A variable with a value that cannot be used.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let endpoint = text(lookup, "HF_ENDPOINT")?.unwrap_or_else(|| "https://huggingface.co".to_owned());
        let token_file = match lookup("HF_TOKEN_PATH") {
            Some(path) => expand(Path::new(&path), lookup),
            None => hf_home(lookup)?.join("token"),
        };
        let silent = is_true(text(lookup, "HF_HUB_DISABLE_IMPLICIT_TOKEN")?.as_deref());
        let token = if silent { None } else { token(lookup, &token_file)? };
        Ok(Self {
            endpoint: check_endpoint(&endpoint)?,
            authorization: token.as_deref().map(bearer).transpose()?,
            token_file,
            offline: is_true(text(lookup, "HF_HUB_OFFLINE")?.as_deref()),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            attempts: 5,
            backoff: Duration::from_secs(1),
        })
    }
}

/// The Hub's cache folder.
pub(crate) fn cache_folder(lookup: Lookup<'_>) -> Result<PathBuf, String> {
    match lookup("HF_HUB_CACHE").or_else(|| lookup("HUGGINGFACE_HUB_CACHE")) {
        Some(path) => Ok(expand(Path::new(&path), lookup)),
        None => Ok(hf_home(lookup)?.join("hub")),
    }
}

/// A variable of this process.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn hf_home(lookup: Lookup<'_>) -> Result<PathBuf, String> {
    if let Some(home) = lookup("HF_HOME") {
        return Ok(expand(Path::new(&home), lookup));
    }
    if let Some(cache) = lookup("XDG_CACHE_HOME") {
        return Ok(Path::new(&cache).join("huggingface"));
    }
    lookup("HOME").map(|home| Path::new(&home).join(".cache/huggingface")).ok_or_else(|| {
        "there is no cache folder: none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME is set".to_owned()
    })
}

/// A path with the home folder for a leading `~`.
fn expand(path: &Path, lookup: Lookup<'_>) -> PathBuf {
    match (path.strip_prefix("~"), lookup("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

fn text(lookup: Lookup<'_>, name: &str) -> Result<Option<String>, String> {
    lookup(name).map(|value| value.into_string().map_err(|_| format!("{name} is not UTF-8"))).transpose()
}

fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(&*value.to_ascii_uppercase(), "1" | "ON" | "YES" | "TRUE"))
}

fn check_endpoint(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("HF_ENDPOINT: `{text}` is no address of a hub: {why}");
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("it must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("it must not have a user, a password or a query"));
    }
    Ok(url)
}

fn token(lookup: Lookup<'_>, file: &Path) -> Result<Option<String>, String> {
    if let Some(token) = text(lookup, "HF_TOKEN")?.or(text(lookup, "HUGGING_FACE_HUB_TOKEN")?) {
        return Ok(Some(token.trim().to_owned()).filter(|token| !token.is_empty()));
    }
    match std::fs::read_to_string(file) {
        Ok(token) => Ok(Some(token.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read the token in {}: {error}", file.display())),
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "the hub's token has characters that a header cannot carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    }

    #[test]
    fn the_cache_folder_is_that_of_the_hubs_own_tools() {
        let folder =
            |pairs: &[(&str, &str)]| cache_folder(&given(pairs)).map(|path| path.display().to_string());
        let home = ("HOME", "/h");
        assert_eq!(folder(&[home]).unwrap(), "/h/.cache/huggingface/hub");
        assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "/x")]).unwrap(), "/x/huggingface/hub");
        assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f")]).unwrap(), "/f/hub");
        assert_eq!(folder(&[home, ("HF_HOME", "/f"), ("HF_HUB_CACHE", "~/c")]).unwrap(), "/h/c");
        assert!(folder(&[]).unwrap_err().contains("HF_HUB_CACHE"));
    }

    #[test]
    fn a_token_is_read_and_never_shown() {
        let options =
            Options::from_lookup(&given(&[("HOME", "/none"), ("HF_TOKEN", " hf_secret\n")])).unwrap();
        assert_eq!(options.authorization.as_ref().unwrap(), "Bearer hf_secret");
        assert!(!format!("{options:?}").contains("hf_secret"));
        let file = std::env::temp_dir().join(format!("aigate-hub-token-{}", std::process::id()));
        std::fs::write(&file, "hf_file\n").unwrap();
        let path = file.to_str().unwrap();
        let options = Options::from_lookup(&given(&[("HF_TOKEN_PATH", path)])).unwrap();
        assert_eq!(options.authorization.as_ref().unwrap(), "Bearer hf_file");
        let silent = [("HF_TOKEN_PATH", path), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert!(Options::from_lookup(&given(&silent)).unwrap().authorization.is_none());
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused() {
        for endpoint in ["huggingface.co", "ftp://x", "https://u:p@x", "https://x/?a=b"] {
            let error =
                Options::from_lookup(&given(&[("HOME", "/none"), ("HF_ENDPOINT", endpoint)])).unwrap_err();
            assert!(error.starts_with("HF_ENDPOINT: "), "{error}");
        }
        let options = given(&[("HOME", "/none"), ("HF_ENDPOINT", "http://m/hub"), ("HF_HUB_OFFLINE", "yes")]);
        let options = Options::from_lookup(&options).unwrap();
        assert!(options.offline && options.endpoint.as_str() == "http://m/hub");
    }
}
