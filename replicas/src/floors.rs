//! What this replica was told is spent of each budget. Redis may forget; spent money does not become unspent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Standing, Take, counts::Counters};

/// Budgets that are remembered, at most.
const MOST: usize = 100_000;

pub(crate) struct Floors {
    known: Mutex<HashMap<Arc<str>, Floor>>,
    counters: Arc<Counters>,
}

struct Floor {
    spent: u64,
    until: Instant,
}

impl Floors {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { known: Mutex::default(), counters }
    }

    /// The largest `spent` that was told of a budget, or nothing.
    pub(crate) fn of(&self, key: &str) -> u64 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).map_or(0, |floor| floor.spent)
    }

    pub(crate) fn note_all(&self, takes: &[Take], standings: &[Standing]) {
        for (take, standing) in takes.iter().zip(standings) {
            if let (Take::Budget { key, expires, .. }, Standing::Budget { spent, .. }) = (take, standing) {
                self.note(key, *spent, *expires);
            }
        }
    }

    /// Keeps what was told for as long as Redis keeps the budget.
    pub(crate) fn note(&self, key: &Arc<str>, spent: u64, expires: Duration) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(floor) = known.get_mut(key) {
            floor.spent = floor.spent.max(spent);
            return;
        }
        if known.len() >= MOST {
            known.retain(|_, floor| floor.until > now);
        }
        if known.len() >= MOST {
            self.counters.floor_dropped();
            return;
        }
        known.insert(Arc::clone(key), Floor { spent, until: now + expires });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_largest_is_kept_and_old_budgets_make_room() {
        let floors = Floors::new(Arc::new(Counters::new(None)));
        let day = Duration::from_secs(86_400);
        let key: Arc<str> = "a".into();
        floors.note(&key, 5, day);
        floors.note(&key, 3, day);
        assert_eq!((floors.of("a"), floors.of("b")), (5, 0));

        for i in 1..MOST {
            floors.note(&i.to_string().into(), 1, day * 2);
        }
        floors.note(&"b".into(), 7, day);
        assert_eq!(
            (floors.of("b"), floors.counters.counts(0).floors_dropped),
            (0, 1),
            "full: counted, not kept"
        );
        tokio::time::advance(day).await;
        floors.note(&"b".into(), 7, day);
        assert_eq!((floors.of("a"), floors.of("b")), (0, 7));
    }
}
