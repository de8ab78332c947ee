//! Random forest: trees grown on draws of the rows, each split chosen among a few columns drawn at random.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::bins::Bins;
use super::check::Cases;
use super::grow::{Item, Limits, grow};
use super::tree::lift;
use super::{Settings, Work};
use crate::model::{Form, Link, Model, Tree, Trees};
use crate::progress::Progress;

pub(super) fn fit(cases: &Cases<'_>, settings: &Settings, progress: &dyn Progress) -> Model {
    progress.begin("growing trees", settings.trees as u64);
    let bins = Bins::new(cases);
    let columns = bins.varying();
    let limits = Limits {
        leaves: usize::MAX,
        depth: settings.forest.depth.unwrap_or(depth(cases)),
        leaf: settings.forest.leaf.unwrap_or(leaf(cases)),
        // Rows that differ are split even where nothing is gained: a later split may need it.
        gain: f64::NEG_INFINITY,
        l2: 0.0,
        columns: Some(settings.forest.columns.unwrap_or(drawn(cases))),
    };
    let origin = cases.origin();
    let one = |at: usize| {
        // Each tree draws from its own stream: it is the same whichever thread grows it.
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        rng.set_stream(at as u64);
        let mut items = draw(cases, origin, &mut rng);
        let mut tree = grow(&bins, &columns, &mut items, &limits, &mut rng);
        lift(&mut tree, origin);
        progress.advance(1);
        tree
    };
    let trees: Vec<Tree> = (0..settings.trees).into_par_iter().map(one).collect();
    let factor = 1.0 / trees.len() as f64;
    Model { link: Link::Identity, form: Form::Trees(Trees { base: 0.0, factor, trees }) }
}

fn leaf(cases: &Cases<'_>) -> f64 {
    match cases.work {
        Work::Classes => 5.0,
        Work::Numbers => 3.0,
    }
}

fn depth(cases: &Cases<'_>) -> usize {
    if cases.work == Work::Classes && cases.rows() <= 10_000 { 10 } else { 64 }
}

fn drawn(cases: &Cases<'_>) -> usize {
    let columns = cases.x.width();
    match cases.work {
        Work::Classes => columns.isqrt(),
        Work::Numbers => columns.div_ceil(2),
    }
}

/// As many rows as there are, with replacement; one that is drawn twice weighs twice.
fn draw(cases: &Cases<'_>, origin: f64, rng: &mut ChaCha8Rng) -> Vec<Item> {
    let rows = cases.rows() as u32;
    let mut times = vec![0u32; cases.rows()];
    (0..rows).for_each(|_| times[rng.random_range(0..rows) as usize] += 1);
    let mut items = Vec::with_capacity(cases.rows());
    for row in (0..cases.rows()).filter(|row| times[*row] > 0) {
        let weight = cases.weights[row] * f64::from(times[row]);
        items.push(Item { row: row as u32, g: weight * (cases.y[row] - origin), h: weight });
    }
    items
}
