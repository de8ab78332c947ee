//! A place for each call that is under way, given up by whoever holds the claim to it.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::Fingerprint;

/// Whether a call is made, or waits for an equal one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This one's call is made.
    Leader,
    /// An equal call was under way already.
    Follower,
}

/// The calls that are under way.
pub(crate) struct Slots<S> {
    inner: Arc<Mutex<Inner<S>>>,
    most: usize,
}

struct Inner<S> {
    taken: HashMap<Fingerprint, (u64, S)>,
    next: u64,
}

/// The right to a slot. It is free again when this is dropped.
pub(crate) struct Claim<S> {
    slots: Arc<Mutex<Inner<S>>>,
    fingerprint: Fingerprint,
    /// Tells this claim from a later one to the same fingerprint.
    id: u64,
}

impl<S> Slots<S> {
    /// Room for `most` calls.
    pub(crate) fn new(most: usize) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { taken: HashMap::new(), next: 0 })), most }
    }

    /// How many calls are under way.
    pub(crate) fn len(&self) -> usize {
        lock(&self.inner).taken.len()
    }

    /// Joins the call of this fingerprint, if `living` finds it still alive, else makes one: `make` gets the claim to
    /// hold for as long as the call can be joined, or `None` when all slots are taken. Neither may drop a call: its
    /// claim is given up under the lock that is held here.
    pub(crate) fn join<R>(
        &self,
        fingerprint: Fingerprint,
        living: impl FnOnce(&S) -> Option<R>,
        make: impl FnOnce(Option<Claim<S>>) -> (S, R),
    ) -> (Role, R) {
        let mut inner = lock(&self.inner);
        let taken = inner.taken.get(&fingerprint);
        let room = taken.is_some() || inner.taken.len() < self.most;
        if let Some(call) = taken.and_then(|(_, slot)| living(slot)) {
            return (Role::Follower, call);
        }
        if !room {
            return (Role::Leader, make(None).1);
        }
        let id = inner.next;
        inner.next += 1;
        let (slot, call) = make(Some(Claim { slots: Arc::clone(&self.inner), fingerprint, id }));
        inner.taken.insert(fingerprint, (id, slot));
        (Role::Leader, call)
    }
}

impl<S> Drop for Claim<S> {
    fn drop(&mut self) {
        let mut inner = lock(&self.slots);
        if let hash_map::Entry::Occupied(taken) = inner.taken.entry(self.fingerprint)
            && taken.get().0 == self.id
        {
            taken.remove();
        }
    }
}

fn lock<S>(inner: &Mutex<Inner<S>>) -> MutexGuard<'_, Inner<S>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}
