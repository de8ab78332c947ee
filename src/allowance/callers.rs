//! What each caller is allowed: by its key's name and by its labels.

use std::{collections::HashMap, sync::Arc};

use aigate_contract::Caller;

use super::Ration;

/// Limits and budgets of one owner.
type Rations = Arc<[Arc<Ration>]>;
/// By a name.
type ByName = HashMap<Arc<str>, Rations>;

/// What each caller is allowed.
#[derive(Debug, Default)]
pub struct Callers {
    /// By the key's name.
    keys: ByName,
    /// By a label's name, then by its value.
    labels: HashMap<Arc<str>, ByName>,
}

impl Callers {
    /// Adds what a key is allowed.
    pub fn key(&mut self, name: &Arc<str>, rations: Vec<Arc<Ration>>) {
        if !rations.is_empty() {
            self.keys.insert(Arc::clone(name), rations.into());
        }
    }

    /// Adds what all keys with a label are allowed together.
    pub fn label(&mut self, name: &Arc<str>, value: &Arc<str>, rations: Vec<Arc<Ration>>) {
        if !rations.is_empty() {
            self.labels.entry(Arc::clone(name)).or_default().insert(Arc::clone(value), rations.into());
        }
    }

    /// Everything that bounds a caller.
    pub fn of<'a>(&'a self, caller: Option<&'a Caller>) -> impl Iterator<Item = &'a Arc<Ration>> {
        let own = caller.and_then(|caller| self.keys.get(&caller.name));
        let labels = caller.into_iter().flat_map(|caller| &caller.labels);
        let shared = labels.filter_map(|(name, value)| self.labels.get(name)?.get(value));
        own.into_iter().chain(shared).flat_map(|rations| rations.iter())
    }
}
