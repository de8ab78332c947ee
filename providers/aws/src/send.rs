//! What every request gets on its way: the call's trace, and a body whose JSON objects have one fixed order.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_sdk_bedrockruntime::{
    config::{ConfigBag, Intercept, RuntimeComponents, http::HttpRequest},
    error::BoxError,
};
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

/// The answer's header that counts the input tokens of an InvokeModel call.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// Hands the trace on; with `sorted`, writes the body's objects in a fixed order.
pub(crate) fn prepare(
    traceparent: Option<String>,
    sorted: bool,
) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
    move |request| {
        if let Some(value) = &traceparent {
            // A value that cannot be a header is not a trace either.
            let _ = request.headers_mut().try_insert("traceparent", value.clone());
        }
        if sorted {
            sort(request);
        }
    }
}

/// The SDK writes tool schemas from hash maps, in another order each time; Bedrock's prompt cache would never find the
/// same prefix again.
fn sort(request: &mut HttpRequest) {
    let Some(mut value) =
        request.body().bytes().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
    else {
        return;
    };
    value.sort_all_objects();
    let Ok(text) = serde_json::to_vec(&value) else { return };
    if request.headers_mut().try_insert("content-length", text.len().to_string()).is_ok() {
        *request.body_mut() = SdkBody::from(text);
    }
}

/// Reads the input tokens from an answer's header.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenCount(Arc<AtomicU64>);

impl TokenCount {
    /// The count, if the answer told one.
    pub(crate) fn get(&self) -> Option<u64> {
        self.0.load(Ordering::Acquire).checked_sub(1)
    }
}

impl Intercept for TokenCount {
    fn name(&self) -> &'static str {
        "TokenCount"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let count = context.response().headers().get(INPUT_TOKENS).and_then(|text| text.parse::<u64>().ok());
        // One more than the count: zero stands for an answer without it.
        self.0.store(count.map_or(0, |count| count.saturating_add(1)), Ordering::Release);
        Ok(())
    }
}
