//! A model's tokens as the grammar engine needs them, built once for each model and shared by its sequences.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::api::GrammarInit;
use llguidance::toktrie::{
    ApproximateTokEnv, InferenceCapabilities, Recognizer, SimpleVob, TokRxInfo, TokTrie,
};
use llguidance::{ParserFactory, TokenParser};

use super::guard::Guard;

/// More tokens than the engine's tree of them can number.
const MOST_TOKENS: usize = (1 << 24) - 2;
/// The longest piece that the engine's tree holds, in bytes; longer ones are never allowed.
const LONGEST_PIECE: usize = 1000;

/// A model's vocabulary, prepared for constraints. Clones share one copy.
#[derive(Clone)]
pub struct Vocabulary(Arc<Inner>);

struct Inner {
    factory: ParserFactory,
    controls: HashMap<Vec<u8>, u32>,
    ends: Vec<u32>,
    /// The tokens that the guard allows, for each of its states that was met.
    guarded: Mutex<HashMap<Guard, Arc<SimpleVob>>>,
}

impl Vocabulary {
    /// `pieces` holds the bytes of each token, by id; for a token of which `controls` is true, the control
    /// token's text. `ends` are the tokens that end a sequence.
    ///
    /// Under a constraint a control token is never allowed as text, nor a piece that no UTF-8 text holds (the
    /// byte 0xFF).
    pub fn new(
        pieces: Vec<Vec<u8>>,
        controls: &dyn Fn(u32) -> bool,
        ends: Vec<u32>,
    ) -> Result<Vocabulary, String> {
        if pieces.is_empty() || pieces.len() > MOST_TOKENS {
            return Err(format!("a vocabulary of {} tokens, it must have 1 to {MOST_TOKENS}", pieces.len()));
        }
        if ends.is_empty() {
            return Err("no token ends a sequence, so that no constraint can end".into());
        }
        if let Some(end) = ends.iter().find(|end| **end as usize >= pieces.len()) {
            return Err(format!("token {end} ends a sequence, the vocabulary has {} tokens", pieces.len()));
        }
        let mut names = HashMap::new();
        let words: Vec<Vec<u8>> =
            (0u32..).zip(pieces).map(|(token, piece)| word(token, piece, controls, &mut names)).collect();
        let info = TokRxInfo::new(u32::try_from(words.len()).map_err(|error| error.to_string())?, ends[0]);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        let inner = Inner { factory: factory(trie)?, controls: names, ends, guarded: Mutex::default() };
        Ok(Vocabulary(Arc::new(inner)))
    }

    /// How many tokens there are.
    pub fn size(&self) -> usize {
        self.trie().vocab_size()
    }

    /// The control token of this text.
    pub(super) fn control(&self, text: &str) -> Option<u32> {
        self.0.controls.get(text.as_bytes()).copied()
    }

    pub(super) fn is_end(&self, token: u32) -> bool {
        self.0.ends.contains(&token)
    }

    pub(super) fn parser(&self, grammar: GrammarInit) -> Result<TokenParser, impl fmt::Display + use<>> {
        self.0.factory.create_parser_from_init_default(grammar)
    }

    /// The guard's state after a token of the vocabulary.
    pub(super) fn moved(&self, guard: Guard, token: u32) -> Guard {
        let bytes = self.trie().token(token);
        match bytes.first() {
            Some(&TokTrie::SPECIAL_TOKEN_MARKER) => guard,
            _ => bytes.iter().fold(guard, |guard, byte| guard.push(*byte).0),
        }
    }

    /// The tokens that the guard allows next.
    pub(super) fn allowed_by(&self, guard: Guard) -> Arc<SimpleVob> {
        let guard = guard.blurred();
        let mut kept = self.0.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        let set = kept.entry(guard).or_insert_with(|| {
            let trie = self.trie();
            let mut set = trie.alloc_token_set();
            trie.add_bias(&mut Walk { states: vec![Some(guard)] }, &mut set, &[]);
            self.0.ends.iter().for_each(|end| set.allow_token(*end));
            Arc::new(set)
        });
        Arc::clone(set)
    }

    fn trie(&self) -> &TokTrie {
        self.0.factory.tok_env().tok_trie()
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Vocabulary")
            .field("size", &self.size())
            .field("ends", &self.0.ends)
            .finish_non_exhaustive()
    }
}

/// What the engine's tree holds for a token: its bytes, or for a control token its text behind the engine's
/// marker, a byte that no text holds.
fn word(
    token: u32,
    piece: Vec<u8>,
    controls: &dyn Fn(u32) -> bool,
    names: &mut HashMap<Vec<u8>, u32>,
) -> Vec<u8> {
    if controls(token) {
        let marked = [&[TokTrie::SPECIAL_TOKEN_MARKER], piece.as_slice()].concat();
        names.insert(piece, token);
        return if marked.len() <= LONGEST_PIECE { marked } else { Vec::new() };
    }
    let fits = piece.len() <= LONGEST_PIECE && !piece.contains(&TokTrie::SPECIAL_TOKEN_MARKER);
    if fits { piece } else { Vec::new() }
}

fn factory(trie: TokTrie) -> Result<ParserFactory, String> {
    // Not canonical: the engine offers tokens, it does not force a tokenization of its own.
    let environment: llguidance::toktrie::TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let slices = llguidance::earley::SlicedBiasComputer::json_slices();
    let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
        .map_err(|error| error.to_string())?;
    // The engine would otherwise print its warnings and put its whole state into errors.
    factory.quiet();
    factory.limits_mut().verbose_errors = false;
    Ok(factory)
}

/// The guard as the engine's tree walks its tokens: a stack of states, `None` inside a control token's name.
struct Walk {
    states: Vec<Option<Guard>>,
}

impl Recognizer for Walk {
    fn pop_bytes(&mut self, count: usize) {
        self.states.truncate(self.states.len().saturating_sub(count));
    }

    fn collapse(&mut self) {
        self.states.drain(..self.states.len().saturating_sub(1));
    }

    fn trie_finished(&mut self) {
        self.states.truncate(1);
    }

    fn try_push_byte(&mut self, byte: u8) -> bool {
        let (state, within) = match self.states.last() {
            Some(Some(guard)) if byte != TokTrie::SPECIAL_TOKEN_MARKER => {
                let (state, within) = guard.push(byte);
                (Some(state), within)
            }
            _ => (None, true),
        };
        if within {
            self.states.push(state);
        }
        within
    }
}
