//! What a call consumed, in disjoint units, so that no provider's way of counting leaks into prices.

use serde::{Deserialize, Serialize};

/// What a call consumed: tokens as the provider reported them, rows as they were sent. `None` is unknown, never zero.
///
/// The parts do not overlap, except `reasoning`, which is a part of `output`:
/// all input = `fresh_input` + `cached_read` + `cache_write`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that were not read from a prompt cache (and not written to it, where that is billed apart).
    pub fresh_input: Option<u64>,
    /// Input tokens read from the provider's prompt cache.
    pub cached_read: Option<u64>,
    /// Input tokens written to the provider's prompt cache.
    pub cache_write: Option<u64>,
    /// Output tokens, reasoning included.
    pub output: Option<u64>,
    /// The part of `output` that was reasoning.
    pub reasoning: Option<u64>,
    /// Rows scored.
    pub rows: Option<u64>,
    /// Unicode characters of text worked on.
    pub characters: Option<u64>,
    /// Pages read.
    pub pages: Option<u64>,
    /// Pictures looked at.
    pub images: Option<u64>,
    /// Milliseconds of audio heard.
    pub audio_ms: Option<u64>,
}

impl Usage {
    /// All input tokens: OpenAI's `prompt_tokens`. Unknown when the provider told no part of it.
    pub fn input(&self) -> Option<u64> {
        let parts = [self.fresh_input, self.cached_read, self.cache_write];
        parts.iter().flatten().copied().reduce(|a, b| a.saturating_add(b))
    }
}

/// Usage as the OpenAI API writes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OpenAiUsage {
    /// All input tokens, cached ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// All output tokens, reasoning included. Embeddings have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    /// Input and output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Parts of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptDetails>,
    /// Parts of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<CompletionDetails>,
}

/// Parts of the input in OpenAI's usage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PromptDetails {
    /// Tokens read from the prompt cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Tokens written to the prompt cache (not OpenAI's: where a cloud bills them apart).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
}

/// Parts of the output in OpenAI's usage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CompletionDetails {
    /// Tokens spent on reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

impl From<&Usage> for OpenAiUsage {
    fn from(usage: &Usage) -> Self {
        let prompt_details = usage.cached_read.is_some() || usage.cache_write.is_some();
        Self {
            prompt_tokens: usage.input(),
            completion_tokens: usage.output,
            total_tokens: usage.input().map(|input| input.saturating_add(usage.output.unwrap_or(0))),
            prompt_tokens_details: prompt_details.then_some(PromptDetails {
                cached_tokens: usage.cached_read,
                cache_write_tokens: usage.cache_write,
            }),
            completion_tokens_details: usage
                .reasoning
                .map(|reasoning| CompletionDetails { reasoning_tokens: Some(reasoning) }),
        }
    }
}

impl From<OpenAiUsage> for Usage {
    fn from(wire: OpenAiUsage) -> Self {
        let details = wire.prompt_tokens_details.unwrap_or_default();
        let apart =
            details.cached_tokens.unwrap_or(0).saturating_add(details.cache_write_tokens.unwrap_or(0));
        Self {
            fresh_input: wire.prompt_tokens.map(|all| all.saturating_sub(apart)),
            cached_read: details.cached_tokens,
            cache_write: details.cache_write_tokens,
            output: wire.completion_tokens,
            reasoning: wire.completion_tokens_details.and_then(|details| details.reasoning_tokens),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_taken_out_of_the_fresh_ones_and_come_back_in_openai_s_sum() {
        let wire: OpenAiUsage = serde_json::from_str(
            r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
                "prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":5}}"#,
        )
        .unwrap();
        let usage = Usage::from(wire);
        assert_eq!(usage.fresh_input, Some(36));
        assert_eq!(usage.cached_read, Some(64));
        assert_eq!(OpenAiUsage::from(&usage).prompt_tokens, Some(100));
        assert_eq!(OpenAiUsage::from(&usage).total_tokens, Some(120));
    }

    #[test]
    fn unknown_usage_is_left_out_instead_of_written_as_zero() {
        let text = serde_json::to_string(&OpenAiUsage::from(&Usage::default())).unwrap();
        assert_eq!(text, "{}");
    }
}
