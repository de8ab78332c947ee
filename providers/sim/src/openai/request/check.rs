//! Ranges and combinations that OpenAI refuses.

use super::{super::House, Chat, Stop};
use crate::answer::{Refusal, Result};

impl Chat<'_> {
    /// Refuses what OpenAI refuses.
    pub(super) fn check(&self, house: House) -> Result<()> {
        if self.messages.is_empty() {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
            return Err(Refusal::at("messages", message));
        }
        between("temperature", self.temperature, 0.0, 2.0)?;
        between("top_p", self.top_p, 0.0, 1.0)?;
        between("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        between("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        whole("n", self.n, 1, 128)?;
        whole("max_tokens", self.max_tokens, 1, 1 << 30)?;
        whole("max_completion_tokens", self.max_completion_tokens, 1, 1 << 30)?;
        whole("top_logprobs", self.top_logprobs, 0, 20)?;
        for bias in self.logit_bias.iter().flat_map(|biases| biases.values()) {
            between("logit_bias", Some(*bias), -100.0, 100.0)?;
        }
        let efforts = ["none", "minimal", "low", "medium", "high", "xhigh"];
        one_of("reasoning_effort", self.reasoning_effort.as_deref(), &efforts)?;
        one_of("verbosity", self.verbosity.as_deref(), &["low", "medium", "high"])?;
        one_of(
            "service_tier",
            self.service_tier.as_deref(),
            &["auto", "default", "flex", "scale", "priority"],
        )?;
        self.check_stops()?;
        self.check_combinations()?;
        self.check_tools()?;
        self.check_absent(house)
    }

    fn check_stops(&self) -> Result<()> {
        let count = match &self.stop {
            Some(Stop::Many(stops)) => stops.len(),
            _ => 0,
        };
        if count > 4 {
            let message = "Invalid 'stop': array too long. Expected an array with maximum length 4.";
            return Err(Refusal::at("stop", message));
        }
        Ok(())
    }

    fn check_combinations(&self) -> Result<()> {
        let refuse = |field: &str, message: &str| Err(Refusal::at(field, message));
        if self.max_tokens.is_some() && self.max_completion_tokens.is_some() {
            return refuse(
                "max_tokens",
                "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            );
        }
        if self.stream_options.is_some() && self.stream != Some(true) {
            let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            return refuse("stream_options", message);
        }
        if self.top_logprobs.is_some() && self.logprobs != Some(true) {
            let message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.";
            return refuse("top_logprobs", message);
        }
        if self.metadata.as_ref().is_some_and(|metadata| metadata.len() > 16) {
            return refuse("metadata", "Invalid 'metadata': too many properties. Expected at most 16.");
        }
        Ok(())
    }

    fn check_tools(&self) -> Result<()> {
        if self.tools.is_none() {
            for (field, set) in [
                ("tool_choice", self.tool_choice.is_some()),
                ("parallel_tool_calls", self.parallel_tool_calls.is_some()),
            ] {
                if set {
                    let message = format!("'{field}' is only allowed when 'tools' are specified.");
                    return Err(Refusal::at(field, message));
                }
            }
        }
        if self.tools.as_ref().is_some_and(Vec::is_empty) {
            let message = "Invalid 'tools': empty array. Expected an array with minimum length 1.";
            return Err(Refusal::at("tools", message));
        }
        for (index, tool) in self.tools.iter().flatten().enumerate() {
            if tool.kind != "function" {
                let field = format!("tools[{index}].type");
                return Err(Refusal::at(field.as_str(), format!("Invalid value for '{field}'.")));
            }
            if !is_name(&tool.function.name) {
                let field = format!("tools[{index}].function.name");
                let message = format!(
                    "Invalid '{field}': string does not match pattern. Expected a string that matches the pattern \
                     '^[a-zA-Z0-9_-]+$'."
                );
                return Err(Refusal::at(field, message));
            }
            if tool.function.parameters.as_ref().is_some_and(|parameters| !parameters.is_object()) {
                let field = format!("tools[{index}].function.parameters");
                return Err(Refusal::at(
                    field.as_str(),
                    format!("Invalid type for '{field}': expected an object."),
                ));
            }
        }
        Ok(())
    }

    /// Fields that these models, or this house, do not have.
    fn check_absent(&self, house: House) -> Result<()> {
        let sound = self.modalities.iter().flatten().any(|modality| modality != "text");
        for (field, set) in [
            ("audio", self.audio.is_some()),
            ("modalities", sound),
            ("functions", self.functions.is_some()),
            ("function_call", self.function_call.is_some()),
            ("web_search_options", self.web_search_options.is_some()),
            ("data_sources", self.data_sources.is_some()),
        ] {
            if set {
                let message = format!("Unsupported parameter: '{field}' is not supported with this model.");
                return Err(Refusal::at(field, message));
            }
        }
        if self.user_security_context.is_some() && !house.azure {
            let message = "Unrecognized request argument supplied: user_security_context";
            return Err(Refusal::at("user_security_context", message));
        }
        Ok(())
    }
}

/// Names of functions: letters, digits, `_` and `-`, at most 64.
pub(super) fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(sound)
}

fn between(field: &str, value: Option<f64>, low: f64, high: f64) -> Result<()> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            let message = format!(
                "Invalid '{field}': decimal out of range. Expected a value between {low} and {high}."
            );
            Err(Refusal::at(field, message))
        }
        _ => Ok(()),
    }
}

fn whole(field: &str, value: Option<i64>, low: i64, high: i64) -> Result<()> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            let message = format!(
                "Invalid '{field}': integer out of range. Expected a value between {low} and {high}."
            );
            Err(Refusal::at(field, message))
        }
        _ => Ok(()),
    }
}

fn one_of(field: &str, value: Option<&str>, words: &[&str]) -> Result<()> {
    match value {
        Some(value) if !words.contains(&value) => {
            let words = words.join("', '");
            let message = format!("Invalid value: '{value}'. Supported values are: '{words}'.");
            Err(Refusal::at(field, message))
        }
        _ => Ok(()),
    }
}
