//! The listeners, the log, traces.

use std::net::SocketAddr;

use super::Faults;
use crate::config::document::{Log, Operations, Server, Telemetry};

pub(super) fn check_listeners(server: &Server, operations: &Operations, has_keys: bool, faults: &mut Faults) {
    let open = |address: &SocketAddr| !address.ip().is_loopback();
    if open(&server.listen) && !has_keys {
        let message = format!(
            "{} can be reached from other machines, but there are neither keys nor `jwt`: make a key with `aigate key new NAME`, or \
             listen on 127.0.0.1",
            server.listen
        );
        faults.add::<()>(&["server", "listen"], message);
    }
    if open(&operations.listen) && operations.key.is_none() {
        let message = format!(
            "{} can be reached from other machines, but `operations.key` is not set: make one with `aigate key new \
             operations`, or listen on 127.0.0.1",
            operations.listen
        );
        faults.add::<()>(&["operations", "listen"], message);
    }
    if server.listen == operations.listen && server.listen.port() != 0 {
        faults.add::<()>(&["operations", "listen"], "must differ from `server.listen`");
    }
    for (key, value, low, high) in [
        ("max_body_bytes", server.max_body_bytes, 1024, 1024 * 1024 * 1024),
        ("max_connections", server.max_connections, 1, 1_000_000),
    ] {
        if !(low..=high).contains(&value) {
            faults.add::<()>(&["server", key], format!("must be between {low} and {high}, not {value}"));
        }
    }
    if server.max_buffered_bytes < server.max_body_bytes {
        faults.add::<()>(&["server", "max_buffered_bytes"], "must be at least `max_body_bytes`");
    }
    for (key, value) in [("header_timeout", server.header_timeout), ("body_timeout", server.body_timeout)] {
        if value.0.is_zero() {
            faults.add::<()>(&["server", key], "must be longer than zero");
        }
    }
}

pub(super) fn check_telemetry(telemetry: &Telemetry, log: &Log, faults: &mut Faults) {
    if !(0.0..=1.0).contains(&telemetry.sample_ratio) {
        faults.add::<()>(&["telemetry", "sample_ratio"], "must be between 0 and 1");
    }
    if let Some(endpoint) = &telemetry.otlp_endpoint
        && !endpoint.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some() && uri.scheme().is_some())
    {
        faults.add::<()>(&["telemetry", "otlp_endpoint"], "not a URL such as `http://127.0.0.1:4318`");
    }
    if let Err(error) = log.level.parse::<tracing_subscriber::filter::Targets>() {
        faults.add::<()>(&["log", "level"], format!("not a level such as `info`, nor filters: {error}"));
    }
}
