//! `generationConfig`: how the answer is to be made.
//!
//! <https://ai.google.dev/api/generate-content#generationconfig>,
//! <https://ai.google.dev/gemini-api/docs/openai#thinking> (what `reasoning_effort` means at Google)

use std::borrow::Cow;

use aigate_contract::{
    Call, Result, Task,
    chat::{ChatRequest, JsonSchemaFormat, ResponseFormat},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// How the answer is to be made.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Cow<'a, Map<String, Value>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Thinking>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Thinking {
    /// Tokens, for 2.5 models.
    ThinkingBudget(u32),
    /// A word, for later models.
    ThinkingLevel(&'static str),
}

/// What a model's name says of its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Before 2.5: does not think.
    Early,
    /// 2.5; the Pro models cannot stop thinking.
    TwoFive { pro: bool },
    /// 3 and later: thinks in levels, wants its thought signatures back.
    Three { pro: bool, first: bool },
    /// A tuned model, or another one.
    Unknown,
}

impl Generation {
    /// Reads `gemini-2.5-pro`, `publishers/google/models/gemini-3.1-flash`, `gemini-flash-latest`, ….
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let Some(rest) = name.strip_prefix("gemini-") else { return Self::Unknown };
        let pro = rest.split('-').any(|word| word == "pro");
        let version = rest.split('-').next().unwrap_or_default();
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        match (major.parse::<u32>(), minor.parse::<u32>()) {
            (Ok(2), Ok(5)) => Self::TwoFive { pro },
            (Ok(0..=2), _) => Self::Early,
            (Ok(3), Ok(0)) => Self::Three { pro, first: true },
            (Ok(_), _) => Self::Three { pro, first: false },
            _ if rest.ends_with("-latest") => Self::Three { pro, first: false },
            _ => Self::Unknown,
        }
    }

    fn thinking(self, effort: &str) -> Result<Option<Thinking>, &'static str> {
        use Thinking::{ThinkingBudget, ThinkingLevel};
        let thinking = match (self, effort) {
            (Self::Early, "none") => return Ok(None),
            (Self::Early, _) => return Err("this model does not think"),
            (Self::Unknown, _) => return Err("it is not known how this model thinks"),
            (Self::TwoFive { pro: false }, "none") => ThinkingBudget(0),
            (_, "none") => return Err("this model cannot stop thinking"),
            (Self::TwoFive { .. }, "minimal" | "low") => ThinkingBudget(1024),
            (Self::TwoFive { .. }, "medium") => ThinkingBudget(8192),
            (Self::TwoFive { .. }, "high") => ThinkingBudget(24_576),
            (Self::Three { pro: true, .. }, "minimal") => ThinkingLevel("LOW"),
            (Self::Three { pro: true, first: true }, "medium") => {
                return Err("this model knows only `low` and `high`");
            }
            (Self::Three { .. }, "minimal") => ThinkingLevel("MINIMAL"),
            (Self::Three { .. }, "low") => ThinkingLevel("LOW"),
            (Self::Three { .. }, "medium") => ThinkingLevel("MEDIUM"),
            (Self::Three { .. }, "high") => ThinkingLevel("HIGH"),
            _ => return Err("expected `none`, `minimal`, `low`, `medium` or `high`"),
        };
        Ok(Some(thinking))
    }

    /// Whether tools and a JSON answer exclude each other.
    fn answers_json_or_calls_tools(self) -> bool {
        matches!(self, Self::Early | Self::TwoFive { .. })
    }

    /// Whether a tool call in the conversation needs its thought signature.
    pub(super) fn wants_signatures(self) -> bool {
        matches!(self, Self::Three { .. })
    }
}

/// Translates the request's options.
pub(super) fn config<T: Task<Request = ChatRequest>>(
    call: &Call<T>,
    generation: Generation,
) -> Result<GenerationConfig<'_>> {
    let request: &ChatRequest = &call.request;
    let mut config = GenerationConfig {
        temperature: request.temperature,
        top_p: request.top_p,
        max_output_tokens: request.max_tokens,
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        ..GenerationConfig::default()
    };
    match request.stop.len() {
        0..=5 => config.stop_sequences = &request.stop,
        _ => call.unsupported("stop", "at most 5 stop sequences")?,
    }
    match request.n {
        None | Some(1) => {}
        Some(2..=8) => config.candidate_count = request.n,
        Some(_) => call.unsupported("n", "at most 8 choices")?,
    }
    if let Some(seed) = request.seed {
        match i32::try_from(seed) {
            Ok(seed) => config.seed = Some(seed),
            Err(_) => call.unsupported("seed", "must fit into 32 bits")?,
        }
    }
    if request.logprobs == Some(true) {
        config.response_logprobs = Some(true);
        config.logprobs = request.top_logprobs.filter(|count| *count > 0);
    } else if request.top_logprobs.is_some_and(|count| count > 0) {
        call.unsupported("top_logprobs", "needs `logprobs` to be true")?;
    }
    if let Some(effort) = &request.reasoning_effort {
        match generation.thinking(effort) {
            Ok(thinking) => config.thinking_config = thinking,
            Err(why) => call.unsupported("reasoning_effort", why)?,
        }
    }
    let tools = !request.tools.is_empty() && generation.answers_json_or_calls_tools();
    match &request.response_format {
        None | Some(ResponseFormat::Text) => {}
        Some(_) if tools => {
            call.unsupported("response_format", "this model cannot combine it with tools")?;
        }
        Some(ResponseFormat::Other) => {
            call.unsupported("response_format", "Gemini knows text, json_object and json_schema")?;
        }
        Some(ResponseFormat::JsonObject) => config.response_mime_type = Some("application/json"),
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            config.response_mime_type = Some("application/json");
            config.response_json_schema = schema(json_schema);
        }
    }
    Ok(config)
}

/// The schema, with what it is for.
fn schema(format: &JsonSchemaFormat) -> Option<Cow<'_, Map<String, Value>>> {
    let schema = format.schema.as_ref()?;
    match &format.description {
        Some(text) if !schema.contains_key("description") => {
            let mut schema = schema.clone();
            schema.insert("description".to_owned(), Value::String(text.clone()));
            Some(Cow::Owned(schema))
        }
        _ => Some(Cow::Borrowed(schema)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_s_name_tells_its_generation() {
        use Generation::*;
        for (name, expected) in [
            ("gemini-2.0-flash-001", Early),
            ("gemini-1.5-pro", Early),
            ("gemini-2.5-flash-lite", TwoFive { pro: false }),
            ("publishers/google/models/gemini-2.5-pro", TwoFive { pro: true }),
            ("gemini-3-pro-preview", Three { pro: true, first: true }),
            ("gemini-3.1-pro-preview", Three { pro: true, first: false }),
            ("gemini-3.5-flash", Three { pro: false, first: false }),
            ("gemini-flash-latest", Three { pro: false, first: false }),
            ("endpoints/123", Unknown),
            ("gemini-", Unknown),
            ("gemma-3", Unknown),
        ] {
            assert_eq!(Generation::of(name), expected, "{name}");
        }
    }

    #[test]
    fn effort_becomes_tokens_or_a_level_as_at_google_s_own_openai_endpoint() {
        let show = |name: &str, effort: &str| match Generation::of(name).thinking(effort) {
            Ok(Some(thinking)) => serde_json::to_string(&thinking).unwrap(),
            Ok(None) => "nothing".to_owned(),
            Err(_) => "refused".to_owned(),
        };
        for (name, effort, expected) in [
            ("gemini-2.5-flash", "none", r#"{"thinkingBudget":0}"#),
            ("gemini-2.5-pro", "none", "refused"),
            ("gemini-2.5-pro", "medium", r#"{"thinkingBudget":8192}"#),
            ("gemini-2.5-flash", "xhigh", "refused"),
            ("gemini-3-pro-preview", "medium", "refused"),
            ("gemini-3.1-pro-preview", "minimal", r#"{"thinkingLevel":"LOW"}"#),
            ("gemini-3-flash", "minimal", r#"{"thinkingLevel":"MINIMAL"}"#),
            ("gemini-3-flash", "none", "refused"),
            ("gemini-2.0-flash", "none", "nothing"),
            ("gemini-2.0-flash", "low", "refused"),
            ("endpoints/1", "low", "refused"),
        ] {
            assert_eq!(show(name, effort), expected, "{name} {effort}");
        }
    }
}
