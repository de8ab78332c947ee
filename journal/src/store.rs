//! The file: one table, a row for each budget and window.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use rusqlite::{
    Connection, Error, ErrorCode, OpenFlags, Row as SqlRow, Transaction, TransactionBehavior,
    config::DbConfig, params, types::Type,
};

use crate::Row;

/// Says in the file's header that it is aigate's: "aigt".
const APPLICATION: i32 = 0x6169_6774;
/// The form of the table.
const VERSION: i32 = 1;
/// A predecessor that is just ending may hold the file for so long.
const BUSY_WAIT: Duration = Duration::from_millis(500);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

// SQLite's integers have 64 bits, and 9 million dollars in trillionths fill them: amounts are texts.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS budget (
    id TEXT NOT NULL, \"window\" TEXT NOT NULL, spent TEXT NOT NULL, reserved TEXT NOT NULL,
    PRIMARY KEY (id, \"window\")
) STRICT, WITHOUT ROWID";

const READ: &str = "SELECT id, \"window\", spent, reserved FROM budget";

const WRITE: &str = "INSERT INTO budget (id, \"window\", spent, reserved) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET spent = excluded.spent, reserved = excluded.reserved";

// Dates of this form sort as texts. No month has a day after the 31st.
const PRUNE: &str = "DELETE FROM budget WHERE date('now', '-62 days') > CASE
    WHEN \"window\" GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' THEN \"window\"
    WHEN \"window\" GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]' THEN \"window\" || '-31'
    END";

/// The file, locked for this process.
pub(crate) struct Store {
    db: Connection,
    /// The day, counted from 1970, on which old windows were last deleted.
    pruned: u64,
}

impl Store {
    /// Opens or makes the file and reads it; see [`crate::Journal::open`].
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Row>), String> {
        create(path)?;
        let told = |why: Error| explain(path, &why);
        let mut db = connect(path).map_err(told)?;
        if let Some(refusal) = refuse(&db).map_err(told)? {
            return Err(format!("the budgets' file {} {refusal}", path.display()));
        }
        let rows = begin(&mut db).map_err(told)?;
        Ok((Self { db, pruned: today() }, rows))
    }

    /// Writes all rows or none.
    pub(crate) fn write<'a>(&mut self, rows: impl IntoIterator<Item = &'a Row>) -> rusqlite::Result<()> {
        let today = today();
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        put(&work, rows)?;
        if today != self.pruned {
            work.execute(PRUNE, [])?;
        }
        work.commit()?;
        self.pruned = today;
        Ok(())
    }
}

/// Makes a file that only its owner may read; SQLite gives its log the same mode. A file that is there is not even opened:
/// should it be in use by this process, closing it would release its lock.
fn create(path: &Path) -> Result<(), String> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(why) if why.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(why) if why.kind() == ErrorKind::NotFound => {
            Err(format!("the budgets' file {} cannot be made: its folder does not exist", path.display()))
        }
        Err(why) => Err(format!("the budgets' file {} cannot be made: {why}", path.display())),
    }
}

/// Opens the file so that reading it changes nothing in it.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(BUSY_WAIT)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    Ok(db)
}

/// Why this file is not to be used, if it is not.
fn refuse(db: &Connection) -> rusqlite::Result<Option<String>> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if (application, version, tables) == (0, 0, 0) {
        return Ok(None); // new, or its maker was killed before the first transaction
    }
    if application != APPLICATION {
        return Ok(Some("is a database of another program: name a file that aigate may have".to_owned()));
    }
    if version > VERSION {
        return Ok(Some(format!(
            "was written by a newer aigate (its form is {version}, this one knows {VERSION}): run that one, or name another \
             file, and budgets begin anew"
        )));
    }
    let check: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((check != "ok").then(|| damaged(&check)))
}

/// Takes the file over: from here on it is this process's. One transaction, so that a kill leaves it before or after.
fn begin(db: &mut Connection) -> rusqlite::Result<Vec<Row>> {
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    let work = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    work.execute_batch(CREATE)?;
    // Written at every start, so that a disk or a file that cannot be written is found now.
    work.pragma_update(None, "application_id", APPLICATION)?;
    work.pragma_update(None, "user_version", VERSION)?;
    work.execute(PRUNE, [])?;
    let mut rows = read(&work)?;
    for row in rows.iter_mut().filter(|row| row.reserved != 0) {
        // These calls were in flight when the process before this one ended.
        row.spent = row.spent.saturating_add(row.reserved);
        row.reserved = 0;
        put(&work, [&*row])?;
    }
    work.commit()?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(rows)
}

fn read(work: &Transaction<'_>) -> rusqlite::Result<Vec<Row>> {
    let mut query = work.prepare(READ)?;
    let rows = query.query_map([], |row| {
        Ok(Row { id: row.get(0)?, window: row.get(1)?, spent: amount(row, 2)?, reserved: amount(row, 3)? })
    })?;
    rows.collect()
}

fn amount(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<i128> {
    let text: String = row.get(column)?;
    text.parse().map_err(|why| Error::FromSqlConversionFailure(column, Type::Text, Box::new(why)))
}

fn put<'a>(work: &Transaction<'_>, rows: impl IntoIterator<Item = &'a Row>) -> rusqlite::Result<()> {
    let mut write = work.prepare_cached(WRITE)?;
    for row in rows {
        write.execute(params![row.id, row.window, row.spent.to_string(), row.reserved.to_string()])?;
    }
    Ok(())
}

fn today() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / DAY.as_secs())
}

/// An error at opening, in words for the one who starts aigate.
fn explain(path: &Path, why: &Error) -> String {
    let what = match why.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "is used by another aigate: each needs a file of its own, or share limits through [shared]"
                .to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(&why.to_string()),
        None if matches!(why, Error::FromSqlConversionFailure(..)) => damaged(&why.to_string()),
        _ => format!("cannot be used: {why}"),
    };
    format!("the budgets' file {} {what}", path.display())
}

fn damaged(why: &str) -> String {
    format!(
        "is damaged ({why}) and was left as it is: put back a copy of it, or move it away together with the files beside it \
         whose names end in -wal and -journal, and budgets begin anew"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_day_deletes_old_windows_while_the_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(&folder.path().join("budgets.db")).unwrap();
        let row = |id: &str| Row { id: id.to_owned(), window: "2020-02".to_owned(), spent: 1, reserved: 0 };
        let count = |store: &Store| -> i64 {
            store.db.query_row("SELECT count(*) FROM budget", [], |row| row.get(0)).unwrap()
        };
        store.write([&row("a")]).unwrap();
        assert_eq!(count(&store), 1, "deleted more than once a day");
        store.pruned -= 1;
        store.write([&row("b")]).unwrap();
        assert_eq!(count(&store), 0);
    }
}
