//! Messages of a conversation.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::{Map, Value};

use crate::BodyError;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions, older name.
    System,
    /// Instructions, newer name.
    Developer,
    /// The caller's user.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
}

/// One message of the conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; only an assistant may say nothing, when it calls tools or refuses.
    #[serde(default)]
    pub content: Option<Content>,
    /// The name of the speaker.
    #[serde(default)]
    pub name: Option<String>,
    /// Tools the assistant called.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's result answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// The assistant's refusal.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Fields that aigate does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// Checks what the types cannot: `param` of the error is relative to the message.
    pub(super) fn check(&self) -> Result<(), BodyError> {
        let silent = self.content.is_none();
        match self.role {
            Role::Assistant if silent && self.tool_calls.is_empty() && self.refusal.is_none() => {
                Err(BodyError::at(".content", "an assistant message needs `content` or `tool_calls`"))
            }
            Role::Assistant => Ok(()),
            _ if silent => Err(BodyError::at(".content", "missing required field `content`")),
            Role::Tool if self.tool_call_id.is_none() => {
                Err(BodyError::at(".tool_call_id", "a tool message needs the id of the call it answers"))
            }
            _ => Ok(()),
        }
    }
}

/// What a message says: a text, or parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Texts, images and more.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(TextPart),
    /// A picture, as a data URI or a URL.
    ImageUrl {
        /// Where the picture is.
        image_url: ImageUrl,
        /// Marks the end of a prefix worth caching, as in Anthropic's API.
        #[serde(default)]
        cache_control: Option<Value>,
        /// Fields that aigate does not know.
        #[serde(flatten)]
        extra: Map<String, Value>,
    },
    /// Recorded speech.
    InputAudio {
        /// `{"data": base64, "format": "wav" | "mp3"}`.
        input_audio: Value,
        /// Fields that aigate does not know.
        #[serde(flatten)]
        extra: Map<String, Value>,
    },
    /// A document.
    File {
        /// `{"file_data": data URI, "filename": …}` or `{"file_id": …}`.
        file: Value,
        /// Fields that aigate does not know.
        #[serde(flatten)]
        extra: Map<String, Value>,
    },
    /// The assistant's refusal.
    Refusal {
        /// What it said.
        refusal: String,
        /// Fields that aigate does not know.
        #[serde(flatten)]
        extra: Map<String, Value>,
    },
    /// A type that aigate does not know: only for providers to whom the body passes through.
    #[serde(other)]
    Other,
}

impl Part {
    /// The names of fields that aigate does not know, `null`s left out.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let (extra, inner) = match self {
            Self::Other => (None, None),
            Self::Text(part) => (Some(&part.extra), None),
            Self::ImageUrl { image_url, extra, .. } => (Some(extra), Some(&image_url.extra)),
            Self::InputAudio { extra, .. } | Self::File { extra, .. } | Self::Refusal { extra, .. } => {
                (Some(extra), None)
            }
        };
        let fields = extra.into_iter().flatten().chain(inner.into_iter().flatten());
        fields.filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }
}

/// A part that is text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TextPart {
    /// The text.
    pub text: String,
    /// Marks the end of a prefix worth caching, as in Anthropic's API.
    #[serde(default)]
    pub cache_control: Option<Value>,
    /// Fields that aigate does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Where a picture is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ImageUrl {
    /// A data URI or a URL.
    pub url: String,
    /// `auto`, `low` or `high`.
    #[serde(default)]
    pub detail: Option<String>,
    /// Fields that aigate does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A tool that the assistant called.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ToolCall {
    /// The call's id, which its result names.
    pub id: String,
    /// The function called.
    pub function: ToolCallFunction,
    /// Fields that aigate does not know, `type` among them.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The function of a tool call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ToolCallFunction {
    /// Its name.
    pub name: String,
    /// Its arguments, JSON in a string.
    pub arguments: String,
}

impl Content {
    /// The parts of the content; a plain text has none.
    pub fn parts(&self) -> &[Part] {
        match self {
            Self::Text(_) => &[],
            Self::Parts(parts) => parts,
        }
    }

    /// The texts of the content, in order; other parts are passed over.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, parts) = match self {
            Self::Text(text) => (Some(text.as_str()), &[][..]),
            Self::Parts(parts) => (None, parts.as_slice()),
        };
        text.into_iter().chain(parts.iter().filter_map(|part| match part {
            Part::Text(part) => Some(part.text.as_str()),
            _ => None,
        }))
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;

        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of content parts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }

        deserializer.deserialize_any(ContentVisitor)
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
