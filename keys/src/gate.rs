//! Who is let in: the one place that decides by key or by token.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use aigate_contract::settings::Fault;

use crate::{Admitted, Issuer, Refused, Ring, jwt::claimed_issuer, refused::TokenFault, secret::hash};

/// Everyone who may come in.
#[derive(Debug, Default)]
pub struct Gate {
    ring: Option<Ring>,
    /// By what their tokens name as their issuer.
    issuers: HashMap<String, Arc<Issuer>>,
}

impl Gate {
    /// A gate with these keys and issuers; with neither it is open. A ring without keys lets nobody in.
    ///
    /// # Errors
    /// Faults at `NAME.issuer` where two issuers in the config are the same one.
    pub fn new(ring: Option<Ring>, issuers: Vec<Arc<Issuer>>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut known: HashMap<String, Arc<Issuer>> = HashMap::with_capacity(issuers.len());
        for issuer in issuers {
            if let Some(twin) = known.get(issuer.issuer()) {
                let message = format!(
                    "is that of `{}` as well, and a token could not tell them apart: `audience` takes a list",
                    twin.name()
                );
                faults.push(Fault::at(format!("{}.issuer", issuer.name()), message));
            }
            known.insert(issuer.issuer().to_owned(), issuer);
        }
        if faults.is_empty() { Ok(Self { ring, issuers: known }) } else { Err(faults) }
    }

    /// Whether everyone is let in, because there are neither keys nor issuers.
    pub fn is_open(&self) -> bool {
        self.ring.is_none() && self.issuers.is_empty()
    }

    /// Lets a caller in by the secret that it presents; `None` when the gate is open. A secret of the form of a token whose
    /// issuer is known is a token, any other a key. Waits only for an issuer's public keys.
    ///
    /// # Errors
    /// Why not.
    pub async fn admit(&self, secret: Option<&str>) -> Result<Option<Admitted>, Refused> {
        if self.is_open() {
            return Ok(None);
        }
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or(Refused::NoKey)?;
        Refused::if_too_large(secret)?;
        let (hash, now) = (hash(secret), SystemTime::now());
        // A token that was verified before need not be read again.
        if let Some(issuer) = self.issuers.values().find(|issuer| issuer.knows(&hash)) {
            return issuer.admit(secret, hash, now).await.map(Some);
        }
        let named = if self.issuers.is_empty() { None } else { claimed_issuer(secret) };
        if let Some(issuer) = named.as_ref().and_then(|named| self.issuers.get(named)) {
            return issuer.admit(secret, hash, now).await.map(Some);
        }
        let key = self.ring.as_ref().map_or(Err(Refused::WrongKey), |ring| ring.admit(&hash, now));
        match key {
            Err(Refused::WrongKey) if named.is_some() => Err(TokenFault::Issuer.into()),
            decided => decided.map(Some),
        }
    }

    /// An issuer by its name in the config, for the build of its successor after a reload.
    pub fn issuer(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.issuers.values().find(|issuer| **issuer.name() == *name)
    }
}

#[cfg(test)]
mod tests;
