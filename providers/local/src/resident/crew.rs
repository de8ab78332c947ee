//! The workers of a model and the queue before them. Workers come with the work and go when there is none.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aigate_contract::{Error, ErrorKind, settings::Size};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::time::Instant;

use super::{Memory, Residence, Work, Worker, memory::Lease, pace::Pace};

/// A queue and those who work it off.
pub(super) struct Crew<W: Worker> {
    queue: Sender<Item<W>>,
    shared: Arc<Shared<W>>,
}

enum Item<W> {
    Work(Work<W>),
    /// Another model needs the room.
    Leave,
}

/// There is no place in the queue.
pub(super) struct Full {
    /// When there should be one.
    pub(super) free_in: Duration,
}

struct Shared<W: Worker> {
    residence: Residence,
    memory: Arc<Memory>,
    pace: Pace,
    waiting: Receiver<Item<W>>,
    /// Locked while it is loaded and while a worker goes: the last one takes it along.
    model: Mutex<Option<Loaded<W>>>,
    /// Threads that have not ended.
    workers: AtomicUsize,
    /// Those of them that compute.
    busy: AtomicUsize,
}

struct Loaded<W: Worker> {
    model: Arc<W::Model>,
    _memory: Lease,
}

impl<W: Worker> Crew<W> {
    pub(super) fn new(residence: Residence, memory: &Arc<Memory>) -> Self {
        // Room for a request to leave to each worker, behind all work.
        let (queue, waiting) = bounded(residence.queue + 2 * residence.workers);
        let shared = Shared {
            residence,
            memory: Arc::clone(memory),
            pace: Pace::default(),
            waiting,
            model: Mutex::default(),
            workers: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
        };
        Self { queue, shared: Arc::new(shared) }
    }

    pub(super) fn residence(&self) -> &Residence {
        &self.shared.residence
    }

    pub(super) fn last_used(&self) -> Instant {
        self.shared.pace.last()
    }

    /// Queues work, with one more worker for it where all others are busy.
    pub(super) fn submit(&self, work: Work<W>) -> Result<(), Full> {
        let Shared { residence, pace, workers, .. } = &*self.shared;
        let full = || Full { free_in: pace.until_free(residence.queue / residence.workers + 1) };
        if self.shared.load_of_work() >= residence.queue + residence.workers {
            return Err(full());
        }
        self.queue.try_send(Item::Work(work)).map_err(|_| full())?;
        let there = workers.load(SeqCst);
        if there == 0 || (there < residence.workers && self.shared.load_of_work() > there) {
            self.hire();
        }
        Ok(())
    }

    /// Lets all workers go, if none of them has work; whether the model is about to leave the memory.
    pub(super) fn leave_if_idle(&self) -> bool {
        // One that is being loaded, perhaps by who asks here, or is leaving already.
        let Ok(model) = self.shared.model.try_lock() else { return false };
        if model.is_none() || self.shared.load_of_work() > 0 {
            return false;
        }
        (0..self.shared.workers.load(SeqCst)).all(|_| self.queue.try_send(Item::Leave).is_ok())
    }

    fn hire(&self) {
        let shared = Arc::clone(&self.shared);
        shared.workers.fetch_add(1, SeqCst);
        let thread = thread::Builder::new().name("aigate-local".to_owned());
        if let Err(error) = thread.spawn(move || shared.work()) {
            // The system has no more threads. Other workers do what waits, if there are any.
            if self.shared.workers.fetch_sub(1, SeqCst) == 1 {
                let message = format!("no thread can be started for a model on this machine: {error}");
                self.shared.refuse_all(|| Error::new(ErrorKind::Unavailable, message.clone()));
            }
        }
    }
}

impl<W: Worker> Shared<W> {
    /// Pieces of work that wait or are worked on.
    fn load_of_work(&self) -> usize {
        self.waiting.len() + self.busy.load(SeqCst)
    }

    /// One worker's life.
    fn work(&self) {
        loop {
            match self.load() {
                // What the worker holds is part of what the model was given memory for: it goes before the model.
                Ok(model) => self.serve(W::new(&model, &self.residence)),
                Err(error) => self.refuse_all(error),
            }
            if self.goes() {
                return;
            }
        }
    }

    /// Whether the worker may go: there are others, or there is no work.
    fn goes(&self) -> bool {
        let mut model = self.model();
        if self.workers.fetch_sub(1, SeqCst) > 1 {
            return true;
        }
        // Who queued work before that counted on this worker; who does so from now on hires another.
        if !self.waiting.is_empty() {
            self.workers.fetch_add(1, SeqCst);
            return false;
        }
        *model = None;
        true
    }

    /// The model, from those who have it or from its files. The error is made anew for each who waits.
    fn load(&self) -> Result<Arc<W::Model>, impl Fn() -> Error + use<W>> {
        let Residence { target, bytes, .. } = &self.residence;
        let failed = |kind, wait: Option<Duration>, why: &str| {
            let message = format!("`{target}` cannot be loaded: {why}");
            tracing::error!(model = %target, %why, "a model on this machine cannot be loaded");
            move || Error::new(kind, message.clone()).with_retry_after(wait)
        };
        let mut known = self.model();
        if let Some(loaded) = &*known {
            return Ok(Arc::clone(&loaded.model));
        }
        let memory = match self.memory.lease(*bytes) {
            Ok(memory) => memory,
            Err(why) => return Err(failed(ErrorKind::Overloaded, Some(Duration::from_secs(5)), &why)),
        };
        let started = Instant::now();
        // A panic would leave everybody who waits waiting.
        let model = match catch_unwind(|| W::load(&self.residence)) {
            Ok(Ok(model)) => Arc::new(model),
            Ok(Err(why)) => return Err(failed(ErrorKind::Missing, None, &why)),
            Err(_) => return Err(failed(ErrorKind::Internal, None, "its reader failed on it (a defect)")),
        };
        let elapsed = started.elapsed();
        tracing::info!(model = %target, memory = %Size(*bytes), ?elapsed, "loaded a model on this machine");
        *known = Some(Loaded { model: Arc::clone(&model), _memory: memory });
        Ok(model)
    }

    fn model(&self) -> MutexGuard<'_, Option<Loaded<W>>> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut worker: W) {
        while let Some(work) = self.next() {
            self.busy.fetch_add(1, SeqCst);
            let started = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| work(Ok(&mut worker))));
            self.pace.took(started.elapsed());
            self.busy.fetch_sub(1, SeqCst);
            if outcome.is_err() {
                // Who asked is told by the end of what it listens to. What the worker holds may be half done.
                tracing::error!(model = %self.residence.target, "a model's worker panicked (a defect): another one takes over");
                return;
            }
        }
    }

    /// The next piece of work; `None` when the worker may go.
    fn next(&self) -> Option<Work<W>> {
        let item = match self.residence.unload_after {
            Some(idle) => self.waiting.recv_timeout(idle),
            None => self.waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match item {
            Ok(Item::Work(work)) => Some(work),
            Ok(Item::Leave) => {
                tracing::info!(model = %self.residence.target, "an idle model on this machine makes room for another");
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                tracing::info!(model = %self.residence.target, "a model on this machine was idle: it is unloaded");
                None
            }
        }
    }

    fn refuse_all(&self, error: impl Fn() -> Error) {
        while let Ok(item) = self.waiting.try_recv() {
            if let Item::Work(work) = item {
                work(Err(error()));
            }
        }
    }
}
