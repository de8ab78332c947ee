//! What a request asks of a model: every field of it is honoured, refused by name, or left out and named.

use std::collections::BTreeMap;

use aigate_contract::{
    Call, Error, ErrorKind, Result, Task,
    chat::{ChatRequest, Content, Message, Part, ResponseFormat, Role, ToolChoice},
};
use aigate_neural::sample::Settings;
use serde_json::{Map, Value, json};

/// A request, as far as it can be read without the model.
#[derive(Debug)]
pub(super) struct Wish {
    /// In the form that chat templates take.
    pub(super) messages: Value,
    pub(super) tools: Option<Value>,
    pub(super) must_call: Option<MustCall>,
    /// Whether several tools may be called at once.
    pub(super) parallel: bool,
    pub(super) form: Form,
    pub(super) thinking: Option<bool>,
    pub(super) settings: Settings,
    pub(super) most: usize,
    pub(super) stop: Vec<String>,
    pub(super) choices: u32,
}

/// A tool has to be called: this one, or any.
#[derive(Debug)]
pub(super) struct MustCall {
    pub(super) name: Option<String>,
}

/// What the text has to look like.
#[derive(Debug)]
pub(super) enum Form {
    Text,
    Object,
    Schema(Value),
}

/// Choices come one after the other: many of them would keep everybody else waiting.
const MOST_CHOICES: u32 = 8;

/// Fields beyond OpenAI's that are honoured.
const HANDLED: [&str; 4] = ["logit_bias", "min_p", "strict", "top_k"];

impl Wish {
    pub(super) fn read<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Result<Self> {
        let request = &call.request;
        request.refuse_unknown(call, &HANDLED)?;
        let (tools, must_call) = tools(request)?;
        tell_what_is_left_out(call, must_call.is_some());
        if request.n.is_some_and(|choices| choices > MOST_CHOICES) {
            call.unsupported("n", &format!("a model on this machine gives at most {MOST_CHOICES} choices"))?;
        }
        Ok(Self {
            messages: messages(call)?,
            tools,
            must_call,
            parallel: request.parallel_tool_calls.unwrap_or(true),
            form: form(call)?,
            thinking: thinking(request)?,
            settings: settings(request)?,
            most: request.max_tokens.map_or(usize::MAX, |most| most as usize),
            stop: request.stop.clone(),
            choices: request.n.unwrap_or(1).min(MOST_CHOICES),
        })
    }
}

fn thinking(request: &ChatRequest) -> Result<Option<bool>> {
    match request.reasoning_effort.as_deref() {
        None => Ok(None),
        Some("none" | "minimal") => Ok(Some(false)),
        Some("low" | "medium" | "high" | "xhigh") => Ok(Some(true)),
        Some(other) => {
            let message =
                format!("`reasoning_effort` is none, minimal, low, medium, high or xhigh, not {other:?}");
            Err(Error::new(ErrorKind::Invalid, message).with_param("reasoning_effort"))
        }
    }
}

/// Fields that are known and have no meaning here.
fn tell_what_is_left_out<T: Task<Request = ChatRequest>>(call: &Call<T>, must_call: bool) {
    let is_marked = |part: &Part| matches!(part, Part::Text(part) if part.cache_control.is_some());
    let contents = call.request.messages.iter().flat_map(|message| &message.content);
    if contents.flat_map(Content::parts).any(is_marked) {
        call.leave_out("messages[].content[].cache_control");
    }
    let strict = |tool: &aigate_contract::chat::Tool| {
        tool.function.as_ref().is_some_and(|function| function.strict == Some(true))
    };
    // Calls are held to their schemas only where one has to be made.
    if !must_call && call.request.tools.iter().any(strict) {
        call.leave_out("tools[].function.strict");
    }
}

fn messages<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Result<Value> {
    let messages = call.request.messages.iter().enumerate();
    messages
        .map(|(index, message)| one_message(call, index, message))
        .collect::<Result<Vec<_>>>()
        .map(Value::from)
}

fn one_message<T: Task<Request = ChatRequest>>(
    call: &Call<T>,
    index: usize,
    message: &Message,
) -> Result<Value> {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut out = Map::new();
    out.insert("role".to_owned(), role.into());
    let refusal = message.refusal.as_deref();
    let text = text(call, index, message.content.as_ref())?.or(refusal.map(str::to_owned));
    out.insert("content".to_owned(), text.map_or(Value::Null, Value::from));
    for (name, value) in [("name", &message.name), ("tool_call_id", &message.tool_call_id)] {
        if let Some(value) = value {
            out.insert(name.to_owned(), value.as_str().into());
        }
    }
    let mut calls = Vec::with_capacity(message.tool_calls.len());
    for (place, tool) in message.tool_calls.iter().enumerate() {
        let arguments: Value = serde_json::from_str(&tool.function.arguments).map_err(|error| {
            let field = format!("messages[{index}].tool_calls[{place}].function.arguments");
            Error::new(ErrorKind::Invalid, format!("`{field}` is not JSON: {error}")).with_param(field)
        })?;
        let function = json!({ "name": tool.function.name, "arguments": arguments });
        calls.push(json!({ "id": tool.id, "type": "function", "function": function }));
    }
    if !calls.is_empty() {
        out.insert("tool_calls".to_owned(), calls.into());
    }
    Ok(Value::Object(out))
}

fn text<T: Task<Request = ChatRequest>>(
    call: &Call<T>,
    index: usize,
    content: Option<&Content>,
) -> Result<Option<String>> {
    let Some(content) = content else { return Ok(None) };
    for (place, part) in content.parts().iter().enumerate() {
        if !matches!(part, Part::Text(_) | Part::Refusal { .. }) {
            let field = format!("messages[{index}].content[{place}]");
            call.unsupported(&field, "a model on this machine reads text only")?;
        }
    }
    let parts = content.parts().iter().filter_map(|part| match part {
        Part::Refusal { refusal, .. } => Some(refusal.as_str()),
        _ => None,
    });
    Ok(Some(content.texts().chain(parts).collect::<Vec<_>>().join("\n")))
}

fn tools(request: &ChatRequest) -> Result<(Option<Value>, Option<MustCall>)> {
    let must_call = match &request.tool_choice {
        Some(ToolChoice::Required) => Some(MustCall { name: None }),
        Some(ToolChoice::Function(name)) => Some(MustCall { name: Some(name.clone()) }),
        Some(ToolChoice::Other(kind)) => {
            return Err(Error::unsupported("tool_choice", &format!("it has no choice `{kind}`")));
        }
        None | Some(ToolChoice::Auto | ToolChoice::None) => None,
    };
    // Told that it may call none, the model is not told of any.
    if request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None) {
        return match must_call {
            Some(_) => {
                Err(Error::new(ErrorKind::Invalid, "`tool_choice` asks for a call, but there are no `tools`")
                    .with_param("tool_choice"))
            }
            None => Ok((None, None)),
        };
    }
    if let Some(MustCall { name: Some(name) }) = &must_call {
        let is_it = |tool: &aigate_contract::chat::Tool| {
            tool.function.as_ref().is_some_and(|function| function.name == *name)
        };
        if !request.tools.iter().any(is_it) {
            let message =
                format!("`tool_choice` names the function {name:?}, which is not among the `tools`");
            return Err(Error::new(ErrorKind::Invalid, message).with_param("tool_choice"));
        }
    }
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        let Some(function) = &tool.function else {
            return Err(Error::unsupported(&format!("tools[{index}]"), "only functions can be called"));
        };
        let mut out = json!({ "name": function.name });
        if let Some(description) = &function.description {
            out["description"] = description.as_str().into();
        }
        out["parameters"] = match &function.parameters {
            Some(parameters) => parameters.clone().into(),
            None => json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        };
        tools.push(json!({ "type": "function", "function": out }));
    }
    Ok((Some(tools.into()), must_call))
}

fn form<T: Task<Request = ChatRequest>>(call: &Call<T>) -> Result<Form> {
    Ok(match &call.request.response_format {
        None | Some(ResponseFormat::Text) => Form::Text,
        Some(ResponseFormat::JsonObject) => Form::Object,
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            let schema = json_schema.schema.clone();
            schema.map_or(Form::Object, |schema| Form::Schema(Value::Object(schema)))
        }
        Some(ResponseFormat::Other) => {
            call.unsupported("response_format", "it is of an unknown type")?;
            Form::Text
        }
    })
}

fn settings(request: &ChatRequest) -> Result<Settings> {
    let invalid = |field: &str, why: &str| {
        Error::new(ErrorKind::Invalid, format!("`{field}` {why}")).with_param(field.to_owned())
    };
    let number =
        |field: &str| request.body.get::<f64>(field).map_err(|error| invalid(field, &error.to_string()));
    let top_k = match number("top_k")? {
        // As others say "all of them".
        Some(-1.0 | 0.0) | None => None,
        Some(count) if count.fract() == 0.0 && (1.0..=1e9).contains(&count) => Some(count as u32),
        Some(_) => return Err(invalid("top_k", "must be a whole number of at least 1")),
    };
    let share = |field: &str, value: Option<f64>| match value {
        Some(value) if !(0.0..=1.0).contains(&value) => Err(invalid(field, "must be between 0 and 1")),
        value => Ok(value.map(|value| value as f32)),
    };
    let top_p = request.top_p.map(|top_p| top_p as f32);
    let logprobs = (request.logprobs == Some(true)).then(|| request.top_logprobs.unwrap_or(0) as usize);
    if request.top_logprobs.is_some() && logprobs.is_none() {
        return Err(invalid("top_logprobs", "needs `logprobs` to be true"));
    }
    Ok(Settings {
        temperature: request.temperature.unwrap_or(1.0) as f32,
        // Nothing but the most probable token.
        top_p: top_p.map(|top_p| top_p.max(f32::MIN_POSITIVE)),
        top_k,
        min_p: share("min_p", number("min_p")?)?,
        seed: request.seed.map(i64::cast_unsigned),
        frequency_penalty: request.frequency_penalty.unwrap_or(0.0) as f32,
        presence_penalty: request.presence_penalty.unwrap_or(0.0) as f32,
        bias: bias(request)?,
        logprobs,
    })
}

fn bias(request: &ChatRequest) -> Result<Vec<(u32, f32)>> {
    let invalid = |why: String| Error::new(ErrorKind::Invalid, why).with_param("logit_bias");
    let bias: Option<BTreeMap<String, f32>> = request
        .body
        .get("logit_bias")
        .map_err(|error| invalid(format!("`logit_bias` maps token ids to numbers: {error}")))?;
    let pair = |(token, bias): (String, f32)| match (token.parse(), bias) {
        (Ok(token), -100.0..=100.0) => Ok((token, bias)),
        _ => Err(invalid(format!(
            "`logit_bias` has {token}: {bias}; it maps token ids to numbers from -100 to 100"
        ))),
    };
    bias.unwrap_or_default().into_iter().map(pair).collect()
}
