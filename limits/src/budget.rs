//! So much money a day or a month.

use std::time::Duration;

use aigate_contract::Money;
use tokio::time::Instant;

use crate::{Period, Standing, Wall, Window, amount_of};

/// Money that may be spent in a day or a calendar month, in UTC.
///
/// A call reserves what it may cost; when it ends, what it did cost is spent and the rest is free again. Under any interleaving, spent
/// and reserved money together are never more than the limit, but for what calls cost beyond their reservations.
///
/// Money is booked in the window in which it becomes known. What calls in flight hold when a window ends, they hold in the next one, so
/// that each trillionth is booked once, in exactly one window, and a window cannot be overdrawn by those that began before it.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: Money,
    /// So much spent or reserved is worth a warning.
    warn_from: Money,
    wall: Wall,
    window: Window,
    /// When the window ends, since 1970.
    end: Duration,
    spent: Money,
    reserved: Money,
}

/// What is written down of a budget, so that another process can go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetState {
    /// The present day or month.
    pub window: Window,
    /// What calls that have ended in it did cost.
    pub spent: Money,
    /// What calls in flight may cost.
    pub reserved: Money,
}

impl Budget {
    /// A budget of `limit` US dollars (less than nothing is nothing) a `period`, unspent. It [warns](Self::warns) when
    /// `warn_from` of it is spent or reserved.
    pub fn new(limit: Money, period: Period, warn_from: Money, wall: Wall, now: Instant) -> Self {
        let limit = limit.max(Money::ZERO);
        let window = Window::at(period, wall.since_epoch(now));
        Self { limit, warn_from, wall, window, end: window.end(), spent: Money::ZERO, reserved: Money::ZERO }
    }

    /// Changes the amount and the warning; what is spent and reserved stays.
    pub fn amend(&mut self, limit: Money, warn_from: Money) {
        self.limit = limit.max(Money::ZERO);
        self.warn_from = warn_from;
    }

    /// As messages call it: `budget of 5 USD a day`.
    pub fn words(&self) -> String {
        format!("budget of {} USD a {}", self.limit, self.window.period().as_str())
    }

    /// Reserves an amount in trillionths of a dollar; says whether there was as much. A call whose cost is not known reserves nothing
    /// and is refused by an overdrawn budget; one that is known to cost nothing should not ask.
    pub fn take(&mut self, amount: u64, now: Instant) -> bool {
        self.roll(now);
        let amount = money(amount);
        let fits = self.spent + self.reserved + amount <= self.limit;
        if fits {
            self.reserved += amount;
        }
        fits
    }

    /// Replaces what was reserved by what was spent, both in trillionths of a dollar. It may be more.
    pub fn settle(&mut self, reserved: u64, spent: u64, now: Instant) {
        self.roll(now);
        self.reserved -= money(reserved);
        self.spent += money(spent);
    }

    /// Whether an amount is more than the whole budget.
    pub fn is_too_large(&self, amount: u64) -> bool {
        money(amount) > self.limit
    }

    /// Whether so much is spent or reserved that someone should know.
    pub fn warns(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.spent + self.reserved >= self.warn_from
    }

    /// What to write down.
    pub fn state(&mut self, now: Instant) -> BudgetState {
        self.roll(now);
        BudgetState { window: self.window, spent: self.spent, reserved: self.reserved }
    }

    /// Adds what an earlier process spent in `window`. Says whether it counts: it does not when that window is not the present one.
    pub fn restore(&mut self, window: Window, spent: Money, now: Instant) -> bool {
        self.roll(now);
        let counts = window == self.window;
        if counts {
            self.spent += spent.max(Money::ZERO);
        }
        counts
    }

    /// Learns that at least so much was spent in `window`, here and elsewhere together. Says whether that is news.
    pub fn learn(&mut self, window: Window, spent: Money, now: Instant) -> bool {
        self.roll(now);
        let news = window == self.window && spent > self.spent;
        if news {
            self.spent = spent;
        }
        news
    }

    /// How it stands: the budget and what is free of it, in trillionths of a dollar, and the time until the window ends.
    pub fn standing(&mut self, now: Instant) -> Standing {
        self.roll(now);
        Standing {
            limit: amount_of(self.limit),
            remaining: amount_of(self.limit - self.spent - self.reserved),
            reset: self.end.saturating_sub(self.wall.since_epoch(now)),
        }
    }

    /// Opens a new window when the present one has ended. Never goes back to an earlier one.
    fn roll(&mut self, now: Instant) {
        let moment = self.wall.since_epoch(now);
        if moment >= self.end {
            self.window = Window::at(self.window.period(), moment);
            self.end = self.window.end();
            self.spent = Money::ZERO;
        }
    }
}

fn money(amount: u64) -> Money {
    Money::from_trillionths(amount.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// A budget of 100 trillionths, on 2028-02-29 at 23:00.
    fn budget(period: Period) -> (Budget, Instant) {
        let now = Instant::now();
        let wall = Wall::starting(Duration::from_secs(1_835_478_000), now);
        (Budget::new(Money::from_trillionths(100), period, Money::from_trillionths(80), wall, now), now)
    }

    fn books(budget: &mut Budget, now: Instant) -> (String, i128, i128) {
        let state = budget.state(now);
        (state.window.to_string(), state.spent.trillionths(), state.reserved.trillionths())
    }

    #[test]
    fn what_is_reserved_is_not_free_and_what_is_not_spent_is_free_again() {
        let (mut budget, now) = budget(Period::Day);
        assert!(budget.take(60, now) && budget.take(40, now) && !budget.take(1, now));
        budget.settle(60, 20, now);
        assert_eq!(books(&mut budget, now), ("2028-02-29".into(), 20, 40));
        assert!(!budget.take(41, now) && budget.take(40, now));
        budget.settle(40, 0, now);
        let Standing { limit, remaining, .. } = budget.standing(now);
        assert_eq!((limit, remaining), (100, 40));
    }

    #[test]
    fn a_call_may_cost_more_than_it_reserved_and_the_next_is_refused() {
        let (mut budget, now) = budget(Period::Month);
        assert!(budget.take(90, now));
        budget.settle(90, 130, now);
        assert_eq!(books(&mut budget, now), ("2028-02".into(), 130, 0));
        assert_eq!(budget.standing(now).remaining, 0);
        assert!(!budget.take(0, now), "a cost that is not known is refused too");
        assert!(budget.take(100, now + HOUR), "a new month");
    }

    #[test]
    fn what_is_learnt_from_elsewhere_raises_what_is_spent_and_never_lowers_it() {
        let (mut budget, now) = budget(Period::Day);
        let (window, yesterday) = (budget.window, "2028-02-28".parse().unwrap());
        assert!(budget.take(10, now));
        budget.settle(10, 10, now);
        assert!(budget.learn(window, Money::from_trillionths(70), now));
        assert!(!budget.learn(window, Money::from_trillionths(60), now));
        assert!(!budget.learn(yesterday, Money::from_trillionths(90), now));
        assert_eq!(books(&mut budget, now), ("2028-02-29".into(), 70, 0));
        assert!(!budget.take(31, now) && budget.take(30, now));
    }

    #[test]
    fn a_window_ends_at_midnight_and_calls_in_flight_are_booked_in_the_next() {
        let (mut budget, now) = budget(Period::Day);
        assert!(budget.take(30, now) && budget.take(50, now));
        budget.settle(30, 30, now);
        let before = now + HOUR - Duration::from_nanos(1);
        assert_eq!(budget.standing(before).reset, Duration::from_nanos(1));
        assert_eq!(books(&mut budget, before), ("2028-02-29".into(), 30, 50));
        let after = now + HOUR;
        assert_eq!(books(&mut budget, after), ("2028-03-01".into(), 0, 50));
        assert_eq!(budget.standing(after).reset, 24 * HOUR);
        assert!(!budget.take(51, after) && budget.take(50, after));
        budget.settle(50, 45, after);
        assert_eq!(books(&mut budget, after), ("2028-03-01".into(), 45, 50));
        assert_eq!(
            books(&mut budget, before),
            ("2028-03-01".into(), 45, 50),
            "an earlier clock does not open a closed window"
        );
    }

    #[test]
    fn it_warns_from_the_amount_that_it_was_given() {
        let (mut budget, now) = budget(Period::Day);
        assert!(budget.take(79, now) && !budget.warns(now));
        assert!(budget.take(1, now) && budget.warns(now));
        budget.settle(1, 0, now);
        assert!(!budget.warns(now));
        budget.amend(Money::from_trillionths(100), Money::from_trillionths(79));
        assert!(budget.warns(now));
    }

    #[test]
    fn an_earlier_process_s_spending_counts_in_its_own_window_only() {
        let (mut budget, now) = budget(Period::Day);
        assert!(budget.take(10, now));
        assert!(budget.restore("2028-02-29".parse().unwrap(), Money::from_trillionths(85), now));
        for other in ["2028-02-28", "2028-03-01", "2028-02"] {
            assert!(!budget.restore(other.parse().unwrap(), Money::from_trillionths(50), now));
        }
        assert!(!budget.take(6, now) && budget.take(5, now));
    }

    #[test]
    fn more_than_the_whole_budget_is_too_large() {
        let (budget, _) = budget(Period::Day);
        assert!(budget.is_too_large(101) && !budget.is_too_large(100));
    }
}
