//! Requests of callers: never a panic; a body that is accepted can be spliced and is still JSON with the new value.
#![no_main]

use aigate_contract::{chat::ChatRequest, embed::EmbedRequest};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let _ = EmbedRequest::parse(bytes.clone());
    if let Ok(request) = ChatRequest::parse(bytes) {
        let spliced = request.body.with(&[("model", Some(b"\"other\"")), ("stream_options", Some(b"{}"))]);
        let value: serde_json::Value = serde_json::from_slice(&spliced).expect("a spliced body is JSON");
        assert_eq!(value["model"], "other");
    }
});
