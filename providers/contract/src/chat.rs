//! Chat in the OpenAI shape: the request, typed, over the body as it came; the reply, already written as JSON.

mod chunk;
mod message;
mod reply;
mod request;
mod tool;

pub use self::{
    chunk::{ChatChunk, ChunkStream, ChunkWriter},
    message::{Content, ImageUrl, Message, Part, Role, TextPart, ToolCall, ToolCallFunction},
    reply::{ChatReply, Choice, Completion},
    request::{ChatRequest, HINTS, StreamOptions},
    tool::{Function, JsonSchemaFormat, ResponseFormat, Tool, ToolChoice},
};
