//! The model `llama`: neighbours merge if their text is a token, the token of the highest score first. What is no
//! token then becomes the tokens of its bytes. So does SentencePiece's byte-pair encoding.

use std::collections::HashMap;

use super::merge::{Merged, Merger, NO_TOKEN, Symbol};
use super::vocabulary::{Kind, SPACE, Vocabulary};
use crate::gguf::Metadata;

#[derive(Debug)]
pub(super) struct Scored {
    /// Tokens that may come out of merging, by text.
    tokens: HashMap<Box<str>, Merged>,
    /// The length of the longest of them, in bytes.
    longest: usize,
    /// The tokens of single bytes.
    bytes: Vec<Option<u32>>,
    /// Whether a text, which is at the start or after a special token, gets a space before it.
    adds_space: bool,
}

impl Scored {
    pub(super) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, String> {
        let text = |error: crate::gguf::Error| error.to_string();
        let scores = metadata.require("tokenizer.ggml.scores", Metadata::floats).map_err(text)?;
        if scores.len() != vocabulary.size() {
            return Err(format!(
                "the file has {} tokens and {} scores for them",
                vocabulary.size(),
                scores.len()
            ));
        }
        let mut tokens: HashMap<Box<str>, Merged> = HashMap::with_capacity(vocabulary.size());
        for ((id, text, kind), score) in vocabulary.iter().zip(scores) {
            // Marks and byte names are never the sense of a text that spells them.
            if matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused) {
                tokens.insert(text.into(), Merged { rank: rank(score), id });
            }
        }
        Ok(Self {
            longest: tokens.keys().map(|text| text.len()).max().unwrap_or(0),
            tokens,
            bytes: (0..=255).map(|byte| byte_token(vocabulary, byte)).collect(),
            adds_space: metadata.bool("tokenizer.ggml.add_space_prefix").map_err(text)?.unwrap_or(true),
        })
    }

    /// Appends the text's tokens.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let mut spaced = String::with_capacity(text.len() + text.len() / 2);
        spaced.extend(self.adds_space.then_some(SPACE));
        spaced.extend(text.chars().map(|character| if character == ' ' { SPACE } else { character }));
        let mut merger = Merger::default();
        let pair = |left: Symbol, right: Symbol| self.token(&spaced, left.start, right.end);
        for symbol in merger.merge(self.characters(&spaced), pair) {
            match symbol.id {
                NO_TOKEN => self.encode_bytes(&spaced.as_bytes()[symbol.start..symbol.end], ids)?,
                id => ids.push(id),
            }
        }
        Ok(())
    }

    fn characters<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Symbol> + 'a {
        text.char_indices().map(|(start, character)| {
            let end = start + character.len_utf8();
            Symbol { start, end, id: self.token(text, start, end).map_or(NO_TOKEN, |token| token.id) }
        })
    }

    fn token(&self, text: &str, start: usize, end: usize) -> Option<Merged> {
        if end - start > self.longest {
            return None;
        }
        self.tokens.get(text.get(start..end)?).copied()
    }

    fn encode_bytes(&self, bytes: &[u8], ids: &mut Vec<u32>) -> Result<(), String> {
        for byte in bytes {
            let id = self.bytes.get(usize::from(*byte)).copied().flatten();
            ids.push(
                id.ok_or_else(|| format!("the model's vocabulary has no token for the byte 0x{byte:02x}"))?,
            );
        }
        Ok(())
    }
}

/// The token of a byte: `<0x0A>`, or else the character itself.
fn byte_token(vocabulary: &Vocabulary, byte: u8) -> Option<u32> {
    let alone = || vocabulary.find(byte.is_ascii().then(|| char::from(byte))?.encode_utf8(&mut [0; 4]));
    vocabulary.find(&format!("<0x{byte:02X}>")).or_else(alone)
}

/// Higher scores as smaller numbers.
fn rank(score: f32) -> u32 {
    // The sum makes a negative zero positive: the two are equal.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_scores_have_smaller_ranks() {
        let scores = [f32::INFINITY, 2.5, 1e-3, 0.0, -1e-3, -1.0, -31_000.0, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
        assert_eq!(rank(0.0), rank(-0.0));
    }
}
