//! Finds special tokens in a text before anything merges.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::Specials;
use super::vocabulary::{Kind, Vocabulary};
use crate::gguf::Metadata;

/// The most bytes that a file's special tokens may have together: a search takes many times their memory. Real
/// vocabularies have a fiftieth of it.
const MOST_BYTES: usize = 4 << 20;

/// Cuts texts at special tokens.
#[derive(Debug)]
pub(super) struct Finder {
    /// For [`Specials::Parse`].
    all: Vec<Length>,
    /// For [`Specials::Plain`].
    plain: Vec<Length>,
    /// Sorted ids of the tokens that swallow the space after them.
    trimming: Vec<u32>,
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment<'a> {
    /// Not empty.
    Text(&'a str),
    Token {
        id: u32,
        /// Whether the token swallows the space after it.
        trims_after: bool,
    },
}

/// The special tokens of one length. Longer tokens go before shorter ones wherever they stand in the text, so each
/// length has its own search.
#[derive(Debug)]
struct Length {
    search: AhoCorasick,
    ids: Vec<u32>,
}

impl Finder {
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, String> {
        let is_special = |kind| matches!(kind, Kind::Control | Kind::Unknown | Kind::UserDefined);
        let name = metadata.text("general.name").map_err(|error| error.to_string())?.unwrap_or_default();
        let name = name.to_lowercase();
        let trimming = if name.contains("phi-3") || name.contains("phi3") {
            trimming(vocabulary, is_special)
        } else {
            Vec::new()
        };
        Ok(Self {
            all: lengths(vocabulary, is_special)?,
            plain: lengths(vocabulary, |kind| kind == Kind::UserDefined)?,
            trimming,
        })
    }

    /// The text's fragments, in order.
    pub(super) fn cut<'a>(&self, text: &'a str, specials: Specials) -> Vec<Fragment<'a>> {
        let whole = Vec::from_iter((!text.is_empty()).then_some(Fragment::Text(text)));
        let lengths = match specials {
            Specials::Parse => &self.all,
            Specials::Plain => &self.plain,
        };
        lengths.iter().fold(whole, |fragments, length| {
            let mut cut = Vec::with_capacity(fragments.len());
            for fragment in fragments {
                match fragment {
                    Fragment::Text(text) => self.cut_at(length, text, &mut cut),
                    token @ Fragment::Token { .. } => cut.push(token),
                }
            }
            cut
        })
    }

    fn cut_at<'a>(&self, length: &Length, text: &'a str, into: &mut Vec<Fragment<'a>>) {
        let mut rest = 0;
        for found in length.search.find_iter(text) {
            let before = text.get(rest..found.start()).filter(|before| !before.is_empty());
            into.extend(before.map(Fragment::Text));
            if let Some(id) = length.ids.get(found.pattern().as_usize()).copied() {
                into.push(Fragment::Token { id, trims_after: self.trimming.binary_search(&id).is_ok() });
            }
            rest = found.end();
        }
        into.extend(text.get(rest..).filter(|rest| !rest.is_empty()).map(Fragment::Text));
    }
}

/// Phi 3's files do not say that the space after their special tokens is no text; llama.cpp knows.
fn trimming(vocabulary: &Vocabulary, is_special: impl Fn(Kind) -> bool) -> Vec<u32> {
    let trims = |text: &str, kind| match text {
        "<unk>" | "<s>" | "<|endoftext|>" => false,
        "</s>" => true,
        _ => is_special(kind),
    };
    vocabulary.iter().filter(|(_, text, kind)| trims(text, *kind)).map(|(id, ..)| id).collect()
}

/// The searches for tokens of these kinds, the longest first.
fn lengths(vocabulary: &Vocabulary, wanted: impl Fn(Kind) -> bool) -> Result<Vec<Length>, String> {
    let mut by_length: BTreeMap<Reverse<usize>, Vec<(u32, &str)>> = BTreeMap::new();
    let mut bytes = 0;
    for (id, text, _) in vocabulary.iter().filter(|(.., kind)| wanted(*kind)) {
        bytes += text.len();
        if bytes > MOST_BYTES {
            return Err(format!("the file's special tokens have more than {MOST_BYTES} bytes together"));
        }
        by_length.entry(Reverse(text.len())).or_default().push((id, text));
    }
    by_length.into_values().map(Length::new).collect()
}

impl Length {
    fn new(tokens: Vec<(u32, &str)>) -> Result<Self, String> {
        let (ids, texts): (Vec<u32>, Vec<&str>) = tokens.into_iter().unzip();
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(texts)
            .map_err(|error| format!("the file's special tokens cannot be searched for: {error}"))?;
        Ok(Self { search, ids })
    }
}
