//! The program as a process of its own, with its log.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

/// How long a line of the log may take to come. To read a hundred thousand keys takes the longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program with these arguments and nothing from the test's own environment.
pub(crate) fn aigate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aigate"));
    command.args(arguments).env_remove("AIGATE_CONFIG").stdin(Stdio::null());
    command
}

/// `aigate serve` with a file.
pub(crate) fn serve(config: &Path) -> Command {
    aigate(&["serve", "--config", config.to_str().unwrap()])
}

/// Sends a signal, like `-TERM`.
pub(crate) fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// The program, serving; it ends with its test.
pub(crate) struct Program {
    child: Child,
    log: Arc<Log>,
    /// How many lines [`Self::line`] has passed.
    passed: Mutex<usize>,
    pub(crate) address: SocketAddr,
    pub(crate) operations: SocketAddr,
}

/// What the program has written.
#[derive(Default)]
struct Log {
    written: Mutex<Written>,
    more: Condvar,
}

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    over: bool,
}

impl Program {
    /// Serves a file, whose log must be JSON at level `info` until it is ready.
    pub(crate) fn serve(config: &Path) -> Self {
        Self::start(serve(config))
    }

    /// Runs a command and waits until it is ready.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::<Log>::default();
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                written.written.lock().unwrap().lines.push(line);
                written.more.notify_all();
            }
            written.written.lock().unwrap().over = true;
            written.more.notify_all();
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut program =
            Self { child, log, passed: Mutex::default(), address: nowhere, operations: nowhere };
        let ready = program.line(|line| says(line, "is ready"));
        let address = |field: &str| ready[field].as_str().unwrap().parse().unwrap();
        (program.address, program.operations) = (address("listen"), address("operations"));
        program
    }

    /// The next line of the log that fits, after the one that was given last. Every line must be JSON.
    pub(crate) fn line(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut passed = self.passed.lock().unwrap();
        self.search(&mut passed, fits)
    }

    /// The first line of the log that fits, wherever it stands.
    pub(crate) fn said(&self, fits: impl Fn(&Value) -> bool) -> Value {
        self.search(&mut 0, fits)
    }

    fn search(&self, place: &mut usize, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut written = self.log.written.lock().unwrap();
        loop {
            while let Some(line) = written.lines.get(*place) {
                *place += 1;
                match serde_json::from_str(line) {
                    Ok(value) if fits(&value) => return value,
                    Ok(_) => {}
                    Err(_) => {
                        // More of it is to come, such as the faults of the configuration.
                        drop(written);
                        std::thread::sleep(Duration::from_millis(300));
                        panic!("not JSON: {}", self.log()[*place - 1..].join("\n"));
                    }
                }
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            if written.over || left.is_zero() {
                drop(written);
                panic!("the line does not come:\n{}", self.log().join("\n"));
            }
            written = self.log.more.wait_timeout(written, left).unwrap().0;
        }
    }

    /// All lines that it has written so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.written.lock().unwrap().lines.clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for its end: how it ended, and its whole log.
    pub(crate) fn ended(&mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().unwrap();
        let mut written = self.log.written.lock().unwrap();
        while !written.over {
            written = self.log.more.wait(written).unwrap();
        }
        (status, written.lines.clone())
    }

    /// Tells it to stop and waits until it has, in good order; its whole log.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.signal("-TERM");
        let (status, lines) = self.ended();
        assert!(status.success(), "{status}: {lines:#?}");
        lines
    }

    /// The memory that it has, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a line's message ends so.
pub(crate) fn says(line: &Value, words: &str) -> bool {
    line["message"].as_str().is_some_and(|text| text.ends_with(words))
}
