//! Budgets: kept by owner and period, written down in SQLite, so that neither a reload nor a `kill -9` forgets what was spent.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aigate_contract::Money;
use aigate_journal::{Journal, Row};
use aigate_limits::{Budget, Limit, Period, Wall, Window};
use tokio::time::Instant;

use crate::{
    config::BudgetPlan,
    metrics::{BudgetLabels, Metrics, Word},
};

/// All budgets.
#[derive(Debug)]
pub(super) struct Purses {
    wall: Wall,
    metrics: Arc<Metrics>,
    kept: Arc<Mutex<HashMap<Id, Purse>>>,
    journal: Arc<OnceLock<Open>>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    journal: Journal,
    /// What the file held when it was opened.
    stored: Mutex<Vec<Row>>,
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
    pub(super) fn new(wall: Wall, metrics: Arc<Metrics>) -> Self {
        Self { wall, metrics, kept: Arc::default(), journal: Arc::default() }
    }

    /// Opens the file, once for the process: another one takes effect at the next start.
    pub(super) fn open(&self, path: &Path) -> Result<(), String> {
        if self.journal.get().is_some() {
            return Ok(());
        }
        let kept = Arc::clone(&self.kept);
        let (journal, stored) =
            Journal::open(path, move || rows(&kept)).map_err(|why| format!("state.file: {why}"))?;
        let open = Open { path: path.to_owned(), journal, stored: Mutex::new(stored) };
        // Start and reload are one after the other: nobody else has opened it.
        let _ = self.journal.set(open);
        Ok(())
    }

    /// The budget of a plan: a new one goes on where the file ended, a known one takes over the plan's amount.
    pub(super) fn limit(&self, plan: &BudgetPlan) -> Arc<Limit> {
        let id = (Arc::clone(&plan.owner), plan.period, plan.shared);
        let percent = percent(plan.warn_at);
        let mut kept = lock(&self.kept);
        if let Some(purse) = kept.get(&id) {
            purse.limit.amend(plan.limit, percent);
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
        let budget = Budget::new(plan.limit, plan.period, percent, self.wall, Instant::now());
        let limit = Arc::new(Limit::budget(&*plan.owner, budget, Some(Arc::new(wake))));
        for row in self.journal.get().iter().flat_map(|open| lock(&open.stored).clone()) {
            if row.id == name_of(&id)
                && let Ok(window) = row.window.parse::<Window>()
            {
                limit.restore(window, Money::from_trillionths(row.spent));
            }
        }
        kept.insert(id, Purse { limit: Arc::clone(&limit), dirty });
        limit
    }

    /// What the file held of a budget when this process began.
    pub(super) fn stored(&self, plan: &BudgetPlan) -> Option<(Window, Money)> {
        let name = name_of(&(Arc::clone(&plan.owner), plan.period, plan.shared));
        let rows = lock(&self.journal.get()?.stored).clone();
        let windows = rows.into_iter().filter(|row| row.id == name).filter_map(|row| {
            let window: Window = row.window.parse().ok()?;
            (window.period() == plan.period).then(|| (window, Money::from_trillionths(row.spent)))
        });
        windows.max_by_key(|(window, _)| *window)
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
            let period = if *period == Period::Day { "day" } else { "month" };
            let labels = |what| BudgetLabels { owner: Word(Arc::clone(owner)), period, what };
            let limit = purse.limit.standing().limit;
            let all = Money::from_trillionths(limit.into());
            for (what, money) in [("limit", all), ("spent", books.spent), ("reserved", books.reserved)] {
                metrics.budget.get_or_create(&labels(what)).set(money.as_dollars());
            }
        }
        if let Some(open) = self.journal.get() {
            self.metrics.state_write_failures.set(i64::try_from(open.journal.failures()).unwrap_or(i64::MAX));
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
            reserved: books.reserved.trillionths(),
        })
    };
    lock(kept).iter().filter_map(changed).collect()
}

fn name_of((owner, _, shared): &Id) -> String {
    // The window tells the period.
    if *shared { format!("all replicas: {owner}") } else { owner.to_string() }
}

fn percent(share: f64) -> Option<u8> {
    // Between 0 and 1, as the config's check has seen.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
    let percent = (share * 100.0).round() as u8;
    Some(percent)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
