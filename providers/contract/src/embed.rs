//! Embeddings in the OpenAI shape.
//!
//! <https://platform.openai.com/docs/api-reference/embeddings>

mod reply;
mod request;

pub use self::{
    reply::{EmbedReply, Vectors},
    request::{EmbedRequest, EncodingFormat, Input},
};
