//! Requests of callers: never a panic; a body that is accepted can be spliced and is still JSON with the new value.
#![no_main]

use aigate_contract::{Body, chat::ChatRequest, embed::EmbedRequest};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let _ = EmbedRequest::parse(bytes.clone());
    if let Ok(request) = ChatRequest::parse(bytes) {
        let spliced = request.body.with(&[("model", Some(b"\"other\"")), ("stream_options", Some(b"{}"))]);
        let again = Body::parse(Bytes::from(spliced)).expect("a spliced body is a JSON object");
        assert_eq!(again.raw("model"), Some(&b"\"other\""[..]));
        assert_eq!(again.raw("messages"), request.body.raw("messages"));
    }
});
