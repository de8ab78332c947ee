//! The grammar of tool calls: the style's wrapping around each tool's arguments.

use llguidance::api::GrammarWithLexer;
use serde_json::{Map, Value, json};

use super::{Calls, Vocabulary, schema};
use crate::tools::{self, Style};

/// The grammars of the calls, the first the one to start with. Each tool's arguments are a grammar of their
/// own, so that references in its parameters stay within them.
pub(super) fn grammars(
    vocabulary: &Vocabulary,
    style: Style,
    tools: &Value,
    calls: Calls<'_>,
) -> Result<Vec<GrammarWithLexer>, String> {
    let tools = offered(tools, calls.name)?;
    let mut grammars = vec![GrammarWithLexer::from_lark(lark(vocabulary, style, &tools, calls.several))];
    for (index, tool) in tools.iter().enumerate() {
        let parameters = parameters(tool.parameters)
            .and_then(|parameters| schema::compile(&parameters))
            .map_err(|error| format!("the parameters of the tool {}: {error}", tool.name))?;
        let mut grammar = GrammarWithLexer::from_json_schema(parameters);
        grammar.name = Some(format!("arguments_{index}"));
        grammars.push(grammar);
    }
    Ok(grammars)
}

fn offered<'a>(tools: &'a Value, name: Option<&str>) -> Result<Vec<tools::Tool<'a>>, String> {
    let mut tools = tools::offered(tools)?;
    if let Some(name) = name {
        tools.retain(|tool| tool.name == name);
        if tools.is_empty() {
            return Err(format!("the tool {name:?} is to be called, but it is not among the tools"));
        }
    }
    Ok(tools)
}

/// The schema of a tool's arguments: always an object, an empty one where the tool has no parameters.
fn parameters(parameters: Option<&Value>) -> Result<Value, String> {
    let Some(parameters) = parameters else {
        return Ok(json!({"type": "object", "additionalProperties": false}));
    };
    let mut object: Map<String, Value> =
        parameters.as_object().cloned().ok_or("they must be a JSON schema")?;
    match object.get("type") {
        None => drop(object.insert("type".into(), "object".into())),
        Some(kind) if kind == "object" => {}
        Some(kind) => return Err(format!("their type is {kind}, it must be \"object\"")),
    }
    Ok(Value::Object(object))
}

/// The wrapping, in llguidance's dialect of Lark.
fn lark(vocabulary: &Vocabulary, style: Style, tools: &[tools::Tool<'_>], several: bool) -> String {
    let marker = |text: &str| match vocabulary.control(text) {
        Some(token) => format!("<[{token}]>"),
        None => quoted(text),
    };
    let more = |between: &str| if several { format!(" ({between} call)*") } else { String::new() };
    let start = match style {
        Style::Hermes => format!("call{}", more(&quoted("\n"))),
        Style::Llama => "call".to_owned(),
        Style::Mistral => {
            format!("{} \" \"? \"[\" call{} \"]\"", marker("[TOOL_CALLS]"), more(&quoted(", ")))
        }
    };
    let (before, after) = match style {
        Style::Hermes => (
            format!("{} {} ", marker("<tool_call>"), quoted("\n")),
            format!(" {} {}", quoted("\n"), marker("</tool_call>")),
        ),
        Style::Llama | Style::Mistral => (String::new(), String::new()),
    };
    let names: Vec<String> = (0..tools.len()).map(|index| format!("call_{index}")).collect();
    let mut lark = format!("start: {start}\ncall: {}\n", names.join(" | "));
    for (index, tool) in tools.iter().enumerate() {
        let opening = quoted(&format!("{{\"name\": \"{}\", \"{}\": ", tool.name, style.arguments()));
        lark += &format!("call_{index}: {before}{opening} @arguments_{index} \"}}\"{after}\n");
    }
    lark
}

/// A literal of the grammar; its strings are escaped as JSON's are.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
