//! What keys are called: `{prefix}:kind:name`. The braces put all of them into one slot of a cluster.

use std::fmt::Write;

pub(crate) struct Keys {
    prefix: String,
    replica: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(allowed) {
            return Err("the prefix must be 1 to 64 of `a-z A-Z 0-9 _ - . :`".to_owned());
        }
        let mut keys = Self { prefix: prefix.to_owned(), replica: String::new() };
        keys.replica = keys.name("replica", &format!("{:032x}", rand::random::<u128>()));
        Ok(keys)
    }

    /// What Redis remembers of this replica: the number of its connection and of its last batch.
    pub(crate) fn replica(&self) -> &str {
        &self.replica
    }

    pub(crate) fn rate(&self, key: &str) -> String {
        self.name("rate", key)
    }

    pub(crate) fn places(&self, key: &str) -> String {
        self.name("places", key)
    }

    pub(crate) fn budget(&self, key: &str) -> String {
        self.name("budget", key)
    }

    pub(crate) fn leases(&self, key: &str) -> String {
        self.name("leases", key)
    }

    /// Both the hash and the channel.
    pub(crate) fn trips(&self) -> String {
        self.name("trips", "all")
    }

    pub(crate) fn answer(&self, key: &[u8; 32]) -> String {
        let mut hex = String::with_capacity(64);
        for byte in key {
            let _ = write!(hex, "{byte:02x}");
        }
        self.name("answer", &hex)
    }

    fn name(&self, kind: &str, name: &str) -> String {
        format!("{{{}}}:{kind}:{name}", self.prefix)
    }
}
