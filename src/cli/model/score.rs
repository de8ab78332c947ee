//! Scores a table's rows at a deployment of the config, through the policies that a caller's rows go through.

use std::{fmt, sync::Arc};

use aigate_contract::{
    Predict, Trail,
    predict::{Data, Datatype, Input, PredictRequest, Scalar, Signature, Tensor},
};
use aigate_tabular::{
    progress::Progress,
    table::{Column, Table},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Map;
use uuid::Uuid;

use crate::policy::{Route, send};

/// Rows of one call: few enough for every cloud's bound on a body.
const ROWS_A_CALL: usize = 100;
/// Calls under way at once.
const AT_ONCE: usize = 4;

/// One score for each row, from the output called `output`.
pub(super) async fn score(
    route: &Route<Predict>,
    model: &str,
    signature: &Signature,
    output: &str,
    table: &Table,
    progress: &dyn Progress,
) -> Result<Vec<f64>, String> {
    let starts: Vec<usize> = (0..table.rows).step_by(ROWS_A_CALL).collect();
    let parts = stream::iter(starts).map(|start| {
        let rows: Vec<usize> = (start..table.rows.min(start + ROWS_A_CALL)).collect();
        async move {
            let request = request(model, signature, output, table, &rows)?;
            let trail = Arc::new(Trail::new(Uuid::now_v7().simple().to_string(), None));
            let reply = send(route, request, trail).await;
            let reply = reply.map_err(|error| format!("rows from {}: {error}", start + 1))?;
            progress.advance(rows.len() as u64);
            let tensor = reply.outputs.iter().find(|tensor| tensor.name == output);
            let numbers = tensor.and_then(|tensor| numbers(&tensor.data));
            numbers.ok_or_else(|| format!("the answer has no numbers called `{output}`"))
        }
    });
    Ok(parts.buffered(AT_ONCE).try_collect::<Vec<_>>().await?.concat())
}

fn request(
    model: &str,
    signature: &Signature,
    output: &str,
    table: &Table,
    rows: &[usize],
) -> Result<PredictRequest, String> {
    let mut inputs = Vec::with_capacity(signature.inputs.len());
    for input in &signature.inputs {
        match table.column(&input.name) {
            Some(column) => inputs.push(tensor(input, column, rows)?),
            None if input.nullable => {}
            None => return Err(format!("the data has no column `{}`, which the model needs", input.name)),
        }
    }
    let mut request = PredictRequest {
        model: model.to_owned(),
        version: None,
        id: None,
        parameters: Map::new(),
        inputs,
        outputs: Vec::new(),
        binary_output: false,
    };
    if signature.outputs.iter().any(|known| known.name == output && known.on_request) {
        return Err(format!("the output `{output}` is given on request only: it is not the score"));
    }
    signature.check(&mut request).map_err(|error| format!("rows from {}: {error}", first(rows)))?;
    Ok(request)
}

/// The number of the first row, from 1.
fn first(rows: &[usize]) -> usize {
    rows.first().map_or(1, |row| row + 1)
}

fn tensor(input: &Input, column: &Column, rows: &[usize]) -> Result<Tensor, String> {
    let mut data = Data::empty(input.datatype);
    for row in rows {
        let cell = Cell::of(column, *row);
        cell.push(&mut data).ok_or_else(|| {
            format!("row {}, column `{}`: {cell} is not a {}", row + 1, input.name, input.datatype)
        })?;
    }
    Tensor::new(&input.name, vec![rows.len()], data)
}

/// One value of the table.
#[derive(Clone, Copy)]
enum Cell<'a> {
    Missing,
    Number(f64),
    Word(&'a str),
}

impl<'a> Cell<'a> {
    fn of(column: &'a Column, row: usize) -> Self {
        match column {
            Column::Numbers(values) => values
                .get(row)
                .filter(|value| !value.is_nan())
                .map_or(Self::Missing, |value| Self::Number(*value)),
            Column::Words(words) => {
                words.get(row).and_then(Option::as_deref).map_or(Self::Missing, Self::Word)
            }
        }
    }

    /// Appends it as the tensor's datatype; `None` where that cannot hold it.
    fn push(self, data: &mut Data) -> Option<()> {
        let datatype = data.datatype();
        match self {
            Self::Missing if datatype.is_float() => data.push_missing(),
            Self::Missing => data.push(Scalar::Bytes(b"")),
            // A code is written as in the file.
            Self::Number(value) if datatype == Datatype::Bytes => {
                data.push(Scalar::Bytes(value.to_string().as_bytes()))
            }
            Self::Number(value) if datatype.is_float() => data.push(Scalar::Real(value)),
            Self::Number(value) => {
                let fits = value.fract() == 0.0 && value.abs() < 9e15;
                #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
                fits.then_some(value as i64).and_then(|whole| data.push(Scalar::Int(whole)))
            }
            Self::Word(word) => match (word.parse(), datatype) {
                (_, Datatype::Bytes) => data.push(Scalar::Bytes(word.as_bytes())),
                (Ok(number), _) => Self::Number(number).push(data),
                (Err(_), _) => None,
            },
        }
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("a missing value"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Word(word) => write!(f, "`{word}`"),
        }
    }
}

fn numbers(data: &Data) -> Option<Vec<f64>> {
    #[expect(clippy::cast_precision_loss, reason = "scores are numbers of everyday size")]
    let number = |scalar| match scalar {
        Scalar::Real(value) => Some(value),
        Scalar::Int(value) => Some(value as f64),
        Scalar::Uint(value) => Some(value as f64),
        Scalar::Bool(_) | Scalar::Bytes(_) => None,
    };
    data.iter().map(number).collect()
}
