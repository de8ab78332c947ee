//! `aigate key new NAME`

use aigate_keys::secret;

use super::out::print;

pub(super) fn new(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err("a key's name has 1 to 64 letters, digits, `-` and `_`".to_owned());
    }
    let made = secret::new_secret().map_err(|error| format!("no randomness to be had: {error}"))?;
    let hash = secret::format_hash(&secret::hash(&made));
    print(&format!(
        "The secret, shown this once:\n\n  {made}\n\nFor the configuration file:\n\n  [keys.{name}]\n  hash = \"{hash}\"\n"
    ))
}
