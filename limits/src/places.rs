//! So many calls at once.

use std::time::Duration;

use crate::Standing;

/// Places for calls at once. One that is taken is held until its call ends.
#[derive(Clone, Debug)]
pub struct Places {
    all: u32,
    held: u32,
}

impl Places {
    /// So many, all free.
    pub const fn new(all: u32) -> Self {
        Self { all, held: 0 }
    }

    /// Takes a place, and leaves at least `keep` free, unless all are. Says whether there was one.
    pub fn take(&mut self, keep: u64) -> bool {
        let free = self.all.saturating_sub(self.held);
        let fits = free > 0 && (u64::from(free) > keep || self.held == 0);
        self.held += u32::from(fits);
        fits
    }

    /// Frees a place that was taken.
    pub fn release(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// How it stands: all places, and the free ones. Nobody knows when a call ends; the time says nothing.
    pub fn standing(&self) -> Standing {
        let free = self.all.saturating_sub(self.held);
        Standing { limit: self.all.into(), remaining: free.into(), reset: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_held_until_it_is_released() {
        let mut places = Places::new(2);
        assert!(places.take(0) && places.take(0) && !places.take(0));
        places.release();
        assert_eq!(places.standing().remaining, 1);
        assert!(places.take(0));
    }

    #[test]
    fn kept_places_stay_free() {
        let mut places = Places::new(3);
        assert!(places.take(1) && places.take(1) && !places.take(1));
        assert!(places.take(0));
        assert!(!Places::new(0).take(0));
    }
}
