//! What time of which day it is, for budgets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The time of day in UTC: the system's clock, read once, and what has passed since on tokio's clock. So the days of a process do not
/// go back when someone sets the system's clock, and tests decide what day it is. Without leap seconds, like Unix time.
///
/// A clock that is wrong when the process starts stays wrong in it, also when it is set right meanwhile: days and months begin and
/// end so much too early or too late, what an earlier process spent on the true day does not count in another one, and replicas
/// whose days differ keep them apart. The next start puts it right.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// Since 1970, at `at`.
    since_epoch: Duration,
    at: Instant,
}

impl Wall {
    /// By the system's clock. Make one when the process starts and hand out copies. A clock before 1970 counts as 1970.
    pub fn system() -> Self {
        Self::starting(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now())
    }

    /// A wall on which `now` is so long after the start of 1970 (UTC).
    pub const fn starting(since_epoch: Duration, now: Instant) -> Self {
        Self { since_epoch, at: now }
    }

    /// How long after the start of 1970 (UTC) `now` is.
    pub fn since_epoch(&self, now: Instant) -> Duration {
        self.since_epoch.saturating_add(now.saturating_duration_since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wall_moves_with_tokio_s_clock() {
        let wall = Wall::starting(Duration::from_secs(1_000), Instant::now());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(wall.since_epoch(Instant::now()), Duration::from_secs(1_005));
    }

    #[test]
    fn the_system_s_clock_is_past_2020() {
        assert!(Wall::system().since_epoch(Instant::now()) > Duration::from_secs(50 * 365 * 86_400));
    }
}
