//! Who calls.

use std::sync::Arc;

/// A caller that was let in by a key or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's name in the config; for a token: `ISSUER:SUBJECT`, the issuer by its name in the config.
    pub name: Arc<str>,
    /// The key's labels, such as `team` and `project`, sorted by name.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

impl Caller {
    /// A caller of whom nothing but the name is known.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), labels: Vec::new() }
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&Arc<str>> {
        self.labels.iter().find(|(label, _)| **label == *name).map(|(_, value)| value)
    }
}
