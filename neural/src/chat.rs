//! Chat with a model from a GGUF file: from messages to tokens ([`ChatModel`]), and from tokens to an answer ([`Session`]).

mod facts;
mod session;
mod stops;

use std::{path::Path, sync::OnceLock};

pub use self::{
    facts::Facts,
    session::{AnswerError, Ask, End, Outcome, Session, Step, Told},
};
use crate::{
    constraint::Vocabulary,
    decoder::Decoder,
    gguf::{File, Metadata},
    template::{Controls, Piece, Prompt, Template},
    tokens::{Specials, Tokenizer},
    tools::{Style, Thoughts},
};

/// A chat model in memory. Any number of sessions share it.
#[derive(Debug)]
pub struct ChatModel {
    decoder: Decoder,
    tokenizer: Tokenizer,
    template: Template,
    controls: Controls,
    style: Option<Style>,
    /// For constraints: built when the first one is asked for.
    vocabulary: OnceLock<Result<Vocabulary, String>>,
}

/// A prompt, ready to be answered.
#[derive(Debug)]
pub struct Tokens {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// What the template wrote.
    pub text: String,
    /// What tells thoughts from the answer, where the model's template knows of thoughts.
    pub thoughts: Option<Thoughts>,
}

impl ChatModel {
    /// Reads a model into memory.
    ///
    /// # Errors
    /// Says what is wrong with the file, or what of it is not supported.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path)?;
        let (tokenizer, template) = (tokenizer(&file)?, template(file.metadata())?);
        let decoder = Decoder::read(&file).map_err(|why| format!("{}: {why}", path.display()))?;
        if tokenizer.size() > decoder.vocabulary() {
            return Err(format!(
                "{} has {} tokens and weights for {}",
                path.display(),
                tokenizer.size(),
                decoder.vocabulary()
            ));
        }
        let ids = 0..u32::try_from(tokenizer.size()).map_err(|error| error.to_string())?;
        let controls = ids.filter(|id| tokenizer.is_control(*id)).filter_map(|id| {
            let text = std::str::from_utf8(tokenizer.piece(id)).ok()?;
            (!text.is_empty()).then(|| text.to_owned())
        });
        let controls = Controls::new(controls);
        let style = template.takes_tools().then(|| Style::of(template.source())).flatten();
        Ok(Self { decoder, tokenizer, template, controls, style, vocabulary: OnceLock::new() })
    }

    /// Its network.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Its chat template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// How it writes tool calls; `None`: it cannot be given tools.
    pub fn style(&self) -> Option<Style> {
        self.style
    }

    /// The tokens of a conversation, up to where the answer begins.
    ///
    /// # Errors
    /// What the template has against the messages, in its own words.
    pub fn prompt(&self, prompt: &Prompt<'_>) -> Result<Tokens, String> {
        let pieces = self.template.render_parts(prompt, &self.controls)?;
        let parts: Vec<(&str, Specials)> = (pieces.iter())
            .map(|piece| match piece {
                Piece::Text(text) => (text.as_str(), Specials::Plain),
                Piece::Control(text) => (text.as_str(), Specials::Parse),
            })
            .collect();
        let mut ids = self.tokenizer.encode_parts(&parts)?;
        // Most templates write it themselves.
        let bos = self.tokenizer.bos().filter(|_| self.tokenizer.adds_bos());
        if let Some(bos) = bos.filter(|bos| ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        let text: String = parts.iter().map(|(text, _)| *text).collect();
        let thoughts = Thoughts::of(self.template.source(), &text);
        Ok(Tokens { ids, text, thoughts })
    }

    /// The vocabulary, prepared for constraints.
    ///
    /// # Errors
    /// When no token of it ends an answer.
    pub fn vocabulary(&self) -> Result<&Vocabulary, String> {
        let built = self.vocabulary.get_or_init(|| {
            // Weights may be padded to a round number of tokens: those beyond the tokenizer's stand for nothing.
            let ids = 0..u32::try_from(self.decoder.vocabulary()).map_err(|error| error.to_string())?;
            let pieces = ids.clone().map(|id| self.tokenizer.piece(id).to_vec()).collect();
            let ends = ids.filter(|id| self.tokenizer.ends_turn(*id)).collect();
            Vocabulary::new(pieces, &|id| self.tokenizer.is_control(id), ends)
        });
        built.as_ref().map_err(Clone::clone)
    }
}

fn tokenizer(file: &File) -> Result<Tokenizer, String> {
    Tokenizer::new(file.metadata())
}

fn template(metadata: &Metadata) -> Result<Template, String> {
    let source = metadata.text("tokenizer.chat_template")?.ok_or(
        "the file carries no chat template (`tokenizer.chat_template`), so that it cannot be used for chat",
    )?;
    let text = |key: &str| -> Result<String, String> {
        let id = metadata.u32(key)?.map(|id| id as usize);
        let texts = metadata.texts("tokenizer.ggml.tokens")?;
        Ok(id.and_then(|id| texts?.get(id)).cloned().unwrap_or_default())
    };
    Template::new(source, &text("tokenizer.ggml.bos_token_id")?, &text("tokenizer.ggml.eos_token_id")?)
}

/// The length of a file's header: what the tokenizer's memory grows with.
fn header_length(file: &File) -> u64 {
    file.tensors().map(|tensor| tensor.start).min().unwrap_or(file.length())
}
