//! `aigate key new NAME`

use super::out::print;
use crate::keys;

pub(super) fn new(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err("a key's name has 1 to 64 letters, digits, `-` and `_`".to_owned());
    }
    let secret = keys::new_secret().map_err(|error| format!("no randomness to be had: {error}"))?;
    let hash = keys::format_hash(&keys::hash(&secret));
    print(&format!(
        "The secret, shown this once:\n\n  {secret}\n\nFor the configuration file:\n\n  [keys.{name}]\n  hash = \"{hash}\"\n"
    ))
}
