//! A bucket that time fills: so much a period, so much at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Rate, Standing};

/// A bucket: starts full, each call takes from it, time fills it up to its burst.
///
/// Exact: the level is a whole number of amount × nanoseconds of the period, so that each nanosecond adds a whole number
/// (`rate.amount()`) and nothing is ever rounded. What a call took too much is given back, up to the burst; what it took too little is a
/// debt: the level goes below nothing, and time repays it before anyone is let through again.
///
/// Calls let through in a span of length t consume, in the end, at most `burst + rate · t`, plus what they consumed beyond their
/// reservations, plus what was given back in the span by calls from before it.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    /// In amount × nanoseconds of the period. Never above the burst; below nothing is a debt.
    level: i128,
    /// When the level was so. Never goes back, whichever thread's clock was read first.
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        let mut bucket = Self { rate, level: 0, at: now };
        bucket.level = bucket.full();
        bucket
    }

    /// Takes `amount`, and leaves at least `keep` in the bucket.
    ///
    /// More than the bucket can hold is let through when it is full, and leaves a debt: a call larger than the burst has to wait
    /// for long, and keeps others waiting, but is not refused for ever. Nothing (`amount` 0: not known before the call) is let
    /// through unless there is a debt.
    ///
    /// # Errors
    /// How long until it would fit, to the nanosecond, if nobody else takes or gives back anything. Nothing was taken.
    pub fn take(&mut self, amount: u64, keep: u64, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        let needed = self.scaled(amount).saturating_add(self.scaled(keep)).min(self.full());
        if self.level < needed {
            return Err(self.time_to(needed));
        }
        self.level = self.level.saturating_sub(self.scaled(amount));
        Ok(())
    }

    /// Replaces what was taken by what was consumed: the difference is given back, or owed.
    pub fn settle(&mut self, taken: u64, consumed: u64, now: Instant) {
        self.fill(now);
        let difference = self.scaled(taken) - self.scaled(consumed);
        self.level = self.level.saturating_add(difference).min(self.full());
    }

    /// How it stands: the amount a period, how much could be taken now, and how long until the bucket is full.
    pub fn standing(&mut self, now: Instant) -> Standing {
        self.fill(now);
        let remaining = self.level.max(0) / self.period();
        Standing {
            limit: self.rate.amount(),
            remaining: u64::try_from(remaining).unwrap_or(u64::MAX),
            reset: self.time_to(self.full()),
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let gained = i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX).saturating_mul(self.gain());
        self.level = self.level.saturating_add(gained).min(self.full());
        self.at = self.at.max(now);
    }

    /// How long until the level is `level`, rounded up to the nanosecond.
    fn time_to(&self, level: i128) -> Duration {
        let missing = level.saturating_sub(self.level).max(0);
        let nanoseconds = missing / self.gain() + i128::from(missing % self.gain() != 0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    fn full(&self) -> i128 {
        self.scaled(self.rate.burst())
    }

    /// An amount on the level's scale. Cannot overflow: 2^64 amounts × 2^52 nanoseconds.
    fn scaled(&self, amount: u64) -> i128 {
        i128::from(amount) * self.period()
    }

    fn period(&self) -> i128 {
        self.rate.period().as_nanos() as i128
    }

    /// What a nanosecond adds to the level.
    fn gain(&self) -> i128 {
        i128::from(self.rate.amount())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    const SECOND: Duration = Duration::from_secs(1);
    const TICK: Duration = Duration::from_nanos(1);

    fn bucket(rate: &str) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(Rate::parse(rate, Unit::Tokens).unwrap(), now), now)
    }

    #[test]
    fn a_bucket_is_small() {
        assert!(size_of::<Bucket>() <= 64, "{}", size_of::<Bucket>());
    }

    #[test]
    fn five_a_minute_lets_five_pass_at_once_and_one_every_twelve_seconds() {
        let (mut bucket, now) = bucket("5/m");
        for _ in 0..5 {
            assert_eq!(bucket.take(1, 0, now), Ok(()));
        }
        assert_eq!(bucket.take(1, 0, now), Err(12 * SECOND));
        assert_eq!(bucket.take(1, 0, now + 12 * SECOND - TICK), Err(TICK));
        assert_eq!(bucket.take(1, 0, now + 12 * SECOND), Ok(()));
    }

    #[test]
    fn a_hundred_a_second_is_a_thousand_in_ten_seconds_within_two_per_cent() {
        let (mut bucket, start) = bucket("100/s");
        let passed =
            (0..10_000).filter(|ms| bucket.take(1, 0, start + Duration::from_millis(*ms)).is_ok()).count();
        assert!((1_000..=1_020).contains(&passed), "{passed}");
    }

    #[test]
    fn thirds_of_a_nanosecond_do_not_drift() {
        let (mut bucket, start) = bucket("7/3s burst 7");
        assert_eq!(bucket.take(7, 0, start), Ok(()));
        // A million looks at odd moments lose nothing: after three seconds, exactly seven are there.
        for step in 1..=1_000_000u32 {
            bucket.fill(start + TICK * 2_999 * step);
        }
        assert_eq!(bucket.take(7, 0, start + 3 * SECOND - TICK), Err(TICK));
        assert_eq!(bucket.take(7, 0, start + 3 * SECOND), Ok(()));
    }

    #[test]
    fn what_was_too_much_is_given_back_but_never_above_the_burst() {
        let (mut bucket, now) = bucket("100/m");
        bucket.take(80, 0, now).unwrap();
        bucket.settle(80, 30, now);
        assert_eq!(bucket.standing(now).remaining, 70);
        bucket.settle(90, 0, now);
        assert_eq!(bucket.standing(now), Standing { limit: 100, remaining: 100, reset: Duration::ZERO });
    }

    #[test]
    fn what_was_too_little_is_a_debt_that_time_repays() {
        let (mut bucket, now) = bucket("60/m");
        bucket.take(10, 0, now).unwrap();
        bucket.settle(10, 90, now);
        assert_eq!(bucket.standing(now), Standing { limit: 60, remaining: 0, reset: 90 * SECOND });
        assert_eq!(bucket.take(1, 0, now), Err(31 * SECOND));
        assert_eq!(bucket.take(0, 0, now), Err(30 * SECOND), "an unknown amount waits for the debt too");
        assert_eq!(bucket.take(0, 0, now + 30 * SECOND), Ok(()));
    }

    #[test]
    fn more_than_the_burst_passes_a_full_bucket_only_and_leaves_a_debt() {
        let (mut bucket, now) = bucket("10/10s");
        bucket.take(1, 0, now).unwrap();
        assert_eq!(bucket.take(25, 0, now), Err(SECOND));
        let now = now + SECOND;
        assert_eq!(bucket.take(25, 0, now), Ok(()));
        assert_eq!(bucket.take(1, 0, now), Err(16 * SECOND));
    }

    #[test]
    fn what_is_kept_for_others_stays_unless_the_bucket_is_full() {
        let (mut bucket, now) = bucket("10/10s");
        assert_eq!(bucket.take(4, 5, now), Ok(()));
        assert_eq!(bucket.take(2, 5, now), Err(SECOND));
        assert_eq!(bucket.take(9, 5, now), Err(4 * SECOND), "until it is full");
        assert_eq!(bucket.take(6, 0, now), Ok(()));
    }

    #[test]
    fn a_clock_that_was_read_earlier_neither_fills_twice_nor_takes_away() {
        let (mut bucket, now) = bucket("10/10s");
        bucket.take(10, 0, now + 5 * SECOND).unwrap();
        assert_eq!(bucket.take(1, 0, now), Err(SECOND));
        assert_eq!(bucket.take(1, 0, now + 5 * SECOND), Err(SECOND));
        assert_eq!(bucket.take(1, 0, now + 6 * SECOND), Ok(()));
    }

    #[test]
    fn the_greatest_numbers_neither_overflow_nor_forgive() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Rate::new(Rate::MOST, Rate::LONGEST, Some(Rate::MOST)).unwrap(), now);
        bucket.take(u64::MAX, u64::MAX, now).unwrap();
        for _ in 0..10_000 {
            bucket.settle(0, u64::MAX, now);
        }
        assert!(bucket.take(0, 0, now + Rate::LONGEST * 100).is_err());
        bucket.settle(u64::MAX, 0, now);
        assert!(bucket.take(1, 0, now).is_err());
    }
}
