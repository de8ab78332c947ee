//! `kill -9` at any moment: a child process, this same test program, reserves and settles until it is killed.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{SOON, folder, row, stored};
use crate::{Journal, Row};

const FILE: &str = "AIGATE_JOURNAL_TEST_FILE";
const ROUNDS: u64 = 100;
/// What a call reserves; it really costs less.
const RESERVED: i128 = 10;
/// The calls that the child has in flight at once.
const CALLERS: i128 = 3;

/// One budget, as the limits have it.
#[derive(Default)]
struct Budget {
    spent: i128,
    reserved: i128,
    dirty: bool,
}

impl Budget {
    fn dirty_row(&mut self) -> Option<Row> {
        std::mem::take(&mut self.dirty).then(|| row("a", "ever", self.spent, self.reserved))
    }
}

/// What the child did, from its own lines.
#[derive(Default, Debug)]
struct Told {
    /// Calls begun.
    begun: i128,
    /// Calls settled, and their cost.
    settled: i128,
    settled_cost: i128,
    /// Calls whose settlement was written, and their cost.
    done: i128,
    done_cost: i128,
}

impl Told {
    fn read(lines: &str) -> Self {
        let mut told = Self::default();
        for line in lines.lines() {
            match line.split_once(' ') {
                Some(("begin", _)) => told.begun += 1,
                Some(("settle", cost)) => {
                    told.settled += 1;
                    told.settled_cost += cost.parse::<i128>().unwrap();
                }
                Some(("done", cost)) => {
                    told.done += 1;
                    told.done_cost += cost.parse::<i128>().unwrap();
                }
                _ => {}
            }
        }
        told
    }
}

/// The child's life: not a test of its own.
#[test]
#[ignore = "the child of the tests that kill it"]
fn child() {
    let Some(path) = env::var_os(FILE) else { return };
    let budget = Arc::new(Mutex::new(Budget::default()));
    let rows = Arc::clone(&budget);
    match Journal::open(Path::new(&path), move || rows.lock().unwrap().dirty_row().into_iter().collect()) {
        Ok((journal, stored)) => {
            budget.lock().unwrap().spent = stored.first().map_or(0, |row| row.spent);
            say("ready", 0);
            thread::scope(|scope| {
                for caller in 0..CALLERS {
                    let (budget, journal) = (&budget, &journal);
                    scope.spawn(move || {
                        for n in 0.. {
                            call(budget, journal, 3 + (caller + n) % 8);
                        }
                    });
                }
            });
        }
        Err(why) => writeln!(std::io::stdout(), "\nrefused {why}").unwrap(),
    }
}

/// One call, from its reservation to its settlement. It lasts as long as a write, as calls to a cloud do.
fn call(budget: &Mutex<Budget>, journal: &Journal, cost: i128) {
    let change = |spent, reserved| {
        let mut budget = budget.lock().unwrap();
        budget.spent += spent;
        budget.reserved += reserved;
        budget.dirty = true;
        drop(budget);
        journal.wake();
    };
    say("begin", RESERVED);
    change(0, RESERVED);
    assert!(journal.flush(SOON));
    change(cost, -RESERVED);
    say("settle", cost);
    assert!(journal.flush(SOON));
    say("done", cost);
}

/// One line in one write, which a kill cannot cut.
fn say(what: &str, amount: i128) {
    std::io::stdout().lock().write_all(format!("\n{what} {amount}\n").as_bytes()).unwrap();
}

fn spawn(path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "tests::kill::child", "--ignored", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub(super) fn refusal_in_another_process(path: &Path) -> String {
    let output = spawn(path).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find(|line| line.starts_with("refused")).unwrap().to_owned()
}

/// Lets a child work for a moment that differs from round to round, kills it and reads what it told.
fn killed(path: &Path, round: u64) -> Told {
    let mut child = spawn(path);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = String::new();
    // Every fourth is killed while it starts, the others while they work.
    if !round.is_multiple_of(4) {
        while !lines.contains("ready") {
            assert!(output.read_line(&mut lines).unwrap() > 0, "the child ended: {lines}");
        }
    }
    let reader = thread::spawn(move || {
        output.read_to_string(&mut lines).unwrap();
        lines
    });
    thread::sleep(Duration::from_micros(round * 7_919 % 20_000));
    child.kill().unwrap();
    child.wait().unwrap();
    Told::read(&reader.join().unwrap())
}

#[test]
fn a_hundred_kills_lose_and_gain_no_more_than_the_calls_in_flight() {
    let (_folder, path) = folder();
    let (mut before, mut calls) = (0, 0);
    for round in 0..ROUNDS {
        let told = killed(&path, round);
        let rows = stored(&path);
        assert!(rows.len() <= 1 && rows.iter().all(|row| row.reserved == 0), "{rows:?}");
        let spent = rows.first().map_or(0, |row| row.spent) - before;
        let in_flight = told.begun - told.done;
        assert!(in_flight <= CALLERS, "{told:?}");
        let least = told.settled_cost;
        let most = told.done_cost + in_flight * RESERVED;
        assert!((least..=most).contains(&spent), "round {round}: {spent} is not {least} to {most}: {told:?}");
        before += spent;
        calls += told.settled;
    }
    assert!(calls > 100, "the children hardly worked: {calls} calls");
}
