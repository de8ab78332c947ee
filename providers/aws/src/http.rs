//! The HTTP client under the SDK: whom it trusts, and which proxy it goes through.

use std::time::Duration;

use aigate_contract::settings::Fault;
use aigate_transport::is_loopback;
use aws_sdk_bedrockruntime::config::SharedHttpClient;
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use url::Url;

use crate::config::Config;

/// Idle connections are given up before the load balancer's own 60 seconds.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// Addresses on the machine or its link, never reached through a proxy: loopback, and AWS's metadata and container
/// credential services.
const NEVER_PROXIED: &str =
    "localhost,127.0.0.0/8,::1,169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// How long a connection may take to open.
pub(crate) fn connect_timeout(config: &Config) -> Duration {
    config.connect_timeout.map_or(Duration::from_secs(5), |interval| interval.0)
}

/// The HTTP client of the settings.
///
/// # Errors
/// The fault, at its key.
pub(crate) fn client(config: &Config) -> Result<SharedHttpClient, Fault> {
    if config.ca_file.is_some() || config.proxy.is_some() {
        check_files(config)?;
    }
    let mut trust = TrustStore::empty().with_native_roots(true);
    if let Some(path) = &config.ca_file {
        let pem = std::fs::read(path)
            .map_err(|error| Fault::at("ca_file", format!("cannot read {}: {error}", path.display())))?;
        trust = trust.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| Fault::at("ca_file", format!("TLS cannot be set up: {error}")))?;
    let proxy = proxy(config)?;
    Ok(aws_smithy_http_client::Builder::new().pool_idle_timeout(POOL_IDLE).build_with_connector_fn(
        move |settings, components| {
            let mut builder = Connector::builder().proxy_config(proxy.clone()).pool_idle_timeout(POOL_IDLE);
            builder.set_connector_settings(settings.cloned());
            if let Some(components) = components {
                builder.set_sleep_impl(components.sleep_impl());
            }
            builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls.clone()).build()
        },
    ))
}

/// The SDK panics on a bad certificate at the first connection; the gateway's other client says so now, in words.
fn check_files(config: &Config) -> Result<(), Fault> {
    let settings = aigate_transport::Settings {
        ca_file: config.ca_file.clone(),
        proxy: config.proxy.clone(),
        connect_timeout: config.connect_timeout,
    };
    aigate_transport::Client::build(&settings).map(|_| ())
}

fn proxy(config: &Config) -> Result<ProxyConfig, Fault> {
    match &config.proxy {
        Some(proxy) => ProxyConfig::all(proxy.as_str())
            .map(|proxy| proxy.no_proxy(NEVER_PROXIED))
            .map_err(|error| Fault::at("proxy", format!("not usable: {error}"))),
        // A simulator on this machine is never behind the environment's proxy.
        None if is_here(config) => Ok(ProxyConfig::disabled()),
        None => Ok(ProxyConfig::from_env()),
    }
}

/// Whether the settings' endpoints are on this machine.
fn is_here(config: &Config) -> bool {
    let is_here = |place: &String| Url::parse(place).is_ok_and(|url| is_loopback(&url));
    let mut places = [&config.endpoint, &config.sagemaker_endpoint].into_iter().flatten().peekable();
    places.peek().is_some() && places.all(is_here)
}
