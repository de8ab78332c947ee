//! A `generateContent` request, checked as strictly as Google does, and the prompt in it.
//!
//! Google takes its field names in camel case and in snake case, and its own libraries mix them. Fields that do not change what the script says are checked
//! for their type alone; they begin with an underscore here.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentRequest>

mod content;
mod schema;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub(super) use self::content::Content;
use super::House;
use crate::{
    answer::{Refusal, Result},
    script::{Choice, Format, Prompt},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Generate<'a> {
    #[serde(borrow)]
    contents: Vec<Content<'a>>,
    #[serde(borrow, default, alias = "system_instruction")]
    system_instruction: Option<Content<'a>>,
    #[serde(alias = "generation_config")]
    generation_config: Option<Config>,
    tools: Option<Vec<Tool>>,
    #[serde(alias = "tool_config")]
    tool_config: Option<ToolConfig>,
    #[serde(alias = "safety_settings")]
    safety_settings: Option<Vec<SafetySetting>>,
    #[serde(alias = "cached_content")]
    cached_content: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "serviceTier", alias = "service_tier")]
    _service_tier: Option<String>,
    #[serde(rename = "modelArmorConfig", alias = "model_armor_config")]
    _model_armor_config: Option<Value>,
    #[serde(rename = "model")]
    _model: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    temperature: Option<f64>,
    #[serde(alias = "top_p")]
    top_p: Option<f64>,
    #[serde(alias = "top_k")]
    top_k: Option<f64>,
    #[serde(alias = "candidate_count")]
    candidate_count: Option<i64>,
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<i64>,
    #[serde(alias = "stop_sequences")]
    stop_sequences: Option<Vec<String>>,
    #[serde(alias = "presence_penalty")]
    presence_penalty: Option<f64>,
    #[serde(alias = "frequency_penalty")]
    frequency_penalty: Option<f64>,
    #[serde(alias = "response_logprobs")]
    response_logprobs: Option<bool>,
    logprobs: Option<i64>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    #[serde(alias = "response_schema")]
    response_schema: Option<Value>,
    #[serde(alias = "response_json_schema")]
    response_json_schema: Option<Value>,
    #[serde(alias = "thinking_config")]
    thinking_config: Option<ThinkingConfig>,
    #[serde(alias = "response_modalities")]
    response_modalities: Option<Vec<String>>,
    #[serde(rename = "seed")]
    _seed: Option<i32>,
    #[serde(rename = "mediaResolution", alias = "media_resolution")]
    _media_resolution: Option<String>,
    #[serde(rename = "audioTimestamp", alias = "audio_timestamp")]
    _audio_timestamp: Option<bool>,
    #[serde(alias = "speech_config")]
    speech_config: Option<Value>,
    #[serde(rename = "routingConfig", alias = "routing_config")]
    _routing_config: Option<Value>,
    #[serde(alias = "image_config")]
    image_config: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ThinkingConfig {
    #[serde(alias = "include_thoughts")]
    include_thoughts: Option<bool>,
    #[serde(alias = "thinking_budget")]
    thinking_budget: Option<i64>,
    #[serde(alias = "thinking_level")]
    thinking_level: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Tool {
    #[serde(alias = "function_declarations")]
    function_declarations: Option<Vec<Declaration>>,
    #[serde(rename = "googleSearch", alias = "google_search")]
    _google_search: Option<Value>,
    #[serde(rename = "codeExecution", alias = "code_execution")]
    _code_execution: Option<Value>,
    #[serde(rename = "urlContext", alias = "url_context")]
    _url_context: Option<Value>,
    #[serde(rename = "googleMaps", alias = "google_maps")]
    _google_maps: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Declaration {
    name: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    parameters: Option<Value>,
    #[serde(alias = "parameters_json_schema")]
    parameters_json_schema: Option<Value>,
    response: Option<Value>,
    #[serde(rename = "responseJsonSchema", alias = "response_json_schema")]
    _response_json_schema: Option<Value>,
    #[serde(rename = "behavior")]
    _behavior: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolConfig {
    #[serde(alias = "function_calling_config")]
    function_calling_config: Option<CallingConfig>,
    #[serde(rename = "retrievalConfig", alias = "retrieval_config")]
    _retrieval_config: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CallingConfig {
    mode: Option<String>,
    #[serde(alias = "allowed_function_names")]
    allowed_function_names: Option<Vec<String>>,
    #[serde(rename = "streamFunctionCallArguments", alias = "stream_function_call_arguments")]
    _stream_function_call_arguments: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SafetySetting {
    category: String,
    threshold: String,
    #[serde(rename = "method")]
    _method: Option<String>,
}

impl Generate<'_> {
    /// Checks the request and reads what the script needs.
    pub(super) fn prompt(&self, house: House) -> Result<Prompt> {
        let none = Config::default();
        let config = self.generation_config.as_ref().unwrap_or(&none);
        config.check()?;
        self.check(house)?;
        let tools = self.declarations()?;
        let mut prompt = Prompt {
            choice: self.choice(&tools)?,
            tools,
            format: config.format()?,
            max_words: config.max_output_tokens.and_then(|most| u64::try_from(most).ok()),
            stops: config.stop_sequences.clone().unwrap_or_default(),
            choices: config.candidate_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            ..Prompt::default()
        };
        if let Some(system) = &self.system_instruction {
            system.count(&mut prompt);
        }
        content::read(&self.contents, &mut prompt)?;
        Ok(prompt)
    }

    /// How many alternatives of each token are wanted, if log probabilities are.
    pub(super) fn logprobs(&self) -> Option<usize> {
        let config =
            self.generation_config.as_ref().filter(|config| config.response_logprobs == Some(true))?;
        Some(config.logprobs.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
    }

    pub(super) fn wants_thoughts(&self) -> bool {
        let config = self.generation_config.as_ref().and_then(|config| config.thinking_config.as_ref());
        config.is_some_and(|thinking| thinking.include_thoughts == Some(true))
    }

    fn check(&self, house: House) -> Result<()> {
        if house == House::Gemini && self.labels.is_some() {
            let message = "Invalid JSON payload received. Unknown name \"labels\": Cannot find field.";
            return Err(Refusal::at("labels", message));
        }
        if self.labels.as_ref().is_some_and(|labels| labels.len() > 64) {
            return Err(Refusal::at("labels", "There can be at most 64 labels."));
        }
        if let Some(name) = &self.cached_content {
            // There is no cache here, so none can be named.
            return Err(Refusal::at("cached_content", format!("Cached content {name} is not found.")));
        }
        for setting in self.safety_settings.iter().flatten() {
            let thresholds =
                ["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"];
            let known = setting.category.starts_with("HARM_CATEGORY_");
            if !known || !thresholds.contains(&setting.threshold.as_str()) {
                return Err(Refusal::at("safety_settings", "Invalid value at 'safety_settings'."));
            }
        }
        Ok(())
    }

    /// Names of the functions on offer.
    fn declarations(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for tool in self.tools.iter().flatten() {
            for declaration in tool.function_declarations.iter().flatten() {
                declaration.check()?;
                if names.contains(&declaration.name) {
                    let message = format!("Duplicate function declaration found: {}", declaration.name);
                    return Err(Refusal::at("tools", message));
                }
                names.push(declaration.name.clone());
            }
        }
        Ok(names)
    }

    fn choice(&self, tools: &[String]) -> Result<Choice> {
        let config = self.tool_config.as_ref().and_then(|config| config.function_calling_config.as_ref());
        let Some(config) = config else { return Ok(Choice::Auto) };
        let at = "tool_config.function_calling_config";
        let allowed = config.allowed_function_names.as_deref().filter(|names| !names.is_empty());
        if let Some(name) = allowed.into_iter().flatten().find(|name| !tools.contains(name)) {
            let message = format!("allowed_function_names: `{name}` is not among the function declarations.");
            return Err(Refusal::at(at, message));
        }
        if tools.is_empty() && config.mode.as_deref() == Some("ANY") {
            return Err(Refusal::at(at, "Function calling config is set without function_declarations."));
        }
        match (config.mode.as_deref(), allowed) {
            (None | Some("AUTO" | "MODE_UNSPECIFIED"), None) => Ok(Choice::Auto),
            (Some("VALIDATED"), None) => Ok(Choice::Auto),
            (Some("VALIDATED"), Some(names)) => Ok(Choice::Among(names.to_vec())),
            (Some("NONE"), None) => Ok(Choice::Never),
            (Some("ANY"), None) => Ok(Choice::Any),
            (Some("ANY"), Some(names)) => Ok(Choice::Only(names.to_vec())),
            (None | Some("AUTO" | "MODE_UNSPECIFIED" | "NONE"), Some(_)) => {
                let message = "Allowed function names should only be set when function calling mode is ANY.";
                Err(Refusal::at(at, message))
            }
            (Some(mode), _) => Err(Refusal::at(at, format!("Invalid value at '{at}.mode': \"{mode}\""))),
        }
    }
}

impl Config {
    fn check(&self) -> Result<()> {
        let between = |field: &str, value: Option<f64>, low: f64, high: f64| match value {
            Some(value) if !(low..=high).contains(&value) => {
                let message = format!(
                    "Unable to submit request because it has a {field} value of {value} but the supported range is from \
                     {low} (inclusive) to {high} (inclusive). Update the value and try again."
                );
                Err(Refusal::at(format!("generation_config.{field}"), message))
            }
            _ => Ok(()),
        };
        let small = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok()).map(f64::from);
        let whole = |field: &str, value: Option<i64>, low: i32, high: i32| match (value, small(value)) {
            (Some(_), None) => Err(Refusal::at(format!("generation_config.{field}"), "Value out of range.")),
            (_, value) => between(field, value, low.into(), high.into()),
        };
        between("temperature", self.temperature, 0.0, 2.0)?;
        between("topP", self.top_p, 0.0, 1.0)?;
        between("topK", self.top_k, 1.0, 1000.0)?;
        between("presencePenalty", self.presence_penalty, -2.0, 2.0)?;
        between("frequencyPenalty", self.frequency_penalty, -2.0, 2.0)?;
        whole("candidateCount", self.candidate_count, 1, 8)?;
        whole("maxOutputTokens", self.max_output_tokens, 1, 65_536)?;
        whole("logprobs", self.logprobs, 0, 20)?;
        let refuse =
            |field: &str, message: &str| Err(Refusal::at(format!("generation_config.{field}"), message));
        if self.stop_sequences.as_ref().is_some_and(|stops| stops.len() > 5) {
            return refuse("stop_sequences", "At most 5 stop sequences are supported.");
        }
        if self.logprobs.is_some() && self.response_logprobs != Some(true) {
            return refuse("logprobs", "logprobs can only be set if response_logprobs is true.");
        }
        let texts = self.response_modalities.as_deref().unwrap_or_default();
        if texts.iter().any(|modality| modality != "TEXT")
            || self.image_config.is_some()
            || self.speech_config.is_some()
        {
            return refuse("response_modalities", "This model only supports text output.");
        }
        let Some(thinking) = &self.thinking_config else { return Ok(()) };
        whole("thinkingConfig.thinkingBudget", thinking.thinking_budget, -1, 65_536)?;
        if thinking.thinking_budget.is_some() && thinking.thinking_level.is_some() {
            return refuse("thinking_config", "You can only set one of thinking_budget and thinking_level.");
        }
        let levels = ["MINIMAL", "LOW", "MEDIUM", "HIGH"];
        match &thinking.thinking_level {
            Some(level) if !levels.contains(&level.to_ascii_uppercase().as_str()) => {
                refuse("thinking_config.thinking_level", "Invalid value at 'thinking_level'.")
            }
            _ => Ok(()),
        }
    }

    fn format(&self) -> Result<Format> {
        let at = "generation_config.response_schema";
        let schema = match (&self.response_schema, &self.response_json_schema) {
            (Some(_), Some(_)) => {
                return Err(Refusal::at(
                    at,
                    "Only one of response_schema and response_json_schema can be set.",
                ));
            }
            (Some(schema), None) => {
                schema::check(schema, at)?;
                Some(schema)
            }
            (None, schema) => schema.as_ref(),
        };
        match (self.response_mime_type.as_deref(), schema) {
            (Some("application/json"), Some(schema)) => Ok(Format::Schema(schema.clone())),
            (Some("application/json"), None) => Ok(Format::Json),
            (None | Some("text/plain"), None) => Ok(Format::Text),
            (None | Some("text/plain"), Some(_)) => {
                let message =
                    "response_schema is only supported when response_mime_type is set to application/json.";
                Err(Refusal::at(at, message))
            }
            (Some(other), _) => {
                let message = format!("Response mime type {other} is not supported with text output.");
                Err(Refusal::at("generation_config.response_mime_type", message))
            }
        }
    }
}

impl Declaration {
    fn check(&self) -> Result<()> {
        let name = self.name.as_str();
        let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        if !begins || name.len() > 64 || !name.bytes().all(sound) {
            let message =
                format!("Invalid function name `{name}`. Must start with a letter or an underscore.");
            return Err(Refusal::at("tools.function_declarations.name", message));
        }
        if self.parameters.is_some() && self.parameters_json_schema.is_some() {
            let message = "Only one of parameters and parameters_json_schema can be set.";
            return Err(Refusal::at("tools.function_declarations.parameters", message));
        }
        for schema in [&self.parameters, &self.response].into_iter().flatten() {
            schema::check(schema, "tools.function_declarations.parameters")?;
        }
        Ok(())
    }
}
