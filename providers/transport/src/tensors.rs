//! The one header of the Open Inference Protocol's binary extension.
//!
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>

use aigate_contract::{Error, ErrorKind, Result};
use http::HeaderMap;

/// How long the JSON is in an answer of the Open Inference Protocol with binary tensors behind it.
/// `None` where none follow.
///
/// # Errors
/// [`ErrorKind::Malformed`] when it is no number of bytes.
pub fn json_length(headers: &HeaderMap) -> Result<Option<usize>> {
    let Some(value) = headers.get("inference-header-content-length") else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || {
        Error::new(ErrorKind::Malformed, "`inference-header-content-length` of the answer is not a length")
    };
    length.map(Some).ok_or_else(wrong)
}
