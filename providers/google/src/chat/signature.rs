//! Thought signatures: what Gemini wants to see again beside its own tool calls.
//!
//! Gemini 3 refuses a tool call in the conversation that has lost its signature. Callers get it as Google's own
//! OpenAI-compatible endpoint gives it, `tool_calls[].extra_content.google.thought_signature`, and send it back in the
//! same place. For calls that another model made, or whose signature the caller did not keep, Google documents a
//! stand-in that skips the check.
//!
//! <https://ai.google.dev/gemini-api/docs/thought-signatures>

use aigate_contract::{Error, ErrorKind, Result, chat::ToolCall};
use bytes::Bytes;
use serde_json::{Value, json};

/// The documented stand-in.
pub(super) const STAND_IN: &str = "skip_thought_signature_validator";

/// The field of a tool call that holds the signature.
pub(super) const FIELD: &str = "extra_content";

/// The signature that a caller sent back.
pub(super) fn of(call: &ToolCall) -> Option<&str> {
    let content = call.extra.get(FIELD)?;
    // Vertex AI's own OpenAI-compatible endpoint says `vertex`.
    let found = content.get("google").or_else(|| content.get("vertex"))?;
    found.get("thought_signature")?.as_str()
}

/// Adds signatures to the tool calls of a written answer: choice, call, signature.
pub(super) fn attach(json: &Bytes, holder: &str, signatures: &[(usize, usize, String)]) -> Result<Bytes> {
    let internal = |error| Error::new(ErrorKind::Internal, "the answer cannot be written").with_source(error);
    let mut answer: Value = serde_json::from_slice(json).map_err(internal)?;
    for (choice, call, signature) in signatures {
        let place = answer.pointer_mut(&format!("/choices/{choice}/{holder}/tool_calls/{call}"));
        if let Some(Value::Object(place)) = place {
            place.insert(FIELD.to_owned(), json!({"google": {"thought_signature": signature}}));
        }
    }
    serde_json::to_vec(&answer).map(Bytes::from).map_err(internal)
}
