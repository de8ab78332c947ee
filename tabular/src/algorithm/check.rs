//! What is asked of data before anything is learned from it.

use std::borrow::Cow;

use super::{Data, FitError, Work};
use crate::Matrix;

/// Data that can be learned from: lengths agree, numbers are finite, each row weighs something, both classes are there.
#[derive(Debug)]
pub(super) struct Cases<'a> {
    pub(super) x: Cow<'a, Matrix>,
    pub(super) y: Cow<'a, [f64]>,
    pub(super) weights: Cow<'a, [f64]>,
    pub(super) work: Work,
}

/// Checks the data; rows that weigh nothing are left out.
pub(super) fn cases<'a>(data: &Data<'a>) -> Result<Cases<'a>, FitError> {
    let rows = data.x.rows();
    if data.x.width() == 0 {
        return Err(FitError::NoColumns);
    }
    same_length("outcomes", data.y.len(), rows)?;
    same_length("weights", data.weights.map_or(rows, <[f64]>::len), rows)?;
    // Rows are counted in 32 bits, columns in 31.
    at_most(rows, u32::MAX as usize).map_err(|most| FitError::TooManyRows { rows, most })?;
    let columns = data.x.width();
    at_most(columns, i32::MAX as usize).map_err(|most| FitError::TooManyColumns { columns, most })?;
    finite(data.x)?;
    outcomes(data)?;
    let cases = weighing(data)?;
    let first = cases.y.first().ok_or(FitError::NoRows)?;
    if data.work == Work::Classes && cases.y.iter().all(|y| y == first) {
        return Err(FitError::OneClass);
    }
    Ok(cases)
}

/// The limit, where it is passed.
pub(super) fn at_most(count: usize, most: usize) -> Result<(), usize> {
    if count <= most { Ok(()) } else { Err(most) }
}

fn same_length(what: &'static str, found: usize, rows: usize) -> Result<(), FitError> {
    if found == rows { Ok(()) } else { Err(FitError::Lengths { what, found, rows }) }
}

fn finite(x: &Matrix) -> Result<(), FitError> {
    for (at, row) in x.iter().enumerate() {
        if let Some(column) = row.iter().position(|value| !value.is_finite()) {
            return Err(FitError::NotFinite { row: at, column });
        }
    }
    Ok(())
}

fn outcomes(data: &Data<'_>) -> Result<(), FitError> {
    let (wrong, wanted): (fn(f64) -> bool, _) = match data.work {
        Work::Classes => (|y| y != 0.0 && y != 1.0, "0 or 1"),
        Work::Numbers => (|y| !y.is_finite(), "a finite number"),
    };
    let at = data.y.iter().position(|y| wrong(*y));
    at.map_or(Ok(()), |row| Err(FitError::Outcome { row, value: data.y[row], wanted }))
}

fn weighing<'a>(data: &Data<'a>) -> Result<Cases<'a>, FitError> {
    let work = data.work;
    let Some(weights) = data.weights else {
        let weights = Cow::Owned(vec![1.0; data.y.len()]);
        return Ok(Cases { x: Cow::Borrowed(data.x), y: Cow::Borrowed(data.y), weights, work });
    };
    if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(FitError::Weight { row, value: weights[row] });
    }
    if weights.iter().all(|weight| *weight > 0.0) {
        let (x, y) = (Cow::Borrowed(data.x), Cow::Borrowed(data.y));
        return Ok(Cases { x, y, weights: Cow::Borrowed(weights), work });
    }
    let rows: Vec<usize> = (0..weights.len()).filter(|row| weights[*row] > 0.0).collect();
    let pick = |from: &[f64]| Cow::Owned(rows.iter().map(|row| from[*row]).collect());
    Ok(Cases { x: Cow::Owned(data.x.select(&rows)), y: pick(data.y), weights: pick(weights), work })
}

impl Cases<'_> {
    pub(super) fn rows(&self) -> usize {
        self.y.len()
    }

    /// The weight of all rows.
    pub(super) fn weight(&self) -> f64 {
        self.weights.iter().sum()
    }

    /// The outcomes' mean.
    pub(super) fn mean(&self) -> f64 {
        let sum: f64 = self.y.iter().zip(self.weights.iter()).map(|(y, weight)| y * weight).sum();
        sum / self.weight()
    }

    /// Where numbers are measured from, so that sums of their squares round less; classes are measured from 0.
    pub(super) fn origin(&self) -> f64 {
        match self.work {
            Work::Classes => 0.0,
            Work::Numbers => self.mean(),
        }
    }

    /// The columns' means.
    pub(super) fn means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.x.width()];
        for (row, weight) in self.x.iter().zip(self.weights.iter()) {
            means.iter_mut().zip(row).for_each(|(mean, value)| *mean += weight * value);
        }
        let all = self.weight();
        means.iter_mut().for_each(|mean| *mean /= all);
        means
    }
}
