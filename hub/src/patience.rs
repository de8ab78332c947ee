//! When to try again, and when to give up.

use std::time::{Duration, SystemTime};

use reqwest::{StatusCode, header::HeaderMap};

use crate::{environment::Options, error::PullError, progress::Progress};

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Bytes that must have come for failures to be counted anew: a server that gives a byte at a time is given up.
const PROGRESS: u64 = 1 << 20;

/// Why a try failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It may work next time; perhaps the server said when.
    Passing { why: String, after: Option<Duration> },
    /// It will not work.
    Final(PullError),
}

impl From<PullError> for Fault {
    fn from(error: PullError) -> Self {
        Self::Final(error)
    }
}

impl Fault {
    pub(crate) fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), after: None }
    }

    /// A status that passes: too many calls, or a server in trouble.
    pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || status.is_server_error();
        passing
            .then(|| Self::Passing { why: format!("the hub answered {status}"), after: retry_after(headers) })
    }
}

/// Counts failures in a row.
pub(crate) struct Patience<'a> {
    options: &'a Options,
    progress: &'a dyn Progress,
    failures: u32,
    reached: u64,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(options: &'a Options, progress: &'a dyn Progress) -> Self {
        Self { options, progress, failures: 0, reached: 0 }
    }

    /// Tells how far it came, in bytes.
    pub(crate) fn reached(&mut self, bytes: u64) {
        if bytes >= self.reached.saturating_add(PROGRESS) {
            (self.reached, self.failures) = (bytes, 0);
        }
    }

    /// Waits for the next try.
    ///
    /// # Errors
    /// There is to be none.
    pub(crate) async fn wait(&mut self, fault: Fault, what: &str) -> Result<(), PullError> {
        let (why, after) = match fault {
            Fault::Passing { why, after } => (why, after),
            Fault::Final(error) => return Err(error),
        };
        self.failures += 1;
        if self.failures >= self.options.attempts {
            return Err(PullError::Network(format!("{what}: {why}, {} times in a row", self.failures)));
        }
        let backoff = self.options.backoff.saturating_mul(1 << (self.failures - 1).min(16));
        let wait = after.unwrap_or(backoff.min(LONGEST_WAIT));
        if wait > LONGEST_WAIT {
            return Err(PullError::Busy(wait));
        }
        self.progress.note(&format!("{what}: {why}; trying again in {} s", wait.as_secs()));
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// The wait that a server asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}
