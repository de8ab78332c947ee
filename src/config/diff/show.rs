//! Paths and values as they are shown: short, on one line, and without secrets.

use serde_json::{Map, Value};

/// A shown text has so many characters at most.
const LONGEST: usize = 80;
/// So many items of a list or table are shown.
const MOST_ITEMS: usize = 10;
/// Tables and lists within so many others are only hinted at.
const DEEPEST: usize = 3;

/// What a secret's name ends with, and what stands anywhere in one.
const ENDS: [&str; 8] =
    ["key", "token", "hash", "hashes", "signature", "authorization", "cookie", "external_id"];
const PARTS: [&str; 8] =
    ["secret", "password", "passwd", "passphrase", "credential", "api_key", "access_key", "private_key"];

/// Whether a key's value is not to be shown.
pub(super) fn secret(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    ENDS.iter().any(|end| name.ends_with(end)) || PARTS.iter().any(|part| name.contains(part))
}

/// The path of a key in the table at `path`, written as in TOML.
pub(super) fn child(path: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = match !name.is_empty() && name.chars().all(bare) {
        true => short(name),
        false => format!("\"{}\"", short(&name.escape_debug().to_string())),
    };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// What an item of a list is, whatever else it holds: the provider and target of a deployment, a tensor's name, a plain
/// value itself.
pub(super) fn identity(value: &Value) -> Option<String> {
    match value {
        Value::Object(table) => named(table),
        Value::Array(_) => None,
        plain => Some(plain.to_string()),
    }
}

fn named(table: &Map<String, Value>) -> Option<String> {
    let text = |key| table.get(key).and_then(Value::as_str);
    match (text("provider"), text("target")) {
        (Some(provider), Some(target)) => Some(format!("{provider}/{target}")),
        _ => text("name").map(str::to_owned),
    }
}

/// An item of a list, as it is told.
pub(super) fn item(value: &Value) -> String {
    match value {
        Value::Object(table) => named(table).map_or_else(|| shown(value), |name| text(&name)),
        _ => shown(value),
    }
}

/// `OLD -> NEW`, or how they differ where both look the same.
pub(super) fn change(old: &Value, new: &Value) -> String {
    let (was, is) = (shown(old), shown(new));
    if was != is {
        return format!("{was} -> {is}");
    }
    match (kind(old), kind(new)) {
        (before, after) if before != after => format!("the {before} {was} -> the {after} {is}"),
        (what, _) if hides(old) || hides(new) => format!("changed, a {what} with a secret"),
        (what, _) => format!("changed, a {what} too long to show where"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "yes or no",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "table",
    }
}

/// Whether showing the value leaves a secret out.
fn hides(value: &Value) -> bool {
    match value {
        Value::String(text) => hidden(text) != *text,
        Value::Array(items) => items.iter().any(hides),
        Value::Object(table) => table.iter().any(|(name, value)| secret(name) || hides(value)),
        _ => false,
    }
}

/// A value, shortened, on one line.
pub(super) fn shown(value: &Value) -> String {
    short(&nested(value, 0))
}

fn nested(value: &Value, depth: usize) -> String {
    match value {
        Value::String(content) => text(content),
        Value::Array(_) | Value::Object(_) if depth >= DEEPEST => "…".to_owned(),
        Value::Array(items) => format!("[{}]", listed(items.iter().map(|value| nested(value, depth + 1)))),
        Value::Object(table) => {
            let field = |(name, value): (&String, &Value)| match secret(name) {
                true => format!("{} = (secret)", child("", name)),
                false => format!("{} = {}", child("", name), nested(value, depth + 1)),
            };
            format!("{{{}}}", listed(table.iter().map(field)))
        }
        plain => plain.to_string(),
    }
}

/// The first of several, separated by commas, and how many more there are.
pub(super) fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(MOST_ITEMS);
    let mut first: Vec<String> = items.take(MOST_ITEMS).collect();
    if more > 0 {
        first.push(format!("and {more} more"));
    }
    first.join(", ")
}

/// A text as it was written, on one line and without secrets; in quotes where it would be unclear where it ends.
fn text(content: &str) -> String {
    let content = hidden(content);
    let plain = !content.is_empty() && content.trim() == content && !content.contains(char::is_control);
    short(&if plain { content } else { format!("{content:?}") })
}

/// Leaves out the user and password of a URL, and its query: `https://***@host/path?***`.
fn hidden(content: &str) -> String {
    let start = content.find("://").filter(|at| !content[..*at].contains('@')).map_or(0, |at| at + 3);
    let (scheme, rest) = content.split_at(start);
    // Up to the last @, as a password may hold one.
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) if start > 0 || user.contains(':') => format!("***@{host}"),
        _ => rest.to_owned(),
    };
    match rest.split_once('?') {
        Some((address, _)) if start > 0 => format!("{scheme}{address}?***"),
        _ => format!("{scheme}{rest}"),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
