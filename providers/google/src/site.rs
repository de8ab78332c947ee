//! Where calls go: hosts, paths, and the names of models in them.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations>,
//! <https://ai.google.dev/api/generate-content>

use aigate_contract::{Error, ErrorKind, Result, settings::Fault};
use url::Url;

use crate::config::Config;

/// One of Google's two APIs for Gemini, at one host.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    base: Url,
    pub(crate) api: Api,
}

/// Which of the two.
#[derive(Clone, Debug)]
pub(crate) enum Api {
    /// Vertex AI.
    Vertex { project: String, location: String },
    /// The Gemini API.
    Gemini,
}

/// A model's name in its parts, ready for a path: `["publishers", "google", "models", "gemini-2.5-flash"]`.
type Name<'a> = Vec<&'a str>;

impl Site {
    /// The site that a config means. All faults at once.
    pub(crate) fn of(config: &Config) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let location = config.location.as_deref().unwrap_or("global");
        let api = if config.api_key.is_some() {
            Api::Gemini
        } else {
            let project = config.project.as_deref().unwrap_or_default();
            if project.is_empty() {
                faults.push(Fault::at(
                    "project",
                    "missing: Vertex AI needs a Google Cloud project (or set `api_key` for the Gemini API)",
                ));
            } else if !is_name(project, ":.-_") {
                faults.push(Fault::at("project", format!("`{project}` is not a project's id")));
            }
            if !is_name(location, "-") {
                let message =
                    format!("`{location}` is not a location such as `global`, `eu` or `europe-west4`");
                faults.push(Fault::at("location", message));
            }
            Api::Vertex { project: project.to_owned(), location: location.to_owned() }
        };
        let host = match (&config.base_url, &api) {
            (Some(base), _) => base.clone(),
            (None, Api::Gemini) => "https://generativelanguage.googleapis.com".to_owned(),
            (None, Api::Vertex { .. }) => format!("https://{}", vertex_host(location)),
        };
        match web_url(&host) {
            Ok(base) if faults.is_empty() => return Ok(Self { base, api }),
            Err(why) if config.base_url.is_some() => faults.push(Fault::at("base_url", why)),
            _ => {}
        }
        Err(faults)
    }

    /// The host, for people.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// `…/{model}:{method}`.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] when the name cannot be a model's name here.
    pub(crate) fn url(&self, model: &str, method: &str) -> Result<Url> {
        let name = self.name(model).map_err(|why| Error::new(ErrorKind::Missing, why))?;
        self.below(self.base.clone(), name, method)
    }

    /// `…/endpoints/{id}:{method}` of an endpoint with a model of one's own, at its dedicated host if it has one.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] when it cannot be an endpoint's name, or a host.
    pub(crate) fn endpoint_url(&self, endpoint: &str, host: Option<&str>, method: &str) -> Result<Url> {
        let missing = |why| Error::new(ErrorKind::Missing, why);
        let name = endpoint_name(endpoint).map_err(missing)?;
        let base = host.map_or_else(|| Ok(self.base.clone()), dedicated_host).map_err(missing)?;
        self.below(base, name, method)
    }

    fn below(&self, base: Url, mut name: Name<'_>, method: &str) -> Result<Url> {
        let last = format!("{}:{method}", name.pop().unwrap_or_default());
        let mut url = base;
        let Ok(mut path) = url.path_segments_mut() else {
            return Err(Error::new(ErrorKind::Internal, "the provider's base URL has no path"));
        };
        path.pop_if_empty();
        match &self.api {
            Api::Vertex { project, location } => {
                path.extend(["v1", "projects", project, "locations", location]);
            }
            Api::Gemini => {
                path.push("v1beta");
            }
        }
        path.extend(name).push(&last);
        drop(path);
        Ok(url)
    }

    /// A model's resource name without project and location: `models/X`, `publishers/google/models/X`, ….
    ///
    /// # Errors
    /// A message that says what would be right.
    pub(crate) fn resource(&self, model: &str) -> Result<String, String> {
        self.name(model).map(|name| name.join("/"))
    }

    /// Whether models of one's own can be asked here.
    pub(crate) fn has_endpoints(&self) -> bool {
        matches!(self.api, Api::Vertex { .. })
    }

    /// Whether `target` can name an endpoint with a model of one's own.
    ///
    /// # Errors
    /// A message that says what would be right.
    pub(crate) fn check_endpoint(&self, target: &str) -> Result<(), String> {
        if !self.has_endpoints() {
            return Err(
                "the Gemini API (`api_key`) has no models of one's own to ask for predictions: use a \
                        provider with `project`, which is Vertex AI"
                    .to_owned(),
            );
        }
        endpoint_name(target).map(drop)
    }

    fn name<'a>(&self, model: &'a str) -> Result<Name<'a>, String> {
        let parts: Name<'a> = model.split('/').collect();
        if !parts.iter().all(|part| is_name(part, "._@-") && !matches!(*part, "." | "..")) {
            return Err(format!(
                "`{model}` is not a model's name: only letters, digits and `. _ @ -` may stand in it"
            ));
        }
        match (&self.api, parts.as_slice()) {
            (Api::Vertex { .. }, [id]) => Ok(vec!["publishers", "google", "models", id]),
            (Api::Vertex { .. }, ["publishers", "google", "models", _] | ["endpoints", _]) => Ok(parts),
            (Api::Gemini, [id]) => Ok(vec!["models", id]),
            (Api::Gemini, ["models" | "tunedModels", _]) => Ok(parts),
            (Api::Vertex { .. }, _) => Err(format!(
                "`{model}` is not a model's name: expected `gemini-2.5-flash`, `publishers/google/models/NAME` or \
                 `endpoints/ID`"
            )),
            (Api::Gemini, _) => Err(format!(
                "`{model}` is not a model's name: expected `gemini-2.5-flash`, `models/NAME` or `tunedModels/NAME`"
            )),
        }
    }
}

/// `["endpoints", id]` of `endpoints/{id}`, or of a bare numeric id.
fn endpoint_name(target: &str) -> Result<Name<'_>, String> {
    let bare = |id: &str| id.bytes().all(|byte| byte.is_ascii_digit());
    match target.strip_prefix("endpoints/").or_else(|| bare(target).then_some(target)) {
        Some(id) if is_name(id, "-_") => Ok(vec!["endpoints", id]),
        _ => Err(format!("`{target}` is not an endpoint: expected `endpoints/ID` or the numeric id alone")),
    }
}

/// The address of a dedicated endpoint: a bare host, or for stand-ins a whole URL.
pub(crate) fn dedicated_host(host: &str) -> Result<Url, String> {
    if host.contains("://") {
        return web_url(host);
    }
    let bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | ':');
    if host.is_empty() || !host.chars().all(bare) {
        return Err(format!(
            "`{host}` is not a host such as `123.europe-west4-456.prediction.vertexai.goog`"
        ));
    }
    web_url(&format!("https://{host}"))
}

fn vertex_host(location: &str) -> String {
    match location {
        "global" => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        region => format!("{region}-aiplatform.googleapis.com"),
    }
}

/// An http or https URL without query and fragment.
pub(crate) fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("`{text}` is not an http or https URL"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(format!("`{text}` must have no user, query or fragment"));
    }
    Ok(url)
}

fn is_name(text: &str, others: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(location: &str) -> Site {
        let (project, location) = (Some("bank-ai".to_owned()), Some(location.to_owned()));
        Site::of(&Config { project, location, ..Config::default() }).unwrap()
    }

    fn url(location: &str, model: &str) -> String {
        vertex(location).url(model, "generateContent").unwrap().to_string()
    }

    #[test]
    fn each_kind_of_location_has_its_host() {
        for (location, host) in [
            ("global", "https://aiplatform.googleapis.com"),
            ("eu", "https://aiplatform.eu.rep.googleapis.com"),
            ("europe-west4", "https://europe-west4-aiplatform.googleapis.com"),
        ] {
            let path = "publishers/google/models/gemini-2.5-flash:generateContent";
            assert_eq!(
                url(location, "gemini-2.5-flash"),
                format!("{host}/v1/projects/bank-ai/locations/{location}/{path}")
            );
        }
    }

    #[test]
    fn publisher_models_and_tuned_endpoints_are_named_as_they_are() {
        assert!(
            url("us", "publishers/google/models/m")
                .ends_with("/us/publishers/google/models/m:generateContent")
        );
        assert!(url("us", "endpoints/123").ends_with("/locations/us/endpoints/123:generateContent"));
    }

    #[test]
    fn an_endpoint_is_named_by_its_id_and_may_have_a_host_of_its_own() {
        let url = |target: &str, host: Option<&str>| {
            vertex("europe-west4").endpoint_url(target, host, "predict").map(|url| url.to_string())
        };
        let path = "/v1/projects/bank-ai/locations/europe-west4/endpoints/123:predict";
        let shared = "https://europe-west4-aiplatform.googleapis.com";
        assert_eq!(url("endpoints/123", None).unwrap(), format!("{shared}{path}"));
        assert_eq!(url("123", None).unwrap(), format!("{shared}{path}"));
        assert!(url("endpoints/mg-endpoint-1", None).unwrap().ends_with("/endpoints/mg-endpoint-1:predict"));
        for (host, base) in [
            (
                "123.europe-west4-456.prediction.vertexai.goog",
                "https://123.europe-west4-456.prediction.vertexai.goog",
            ),
            ("http://127.0.0.1:9/google/", "http://127.0.0.1:9/google"),
        ] {
            assert_eq!(url("123", Some(host)).unwrap(), format!("{base}{path}"));
        }
        for host in ["", "a/b", "a b", "user@host", "ftp://x", "https://x/?a=b", "https://"] {
            assert!(url("123", Some(host)).is_err(), "{host}");
        }
        for target in ["", "credit", "endpoints/", "endpoints/..", "endpoints/1/2", "endpoints/a:b", "1?x"] {
            assert!(url(target, None).is_err(), "{target}");
        }
    }

    #[test]
    fn the_gemini_api_is_reached_below_v1beta_and_a_base_url_may_have_a_path() {
        let api_key = Some(serde_json::from_str(r#""k""#).unwrap());
        let base_url = Some("http://127.0.0.1:9/google/".to_owned());
        let site = Site::of(&Config { api_key, base_url, ..Config::default() }).unwrap();
        assert_eq!(site.url("m", "x").unwrap().as_str(), "http://127.0.0.1:9/google/v1beta/models/m:x");
    }

    #[test]
    fn names_that_could_leave_their_place_in_the_path_are_refused() {
        for name in
            ["", "..", "a/..", "endpoints/..", "a?b", "a#b", "a%2fb", "a/b", "a b", "endpoints/", "ü", "a:b"]
        {
            assert!(vertex("eu").url(name, "generateContent").is_err(), "{name}");
        }
    }
}
