//! How a limit stands.

use std::time::Duration;

/// How a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Of a rate, the amount a period; else all places, or the whole budget in trillionths of a dollar.
    pub limit: u64,
    /// What could be taken now. Of a rate, this is bounded by its burst.
    pub remaining: u64,
    /// Until it is as if unused; zero for places, of which nobody knows.
    pub reset: Duration,
}
