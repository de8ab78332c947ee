//! Columns in bins: what trees are grown over.
//!
//! A column's values are ranked into at most 255 bins, so that a split looks at bins, not rows. With at most 255 distinct
//! values each has its own bin, and nothing is lost; otherwise bins hold about the same weight of rows.

use rayon::prelude::*;

use super::check::Cases;

/// As many as a byte tells apart, less one.
const MOST: usize = 255;

/// A matrix in bins.
#[derive(Debug)]
pub(super) struct Bins {
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    /// Each row's bin.
    bins: Vec<u8>,
    /// Each bin's lowest value.
    low: Vec<f64>,
    /// Each bin's highest value.
    high: Vec<f64>,
}

impl Bins {
    pub(super) fn new(cases: &Cases<'_>) -> Self {
        let columns = (0..cases.x.width()).into_par_iter().map(|column| Column::new(cases, column));
        Self { columns: columns.collect() }
    }

    /// The columns that have more than one value.
    pub(super) fn varying(&self) -> Vec<u32> {
        let all = 0..self.columns.len() as u32;
        all.filter(|column| self.count(*column) > 1).collect()
    }

    /// Each row's bin of a column.
    pub(super) fn column(&self, column: u32) -> &[u8] {
        &self.columns[column as usize].bins
    }

    /// How many bins a column has.
    pub(super) fn count(&self, column: u32) -> usize {
        self.columns[column as usize].low.len()
    }

    /// A number that parts the values of two bins: the middle between them, or the highest of the lower one.
    pub(super) fn between(&self, column: u32, lower: u8, upper: u8) -> f64 {
        let column = &self.columns[column as usize];
        let (low, high) = (column.high[usize::from(lower)], column.low[usize::from(upper)]);
        let middle = low / 2.0 + high / 2.0;
        if middle >= low && middle < high { middle } else { low }
    }
}

impl Column {
    fn new(cases: &Cases<'_>, column: usize) -> Self {
        let values: Vec<f64> = cases.x.iter().map(|row| row[column]).collect();
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_unstable_by(|a, b| values[*a as usize].total_cmp(&values[*b as usize]).then(a.cmp(b)));
        let distinct = distinct(&order, &values, &cases.weights);
        let starts = if distinct.len() <= MOST { (0..distinct.len()).collect() } else { spread(&distinct) };
        let ends = starts.iter().skip(1).copied().chain([distinct.len()]);
        let low: Vec<f64> = starts.iter().map(|start| distinct[*start].0).collect();
        let high = ends.map(|end| distinct[end - 1].0).collect();
        let bin = |value: &f64| (low.partition_point(|low| low <= value) - 1) as u8;
        Self { bins: values.iter().map(bin).collect(), low, high }
    }
}

/// The distinct values, ascending, with their weights. 0 and -0 are one.
fn distinct(order: &[u32], values: &[f64], weights: &[f64]) -> Vec<(f64, f64)> {
    let mut distinct: Vec<(f64, f64)> = Vec::new();
    for row in order {
        let (value, weight) = (values[*row as usize], weights[*row as usize]);
        match distinct.last_mut() {
            Some(last) if last.0 == value => last.1 += weight,
            _ => distinct.push((value, weight)),
        }
    }
    distinct
}

/// Where bins start among distinct values, so that they weigh about the same.
fn spread(distinct: &[(f64, f64)]) -> Vec<usize> {
    let mut left: f64 = distinct.iter().map(|value| value.1).sum();
    let (mut starts, mut filled) = (vec![0], 0.0);
    for (at, (_, weight)) in distinct.iter().enumerate() {
        let share = left / (MOST - starts.len() + 1) as f64;
        // A bin ends where one more value would take it further from its share than it is now.
        if filled > 0.0 && starts.len() < MOST && filled + weight / 2.0 > share {
            left -= filled;
            filled = 0.0;
            starts.push(at);
        }
        filled += weight;
    }
    starts
}
