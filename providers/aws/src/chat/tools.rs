//! Tools, and which of them the model may or must call.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html>

use aigate_contract::{
    Call, Error, ErrorKind, Result, Task,
    chat::{ChatRequest, Function, ToolChoice as Choice},
};
use aws_sdk_bedrockruntime::types::{
    AnyToolChoice, AutoToolChoice, SpecificToolChoice, Tool, ToolChoice, ToolConfiguration, ToolInputSchema,
    ToolSpecification,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{parts::cache_point, unbuilt};
use crate::{document::object, model::Family};

/// The mark for the prompt cache on a tool, which the contract does not read.
#[derive(Debug, Deserialize)]
struct Marked {
    #[serde(default)]
    cache_control: Option<Value>,
}

/// `toolConfig`; `None` when the model gets no tools. `in_history`: whether the conversation calls tools already.
///
/// # Errors
/// What Converse cannot do, naming the field.
pub(super) fn translate<T>(
    call: &Call<T>,
    family: Family,
    in_history: bool,
    model_fields: &mut Map<String, Value>,
) -> Result<Option<ToolConfiguration>>
where
    T: Task<Request = ChatRequest>,
{
    let request = &*call.request;
    if request.tools.is_empty() {
        return without_tools(call, in_history);
    }
    if request.tool_choice == Some(Choice::None) && !in_history {
        // A model that sees no tools calls none.
        if request.parallel_tool_calls.is_some() {
            call.leave_out("parallel_tool_calls");
        }
        return Ok(None);
    }
    let choice = choice(call)?;
    let sequential = request.parallel_tool_calls == Some(false);
    if sequential {
        one_at_a_time(call, family, choice.as_ref(), model_fields)?;
    }
    let in_model_fields = sequential && model_fields.contains_key("tool_choice");
    let tools = specifications(call)?;
    ToolConfiguration::builder()
        .set_tools(Some(tools))
        .set_tool_choice(choice.filter(|_| !in_model_fields))
        .build()
        .map(Some)
        .map_err(unbuilt)
}

fn without_tools<T: Task<Request = ChatRequest>>(
    call: &Call<T>,
    in_history: bool,
) -> Result<Option<ToolConfiguration>> {
    if in_history {
        let why = "Bedrock wants the tools that the conversation has called";
        return Err(Error::unsupported("tools", why));
    }
    if matches!(call.request.tool_choice, Some(Choice::Required | Choice::Function(_) | Choice::Other(_))) {
        let why = "a tool is to be called, but `tools` is empty";
        return Err(Error::new(ErrorKind::Invalid, why).with_param("tool_choice"));
    }
    if call.request.parallel_tool_calls.is_some() {
        call.leave_out("parallel_tool_calls");
    }
    Ok(None)
}

fn choice<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Result<Option<ToolChoice>> {
    Ok(match &call.request.tool_choice {
        None => None,
        Some(Choice::Auto) => Some(ToolChoice::Auto(AutoToolChoice::builder().build())),
        Some(Choice::Required) => Some(ToolChoice::Any(AnyToolChoice::builder().build())),
        Some(Choice::Function(name)) => {
            Some(ToolChoice::Tool(SpecificToolChoice::builder().name(name).build().map_err(unbuilt)?))
        }
        Some(Choice::None) => {
            let why = "Bedrock wants the tools of earlier calls and has no choice `none`";
            call.unsupported("tool_choice", why)?;
            None
        }
        Some(Choice::Other(_)) => {
            call.unsupported("tool_choice", "Bedrock knows `auto`, `required` and functions")?;
            None
        }
    })
}

/// Claude's own `tool_choice` beside Converse's; Bedrock refuses the two together, so only `auto` goes.
///
/// <https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use#parallel-tool-use>
fn one_at_a_time<T: Task>(
    call: &Call<T>,
    family: Family,
    choice: Option<&ToolChoice>,
    model_fields: &mut Map<String, Value>,
) -> Result<()> {
    const FIELD: &str = "parallel_tool_calls";
    if !family.is_claude() {
        return call.unsupported(FIELD, "this model cannot be told to call one tool at a time");
    }
    if matches!(choice, Some(ToolChoice::Any(_) | ToolChoice::Tool(_))) {
        return call.unsupported(FIELD, "Bedrock refuses it beside a forced `tool_choice`");
    }
    let own = json!({"type": "auto", "disable_parallel_tool_use": true});
    model_fields.insert("tool_choice".to_owned(), own);
    Ok(())
}

fn specifications<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Result<Vec<Tool>> {
    let marks = marks(call);
    let mut tools = Vec::with_capacity(call.request.tools.len());
    for (index, tool) in call.request.tools.iter().enumerate() {
        let at = format!("tools[{index}]");
        match &tool.function {
            Some(function) if tool.kind == "function" => tools.push(specification(function)?),
            _ => call.unsupported(&format!("{at}.type"), "Bedrock's models call functions only")?,
        }
        let control = marks.get(index).and_then(|mark| mark.cache_control.as_ref());
        tools.extend(cache_point(call, control, &at)?.map(Tool::CachePoint));
    }
    Ok(tools)
}

fn specification(function: &Function) -> Result<Tool> {
    let schema = match &function.parameters {
        Some(parameters) => object(parameters),
        None => object(&Map::from_iter([
            ("type".to_owned(), json!("object")),
            ("properties".to_owned(), json!({})),
        ])),
    };
    ToolSpecification::builder()
        .name(&function.name)
        .set_description(function.description.clone().filter(|text| !text.is_empty()))
        .input_schema(ToolInputSchema::Json(schema))
        .set_strict(function.strict.filter(|strict| *strict))
        .build()
        .map(Tool::ToolSpec)
        .map_err(unbuilt)
}

/// The tools' marks for the prompt cache, if the body has any.
fn marks<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Vec<Marked> {
    const MARK: &[u8] = b"\"cache_control\"";
    match call.request.body.raw("tools") {
        Some(raw) if raw.windows(MARK.len()).any(|window| window == MARK) => {
            serde_json::from_slice(raw).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
