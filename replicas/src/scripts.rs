//! The scripts. Redis runs each as one step.

use std::sync::LazyLock;

use redis::{Cmd, Value};

pub(crate) static TAKE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/take.lua"))));
pub(crate) static SETTLE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/settle.lua"))));
pub(crate) static TRIPS: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/trips.lua"))));

pub(crate) struct Script {
    source: &'static str,
    /// SHA-1, by which Redis knows it.
    hash: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// A command that runs a script which Redis knows; it wants the number of keys, keys and arguments yet.
    pub(crate) fn by_hash(&self) -> Cmd {
        begin("EVALSHA", &self.hash)
    }

    /// The same for a Redis that does not know the script, and will.
    pub(crate) fn by_source(&self) -> Cmd {
        begin("EVAL", self.source)
    }

    /// A command that tells Redis the script.
    pub(crate) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.source);
        command
    }
}

fn begin(verb: &str, script: &str) -> Cmd {
    let mut command = redis::cmd(verb);
    command.arg(script);
    command
}

/// A script's answer of whole numbers.
pub(crate) fn whole_numbers(values: &[Value]) -> Option<Vec<i64>> {
    values.iter().map(|value| if let Value::Int(number) = value { Some(*number) } else { None }).collect()
}
