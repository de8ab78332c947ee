//! An issuer's public keys, as it publishes them (JWK Set, RFC 7517).

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The most keys that are read of one issuer.
const MAX_KEYS: usize = 100;

/// An issuer's public keys.
pub(super) struct KeySet {
    /// SHA-256 of the text that they were read from: what was verified with one set is not with another.
    pub(super) digest: [u8; 32],
    keys: Vec<PublicKey>,
}

struct PublicKey {
    kid: Option<String>,
    /// What it may verify.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Why a token's key is not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// There is no such key; a newer set may have it.
    Unknown,
    /// There is, but not for this algorithm.
    Unfit,
    /// The token names no key, and several would do.
    Unclear,
}

impl KeySet {
    /// Reads a set. Keys that cannot verify a signature (shared secrets, keys for encryption, unknown kinds) are passed over.
    ///
    /// # Errors
    /// A message for the operator when nothing is left.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }

        let document: Document = serde_json::from_slice(text)
            .map_err(|error| format!("not a JWK Set (`{{\"keys\": […]}}`): {error}"))?;
        let count = document.keys.len();
        if count > MAX_KEYS {
            return Err(format!("has {count} keys: at most {MAX_KEYS} are read"));
        }
        let keys: Vec<PublicKey> = document.keys.into_iter().filter_map(PublicKey::read).collect();
        if keys.is_empty() {
            return Err(format!("has {count} keys, and none that can verify a signature"));
        }
        Ok(Self { digest: Sha256::digest(text).into(), keys })
    }

    /// The key that a token names; the only one for the algorithm when it names none.
    pub(super) fn find(&self, kid: Option<&str>, how: Algorithm) -> Result<&DecodingKey, Miss> {
        let fits = |key: &&PublicKey| key.algorithms.contains(&how);
        let Some(kid) = kid else {
            let mut fitting = self.keys.iter().filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(&only.key),
                (None, _) => Err(Miss::Unknown),
                (Some(_), Some(_)) => Err(Miss::Unclear),
            };
        };
        let mut named = self.keys.iter().filter(|key| key.kid.as_deref() == Some(kid)).peekable();
        if named.peek().is_none() {
            return Err(Miss::Unknown);
        }
        named.find(fits).map(|key| &key.key).ok_or(Miss::Unfit)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl PublicKey {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithms = algorithms(&jwk);
        if algorithms.is_empty() || !is_for_signatures(&jwk) {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { kid: jwk.common.key_id, algorithms, key })
    }
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let used = jwk.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let verifies = |list: &Vec<KeyOperations>| list.contains(&KeyOperations::Verify);
    used && jwk.common.key_operations.as_ref().is_none_or(verifies)
}

/// What a key may verify: what its kind can, and of that only what it is published for. A shared secret verifies nothing.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let possible: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    };
    let published =
        |how: &&Algorithm| jwk.common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(**how));
    possible.iter().filter(published).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn set(keys: &[String]) -> Result<KeySet, String> {
        KeySet::parse(format!("{{\"keys\": [{}]}}", keys.join(",")).as_bytes())
    }

    fn ed(more: &str) -> String {
        format!("{ED}{more}}}")
    }

    #[test]
    fn keys_that_cannot_verify_are_passed_over() {
        let shared = r#"{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "a"}"#.to_owned();
        for useless in [
            shared.clone(),
            ed(r#", "use": "enc""#),
            ed(r#", "key_ops": ["sign"]"#),
            ed(r#", "alg": "ES256""#),
            r#"{"kty": "new"}"#.to_owned(),
            "7".to_owned(),
        ] {
            let why = set(std::slice::from_ref(&useless)).err().unwrap();
            assert!(why.contains("1 keys, and none"), "{useless}: {why}");
        }
        let set = set(&[shared, ed(r#", "kid": "a", "use": "sig", "key_ops": ["verify"]"#)]).unwrap();
        assert_eq!(set.len(), 1);
        assert!(set.find(Some("a"), Algorithm::EdDSA).is_ok());
    }

    #[test]
    fn a_key_is_found_by_its_name_or_because_it_is_the_only_one() {
        let two = set(&[ed(r#", "kid": "a""#), ed(r#", "kid": "b""#)]).unwrap();
        assert!(two.find(Some("b"), Algorithm::EdDSA).is_ok());
        assert_eq!(two.find(Some("c"), Algorithm::EdDSA).err(), Some(Miss::Unknown));
        assert_eq!(two.find(Some("a"), Algorithm::RS256).err(), Some(Miss::Unfit));
        assert_eq!(two.find(None, Algorithm::EdDSA).err(), Some(Miss::Unclear));
        let one = set(&[ed("")]).unwrap();
        assert!(one.find(None, Algorithm::EdDSA).is_ok());
        assert_eq!(one.find(Some("a"), Algorithm::EdDSA).err(), Some(Miss::Unknown));
    }

    #[test]
    fn what_is_no_set_or_too_large_a_one_is_refused_with_the_reason() {
        for text in ["", "{}", "[]", "<html>", r#"{"keys": {}}"#] {
            assert!(KeySet::parse(text.as_bytes()).err().unwrap().contains("not a JWK Set"), "{text}");
        }
        assert!(set(&vec![ed(""); 101]).err().unwrap().contains("at most 100"));
    }
}
