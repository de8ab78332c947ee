//! The threads that compute.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// A fixed number of compute threads, named `aigate-compute-N`. Idle ones sleep. Encoders may share one.
#[derive(Debug)]
pub struct Threads {
    pool: ThreadPool,
}

impl Threads {
    /// Starts `count` threads. Zero, and what the system refuses to start, is an error.
    pub fn new(count: usize) -> Result<Threads, String> {
        if count == 0 {
            return Err("an encoder needs at least one thread".into());
        }
        let builder = ThreadPoolBuilder::new().num_threads(count);
        let builder = builder.thread_name(|index| format!("aigate-compute-{index}"));
        // As the kernels' team: a gateway's other work goes first. Where the system does not let it, it is equal.
        let lower = |_| {
            crate::kernels::lower_priority();
        };
        let pool = builder.start_handler(lower).build();
        pool.map(|pool| Threads { pool }).map_err(|error| format!("cannot start {count} threads: {error}"))
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on them.
    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }
}

/// One scratch space for each thread.
#[derive(Debug)]
pub(super) struct PerThread<T>(Vec<Mutex<T>>);

impl<T: Default> PerThread<T> {
    pub(super) fn new(threads: &Threads) -> PerThread<T> {
        PerThread((0..threads.count()).map(|_| Mutex::default()).collect())
    }

    /// The calling compute thread's own. Nothing inside waits for other work, so nobody else ever holds it.
    pub(super) fn get(&self) -> MutexGuard<'_, T> {
        let index = rayon::current_thread_index().unwrap_or(0) % self.0.len();
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
