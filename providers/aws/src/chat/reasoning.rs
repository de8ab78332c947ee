//! How hard the model is to think, and what it thought: out to the caller with its signature, and back to the model.
//!
//! The form of `reasoning_details` is the one OpenRouter gives it:
//! <https://openrouter.ai/docs/guides/best-practices/reasoning-tokens>

use aigate_contract::{Call, Result, Task, chat::ChatRequest};
use aws_sdk_bedrockruntime::{
    primitives::Blob,
    types::{ContentBlock, ReasoningContentBlock, ReasoningTextBlock},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{fields::REASONING_DETAILS, unbuilt};
use crate::model::{Family, Thinking};

const FIELD: &str = "reasoning_effort";
/// What Claude accepts as a thinking budget at least, in tokens.
const MIN_BUDGET: u32 = 1024;
/// The form of the details, as OpenRouter names Anthropic's.
const FORMAT: &str = "anthropic-claude-v1";

/// `reasoning_effort` in the model's own words: some of it into `model_fields`, some as the returned
/// `outputConfig.effort`.
///
/// # Errors
/// An effort that the model does not know.
pub(super) fn effort<T>(
    call: &Call<T>,
    family: Family,
    model_fields: &mut Map<String, Value>,
) -> Result<Option<String>>
where
    T: Task<Request = ChatRequest>,
{
    let Some(word) = call.request.reasoning_effort.as_deref() else { return Ok(None) };
    let refuse = |why: &str| call.unsupported(FIELD, why).map(|()| None);
    match (family, word) {
        (Family::Claude(Thinking::Never), _) => refuse("this model does not think"),
        (Family::Claude(Thinking::Budget | Thinking::Adaptive), "none") => Ok(None),
        (Family::Claude(Thinking::Budget), _) => match budget(word, call.request.max_tokens) {
            Some(tokens) => {
                let thinking = json!({"type": "enabled", "budget_tokens": tokens});
                model_fields.insert("thinking".to_owned(), thinking);
                Ok(None)
            }
            None => {
                refuse("expected none, minimal, low, medium, high or xhigh, and at least 2048 max tokens")
            }
        },
        (Family::Claude(Thinking::Adaptive | Thinking::Always), "low" | "medium" | "high" | "xhigh") => {
            model_fields.insert("thinking".to_owned(), json!({"type": "adaptive"}));
            Ok(Some(word.to_owned()))
        }
        (Family::Claude(_), _) => refuse("this model knows low, medium, high and xhigh"),
        (Family::Nova2, "none") => {
            model_fields.insert("reasoningConfig".to_owned(), json!({"type": "disabled"}));
            Ok(None)
        }
        (Family::Nova2, "low" | "medium" | "high") => {
            let config = json!({"type": "enabled", "maxReasoningEffort": word});
            model_fields.insert("reasoningConfig".to_owned(), config);
            Ok(None)
        }
        (Family::Nova2, _) => refuse("this model knows none, low, medium and high"),
        (Family::OpenAi, "low" | "medium" | "high") => {
            model_fields.insert(FIELD.to_owned(), json!(word));
            Ok(None)
        }
        (Family::OpenAi, _) => refuse("this model knows low, medium and high"),
        (Family::Other, _) => refuse("this model is not known to think on request"),
    }
}

/// The tokens that an effort means for models that want a number: at most half of what the answer may have.
fn budget(word: &str, max_tokens: Option<u32>) -> Option<u32> {
    let tokens = match word {
        "minimal" => MIN_BUDGET,
        "low" => 2048,
        "medium" => 8192,
        "high" => 16_384,
        "xhigh" => 24_576,
        _ => return None,
    };
    let tokens = max_tokens.map_or(tokens, |all| tokens.min(all / 2));
    (tokens >= MIN_BUDGET).then_some(tokens)
}

/// What the model thought in an earlier turn, given back by the caller. Claude wants it before the turn's tool calls.
///
/// # Errors
/// Details in no form that this provider writes.
pub(super) fn given_back<T: Task>(
    call: &Call<T>,
    family: Family,
    details: Option<&Value>,
    at: &str,
) -> Result<Vec<ContentBlock>> {
    let Some(details) = details.filter(|details| !details.is_null()) else { return Ok(Vec::new()) };
    let at = format!("{at}.{REASONING_DETAILS}");
    if !family.is_claude() {
        // The signature is Claude's: another model cannot read it, and thinks anew.
        call.leave_out(&at);
        return Ok(Vec::new());
    }
    let Some(details) = details.as_array() else {
        call.unsupported(&at, "expected the list that an earlier answer had")?;
        return Ok(Vec::new());
    };
    let mut blocks = Vec::with_capacity(details.len());
    for (index, detail) in details.iter().enumerate() {
        match block(detail)? {
            Some(block) => blocks.push(ContentBlock::ReasoningContent(block)),
            None => call.leave_out(&format!("{at}[{index}]")),
        }
    }
    Ok(blocks)
}

/// `None` for thoughts of another vendor's model.
fn block(detail: &Value) -> Result<Option<ReasoningContentBlock>> {
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    match (text("type"), text("signature"), text("data")) {
        (Some("reasoning.text"), Some(signature), _) => ReasoningTextBlock::builder()
            .text(text("text").unwrap_or_default())
            .signature(signature)
            .build()
            .map(|block| Some(ReasoningContentBlock::ReasoningText(block)))
            .map_err(unbuilt),
        (Some("reasoning.encrypted"), _, Some(data)) if text("format") == Some(FORMAT) => {
            Ok(STANDARD.decode(data).ok().map(|data| ReasoningContentBlock::RedactedContent(Blob::new(data))))
        }
        _ => Ok(None),
    }
}

/// A thought with its signature, as a detail.
pub(super) fn signed(index: usize, text: &str, signature: &str) -> Value {
    json!({"type": "reasoning.text", "text": text, "signature": signature, "format": FORMAT, "index": index})
}

/// A thought that only the model can read, as a detail.
pub(super) fn hidden(index: usize, data: &[u8]) -> Value {
    json!({"type": "reasoning.encrypted", "data": STANDARD.encode(data), "format": FORMAT, "index": index})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_at_most_half_of_the_answer_and_not_below_claude_s_least() {
        assert_eq!(budget("high", None), Some(16_384));
        assert_eq!(budget("high", Some(10_000)), Some(5000));
        assert_eq!(budget("minimal", Some(2048)), Some(1024));
        assert_eq!(budget("low", Some(2000)), None);
        assert_eq!(budget("enormous", None), None);
    }
}
