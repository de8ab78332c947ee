//! The catalogue of prices, and what it has for one model at one place.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use aigate_contract::settings::Fault;
use toml::{Table, Value};

use crate::{
    name::{geography, names},
    nearest::nearest,
    price::{About, Price},
    row::{self, Applies, Factor, Row},
};

/// The rows built into the program.
const SHIPPED: &str = include_str!("../../config/prices.toml");
/// The largest catalogue that is read, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// Prices by model. An operator's own file can be laid over the shipped rows.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// The one that wins comes first.
    layers: Vec<Arc<Layer>>,
}

/// The rows of one file.
#[derive(Debug, Default)]
struct Layer {
    rows: Vec<Row>,
    factors: Vec<Factor>,
    /// Which rows name a model.
    by_model: HashMap<String, Vec<usize>>,
}

/// Where a call goes, for its price.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The provider's kind: `aws`, `azure`, `google`, `openai` or `local`. `openai` is OpenAI itself: a model at another server
    /// with its API has another price, or none, even under the same name.
    pub kind: &'a str,
    /// The task: `chat`, `embed`, `predict`, …
    pub task: &'a str,
    /// What the provider calls the model: the deployment's target.
    pub model: &'a str,
    /// Where it is billed: a region, `data_zone`, or `global`. At AWS a model's own `global.` or `eu.` wins. `None` is the
    /// list price.
    pub region: Option<&'a str>,
    /// The service class: `flex`, `batch`, `priority`; `None`, `default` and `standard` are the usual one.
    pub class: Option<&'a str>,
}

impl Catalogue {
    /// The rows built into the program.
    ///
    /// # Errors
    /// Faults of the build, which a test rules out.
    pub fn shipped() -> Result<Self, Vec<Fault>> {
        Self::parse(SHIPPED)
    }

    /// Reads a catalogue in the form of `config/prices.toml`.
    ///
    /// # Errors
    /// Every fault, each with the number of its row (from 0) and its key.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        if text.len() > MOST_BYTES {
            return Err(vec![Fault::at("", format!("the catalogue is larger than {MOST_BYTES} bytes"))]);
        }
        let mut tree: Table = match text.parse() {
            Ok(tree) => tree,
            Err(error) => return Err(vec![Fault::at("", error.to_string().trim_end())]),
        };
        let mut faults = Vec::new();
        let rows = read_all(&mut tree, "price", row::price, &mut faults);
        let factors = read_all(&mut tree, "factor", row::factor, &mut faults);
        for key in tree.keys() {
            faults.push(Fault::at(key, "unknown key; a catalogue has `[[price]]` and `[[factor]]` tables"));
        }
        let layer = Layer::new(rows, factors, &mut faults);
        if faults.is_empty() { Ok(Self { layers: vec![Arc::new(layer)] }) } else { Err(faults) }
    }

    /// Lays `other` over these rows: for a model that both have at a place, the other's row wins. A factor changes only rows of
    /// its own file.
    pub fn extend(&mut self, other: Self) {
        self.layers.splice(0..0, other.layers);
    }

    /// The price at `place`; a model on this machine costs nothing.
    ///
    /// A row's model is compared whole with the target, then with the target made shorter step by step: without the path or ARN
    /// around it, at AWS without the geography (`eu.`), without its version or date (`@20251001`, `-v1:0`, `-2025-04-14`). So
    /// `gpt-4.1` is never the price of `gpt-4.1-mini`. An Azure deployment that is named like a model is taken to run it.
    ///
    /// # Errors
    /// Why there is none and what to write, for the operator.
    pub fn find(&self, place: &Place<'_>) -> Result<Arc<Price>, String> {
        if place.kind == "local" {
            return Ok(Arc::new(Price::this_machine()));
        }
        let names = names(place.kind, place.model);
        let mut elsewhere = None;
        for layer in &self.layers {
            let mut found = names.iter().map(|name| (name, layer.rows(place, name)));
            let Some((name, rows)) = found.find(|(_, rows)| !rows.is_empty()) else { continue };
            match in_region(&rows, place) {
                Ok(row) => return layer.price(row, place, name).map(Arc::new),
                // What is known of another region does not hide what the next file knows of this one.
                Err(why) => elsewhere = elsewhere.or(Some(why)),
            }
        }
        Err(elsewhere.unwrap_or_else(|| self.why_none(place, &names)))
    }

    fn why_none(&self, place: &Place<'_>, names: &[String]) -> String {
        let Place { kind, task, model, .. } = *place;
        let none = format!("no price is known for `{model}` ({kind}, {task})");
        let own = "give unit prices, as in `price = { input_usd_per_mtok = 0.4, output_usd_per_mtok = 1.6 }`";
        if task == "predict" {
            return format!(
                "{none}: an endpoint is billed by the hour; write `price = {{ model = \"ml.m5.large\", calls_per_hour = 3600 }}` \
                 with its instance, or `price = {{ usd_per_hour = 0.115, calls_per_hour = 3600 }}`, or `usd_per_row`"
            );
        }
        if names.is_empty() {
            return format!(
                "{none}: this name hides the model; say which it is, as in `price = {{ model = \
                 \"global.anthropic.claude-haiku-4-5\" }}`, or {own}"
            );
        }
        let tasks = self.tasks_of(kind, names);
        if !tasks.is_empty() {
            return format!("{none}: the catalogue has it for {} only; {own}", tasks.join(", "));
        }
        if kind == "azure" {
            return format!(
                "{none}: at Azure this is the deployment's name; say which model it runs, as in `price = {{ model = \
                 \"gpt-4.1-mini\" }}`, or {own}"
            );
        }
        let known: BTreeSet<&str> = self.models(kind, task).collect();
        match names.last().and_then(|name| nearest(name, known)) {
            Some(near) => format!(
                "{none}: if it costs what `{near}` does, write `price = {{ model = \"{near}\" }}`; else {own}"
            ),
            None => format!("{none}: {own}"),
        }
    }

    fn tasks_of(&self, kind: &str, names: &[String]) -> Vec<&str> {
        let rows = self.layers.iter().flat_map(|layer| &layer.rows);
        let same = rows.filter(|row| {
            row.scope.kinds.iter().any(|one| one == kind)
                && row.scope.models.iter().any(|model| names.contains(model))
        });
        let tasks: BTreeSet<&str> = same.flat_map(|row| &row.scope.tasks).map(String::as_str).collect();
        tasks.into_iter().collect()
    }

    fn models<'a>(&'a self, kind: &'a str, task: &'a str) -> impl Iterator<Item = &'a str> {
        let rows = self.layers.iter().flat_map(|layer| &layer.rows);
        rows.filter(move |row| row.scope.covers(kind, task))
            .flat_map(|row| &row.scope.models)
            .map(String::as_str)
    }
}

impl Layer {
    fn new(rows: Vec<Row>, factors: Vec<Factor>, faults: &mut Vec<Fault>) -> Self {
        let mut layer = Self { rows, factors, by_model: HashMap::new() };
        let mut seen = HashMap::new();
        for (index, row) in layer.rows.iter().enumerate() {
            for model in &row.scope.models {
                layer.by_model.entry(model.clone()).or_default().push(index);
                for (kind, task) in pairs(row) {
                    let thing = (kind, task, model.as_str(), row.region.as_deref());
                    if let Some(first) = seen.insert(thing, index) {
                        let message =
                            format!("`{model}` ({kind}, {task}) has a price already, in price[{first}]");
                        faults.push(Fault::at(format!("price[{index}].models"), message));
                    }
                }
            }
        }
        layer
    }

    /// The rows with this name; they differ in region.
    fn rows(&self, place: &Place<'_>, name: &str) -> Vec<&Row> {
        let indexes = self.by_model.get(name).map(Vec::as_slice).unwrap_or_default();
        let rows = indexes.iter().filter_map(|&index| self.rows.get(index));
        rows.filter(|row| row.scope.covers(place.kind, place.task)).collect()
    }

    fn price(&self, row: &Row, place: &Place<'_>, name: &str) -> Result<Price, String> {
        let mut about = row.about.clone();
        let mut title = format!("{} {name}", place.kind);
        let mut times = (1, 1);
        let mut apply = |factor: &Factor, what: &str| {
            times = (times.0 * factor.times.0, times.1 * factor.times.1);
            about.doubt(&factor.about);
            title = format!("{title}, {what}");
        };
        if regional(place)
            && let Some(factor) = self.factor(place, name, &Applies::Regional)
        {
            apply(factor, "regional");
        }
        if let Some(class) = place.class.filter(|class| !matches!(*class, "default" | "standard")) {
            let Some(factor) = self.factor(place, name, &Applies::Class(class.to_owned())) else {
                return Err(format!(
                    "no price is known for the service class `{class}` of `{name}` at {}: give unit prices of this class",
                    place.kind
                ));
            };
            apply(factor, class);
        }
        Ok(Price::new(row.rates.clone(), times, title, about))
    }

    /// The first that applies, in the file's order.
    fn factor(&self, place: &Place<'_>, name: &str, applies: &Applies) -> Option<&Factor> {
        self.factors.iter().find(|factor| {
            let models = &factor.scope.models;
            factor.applies == *applies
                && factor.scope.covers(place.kind, place.task)
                && (models.is_empty() || models.iter().any(|model| model == name))
        })
    }
}

impl About {
    /// Something else is part of the price: it is as sure as its least sure part, and as old as its oldest.
    fn doubt(&mut self, other: &Self) {
        self.confidence = self.confidence.min(other.confidence);
        self.as_of = self.as_of.take().min(other.as_of.clone());
        if self.source != other.source {
            self.source = format!("{}; {}", self.source, other.source);
        }
        if let Some(note) = &other.note {
            self.note =
                Some(self.note.take().map_or_else(|| note.clone(), |first| format!("{first}; {note}")));
        }
    }
}

/// The row for the region itself, else the one for all regions.
fn in_region<'a>(rows: &[&'a Row], place: &Place<'_>) -> Result<&'a Row, String> {
    let region = place.region.map(str::to_lowercase);
    let here = rows.iter().find(|row| row.region.is_some() && row.region == region);
    here.or_else(|| rows.iter().find(|row| row.region.is_none())).copied().ok_or_else(|| {
        let known: Vec<&str> = rows.iter().filter_map(|row| row.region.as_deref()).collect();
        format!(
            "the price of `{}` is known for {} only, not for {}: give this region's, as in `price = {{ usd_per_hour = 0.115, \
             calls_per_hour = 3600 }}`, or take the known one with `region = \"{}\"`",
            place.model,
            known.join(", "),
            place.region.unwrap_or("an unstated region"),
            known.first().unwrap_or(&""),
        )
    })
}

/// Whether the call is billed for a region. At AWS a model without a profile runs in its own region.
fn regional(place: &Place<'_>) -> bool {
    let geography = if place.kind == "aws" { geography(place.model) } else { None };
    match (geography.or(place.region), place.kind) {
        (Some(region), _) => !region.eq_ignore_ascii_case("global"),
        (None, kind) => kind == "aws",
    }
}

fn pairs(row: &Row) -> impl Iterator<Item = (&str, &str)> {
    let kinds = row.scope.kinds.iter();
    kinds.flat_map(|kind| row.scope.tasks.iter().map(move |task| (kind.as_str(), task.as_str())))
}

/// Reads each table of the list `name`.
fn read_all<T>(
    tree: &mut Table,
    name: &str,
    read: fn(Table, &mut Vec<Fault>) -> Option<T>,
    faults: &mut Vec<Fault>,
) -> Vec<T> {
    let items = match tree.remove(name) {
        None => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            faults.push(Fault::at(name, format!("must be a list of tables: `[[{name}]]`")));
            return Vec::new();
        }
    };
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let Value::Table(table) = item else {
            faults.push(Fault::at(format!("{name}[{index}]"), "must be a table"));
            continue;
        };
        let label = row::label(&table);
        let before = faults.len();
        let read = read(table, faults);
        for fault in &mut faults[before..] {
            let key = if fault.path.is_empty() { String::new() } else { format!(".{}", fault.path) };
            fault.path = format!("{name}[{index}]{key}");
            fault.message.insert_str(0, &label);
        }
        all.extend(read);
    }
    all
}

#[cfg(test)]
mod tests;
