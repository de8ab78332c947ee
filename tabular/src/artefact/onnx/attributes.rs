//! The attributes of a node, read by name. One that no operator reads is refused: it would change what the model means.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::value::{Data, Outcome, Value, text};
use super::wire::{Attribute, Node};

/// Attributes of a node, with a note of which were asked for.
pub(super) struct Attributes<'a> {
    node: &'a Node,
    read: RefCell<HashSet<&'a str>>,
}

/// Attributes without influence on what is computed.
const HARMLESS: [&str; 2] = ["nodes_hitrates", "nodes_hitrates_as_tensor"];

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, read: RefCell::default() }
    }

    /// That every attribute was asked for.
    pub(super) fn all_read(&self) -> Outcome<()> {
        let read = self.read.borrow();
        let known = |name: &str| read.contains(name) || HARMLESS.contains(&name);
        match self.node.attributes.iter().find(|attribute| !known(&attribute.name)) {
            Some(unread) => Err(format!("its attribute `{}` is not supported", unread.name)),
            None => Ok(()),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a Attribute> {
        let found = self.node.attributes.iter().find(|attribute| attribute.name == name)?;
        self.read.borrow_mut().insert(&found.name);
        Some(found)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.find(name).map_or(otherwise, |attribute| attribute.int)
    }

    pub(super) fn float(&self, name: &str, otherwise: f64) -> f64 {
        self.find(name).map_or(otherwise, |attribute| f64::from(attribute.float))
    }

    pub(super) fn word(&self, name: &str, otherwise: &str) -> Outcome<String> {
        self.find(name).map_or(Ok(otherwise.to_owned()), |attribute| text(&attribute.word).map(str::to_owned))
    }

    pub(super) fn ints(&self, name: &str) -> Vec<i64> {
        self.find(name).map(|attribute| attribute.ints.clone()).unwrap_or_default()
    }

    /// Whole numbers that are indices.
    pub(super) fn indices(&self, name: &str) -> Outcome<Vec<usize>> {
        let index =
            |int: i64| usize::try_from(int).map_err(|_| format!("`{name}` has the negative index {int}"));
        self.ints(name).into_iter().map(index).collect()
    }

    /// Floats, or the doubles that stand in for them under the name with `_as_tensor`.
    pub(super) fn floats(&self, name: &str) -> Outcome<Vec<f64>> {
        if let Some(tensor) = self.tensor(&format!("{name}_as_tensor"))? {
            return Ok(tensor.as_numbers()?.1.to_vec());
        }
        Ok(self
            .find(name)
            .map(|found| found.floats.iter().map(|n| f64::from(*n)).collect())
            .unwrap_or_default())
    }

    pub(super) fn words(&self, name: &str) -> Outcome<Vec<Arc<str>>> {
        let words = self.find(name).map(|attribute| attribute.words.as_slice()).unwrap_or_default();
        words.iter().map(|word| text(word).map(Arc::from)).collect()
    }

    pub(super) fn tensor(&self, name: &str) -> Outcome<Option<Value>> {
        let tensor = self.find(name).and_then(|attribute| attribute.tensor.as_ref());
        tensor.map(|tensor| Value::decode(tensor).map_err(|reason| format!("`{name}`: {reason}"))).transpose()
    }

    /// The classes of a classifier, by whichever of two attributes is there.
    pub(super) fn labels(&self, words: &str, ints: &str) -> Outcome<Option<Labels>> {
        let (words, ints) = (self.words(words)?, self.ints(ints));
        Ok(match (words.is_empty(), ints.is_empty()) {
            (false, _) => Some(Labels::Words(words)),
            (true, false) => Some(Labels::Ints(ints)),
            (true, true) => None,
        })
    }
}

/// The names of classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    Words(Vec<Arc<str>>),
    Ints(Vec<i64>),
}

impl Labels {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Words(words) => words.len(),
            Self::Ints(ints) => ints.len(),
        }
    }

    /// As text.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.iter().map(|word| word.to_string()).collect(),
            Self::Ints(ints) => ints.iter().map(i64::to_string).collect(),
        }
    }

    /// The labels at these places.
    pub(super) fn at(&self, places: &[usize]) -> Outcome<Value> {
        let all = match self {
            Self::Words(words) => Value::words(vec![words.len()], words.clone())?,
            Self::Ints(ints) => {
                let numbers = ints.iter().map(|int| *int as f64).collect();
                Value { dims: vec![ints.len()], data: Data::Numbers(super::value::Element::Int, numbers) }
            }
        };
        all.pick(vec![places.len()], places)
    }
}
