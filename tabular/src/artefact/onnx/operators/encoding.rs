//! Operators that turn words and codes into numbers and back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::super::attributes::{Attributes, Labels};
use super::super::value::{Data, Element, Outcome, Value};
use super::Compiled;

pub(super) fn one_hot(attributes: &Attributes<'_>) -> Outcome<Compiled> {
    let labels = attributes.labels("cats_strings", "cats_int64s")?.ok_or("it has no categories")?;
    let zeros = attributes.int("zeros", 1) != 0;
    let levels = matches!(labels, Labels::Words(_)).then(|| labels.names());
    let (count, find) = (labels.len(), Finder::new(&labels));
    let run = Box::new(move |inputs: &super::Inputs<'_>| {
        let value = inputs.get(0)?;
        let found = find.places(value)?;
        if !zeros && found.contains(&None) {
            return Err("it meets a value that it does not know".to_owned());
        }
        let size = found.len().checked_mul(count).filter(|size| *size <= super::super::value::MOST);
        let mut numbers = vec![0.0; size.ok_or("its result is too large")?];
        for (row, place) in found.iter().enumerate() {
            if let Some(place) = place {
                numbers[row * count + place] = 1.0;
            }
        }
        let dims = [value.dims.as_slice(), &[count]].concat();
        Ok(vec![Value::numbers(Element::Float, dims, numbers)?])
    });
    Ok(Compiled { run, labels: None, levels })
}

/// Where each key stands; of equal ones the first counts.
fn places<K: Clone + Eq + Hash>(keys: &[K]) -> HashMap<K, usize> {
    keys.iter().cloned().enumerate().rev().map(|(place, key)| (key, place)).collect()
}

/// Which place each word or whole number has.
enum Finder {
    Words(HashMap<Arc<str>, usize>),
    Ints(HashMap<i64, usize>),
}

impl Finder {
    fn new(labels: &Labels) -> Self {
        match labels {
            Labels::Words(words) => Self::Words(places(words)),
            Labels::Ints(ints) => Self::Ints(places(ints)),
        }
    }

    fn places(&self, value: &Value) -> Outcome<Vec<Option<usize>>> {
        match (self, &value.data) {
            (Self::Words(known), Data::Words(words)) => {
                Ok(words.iter().map(|word| known.get(word).copied()).collect())
            }
            (Self::Ints(known), Data::Numbers(_, numbers)) => {
                let place =
                    |number: &f64| known.get(&(*number as i64)).copied().filter(|_| number.fract() == 0.0);
                Ok(numbers.iter().map(place).collect())
            }
            (Self::Words(_), _) => Err("it wants words but gets numbers".to_owned()),
            (Self::Ints(_), _) => Err("it wants numbers but gets words".to_owned()),
        }
    }
}

pub(super) fn category_mapper(attributes: &Attributes<'_>) -> Outcome<Compiled> {
    let (words, ints) = (attributes.words("cats_strings")?, attributes.ints("cats_int64s"));
    let (number, word) = (attributes.int("default_int64", -1), attributes.word("default_string", "_Unused")?);
    let numbers: Vec<f64> = ints.iter().map(|int| *int as f64).collect();
    let forward = Mapping {
        keys: Keys::Words(places(&words)),
        values: Values::Numbers(Element::Int, numbers.clone(), number as f64),
        keys_count: words.len(),
    };
    let back = Mapping {
        keys: Keys::numbers(&numbers),
        values: Values::Words(words.clone(), word.into()),
        keys_count: numbers.len(),
    };
    let (forward, back) = (forward.checked()?, back.checked()?);
    let run = Box::new(move |inputs: &super::Inputs<'_>| {
        let value = inputs.get(0)?;
        Ok(vec![if value.as_words().is_ok() { forward.map(value)? } else { back.map(value)? }])
    });
    Ok(Compiled { run, labels: None, levels: Some(words.iter().map(|word| word.to_string()).collect()) })
}

pub(super) fn label_encoder(attributes: &Attributes<'_>) -> Outcome<Compiled> {
    if attributes.has("classes_strings") {
        return Err("its form before version 2 is not supported".to_owned());
    }
    let key_words = keyed_words(attributes, "keys")?;
    let levels = key_words.as_ref().map(|words| words.iter().map(|word| word.to_string()).collect());
    let (keys, keys_count) = match key_words {
        Some(words) => (Keys::Words(places(&words)), words.len()),
        None => {
            let (_, numbers) = keyed_numbers(attributes, "keys")?.ok_or("it has no keys")?;
            (Keys::numbers(&numbers), numbers.len())
        }
    };
    let values = match keyed_words(attributes, "values")? {
        Some(words) => Values::Words(words, attributes.word("default_string", "_Unused")?.into()),
        None => {
            let (element, numbers) = keyed_numbers(attributes, "values")?.ok_or("it has no values")?;
            let otherwise = if element == Element::Int {
                attributes.int("default_int64", -1) as f64
            } else {
                attributes.float("default_float", -0.0)
            };
            let tensor = attributes.tensor("default_tensor")?;
            let otherwise = match &tensor {
                Some(tensor) => *tensor.as_numbers()?.1.first().ok_or("`default_tensor` is empty")?,
                None => otherwise,
            };
            Values::Numbers(element, numbers, otherwise)
        }
    };
    // Defaults of the kinds that are not wanted may be written all the same.
    ["default_string", "default_int64", "default_float"].iter().for_each(|name| {
        attributes.find(name);
    });
    let mapping = Mapping { keys, values, keys_count }.checked()?;
    let run = Box::new(move |inputs: &super::Inputs<'_>| Ok(vec![mapping.map(inputs.get(0)?)?]));
    Ok(Compiled { run, labels: None, levels })
}

fn keyed_words(attributes: &Attributes<'_>, part: &str) -> Outcome<Option<Vec<Arc<str>>>> {
    if let Some(tensor) = attributes.tensor(&format!("{part}_tensor"))? {
        return Ok(tensor.as_words().ok().map(<[_]>::to_vec));
    }
    let name = format!("{part}_strings");
    if attributes.has(&name) { attributes.words(&name).map(Some) } else { Ok(None) }
}

fn keyed_numbers(attributes: &Attributes<'_>, part: &str) -> Outcome<Option<(Element, Vec<f64>)>> {
    if let Some(tensor) = attributes.tensor(&format!("{part}_tensor"))? {
        let (element, numbers) = tensor.as_numbers()?;
        return Ok(Some((element, numbers.to_vec())));
    }
    let (ints, floats) = (format!("{part}_int64s"), format!("{part}_floats"));
    if attributes.has(&ints) {
        let numbers = attributes.ints(&ints).iter().map(|int| *int as f64).collect();
        return Ok(Some((Element::Int, numbers)));
    }
    if attributes.has(&floats) {
        return Ok(Some((Element::Float, attributes.floats(&floats)?)));
    }
    Ok(None)
}

struct Mapping {
    keys: Keys,
    values: Values,
    keys_count: usize,
}

enum Keys {
    Words(HashMap<Arc<str>, usize>),
    /// By their bits; every `NaN` has the same.
    Numbers(HashMap<u64, usize>),
}

enum Values {
    Words(Vec<Arc<str>>, Arc<str>),
    Numbers(Element, Vec<f64>, f64),
}

impl Keys {
    fn numbers(numbers: &[f64]) -> Self {
        Self::Numbers(places(&numbers.iter().map(|number| bits(*number)).collect::<Vec<_>>()))
    }
}

fn bits(number: f64) -> u64 {
    // Zero has two forms, and "not a number" many.
    if number.is_nan() { f64::NAN.to_bits() } else { (number + 0.0).to_bits() }
}

impl Mapping {
    fn checked(self) -> Outcome<Self> {
        let values = match &self.values {
            Values::Words(words, _) => words.len(),
            Values::Numbers(_, numbers, _) => numbers.len(),
        };
        if values == self.keys_count {
            Ok(self)
        } else {
            Err(format!("it has {} keys but {values} values", self.keys_count))
        }
    }

    fn map(&self, value: &Value) -> Outcome<Value> {
        let places: Vec<Option<usize>> = match (&self.keys, &value.data) {
            (Keys::Words(known), Data::Words(words)) => {
                words.iter().map(|word| known.get(word).copied()).collect()
            }
            (Keys::Numbers(known), Data::Numbers(_, numbers)) => {
                numbers.iter().map(|number| known.get(&bits(*number)).copied()).collect()
            }
            (Keys::Words(_), _) => return Err("it wants words but gets numbers".to_owned()),
            (Keys::Numbers(_), _) => return Err("it wants numbers but gets words".to_owned()),
        };
        match &self.values {
            Values::Words(words, otherwise) => {
                let each = places
                    .iter()
                    .map(|place| place.map_or_else(|| otherwise.clone(), |at| words[at].clone()));
                Value::words(value.dims.clone(), each.collect())
            }
            Values::Numbers(element, numbers, otherwise) => {
                let each = places.iter().map(|place| place.map_or(*otherwise, |at| numbers[at]));
                Value::numbers(*element, value.dims.clone(), each.collect())
            }
        }
    }
}
