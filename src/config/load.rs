//! From the defaults, the file and the environment to one tree of values; from the tree to the document. Finds every
//! fault of form at once: unknown keys, wrong types, unset variables.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use aigate_contract::settings::Fault;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    document::{Deployment, Document, Key, Label},
    interpolate::interpolate,
    merge::merge,
    plan::Print,
    schema::{self, schema},
    suggest::hint,
    tree::{Entry, Tree},
};
use crate::fleet::ProviderConfig;

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A TOML file.
    File(PathBuf),
    /// TOML text made by the program itself, as the demo does.
    Text(String),
}

/// A document that is right in form, with the version of what it was read from.
#[derive(Debug)]
pub struct Loaded {
    /// The document.
    pub document: Document,
    /// The first half of the SHA-256 of the merged tree, before variables were filled in.
    pub version: String,
    /// The merged tree, before variables were filled in: it holds no secret but those that stand in the file.
    pub tree: Tree,
    /// What decides who is let in: keys, identity providers, the files that these name, as a hash.
    pub callers: Print,
    /// What each provider is built from.
    pub prints: BTreeMap<String, Print>,
    /// The files that it was read from or names: when one changes, it is time to read again.
    pub files: Vec<PathBuf>,
}

/// Merges the defaults, the source and `AIGATE__…` variables, and reads the result.
///
/// # Errors
/// Every fault of form, at once.
pub fn load(source: &Source) -> Result<Loaded, Vec<Fault>> {
    load_after(source, None)
}

/// Reads what comes after another tree.
///
/// # Errors
/// As [`load`].
pub fn load_after(source: &Source, before: Option<&Tree>) -> Result<Loaded, Vec<Fault>> {
    let mut tree = merge(source).map_err(|fault| vec![fault])?;
    if let Some(before) = before {
        tree = tree.after(before);
    }
    let keys_print = tree.keys_print();
    let version = tree.version(&keys_print);
    let mut faults = Vec::new();
    let mut rest = tree.rest.clone();
    interpolate(&mut rest, "", &variable, &mut faults);
    let mut files: Vec<PathBuf> = match source {
        Source::File(path) => vec![path.clone()],
        Source::Text(_) => Vec::new(),
    };
    named_files(&rest, &mut files);
    let prints = prints(&rest);
    let callers = callers(keys_print, rest.get("jwt"));
    let document = read(rest, tree.keys(), &mut faults);
    match document {
        Some(document) if faults.is_empty() => Ok(Loaded { document, version, tree, callers, prints, files }),
        _ => Err(faults),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Keys whose value is a file that is read when the configuration is.
const FILE_KEYS: [&str; 4] = ["ca_file", "credentials", "jwks_file", "token_file"];

/// The most files that are watched besides the configuration itself.
const MOST_FILES: usize = 1024;

fn callers(keys: Print, jwt: Option<&Value>) -> Print {
    let mut print = Sha256::new_with_prefix(keys);
    if let Some(settings) = jwt {
        print_settings(settings, &mut print);
    }
    print.finalize().into()
}

/// Adds settings, and what is in the files that they name.
fn print_settings(settings: &Value, print: &mut Sha256) {
    print.update(settings.to_string());
    let mut files = Vec::new();
    named_files(settings, &mut files);
    for file in files {
        print.update(std::fs::read(&file).unwrap_or_default());
    }
}

/// Of each provider: its settings, variables filled in, and what is in the files that they name. Of models on this machine:
/// what their folder holds.
fn prints(tree: &Value) -> BTreeMap<String, Print> {
    let providers = tree.get("providers").and_then(Value::as_object);
    let one = |(name, settings): (&String, &Value)| {
        let mut print = Sha256::new();
        print_settings(settings, &mut print);
        if settings.get("kind").and_then(Value::as_str) == Some("local") {
            let folder = settings.get("folder").and_then(Value::as_str).unwrap_or("models");
            list(Path::new(folder), 0, &mut print);
        }
        (name.clone(), print.finalize().into())
    };
    providers.into_iter().flatten().map(one).collect()
}

/// How deep a folder of models is looked at.
const DEPTH: u32 = 4;

/// Adds names, sizes and times of a folder's files.
fn list(folder: &Path, depth: u32, print: &mut Sha256) {
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().take(4096).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let Ok(about) = file.path().metadata() else { continue };
        print.update(file.file_name().as_encoded_bytes());
        if about.is_dir() && depth < DEPTH {
            list(&file.path(), depth + 1, print);
        } else {
            print.update(format!("{} {:?}", about.len(), about.modified().ok()));
        }
    }
}

fn named_files(tree: &Value, files: &mut Vec<PathBuf>) {
    match tree {
        Value::Object(fields) => {
            for (key, value) in fields {
                let Some(text) = value.as_str() else {
                    named_files(value, files);
                    continue;
                };
                let own = FILE_KEYS.contains(&key.as_str()).then_some(text);
                if let Some(path) = text.strip_prefix("file:").or(own).filter(|_| files.len() < MOST_FILES) {
                    files.push(PathBuf::from(path));
                }
            }
            if let Some(path) = fields.get("prices").and_then(|prices| prices.get("file")?.as_str()) {
                files.push(PathBuf::from(path));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named_files(item, files)),
        _ => {}
    }
}

/// Reads section by section, so that one fault does not hide the next.
fn read(tree: Value, keys: &Arc<[Entry]>, faults: &mut Vec<Fault>) -> Option<Document> {
    let Value::Object(mut tree) = tree else {
        faults.push(Fault::at("", "the configuration is not a table"));
        return None;
    };
    let mut reader = Reader { schema: None, faults };
    let server = reader.section(&mut tree, "server");
    let operations = reader.section(&mut tree, "operations");
    let log = reader.section(&mut tree, "log");
    let telemetry = reader.section(&mut tree, "telemetry");
    let defaults = reader.section(&mut tree, "defaults");
    let cache = reader.section(&mut tree, "cache");
    let prices = reader.section(&mut tree, "prices");
    let shared = reader.section(&mut tree, "shared");
    let state = reader.section(&mut tree, "state");
    let reload = reader.section(&mut tree, "reload");
    let labels = reader.table(&mut tree, "labels", Reader::values);
    let jwt = reader.table(&mut tree, "jwt", Reader::value);
    reader.keys(&mut tree, keys);
    let providers = reader.table(&mut tree, "providers", Reader::provider);
    let models = reader.table(&mut tree, "models", Reader::model);
    for name in tree.keys() {
        reader.unknown(&[], name);
    }
    Some(Document {
        server: server?,
        operations: operations?,
        log: log?,
        telemetry: telemetry?,
        defaults: defaults?,
        cache: cache?,
        prices: prices?,
        shared: shared?,
        state: state?,
        reload: reload?,
        labels,
        jwt,
        keys: Arc::clone(keys),
        providers,
        models,
    })
}

/// A caller's key, whose faults have been told.
pub(super) fn key(entry: &Entry) -> Option<Key> {
    Reader { schema: None, faults: &mut Vec::new() }.key(entry)
}

struct Reader<'a> {
    /// Made when it is needed.
    schema: Option<Value>,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn section<T: DeserializeOwned>(&mut self, tree: &mut Map<String, Value>, name: &str) -> Option<T> {
        let value = tree.remove(name).unwrap_or_else(|| Value::Object(Map::new()));
        self.value(&[name.to_owned()], value)
    }

    /// A table of named things, each read on its own.
    fn table<T>(
        &mut self,
        tree: &mut Map<String, Value>,
        name: &str,
        read: fn(&mut Self, &[String], Value) -> Option<T>,
    ) -> BTreeMap<String, T> {
        match tree.remove(name) {
            None => BTreeMap::new(),
            Some(Value::Object(items)) => {
                let one = |(key, value)| {
                    let path = [name.to_owned(), key];
                    let item = read(self, &path, value)?;
                    let [_, key] = path;
                    Some((key, item))
                };
                items.into_iter().filter_map(one).collect()
            }
            Some(_) => {
                self.faults
                    .push(Fault::at(name, "must be a table of named entries, such as `[models.assistant]`"));
                BTreeMap::new()
            }
        }
    }

    /// Tells what is wrong with the callers' keys.
    fn keys(&mut self, tree: &mut Map<String, Value>, keys: &[Entry]) {
        if tree.contains_key("keys") {
            // It is no table, which is told.
            self.table(tree, "keys", Self::value::<Key>);
        }
        for key in keys {
            self.key(key);
        }
    }

    fn key(&mut self, entry: &Entry) -> Option<Key> {
        let path = ["keys".to_owned(), entry.name().to_owned()];
        let mut value = entry.value();
        interpolate(&mut value, &join(&path), &variable, self.faults);
        self.value(&path, value)
    }

    /// Any value, with its unknown keys and its wrong ones: each wrong one is told, taken out, and the rest is read again.
    fn value<T: DeserializeOwned>(&mut self, path: &[String], value: Value) -> Option<T> {
        let mut value = value;
        let mut removed: Vec<String> = Vec::new();
        loop {
            let mut unknown = Vec::new();
            let mut track = serde_path_to_error::Track::new();
            let tracked = serde_path_to_error::Deserializer::new(&value, &mut track);
            let error = match serde_ignored::deserialize(tracked, |ignored| unknown.push(steps(&ignored))) {
                Ok(read) => {
                    self.tell_unknown(path, unknown);
                    return if removed.is_empty() { Some(read) } else { None };
                }
                Err(error) => error,
            };
            let wrong = track.path();
            // Variables are texts: a number or a truth value is made of one where it is wanted.
            if let Some(text) = at(&mut value, &wrong)
                && let Some(better) = text.as_str().and_then(reread)
            {
                *text = better;
                continue;
            }
            let message = error.to_string();
            let missing_because_removed =
                removed.iter().any(|key| message == format!("missing field `{key}`"));
            if !missing_because_removed {
                let inner = wrong.to_string();
                let place = if inner == "." { join(path) } else { format!("{}.{inner}", join(path)) };
                self.faults.push(Fault::at(place.replace(".[", "["), helpful(message)));
            }
            match take_out(&mut value, &wrong) {
                Some(key) if removed.len() < MOST_FAULTS && !missing_because_removed => removed.push(key),
                _ => {
                    self.tell_unknown(path, unknown);
                    return None;
                }
            }
        }
    }

    fn tell_unknown(&mut self, path: &[String], unknown: Vec<Vec<String>>) {
        for inner in unknown {
            let mut place = path.to_vec();
            place.extend(inner);
            if let Some((name, table)) = place.split_last() {
                self.unknown(table, name);
            }
        }
    }

    fn unknown(&mut self, table: &[String], name: &str) {
        let names: Vec<String> =
            table.iter().filter(|step| step.parse::<usize>().is_err()).cloned().collect();
        let known = schema::known_keys(self.schema.get_or_insert_with(schema), &names);
        let mut path = table.to_vec();
        path.push(name.to_owned());
        let message = format!("unknown key{}", hint(name, known.iter().map(String::as_str)));
        self.faults.push(Fault::at(join(&path), message));
    }

    /// The values of a label, each on its own.
    fn values(&mut self, path: &[String], value: Value) -> Option<BTreeMap<String, Label>> {
        let Value::Object(values) = value else {
            self.faults
                .push(Fault::at(join(path), "must be a table of the label's values: `[labels.NAME.VALUE]`"));
            return None;
        };
        let read = values.into_iter().filter_map(|(name, value)| {
            let mut place = path.to_vec();
            place.push(name.clone());
            Some((name, self.value(&place, value)?))
        });
        Some(read.collect())
    }

    fn provider(&mut self, path: &[String], value: Value) -> Option<ProviderConfig> {
        let Value::Object(mut fields) = value else {
            self.faults.push(Fault::at(join(path), "must be a table with a `kind`"));
            return None;
        };
        let kinds = ProviderConfig::KINDS;
        let kind = match fields.remove("kind") {
            Some(Value::String(kind)) => kind,
            Some(_) => String::new(),
            None => {
                let kinds = kinds.map(|kind| format!("`{kind}`")).join(", ");
                let message = format!("missing key `kind`: one of {kinds}");
                self.faults.push(Fault::at(join(path), message));
                return None;
            }
        };
        let value = Value::Object(fields);
        match kind.as_str() {
            "aws" => self.value(path, value).map(ProviderConfig::Aws),
            "azure" => self.value(path, value).map(ProviderConfig::Azure),
            "local" => self.value(path, value).map(ProviderConfig::Local),
            "google" => self.value(path, value).map(ProviderConfig::Google),
            "openai" => self.value(path, value).map(ProviderConfig::OpenAi),
            _ => {
                let message = format!("no provider is of the kind `{kind}`{}", hint(&kind, kinds));
                self.faults.push(Fault::at(format!("{}.kind", join(path)), message));
                None
            }
        }
    }

    /// A model; its deployments one by one, so that each tells its own faults.
    fn model(&mut self, path: &[String], mut value: Value) -> Option<super::document::Model> {
        let deployments = value.get_mut("deployments").map(Value::take);
        let before = self.faults.len();
        if deployments.is_some()
            && let Some(fields) = value.as_object_mut()
        {
            fields.insert("deployments".to_owned(), Value::Array(Vec::new()));
        }
        let model: Option<super::document::Model> = self.value(path, value);
        let list = match deployments {
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.faults
                    .push(Fault::at(format!("{}.deployments", join(path)), "must be a list of tables"));
                return None;
            }
            None => return None,
        };
        let mut read = Vec::with_capacity(list.len());
        for (index, item) in list.into_iter().enumerate() {
            let mut place = path.to_vec();
            place.extend(["deployments".to_owned(), index.to_string()]);
            read.extend(self.value::<Deployment>(&place, item));
        }
        if self.faults.len() > before {
            None
        } else {
            model.map(|model| super::document::Model { deployments: read, ..model })
        }
    }
}

/// The most wrong values that are told of one entry.
const MOST_FAULTS: usize = 64;

/// What stands at `path`.
fn at<'a>(value: &'a mut Value, path: &serde_path_to_error::Path) -> Option<&'a mut Value> {
    use serde_path_to_error::Segment;
    path.iter().try_fold(value, |here, segment| match segment {
        Segment::Map { key } => here.get_mut(key),
        Segment::Seq { index } => here.get_mut(index),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// A text as a number or a truth value.
fn reread(text: &str) -> Option<Value> {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => Some(value),
        _ => None,
    }
}

/// Removes what stands at `path`; its key, if it is a field of a table.
fn take_out(value: &mut Value, path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let segments: Vec<&Segment> = path.iter().collect();
    let (last, parents) = segments.split_last()?;
    let mut here = value;
    for segment in parents {
        here = match segment {
            Segment::Map { key } => here.get_mut(key)?,
            Segment::Seq { index } => here.get_mut(index)?,
            Segment::Enum { .. } | Segment::Unknown => return None,
        };
    }
    match last {
        Segment::Map { key } => here.as_object_mut()?.remove(key).map(|_| key.clone()),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// What would be right, where the library only says what is wrong.
fn helpful(message: String) -> String {
    if message == "invalid socket address syntax" {
        "not an address and a port, such as 127.0.0.1:8080".to_owned()
    } else {
        message
    }
}

fn steps(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    match path {
        Path::Root => Vec::new(),
        Path::Seq { parent, index } => with(steps(parent), index.to_string()),
        Path::Map { parent, key } => with(steps(parent), key.clone()),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            steps(parent)
        }
    }
}

fn with(mut steps: Vec<String>, step: String) -> Vec<String> {
    steps.push(step);
    steps
}

/// `models.assistant.deployments[1].provider`
pub(super) fn join(path: &[String]) -> String {
    let mut out = String::new();
    for step in path {
        if step.parse::<usize>().is_ok() && !out.is_empty() {
            out.push_str(&format!("[{step}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if step.chars().all(plain) { out.push_str(step) } else { out.push_str(&format!("\"{step}\"")) }
        }
    }
    out
}
