//! Settings of a provider with `kind = "local"`.

use std::path::{Path, PathBuf};

use aigate_contract::settings::{Fault, Interval, Size};
use schemars::JsonSchema;
use serde::Deserialize;

/// This machine. Needs nothing. All but `folder` is for language models (chat and embeddings).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// The folder in which models are looked for. Default `models`.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// The most memory of all loaded language models together, what they compute with included. Default `4GiB`.
    #[serde(default)]
    pub memory: Option<Size>,
    /// Answers that a language model computes at once; each takes the memory of a conversation. Default 1.
    #[serde(default)]
    pub workers: Option<usize>,
    /// Threads of each worker. Default: the machine's cores, divided among the workers.
    #[serde(default)]
    pub threads: Option<usize>,
    /// Calls that may wait for a worker of a language model; more are refused at once. Default 16.
    #[serde(default)]
    pub queue: Option<usize>,
    /// The most tokens of a conversation, the answer included. Default 4096, or what the model was trained for if that is less.
    #[serde(default)]
    pub context: Option<usize>,
    /// When a language model is read into memory. Default `first_use`.
    #[serde(default)]
    pub load: Option<Load>,
    /// A language model that nobody asked for so long leaves the memory. Default: it stays until another one needs the room.
    #[serde(default)]
    pub unload_after: Option<Interval>,
}

/// When a language model is read into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// When a call needs it.
    #[default]
    FirstUse,
    /// When the gateway starts.
    Start,
}

/// Settings of language models, complete.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "language"), expect(dead_code, reason = "checked, for no language model"))]
pub(crate) struct Bounds {
    pub(crate) memory: u64,
    pub(crate) workers: usize,
    pub(crate) threads: usize,
    pub(crate) queue: usize,
    pub(crate) context: usize,
    pub(crate) load: Load,
    pub(crate) unload_after: Option<Interval>,
}

impl Config {
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| Path::new("models").to_owned())
    }

    /// The bounds of language models.
    pub(crate) fn bounds(&self) -> Result<Bounds, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut within = |key: &str, value: Option<usize>, usual: usize, most: usize| {
            let value = value.unwrap_or(usual);
            if !(1..=most).contains(&value) {
                faults.push(Fault::at(key, format!("must be between 1 and {most}, not {value}")));
            }
            value
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = within("workers", self.workers, 1, 64);
        let threads = within("threads", self.threads, (cores / workers.max(1)).max(1), 256);
        let queue = match self.queue {
            Some(0) => 0,
            queue => within("queue", queue, 16, 10_000),
        };
        let context = within("context", self.context, 4096, 1 << 20);
        if self.unload_after.is_some_and(|after| after.0.is_zero()) {
            faults.push(Fault::at("unload_after", "must be longer than zero"));
        }
        let memory = self.memory.map_or(4 << 30, |size| size.0);
        let (load, unload_after) = (self.load.unwrap_or_default(), self.unload_after);
        let bounds = Bounds { memory, workers, threads, queue, context, load, unload_after };
        if faults.is_empty() { Ok(bounds) } else { Err(faults) }
    }
}
