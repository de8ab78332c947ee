//! The tokenizer that a GGUF file carries: text to token ids and back, with llama.cpp's ids.
//!
//! A text is cut at the vocabulary's special tokens; what lies between them becomes the smallest pieces, which merge
//! pair by pair into tokens: by the tokens' scores (`tokenizer.ggml.model` = `llama`, as SentencePiece does) or in
//! the order of a list of merges (`gpt2` and `gemma4`, byte-pair encoding). Other models are refused by name.
//!
//! The metadata: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer>.

use crate::gguf::Metadata;

pub use self::decoder::Decoder;
use self::ordered::Ordered;
use self::scored::Scored;
use self::specials::{Finder, Fragment};
use self::vocabulary::{Kind, Vocabulary};

mod alphabet;
mod decoder;
mod ends;
mod merge;
mod ordered;
mod pre;
mod scored;
mod specials;
mod split;
mod vocabulary;

/// A file's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    finder: Finder,
    model: Model,
    bos: Option<u32>,
    adds_bos: bool,
    eos: Option<u32>,
    /// Sorted.
    ends: Vec<u32>,
}

/// What becomes of special tokens that are spelled out in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// They become their ids: for the text of a chat template.
    Parse,
    /// Control tokens stay text, so that nobody smuggles them in: for what a caller writes. Tokens that the vocabulary
    /// defines as text that is never cut (its type `user defined`: indents, HTML tags, `<think>`) still become ids.
    Plain,
}

#[derive(Debug)]
enum Model {
    Scored(Scored),
    Ordered(Ordered),
}

impl Tokenizer {
    /// Reads the tokenizer from a file's metadata. The error says what is missing, damaged or unknown.
    pub fn new(metadata: &Metadata) -> Result<Self, String> {
        let text = |error: crate::gguf::Error| error.to_string();
        let name = metadata.require("tokenizer.ggml.model", Metadata::text).map_err(text)?;
        let mut vocabulary = Vocabulary::read(metadata)?;
        let ends = ends::find(metadata, &mut vocabulary)?;
        let (model, adds_bos) = match name {
            "llama" => (Model::Scored(Scored::read(metadata, &vocabulary)?), true),
            "gpt2" | "gemma4" => {
                let pre = pre::find(name, metadata.text("tokenizer.ggml.pre").map_err(text)?)?;
                let model = Ordered::read(metadata, &vocabulary, &pre)?;
                (Model::Ordered(model), pre.adds_bos)
            }
            other => {
                return Err(format!(
                    "this program does not know the tokenizer model \"{other}\"; it knows llama, gpt2 and gemma4"
                ));
            }
        };
        let bos = vocabulary.id(metadata, "tokenizer.ggml.bos_token_id")?;
        let adds_bos = match (metadata.bool("tokenizer.ggml.add_bos_token").map_err(text)?, bos) {
            (Some(true), None) => {
                return Err("the file's tokenizer adds a first token (tokenizer.ggml.add_bos_token) \
                            but does not say which (tokenizer.ggml.bos_token_id)"
                    .to_owned());
            }
            (said, bos) => said.unwrap_or(adds_bos) && bos.is_some(),
        };
        let eos = vocabulary.id(metadata, "tokenizer.ggml.eos_token_id")?;
        let finder = Finder::new(metadata, &vocabulary)?;
        Ok(Self { vocabulary, finder, model, bos, adds_bos, eos, ends })
    }

    /// The text's token ids, without a first or last token added.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, String> {
        self.encode_parts(&[(text, specials)])
    }

    /// The token ids of the parts read as one text: pieces merge across a seam as if it were not there, but a special
    /// token must lie in one part. So template text with [`Specials::Parse`] around a caller's with
    /// [`Specials::Plain`] gives the ids that the whole text would give, and the caller's text cannot complete a
    /// control token. The error is a byte that the vocabulary has no token for.
    pub fn encode_parts(&self, parts: &[(&str, Specials)]) -> Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        let mut pending = String::new();
        let mut trims = false;
        for fragment in parts.iter().flat_map(|(text, specials)| self.finder.cut(text, *specials)) {
            match fragment {
                Fragment::Text(text) => {
                    let text = if trims { text.trim_start_matches(is_space) } else { text };
                    trims = trims && text.is_empty();
                    pending.push_str(text);
                }
                Fragment::Token { id, trims_after } => {
                    if !pending.is_empty() {
                        self.encode_text(&pending, &mut ids)?;
                        pending.clear();
                    }
                    ids.push(id);
                    trims = trims_after;
                }
            }
        }
        if !pending.is_empty() {
            self.encode_text(&pending, &mut ids)?;
        }
        Ok(ids)
    }

    /// The token that the model was trained to see first.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Whether the model wants [`Tokenizer::bos`] before a text; it then has one.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether the model has finished its answer when it says this token.
    pub fn ends_turn(&self, token: u32) -> bool {
        self.ends.binary_search(&token).is_ok()
    }

    /// How many tokens there are; ids are smaller.
    pub fn size(&self) -> usize {
        self.vocabulary.size()
    }

    /// The bytes that the token stands for, perhaps a part of a character; a control token's are its name. Empty: the
    /// token is unused, or there is none.
    pub fn piece(&self, token: u32) -> &[u8] {
        self.vocabulary.piece(token)
    }

    /// Whether the token is a mark, such as a turn's end, and not text.
    pub fn is_control(&self, token: u32) -> bool {
        self.vocabulary.kind(token) == Some(Kind::Control)
    }

    /// Appends the ids of a text between special tokens.
    fn encode_text(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        match &self.model {
            Model::Scored(model) => model.encode(text, ids),
            Model::Ordered(model) => model.encode(text, ids),
        }
    }
}

/// C's `isspace`.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests;
