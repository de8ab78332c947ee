//! The sample model behind the endpoints of the simulated clouds: they serve the same file as the local model.

use aigate_sim::{Cell, Score, Scorer};
use aigate_tabular::{
    artefact::{Artefact, Predictor},
    schema::{Feature, Schema},
    table::{Column, Table},
};
use serde_json::Value;

/// What scores a simulated endpoint's rows.
///
/// # Errors
/// When the sample's file cannot be read.
pub fn scorer() -> Result<Scorer, String> {
    let artefact = Artefact::read(aigate_local::sample()).map_err(|error| error.to_string())?;
    let predictor = Predictor::new(artefact);
    Ok(Scorer::new(move |row| score(&predictor, row)))
}

fn score(predictor: &Predictor, row: &[Cell<'_>]) -> Result<Score, String> {
    let table = table(predictor.schema(), row)?;
    let scores = predictor.score(&table).map_err(|error| error.to_string())?;
    let explained = predictor.explain(&table).map_err(|error| error.to_string())?;
    match (scores.first(), explained.into_iter().next()) {
        (Some(score), Some(explained)) => Ok(Score {
            score: *score,
            base: explained.base,
            contributions: in_order(predictor.schema(), row, &explained.values),
        }),
        _ => Err("the row has no score".to_owned()),
    }
}

/// The contributions in the order of the row's values, which may be another than the model's.
fn in_order(schema: &Schema, row: &[Cell<'_>], values: &[f64]) -> Vec<f64> {
    let of = |(place, (name, _)): (usize, &Cell<'_>)| {
        let named = name.and_then(|name| schema.features.iter().position(|feature| feature.name == *name));
        values.get(named.unwrap_or(place)).copied().unwrap_or(0.0)
    };
    row.iter().enumerate().map(of).collect()
}

fn table(schema: &Schema, row: &[Cell<'_>]) -> Result<Table, String> {
    if row.len() != schema.features.len() {
        return Err(format!("{} values for {} features", row.len(), schema.features.len()));
    }
    let mut names = Vec::with_capacity(row.len());
    let mut columns = Vec::with_capacity(row.len());
    for (place, feature) in schema.features.iter().enumerate() {
        let named = row.iter().find(|(name, _)| *name == Some(feature.name.as_str()));
        let cell = named.or_else(|| row.get(place).filter(|(name, _)| name.is_none()));
        let (_, value) = cell.ok_or_else(|| format!("the feature `{}` is missing", feature.name))?;
        columns.push(column(feature, value)?);
        names.push(feature.name.clone());
    }
    Ok(Table { names, columns, rows: 1 })
}

fn column(feature: &Feature, value: &Value) -> Result<Column, String> {
    match (value, feature.kind.is_number()) {
        (Value::Null, true) => Ok(Column::Numbers(vec![f64::NAN])),
        (Value::Null, false) => Ok(Column::Words(vec![None])),
        (Value::Number(number), true) => Ok(Column::Numbers(vec![number.as_f64().unwrap_or(f64::NAN)])),
        (Value::String(word), false) => Ok(Column::Words(vec![Some(word.clone())])),
        (other, _) => Err(format!("the feature `{}` cannot be {other}", feature.name)),
    }
}
