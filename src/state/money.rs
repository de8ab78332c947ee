//! Budgets: kept by owner and period, written down in SQLite, so that neither a reload nor a `kill -9` forgets what was spent.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aigate_contract::Money;
use aigate_journal::{Journal, Row};
use aigate_limits::{Budget, Limit, Period, Wall, Window};
use tokio::time::Instant;

use super::lock;
use crate::{
    config::BudgetPlan,
    metrics::{BudgetLabels, Metrics, Word},
};

/// All budgets.
#[derive(Debug)]
pub(super) struct Purses {
    wall: Wall,
    kept: Arc<Mutex<HashMap<Id, Purse>>>,
    journal: Arc<OnceLock<Open>>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    journal: Journal,
    /// What the file held of the days and months in which it was opened.
    stored: HashMap<Id, (Window, Money)>,
}

/// Whose budget, of which period, over all replicas or of this one.
type Id = (Arc<str>, Period, bool);

#[derive(Debug)]
struct Purse {
    limit: Arc<Limit>,
    dirty: Arc<AtomicBool>,
}

/// How long the last write may take when the process ends.
const LAST_WRITE: Duration = Duration::from_secs(5);

impl Purses {
    pub(super) fn new(wall: Wall) -> Self {
        Self { wall, kept: Arc::default(), journal: Arc::default() }
    }

    /// Opens the file, once for the process: another one takes effect at the next start.
    pub(super) fn open(&self, path: &Path) -> Result<(), String> {
        if self.journal.get().is_some() {
            return Ok(());
        }
        let kept = Arc::clone(&self.kept);
        let (journal, stored) =
            Journal::open(path, move || rows(&kept)).map_err(|why| format!("state.file: {why}"))?;
        let now = self.wall.since_epoch(Instant::now());
        let stored = stored.into_iter().filter_map(|row| read(row, now)).collect();
        let open = Open { path: path.to_owned(), journal, stored };
        // Start and reload are one after the other: nobody else has opened it.
        let _ = self.journal.set(open);
        Ok(())
    }

    /// The budget of a plan: a new one goes on where the file ended, a known one takes over the plan's amount.
    pub(super) fn limit(&self, plan: &BudgetPlan) -> Arc<Limit> {
        let (id, warn_from) = (id(plan), share(plan.limit, plan.warn_at));
        let mut kept = lock(&self.kept);
        if let Some(purse) = kept.get(&id) {
            purse.limit.amend(plan.limit, warn_from);
            return Arc::clone(&purse.limit);
        }
        let dirty = Arc::new(AtomicBool::new(false));
        let (marked, journal) = (Arc::clone(&dirty), Arc::clone(&self.journal));
        let wake = move || {
            marked.store(true, Ordering::Release);
            if let Some(open) = journal.get() {
                open.journal.wake();
            }
        };
        let budget = Budget::new(plan.limit, plan.period, warn_from, self.wall, Instant::now());
        let limit = Arc::new(Limit::budget(&*plan.owner, budget, Some(Arc::new(wake))));
        if let Some((window, spent)) = self.stored(plan) {
            limit.restore(window, spent);
        }
        kept.insert(id, Purse { limit: Arc::clone(&limit), dirty });
        limit
    }

    /// What the file held of a budget when it was opened, of the day or month then.
    pub(super) fn stored(&self, plan: &BudgetPlan) -> Option<(Window, Money)> {
        self.journal.get()?.stored.get(&id(plan)).copied()
    }

    pub(super) fn put_down(&self) {
        if let Some(open) = self.journal.get()
            && !open.journal.flush_and_close(LAST_WRITE)
        {
            tracing::error!(file = %open.path.display(), "the budgets could not be written before the end");
        }
    }

    /// How each budget stands.
    pub(super) fn report(&self, metrics: &Metrics) {
        for ((owner, period, _), purse) in lock(&self.kept).iter() {
            let Some(books) = purse.limit.books() else { continue };
            let labels =
                |what| BudgetLabels { owner: Word(Arc::clone(owner)), period: period.as_str(), what };
            let limit = purse.limit.standing().limit;
            let all = Money::from_trillionths(limit.into());
            for (what, money) in [("limit", all), ("spent", books.spent), ("reserved", books.reserved)] {
                metrics.budget.get_or_create(&labels(what)).set(money.as_dollars());
            }
        }
        if let Some(open) = self.journal.get() {
            metrics.state_write_failures.set(i64::try_from(open.journal.failures()).unwrap_or(i64::MAX));
        }
    }
}

/// The rows that have changed.
fn rows(kept: &Mutex<HashMap<Id, Purse>>) -> Vec<Row> {
    let changed = |(id, purse): (&Id, &Purse)| {
        purse.dirty.swap(false, Ordering::AcqRel).then_some(())?;
        let books = purse.limit.books()?;
        Some(Row {
            id: name_of(id),
            window: books.window.to_string(),
            spent: books.spent.trillionths(),
            // What is reserved over all replicas Redis knows, and counts as spent if this process dies. Were it written down as
            // well, the next start would tell Redis that it is spent, and it would count twice.
            reserved: if id.2 { 0 } else { books.reserved.trillionths() },
        })
    };
    lock(kept).iter().filter_map(changed).collect()
}

fn id(plan: &BudgetPlan) -> Id {
    (Arc::clone(&plan.owner), plan.period, plan.shared)
}

/// What names of budgets over all replicas begin with in the file.
const SHARED: &str = "all replicas: ";

fn name_of((owner, _, shared): &Id) -> String {
    // The window tells the period.
    if *shared { format!("{SHARED}{owner}") } else { owner.to_string() }
}

/// A row of the file, if it is about the present day or month.
fn read(row: Row, now: Duration) -> Option<(Id, (Window, Money))> {
    let window: Window = row.window.parse().ok()?;
    let shared = row.id.strip_prefix(SHARED);
    let id = (shared.unwrap_or(&row.id).into(), window.period(), shared.is_some());
    (window == Window::at(window.period(), now)).then(|| (id, (window, Money::from_trillionths(row.spent))))
}

/// The least that is at least so large a share, between 0 and 1, of an amount.
fn share(of: Money, share: f64) -> Money {
    const WHOLE: i128 = 1_000_000_000_000;
    // As the decimal number that the config states: a share's binary form is off by less than a trillionth.
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 10^12")]
    let trillionths = (share * WHOLE as f64).round() as i128;
    let product = of.trillionths().saturating_mul(trillionths);
    Money::from_trillionths(product / WHOLE + i128::from(product % WHOLE > 0))
}

#[cfg(test)]
mod tests {
    use aigate_limits::{Claim, reserve};

    use super::*;
    use crate::config::document::OnExceeded;

    const DAY: Duration = Duration::from_secs(86_400);

    fn plan(owner: &str, period: Period, shared: bool) -> BudgetPlan {
        BudgetPlan {
            owner: owner.into(),
            limit: Money::from_trillionths(1_000),
            period,
            warn_at: 0.8,
            on_exceeded: OnExceeded::Refuse,
            shared,
        }
    }

    fn spend(purses: &Purses, plan: &BudgetPlan, reserved: u64, spent: u64) {
        let claim = Claim { limit: purses.limit(plan), amount: reserved };
        reserve(vec![claim], &Arc::default()).unwrap().settle(|_, _| spent);
    }

    fn spent(purses: &Purses, plan: &BudgetPlan) -> i128 {
        purses.limit(plan).books().unwrap().spent.trillionths()
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_goes_on_with_the_present_day_and_month_of_each_budget() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budgets");
        let plans = [Period::Day, Period::Month]
            .map(|period| [false, true].map(|shared| plan("key k", period, shared)))
            .concat();
        let wall = Wall::system();
        let before = Purses::new(wall);
        before.open(&path).unwrap();
        (1..).zip(&plans).for_each(|(amount, plan)| spend(&before, plan, 10, amount));
        before.put_down();
        drop(before);

        let after = Purses::new(wall);
        after.open(&path).unwrap();
        let of = |purses: &Purses| plans.iter().map(|plan| spent(purses, plan)).collect::<Vec<_>>();
        assert_eq!(of(&after), [1, 2, 3, 4]);
        assert_eq!(spent(&after, &plan("key other", Period::Day, false)), 0);
        let floors = plans.iter().map(|plan| after.stored(plan).unwrap().1.trillionths());
        assert_eq!(floors.collect::<Vec<_>>(), [1, 2, 3, 4]);
        after.put_down();
        drop(after);

        let later = Purses::new(Wall::starting(wall.since_epoch(Instant::now()) + 31 * DAY, Instant::now()));
        later.open(&path).unwrap();
        assert_eq!(of(&later), [0; 4], "another day of another month");
        assert!(plans.iter().all(|plan| later.stored(plan).is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_reserved_over_all_replicas_is_not_written_down_since_redis_knows_it() {
        let purses = Purses::new(Wall::system());
        for (shared, reserved) in [(false, 70), (true, 0)] {
            let plan = plan("key k", Period::Day, shared);
            spend(&purses, &plan, 5, 5);
            let claim = Claim { limit: purses.limit(&plan), amount: 70 };
            let held = reserve(vec![claim], &Arc::default()).unwrap();
            let rows = rows(&purses.kept);
            assert_eq!(rows.iter().map(|row| (row.spent, row.reserved)).collect::<Vec<_>>(), [(5, reserved)]);
            held.cancel();
            drop(super::rows(&purses.kept));
        }
    }

    #[test]
    fn a_share_of_a_budget_is_exact() {
        for (of, part, is) in [
            (100, 0.8, 80),
            (1_000_000, 0.004, 4_000),
            (1_000_000, 0.123_456, 123_456),
            (3, 0.5, 2),
            (0, 0.5, 0),
            (100, 0.0, 0),
            (100, 1.0, 100),
            (9_000_000_000_000_000_000, 1.0, 9_000_000_000_000_000_000),
            (9_000_000_000_000_000_000, 0.29, 2_610_000_000_000_000_000),
        ] {
            assert_eq!(share(Money::from_trillionths(of), part).trillionths(), is, "{part} of {of}");
        }
    }
}
