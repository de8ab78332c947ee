//! Shapley values of a radial kernel machine, against background rows: a feature that is left out has the value it has in a
//! background row, and the result is the mean over the background.
//!
//! A radial kernel is the product of its features' kernels, so every pair of a support vector and a background row is a
//! game whose worth is a product, and its Shapley values are an integral that a [`Rule`] gets without error: nothing is sampled.

use super::quadrature::{Integrate, MOST_FACTORS, Rule, integrate, points};
use crate::model::Kernel;

/// Kernel values of background rows that are kept: 32 MB, and what one row costs. With more support vectors fewer background
/// rows are used.
const MOST_KEPT: usize = 1 << 22;

/// A kernel machine, and for its background all that does not depend on the row.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    kernel: Kernel,
    /// For each feature, its first column and the one after its last.
    features: Vec<(usize, usize)>,
    background: Vec<Background>,
    /// The mean raw score of the background.
    pub(super) base: f64,
    /// Whether the contributions are exact.
    pub(super) exact: bool,
}

#[derive(Clone, Debug)]
struct Background {
    row: Vec<f64>,
    /// For each support vector, each feature's kernel.
    kernels: Vec<f64>,
}

impl Machine {
    pub(super) fn new(kernel: &Kernel, features: Vec<(usize, usize)>) -> Self {
        let exact = features.len() <= MOST_FACTORS;
        let mut machine = Self { kernel: kernel.clone(), features, background: Vec::new(), base: 0.0, exact };
        let each = (kernel.vectors.len() * machine.features.len()).max(1);
        let rows = kernel.background.len();
        let kept = (MOST_KEPT / each).clamp(1, rows.max(1));
        for index in 0..kept.min(rows) {
            // Evenly spread over what there is.
            let row = kernel.background[index * rows / kept].clone();
            let kernels = machine.kernels(&row);
            machine.base += machine.raw(&kernels) / kept as f64;
            machine.background.push(Background { row, kernels });
        }
        machine
    }

    /// The raw score of a row. Adds each feature's contribution to its value.
    pub(super) fn contributions(&self, row: &[f64], values: &mut [f64]) -> f64 {
        let kernels = self.kernels(row);
        for background in &self.background {
            let differ = |(feature, &(from, to)): (usize, &(usize, usize))| {
                (row[from..to] != background.row[from..to]).then_some(feature)
            };
            let players: Vec<usize> = self.features.iter().enumerate().filter_map(differ).collect();
            let factor = self.kernel.slope / self.background.len() as f64;
            let (inside, outside) = (&kernels, &background.kernels);
            let game = Game { machine: self, players: &players, inside, outside, factor, values };
            integrate(points(players.len()), game);
        }
        self.raw(&kernels)
    }

    /// For each support vector, each feature's kernel.
    fn kernels(&self, row: &[f64]) -> Vec<f64> {
        let mut kernels = Vec::with_capacity(self.kernel.vectors.len() * self.features.len());
        for vector in &self.kernel.vectors {
            kernels.extend(self.features.iter().map(|&(from, to)| {
                let pairs = row[from..to].iter().zip(&vector[from..to]);
                let distance: f64 = pairs.map(|(x, v)| (x - v) * (x - v)).sum();
                (-self.kernel.gamma * distance).exp()
            }));
        }
        kernels
    }

    fn raw(&self, kernels: &[f64]) -> f64 {
        let products =
            kernels.chunks_exact(self.features.len().max(1)).map(|each| each.iter().product::<f64>());
        let sum: f64 = products.zip(&self.kernel.coefficients).map(|(product, by)| product * by).sum();
        self.kernel.slope * (self.kernel.intercept + sum) + self.kernel.shift
    }
}

/// A row against a background row.
struct Game<'a> {
    machine: &'a Machine,
    /// The features in which the two differ.
    players: &'a [usize],
    /// The kernels of the row.
    inside: &'a [f64],
    /// The kernels of the background row.
    outside: &'a [f64],
    factor: f64,
    values: &'a mut [f64],
}

impl Integrate for Game<'_> {
    fn with<const Q: usize>(self, rule: &Rule<Q>) {
        let width = self.machine.features.len().max(1);
        let vectors = self.inside.chunks_exact(width).zip(self.outside.chunks_exact(width));
        let mut before = vec![[0.0; Q]; self.players.len()];
        let mut is_player = vec![false; width];
        self.players.iter().for_each(|player| is_player[*player] = true);
        for ((inside, outside), coefficient) in vectors.zip(&self.machine.kernel.coefficients) {
            let alike =
                inside.iter().zip(&is_player).filter(|(_, player)| !**player).map(|(value, _)| *value);
            let factor = self.factor * coefficient * alike.product::<f64>();
            let mut product = rule.weight.map(|weight| weight * factor);
            for (before, &player) in before.iter_mut().zip(self.players) {
                *before = product;
                times(&mut product, rule, inside[player], outside[player]);
            }
            let mut after = [1.0; Q];
            for (before, &player) in before.iter().zip(self.players).rev() {
                let mut sum = 0.0;
                for q in 0..Q {
                    sum += before[q] * after[q];
                }
                self.values[player] += (inside[player] - outside[player]) * sum;
                times(&mut after, rule, inside[player], outside[player]);
            }
        }
    }
}

/// Times a feature's factor at each point.
fn times<const Q: usize>(product: &mut [f64; Q], rule: &Rule<Q>, inside: f64, outside: f64) {
    for ((product, t), s) in product.iter_mut().zip(&rule.t).zip(&rule.s) {
        *product *= t * inside + s * outside;
    }
}
