//! The merged configuration, before variables were filled in: to tell what changed, and which version it is.
//!
//! There may be a hundred thousand keys: each of them is kept as one text, which takes a tenth of the memory of its values.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{diff::differences, plan::Print};

/// A merged configuration.
#[derive(Clone, Debug)]
pub struct Tree {
    /// All but the callers' keys.
    pub(super) rest: Value,
    keys: Arc<[Entry]>,
}

/// A caller's key as it is written: its name, and its table as JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, and then the table: one text takes less memory than two.
    text: Arc<str>,
    split: u32,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Entry {
    fn new(name: &str, value: &Value) -> Self {
        let split = u32::try_from(name.len()).unwrap_or(u32::MAX);
        Self { text: format!("{name}{value}").into(), split }
    }

    fn parts(&self) -> (&str, &str) {
        self.text.split_at_checked(self.split as usize).unwrap_or_default()
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.parts().0
    }

    /// Its table.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(self.parts().1).unwrap_or_default()
    }
}

fn sort(keys: &mut [Entry]) {
    keys.sort_unstable_by(|one, other| one.parts().cmp(&other.parts()));
}

impl Tree {
    /// Of merged values.
    pub(super) fn new(mut rest: Value) -> Self {
        let mut keys = Vec::new();
        take_keys(&mut rest, &mut keys);
        // Maps keep the order in which they were filled, which is by chance: faults and versions are not to depend on it.
        rest.sort_all_objects();
        sort(&mut keys);
        Self { rest, keys: keys.into() }
    }

    /// The same with more keys; none where a name stands twice.
    pub(super) fn with(self, mut keys: Vec<Entry>) -> Option<Self> {
        if self.rest.get("keys").is_some() {
            return None;
        }
        keys.extend_from_slice(&self.keys);
        sort(&mut keys);
        let twice = keys.iter().zip(keys.iter().skip(1)).any(|(one, other)| one.name() == other.name());
        (!twice).then(|| Self { rest: self.rest, keys: keys.into() })
    }

    /// The callers' keys, sorted by name.
    pub(super) fn keys(&self) -> &Arc<[Entry]> {
        &self.keys
    }

    /// The same, where keys that are as they were `before` take no memory of their own.
    pub(super) fn after(self, before: &Self) -> Self {
        let mut known = before.keys.iter().peekable();
        let one = |entry: &Entry| {
            while known.next_if(|known| known.name() < entry.name()).is_some() {}
            known.next_if(|known| *known == entry).unwrap_or(entry).clone()
        };
        let keys = self.keys.iter().map(one).collect();
        Self { keys, ..self }
    }

    /// A section.
    pub fn section(&self, name: &str) -> Option<&Map<String, Value>> {
        self.rest.get(name).and_then(Value::as_object)
    }

    /// The SHA-256 of the callers' keys.
    pub(super) fn keys_print(&self) -> Print {
        let mut digest = Sha256::new();
        for entry in self.keys.iter() {
            digest.update(entry.split.to_le_bytes());
            digest.update(&*entry.text);
            digest.update([0]);
        }
        digest.finalize().into()
    }

    /// The beginning of its SHA-256.
    pub(super) fn version(&self, keys: &Print) -> String {
        let digest = Sha256::new().chain_update(self.rest.to_string()).chain_update(keys).finalize();
        digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What is different in `next`, in words.
    pub fn changes(&self, next: &Self) -> Vec<String> {
        let (mut before, mut after) = (Map::new(), Map::new());
        let (mut old, mut new) = (&*self.keys, &*next.keys);
        loop {
            let order = match (old.first(), new.first()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => one.name().cmp(other.name()),
            };
            let same = order == Ordering::Equal && old.first() == new.first();
            let take = |from: &mut &[Entry], to: &mut Map<String, Value>| {
                if let Some((first, others)) = from.split_first() {
                    *from = others;
                    if !same {
                        to.insert(first.name().to_owned(), first.value());
                    }
                }
            };
            if order.is_le() {
                take(&mut old, &mut before);
            }
            if order.is_ge() {
                take(&mut new, &mut after);
            }
        }
        differences((&self.rest, &next.rest), (&Value::Object(before), &Value::Object(after)))
    }
}

/// Takes the callers' keys out of a tree, if they are a table.
pub(super) fn take_keys(tree: &mut Value, entries: &mut Vec<Entry>) {
    let Some(fields) = tree.as_object_mut() else { return };
    let Some(Value::Object(keys)) = fields.get_mut("keys") else { return };
    for (name, mut value) in std::mem::take(keys) {
        value.sort_all_objects();
        entries.push(Entry::new(&name, &value));
    }
    fields.remove("keys");
}
