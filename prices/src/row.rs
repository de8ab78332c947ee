//! The rows of a catalogue as they are written, each read on its own so that one fault does not hide the next.

use std::sync::LazyLock;

use aigate_contract::settings::Fault;
use schemars::schema_for;
use serde::{Deserialize, de::DeserializeOwned};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use toml::{Table, Value};

use crate::{amount::Amount, config::PriceConfig, nearest::hint, price::About, rates::Rates};

/// How sure a price is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Confidence {
    /// From memory, or sources disagree.
    Low,
    /// From one second-hand source.
    Medium,
    /// From the provider's own page, or several sources that agree.
    High,
}

impl Confidence {
    /// The word in the catalogue.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a row or a factor is about. An empty list is all of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    pub kinds: Vec<String>,
    pub tasks: Vec<String>,
    /// In lower case.
    pub models: Vec<String>,
}

impl Scope {
    pub(crate) fn covers(&self, kind: &str, task: &str) -> bool {
        let within = |list: &[String], one: &str| list.is_empty() || list.iter().any(|item| item == one);
        within(&self.kinds, kind) && within(&self.tasks, task)
    }
}

/// `[[price]]`: what models cost.
#[derive(Debug)]
pub(crate) struct Row {
    pub scope: Scope,
    /// The only region it is valid in, in lower case.
    pub region: Option<String>,
    pub rates: Rates,
    pub about: About,
}

/// `[[factor]]`: what the prices of rows are multiplied with in a region or a service class.
#[derive(Debug)]
pub(crate) struct Factor {
    pub scope: Scope,
    pub applies: Applies,
    /// As a fraction of whole numbers.
    pub times: (i128, i128),
    pub about: About,
}

/// When a factor applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applies {
    /// The call is billed for a region, not for the whole world.
    Regional,
    /// The call is of this service class.
    Class(String),
}

const KINDS: [&str; 4] = ["aws", "azure", "google", "openai"];
const TASKS: [&str; 8] = ["chat", "embed", "predict", "text", "image", "read", "transcribe", "translate"];
const SCOPE: [&str; 7] = ["kinds", "tasks", "models", "as_of", "source", "confidence", "note"];
/// Keys of a deployment's `price` that a row does not have.
const NOT_IN_ROWS: [&str; 2] = ["model", "class"];

/// The keys of unit prices, and `region`.
static UNIT_PRICES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let schema = schema_for!(PriceConfig);
    let keys = schema.get("properties").and_then(|keys| keys.as_object());
    let known = keys.into_iter().flat_map(|keys| keys.keys());
    known.filter(|key| !NOT_IN_ROWS.contains(&key.as_str())).cloned().collect()
});

/// Reads a `[[price]]`; its faults go to `faults`, with keys relative to the row.
pub(crate) fn price(table: Table, faults: &mut Vec<Fault>) -> Option<Row> {
    let mut reader = Reader { table, faults };
    let (scope, about) = (reader.scope(), reader.about());
    if scope.as_ref().is_some_and(|scope| scope.kinds.is_empty()) {
        reader.add("kinds", "missing: whose price it is, such as [\"aws\"]");
    }
    if scope.as_ref().is_some_and(|scope| scope.tasks.is_empty()) {
        reader.add("tasks", "missing: what it is the price of, such as [\"chat\"]");
    }
    if scope.as_ref().is_some_and(|scope| scope.models.is_empty()) {
        reader.add("models", "missing: the models it is the price of, such as [\"gpt-4.1-mini\"]");
    }
    let mut config = reader.unit_prices()?;
    let region = config.region.take().map(|region| region.to_lowercase());
    let rates = Rates::checked(&config).map_err(|wrong| reader.faults.extend(wrong)).ok()?;
    let scope = scope?;
    for task in &scope.tasks {
        rates.suit(task).map_err(|fault| reader.faults.push(fault)).ok()?;
    }
    Some(Row { scope, region, rates, about: about? })
}

/// Reads a `[[factor]]`.
pub(crate) fn factor(table: Table, faults: &mut Vec<Fault>) -> Option<Factor> {
    let mut reader = Reader { table, faults };
    let (scope, about) = (reader.scope(), reader.about());
    let regional: Option<bool> = reader.take("regional");
    let class: Option<String> = reader.take("class");
    let times: Option<Amount> = reader.take("times");
    reader.unknown(["regional", "class", "times"].into_iter());
    let applies = match (regional, class) {
        (Some(true), None) => Some(Applies::Regional),
        (None, Some(class)) => Some(Applies::Class(class)),
        _ => {
            reader.add("", "needs either `regional = true` or a `class`");
            None
        }
    };
    let fraction = times.map(Amount::fraction).filter(|&(times, over)| {
        // At most four decimals, at most 10: two factors and any real usage stay countable.
        times > 0 && over <= 10_000 && times <= 10 * over
    });
    if fraction.is_none() {
        reader.add("times", "must be a number above 0, at most 10, with at most four decimals");
    }
    Some(Factor { scope: scope?, applies: applies?, times: fraction?, about: about? })
}

struct Reader<'a> {
    table: Table,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn add(&mut self, key: &str, message: &str) {
        self.faults.push(Fault::at(key, message));
    }

    /// Takes a key out of the table. `None` when it is missing or wrong; the latter is a fault.
    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.table.remove(key)?;
        value.try_into().map_err(|error| self.add(key, error.to_string().trim())).ok()
    }

    fn scope(&mut self) -> Option<Scope> {
        let before = self.faults.len();
        let kinds: Vec<String> = self.take("kinds").unwrap_or_default();
        let tasks: Vec<String> = self.take("tasks").unwrap_or_default();
        let models: Vec<String> = self.take("models").unwrap_or_default();
        self.known("kinds", &kinds, &KINDS);
        self.known("tasks", &tasks, &TASKS);
        if models.iter().any(String::is_empty) {
            self.add("models", "a model's name is empty");
        }
        let models = models.iter().map(|name| name.to_lowercase()).collect();
        (self.faults.len() == before).then_some(Scope { kinds, tasks, models })
    }

    fn known(&mut self, key: &str, names: &[String], known: &[&str]) {
        for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
            let message = format!("`{name}` is none of {}", known.join(", "));
            self.add(key, &message);
        }
    }

    fn about(&mut self) -> Option<About> {
        let before = self.faults.len();
        for key in ["as_of", "source", "confidence"] {
            if !self.table.contains_key(key) {
                self.add(key, "missing: each price says where it is from, when, and how sure it is");
            }
        }
        let as_of: Option<String> = self.take("as_of");
        if as_of.as_deref().is_some_and(|date| !is_date(date)) {
            self.add("as_of", "must be a date as text, such as \"2026-08-21\"");
        }
        let source: Option<String> = self.take("source");
        let confidence: Option<Confidence> = self.take("confidence");
        let note: Option<String> = self.take("note");
        if self.faults.len() > before {
            return None;
        }
        Some(About { source: source?, as_of: Some(as_of?), confidence: confidence?, note })
    }

    /// What is left of the table must be unit prices. Each is first read alone, so that each tells its own fault.
    fn unit_prices(&mut self) -> Option<PriceConfig> {
        let before = self.faults.len();
        self.unknown(UNIT_PRICES.iter().map(String::as_str));
        let table = std::mem::take(&mut self.table);
        for (key, value) in &table {
            let alone = Table::from_iter([(key.clone(), value.clone())]);
            if let Err(error) = alone.try_into::<PriceConfig>() {
                self.add(key, first_line(&error.to_string()));
            }
        }
        if self.faults.len() > before { None } else { table.try_into().ok() }
    }

    /// Takes out the keys that are none of `known`, each a fault.
    fn unknown<'a>(&mut self, known: impl Iterator<Item = &'a str>) {
        let known: Vec<&str> = known.collect();
        let strangers: Vec<String> =
            self.table.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
        for key in strangers {
            self.table.remove(&key);
            let all = known.iter().copied().chain(SCOPE);
            let message = format!("unknown key{}", hint(&key, all));
            self.add(&key, &message);
        }
    }
}

/// The names of a table's rows for a message, from what is written: the row may be wrong.
pub(crate) fn label(table: &Table) -> String {
    let first = |value: &Value| value.as_array()?.first()?.as_str().map(str::to_owned);
    table.get("models").and_then(first).map(|model| format!("({model}) ")).unwrap_or_default()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// `YYYY-MM-DD`, a day that there is.
fn is_date(text: &str) -> bool {
    text.len() == "2026-08-21".len() && OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339).is_ok()
}
