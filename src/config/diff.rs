//! What changed between two configurations, in words: for the log of a reload and for `aigate diff OLD NEW`.

mod show;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use self::show::{change, child, identity, item, listed, secret, shown};

/// More lines help nobody, and flood a log.
const MOST_LINES: usize = 200;
/// Tables within tables further down are compared as a whole.
const DEEPEST: usize = 24;

/// The tables whose entries have names that the operator chose, and what such an entry is called.
const NAMED: [(&str, &str); 5] = [
    ("keys", "key"),
    ("labels", "label"),
    ("models", "model"),
    ("providers", "provider"),
    ("jwt", "issuer of tokens"),
];

/// What differs between two merged configurations, one line for each change, `PATH: WHAT`, sorted by path; empty only when
/// they are equal. Values of keys that look secret, and user names and passwords in URLs, are never shown. Long texts are
/// shortened, and lines after the 200th only counted.
pub fn diff(old: &Value, new: &Value) -> Vec<String> {
    let mut changes = Changes::default();
    changes.compare("", 0, Some(old), Some(new));
    changes.into_lines()
}

/// The same where the tables of the callers' keys stand apart.
pub(super) fn differences(rest: (&Value, &Value), keys: (&Value, &Value)) -> Vec<String> {
    let mut changes = Changes::default();
    changes.compare("", 0, Some(rest.0), Some(rest.1));
    changes.compare("keys", 1, Some(keys.0), Some(keys.1));
    changes.into_lines()
}

/// The changes found so far: the path and what happened there.
#[derive(Default)]
struct Changes(Vec<(String, String)>);

impl Changes {
    fn into_lines(mut self) -> Vec<String> {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        let more = self.0.len().saturating_sub(MOST_LINES);
        let line = |(path, what): (String, String)| match path.as_str() {
            "" => what,
            _ => format!("{path}: {what}"),
        };
        let mut lines: Vec<String> = self.0.into_iter().take(MOST_LINES).map(line).collect();
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }

    fn tell(&mut self, path: &str, what: impl Into<String>) {
        self.0.push((path.to_owned(), what.into()));
    }

    /// Compares what stands at a path; none where nothing does.
    fn compare(&mut self, path: &str, depth: usize, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) if depth < DEEPEST => {
                self.tables(path, depth, old, new);
            }
            (None, Some(Value::Object(new))) if depth < DEEPEST && !new.is_empty() => {
                self.tables(path, depth, &Map::new(), new);
            }
            (Some(Value::Object(old)), None) if depth < DEEPEST && !old.is_empty() => {
                self.tables(path, depth, old, &Map::new());
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) if depth < DEEPEST => {
                self.lists(path, depth, old, new);
            }
            (Some(old), Some(new)) => self.tell(path, change(old, new)),
            (None, Some(new)) => self.tell(path, format!("set to {}", shown(new))),
            (Some(old), None) => self.tell(path, format!("removed, was {}", shown(old))),
            (None, None) => {}
        }
    }

    fn tables(&mut self, path: &str, depth: usize, old: &Map<String, Value>, new: &Map<String, Value>) {
        let kind = NAMED.iter().find(|(table, _)| depth == 1 && *table == path).map(|(_, kind)| *kind);
        let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for field in fields {
            let (old, new) = (old.get(field), new.get(field));
            let path = child(path, field);
            match (kind, old, new) {
                (Some(kind), None, Some(_)) => self.tell(&path, format!("new {kind}")),
                (Some(_), Some(_), None) => self.tell(&path, "removed"),
                // What the operator named `token` is no token.
                (None, ..) if secret(field) => self.secret(&path, old, new),
                _ => self.compare(&path, depth + 1, old, new),
            }
        }
    }

    fn secret(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            _ if old == new => {}
            (None, _) => self.tell(path, "set (secret)"),
            (_, None) => self.tell(path, "removed (secret)"),
            _ => self.tell(path, "changed (secret)"),
        }
    }

    /// Compares lists by what their items are: a deployment is its provider and target, a tensor its name.
    fn lists(&mut self, path: &str, depth: usize, old: &[Value], new: &[Value]) {
        let (Some(before), Some(after)) = (Items::of(old), Items::of(new)) else {
            return self.tell(path, change(&Value::from(old), &Value::from(new)));
        };
        for gone in before.without(&after) {
            self.tell(path, format!("removed {}", before.name(gone)));
        }
        for added in after.without(&before) {
            self.tell(path, format!("added {} at place {}", after.name(added), after.place[added] + 1));
        }
        let (was, is) = (before.order(&after), after.order(&before));
        if was != is {
            self.tell(path, format!("order changed: {} -> {}", before.names(&was), after.names(&is)));
        }
        for item in was {
            let path = format!("{path}[{}]", before.name(item));
            self.compare(&path, depth + 1, before.value(item), after.value(item));
        }
    }
}

/// What an item is, and which one of several that are the same.
type Id = (String, usize);

/// The items of a list, by what they are.
struct Items<'a> {
    list: &'a [Value],
    /// Where each item stands.
    place: BTreeMap<Id, usize>,
}

impl<'a> Items<'a> {
    /// None when there is an item that nothing names.
    fn of(list: &'a [Value]) -> Option<Self> {
        let mut times = BTreeMap::new();
        let mut place = BTreeMap::new();
        for (index, value) in list.iter().enumerate() {
            let id = identity(value)?;
            let time: &mut usize = times.entry(id.clone()).or_default();
            *time += 1;
            place.insert((id, *time), index);
        }
        Some(Self { list, place })
    }

    fn value(&self, id: &Id) -> Option<&'a Value> {
        self.place.get(id).and_then(|place| self.list.get(*place))
    }

    fn without<'b>(&'b self, other: &'b Self) -> impl Iterator<Item = &'b Id> {
        self.place.keys().filter(|id| !other.place.contains_key(*id))
    }

    /// The items that the other list has too, in this list's order.
    fn order<'b>(&'b self, other: &Self) -> Vec<&'b Id> {
        let mut ids: Vec<(&Id, usize)> = self
            .place
            .iter()
            .filter(|(id, _)| other.place.contains_key(*id))
            .map(|(id, at)| (id, *at))
            .collect();
        ids.sort_by_key(|(_, at)| *at);
        ids.into_iter().map(|(id, _)| id).collect()
    }

    fn name(&self, id: &Id) -> String {
        let name = self.value(id).map(item).unwrap_or_default();
        if id.1 == 1 { name } else { format!("{name} #{}", id.1) }
    }

    fn names(&self, ids: &[&Id]) -> String {
        listed(ids.iter().map(|id| self.name(id)))
    }
}
