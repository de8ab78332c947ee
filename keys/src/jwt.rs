//! JSON Web Tokens of an identity provider, in place of keys.
//!
//! A token's way: read its parts ([`token`]), take the issuer's public key that it names ([`jwks`], [`set`], [`source`]), verify
//! the signature, and only then believe its claims ([`claims`]).

mod claims;
mod config;
mod jwks;
mod set;
mod source;
mod token;

use std::{fmt, sync::Arc, time::SystemTime};

use aigate_contract::settings::Fault;
use moka::sync::Cache;

use self::{
    claims::{Claims, Reader},
    jwks::{Jwks, Store},
    set::{KeySet, Miss},
    source::{Place, Source},
    token::Token,
};
use crate::{Admitted, Refused, refused::TokenFault};

pub use config::JwtConfig;
pub(crate) use jwks::RETRY;
pub(crate) use token::claimed_issuer;

/// The most tokens that are known to be good without verifying them again.
const MAX_VERIFIED: u64 = 10_000;

/// An identity provider whose tokens are taken.
pub struct Issuer {
    name: Arc<str>,
    issuer: String,
    algorithms: Vec<jsonwebtoken::Algorithm>,
    reader: Reader,
    jwks: Jwks,
    /// By the SHA-256 of the token. Only verified tokens are in it, and nobody finds out a token by how long the search for its
    /// hash takes, so it needs no comparison in constant time.
    verified: Cache<[u8; 32], Verified>,
}

/// A token that was verified.
#[derive(Clone)]
struct Verified {
    admitted: Admitted,
    until: SystemTime,
    /// The digest of the key set: when the issuer withdraws a key, its tokens are verified anew.
    keys: [u8; 32],
}

impl Issuer {
    /// Lets a caller in by its token, whose hash is known already.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn admit(
        &self,
        token: &str,
        hash: [u8; 32],
        now: SystemTime,
    ) -> Result<Admitted, Refused> {
        let keys = self.jwks.current().await.ok_or_else(|| self.unavailable())?;
        let known = self.verified.get(&hash).filter(|known| known.keys == keys.digest && now < known.until);
        if let Some(known) = known {
            return Ok(known.admitted);
        }
        let (claims, keys) = self.verify(token, keys).await?;
        let (admitted, until) = self.reader.read(&self.name, &claims, now)?;
        self.verified.insert(hash, Verified { admitted: admitted.clone(), until, keys: keys.digest });
        Ok(admitted)
    }

    /// Whether a token with this hash was verified before; it may not be good any more.
    pub(crate) fn knows(&self, hash: &[u8; 32]) -> bool {
        self.verified.contains_key(hash)
    }

    /// The claims of a token whose signature is good, and the keys under which it is.
    async fn verify(&self, text: &str, mut keys: Arc<KeySet>) -> Result<(Claims, Arc<KeySet>), Refused> {
        let token = Token::parse(text)?;
        let how = token.algorithm(&self.algorithms)?;
        let kid = token.header.kid.as_deref();
        if keys.find(kid, how).err() == Some(Miss::Unknown) {
            keys = self.jwks.renewed().await.ok_or_else(|| self.unavailable())?;
        }
        let key = keys.find(kid, how).map_err(|miss| match miss {
            Miss::Unfit => TokenFault::Algorithm,
            Miss::Unknown | Miss::Unclear => TokenFault::Key,
        })?;
        let claims = token.verified(key, how)?;
        Ok((claims, keys))
    }

    fn unavailable(&self) -> Refused {
        Refused::Unavailable { issuer: Arc::clone(&self.name) }
    }

    /// Its name in the config.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What its tokens name as their issuer.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Builds an issuer. Nothing is fetched, but a file with public keys is read. The public keys of `previous`, the issuer of
    /// the same name before a reload, stay when they are still to be found at the same place.
    ///
    /// # Errors
    /// Faults in the config, and in the file.
    pub fn build(
        name: &str,
        config: &JwtConfig,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let name: Arc<str> = name.into();
        let mut faults = config.faults(&name);
        let mut good = |outcome: Vec<Fault>| faults.extend(outcome);
        let reader = Reader::build(config).map_err(&mut good).ok();
        let source = Source::build(config).map_err(&mut good).ok();
        let store = source.as_ref().map(|source| store(source, &name, previous));
        let store = store.and_then(|store| store.map_err(|fault| good(vec![fault])).ok());
        match (reader, source, store) {
            (Some(reader), Some(source), Some(store)) if faults.is_empty() => Ok(Arc::new(Self {
                issuer: config.issuer.clone(),
                algorithms: config.algorithms(),
                reader,
                jwks: Jwks {
                    name: Arc::clone(&name),
                    source: Arc::new(source),
                    refresh: config.refresh(),
                    store,
                },
                verified: Cache::new(MAX_VERIFIED),
                name,
            })),
            _ => Err(faults),
        }
    }
}

/// The keys that are at hand already: those of the issuer before the reload, or those of the file. The file's are not put where
/// the issuer before finds them: it goes on with its own if the reload fails.
fn store(source: &Source, name: &str, previous: Option<&Arc<Issuer>>) -> Result<Arc<Store>, Fault> {
    if let Place::File(path) = &source.place {
        let keys = source::read_file(path).and_then(|text| KeySet::parse(&text));
        let store = Store::default();
        store.put(name, keys.map_err(|why| Fault::at("jwks_file", why))?);
        return Ok(Arc::new(store));
    }
    let same = previous.filter(|previous| previous.jwks.source.place == source.place);
    Ok(same.map_or_else(Arc::default, |previous| Arc::clone(&previous.jwks.store)))
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
