//! Gradient boosting: each tree is a Newton step of the sum of those before it.

use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::bins::Bins;
use super::check::Cases;
use super::grow::{Item, Limits, grow};
use super::settings::BoostingSettings;
use super::{Settings, Work};
use crate::model::{Form, Link, Model, Tree, Trees, logistic};
use crate::progress::Progress;

pub(super) fn fit(cases: &Cases<'_>, settings: &Settings, progress: &dyn Progress) -> Model {
    let boosting = &settings.boosting;
    progress.begin("boosting", boosting.rounds as u64);
    let bins = Bins::new(cases);
    let columns = bins.varying();
    let limits = limits(boosting, cases.rows());
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let (link, base) = start(cases);
    let mut raw = vec![base; cases.rows()];
    let mut trees = Vec::with_capacity(boosting.rounds);
    for _ in 0..boosting.rounds {
        let mut items = items(cases, &raw, boosting, &mut rng);
        let mut tree = grow(&bins, &columns, &mut items, &limits, &mut rng);
        tree.value.iter_mut().for_each(|value| *value *= boosting.rate);
        correct(cases, &mut tree, &mut raw);
        trees.push(tree);
        progress.advance(1);
    }
    Model { link, form: Form::Trees(Trees { base, factor: 1.0, trees }) }
}

fn limits(settings: &BoostingSettings, rows: usize) -> Limits {
    Limits {
        leaves: settings.leaves.unwrap_or((rows / 500).clamp(8, 64)),
        depth: settings.depth,
        leaf: settings.leaf,
        // Rounding alone must not make a split.
        gain: 1e-9,
        l2: settings.l2,
        columns: None,
    }
}

/// The best constant.
fn start(cases: &Cases<'_>) -> (Link, f64) {
    let mean = cases.mean();
    match cases.work {
        Work::Classes => (Link::Logistic, (mean / (1.0 - mean)).ln()),
        Work::Numbers => (Link::Identity, mean),
    }
}

/// The derivatives of this round's rows, in ascending order.
fn items(cases: &Cases<'_>, raw: &[f64], settings: &BoostingSettings, rng: &mut ChaCha8Rng) -> Vec<Item> {
    let rows = cases.rows();
    let item = |row: usize| {
        let (y, weight, raw) = (cases.y[row], cases.weights[row], raw[row]);
        let (g, h) = match cases.work {
            Work::Classes => {
                let p = logistic(raw);
                (y - p, (p * (1.0 - p)).max(1e-12))
            }
            Work::Numbers => (y - raw, 1.0),
        };
        Item { row: row as u32, g: weight * g, h: weight * h }
    };
    if settings.subsample >= 1.0 {
        return (0..rows).map(item).collect();
    }
    let count = ((rows as f64 * settings.subsample).round() as usize).clamp(1, rows);
    let mut drawn = sample(rng, rows, count).into_vec();
    drawn.sort_unstable();
    drawn.into_iter().map(item).collect()
}

/// Adds the tree to every row's sum, and counts the rows' weight at its nodes. An inner node gives the mean below it.
fn correct(cases: &Cases<'_>, tree: &mut Tree, raw: &mut [f64]) {
    let leaves: Vec<usize> =
        (0..cases.rows()).into_par_iter().map(|row| tree.leaf(cases.x.row(row))).collect();
    tree.cover.fill(0.0);
    for (row, leaf) in leaves.into_iter().enumerate() {
        raw[row] += tree.value[leaf];
        tree.cover[leaf] += cases.weights[row];
    }
    for at in (0..tree.left.len()).rev().filter(|at| tree.feature[*at] >= 0).collect::<Vec<_>>() {
        let (left, right) = (tree.left[at] as usize, tree.left[at] as usize + 1);
        let cover = tree.cover[left] + tree.cover[right];
        let sum = tree.value[left] * tree.cover[left] + tree.value[right] * tree.cover[right];
        tree.cover[at] = cover;
        tree.value[at] = sum / cover;
    }
}
