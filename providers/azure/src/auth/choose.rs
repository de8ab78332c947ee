//! From settings and environment to one way of proving who the gateway is; every contradiction is a fault.

use aigate_contract::settings::{Fault, Secret};
use aigate_openai::Pass;
use aigate_transport::is_loopback;
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Environment, Way};
use crate::{
    Api, Auth, Config,
    endpoint::{below, parse_address},
};

const AUTHORITY: &str = "https://login.microsoftonline.com";
const MACHINE: &str = "http://169.254.169.254";

/// What the settings ask for.
#[derive(Debug)]
pub(crate) enum Choice {
    /// A key.
    Key(Pass),
    /// Tokens, with what they are for.
    Entra(Way, String),
}

/// Faults found so far.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Fault::at(key, message));
    }

    /// Keeps the fault, if it is one.
    fn keep<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.add(key, why)).ok()
    }
}

/// The proof that the settings ask for, or all that is wrong with them.
pub(crate) fn choose(config: &Config, environment: Environment<'_>) -> Result<Choice, Vec<Fault>> {
    // A variable that is set to nothing is not set.
    let environment = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
    let mut faults = Faults::default();
    check_keys(config, &mut faults);
    let choice = match (&config.api_key, config.auth) {
        (Some(_), Some(_)) => {
            faults.add("auth", "`api_key` and `auth` exclude each other: keep one of them");
            None
        }
        (None, None) => {
            faults.add("", no_proof(config));
            None
        }
        (Some(key), None) => faults.keep("api_key", read_key(key, config.api)).map(Choice::Key),
        (None, Some(auth)) => {
            let scope = faults.keep("scope", check_scope(config));
            let way = choose_way(config, auth, &environment, &mut faults);
            way.zip(scope).map(|(way, scope)| Choice::Entra(way, scope))
        }
    };
    match choice {
        Some(choice) if faults.0.is_empty() => Ok(choice),
        _ => Err(faults.0),
    }
}

/// A key that the chosen way does not read is a fault.
fn check_keys(config: &Config, faults: &mut Faults) {
    use Auth::{ClientSecret, ManagedIdentity, WorkloadIdentity};
    let Some(context) = config
        .auth
        .map(|auth| format!("`auth = \"{}\"`", auth.word()))
        .or_else(|| config.api_key.is_some().then(|| "`api_key`".to_owned()))
    else {
        return;
    };
    let all = [ClientSecret, ManagedIdentity, WorkloadIdentity, Auth::Entra];
    let keys: [(&str, bool, &[Auth]); 6] = [
        ("tenant_id", config.tenant_id.is_some(), &[ClientSecret, WorkloadIdentity]),
        ("client_id", config.client_id.is_some(), &[ClientSecret, ManagedIdentity, WorkloadIdentity]),
        ("client_secret", config.client_secret.is_some(), &[ClientSecret]),
        ("token_file", config.token_file.is_some(), &[WorkloadIdentity]),
        ("token_url", config.token_url.is_some(), &all),
        ("scope", config.scope.is_some(), &all),
    ];
    for (key, set, readers) in keys {
        if set && !config.auth.is_some_and(|auth| readers.contains(&auth)) {
            let readers: Vec<String> =
                readers.iter().map(|auth| format!("`auth = \"{}\"`", auth.word())).collect();
            faults.add(key, format!("has no meaning with {context}: it belongs to {}", readers.join(", ")));
        }
    }
}

fn no_proof(config: &Config) -> String {
    let guess = if config.client_secret.is_some() {
        Auth::ClientSecret
    } else if config.token_file.is_some() {
        Auth::WorkloadIdentity
    } else if config.client_id.is_some() {
        Auth::ManagedIdentity
    } else {
        Auth::Entra
    };
    let variable = if config.api == Api::Ml { "AZURE_ML_ENDPOINT_KEY" } else { "AZURE_OPENAI_API_KEY" };
    format!(
        "Azure needs an API key or a token: set `api_key = \"${{{variable}}}\"` or `auth = \"{}\"`",
        guess.word()
    )
}

/// A key goes into a header of its own; at Azure ML it stands where a token would.
fn read_key(key: &Secret, api: Api) -> Result<Pass, String> {
    let key = key.read()?;
    let (name, before) = match api {
        Api::Ml => (header::AUTHORIZATION, "Bearer "),
        Api::V1 | Api::Deployments | Api::Models => (HeaderName::from_static("api-key"), ""),
    };
    let mut value = HeaderValue::from_str(&format!("{before}{}", key.expose_secret()))
        .map_err(|_| "the key cannot stand in an HTTP header".to_owned())?;
    value.set_sensitive(true);
    Ok(Pass::Key(name, value))
}

fn check_scope(config: &Config) -> Result<String, String> {
    let Some(scope) = config.scope.as_deref() else { return Ok(config.api.scope().to_owned()) };
    if scope.is_empty() || scope.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(format!("is not one scope such as `{}`", config.api.scope()));
    }
    Ok(scope.to_owned())
}

fn choose_way(config: &Config, auth: Auth, environment: Environment<'_>, faults: &mut Faults) -> Option<Way> {
    match auth {
        Auth::ClientSecret => {
            let secret = match &config.client_secret {
                Some(secret) => faults.keep("client_secret", secret.read()),
                None => {
                    faults.add(
                        "client_secret",
                        "`auth = \"client_secret\"` needs the app registration's secret",
                    );
                    None
                }
            };
            let client_id =
                required(config.client_id.as_deref(), "client_id", "app registration's client id", faults);
            let url = entra_url(config, None, environment, faults);
            Some(Way::ClientSecret { url: url?, client_id: client_id?, secret: secret? })
        }
        Auth::WorkloadIdentity => workload(config, environment, faults),
        Auth::ManagedIdentity => {
            let client_id = match config.client_id.as_deref() {
                Some(id) => Some(required(Some(id), "client_id", "identity's client id", faults)?),
                None => None,
            };
            machine(config, client_id, environment, faults)
        }
        Auth::Entra => from_environment(config, environment, faults),
    }
}

/// The first way that the environment is set up for.
fn from_environment(config: &Config, environment: Environment<'_>, faults: &mut Faults) -> Option<Way> {
    let (tenant, client) = (environment("AZURE_TENANT_ID"), environment("AZURE_CLIENT_ID"));
    let secret = environment("AZURE_CLIENT_SECRET");
    let proof = if secret.is_some() {
        "AZURE_CLIENT_SECRET"
    } else if environment("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        "AZURE_FEDERATED_TOKEN_FILE"
    } else {
        return machine(config, client, environment, faults);
    };
    // Half a set-up would lead to another identity than the one that was meant.
    for (name, value) in [("AZURE_TENANT_ID", &tenant), ("AZURE_CLIENT_ID", &client)] {
        if value.is_none() {
            faults.add("auth", format!("{proof} is set in the environment, but {name} is not"));
        }
    }
    let (tenant, client_id) = (tenant?, client?);
    let Some(secret) = secret else { return workload(config, environment, faults) };
    let secret = faults.keep("auth", Secret::Plain(SecretString::from(secret)).read());
    let url = entra_url(config, Some(tenant), environment, faults);
    Some(Way::ClientSecret { url: url?, client_id, secret: secret? })
}

fn workload(config: &Config, environment: Environment<'_>, faults: &mut Faults) -> Option<Way> {
    let client_id = config.client_id.clone().or_else(|| environment("AZURE_CLIENT_ID"));
    let client_id =
        required(client_id.as_deref(), "client_id", "identity's client id (or AZURE_CLIENT_ID)", faults);
    let file = config
        .token_file
        .clone()
        .or_else(|| environment("AZURE_FEDERATED_TOKEN_FILE").map(std::path::PathBuf::from));
    let token_file = match file {
        Some(file) => match std::fs::File::open(&file) {
            Ok(_) => Some(file),
            Err(error) => {
                faults.add("token_file", format!("cannot read {}: {error}", file.display()));
                None
            }
        },
        None => {
            let why = "a workload identity needs the federated token's file (or AZURE_FEDERATED_TOKEN_FILE)";
            faults.add("token_file", why);
            None
        }
    };
    let url = entra_url(config, environment("AZURE_TENANT_ID"), environment, faults);
    Some(Way::Workload { url: url?, client_id: client_id?, token_file: token_file? })
}

fn machine(
    config: &Config,
    client_id: Option<String>,
    environment: Environment<'_>,
    faults: &mut Faults,
) -> Option<Way> {
    if let Some(text) = &config.token_url {
        let url = faults.keep("token_url", parse_address(text, MACHINE))?;
        return Some(Way::Machine { url: with_machine_path(url), client_id });
    }
    let set = |name: &str| environment(name).is_some();
    let other = match (set("IDENTITY_ENDPOINT"), set("IDENTITY_HEADER")) {
        (true, true) if set("IDENTITY_SERVER_THUMBPRINT") => Some("Service Fabric"),
        (true, false) => Some("Azure Arc"),
        (false, _) if set("MSI_ENDPOINT") => Some("Azure ML or Cloud Shell"),
        _ => None,
    };
    if let Some(place) = other {
        let why = format!(
            "the managed identity of {place} is not supported: only those of machines, App Service and Container Apps are"
        );
        faults.add("auth", why);
        return None;
    }
    match (environment("IDENTITY_ENDPOINT"), environment("IDENTITY_HEADER")) {
        (Some(url), Some(secret)) => {
            let named = |why| format!("IDENTITY_ENDPOINT in the environment: {why}");
            let url =
                faults.keep("auth", parse_address(&url, "http://localhost:42356/msi/token").map_err(named));
            let header = HeaderValue::from_str(&secret)
                .map_err(|_| "IDENTITY_HEADER in the environment cannot stand in an HTTP header".to_owned());
            let mut header = faults.keep("auth", header)?;
            header.set_sensitive(true);
            Some(Way::AppService { url: url?, header, client_id })
        }
        _ => {
            let url = faults.keep("auth", parse_address(MACHINE, MACHINE))?;
            Some(Way::Machine { url: with_machine_path(url), client_id })
        }
    }
}

fn with_machine_path(url: Url) -> Url {
    if has_path(&url) { url } else { below(&url, &["metadata", "identity", "oauth2", "token"]) }
}

/// Where Entra ID gives tokens to a tenant. `fallback` is the environment's tenant.
fn entra_url(
    config: &Config,
    fallback: Option<String>,
    environment: Environment<'_>,
    faults: &mut Faults,
) -> Option<Url> {
    let base = match &config.token_url {
        Some(text) => faults.keep("token_url", parse_address(text, AUTHORITY).and_then(check_scheme)),
        None => {
            let text = environment("AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.to_owned());
            let base = parse_address(&text, AUTHORITY).and_then(check_scheme);
            faults.keep(
                "token_url",
                base.map_err(|why| format!("AZURE_AUTHORITY_HOST in the environment: {why}")),
            )
        }
    };
    let configured = config.tenant_id.as_deref();
    if let Some(url) = base.as_ref().filter(|url| config.token_url.is_some() && has_path(url)) {
        let stands_there =
            |tenant: &str| url.path_segments().is_some_and(|mut path| path.any(|part| part == tenant));
        if configured.is_some_and(|tenant| !stands_there(tenant)) {
            faults.add("tenant_id", "does not stand in `token_url`, which is whole: remove one of them");
        }
        return base;
    }
    let tenant = configured.map(str::to_owned).or(fallback);
    let tenant = required(tenant.as_deref(), "tenant_id", "tenant's id or domain", faults)?;
    if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        faults.add("tenant_id", format!("`{tenant}` is not a tenant's id or domain"));
        return None;
    }
    Some(below(&base?, &[&tenant, "oauth2", "v2.0", "token"]))
}

fn has_path(url: &Url) -> bool {
    !matches!(url.path(), "" | "/")
}

/// Secrets go over plain http to this machine only.
fn check_scheme(url: Url) -> Result<Url, String> {
    if url.scheme() == "https" || is_loopback(&url) {
        return Ok(url);
    }
    Err(format!("`{url}` would get a secret over plain http: write https"))
}

fn required(value: Option<&str>, key: &str, what: &str, faults: &mut Faults) -> Option<String> {
    match value.map(str::trim) {
        Some(value) if !value.is_empty() => Some(value.to_owned()),
        Some(_) => {
            faults.add(key, format!("is empty: write the {what}"));
            None
        }
        None => {
            faults.add(key, format!("is needed: the {what}"));
            None
        }
    }
}
