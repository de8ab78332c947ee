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
    let stanza = if name == "operations" { operators(&hash) } else { callers(name, &hash) };
    print(&format!("The secret, shown this once:\n\n  {made}\n\nFor the configuration file:\n\n{stanza}"))
}

/// For the operators' listener.
fn operators(hash: &str) -> String {
    format!("  [operations]\n  key = \"{hash}\"\n")
}

/// For a caller. What it is not to have stays a comment.
fn callers(name: &str, hash: &str) -> String {
    format!(
        r#"  [keys.{name}]
  hash = "{hash}"
  # models = ["assistant", "credit-*"]   # what it may call; default: all
  # tasks = ["chat", "embed"]   # default: all
  # expires = "2099-12-31T00:00:00Z"
  # labels = {{ team = "retail", project = "letters" }}
  # limits_per_replica = {{ requests = "100/s", tokens = "60_000/m", concurrency = 20 }}
  # budget_per_replica = {{ usd_per_day = 50, usd_per_month = 1000 }}
"#
    )
}
