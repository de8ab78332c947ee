//! A JSON file of settings, read by name: errors say the file, the name and what was found.

use std::path::Path;

use serde_json::{Map, Value};

/// The largest settings file that is read, in bytes; real ones have a few thousand.
const LARGEST: u64 = 16 << 20;

/// The settings of one file.
#[derive(Debug)]
pub(super) struct Settings {
    file: String,
    values: Map<String, Value>,
}

/// The bytes of a file of at most `largest` bytes; `None` when there is no such file.
pub(super) fn read_small(path: &Path, largest: u64) -> Result<Option<Vec<u8>>, String> {
    let length = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    if length > largest {
        return Err(format!("{} has {length} bytes; at most {largest} are read", path.display()));
    }
    std::fs::read(path).map(Some).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// The JSON value of a file; `None` when there is no such file.
pub(super) fn read_json(path: &Path) -> Result<Option<Value>, String> {
    let Some(bytes) = read_small(path, LARGEST)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| format!("{} is not valid JSON: {error}", path.display()))
}

impl Settings {
    /// `None` when there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Settings>, String> {
        let file = path.display().to_string();
        match read_json(path)? {
            None => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Settings { file, values })),
            Some(_) => Err(format!("{file} is not a JSON object")),
        }
    }

    /// Like [`Settings::read`], of a file that must be there.
    pub(super) fn required(path: &Path) -> Result<Settings, String> {
        Settings::read(path)?.ok_or_else(|| format!("{} is missing", path.display()))
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The value, unless absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, String> {
        self.typed(name, "a text", Value::as_str)
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.typed(name, "a number", Value::as_f64)
    }

    /// A whole number from 1 to 2^31: sizes of models, whose products must not overflow.
    pub(super) fn size(&self, name: &str) -> Result<Option<usize>, String> {
        self.typed(name, "a whole number from 1 to 2^31", |value| {
            value
                .as_u64()
                .filter(|size| (1..=1 << 31).contains(size))
                .and_then(|size| usize::try_from(size).ok())
        })
    }

    /// The setting that one of the names has.
    pub(super) fn required_size(&self, names: &[&str]) -> Result<usize, String> {
        for name in names {
            if let Some(size) = self.size(name)? {
                return Ok(size);
            }
        }
        Err(format!("{} does not have `{}`", self.file, names.join("` or `")))
    }

    /// Refuses settings by other names: they may change the result.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.values.iter().find(|(name, value)| !value.is_null() && !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => Err(format!(
                "{}: `{name}` is not known; the settings read are {}",
                self.file,
                known.join(", ")
            )),
        }
    }

    /// Refuses a setting with another value than the one that leaves the result as it is.
    pub(super) fn must_be(&self, name: &str, harmless: &Value) -> Result<(), String> {
        match self.get(name) {
            Some(value) if value != harmless => {
                Err(format!("{}: `{name}` = {value} is not supported, only {harmless}", self.file))
            }
            _ => Ok(()),
        }
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| format!("{}: `{name}` = {value} is not {wanted}", self.file))
    }
}
