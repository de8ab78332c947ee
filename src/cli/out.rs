//! Writing to the terminal. A reader that goes away is no error.

use std::io::{self, Write};

/// Prints to standard output.
pub(super) fn print(text: &str) -> Result<(), String> {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| format!("cannot write to standard output: {error}")),
    }
}

/// Prints an error to standard error.
pub(super) fn complain(message: &str) {
    // When even that fails there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "aigate: {message}");
}
