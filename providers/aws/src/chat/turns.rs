//! A conversation in Converse's form: system texts apart, then turns whose roles alternate, with all results of a
//! turn's tool calls at the head of the user turn right after it.

use std::collections::HashSet;

use aigate_contract::{
    Call, Error, ErrorKind, Result, Task,
    chat::{ChatRequest, Content, Message as Said, Role, ToolCall},
};
use aigate_transport::Fetcher;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, Message, SystemContentBlock, ToolResultBlock, ToolResultContentBlock,
    ToolUseBlock,
};
use serde_json::Value;

use super::{
    fields::{CACHE_CONTROL, REASONING_DETAILS},
    parts::{Parts, cache_point},
    reasoning, unbuilt,
};
use crate::{document::to_document, model::Family};

/// A conversation on its way into Converse's form.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    system: Vec<SystemContentBlock>,
    turns: Vec<Turn>,
    /// Calls of the last assistant turn that have no result yet.
    open: HashSet<String>,
    has_calls: bool,
}

#[derive(Debug)]
struct Turn {
    role: ConversationRole,
    /// Results of the calls of the turn before; they must stand first.
    results: Vec<ContentBlock>,
    blocks: Vec<ContentBlock>,
}

impl Conversation {
    /// Reads the request's messages.
    ///
    /// # Errors
    /// A message that Converse cannot take, naming it.
    pub(super) async fn read<T>(call: &Call<T>, family: Family, fetcher: &Fetcher) -> Result<Self>
    where
        T: Task<Request = ChatRequest>,
    {
        let mut conversation = Self::default();
        let mut parts = Parts::new(call, fetcher);
        for (index, message) in call.request.messages.iter().enumerate() {
            let at = format!("messages[{index}]");
            match message.role {
                Role::System | Role::Developer => conversation.instruct(call, message, &at)?,
                Role::User => conversation.ask(&mut parts, message, &at).await?,
                Role::Assistant => conversation.reply(&mut parts, family, message, &at).await?,
                Role::Tool => conversation.answer(&mut parts, message, &at).await?,
            }
        }
        Ok(conversation)
    }

    /// Whether the conversation calls tools.
    pub(super) fn has_calls(&self) -> bool {
        self.has_calls
    }

    /// The system texts, and the turns.
    pub(super) fn into_parts(self) -> Result<(Vec<SystemContentBlock>, Vec<Message>)> {
        let message = |mut turn: Turn| {
            turn.results.append(&mut turn.blocks);
            Message::builder().role(turn.role).set_content(Some(turn.results)).build().map_err(unbuilt)
        };
        let messages = self.turns.into_iter().map(message).collect::<Result<_>>()?;
        Ok((self.system, messages))
    }

    fn instruct<T: Task>(&mut self, call: &Call<T>, message: &Said, at: &str) -> Result<()> {
        use aigate_contract::chat::Part;
        match &message.content {
            Some(Content::Text(text)) => self.system.extend(system_text(text)),
            Some(Content::Parts(parts)) => {
                for (index, part) in parts.iter().enumerate() {
                    let at = format!("{at}.content[{index}]");
                    let Part::Text(part) = part else {
                        call.unsupported(&at, "Bedrock's system prompt is text")?;
                        continue;
                    };
                    self.system.extend(system_text(&part.text));
                    let point = cache_point(call, part.cache_control.as_ref(), &at)?;
                    self.system.extend(point.map(SystemContentBlock::CachePoint));
                }
            }
            None => {}
        }
        let point = cache_point(call, message.extra.get(CACHE_CONTROL), at)?;
        self.system.extend(point.map(SystemContentBlock::CachePoint));
        Ok(())
    }

    async fn ask<T: Task>(&mut self, parts: &mut Parts<'_, T>, message: &Said, at: &str) -> Result<()> {
        let blocks = parts.read(message, at).await?;
        if blocks.is_empty() {
            let why = "the message is empty, and Bedrock takes none without content";
            return parts.call().unsupported(&format!("{at}.content"), why);
        }
        self.add(ConversationRole::User, |turn| turn.blocks.extend(blocks));
        Ok(())
    }

    async fn reply<T: Task>(
        &mut self,
        parts: &mut Parts<'_, T>,
        family: Family,
        message: &Said,
        at: &str,
    ) -> Result<()> {
        let details = message.extra.get(REASONING_DETAILS);
        let mut blocks = reasoning::given_back(parts.call(), family, details, at)?;
        blocks.extend(parts.read(message, at).await?);
        blocks
            .extend(message.refusal.iter().filter(|text| !text.is_empty()).cloned().map(ContentBlock::Text));
        let begins = self.turns.last().is_none_or(|turn| turn.role != ConversationRole::Assistant);
        if begins {
            self.open.clear();
        }
        for (index, tool) in message.tool_calls.iter().enumerate() {
            blocks.push(tool_use(parts.call(), tool, &format!("{at}.tool_calls[{index}]"))?);
            self.open.insert(tool.id.clone());
            self.has_calls = true;
        }
        // An assistant that said nothing leaves no trace: Converse takes no empty turn.
        if !blocks.is_empty() {
            self.add(ConversationRole::Assistant, |turn| turn.blocks.extend(blocks));
        }
        Ok(())
    }

    async fn answer<T: Task>(&mut self, parts: &mut Parts<'_, T>, message: &Said, at: &str) -> Result<()> {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        if !self.open.remove(id) {
            let why =
                format!("no call `{id}` without a result stands in the assistant message before this one");
            return Err(Error::new(ErrorKind::Invalid, why).with_param(format!("{at}.tool_call_id")));
        }
        let mut block = ToolResultBlock::builder().tool_use_id(id).set_content(Some(Vec::new()));
        let mut points = Vec::new();
        for part in parts.read(message, at).await? {
            block = match part {
                ContentBlock::Text(text) => block.content(ToolResultContentBlock::Text(text)),
                ContentBlock::Image(image) => block.content(ToolResultContentBlock::Image(image)),
                ContentBlock::Document(document) => block.content(ToolResultContentBlock::Document(document)),
                point @ ContentBlock::CachePoint(_) => {
                    points.push(point);
                    block
                }
                _ => {
                    let why = "a tool's result at Bedrock is text, pictures and documents";
                    parts.call().unsupported(&format!("{at}.content"), why)?;
                    block
                }
            };
        }
        let block = block.build().map_err(unbuilt)?;
        self.add(ConversationRole::User, |turn| {
            turn.results.push(ContentBlock::ToolResult(block));
            turn.results.extend(points);
        });
        Ok(())
    }

    /// Adds to the last turn if it is this role's, else to a new one.
    fn add(&mut self, role: ConversationRole, add: impl FnOnce(&mut Turn)) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => add(turn),
            _ => {
                let mut turn = Turn { role, results: Vec::new(), blocks: Vec::new() };
                add(&mut turn);
                self.turns.push(turn);
            }
        }
    }
}

fn system_text(text: &str) -> Option<SystemContentBlock> {
    (!text.is_empty()).then(|| SystemContentBlock::Text(text.to_owned()))
}

fn tool_use<T: Task>(call: &Call<T>, tool: &ToolCall, at: &str) -> Result<ContentBlock> {
    for (name, value) in &tool.extra {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("type", Value::String(kind)) if kind == "function" => {}
            ("type", _) => call.unsupported(&format!("{at}.type"), "Bedrock's models call functions only")?,
            _ => call.leave_out(&format!("{at}.{name}")),
        }
    }
    // Elsewhere any text may stand here, so another deployment may take it.
    let refuse = || {
        Error::unsupported(&format!("{at}.function.arguments"), "Bedrock wants a JSON object in the string")
    };
    let arguments = tool.function.arguments.trim();
    let input = match serde_json::from_str::<Value>(if arguments.is_empty() { "{}" } else { arguments }) {
        Ok(input @ Value::Object(_)) => input,
        Ok(_) => return Err(refuse()),
        Err(error) => return Err(refuse().with_source(error)),
    };
    ToolUseBlock::builder()
        .tool_use_id(&tool.id)
        .name(&tool.function.name)
        .input(to_document(&input))
        .build()
        .map(ContentBlock::ToolUse)
        .map_err(unbuilt)
}
