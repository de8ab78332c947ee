//! How far a long piece of work is.

/// Somebody who watches. Called from the threads that work; must be quick.
pub trait Progress: Sync {
    /// A stage of so many steps begins.
    fn begin(&self, stage: &str, steps: u64);
    /// So many more steps of it are done.
    fn advance(&self, steps: u64);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn begin(&self, _stage: &str, _steps: u64) {}
    fn advance(&self, _steps: u64) {}
}
