//! The kernel between rows, computed when asked for and kept while memory lasts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::Matrix;

/// Bytes of kernel values that are kept.
const BYTES: usize = 1 << 29;
/// Values that one thread computes at a time.
const BLOCK: usize = 1024;

/// `exp(-gamma * |a - b|²)` for all pairs of rows.
#[derive(Debug)]
pub(super) struct Gram<'a> {
    x: &'a Matrix,
    gamma: f64,
    kept: Mutex<Kept>,
}

/// The rows that are kept. Which ones they are changes how long it takes, not what comes out.
#[derive(Debug)]
struct Kept {
    rows: Vec<Option<(u64, Arc<[f32]>)>>,
    count: usize,
    most: usize,
    clock: u64,
}

impl<'a> Gram<'a> {
    pub(super) fn new(x: &'a Matrix, gamma: f64) -> Self {
        let rows = x.rows();
        let most = (BYTES / (4 * rows.max(1))).max(2);
        let kept = Mutex::new(Kept { rows: vec![None; rows], count: 0, most, clock: 0 });
        Self { x, gamma, kept }
    }

    pub(super) fn rows(&self) -> usize {
        self.x.rows()
    }

    /// The kernel between one row and all rows.
    pub(super) fn row(&self, row: usize) -> Arc<[f32]> {
        if let Some(values) = self.kept().get(row) {
            return values;
        }
        // Computed outside the lock: twice, at worst, with the same result.
        let values: Arc<[f32]> = self.compute(row).into();
        self.kept().put(row, &values);
        values
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compute(&self, row: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.rows()];
        let this = self.x.row(row);
        values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
            for (at, value) in values.iter_mut().enumerate() {
                let distance = distance(this, self.x.row(block * BLOCK + at));
                *value = (-self.gamma * distance).exp() as f32;
            }
        });
        values
    }
}

impl Kept {
    fn get(&mut self, row: usize) -> Option<Arc<[f32]>> {
        self.clock += 1;
        let (used, values) = self.rows[row].as_mut()?;
        *used = self.clock;
        Some(Arc::clone(values))
    }

    fn put(&mut self, row: usize, values: &Arc<[f32]>) {
        if self.count >= self.most {
            self.forget_half();
        }
        if self.rows[row].replace((self.clock, Arc::clone(values))).is_none() {
            self.count += 1;
        }
    }

    /// Forgets the half that was used least recently.
    fn forget_half(&mut self) {
        let mut used: Vec<u64> = self.rows.iter().flatten().map(|kept| kept.0).collect();
        let middle = used.len() / 2;
        let median = *used.select_nth_unstable(middle).1;
        for kept in &mut self.rows {
            if kept.as_ref().is_some_and(|kept| kept.0 <= median) {
                *kept = None;
            }
        }
        self.count = self.rows.iter().flatten().count();
    }
}

/// The squared distance, in four sums so that the processor need not wait for one.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
    let mut sums = [0.0; 4];
    for (a, b) in a.zip(b) {
        for at in 0..4 {
            sums[at] += (a[at] - b[at]) * (a[at] - b[at]);
        }
    }
    sums.iter().sum::<f64>() + rest
}
