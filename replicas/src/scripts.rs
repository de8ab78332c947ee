//! The scripts. Redis runs each as one step.

use std::sync::LazyLock;

use redis::{Script, Value};

pub(crate) static TAKE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/take.lua"))));
pub(crate) static SETTLE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/settle.lua"))));
pub(crate) static TRIPS: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/trips.lua"))));

/// A script's answer of whole numbers.
pub(crate) fn whole_numbers(values: &[Value]) -> Option<Vec<i64>> {
    values.iter().map(|value| if let Value::Int(number) = value { Some(*number) } else { None }).collect()
}
