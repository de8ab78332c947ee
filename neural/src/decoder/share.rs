//! Handing pieces of work to the threads of a team.

use std::sync::{Mutex, PoisonError};

use crate::kernels::Team;

/// Runs `work` on each item, on all threads of the team. Each thread has a scratch value of its own.
pub(super) fn share<I, S>(team: &Team, items: I, work: impl Fn(&mut S, I::Item) + Sync)
where
    I: Iterator + Send,
    S: Default,
{
    let items = Mutex::new(items);
    team.run(team.threads(), &|_| {
        let mut scratch = S::default();
        loop {
            let item = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = item else { return };
            work(&mut scratch, item);
        }
    });
}
