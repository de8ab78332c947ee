//! What a GGUF file says of itself, and what it takes to run it: read from its header alone.

use std::{collections::BTreeMap, path::Path};

use super::{header_length, template, tokenizer};
use crate::{
    decoder::{BATCH, Decoder, Shape},
    gguf::{File, kind_name},
    kernels::Format,
    tools::Style,
};

/// A chat model's facts. Absent is what the file does not say.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name, as its makers gave it.
    pub name: Option<String>,
    /// `general.architecture`.
    pub architecture: String,
    /// Numbers that were learnt.
    pub parameters: u64,
    /// The format of most weights, e.g. `Q4_K`.
    pub quantisation: &'static str,
    /// Layers.
    pub layers: usize,
    /// The most tokens that it was trained for.
    pub context: usize,
    /// Tokens of its vocabulary.
    pub vocabulary: usize,
    /// Whether its template takes tools, in a form that is understood.
    pub tools: bool,
    /// Its licence.
    pub licence: Option<String>,
    /// Bytes of its weights, in memory as on disk.
    pub weights: u64,
    /// Bytes that a token of a conversation takes.
    pub per_token: u64,
    /// Bytes that the vocabulary takes, and a session beside its conversation.
    vocabulary_bytes: u64,
    workspace: u64,
    /// Bytes of the largest tensor: it is in memory twice for a moment, as read and as the kernels want it.
    largest: u64,
}

impl Facts {
    /// Reads the facts, and checks all that can be checked without the weights.
    ///
    /// # Errors
    /// Says what is wrong with the file, or what of it is not supported.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path)?;
        Self::of(&file).map_err(|why| match why.contains(&*path.to_string_lossy()) {
            true => why,
            false => format!("{}: {why}", path.display()),
        })
    }

    fn of(file: &File) -> Result<Self, String> {
        let metadata = file.metadata();
        let shape = Shape::read(metadata)?;
        let template = template(metadata)?;
        let vocabulary = tokenizer(file)?.size();
        Decoder::check(file, &shape)?;
        let text = |key: &str| Ok::<_, String>(metadata.text(key)?.map(str::to_owned));
        let mut by_format: BTreeMap<u32, u64> = BTreeMap::new();
        for tensor in file.tensors() {
            if Format::from_ggml(tensor.kind).is_none() {
                let kind = kind_name(tensor.kind).unwrap_or("something unknown");
                return Err(format!(
                    "the tensor {} is quantised as {kind}, which is not supported",
                    tensor.name
                ));
            }
            *by_format.entry(tensor.kind).or_default() += tensor.bytes;
        }
        let most = by_format.iter().max_by_key(|(_, bytes)| **bytes).map_or(0, |(kind, _)| *kind);
        let numbers = file.tensors().map(|tensor| tensor.shape.iter().product::<u64>());
        Ok(Self {
            name: text("general.name")?,
            architecture: text("general.architecture")?.unwrap_or_default(),
            parameters: numbers.sum(),
            quantisation: kind_name(most).unwrap_or("unknown"),
            layers: shape.layers,
            context: shape.context,
            vocabulary,
            tools: template.takes_tools() && Style::of(template.source()).is_some(),
            licence: text("general.license")?,
            weights: file.tensors().map(|tensor| tensor.bytes).sum(),
            per_token: shape.cache_bytes_per_token(),
            // Texts, ids, merges and the tree for constraints: measured, beside the header's length.
            vocabulary_bytes: 14 * header_length(file),
            workspace: workspace(file, &shape, vocabulary),
            largest: file.tensors().map(|tensor| tensor.bytes).max().unwrap_or(0),
        })
    }

    /// Bytes of memory with so many sessions of so many tokens each.
    pub fn memory(&self, sessions: usize, context: usize) -> u64 {
        let session = self.workspace + self.per_token * context as u64;
        // Rows that are padded, and what an allocator rounds up.
        let rounding = self.weights / 32;
        self.weights + self.largest + rounding + self.vocabulary_bytes + session * sessions as u64
    }
}

/// Bytes of what a session computes with.
fn workspace(file: &File, shape: &Shape, vocabulary: usize) -> u64 {
    let feed = file.tensor("blk.0.ffn_up.weight").and_then(|tensor| tensor.shape.get(1).copied());
    let feed = feed.unwrap_or(0) as usize;
    let heads = (2 * shape.heads + 2 * shape.kv_heads) * shape.head_width;
    // Hidden, normalised and added states, heads, the two halves of the gate, and the input once more, quantised.
    let batch = BATCH * (3 * shape.width + heads + 2 * feed + shape.width.max(feed));
    // Logits, and what the sampler makes of them.
    4 * (batch + 6 * vocabulary) as u64
}
