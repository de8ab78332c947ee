//! One decision tree.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::bins::Bins;
use super::check::Cases;
use super::grow::{Item, Limits, grow};
use super::settings::TreeSettings;
use crate::model::{Form, Link, Model, Tree, Trees};
use crate::progress::Progress;

pub(super) fn fit(cases: &Cases<'_>, settings: &TreeSettings, progress: &dyn Progress) -> Model {
    progress.begin("growing a tree", 1);
    let bins = Bins::new(cases);
    let limits = Limits {
        leaves: usize::MAX,
        depth: settings.depth,
        leaf: settings.leaf,
        // Rows that differ are split even where nothing is gained: a later split may need it.
        gain: f64::NEG_INFINITY,
        l2: 0.0,
        columns: None,
    };
    let origin = cases.origin();
    let mut items = Vec::with_capacity(cases.rows());
    for (row, (y, weight)) in cases.y.iter().zip(cases.weights.iter()).enumerate() {
        items.push(Item { row: row as u32, g: weight * (y - origin), h: *weight });
    }
    // Nothing is drawn where all columns are looked at.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut tree = grow(&bins, &bins.varying(), &mut items, &limits, &mut rng);
    lift(&mut tree, origin);
    progress.advance(1);
    Model { link: Link::Identity, form: Form::Trees(Trees { base: 0.0, factor: 1.0, trees: vec![tree] }) }
}

/// Outcomes were learned as distances from an origin; leaves give outcomes.
pub(super) fn lift(tree: &mut Tree, origin: f64) {
    tree.value.iter_mut().for_each(|value| *value += origin);
}
