//! A fixed team of threads that computes the parts of one job at a time.
//!
//! Jobs follow each other within microseconds, so a member that has nothing to do looks for the next job for a
//! short while before it sleeps. A member that comes late does not hold up a job: the caller closes the job when
//! all parts are taken, and waits only for those who are at work on one.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

mod disjoint;

pub(super) use disjoint::Disjoint;

/// How often a member looks for work before it sleeps. That takes some tens of microseconds: longer than the pause
/// between two products of a token, too short to be seen in the load of an idle machine.
const PATIENCE: usize = 2000;

/// A fixed team of compute threads; the thread that calls [`Team::run`] is one of them.
pub struct Team {
    shared: Arc<Shared>,
    members: Vec<JoinHandle<()>>,
}

/// The parts of a job, with the lifetime taken off: see [`Shared::job`].
type Work = &'static (dyn Fn(usize) + Sync);

struct Shared {
    /// [`OPEN`] while parts may be taken, number of members at work in the bits of [`AT_WORK`], and the number
    /// of the job in the bits above.
    state: AtomicU64,
    /// The work and its number of parts. Written by the caller that holds `busy` while no member is at work
    /// and the job is closed; read by members that have entered their names in `state` while it was open.
    job: UnsafeCell<Option<(Work, usize)>>,
    next: AtomicUsize,
    busy: AtomicBool,
    stop: AtomicBool,
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const AT_WORK: u64 = 0xffff;
const OPEN: u64 = 0x1_0000;
const JOB: u64 = 0x2_0000;

// SAFETY: `job` is the only field that is not `Sync` by itself; the protocol in its description keeps writes and
// reads apart, and `Work` refers to something `Sync`.
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Team {
    /// A team of `threads` threads in all, of which one is the caller of [`Team::run`] (zero counts as one).
    ///
    /// Where the system refuses a thread, the team is smaller: [`Team::threads`] tells. On Linux the members
    /// have the lower priority of [`lower_priority`].
    pub fn new(threads: usize) -> Team {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            panic: Mutex::new(None),
        });
        let most = threads.min(AT_WORK as usize);
        let members = (1..most).map_while(|number| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("aigate-compute-{number}"))
                .spawn(move || shared.serve())
                .ok()
        });
        let members = members.collect();
        Team { shared, members }
    }

    /// Number of threads, with the caller.
    pub fn threads(&self) -> usize {
        self.members.len() + 1
    }

    /// Calls `work` once for each part from 0 to `parts`, on whichever threads are free; returns when all
    /// calls have returned.
    ///
    /// A call from inside a part, or while another thread has the team, computes all parts on its own thread.
    ///
    /// # Panics
    /// When a part panics, with the same payload; parts that were not begun are left out.
    pub fn run(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        if parts <= 1 || self.members.is_empty() || self.shared.busy.swap(true, Ordering::Acquire) {
            return (0..parts).for_each(work);
        }
        self.shared.lead(parts, work);
        let panic = lock(&self.shared.panic).take();
        self.shared.busy.store(false, Ordering::Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake_members();
        for member in self.members.drain(..) {
            // A member catches the panics of its parts, so there is none to report.
            let _ = member.join();
        }
    }
}

impl Shared {
    /// The caller's part in a job.
    fn lead(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. Members use the work only while they are counted in `state`, and
        // this function returns after the job is closed and none is counted any more.
        let work = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Work>(work) };
        // SAFETY: the caller holds `busy`, the job before was closed and is left by all members.
        unsafe { *self.job.get() = Some((work, parts)) };
        self.next.store(0, Ordering::Relaxed);
        let number = self.state.load(Ordering::Relaxed) & !(JOB - 1);
        self.state.store(number.wrapping_add(JOB) | OPEN, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            self.wake_members();
        }
        self.take_parts(work, parts);
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0_u32;
        while self.state.load(Ordering::Acquire) & AT_WORK > 0 {
            // A member may have lost its processor to another thread: give that one a chance as well.
            looks += 1;
            if looks.is_multiple_of(1024) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    /// The life of a member.
    fn serve(&self) {
        lower_priority();
        let mut done = 0;
        while let Some(state) = self.wait_for_job(done) {
            let entered = self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
            if entered.is_err() {
                // Another member entered first, or the job is closed: look again.
                continue;
            }
            done = state & !(JOB - 1);
            // SAFETY: this member is counted in `state` since the job was open, so the caller does not write.
            let job = unsafe { *self.job.get() };
            if let Some((work, parts)) = job {
                self.take_parts(work, parts);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// The state of a job that is open and not `done`; `None` when the team is given up.
    fn wait_for_job(&self, done: u64) -> Option<u64> {
        let look = || {
            let state = self.state.load(Ordering::SeqCst);
            (state & OPEN > 0 && state & !(JOB - 1) != done).then_some(state)
        };
        for _ in 0..PATIENCE {
            if let Some(state) = look() {
                return Some(state);
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.sleep);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let state = loop {
            let state = look();
            if state.is_some() || self.stop.load(Ordering::SeqCst) {
                break state;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        state
    }

    fn wake_members(&self) {
        drop(lock(&self.sleep));
        self.wake.notify_all();
    }

    fn take_parts(&self, work: Work, parts: usize) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return;
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(part))) {
                self.next.store(parts, Ordering::Relaxed);
                lock(&self.panic).get_or_insert(payload);
                return;
            }
        }
    }
}

/// A panic while one of these locks is held cannot leave its content half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lowers the priority of the calling thread (Linux: nice 10), so that other work of the process goes first.
///
/// Returns whether the system did it; it never does on other systems.
pub fn lower_priority() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::process::setpriority_process(None, 10).is_ok();
    #[cfg(not(target_os = "linux"))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_computed_once_in_many_small_runs() {
        for threads in 0..5 {
            let team = Team::new(threads);
            for parts in (0..40).cycle().take(2000) {
                let calls: Vec<_> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                team.run(parts, &|part| {
                    calls[part].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn members_that_sleep_are_woken() {
        let team = Team::new(3);
        for _ in 0..20 {
            let mut looks = 0;
            while team.shared.asleep.load(Ordering::SeqCst) < 2 {
                looks += 1;
                assert!(looks < 10_000_000, "the members do not go to sleep");
                std::thread::yield_now();
            }
            // Each part waits for the other one, so both need a thread of their own.
            let met = AtomicUsize::new(0);
            team.run(2, &|_| {
                met.fetch_add(1, Ordering::SeqCst);
                while met.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn a_panic_in_a_part_reaches_the_caller_and_the_team_goes_on() {
        let team = Team::new(3);
        for round in 0..50 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.run(20, &|part| {
                    if part == round % 20 {
                        std::panic::resume_unwind(Box::new(part));
                    }
                });
            }));
            assert_eq!(result.unwrap_err().downcast_ref(), Some(&(round % 20)));
            let sum = AtomicUsize::new(0);
            team.run(100, &|part| {
                sum.fetch_add(part, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn a_panic_in_a_run_inside_a_part_reaches_the_outer_caller() {
        let team = Team::new(3);
        let result = catch_unwind(AssertUnwindSafe(|| {
            team.run(4, &|outer| {
                team.run(4, &|inner| {
                    if (outer, inner) == (2, 3) {
                        std::panic::resume_unwind(Box::new("inner"));
                    }
                });
            });
        }));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"inner"));
    }

    #[test]
    fn several_threads_may_use_a_team_at_once() {
        let team = Team::new(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let sum = AtomicUsize::new(0);
                        team.run(10, &|part| {
                            sum.fetch_add(part, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), 45);
                    }
                });
            }
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn members_yield_to_other_work() {
        let nice = std::thread::spawn(|| (lower_priority(), rustix::process::getpriority_process(None)));
        let nice = nice.join().unwrap();
        assert!(matches!(nice, (true, Ok(10..))), "{nice:?}");
    }
}
