//! Rows out of bodies: CSV, JSON, JSON Lines.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};

use super::{Container, Dialect, Failure, Media, Nature, Result, oip};

/// One row: its values in the order in which they came, with their names where its form has names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row(pub(crate) Vec<(Option<String>, Value)>);

/// What a container is asked.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    pub(super) rows: Vec<Row>,
    /// What a JSON answer looks like.
    pub(super) shape: Shape,
}

/// The shapes of JSON answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"predictions": [{"score": x}]}`.
    Objects,
    /// `{"predictions": [x]}`.
    Numbers,
    /// `[x]`.
    Bare,
    /// The Open Inference Protocol's, with the request's id.
    Tensors { id: Option<String> },
}

#[derive(Deserialize)]
struct Probe {
    inputs: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instances {
    instances: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    data: Option<Vec<Row>>,
    instances: Option<Vec<Row>>,
    input_data: Option<Split>,
}

/// A table as pandas splits it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    columns: Vec<String>,
    index: Option<Vec<Value>>,
    data: Vec<Vec<Value>>,
}

pub(super) fn question(container: &Container<'_>, media: Media, body: &[u8]) -> Result<Question> {
    let shape = || match container.dialect {
        Dialect::Instances => Shape::Objects,
        Dialect::Script => Shape::Numbers,
    };
    match media {
        Media::Csv => Ok(Question { rows: csv(body, container.nature == Nature::Headed)?, shape: shape() }),
        Media::Lines => Ok(Question { rows: lines(body)?, shape: shape() }),
        Media::Json if serde_json::from_slice::<Probe>(body).is_ok_and(|probe| probe.inputs.is_some()) => {
            oip::question(body)
        }
        Media::Json if container.dialect == Dialect::Instances => {
            let Instances { instances } = json(body)?;
            Ok(Question { rows: instances, shape: Shape::Objects })
        }
        Media::Json => script(json(body)?),
    }
}

fn script(script: Script) -> Result<Question> {
    match script {
        Script { data: Some(rows), instances: None, input_data: None }
        | Script { data: None, instances: Some(rows), input_data: None } => {
            Ok(Question { rows, shape: Shape::Numbers })
        }
        Script { data: None, instances: None, input_data: Some(split) } => {
            Ok(Question { rows: split.rows()?, shape: Shape::Bare })
        }
        _ => Err(Failure::new(400, "the body needs one of data, instances and input_data")),
    }
}

impl Split {
    fn rows(self) -> Result<Vec<Row>> {
        if self.index.is_some_and(|index| index.len() != self.data.len()) {
            return Err(Failure::new(400, "input_data.index and input_data.data differ in length"));
        }
        let columns = &self.columns;
        let rows = self.data.into_iter().map(|values| {
            if values.len() != columns.len() {
                let (got, wanted) = (values.len(), columns.len());
                return Err(Failure::new(400, format!("a row has {got} values for {wanted} columns")));
            }
            Ok(Row(columns.iter().cloned().map(Some).zip(values).collect()))
        });
        rows.collect()
    }
}

pub(super) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(400, format!("the body cannot be read: {error}")))
}

fn lines(body: &[u8]) -> Result<Vec<Row>> {
    let rows = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    rows.map(json).collect()
}

fn csv(body: &[u8], headed: bool) -> Result<Vec<Row>> {
    let failed = |error: csv::Error| Failure::new(400, format!("the CSV cannot be read: {error}"));
    let mut reader = csv::ReaderBuilder::new().has_headers(headed).from_reader(body);
    let names = if headed { Some(reader.headers().map_err(failed)?.clone()) } else { None };
    let rows = reader.records().map(|record| {
        let record = record.map_err(failed)?;
        let named = record.iter().enumerate().map(|(place, field)| {
            let name = names.as_ref().and_then(|names| names.get(place)).map(str::to_owned);
            (name, cell(field))
        });
        Ok(Row(named.collect()))
    });
    rows.collect()
}

/// A field of CSV: a number if it looks like one, nothing if it is empty, a text otherwise.
fn cell(field: &str) -> Value {
    let number = || {
        let whole =
            field.parse::<i64>().map(Number::from).or_else(|_| field.parse::<u64>().map(Number::from));
        whole.ok().or_else(|| Number::from_f64(field.parse().ok()?))
    };
    match number() {
        _ if field.is_empty() => Value::Null,
        Some(number) => Value::Number(number),
        None => Value::String(field.to_owned()),
    }
}

/// A list of values, or an object; the order of an object's fields is kept, which a map of JSON values would lose.
impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;

        impl<'de> Visitor<'de> for Cells {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row: a list of values, or an object")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Row, A::Error> {
                let mut cells = Vec::new();
                while let Some(value) = values.next_element()? {
                    cells.push((None, value));
                }
                Ok(Row(cells))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Row, A::Error> {
                let mut cells = Vec::new();
                while let Some((name, value)) = fields.next_entry()? {
                    cells.push((Some(name), value));
                }
                Ok(Row(cells))
            }
        }

        deserializer.deserialize_any(Cells)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bare(values: &[Value]) -> Row {
        Row(values.iter().map(|value| (None, value.clone())).collect())
    }

    #[test]
    fn csv_has_numbers_texts_and_nothing() {
        let rows = csv(b"1,2.5,own,\r\n-3,1e3,\"a, \"\"b\"\"\",NaN\n", false).unwrap();
        let first = bare(&[json!(1), json!(2.5), json!("own"), json!(null)]);
        assert_eq!(rows, [first, bare(&[json!(-3), json!(1000.0), json!("a, \"b\""), json!("NaN")])]);
        let named = csv(b"age,housing\n37,rent\n", true).unwrap();
        let wanted = [(Some("age".into()), json!(37)), (Some("housing".into()), json!("rent"))];
        assert_eq!(named, [Row(wanted.to_vec())]);
        assert_eq!(csv(b"1,2\n1\n", false).unwrap_err().status, 400);
        assert_eq!(csv(b"\xff\n", false).unwrap_err().status, 400);
    }

    #[test]
    fn objects_keep_the_order_of_their_fields() {
        let Row(cells) = serde_json::from_str(r#"{"z": 1, "a": "x", "m": null}"#).unwrap();
        let names: Vec<_> = cells.iter().map(|(name, _)| name.as_deref().unwrap()).collect();
        assert_eq!(names, ["z", "a", "m"]);
        assert!(serde_json::from_str::<Row>("1").is_err());
    }

    #[test]
    fn split_tables_must_fit_their_columns() {
        let split = |text| script(json(text).unwrap());
        let good =
            split(br#"{"input_data": {"columns": ["b", "a"], "index": [0], "data": [[1, 2]]}}"#).unwrap();
        assert_eq!(good.shape, Shape::Bare);
        assert_eq!(good.rows, [Row(vec![(Some("b".into()), json!(1)), (Some("a".into()), json!(2))])]);
        assert!(split(br#"{"input_data": {"columns": ["b"], "data": [[1, 2]]}}"#).is_err());
        assert!(split(br#"{"input_data": {"columns": ["b"], "index": [], "data": [[1]]}}"#).is_err());
        assert!(split(br#"{"data": [[1]], "instances": [[1]]}"#).is_err());
        assert!(split(b"{}").is_err());
    }
}
