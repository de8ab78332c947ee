//! The tokens of a file: their texts, their types and what they stand for.

use std::collections::HashMap;

use super::alphabet;
use crate::gguf::Metadata;

/// The space's stand-in in vocabularies that merge whole texts: U+2581.
pub(super) const SPACE: char = '\u{2581}';

/// The tokens, by id.
#[derive(Debug)]
pub(super) struct Vocabulary {
    tokens: Vec<Token>,
    /// Every token's id, by its text.
    by_text: HashMap<String, u32>,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that merges produce.
    Normal,
    /// The stand-in for text that the vocabulary cannot express.
    Unknown,
    /// A mark that is no text, such as a turn's end.
    Control,
    /// Text that is found before anything merges.
    UserDefined,
    /// A place in the table that nothing uses.
    Unused,
    /// One byte, written `<0x0A>`.
    Byte,
}

#[derive(Debug)]
struct Token {
    text: String,
    kind: Kind,
    piece: Box<[u8]>,
}

/// How the text of a normal token says what it stands for.
#[derive(Clone, Copy)]
enum Spelling {
    /// As it is, but for the space's stand-in.
    Spaced,
    /// One character for each byte.
    Alphabet,
}

impl Vocabulary {
    pub(super) fn read(metadata: &Metadata) -> Result<Self, String> {
        let said = |error: crate::gguf::Error| error.to_string();
        let texts = metadata.require("tokenizer.ggml.tokens", Metadata::texts).map_err(said)?;
        let kinds = metadata.integers("tokenizer.ggml.token_type").map_err(said)?;
        // A file that says nothing of types has normal tokens alone.
        let kinds = kinds.unwrap_or_else(|| vec![1; texts.len()]);
        if kinds.len() != texts.len() {
            return Err(format!("the file has {} tokens and {} types for them", texts.len(), kinds.len()));
        }
        let spelling = match metadata.text("tokenizer.ggml.model").map_err(said)? {
            Some("gpt2") => Spelling::Alphabet,
            _ => Spelling::Spaced,
        };
        let mut vocabulary = Self { tokens: Vec::new(), by_text: HashMap::with_capacity(texts.len()) };
        for (text, kind) in texts.iter().zip(kinds) {
            vocabulary.add(text, Kind::numbered(kind), spelling)?;
        }
        Ok(vocabulary)
    }

    pub(super) fn size(&self) -> usize {
        self.tokens.len()
    }

    /// The token of that text, of whatever kind.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    /// Ids, texts and kinds.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, Kind)> {
        (0_u32..).zip(&self.tokens).map(|(id, token)| (id, token.text.as_str(), token.kind))
    }

    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.tokens.get(id as usize).map(|token| token.kind)
    }

    pub(super) fn piece(&self, id: u32) -> &[u8] {
        self.tokens.get(id as usize).map_or(&[], |token| &token.piece)
    }

    fn add(&mut self, text: &str, kind: Kind, spelling: Spelling) -> Result<(), String> {
        let id = u32::try_from(self.tokens.len()).map_err(|_| "the file has too many tokens".to_owned())?;
        // What llama.cpp calls them, so that no token's text is empty.
        let text = if text.is_empty() { format!("[EMPTY_{id}]") } else { text.to_owned() };
        if let Some(first) = self.by_text.insert(text.clone(), id) {
            return Err(format!("the file's tokens {first} and {id} have the same text, {text:?}"));
        }
        let piece = piece(&text, kind, spelling);
        self.tokens.push(Token { text, kind, piece });
        Ok(())
    }

    /// Makes a token control, whose text looks so although the file says otherwise.
    pub(super) fn make_control(&mut self, id: u32) {
        if let Some(token) = self.tokens.get_mut(id as usize) {
            token.kind = Kind::Control;
            token.piece = token.text.as_bytes().into();
        }
    }

    /// The id under the key, if the key is there; it must be one of the vocabulary's.
    pub(super) fn id(&self, metadata: &Metadata, key: &str) -> Result<Option<u32>, String> {
        let id = metadata.u32(key).map_err(|error| error.to_string())?;
        match id.filter(|id| *id as usize >= self.size()) {
            Some(id) => Err(format!("{key} is {id}, and the file's vocabulary has {} tokens", self.size())),
            None => Ok(id),
        }
    }
}

impl Kind {
    /// The kind of that number in `tokenizer.ggml.token_type`.
    fn numbered(number: i64) -> Self {
        match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            _ => Self::Unused,
        }
    }
}

/// What the token stands for.
fn piece(text: &str, kind: Kind, spelling: Spelling) -> Box<[u8]> {
    match (kind, spelling) {
        (Kind::Control | Kind::Unknown | Kind::UserDefined, _) => text.as_bytes().into(),
        (Kind::Unused, _) => Box::default(),
        (Kind::Byte, _) => byte(text).map_or_else(|| text.as_bytes().into(), |byte| [byte].into()),
        (Kind::Normal, Spelling::Spaced) => text.replace(SPACE, " ").into_bytes().into(),
        (Kind::Normal, Spelling::Alphabet) => {
            alphabet::bytes(text).unwrap_or_else(|| text.as_bytes().to_vec()).into()
        }
    }
}

/// The byte that `<0x0A>` stands for.
fn byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}
