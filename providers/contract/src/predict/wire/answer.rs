//! Answers read into the outputs' tensors.

use bytes::Bytes;
use serde_json::Value;

use super::column::Column;
use crate::predict::{Place, PredictReply, Tensor};

type Places<'a> = Vec<&'a Place>;

/// A JSON document: an array of one item a row at a pointer, or, for a place such as `/scores/*`, an array of its own.
pub(super) fn json(places: Places<'_>, rows: usize, at: &str, body: &Bytes) -> Result<Vec<Tensor>, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|error| format!("it is not JSON: {error}"))?;
    let mut columns: Vec<Column<'_>> = places.into_iter().map(Column::new).collect();
    for column in &mut columns {
        let (at, within) = column.place.at.split_once("/*").unwrap_or((at, &column.place.at));
        let items = array(&answer, at)?;
        check_rows(items.len(), rows)?;
        for (row, item) in items.iter().enumerate() {
            push(column, row, item, within)?;
        }
    }
    finish(columns, rows)
}

fn array<'a>(answer: &'a Value, at: &str) -> Result<&'a [Value], String> {
    match answer.pointer(at) {
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{} is not an array of rows", named(at))),
        None => Err(format!("there is no `{at}`{}", fields(answer))),
    }
}

fn push(column: &mut Column<'_>, row: usize, item: &Value, at: &str) -> Result<(), String> {
    let value = item.pointer(at);
    let value = value.ok_or_else(|| at_row(row, at, &format!("is not there{}", fields(item))))?;
    column.push_json(value).map_err(|why| at_row(row, at, &why))
}

/// One JSON document a line and row.
pub(super) fn json_lines(places: Places<'_>, rows: usize, body: &Bytes) -> Result<Vec<Tensor>, String> {
    let lines = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let items: Vec<Value> =
        lines.collect::<Result<_, _>>().map_err(|error| format!("it is not JSON Lines: {error}"))?;
    check_rows(items.len(), rows)?;
    let mut columns: Vec<Column<'_>> = places.into_iter().map(Column::new).collect();
    for column in &mut columns {
        for (row, item) in items.iter().enumerate() {
            push(column, row, item, &column.place.at)?;
        }
    }
    finish(columns, rows)
}

/// One line a row; or, for one output of one value a row, one line with a value for each row.
pub(super) fn csv(places: Places<'_>, rows: usize, body: &Bytes) -> Result<Vec<Tensor>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&**body);
    let lines: Vec<csv::StringRecord> =
        reader.records().collect::<Result<_, _>>().map_err(|error| format!("it is not CSV: {error}"))?;
    let mut columns: Vec<Column<'_>> = places.into_iter().map(Column::new).collect();
    if let ([line], [column]) = (lines.as_slice(), columns.as_mut_slice())
        && rows > 1
        && line.len() == rows
        && column.is_scalar()
        && column.place.at.is_empty()
    {
        for (row, text) in line.iter().enumerate() {
            column.push_text(text).map_err(|why| at_row(row, &column.place.at, &why))?;
        }
        return finish(columns, rows);
    }
    check_rows(lines.len(), rows)?;
    for (row, line) in lines.iter().enumerate() {
        let line: Vec<&str> = line.iter().collect();
        for column in &mut columns {
            let at = &column.place.at;
            let fields = part(&line, at, column.width).ok_or_else(|| at_row(row, at, "is not there"))?;
            column.push_fields(fields).map_err(|why| at_row(row, at, &why))?;
        }
    }
    finish(columns, rows)
}

/// The Open Inference Protocol's answer, its tensors under the deployment's names.
pub(super) fn oip(
    places: Places<'_>,
    rows: usize,
    body: &Bytes,
    json_length: Option<usize>,
) -> Result<Vec<Tensor>, String> {
    let mut tensors = PredictReply::read(body, json_length).map_err(|error| error.message)?;
    let mut outputs = Vec::with_capacity(places.len());
    for Place { output, at } in places {
        let Some(index) = tensors.iter().position(|tensor| tensor.name == *at) else {
            let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).take(40).collect();
            return Err(format!("there is no tensor `{at}`, only {}", names.join(", ")));
        };
        let mut tensor = tensors.swap_remove(index);
        let named = |why: String| format!("tensor `{at}`: {why}");
        check_rows(tensor.rows(), rows).map_err(named)?;
        output.fit(&mut tensor).map_err(named)?;
        tensor.name.clone_from(&output.name);
        outputs.push(tensor);
    }
    Ok(outputs)
}

fn finish(columns: Vec<Column<'_>>, rows: usize) -> Result<Vec<Tensor>, String> {
    columns.into_iter().map(|column| column.finish(rows)).collect()
}

fn check_rows(held: usize, rows: usize) -> Result<(), String> {
    if held == rows { Ok(()) } else { Err(format!("it has {held} rows where {rows} were sent")) }
}

/// The fields of a line from the column that a pointer names: as many as the output has, else all that are left.
fn part<'a>(line: &'a [&'a str], at: &str, width: Option<usize>) -> Option<&'a [&'a str]> {
    let Some(first) = at.strip_prefix('/') else { return Some(line) };
    let rest = line.get(first.parse::<usize>().ok()?..)?;
    rest.get(..width.unwrap_or(rest.len()))
}

fn named(at: &str) -> String {
    if at.is_empty() { "the answer".to_owned() } else { format!("`{at}`") }
}

fn at_row(row: usize, at: &str, why: &str) -> String {
    if at.is_empty() { format!("row {row} {why}") } else { format!("`{at}` of row {row} {why}") }
}

/// `; there are …`, for an object.
fn fields(value: &Value) -> String {
    /// Fields are told up to this many, each up to so many characters.
    const SHOWN: usize = 20;
    let Some(object) = value.as_object() else { return String::new() };
    let short = |name: &String| name.chars().take(SHOWN * 2).collect::<String>();
    let names: Vec<String> = object.keys().take(SHOWN).map(short).collect();
    format!("; there are {}", names.join(", "))
}
