//! Keys: made, hashed, recognised. The secret itself is seen once and never stored.

use aigate_contract::BoxError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a secret begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "aig_";

/// A fresh secret: 256 bits from the system's source of randomness.
///
/// # Errors
/// When the system has no randomness to give.
pub fn new_secret() -> Result<String, BoxError> {
    let mut bytes = [0_u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The hash under which a secret is known. The secret has 256 random bits, so a fast hash is the right one.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// `sha256:…`, as it stands in the config.
pub fn format_hash(hash: &[u8; 32]) -> String {
    format!("sha256:{}", hexadecimal(hash))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

/// Reads `sha256:…`.
///
/// # Errors
/// A message for the operator.
pub fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    let wrong =
        || "not a hash: expected `sha256:` and 64 hexadecimal digits, as `aigate key new` prints".to_owned();
    let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?;
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    let mut hash = [0_u8; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}

/// Whether a secret has this hash; takes the same time whatever the answer.
pub fn matches(secret: &str, known: &[u8; 32]) -> bool {
    hash(secret).ct_eq(known).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_is_recognised_by_its_printed_hash_alone() {
        let secret = new_secret().unwrap();
        let known = parse_hash(&format_hash(&hash(&secret))).unwrap();
        assert!(matches(&secret, &known));
        assert!(!matches("aig_other", &known));
        assert_ne!(secret, new_secret().unwrap());
    }

    #[test]
    fn what_is_not_a_hash_is_refused() {
        for text in ["", "sha256:", "sha256:zz", "md5:00", &format!("sha256:{}", "g".repeat(64))] {
            assert!(parse_hash(text).is_err(), "{text}");
        }
    }
}
