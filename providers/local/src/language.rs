//! Language models of this machine: where their files are, what they need, and the workers that run them.

mod embedder;
mod installed;
mod measure;
mod place;
mod speaker;
mod speed;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use aigate_contract::settings::Size;
use aigate_neural::{chat, encoder::Encoder};

use crate::{
    config::{Bounds, Load},
    resident::{Memory, Residence, Resident, Worker},
};

pub use self::installed::{Installed, installed};
pub(crate) use self::{embedder::Embedder, speaker::Speaker};

/// Language models, by target.
#[derive(Debug)]
pub(crate) struct Language {
    folder: PathBuf,
    bounds: Bounds,
    memory: Arc<Memory>,
    chats: Known<Speaker>,
    encoders: Known<Embedder>,
}

/// What is known of targets; why one cannot be used as well.
struct Known<W: Worker>(RwLock<HashMap<String, Found<W>>>);

type Found<W> = Result<Arc<Resident<W>>, String>;

impl Language {
    pub(crate) fn new(folder: PathBuf, bounds: Bounds) -> Self {
        let memory = Memory::new(bounds.memory);
        Self { folder, bounds, memory, chats: Known::default(), encoders: Known::default() }
    }

    /// A chat model, not loaded yet.
    pub(crate) fn chat(&self, target: &str) -> Result<Arc<Resident<Speaker>>, String> {
        self.chats.get(target, || {
            let path = place::chat(&self.folder, target)?;
            let facts = chat::Facts::read(&path)?;
            let context = self.bounds.context.min(facts.context);
            let bytes = facts.memory(self.bounds.workers, context);
            self.resident(target, path, bytes, context)
        })
    }

    /// An embedding model, not loaded yet.
    pub(crate) fn encoder(&self, target: &str) -> Result<Arc<Resident<Embedder>>, String> {
        self.encoders.get(target, || {
            let path = place::encoder(&self.folder, target)?;
            Encoder::check(&path)?;
            let bytes = embedder::memory(&path, self.bounds.threads, self.bounds.workers)?;
            self.resident(target, path, bytes, 0)
        })
    }

    fn resident<W: Worker>(&self, target: &str, path: PathBuf, bytes: u64, context: usize) -> Found<W> {
        if bytes > self.memory.limit() {
            return Err(format!(
                "`{target}` needs {} of memory with {} workers and a context of {context} tokens, and `memory` is {}: raise \
                 it, or lower `context` or `workers`",
                Size(bytes),
                self.bounds.workers,
                Size(self.memory.limit())
            ));
        }
        let Bounds { workers, queue, threads, unload_after, .. } = self.bounds;
        let unload_after = unload_after.map(|after| after.0);
        let target = target.to_owned();
        let residence = Residence { target, path, bytes, workers, queue, threads, context, unload_after };
        Ok(Resident::new(residence, &self.memory))
    }

    /// Loads a model that is to be there from the start.
    pub(crate) fn prepare(&self, task: &str, target: &str) {
        if self.bounds.load != Load::Start {
            return;
        }
        match task {
            "chat" => self.chat(target).map(|resident| resident.warm()).unwrap_or_default(),
            "embed" => self.encoder(target).map(|resident| resident.warm()).unwrap_or_default(),
            _ => {}
        }
    }

    /// What an operator wants to know of a model before it is loaded.
    pub(crate) fn explain(&self, task: &str, target: &str) -> Vec<(&'static str, String)> {
        let lines = match task {
            "chat" => self.explain_chat(target),
            "embed" => self.explain_encoder(target),
            _ => Ok(Vec::new()),
        };
        lines.unwrap_or_default()
    }

    fn explain_chat(&self, target: &str) -> Result<Vec<(&'static str, String)>, String> {
        let resident = self.chat(target)?;
        let Residence { path, context, .. } = resident.residence();
        let facts = chat::Facts::read(path)?;
        let tools = if facts.tools { "takes tools" } else { "takes no tools" };
        let model = format!(
            "{}, {:.1} billion numbers in {}, {tools}",
            facts.architecture,
            facts.parameters as f64 / 1e9,
            facts.quantisation
        );
        let mut lines = vec![("file", path.display().to_string()), ("model", model)];
        lines.extend(self.explain_residence(resident.residence(), Some(*context)));
        lines.push(("speed", speed::of_chat(&facts, self.bounds.threads)));
        Ok(lines)
    }

    fn explain_encoder(&self, target: &str) -> Result<Vec<(&'static str, String)>, String> {
        let resident = self.encoder(target)?;
        let residence = resident.residence();
        let mut lines = vec![("folder", residence.path.display().to_string())];
        lines.extend(self.explain_residence(residence, None));
        Ok(lines)
    }

    fn explain_residence(
        &self,
        residence: &Residence,
        context: Option<usize>,
    ) -> Vec<(&'static str, String)> {
        let Residence { bytes, workers, queue, threads, unload_after, .. } = residence;
        let context = context.map(|tokens| format!(", conversations of {tokens} tokens")).unwrap_or_default();
        let when = match self.bounds.load {
            Load::FirstUse => "when first asked",
            Load::Start => "at the start",
        };
        let until = match unload_after {
            Some(after) => format!("until it was idle for {}", humantime::format_duration(*after)),
            None => "until another model needs the room".to_owned(),
        };
        vec![
            ("memory", format!("{} of {} when loaded{context}", Size(*bytes), Size(self.memory.limit()))),
            ("workers", format!("{workers} with {threads} threads, {queue} calls may wait")),
            ("loaded", format!("{when}, {until}")),
        ]
    }
}

/// Facts of a model's file or folder, for `aigate model show`; with how fast it is here, if that is to be measured.
pub(crate) fn facts(path: &Path, measured: bool) -> Result<Vec<(&'static str, serde_json::Value)>, String> {
    let mut facts = if path.is_dir() { embedder::facts(path)? } else { speaker::facts(path)? };
    if measured {
        facts.extend(measure::measure(path)?);
    }
    Ok(facts)
}

impl<W: Worker> Known<W> {
    fn get(&self, target: &str, find: impl FnOnce() -> Found<W>) -> Found<W> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(target) {
            return known.clone();
        }
        let found = find();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(target.to_owned()).or_insert(found).clone()
    }
}

impl<W: Worker> Default for Known<W> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<W: Worker> std::fmt::Debug for Known<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(known.keys()).finish()
    }
}
