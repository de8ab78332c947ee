//! Rows as text: CSV and JSON, written straight from the tensors.

use serde::Serialize;
use serde_json::{Map, Value};

use super::features::{Features, Field};
use crate::{Error, ErrorKind, Result, predict::RowForm};

/// One line a row, as RFC 4180 quotes it. Lines end with a line feed alone, the last without: what SageMaker's own SDK
/// sends and its containers split at.
pub(super) fn csv(features: &Features<'_>, header: bool) -> Result<Vec<u8>> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    if header {
        writer.write_record(features.list.iter().map(|feature| feature.name())).map_err(defect)?;
    }
    let mut text = Vec::new();
    for row in 0..features.rows {
        for feature in &features.list {
            text.clear();
            csv_field(&feature.field(row)?, &mut text)?;
            writer.write_field(&text).map_err(defect)?;
        }
        writer.write_record(None::<&[u8]>).map_err(defect)?;
    }
    let mut body = writer.into_inner().map_err(defect)?;
    body.pop_if(|last| *last == b'\n');
    Ok(body)
}

/// `{"FIELD": [rows], "parameters": {…}}`; with an empty field name the array alone.
pub(super) fn json(
    features: &Features<'_>,
    form: RowForm,
    rows_field: &str,
    parameters: &Map<String, Value>,
) -> Result<Vec<u8>> {
    let row = Row::new(features, form)?;
    let mut out = Vec::with_capacity(row.guess());
    if rows_field.is_empty() {
        row.write_all(&mut out)?;
        return Ok(out);
    }
    out.push(b'{');
    value(rows_field, &mut out)?;
    out.push(b':');
    row.write_all(&mut out)?;
    if !parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":");
        value(parameters, &mut out)?;
    }
    out.push(b'}');
    Ok(out)
}

/// One JSON row a line.
pub(super) fn json_lines(features: &Features<'_>, form: RowForm) -> Result<Vec<u8>> {
    let row = Row::new(features, form)?;
    let mut out = Vec::with_capacity(row.guess());
    for index in 0..features.rows {
        row.write(index, &mut out)?;
        out.push(b'\n');
    }
    Ok(out)
}

/// `{"input_data": {"columns": […], "index": […], "data": [rows]}}`: a pandas frame in its orientation `split`.
pub(super) fn input_data(features: &Features<'_>) -> Result<Vec<u8>> {
    let row = Row::new(features, RowForm::List)?;
    let mut out = Vec::with_capacity(row.guess());
    out.extend_from_slice(b"{\"input_data\":{\"columns\":");
    value(&features.list.iter().map(|feature| feature.name()).collect::<Vec<_>>(), &mut out)?;
    out.extend_from_slice(b",\"index\":");
    value(&(0..features.rows).collect::<Vec<_>>(), &mut out)?;
    out.extend_from_slice(b",\"data\":");
    row.write_all(&mut out)?;
    out.extend_from_slice(b"}}");
    Ok(out)
}

/// How a row is written in JSON.
struct Row<'a> {
    features: &'a Features<'a>,
    /// For rows as objects: each feature's name as JSON, with its colon.
    names: Option<Vec<Vec<u8>>>,
}

impl<'a> Row<'a> {
    fn new(features: &'a Features<'a>, form: RowForm) -> Result<Self> {
        let name = |name: &str| {
            let mut out = Vec::with_capacity(name.len() + 3);
            value(name, &mut out)?;
            out.push(b':');
            Ok(out)
        };
        let names = match form {
            RowForm::List => None,
            RowForm::Object => {
                Some(features.list.iter().map(|feature| name(feature.name())).collect::<Result<_>>()?)
            }
        };
        Ok(Self { features, names })
    }

    /// About how many bytes all rows take.
    fn guess(&self) -> usize {
        let names: usize = self.names.iter().flatten().map(Vec::len).sum();
        let row = names + self.features.list.len() * 8 + 4;
        row.saturating_mul(self.features.rows).min(1 << 24)
    }

    fn write_all(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'[');
        for index in 0..self.features.rows {
            if index > 0 {
                out.push(b',');
            }
            self.write(index, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let (open, close) = if self.names.is_some() { (b'{', b'}') } else { (b'[', b']') };
        let mut names = self.names.iter().flatten();
        out.push(open);
        for (index, feature) in self.features.list.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(names.next().map_or(b"", Vec::as_slice));
            json_field(&feature.field(row)?, out)?;
        }
        out.push(close);
        Ok(())
    }
}

fn json_field(field: &Field<'_>, out: &mut Vec<u8>) -> Result<()> {
    match field {
        Field::Missing => value(&(), out),
        Field::Bool(truth) => value(truth, out),
        Field::Int(number) => value(number, out),
        Field::Uint(number) => value(number, out),
        Field::Single(number) => value(number, out),
        Field::Double(number) => value(number, out),
        Field::Text(text) => value(text, out),
        Field::Code(code) => value(code, out),
    }
}

/// Texts as they are, numbers and truth values as in JSON, nothing for what is missing.
fn csv_field(field: &Field<'_>, out: &mut Vec<u8>) -> Result<()> {
    match field {
        Field::Missing | Field::Code(Value::Null) => {}
        Field::Text(text) => out.extend_from_slice(text.as_bytes()),
        Field::Code(Value::String(text)) => out.extend_from_slice(text.as_bytes()),
        other => json_field(other, out)?,
    }
    Ok(())
}

fn value<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(defect)
}

/// Nothing that is written here, into memory, can fail.
fn defect(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "a request to a deployment cannot be written").with_source(error)
}
