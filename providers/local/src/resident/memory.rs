//! The bound on the memory of all models of a provider.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use aigate_contract::settings::Size;
use tokio::time::Instant;

/// How long a model that is wanted waits for one that leaves.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many bytes, shared by models.
pub(crate) struct Memory {
    limit: u64,
    used: Mutex<u64>,
    freed: Condvar,
    tenants: Mutex<Vec<Weak<dyn Tenant>>>,
}

/// A model that may have to leave.
pub(super) trait Tenant: Send + Sync {
    /// Unloads the model if nobody asks it at the moment; whether it was loaded and leaves.
    fn leave_if_idle(&self) -> bool;

    /// When it was last asked.
    fn last_used(&self) -> Instant;
}

/// A part of the memory, until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Memory {
    /// Memory of `limit` bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::default(), freed: Condvar::new(), tenants: Mutex::default() })
    }

    /// The bound.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn register<T: Tenant + 'static>(&self, tenant: &Arc<T>) {
        let tenant: Arc<dyn Tenant> = Arc::clone(tenant) as _;
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|known| known.strong_count() > 0);
        tenants.push(Arc::downgrade(&tenant));
    }

    /// Takes a part. Where there is no room, idle models leave, the one that was idle longest first. Waits for them a while:
    /// not for threads that serve calls.
    ///
    /// # Errors
    /// When models that are busy take the room.
    pub(super) fn lease(self: &Arc<Self>, bytes: u64) -> Result<Lease, String> {
        let end = Instant::now() + PATIENCE;
        let mut used = self.used();
        loop {
            if used.saturating_add(bytes) <= self.limit {
                *used += bytes;
                return Ok(Lease { memory: Arc::clone(self), bytes });
            }
            let taken = *used;
            drop(used);
            // A model that leaves takes locks of its own.
            let leaves = self.let_one_leave();
            used = self.used();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || (!leaves && *used == taken) {
                return Err(format!(
                    "it needs {} of memory, and busy models have {} of the {} there are (`memory`)",
                    Size(bytes),
                    Size(*used),
                    Size(self.limit)
                ));
            }
            if used.saturating_add(bytes) > self.limit {
                used = self.freed.wait_timeout(used, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn let_one_leave(&self) -> bool {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tenants: Vec<_> = tenants.iter().filter_map(Weak::upgrade).collect();
        tenants.sort_by_key(|tenant| tenant.last_used());
        tenants.iter().any(|tenant| tenant.leave_if_idle())
    }

    fn used(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut used = self.memory.used();
        *used = used.saturating_sub(self.bytes);
        self.memory.freed.notify_all();
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("limit", &self.limit)
            .field("used", &*self.used())
            .finish_non_exhaustive()
    }
}
