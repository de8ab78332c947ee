//! The one grower behind all trees.
//!
//! It minimises a sum of losses by their first and second derivatives `g` and `h`: a leaf gives `Σg / (Σh + l2)`, and the
//! split that lowers the loss most is taken. With `g = weight * y` and `h = weight` that is a leaf's mean, and the split
//! that leaves the least variance (for classes: the least Gini impurity). With a loss' derivatives it is a Newton step.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::bins::Bins;
use super::split::{Found, Split, Sums, Touched, best, filled, sum};
use crate::model::Tree;

/// Sums over all columns are kept for nodes of at least so many rows: below, they cost more than they save.
const KEPT: u32 = 256;
/// Sums are computed on several threads from so many rows times columns.
const SHARED: usize = 1 << 15;

/// A row to learn from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) row: u32,
    /// First derivative, with the sign of a correction.
    pub(super) g: f64,
    /// Second derivative.
    pub(super) h: f64,
}

/// Where growing ends.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// The most leaves.
    pub(super) leaves: usize,
    /// The most questions to a leaf.
    pub(super) depth: usize,
    /// The least `h` of a leaf.
    pub(super) leaf: f64,
    /// What a split has to gain more than.
    pub(super) gain: f64,
    /// Penalty on the squares of leaf values.
    pub(super) l2: f64,
    /// How many columns are looked at for a split; all of them where none is given.
    pub(super) columns: Option<usize>,
}

/// Grows one tree. Each node's value is its own best leaf value, its cover the sum of `h`.
pub(super) fn grow(
    bins: &Bins,
    columns: &[u32],
    items: &mut [Item],
    limits: &Limits,
    rng: &mut ChaCha8Rng,
) -> Tree {
    let mut grower = Grower {
        bins,
        limits,
        rng,
        columns: columns.to_vec(),
        touched: Touched::new(),
        scratch: Vec::with_capacity(items.len()),
        tree: Tree::default(),
    };
    let all = Sums::of(items);
    grower.push(all);
    let root = Node { at: 0, start: 0, end: items.len(), depth: 0, all };
    let mut open: Vec<Open> = grower.open(items, root, None).into_iter().collect();
    let mut leaves = 1;
    while leaves < limits.leaves
        && let Some(next) = take(&mut open, limits)
    {
        leaves += 1;
        open.extend(grower.split(items, next).into_iter().flatten());
    }
    grower.tree
}

/// A node's place and rows.
#[derive(Clone, Copy, Debug)]
struct Node {
    at: usize,
    start: usize,
    end: usize,
    depth: usize,
    all: Sums,
}

/// A node that can be split, and how.
#[derive(Debug)]
struct Open {
    node: Node,
    split: Split,
    /// Sums over all columns' bins, where they are kept.
    sums: Option<Vec<Sums>>,
}

/// With a bound on leaves the split that gains most comes first; without, the order does not matter.
fn take(open: &mut Vec<Open>, limits: &Limits) -> Option<Open> {
    if limits.leaves == usize::MAX {
        return open.pop();
    }
    let mut most: Option<usize> = None;
    for (at, candidate) in open.iter().enumerate() {
        let better = |other: usize| {
            let other = &open[other];
            let order = candidate.split.gain.total_cmp(&other.split.gain);
            order.then(other.node.at.cmp(&candidate.node.at)).is_gt()
        };
        if most.is_none_or(better) {
            most = Some(at);
        }
    }
    most.map(|at| open.swap_remove(at))
}

#[derive(Debug)]
struct Grower<'a> {
    bins: &'a Bins,
    limits: &'a Limits,
    rng: &'a mut ChaCha8Rng,
    /// The columns to choose from, in an order that drawing changes.
    columns: Vec<u32>,
    touched: Touched,
    /// The rows that go right, while a node is split.
    scratch: Vec<Item>,
    tree: Tree,
}

impl Grower<'_> {
    fn push(&mut self, all: Sums) -> usize {
        let below = all.h + self.limits.l2;
        self.tree.feature.push(-1);
        self.tree.threshold.push(0.0);
        self.tree.left.push(0);
        self.tree.value.push(if below > 0.0 { all.g / below } else { 0.0 });
        self.tree.cover.push(all.h);
        self.tree.feature.len() - 1
    }

    /// Splits a node, and says which of its children can be split further.
    fn split(&mut self, items: &mut [Item], open: Open) -> [Option<Open>; 2] {
        let Open { node, split, sums } = open;
        let middle = node.start + self.part(&mut items[node.start..node.end], split);
        let (left, right) = (Sums::of(&items[node.start..middle]), Sums::of(&items[middle..node.end]));
        let at = self.push(left);
        self.push(right);
        self.tree.feature[node.at] = split.column as i32;
        self.tree.threshold[node.at] = self.bins.between(split.column, split.lower, split.upper);
        self.tree.left[node.at] = at as u32;
        let depth = node.depth + 1;
        let left = Node { at, start: node.start, end: middle, depth, all: left };
        let right = Node { at: at + 1, start: middle, end: node.end, depth, all: right };
        let [left_sums, right_sums] = self.inherit(items, sums, left, right);
        [self.open(items, left, left_sums), self.open(items, right, right_sums)]
    }

    /// Moves the rows that go left to the front, keeping their order, and says how many there are.
    fn part(&mut self, items: &mut [Item], split: Split) -> usize {
        let column = self.bins.column(split.column);
        self.scratch.clear();
        let mut kept = 0;
        for at in 0..items.len() {
            let item = items[at];
            if column[item.row as usize] <= split.lower {
                items[kept] = item;
                kept += 1;
            } else {
                self.scratch.push(item);
            }
        }
        items[kept..].copy_from_slice(&self.scratch);
        kept
    }

    /// The children's sums: those of the smaller one are computed, those of the larger one are what is left.
    fn inherit(
        &self,
        items: &[Item],
        sums: Option<Vec<Sums>>,
        left: Node,
        right: Node,
    ) -> [Option<Vec<Sums>>; 2] {
        let left_is_smaller = left.all.n <= right.all.n;
        let (smaller, larger) = if left_is_smaller { (left, right) } else { (right, left) };
        let Some(mut rest) = sums.filter(|_| self.may_split(larger) && larger.all.n >= KEPT) else {
            return [None, None];
        };
        let computed = self.sums(&items[smaller.start..smaller.end]);
        rest.iter_mut().zip(&computed).for_each(|(rest, less)| *rest = rest.less(*less));
        if left_is_smaller { [Some(computed), Some(rest)] } else { [Some(rest), Some(computed)] }
    }

    /// Sums over the bins of all columns, one column after another.
    fn sums(&self, items: &[Item]) -> Vec<Sums> {
        let counts = || self.columns.iter().map(|column| self.bins.count(*column));
        let mut sums = vec![Sums::default(); counts().sum()];
        let mut rest = sums.as_mut_slice();
        let mut parts = Vec::with_capacity(self.columns.len());
        for (column, count) in self.columns.iter().zip(counts()) {
            let (part, after) = rest.split_at_mut(count);
            parts.push((self.bins.column(*column), part));
            rest = after;
        }
        let fill = |(column, part): (&[u8], &mut [Sums])| sum(items, column, part);
        if items.len() * self.columns.len() < SHARED {
            parts.into_iter().for_each(fill);
        } else {
            parts.into_par_iter().for_each(fill);
        }
        sums
    }

    fn may_split(&self, node: Node) -> bool {
        node.depth < self.limits.depth && node.all.h >= 2.0 * self.limits.leaf
    }

    /// Looks for a node's best split.
    fn open(&mut self, items: &[Item], node: Node, sums: Option<Vec<Sums>>) -> Option<Open> {
        let items = &items[node.start..node.end];
        if !self.may_split(node) || alike(items) {
            return None;
        }
        if let Some(columns) = self.limits.columns {
            let split = self.best_of_some(items, node.all, columns)?;
            return Some(Open { node, split, sums: None });
        }
        if node.all.n < KEPT {
            let split = self.best_of_few(items, node.all)?;
            return Some(Open { node, split, sums: None });
        }
        let sums = sums.unwrap_or_else(|| self.sums(items));
        let split = self.best_of_all(&sums, node.all)?;
        Some(Open { node, split, sums: Some(sums) })
    }

    /// The best split over so many columns drawn at random; those that do not vary do not count.
    fn best_of_some(&mut self, items: &[Item], all: Sums, mut wanted: usize) -> Option<Split> {
        let mut most = None;
        for drawn in 0..self.columns.len() {
            if wanted == 0 {
                break;
            }
            let at = self.rng.random_range(drawn..self.columns.len());
            self.columns.swap(drawn, at);
            let found = self.touched.best(items, self.bins, self.columns[drawn], all, self.limits);
            wanted -= usize::from(!matches!(found, Found::Constant));
            most = better(most, found);
        }
        most
    }

    fn best_of_few(&mut self, items: &[Item], all: Sums) -> Option<Split> {
        let (bins, limits, touched) = (self.bins, self.limits, &mut self.touched);
        let found = self.columns.iter().map(|column| touched.best(items, bins, *column, all, limits));
        found.fold(None, better)
    }

    fn best_of_all(&self, sums: &[Sums], all: Sums) -> Option<Split> {
        let mut rest = sums;
        let mut most = None;
        for column in &self.columns {
            let (part, after) = rest.split_at(self.bins.count(*column));
            most = better(most, best(filled(part), *column, all, self.limits));
            rest = after;
        }
        most
    }
}

/// The first of the splits that gain most.
fn better(most: Option<Split>, found: Found) -> Option<Split> {
    match (most, found) {
        (None, Found::Split(split)) => Some(split),
        (Some(most), Found::Split(split)) if split.gain > most.gain => Some(split),
        (most, _) => most,
    }
}

/// Whether all rows want the same leaf value.
fn alike(items: &[Item]) -> bool {
    items.first().is_none_or(|first| items.iter().all(|item| item.g * first.h == first.g * item.h))
}
