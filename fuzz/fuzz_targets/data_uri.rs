//! Data URIs of callers: never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = aigate_transport::parse_data_uri(text);
});
