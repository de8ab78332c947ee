//! The `aigate` program: reads its arguments, does what they say, tells how it went by its exit code.

use std::process::ExitCode;

/// Small, and quicker than the system's allocator for many short-lived buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aigate::cli::run()
}
