//! Tool calls: how a model's chat template has them written, and how they are read back out of the generated
//! text.

mod parse;
mod thoughts;

use serde_json::Value;

pub use parse::Parser;
pub use thoughts::Thoughts;

/// How a model writes its tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `<tool_call>\n{"name": .., "arguments": {..}}\n</tool_call>`, once for each call: Hermes 2 and 3,
    /// Qwen2.5, Qwen3.
    Hermes,
    /// `{"name": .., "parameters": {..}}` as the whole answer, `<|python_tag|>` may stand before it: Llama
    /// 3.1 and 3.2.
    Llama,
    /// `[TOOL_CALLS] [{"name": .., "arguments": {..}}, ..]`: Mistral up to version 7 of its tokenizer.
    Mistral,
}

/// A piece of what a model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text of the answer.
    Text(String),
    /// Text that the model wrote while thinking.
    Reasoning(String),
    /// A tool call.
    Call {
        /// The function's name, one of those that were offered.
        name: String,
        /// The arguments: the text of a JSON object, as the model wrote it.
        arguments: String,
    },
}

impl Style {
    /// The style that a chat template asks for; `None` where it asks for none that is known, so that tools
    /// must be refused.
    pub fn of(template: &str) -> Option<Style> {
        let has = |text| template.contains(text);
        // Qwen3-Coder, GLM and others put XML between the same tags.
        let xml = has("<function=") || has("<arg_key>");
        let json = has("\"arguments\": ") || has("\\\"arguments\\\": ");
        if has("<tool_call>") && json && !xml {
            return Some(Style::Hermes);
        }
        // Later Mistral templates write `[TOOL_CALLS]name[ARGS]{..}`.
        if has("[TOOL_CALLS]") && !has("[ARGS]") {
            return Some(Style::Mistral);
        }
        has("{\"name\": function name, \"parameters\": ").then_some(Style::Llama)
    }

    /// The texts that begin and end calls. Where they are control tokens, their text must reach
    /// [`Parser::push`], and only there: everywhere else control tokens are no part of the answer.
    pub fn markers(self) -> &'static [&'static str] {
        match self {
            Style::Hermes => &["<tool_call>", "</tool_call>"],
            Style::Llama => &["<|python_tag|>"],
            Style::Mistral => &["[TOOL_CALLS]"],
        }
    }

    /// The name of the arguments in a call.
    pub(crate) fn arguments(self) -> &'static str {
        match self {
            Style::Hermes | Style::Mistral => "arguments",
            Style::Llama => "parameters",
        }
    }
}

/// A tool as it was offered.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: &'a str,
    pub(crate) parameters: Option<&'a Value>,
}

/// Reads tools of OpenAI's shape. Names must be such that they stand in JSON as they are, and differ.
pub(crate) fn offered(tools: &Value) -> Result<Vec<Tool<'_>>, String> {
    let list =
        tools.as_array().filter(|list| !list.is_empty()).ok_or("the tools must be a list, not empty")?;
    let mut read: Vec<Tool<'_>> = Vec::with_capacity(list.len());
    for (index, tool) in list.iter().enumerate() {
        let name = tool.pointer("/function/name").and_then(Value::as_str);
        let name = name.ok_or_else(|| format!("the tool at index {index} has no function.name"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(format!(
                "the tool name {name:?} must have 1 to 64 of the characters a-z A-Z 0-9 _ - ."
            ));
        }
        if read.iter().any(|tool| tool.name == name) {
            return Err(format!("two tools have the name {name:?}"));
        }
        let parameters = tool.pointer("/function/parameters").filter(|value| !value.is_null());
        read.push(Tool { name, parameters });
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
