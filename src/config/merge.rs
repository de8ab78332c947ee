//! The defaults, the file and `AIGATE__…` variables become one tree.

use aigate_contract::settings::Fault;
use config::{Config, ConfigError, Environment, File, FileFormat, FileSourceString};
use serde_json::Value;

use super::{
    load::Source,
    tree::{Entry, Tree, take_keys},
};

/// Every key with its default, embedded.
const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Texts above this size are read in parts of it: TOML's values take twenty times the memory of their text.
const PART: usize = 256 * 1024;

/// Merges the defaults, the source and the environment.
pub(super) fn merge(source: &Source) -> Result<Tree, Fault> {
    let read;
    let text = match source {
        Source::File(path) => {
            read = std::fs::read_to_string(path)
                .map_err(|error| Fault::at("", format!("cannot read {}: {error}", path.display())))?;
            &read
        }
        Source::Text(text) => text,
    };
    let sets_keys =
        || std::env::vars_os().any(|(name, _)| name.as_encoded_bytes().starts_with(b"AIGATE__KEYS"));
    if text.len() > PART
        && !sets_keys()
        && let Some(tree) = in_parts(text)
    {
        return Ok(tree);
    }
    whole(text).map_err(|error| {
        let message = error.to_string();
        let place = place(text, &message).map(|line| format!("line {line}: ")).unwrap_or_default();
        Fault::at("", place + message.trim_end())
    })
}

/// The line that a fault without a place is about: one with such a value, by itself or within a list.
fn place(text: &str, message: &str) -> Option<usize> {
    if message.contains("at line ") {
        return None;
    }
    let says = |text: &str| {
        Config::builder().add_source(toml(text)).build().is_err_and(|error| error.to_string() == message)
    };
    text.lines().position(|line| says(line) || says(&format!("x = [\n{line}\n]"))).map(|line| line + 1)
}

fn toml(text: &str) -> File<FileSourceString, FileFormat> {
    File::from_str(text, FileFormat::Toml)
}

fn whole(text: &str) -> Result<Tree, ConfigError> {
    let variables = Environment::with_prefix("AIGATE").prefix_separator("__").separator("__");
    let sources = Config::builder().add_source(toml(DEFAULTS)).add_source(toml(text)).add_source(variables);
    sources.build()?.try_deserialize().map(Tree::new)
}

/// Reads parts that hold nothing but callers' keys one by one. `None` where that may not be the same as reading the whole: it is
/// to be read so, for its faults as well.
fn in_parts(text: &str) -> Option<Tree> {
    let mut others = String::new();
    let mut keys: Vec<Entry> = Vec::new();
    for part in parts(text) {
        // A part that ends within a text or a list is not right by itself.
        let mut tree: Value =
            Config::builder().add_source(toml(part)).build().ok()?.try_deserialize().ok()?;
        let before = keys.len();
        take_keys(&mut tree, &mut keys);
        if tree.as_object().is_none_or(|rest| !rest.is_empty()) {
            keys.truncate(before);
            others.push_str(part);
        }
    }
    whole(&others).ok()?.with(keys)
}

/// Cuts before lines such as `[keys.anna]`.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if at - start >= PART && begins_a_key(line) {
            parts.extend(text.get(start..at));
            start = at;
        }
        at += line.len();
    }
    parts.extend(text.get(start..));
    parts
}

fn begins_a_key(line: &str) -> bool {
    let name = line.strip_prefix("[keys.").and_then(|rest| rest.split(']').next());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.is_some_and(|name| !name.is_empty() && name.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many() -> String {
        let mut text = String::from("[server]\nmax_connections = 7\n");
        for number in 0..4000 {
            text += &format!(
                "[keys.k{number}]\nhash = \"sha256:{number:064}\"\n[keys.k{number}.labels]\nteam = \"t{}\"\n",
                number % 7
            );
        }
        text + "[models.m]\ntask = \"chat\"\n"
    }

    #[test]
    fn a_long_text_is_the_same_in_parts_as_in_one() {
        let text = many();
        assert!(parts(&text).len() > 1, "{}", text.len());
        let (one, other) = (in_parts(&text).unwrap(), whole(&text).unwrap());
        assert_eq!(one.version(&one.keys_print()), other.version(&other.keys_print()));
        assert_eq!((one.keys().len(), one.keys()), (4000, other.keys()));
        assert_eq!(one.rest, other.rest);
        assert_eq!(one.changes(&other), [""; 0]);
    }

    #[test]
    fn what_parts_would_hide_is_left_to_the_whole() {
        let text = many();
        let twice = text.clone() + "[keys.k1]\nhash = \"x\"\n";
        assert!(in_parts(&twice).is_none() && whole(&twice).is_err());
        // A line within a text looks like the beginning of a key.
        let filler = "#".repeat(PART);
        let hidden = format!("{filler}\na = \"\"\"\n[keys.k]\n{filler}\n[keys.l]\n\"\"\"\n");
        assert_eq!(parts(&hidden).len(), 3);
        assert!(in_parts(&hidden).is_none());
        let tree = whole(&hidden).unwrap();
        assert!(tree.keys().is_empty() && tree.rest["a"].as_str().unwrap().contains("[keys.l]"));
        let broken = text + "[keys.\n";
        assert!(in_parts(&broken).is_none());
        let fault = merge(&Source::Text(broken.clone())).unwrap_err();
        assert!(fault.message.contains(&format!("line {}", broken.lines().count())), "{fault:?}");
    }

    #[test]
    fn a_number_that_is_none_is_told_with_its_line() {
        for text in [
            "[a]\nb = 1\nc = { d = \"5/s\", e = 200_000/m\", f = 4 }\n",
            "[a]\nb = [ { c = 1 },\n  { d = 99999999999999999999 }, # too large\n]\n",
            "\n\na = 99999999999999999999",
        ] {
            let fault = merge(&Source::Text(text.to_owned())).unwrap_err();
            assert!(fault.message.starts_with("line 3: "), "{fault:?}");
        }
    }

    #[test]
    fn changes_of_keys_are_told_one_by_one() {
        let tree = |text: &str| whole(text).unwrap();
        let old = tree("[keys.a]\nhash = \"1\"\n[keys.b]\nhash = \"1\"\n[keys.c]\nhash = \"1\"\n");
        let new = tree(
            "[keys.a]\nhash = \"1\"\n[keys.c]\nhash = \"2\"\nrevoked = true\n[keys.d]\nhash = \"1\"\n[log]\ncalls = false\n",
        );
        assert_eq!(
            old.changes(&new),
            [
                "keys.b: removed",
                "keys.c.hash: changed (secret)",
                "keys.c.revoked: set to true",
                "keys.d: new key",
                "log.calls: true -> false",
            ]
        );
        assert_eq!(tree("").changes(&old), ["keys.a: new key", "keys.b: new key", "keys.c: new key"]);
    }
}
