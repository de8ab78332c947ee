//! The journal with real files. None waits for time to pass: each waits for a write, with a generous bound.

mod kill;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{Journal, Row};

const SOON: Duration = Duration::from_secs(20);

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets.db");
    (folder, path)
}

fn row(id: &str, window: &str, spent: i128, reserved: i128) -> Row {
    Row { id: id.to_owned(), window: window.to_owned(), spent, reserved }
}

/// The day on which the tests began.
fn now() -> String {
    static NOW: LazyLock<String> = LazyLock::new(|| {
        let db = Connection::open_in_memory().unwrap();
        db.query_row("SELECT date('now')", [], |row| row.get(0)).unwrap()
    });
    NOW.clone()
}

/// The dirty rows of a process, which a test fills.
#[derive(Clone, Default)]
struct Dirty(Arc<Mutex<Vec<Row>>>);

impl Dirty {
    fn open(&self, path: &Path) -> (Journal, Vec<Row>) {
        let rows = Arc::clone(&self.0);
        Journal::open(path, move || std::mem::take(&mut *rows.lock().unwrap())).unwrap()
    }

    fn mark(&self, journal: &Journal, row: Row) {
        self.0.lock().unwrap().push(row);
        journal.wake();
    }
}

fn stored(path: &Path) -> Vec<Row> {
    Dirty::default().open(path).1
}

/// Writes rows by one process, which ends.
fn write(path: &Path, rows: impl IntoIterator<Item = Row>) {
    let dirty = Dirty::default();
    let (journal, _) = dirty.open(path);
    rows.into_iter().for_each(|row| dirty.mark(&journal, row));
    assert!(journal.flush_and_close(SOON));
}

fn refusal(path: &Path) -> String {
    Journal::open(path, Vec::new).unwrap_err()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let (_folder, path) = folder();
    assert_eq!(stored(&path), []);
    let rows = [
        row("key:credit", &now(), i128::MAX, 0),
        row("key:credit", &now()[..7], 9_223_372_036_854_775_808, 0),
        row("label:team=ümlaut", &now(), 3, 0),
    ];
    write(&path, rows.clone());
    let mut found = stored(&path);
    found.sort_by(|a, b| (&a.id, b.window.len()).cmp(&(&b.id, a.window.len())));
    assert_eq!(found, rows);
    write(&path, [row("label:team=ümlaut", &now(), 5, 0)]);
    assert_eq!(stored(&path).iter().find(|row| row.id.starts_with("label")).unwrap().spent, 5);
}

#[test]
fn what_was_reserved_is_spent_after_a_restart_and_only_once() {
    let (_folder, path) = folder();
    write(&path, [row("a", &now(), 70, 30), row("b", &now(), i128::MAX, 1)]);
    for _ in 0..2 {
        assert_eq!(stored(&path), [row("a", &now(), 100, 0), row("b", &now(), i128::MAX, 0)]);
    }
}

#[test]
fn dropping_the_journal_writes_what_is_dirty() {
    let (_folder, path) = folder();
    let dirty = Dirty::default();
    let (journal, _) = dirty.open(&path);
    dirty.mark(&journal, row("a", &now(), 1, 0));
    drop(journal);
    assert_eq!(stored(&path), [row("a", &now(), 1, 0)]);
}

#[test]
fn a_wake_alone_is_enough_for_a_write() {
    let (_folder, path) = folder();
    let (tell, told) = mpsc::channel();
    let (journal, _) = Journal::open(&path, move || {
        tell.send(()).unwrap();
        Vec::new()
    })
    .unwrap();
    assert!(told.try_recv().is_err(), "asked for rows before a wake");
    journal.wake();
    told.recv_timeout(SOON).unwrap();
}

#[test]
fn wakes_during_a_write_are_one_more_write_and_none_waits() {
    let (_folder, path) = folder();
    let collected = Arc::new(AtomicU64::new(0));
    let (entered, inside) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let count = Arc::clone(&collected);
    let (journal, _) = Journal::open(&path, move || {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            entered.send(()).unwrap();
            gate.recv().unwrap();
        }
        Vec::new()
    })
    .unwrap();
    journal.wake();
    inside.recv_timeout(SOON).unwrap();
    // The writer stands still, and still a thousand wakes from four threads return.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| journal.wake()));
        }
    });
    release.send(()).unwrap();
    assert!(journal.flush(SOON));
    // The first one, one for all the wakes, and one for the flush if it came after that.
    assert!((2..=3).contains(&collected.load(Ordering::SeqCst)), "{collected:?}");
}

#[test]
fn a_flush_gives_up_at_its_bound() {
    let (_folder, path) = folder();
    let (release, gate) = mpsc::channel::<()>();
    let (journal, _) = Journal::open(&path, move || {
        let _ = gate.recv();
        Vec::new()
    })
    .unwrap();
    assert!(!journal.flush(Duration::from_millis(1)));
    drop(release);
    assert!(journal.flush(SOON));
    assert!(journal.flush_and_close(SOON));
    assert!(!journal.flush(SOON), "flushed by a thread that has ended");
}

#[test]
fn a_writer_that_panics_leaves_nobody_waiting() {
    let (_folder, path) = folder();
    let (journal, _) = Journal::open(&path, || panic!("on purpose")).unwrap();
    assert!(!journal.flush(SOON));
    assert!(!journal.flush_and_close(SOON));
}

/// Makes every write of a row that has spent 13 fail.
fn refuse_thirteen(path: &Path) {
    write(path, []);
    let db = Connection::open(path).unwrap();
    db.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON budget WHEN NEW.spent = '13' BEGIN SELECT RAISE(FAIL, 'no room'); END",
    )
    .unwrap();
}

#[test]
fn a_failed_write_is_counted_and_made_again_and_loses_no_row() {
    let (_folder, path) = folder();
    refuse_thirteen(&path);
    let dirty = Dirty::default();
    let (journal, _) = dirty.open(&path);
    dirty.0.lock().unwrap().push(row("a", &now(), 1, 0));
    dirty.mark(&journal, row("b", &now(), 13, 0));
    let failed = (0..SOON.as_millis()).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        journal.failures() > 0
    });
    assert!(failed, "no write was tried");
    dirty.mark(&journal, row("b", &now(), 14, 0));
    assert!(journal.flush(SOON));
    drop(journal);
    assert_eq!(stored(&path), [row("a", &now(), 1, 0), row("b", &now(), 14, 0)]);
}

#[test]
fn closing_tells_that_the_last_write_failed_and_does_not_wait_for_another() {
    let (_folder, path) = folder();
    refuse_thirteen(&path);
    let dirty = Dirty::default();
    let (journal, _) = dirty.open(&path);
    dirty.mark(&journal, row("b", &now(), 13, 0));
    assert!(!journal.flush_and_close(SOON));
    assert!(journal.failures() >= 1);
    assert_eq!(stored(&path), []);
}

#[test]
fn the_file_is_for_its_owner_only_and_so_is_its_log() {
    let (folder, path) = folder();
    let dirty = Dirty::default();
    let (journal, _) = dirty.open(&path);
    dirty.mark(&journal, row("a", &now(), 1, 0));
    assert!(journal.flush(SOON));
    let modes: Vec<(String, u32)> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().permissions().mode())
        })
        .collect();
    assert_eq!(modes.len(), 2, "{modes:?}");
    assert!(modes.iter().all(|(_, mode)| mode & 0o777 == 0o600), "{modes:?}");
}

#[test]
fn a_second_opener_is_refused_and_the_first_goes_on() {
    let (_folder, path) = folder();
    let dirty = Dirty::default();
    let (journal, _) = dirty.open(&path);
    let why = refusal(&path);
    assert!(why.contains("is used by another aigate") && why.contains("[shared]"), "{why}");
    // Also one in another process, after the one in this process was refused.
    let why = kill::refusal_in_another_process(&path);
    assert!(why.contains("is used by another aigate"), "{why}");
    dirty.mark(&journal, row("a", &now(), 1, 0));
    assert!(journal.flush(SOON));
    drop(journal);
    assert_eq!(stored(&path), [row("a", &now(), 1, 0)]);
}

/// All bytes beside one another: the file's and its log's, if that holds any.
fn bytes(path: &Path) -> (Vec<u8>, Vec<u8>) {
    (fs::read(path).unwrap(), fs::read(path.with_extension("db-wal")).unwrap_or_default())
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (_folder, path) = folder();
    write(&path, (0..2_000).map(|n| row(&format!("key-{n}"), &now(), n, 0)));
    let (whole, _) = bytes(&path);
    let cut = whole[..whole.len() - 6_000].to_vec();
    let text = b"not a database, but some text of more than a hundred bytes ".repeat(9);
    for damage in [text, cut, damaged(&whole)] {
        fs::write(&path, &damage).unwrap();
        let why = refusal(&path);
        assert!(why.contains("is damaged") && why.contains("move it away"), "{why}");
        assert!(bytes(&path) == (damage, Vec::new()), "the file was changed");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(stored(&path).len(), 2_000);
}

#[test]
fn a_damaged_file_with_a_log_that_was_not_yet_merged_is_left_as_it_is() {
    let (folder, path) = folder();
    write(&path, (0..2_000).map(|n| row(&format!("key-{n}"), &now(), n, 0)));
    let dirty = Dirty::default();
    let (journal, _) = dirty.open(&path);
    dirty.mark(&journal, row("key-0", &now(), 1, 0));
    assert!(journal.flush(SOON));
    // As a process that was killed now would leave it.
    let copy = folder.path().join("copy.db");
    let (whole, log) = bytes(&path);
    assert!(!log.is_empty());
    fs::write(copy.with_extension("db-wal"), &log).unwrap();
    fs::write(&copy, damaged(&whole)).unwrap();
    assert!(refusal(&copy).contains("is damaged"));
    assert!(bytes(&copy) == (damaged(&whole), log), "the file or its log was changed");
    fs::write(&copy, &whole).unwrap();
    assert!(stored(&copy).contains(&row("key-0", &now(), 1, 0)));
}

/// Damages the last page.
fn damaged(whole: &[u8]) -> Vec<u8> {
    let mut damaged = whole.to_vec();
    let page = damaged.len() - 4_096;
    damaged[page..page + 100].fill(0xff);
    damaged
}

#[test]
fn an_amount_that_is_no_number_is_a_damage() {
    let (_folder, path) = folder();
    write(&path, [row("a", &now(), 1, 0)]);
    Connection::open(&path).unwrap().execute("UPDATE budget SET spent = 'much'", []).unwrap();
    let why = refusal(&path);
    assert!(why.contains("is damaged"), "{why}");
}

#[test]
fn files_of_a_newer_aigate_and_of_other_programs_are_refused() {
    let (folder, path) = folder();
    write(&path, []);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let why = refusal(&path);
    assert!(why.contains("newer aigate") && why.contains("form is 2"), "{why}");

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&other).unwrap();
    let why = refusal(&other);
    assert!(why.contains("another program"), "{why}");
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn a_file_that_cannot_be_made_or_used_is_refused_in_words() {
    let (folder, path) = folder();
    let why = refusal(&folder.path().join("none/budgets.db"));
    assert!(why.contains("its folder does not exist"), "{why}");
    let why = refusal(folder.path());
    assert!(why.contains("cannot be used"), "{why}");
    fs::write(&path, "").unwrap();
    assert_eq!(stored(&path), [], "an empty file is a new one");
}

#[test]
fn windows_that_ended_more_than_62_days_ago_are_deleted_at_open() {
    let (_folder, path) = folder();
    let db = Connection::open_in_memory().unwrap();
    let date =
        |how: &str| db.query_row("SELECT date('now', ?1)", [how], |row| row.get::<_, String>(0)).unwrap();
    let kept = [date("-61 days"), date("-61 days")[..7].to_owned(), date("+400 days"), "ever".to_owned()];
    let gone =
        [date("-64 days"), date("-120 days")[..7].to_owned(), "2020-02-29".to_owned(), "2020-02".to_owned()];
    write(&path, kept.iter().chain(&gone).map(|window| row("a", window, 1, 0)));
    let mut windows: Vec<String> = stored(&path).into_iter().map(|row| row.window).collect();
    let mut kept = kept.to_vec();
    windows.sort();
    kept.sort();
    assert_eq!(windows, kept);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever is marked in whatever order, across restarts: the newest row of each budget is what is found.
    #[test]
    fn the_newest_row_of_each_budget_survives(
        lives in prop::collection::vec(prop::collection::vec((0..4_u8, any::<i64>(), 0..1_000_i128), 0..12), 1..4)
    ) {
        let (_folder, path) = folder();
        let mut expected = std::collections::BTreeMap::new();
        for life in lives {
            write(&path, life.iter().map(|&(id, spent, reserved)| row(&id.to_string(), "ever", spent.into(), reserved)));
            for (id, spent, reserved) in life {
                expected.insert(id.to_string(), i128::from(spent) + reserved);
            }
            let found = stored(&path).into_iter().map(|row| (row.id, row.spent + row.reserved)).collect();
            prop_assert_eq!(&expected, &found);
        }
    }
}
