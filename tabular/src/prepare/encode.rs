//! The encoder: fitted on training rows, used on any.

use std::{borrow::Cow, collections::HashMap};

use super::{
    Block, Encoder,
    columns::{counts, shown},
};
use crate::{
    Matrix,
    schema::{Feature, Kind, Schema},
    table::{Column, LARGEST, Table, TableError},
};

/// So many levels of one input have a column at most.
pub(super) const LEVELS: usize = 100;

impl Encoder {
    /// Learns fills, centres, scales and levels from training rows. Centres and scales are 0 and 1 unless `scaled`. A
    /// column that is not in the table is taken as missing throughout.
    #[must_use]
    pub fn fit(schema: &Schema, table: &Table, scaled: bool) -> Self {
        let none = Column::Numbers(vec![f64::NAN; table.rows]);
        let blocks = schema.features.iter().map(|feature| {
            let column = table.column(&feature.name).unwrap_or(&none);
            match feature.kind {
                Kind::Integer | Kind::Real => number(column, scaled),
                Kind::Category { .. } => category(column),
            }
        });
        Self { blocks: blocks.collect() }
    }

    /// Turns rows into numbers. Columns are found by name; others are not looked at.
    ///
    /// # Errors
    /// A column that is not there; a missing value where training had none; a word or an endless number where a number
    /// is wanted.
    pub fn encode(&self, schema: &Schema, table: &Table) -> Result<Matrix, TableError> {
        let width = self.width();
        let mut data = vec![0.0; width.saturating_mul(table.rows)];
        let mut offset = 0;
        for (at, (feature, block)) in schema.features.iter().zip(&self.blocks).enumerate() {
            // Mostly the columns have the schema's order.
            let same = table.names.get(at).filter(|name| **name == feature.name);
            let column = same.and_then(|_| table.columns.get(at)).or_else(|| table.column(&feature.name));
            let column = column.ok_or_else(|| table.no_column(&feature.name))?;
            for (row, into) in data.chunks_exact_mut(width.max(1)).enumerate() {
                let cells = into.get_mut(offset..offset + block.width()).unwrap_or_default();
                block
                    .write(feature, column, row, cells)
                    .map_err(|e| e.at_row(row).in_column(&feature.name))?;
            }
            offset += block.width();
        }
        Ok(Matrix::new(data, width))
    }
}

impl Block {
    /// Writes one value into its columns of the matrix, which are zero before.
    fn write(
        &self,
        feature: &Feature,
        column: &Column,
        row: usize,
        cells: &mut [f64],
    ) -> Result<(), TableError> {
        match self {
            Self::Number { fill, center, scale, indicator } => {
                let value = number_at(column, row)?;
                if value.is_nan() {
                    may_be_missing(feature)?;
                }
                let known = if value.is_nan() { *fill } else { value };
                if let [first, rest @ ..] = cells {
                    *first = (known - center) / scale;
                    if let ([missing], true) = (rest, *indicator) {
                        *missing = f64::from(u8::from(value.is_nan()));
                    }
                }
            }
            Self::Category { levels, other, missing } => {
                let place = match word_at(column, row) {
                    Some(word) => match levels.iter().position(|level| *level == word) {
                        Some(at) => Some(at),
                        None => other.then_some(levels.len()),
                    },
                    None => {
                        may_be_missing(feature)?;
                        missing.then_some(levels.len() + usize::from(*other))
                    }
                };
                if let Some(cell) = place.and_then(|at| cells.get_mut(at)) {
                    *cell = 1.0;
                }
            }
        }
        Ok(())
    }
}

fn may_be_missing(feature: &Feature) -> Result<(), TableError> {
    let refused = || TableError::new("the value is missing, which it never was in the training data");
    feature.nullable.then_some(()).ok_or_else(refused)
}

/// A number; `NaN` where it is missing.
fn number_at(column: &Column, row: usize) -> Result<f64, TableError> {
    let number = match column {
        Column::Numbers(values) => values.get(row).copied().unwrap_or(f64::NAN),
        Column::Words(values) => match values.get(row).and_then(Option::as_ref) {
            None => f64::NAN,
            Some(word) => word
                .parse()
                .ok()
                .filter(|number: &f64| !number.is_nan())
                .ok_or_else(|| TableError::new(format!("`{}` is not a number", shown(word))))?,
        },
    };
    if number.abs() > LARGEST {
        return Err(TableError::new(format!(
            "{number:e} is beyond {LARGEST:e}, the largest number that is read"
        )));
    }
    Ok(number)
}

/// A word, or a number's shortest form; `None` where it is missing.
fn word_at(column: &Column, row: usize) -> Option<Cow<'_, str>> {
    match column {
        Column::Words(values) => values.get(row)?.as_deref().map(Cow::Borrowed),
        Column::Numbers(_) => column.text(row).map(Cow::Owned),
    }
}

fn number(column: &Column, scaled: bool) -> Block {
    let known: Vec<f64> =
        (0..column.len()).filter_map(|row| number_at(column, row).ok()).filter(|n| !n.is_nan()).collect();
    let indicator = known.len() < column.len();
    let fill = median(&known);
    let (mut center, mut scale) = (0.0, 1.0);
    if scaled && !known.is_empty() {
        let count = column.len() as f64;
        let filled = (column.len() - known.len()) as f64;
        center = (known.iter().sum::<f64>() + filled * fill) / count;
        let squares =
            known.iter().map(|n| (n - center).powi(2)).sum::<f64>() + filled * (fill - center).powi(2);
        let deviation = (squares / count).sqrt();
        // Rounding leaves a trace of deviation in values that are all the same.
        if deviation > center.abs() * 1e-12 {
            scale = deviation;
        }
    }
    Block::Number { fill, center, scale, indicator }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| even).unwrap_or(upper);
    lower / 2.0 + upper / 2.0
}

fn category(column: &Column) -> Block {
    let words: Vec<Option<String>> =
        (0..column.len()).map(|row| word_at(column, row).map(Cow::into_owned)).collect();
    let counts = counts(&words);
    let levels: Vec<String> = common(&counts, words.len()).into_iter().map(str::to_owned).collect();
    let other = levels.len() < counts.len();
    Block::Category { levels, other, missing: words.iter().any(Option::is_none) }
}

/// A level in fewer rows is rare: half a percent of them, at least 2 and at most 20.
pub(super) fn rare(rows: usize) -> usize {
    (rows / 200).clamp(2, 20)
}

/// The levels that have a column of their own, sorted.
pub(super) fn common<'a>(counts: &HashMap<&'a str, usize>, rows: usize) -> Vec<&'a str> {
    let least = rare(rows);
    let mut frequent: Vec<_> = counts.iter().filter(|(_, count)| **count >= least).collect();
    frequent.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut levels: Vec<_> = frequent.into_iter().take(LEVELS).map(|(level, _)| *level).collect();
    levels.sort_unstable();
    levels
}
