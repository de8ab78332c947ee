//! Fields that aigate does not know: Converse has no place for them, so each is refused or left out by name.

use aigate_contract::{
    Call, Result, Task,
    chat::{ChatRequest, HINTS, Role},
};

/// Fields beyond the contract's that are translated elsewhere.
const TRANSLATED: [&str; 2] = ["metadata", "service_tier"];
/// Fields of an assistant's message that this provider wrote itself in an earlier answer.
pub(super) const REASONING_DETAILS: &str = "reasoning_details";
/// Fields of an answer that come back with the conversation and ask for nothing. Reasoning without its signature is
/// one of them: it cannot be given back to the model, nor need it be.
const ECHOED: [&str; 4] = ["annotations", "audio", "native_finish_reason", "reasoning_content"];
/// A mark of the end of a prefix worth caching, on a whole message.
pub(super) const CACHE_CONTROL: &str = "cache_control";

/// Like [`ChatRequest::refuse_unknown`], but knows the message fields that carry reasoning from turn to turn.
///
/// # Errors
/// [`aigate_contract::ErrorKind::Unsupported`] naming the first such field, unless the deployment drops them.
pub(super) fn refuse_unknown<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Result<()> {
    const WHY: &str = "Bedrock has nothing like it";
    for name in call.request.unknown.iter().map(String::as_str) {
        if TRANSLATED.contains(&name) {
            continue;
        }
        if HINTS.contains(&name) {
            call.leave_out(name);
        } else {
            call.unsupported(name, WHY)?;
        }
    }
    if call.request.stream_options.is_some_and(|options| options.include_obfuscation == Some(true)) {
        call.leave_out("stream_options.include_obfuscation");
    }
    call.request.refuse_unknown_in_tools(call, &[CACHE_CONTROL])?;
    for (index, message) in call.request.messages.iter().enumerate() {
        call.request.refuse_unknown_parts(call, index, message)?;
        let at = |name: &str| format!("messages[{index}].{name}");
        match (message.role, &message.name) {
            (_, None) => {}
            // The call's id tells the tool; the name adds nothing.
            (Role::Tool, Some(_)) => call.leave_out(&at("name")),
            (_, Some(_)) => call.unsupported(&at("name"), WHY)?,
        }
        for (name, value) in &message.extra {
            match (message.role, name.as_str()) {
                _ if value.is_null() => {}
                (_, CACHE_CONTROL) | (Role::Assistant, REASONING_DETAILS) => {}
                (_, name) if ECHOED.contains(&name) => call.leave_out(&at(name)),
                _ => call.unsupported(&at(name), WHY)?,
            }
        }
    }
    Ok(())
}
