//! A Converse request, checked as strictly as Bedrock does, and the prompt in it.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>

mod message;

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::Value;

use self::message::Message;
use crate::{
    answer::{Refusal, Result},
    script::{Choice, Format, Prompt},
};

/// The request. Fields with an underscore are checked for their type alone: they do not change what the script says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Converse<'a> {
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
    #[serde(borrow, default)]
    system: Vec<System<'a>>,
    inference_config: Option<Inference>,
    tool_config: Option<ToolConfig>,
    guardrail_config: Option<Guardrail>,
    additional_model_request_fields: Option<Value>,
    additional_model_response_field_paths: Option<Vec<String>>,
    request_metadata: Option<BTreeMap<String, String>>,
    performance_config: Option<Performance>,
    service_tier: Option<ServiceTier>,
    output_config: Option<Output>,
    prompt_variables: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum System<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    #[expect(dead_code, reason = "checked for its type alone")]
    GuardContent(Value),
    CachePoint(CachePoint),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CachePoint {
    #[serde(rename = "type")]
    kind: String,
    ttl: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inference {
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop_sequences: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolConfig {
    tools: Vec<Tool>,
    tool_choice: Option<ToolChoice>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Tool {
    ToolSpec(ToolSpec),
    CachePoint(CachePoint),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolSpec {
    name: String,
    description: Option<String>,
    input_schema: InputSchema,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputSchema {
    json: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ToolChoice {
    Auto(Empty),
    Any(Empty),
    Tool(Named),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Guardrail {
    #[serde(rename = "guardrailIdentifier")]
    _guardrail_identifier: Option<String>,
    #[serde(rename = "guardrailVersion")]
    _guardrail_version: Option<String>,
    trace: Option<String>,
    stream_processing_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Performance {
    latency: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTier {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Output {
    text_format: Option<TextFormat>,
    #[serde(rename = "effort")]
    _effort: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextFormat {
    #[serde(rename = "type")]
    kind: String,
    structure: Structure,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Structure {
    json_schema: JsonSchema,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSchema {
    /// JSON in a string.
    schema: String,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
}

impl Converse<'_> {
    /// Checks the request and reads what the script needs.
    pub(super) fn prompt(&self, model: &str) -> Result<Prompt> {
        self.check()?;
        let none = Inference::default();
        let inference = self.inference_config.as_ref().unwrap_or(&none);
        inference.check()?;
        let tools = self.tools()?;
        let mut prompt = Prompt {
            choice: self.choice(&tools)?,
            tools,
            format: self.format()?,
            max_words: inference.max_tokens.and_then(|most| u64::try_from(most).ok()),
            stops: inference.stop_sequences.clone().unwrap_or_default(),
            ..Prompt::default()
        };
        for (index, block) in self.system.iter().enumerate() {
            match block {
                System::Text(text) if text.is_empty() => {
                    return Err(constraint(
                        &format!("system.{}.member.text", index + 1),
                        "length at least 1",
                    ));
                }
                System::Text(text) => prompt.count(text),
                System::GuardContent(_) => {}
                System::CachePoint(point) => point.check()?,
            }
        }
        message::read(&self.messages, self.tool_config.is_some(), model, &mut prompt)?;
        Ok(prompt)
    }

    fn check(&self) -> Result<()> {
        let fields = self.additional_model_request_fields.as_ref();
        if fields.is_some_and(|fields| !fields.is_object()) {
            return Err(Refusal::invalid("additionalModelRequestFields must be an object."));
        }
        if self.prompt_variables.is_some() {
            return Err(Refusal::invalid("promptVariables are only for prompts from Prompt management."));
        }
        if self.additional_model_response_field_paths.as_ref().is_some_and(|paths| paths.len() > 10) {
            return Err(constraint("additionalModelResponseFieldPaths", "length at most 10"));
        }
        if self.request_metadata.as_ref().is_some_and(|metadata| !(1..=16).contains(&metadata.len())) {
            return Err(constraint("requestMetadata", "size from 1 to 16"));
        }
        let one_of = |at: &str, word: Option<&str>, words: &[&str]| match word {
            Some(word) if !words.contains(&word) => Err(constraint(at, &format!("one of {words:?}"))),
            _ => Ok(()),
        };
        let tier = self.service_tier.as_ref().map(|tier| tier.kind.as_str());
        one_of("serviceTier.type", tier, &["priority", "default", "flex", "reserved"])?;
        let latency = self.performance_config.as_ref().and_then(|performance| performance.latency.as_deref());
        one_of("performanceConfig.latency", latency, &["standard", "optimized"])?;
        let guardrail = self.guardrail_config.as_ref();
        let trace = guardrail.and_then(|guardrail| guardrail.trace.as_deref());
        one_of("guardrailConfig.trace", trace, &["enabled", "disabled", "enabled_full"])?;
        let mode = guardrail.and_then(|guardrail| guardrail.stream_processing_mode.as_deref());
        one_of("guardrailConfig.streamProcessingMode", mode, &["sync", "async"])
    }

    fn tools(&self) -> Result<Vec<String>> {
        let Some(config) = &self.tool_config else { return Ok(Vec::new()) };
        if config.tools.is_empty() {
            return Err(constraint("toolConfig.tools", "length at least 1"));
        }
        let mut names = Vec::with_capacity(config.tools.len());
        for tool in &config.tools {
            match tool {
                Tool::CachePoint(point) => point.check()?,
                Tool::ToolSpec(tool) => {
                    tool.check()?;
                    if names.contains(&tool.name) {
                        let message = format!("The tool name {} is used more than once.", tool.name);
                        return Err(Refusal::invalid(message));
                    }
                    names.push(tool.name.clone());
                }
            }
        }
        Ok(names)
    }

    fn choice(&self, tools: &[String]) -> Result<Choice> {
        match self.tool_config.as_ref().and_then(|config| config.tool_choice.as_ref()) {
            None | Some(ToolChoice::Auto(Empty {})) => Ok(Choice::Auto),
            Some(ToolChoice::Any(Empty {})) => Ok(Choice::Any),
            Some(ToolChoice::Tool(Named { name })) if tools.contains(name) => {
                Ok(Choice::Only(vec![name.clone()]))
            }
            Some(ToolChoice::Tool(Named { name })) => {
                let message = format!("The tool {name} of toolChoice is not defined in toolConfig.tools.");
                Err(Refusal::invalid(message))
            }
        }
    }

    fn format(&self) -> Result<Format> {
        let format = self.output_config.as_ref().and_then(|output| output.text_format.as_ref());
        let Some(format) = format else { return Ok(Format::Text) };
        if format.kind != "json_schema" {
            return Err(constraint("outputConfig.textFormat.type", "one of [\"json_schema\"]"));
        }
        match serde_json::from_str::<Value>(&format.structure.json_schema.schema) {
            Ok(schema) if schema.is_object() => Ok(Format::Schema(schema)),
            _ => Err(Refusal::invalid(
                "outputConfig.textFormat.structure.jsonSchema.schema is not a JSON schema.",
            )),
        }
    }
}

impl Inference {
    fn check(&self) -> Result<()> {
        let between = |at: &str, value: Option<f64>| match value {
            Some(value) if !(0.0..=1.0).contains(&value) => {
                Err(constraint(&format!("inferenceConfig.{at}"), "value from 0 to 1"))
            }
            _ => Ok(()),
        };
        between("temperature", self.temperature)?;
        between("topP", self.top_p)?;
        if self.max_tokens.is_some_and(|most| !(1..=1 << 30).contains(&most)) {
            return Err(constraint("inferenceConfig.maxTokens", "value at least 1"));
        }
        let stops = self.stop_sequences.as_deref().unwrap_or_default();
        if stops.len() > 2500 || stops.iter().any(String::is_empty) {
            return Err(constraint(
                "inferenceConfig.stopSequences",
                "length at most 2500, each at least 1 long",
            ));
        }
        Ok(())
    }
}

impl ToolSpec {
    fn check(&self) -> Result<()> {
        if !is_name(&self.name) {
            return Err(constraint(
                "toolConfig.tools.toolSpec.name",
                "pattern [a-zA-Z0-9_-]+, length from 1 to 64",
            ));
        }
        if self.description.as_ref().is_some_and(String::is_empty) {
            return Err(constraint("toolConfig.tools.toolSpec.description", "length at least 1"));
        }
        if self.input_schema.json.get("type").and_then(Value::as_str) != Some("object") {
            let message = "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: \
                           object.";
            return Err(Refusal::invalid(message));
        }
        Ok(())
    }
}

impl CachePoint {
    fn check(&self) -> Result<()> {
        let ttl = self.ttl.as_deref().is_none_or(|ttl| ["5m", "1h"].contains(&ttl));
        if self.kind == "default" && ttl {
            Ok(())
        } else {
            Err(constraint("cachePoint", "type default, ttl 5m or 1h"))
        }
    }
}

fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(sound)
}

/// The words of AWS's front end for a value out of bounds.
fn constraint(at: &str, what: &str) -> Refusal {
    let message = format!(
        "1 validation error detected: Value at '{at}' failed to satisfy constraint: Member must satisfy {what}"
    );
    Refusal::at(at, message)
}
