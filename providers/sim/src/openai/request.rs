//! A chat request, checked as strictly as OpenAI does, and the prompt in it.
//!
//! <https://platform.openai.com/docs/api-reference/chat/create>

mod check;
mod message;

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::Value;

use self::message::Message;
use super::{House, reply::Wants};
use crate::{
    answer::{Refusal, Result},
    script::{Choice, Format, Prompt},
};

/// The request. Fields with an underscore are checked for their type alone: they do not change what the script says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chat<'a> {
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(borrow, default)]
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    n: Option<i64>,
    stop: Option<Stop>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    logprobs: Option<bool>,
    top_logprobs: Option<i64>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<Value>,
    reasoning_effort: Option<Cow<'a, str>>,
    verbosity: Option<Cow<'a, str>>,
    service_tier: Option<Cow<'a, str>>,
    metadata: Option<BTreeMap<String, String>>,
    modalities: Option<Vec<String>>,
    audio: Option<Value>,
    functions: Option<Value>,
    function_call: Option<Value>,
    web_search_options: Option<Value>,
    data_sources: Option<Value>,
    user_security_context: Option<Value>,
    logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(rename = "seed")]
    _seed: Option<i64>,
    #[serde(rename = "user")]
    _user: Option<String>,
    #[serde(rename = "store")]
    _store: Option<bool>,
    #[serde(rename = "prediction")]
    _prediction: Option<Value>,
    #[serde(rename = "prompt_cache_key")]
    _prompt_cache_key: Option<String>,
    #[serde(rename = "prompt_cache_retention")]
    _prompt_cache_retention: Option<String>,
    #[serde(rename = "safety_identifier")]
    _safety_identifier: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: Option<bool>,
    #[serde(rename = "include_obfuscation")]
    _include_obfuscation: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    #[serde(rename = "type")]
    kind: String,
    function: Function,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    parameters: Option<Value>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

impl Chat<'_> {
    /// Checks the request and reads what the script needs.
    pub(super) fn prompt(&self, house: House) -> Result<Prompt> {
        self.check(house)?;
        let mut prompt = Prompt {
            tools: self.tools.iter().flatten().map(|tool| tool.function.name.clone()).collect(),
            choice: self.choice()?,
            one_call: self.parallel_tool_calls == Some(false),
            format: self.format()?,
            max_words: self
                .max_completion_tokens
                .or(self.max_tokens)
                .and_then(|most| u64::try_from(most).ok()),
            stops: match &self.stop {
                None => Vec::new(),
                Some(Stop::One(stop)) => vec![stop.clone()],
                Some(Stop::Many(stops)) => stops.clone(),
            },
            choices: self.n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            ..Prompt::default()
        };
        message::read(&self.messages, &mut prompt)?;
        Ok(prompt)
    }

    /// What the reply is to hold.
    pub(super) fn wants(&self) -> Wants {
        Wants {
            logprobs: (self.logprobs == Some(true))
                .then(|| usize::try_from(self.top_logprobs.unwrap_or(0)).unwrap_or(0)),
            usage: self.stream_options.as_ref().is_some_and(|options| options.include_usage == Some(true)),
        }
    }

    /// Reads `tool_choice`.
    fn choice(&self) -> Result<Choice> {
        let invalid = || Refusal::at("tool_choice", "Invalid value for 'tool_choice'.");
        let known = |name: &str| self.tools.iter().flatten().any(|tool| tool.function.name == name);
        let named = |value: &Value| -> Result<String> {
            let name = value.pointer("/function/name").and_then(Value::as_str).ok_or_else(invalid)?;
            if !known(name) {
                let message = format!("Tool choice 'function {name}' not found in 'tools' parameter.");
                return Err(Refusal::at("tool_choice", message));
            }
            Ok(name.to_owned())
        };
        match &self.tool_choice {
            None => Ok(Choice::Auto),
            Some(Value::String(word)) => match word.as_str() {
                "auto" => Ok(Choice::Auto),
                "none" => Ok(Choice::Never),
                "required" => Ok(Choice::Any),
                _ => Err(invalid()),
            },
            Some(choice) => match choice.get("type").and_then(Value::as_str) {
                Some("function") => Ok(Choice::Only(vec![named(choice)?])),
                Some("allowed_tools") => {
                    let allowed = choice.get("allowed_tools").ok_or_else(invalid)?;
                    let tools = allowed.get("tools").and_then(Value::as_array).ok_or_else(invalid)?;
                    let names = tools.iter().map(named).collect::<Result<Vec<_>>>()?;
                    match allowed.get("mode").and_then(Value::as_str) {
                        Some("auto") => Ok(Choice::Among(names)),
                        Some("required") => Ok(Choice::Only(names)),
                        _ => Err(invalid()),
                    }
                }
                _ => Err(invalid()),
            },
        }
    }

    /// Reads `response_format`.
    fn format(&self) -> Result<Format> {
        let Some(format) = &self.response_format else { return Ok(Format::Text) };
        let missing = |field: &str| super::missing(&format!("response_format.{field}"));
        match format.get("type").and_then(Value::as_str) {
            Some("text") => Ok(Format::Text),
            Some("json_object") => Ok(Format::Json),
            Some("json_schema") => {
                let schema = format.get("json_schema").ok_or_else(|| missing("json_schema"))?;
                let named = schema.get("name").and_then(Value::as_str);
                named.ok_or_else(|| missing("json_schema.name"))?;
                let known = ["name", "description", "schema", "strict"];
                let unknown = schema
                    .as_object()
                    .and_then(|fields| fields.keys().find(|name| !known.contains(&name.as_str())));
                if let Some(name) = unknown {
                    let field = format!("response_format.json_schema.{name}");
                    return Err(Refusal::at(field.as_str(), format!("Unknown parameter: '{field}'.")));
                }
                let schema = schema.get("schema").cloned().ok_or_else(|| missing("json_schema.schema"))?;
                Ok(Format::Schema(schema))
            }
            _ => Err(Refusal::at("response_format.type", "Invalid value for 'response_format.type'.")),
        }
    }
}
