//! The models `gpt2` and `gemma4`: byte-pair encoding. A text is split into words; in each, neighbours merge that the
//! file's list of merges has, the earliest in the list first.

use std::collections::HashMap;

use super::alphabet;
use super::merge::{Merged, Merger, NO_TOKEN, Symbol};
use super::pre::{Pre, Units};
use super::split::Splitter;
use super::vocabulary::{Kind, SPACE, Vocabulary};
use crate::gguf::Metadata;

#[derive(Debug)]
pub(super) struct Ordered {
    units: Units,
    splitter: Splitter,
    /// Whether a word that is a token is not taken apart.
    keeps_words: bool,
    /// Every text that merges can meet, by its bytes. Those that are no tokens have numbers from `size` on.
    texts: HashMap<Box<[u8]>, u32>,
    size: u32,
    /// What two neighbouring texts merge into.
    merges: HashMap<(u32, u32), Merged>,
    /// The tokens of single bytes.
    bytes: Vec<Option<u32>>,
}

impl Ordered {
    pub(super) fn read(metadata: &Metadata, vocabulary: &Vocabulary, pre: &Pre) -> Result<Self, String> {
        let listed =
            metadata.require("tokenizer.ggml.merges", Metadata::texts).map_err(|error| error.to_string())?;
        let mut model = Self {
            units: pre.units,
            splitter: Splitter::new(pre.rules)?,
            keeps_words: pre.keeps_words,
            texts: HashMap::with_capacity(vocabulary.size()),
            size: u32::try_from(vocabulary.size()).map_err(|_| "the file has too many tokens".to_owned())?,
            merges: HashMap::with_capacity(listed.len()),
            bytes: Vec::new(),
        };
        for (id, text, kind) in vocabulary.iter() {
            // Marks and byte names are never the sense of a text that spells them.
            if matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused)
                && let Some(bytes) = model.spelled(text)
            {
                model.texts.entry(bytes.into()).or_insert(id);
            }
        }
        for (rank, merge) in (0_u32..).zip(listed) {
            model.add(rank, merge)?;
        }
        model.bytes = (0..=255).map(|byte| model.byte_token(vocabulary, byte)).collect();
        Ok(model)
    }

    /// Appends the text's tokens.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let spaced;
        let text = match self.units {
            Units::Bytes => text,
            Units::Characters => {
                spaced = text.replace(' ', SPACE.encode_utf8(&mut [0; 4]));
                &spaced
            }
        };
        let mut merger = Merger::default();
        for word in self.splitter.split(text) {
            match self.whole(word) {
                Some(id) => ids.push(id),
                None => self.encode_word(word, &mut merger, ids)?,
            }
        }
        Ok(())
    }

    fn encode_word(&self, word: &str, merger: &mut Merger, ids: &mut Vec<u32>) -> Result<(), String> {
        let pair = |left: Symbol, right: Symbol| self.merges.get(&(left.id, right.id)).copied();
        for symbol in merger.merge(self.smallest(word), pair) {
            if symbol.id < self.size {
                ids.push(symbol.id);
                continue;
            }
            for byte in &word.as_bytes()[symbol.start..symbol.end] {
                let id = self.bytes.get(usize::from(*byte)).copied().flatten();
                ids.push(id.ok_or_else(|| {
                    format!("the model's vocabulary has no token for the byte 0x{byte:02x}")
                })?);
            }
        }
        Ok(())
    }

    /// The token of the whole word, if it is not to be taken apart.
    fn whole(&self, word: &str) -> Option<u32> {
        let kept =
            self.keeps_words || (self.units == Units::Characters && word.bytes().all(|byte| byte == b'\n'));
        let id = kept.then(|| self.texts.get(word.as_bytes()).copied()).flatten();
        id.filter(|id| *id < self.size)
    }

    /// The word's smallest pieces.
    fn smallest<'a>(&'a self, word: &'a str) -> impl Iterator<Item = Symbol> + 'a {
        let mut end = 0;
        std::iter::from_fn(move || {
            let start = end;
            let rest = word.as_bytes().get(start..).filter(|rest| !rest.is_empty())?;
            end += match self.units {
                Units::Bytes => 1,
                Units::Characters => word.get(start..)?.chars().next()?.len_utf8(),
            };
            let id = self.texts.get(rest.get(..end - start)?).copied().unwrap_or(NO_TOKEN);
            Some(Symbol { start, end, id })
        })
    }

    /// Adds a merge of the list: two texts with a space between them.
    fn add(&mut self, rank: u32, merge: &str) -> Result<(), String> {
        let wrong = || {
            format!("merge {rank} of the file's tokenizer is {merge:?}, not two texts with a space between")
        };
        // The first text is not empty, so a space at the very start belongs to it.
        let first = merge.chars().next().ok_or_else(wrong)?.len_utf8();
        let (rest_of_left, right) =
            merge.get(first..).and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?;
        let left = merge.get(..first + rest_of_left.len()).ok_or_else(wrong)?;
        let (Some(left), Some(right)) = (self.spelled(left), self.spelled(right)) else {
            return Err(wrong());
        };
        let both = [left.as_slice(), &right].concat();
        let (left, right, id) = (self.number(left)?, self.number(right)?, self.number(both)?);
        self.merges.entry((left, right)).or_insert(Merged { rank, id });
        Ok(())
    }

    /// The number of a text that merges can meet.
    fn number(&mut self, text: Vec<u8>) -> Result<u32, String> {
        let next = u32::try_from(self.texts.len()).ok().and_then(|texts| self.size.checked_add(texts));
        let next = next.filter(|next| *next != NO_TOKEN).ok_or("the file has too many merges")?;
        Ok(match self.texts.get(text.as_slice()) {
            Some(number) => *number,
            None => *self.texts.entry(text.into()).or_insert(next),
        })
    }

    /// The bytes that a token's or a merge's text stands for. `None`: it does not come out of merging.
    fn spelled(&self, text: &str) -> Option<Vec<u8>> {
        match self.units {
            Units::Bytes => alphabet::bytes(text),
            Units::Characters => Some(text.as_bytes().to_vec()),
        }
    }

    fn byte_token(&self, vocabulary: &Vocabulary, byte: u8) -> Option<u32> {
        match self.units {
            Units::Bytes => self.texts.get([byte].as_slice()).copied().filter(|id| *id < self.size),
            Units::Characters => vocabulary.find(&format!("<0x{byte:02X}>")),
        }
    }
}
