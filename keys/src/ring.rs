//! All keys of a config, found by their secret.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::SystemTime,
};

use aigate_contract::{Caller, settings::Fault};
use subtle::ConstantTimeEq;

use crate::{Refused, Rights};

/// A caller's key.
#[derive(Clone)]
pub struct Key {
    /// Its name in the config.
    pub name: Arc<str>,
    /// The SHA-256 hashes of its secrets: one, or two while a secret is replaced by another.
    pub hashes: Vec<[u8; 32]>,
    /// What it may use.
    pub rights: Rights,
    /// When it stops being good.
    pub expires: Option<SystemTime>,
    /// Whether the operator withdrew it.
    pub revoked: bool,
    /// Labels such as `team` and `project`, in any order.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A caller that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who it is.
    pub caller: Arc<Caller>,
    /// What it may use.
    pub rights: Arc<Rights>,
}

/// All keys. A lookup takes the same time however many there are, and a key takes a few hundred bytes: rights and the texts of
/// labels that keys have in common are held once.
pub struct Ring {
    /// By the first eight bytes of the hash: where its slots begin.
    starts: HashMap<[u8; 8], u32>,
    /// Sorted by hash, so that those with the same beginning stand together.
    slots: Vec<Slot>,
    holders: Vec<Holder>,
}

struct Slot {
    hash: [u8; 32],
    /// Index of the key.
    holder: u32,
}

struct Holder {
    admitted: Admitted,
    expires: Option<SystemTime>,
    revoked: bool,
}

impl Ring {
    /// Lets a caller in by the SHA-256 of the secret that it presents.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, hash: &[u8; 32], now: SystemTime) -> Result<Admitted, Refused> {
        let holder = self.find(hash).ok_or(Refused::WrongKey)?;
        if holder.revoked {
            return Err(Refused::Revoked);
        }
        match holder.expires {
            Some(since) if since <= now => Err(Refused::Expired { since }),
            _ => Ok(holder.admitted.clone()),
        }
    }

    /// The holder of a hash. How the hash begins may show in the time it takes, the rest of it never: nobody gets nearer to a
    /// secret by learning eight bytes of its hash.
    fn find(&self, hash: &[u8; 32]) -> Option<&Holder> {
        let start = *self.starts.get(&beginning(hash))? as usize;
        let same =
            self.slots.get(start..)?.iter().take_while(|slot| beginning(&slot.hash) == beginning(hash));
        let found =
            same.fold(None, |found, slot| if slot.hash.ct_eq(hash).into() { Some(slot) } else { found });
        self.holders.get(found?.holder as usize)
    }

    /// Builds the ring.
    ///
    /// # Errors
    /// Faults at `NAME.hash` or `NAME`: a key without a hash or with more than two, a hash that two keys share, a name that
    /// stands twice or could be taken for that of a token's caller (`ISSUER:SUBJECT`).
    pub fn build(keys: Vec<Key>) -> Result<Self, Vec<Fault>> {
        let mut faults = faults_of_names(&keys);
        let mut slots = Vec::with_capacity(keys.len());
        let mut holders = Vec::with_capacity(keys.len());
        let (mut texts, mut rights) = (Shared::default(), Shared::default());
        for (key, holder) in keys.into_iter().zip(0_u32..) {
            if !(1..=2).contains(&key.hashes.len()) {
                let message =
                    "needs one hash, or two while a secret is replaced: `aigate key new` prints them";
                faults.push(Fault::at(format!("{}.hash", key.name), message));
            }
            slots.extend(key.hashes.iter().map(|hash| Slot { hash: *hash, holder }));
            holders.push(held(key, &mut texts, &mut rights));
        }
        slots.shrink_to_fit();
        slots.sort_unstable_by_key(|slot| slot.hash);
        faults.extend(faults_of_hashes(&slots, &holders));
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut starts = HashMap::with_capacity(slots.len());
        for (slot, index) in slots.iter().zip(0_u32..) {
            starts.entry(beginning(&slot.hash)).or_insert(index);
        }
        Ok(Self { starts, slots, holders })
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("keys", &self.holders.len()).finish_non_exhaustive()
    }
}

fn beginning(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

fn held(key: Key, texts: &mut Shared<str>, rights: &mut Shared<Rights>) -> Holder {
    let mut labels: Vec<_> =
        key.labels.into_iter().map(|(label, value)| (texts.one(label), texts.one(value))).collect();
    labels.sort_unstable();
    labels.shrink_to_fit();
    Holder {
        admitted: Admitted {
            caller: Arc::new(Caller { name: key.name, labels }),
            rights: rights.one(Arc::new(key.rights)),
        },
        expires: key.expires,
        revoked: key.revoked,
    }
}

/// Equal values, held once.
struct Shared<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: ?Sized + Eq + std::hash::Hash> Shared<T> {
    fn one(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.0.get(&value) {
            return Arc::clone(known);
        }
        self.0.insert(Arc::clone(&value));
        value
    }
}

fn faults_of_names(keys: &[Key]) -> Vec<Fault> {
    let mut seen = HashSet::with_capacity(keys.len());
    let mut faults = Vec::new();
    for Key { name, .. } in keys {
        if name.contains(':') {
            let message = "a key's name has no `:`: such names are those of callers with a token";
            faults.push(Fault::at(&**name, message));
        }
        if !seen.insert(name) {
            faults.push(Fault::at(&**name, "stands twice"));
        }
    }
    faults
}

fn faults_of_hashes(slots: &[Slot], holders: &[Holder]) -> Vec<Fault> {
    let name = |slot: &Slot| holders.get(slot.holder as usize).map(|held| &held.admitted.caller.name);
    let twins = slots.iter().zip(slots.iter().skip(1)).filter(|(one, other)| one.hash == other.hash);
    twins
        .filter_map(|(one, other)| {
            let (one, other) = (name(one)?, name(other)?);
            Some(Fault::at(
                format!("{one}.hash"),
                format!("stands at `{other}` as well: each secret belongs to one key"),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests;
