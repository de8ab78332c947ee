//! Text to vector with BERT-class models, from a folder as sentence-transformers saves it.
//!
//! Weights are read into memory as f32, whatever their type in the file; a file that is changed later does no harm.
//! Results equal those of sentence-transformers up to rounding. Texts are taken as they are (not stripped of blanks at
//! their ends), as sentence-transformers does since version 6. A folder without modules.json is a plain transformer: its
//! tokens' vectors are averaged, and [`Encoder::assumes_mean`] says so.

use std::fmt;
use std::path::Path;

use config::Config;
use head::Head;
use layout::Layout;
use network::Network;
use rayon::prelude::*;
use vocabulary::Vocabulary;
use weights::Weights;

mod attention;
mod config;
mod head;
mod layout;
mod load;
mod network;
mod product;
mod settings;
mod specials;
mod threads;
mod vector;
mod vocabulary;
mod weights;

pub use threads::Threads;
pub use vocabulary::Tokens;

/// Tokens worked on together; one text may have more.
const BATCH: usize = 2048;

/// A model in memory. Any number of callers may use it at once.
#[derive(Debug)]
pub struct Encoder {
    vocabulary: Vocabulary,
    network: Network,
    head: Head,
    assumes_mean: bool,
}

/// Memory that a model takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// As long as it is open.
    pub weights: u64,
    /// While one batch is embedded, at most.
    pub scratch: u64,
}

/// Why there are no vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbedError {
    /// The caller's `cancelled` said so.
    Cancelled,
    /// One of the inputs does not fit the model.
    Input(String),
    /// The weights make infinities or NaN of this input (by its place in the batch).
    NotFinite(usize),
}

impl Encoder {
    /// Reads a model. The error says which file, tensor or setting is wrong.
    pub fn open(folder: &Path) -> Result<Encoder, String> {
        let layout = Layout::read(folder)?;
        let config = Config::read(&layout.transformer)?;
        let vocabulary = Vocabulary::open(&layout, config.vocabulary, config.longest())?;
        let mut weights = Weights::open(&layout.transformer, config.family.prefix())?;
        let head = Head::read(&layout, config.hidden)?;
        let network = load::network(&config, &mut weights, vocabulary.longest())?;
        Ok(Encoder { vocabulary, network, head, assumes_mean: layout.pooling.is_none() })
    }

    /// Checks what [`Encoder::open`] would find, but for the tensors' shapes: settings, tokenizer, the weights' headers.
    pub fn check(folder: &Path) -> Result<(), String> {
        let layout = Layout::read(folder)?;
        let config = Config::read(&layout.transformer)?;
        Vocabulary::open(&layout, config.vocabulary, config.longest())?;
        Weights::open(&layout.transformer, config.family.prefix())?;
        Head::read(&layout, config.hidden).map(drop)
    }

    /// The memory that [`Encoder::open`] and [`Encoder::embed`] on so many threads would take, from the settings alone. What linear layers
    /// after the pooling hold, a few megabytes at most, is not in it.
    pub fn estimate(folder: &Path, threads: usize) -> Result<Estimate, String> {
        let layout = Layout::read(folder)?;
        let config = Config::read(&layout.transformer)?;
        let bytes = |numbers: Option<usize>| numbers.and_then(|numbers| (numbers as u64).checked_mul(4));
        let longest = config.longest();
        let scratch = network::scratch_numbers(&config, longest.max(BATCH), longest, threads);
        let both = bytes(load::numbers(&config, longest)).zip(bytes(scratch));
        let (weights, scratch) =
            both.ok_or_else(|| format!("{}: a model of these sizes fits no memory", folder.display()))?;
        Ok(Estimate { weights, scratch })
    }

    /// Numbers of a vector.
    pub fn dimensions(&self) -> usize {
        self.head.dimensions()
    }

    /// Most tokens of a text, special ones included.
    pub fn max_tokens(&self) -> usize {
        self.vocabulary.longest()
    }

    /// Whether the folder does not say how to make one vector of the tokens', so that their mean is taken.
    pub fn assumes_mean(&self) -> bool {
        self.assumes_mean
    }

    /// The ids of a text, after the model's own prompt if it has one. Longer texts are cut, and the result says so.
    pub fn tokenize(&self, text: &str) -> Result<Tokens, String> {
        self.vocabulary.tokenize(text)
    }

    /// The same for a text given as ids of this model's vocabulary: special ones are put around them.
    pub fn tokenize_ids(&self, ids: &[u32]) -> Result<Tokens, String> {
        self.vocabulary.tokenize_ids(ids)
    }

    /// One vector of [`Encoder::dimensions`] numbers for each input, in order. `cancelled` is asked between layers.
    pub fn embed(
        &self,
        team: &Threads,
        batch: &[Tokens],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        for tokens in batch {
            self.vocabulary.check(&tokens.ids).map_err(EmbedError::Input)?;
        }
        let mut vectors = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest));
            let texts: Vec<&[u32]> = now.iter().map(|tokens| tokens.ids.as_slice()).collect();
            let states = self.network.run(team, &texts, cancelled).ok_or(EmbedError::Cancelled)?;
            vectors.extend(self.pool(team, &texts, &states));
            rest = later;
        }
        match vectors.iter().position(|vector| !vector.iter().all(|value| value.is_finite())) {
            Some(index) => Err(EmbedError::NotFinite(index)),
            None => Ok(vectors),
        }
    }

    fn pool(&self, team: &Threads, texts: &[&[u32]], states: &[f32]) -> Vec<Vec<f32>> {
        let hidden = self.network.hidden;
        let mut rest = states;
        let mut rows = Vec::with_capacity(texts.len());
        for text in texts {
            let (own, after) = rest.split_at(text.len() * hidden);
            rows.push(own);
            rest = after;
        }
        team.run(|| rows.into_par_iter().map(|rows| self.head.apply(rows, hidden)).collect())
    }
}

/// How many of the first inputs are worked on together: at least one.
fn fitting(batch: &[Tokens]) -> usize {
    let mut tokens = 0;
    let fit = batch.iter().take_while(|input| {
        tokens += input.ids.len();
        tokens <= BATCH
    });
    fit.count().max(1)
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmbedError::Cancelled => f.write_str("cancelled"),
            EmbedError::Input(problem) => f.write_str(problem),
            EmbedError::NotFinite(index) => {
                write!(f, "the model's numbers overflow for input {index}: its weights are not fit for f32")
            }
        }
    }
}

impl std::error::Error for EmbedError {}

#[cfg(test)]
mod tests;
