//! `tools` and `toolConfig`: what the model may call.
//!
//! <https://ai.google.dev/gemini-api/docs/function-calling>

use aigate_contract::{
    Call, Error, ErrorKind, Result, Task,
    chat::{ChatRequest, ToolChoice},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// All functions; Gemini wants them in one tool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolSet<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a Map<String, Value>>,
}

/// Which function it must or may call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    function_calling_config: CallingConfig<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

type Translated<'a> = (Option<[ToolSet<'a>; 1]>, Option<ToolConfig<'a>>);

/// Translates tools and the choice among them.
pub(super) fn translate<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Result<Translated<'_>> {
    let request: &ChatRequest = &call.request;
    let mut functions = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        let Some(function) = tool.function.as_ref().filter(|_| tool.kind == "function") else {
            let why = format!("gemini calls functions, not tools of type `{}`", tool.kind);
            call.unsupported(&format!("tools[{index}]"), &why)?;
            continue;
        };
        if function.strict == Some(true) {
            call.leave_out(&format!("tools[{index}].function.strict"));
        }
        functions.push(Declaration {
            name: &function.name,
            description: function.description.as_deref(),
            parameters_json_schema: function.parameters.as_ref().filter(|schema| !schema.is_empty()),
        });
    }
    if request.parallel_tool_calls == Some(false) && !functions.is_empty() {
        call.unsupported("parallel_tool_calls", "gemini may call several tools at once")?;
    }
    let choice = choose(call, &functions)?;
    let tools = (!functions.is_empty()).then_some([ToolSet { function_declarations: functions }]);
    Ok((tools, choice))
}

fn choose<'a, T: Task<Request = ChatRequest>>(
    call: &'a Call<T>,
    functions: &[Declaration<'_>],
) -> Result<Option<ToolConfig<'a>>> {
    let invalid = |why: String| Err(Error::new(ErrorKind::Invalid, why).with_param("tool_choice"));
    let config = |mode, name| {
        let function_calling_config = CallingConfig { mode, allowed_function_names: name };
        Ok(Some(ToolConfig { function_calling_config }))
    };
    match &call.request.tool_choice {
        None => Ok(None),
        Some(ToolChoice::Other(kind)) => {
            let why = format!("gemini has no choice of type `{kind}`");
            call.unsupported("tool_choice", &why).map(|()| None)
        }
        Some(ToolChoice::None | ToolChoice::Auto) if functions.is_empty() => Ok(None),
        Some(ToolChoice::None) => config("NONE", None),
        Some(ToolChoice::Auto) => config("AUTO", None),
        Some(ToolChoice::Required) if functions.is_empty() => {
            invalid("`required` needs at least one tool".to_owned())
        }
        Some(ToolChoice::Required) => config("ANY", None),
        Some(ToolChoice::Function(name)) if !functions.iter().any(|function| function.name == name) => {
            invalid(format!("the function `{name}` is not among the tools"))
        }
        Some(ToolChoice::Function(name)) => config("ANY", Some([name])),
    }
}
