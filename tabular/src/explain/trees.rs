//! `TreeSHAP`, path dependent: a feature that is left out follows both branches in the proportion of the training rows.
//! (Lundberg et al., <https://arxiv.org/abs/1802.03888>; as in Linear `TreeSHAP`, <https://arxiv.org/abs/2209.08192>, subtrees are
//! summed as polynomials, so that the work per row grows with the number of nodes alone; here they are held by their values
//! at the points of a [`Rule`].)
//!
//! A leaf's factor for a feature is `t·o + (1-t)·z`: `o` is 1 if the row answers all questions about it on the way
//! to the leaf as the leaf wants ("hot", else "cold"), `z` is the share of training rows that did. At a node, with `P` the
//! product of all features' factors so far and `H` for each child the sum over its leaves of value times the factors below,
//!
//! ```text
//! contribution of the node's feature += z_cold · Σ weight · P / f² · (H_hot - H_cold)
//! ```
//!
//! where `f` is the factor that the same feature had already: 1 if it was not asked before. Once a feature is cold, asking it
//! again adds nothing.

use super::quadrature::{Integrate, MOST_FACTORS, Rule, integrate, points};
use crate::model::{Tree, Trees};

/// Trees laid out for walking.
#[derive(Clone, Debug)]
pub(super) struct Ensemble {
    /// The mean raw score of the training rows.
    pub(super) base: f64,
    factor: f64,
    start: f64,
    /// Trees that need rules of the same size.
    groups: Vec<Group>,
    /// Whether the contributions are exact.
    pub(super) exact: bool,
}

#[derive(Clone, Debug)]
struct Group {
    points: usize,
    trees: Vec<Walk>,
    /// Questions and leaves of its largest tree.
    slots: usize,
}

/// A tree's questions in preorder, and then its leaves: both are at their slots.
#[derive(Clone, Debug, Default)]
struct Walk {
    nodes: Vec<Node>,
    leaves: Vec<f64>,
    /// The mean of the leaves, each as often as training rows reached it.
    expected: f64,
    /// The most different columns on the way to a leaf.
    players: usize,
}

/// A question.
#[derive(Clone, Copy, Debug)]
struct Node {
    threshold: f64,
    /// The part of the node's training rows that went left.
    left_share: f64,
    /// `z` of the node's column over the questions above.
    above: f64,
    /// The matrix column.
    column: u32,
    /// The slots of its children.
    left: u32,
    right: u32,
    /// One more than the slot of the nearest node above that asks for the same column; 0 if there is none.
    asked: u32,
    /// Which of its branches leads here.
    side: Branch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Branch {
    Left,
    Right,
    /// Neither: the column is cold already.
    Frozen,
}

/// What a node does to one row: a child's factor is `z·(1-t) + o·t`.
#[derive(Clone, Copy, Default)]
struct Split {
    left_z: f64,
    left_o: f64,
    right_z: f64,
    right_o: f64,
    /// Of `Σ weight · P / f² · (H_left - H_right)` in the contribution.
    by: f64,
    /// Of the factor `f`, its `z`: 1 where the column was not asked for before, or is cold.
    above: f64,
}

impl Ensemble {
    pub(super) fn new(trees: &Trees) -> Self {
        let mut ensemble = Self {
            base: trees.base,
            factor: trees.factor,
            start: trees.base,
            groups: Vec::new(),
            exact: true,
        };
        for tree in &trees.trees {
            let walk = Walk::new(tree);
            ensemble.base += trees.factor * walk.expected;
            ensemble.exact &= walk.players <= MOST_FACTORS;
            ensemble.insert(walk);
        }
        ensemble
    }

    fn insert(&mut self, walk: Walk) {
        let points = points(walk.players);
        let slots = walk.nodes.len() + walk.leaves.len();
        match self.groups.iter_mut().find(|group| group.points == points) {
            Some(group) => {
                group.slots = group.slots.max(slots);
                group.trees.push(walk);
            }
            None => self.groups.push(Group { points, slots, trees: vec![walk] }),
        }
    }

    /// The raw score of a row. Adds each column's contribution to `values` of the column's feature.
    pub(super) fn contributions(&self, row: &[f64], features: &[usize], values: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        for group in &self.groups {
            let (sum, factor) = (&mut sum, self.factor);
            integrate(group.points, Pass { group, row, features, values, factor, sum });
        }
        self.start + self.factor * sum
    }
}

impl Walk {
    fn new(tree: &Tree) -> Self {
        let mut walk = Self::default();
        // Leaves have the slots after all nodes.
        let questions = tree.feature.iter().filter(|column| **column >= 0).count();
        // The questions on the way to the node: their slots, columns, branches taken, and `z` after each.
        let mut way: Vec<Step> = Vec::new();
        let mut pending = vec![Pending { node: 0, depth: 0, from: None, weight: 1.0 }];
        while let Some(Pending { node, depth, from, weight }) = pending.pop() {
            way.truncate(depth);
            let column = u32::try_from(tree.feature[node]).ok();
            let slot = if column.is_some() { walk.nodes.len() } else { questions + walk.leaves.len() } as u32;
            if let (Some((parent, side)), Some(last)) = (from, way.last_mut()) {
                let (share, child) = walk.nodes[parent].branch(side);
                *child = slot;
                (last.side, last.share) = (side, share);
            }
            let Some(column) = column else {
                walk.players = walk.players.max(different(&way));
                walk.expected += weight * tree.value[node];
                walk.leaves.push(tree.value[node]);
                continue;
            };
            let left = tree.left[node] as usize;
            let asked = way.iter().rev().find(|step| step.column == column);
            let above = asked.map_or(1.0, |step| step.share);
            let left_share = share(tree.cover[left], tree.cover[left + 1]);
            let (asked, side) = asked.map_or((0, Branch::Left), |step| (step.slot + 1, step.side));
            let threshold = tree.threshold[node];
            walk.nodes.push(Node { threshold, left_share, above, column, left: 0, right: 0, asked, side });
            way.push(Step { slot, column, side: Branch::Left, share: 0.0 });
            // The left child is taken first.
            for (child, side, share) in
                [(left + 1, Branch::Right, 1.0 - left_share), (left, Branch::Left, left_share)]
            {
                let from = Some((slot as usize, side));
                pending.push(Pending { node: child, depth: depth + 1, from, weight: weight * share });
            }
        }
        walk
    }

    /// The value of the row's leaf.
    fn value(&self, row: &[f64]) -> f64 {
        let mut slot = 0;
        while let Some(node) = self.nodes.get(slot) {
            slot = if row[node.column as usize] <= node.threshold { node.left } else { node.right } as usize;
        }
        self.leaves[slot - self.nodes.len()]
    }
}

struct Pending {
    node: usize,
    depth: usize,
    /// Its parent's slot, and the branch that leads here.
    from: Option<(usize, Branch)>,
    /// The part of the training rows that came here.
    weight: f64,
}

struct Step {
    slot: u32,
    column: u32,
    side: Branch,
    share: f64,
}

/// The part of two covers that the first is. Children without training rows count as equal.
fn share(left: f64, right: f64) -> f64 {
    let share = left / (left + right);
    if share.is_finite() { share } else { 0.5 }
}

fn different(way: &[Step]) -> usize {
    let mut columns: Vec<u32> = way.iter().map(|step| step.column).collect();
    columns.sort_unstable();
    columns.dedup();
    columns.len()
}

/// One row through the trees of a group.
struct Pass<'a> {
    group: &'a Group,
    row: &'a [f64],
    features: &'a [usize],
    values: &'a mut [f64],
    factor: f64,
    sum: &'a mut f64,
}

impl Integrate for Pass<'_> {
    fn with<const Q: usize>(self, rule: &Rule<Q>) {
        let mut room = Room {
            work: vec![[0.0; Q]; self.group.slots],
            splits: vec![Split::default(); self.group.slots],
            taken: vec![Branch::Left; self.group.slots + 1],
        };
        for tree in &self.group.trees {
            *self.sum += tree.value(self.row);
            room.down(tree, rule, self.row);
            room.up(tree, rule, |column, value| {
                self.values[self.features[column as usize]] += self.factor * value;
            });
        }
    }
}

/// Where a row's way through a tree is kept. Few branches: which way a question goes is what a processor cannot foresee.
struct Room<const Q: usize> {
    /// For each slot `P` times the weights on the way down, then `H` on the way up.
    work: Vec<[f64; Q]>,
    splits: Vec<Split>,
    /// For each node, one further on, where the row goes; the first stands for a column that was not asked for, and is what
    /// `side` is of such a node.
    taken: Vec<Branch>,
}

impl<const Q: usize> Room<Q> {
    fn down(&mut self, tree: &Walk, rule: &Rule<Q>, row: &[f64]) {
        self.work[0] = rule.weight;
        for (slot, node) in tree.nodes.iter().enumerate() {
            let goes_left = row[node.column as usize] <= node.threshold;
            let frozen = self.taken[node.asked as usize] != node.side;
            let branch = if goes_left { Branch::Left } else { Branch::Right };
            self.taken[slot + 1] = if frozen { Branch::Frozen } else { branch };
            let split = node.split(goes_left, frozen);
            self.splits[slot] = split;
            let mut product = self.work[slot];
            if node.asked != 0 {
                times(&mut product, &split.per_factor(rule));
            }
            let (mut left, mut right) = ([0.0; Q], [0.0; Q]);
            for q in 0..Q {
                left[q] = product[q] * (split.left_z * rule.s[q] + split.left_o * rule.t[q]);
                right[q] = product[q] * (split.right_z * rule.s[q] + split.right_o * rule.t[q]);
            }
            self.work[node.left as usize] = left;
            self.work[node.right as usize] = right;
        }
    }

    /// Tells each question's contribution, the lowest first.
    fn up(&mut self, tree: &Walk, rule: &Rule<Q>, mut contribute: impl FnMut(u32, f64)) {
        for (sum, value) in self.work[tree.nodes.len()..].iter_mut().zip(&tree.leaves) {
            *sum = [*value; Q];
        }
        for (slot, node) in tree.nodes.iter().enumerate().rev() {
            let split = self.splits[slot];
            let (left, right) = (&self.work[node.left as usize], &self.work[node.right as usize]);
            let mut product = self.work[slot];
            let (mut sum, mut sums) = (0.0, [0.0; Q]);
            for q in 0..Q {
                sums[q] = (split.left_z * rule.s[q] + split.left_o * rule.t[q]) * left[q]
                    + (split.right_z * rule.s[q] + split.right_o * rule.t[q]) * right[q];
            }
            if node.asked != 0 {
                let per = split.per_factor(rule);
                times(&mut product, &per);
                times(&mut product, &per);
                times(&mut sums, &per);
            }
            for q in 0..Q {
                sum += product[q] * (left[q] - right[q]);
            }
            contribute(node.column, split.by * sum);
            self.work[slot] = sums;
        }
    }
}

impl Node {
    /// `z` below a branch, and the slot that the branch leads to.
    fn branch(&mut self, side: Branch) -> (f64, &mut u32) {
        match side {
            Branch::Right => (self.above * (1.0 - self.left_share), &mut self.right),
            Branch::Left | Branch::Frozen => (self.above * self.left_share, &mut self.left),
        }
    }

    /// Sums of products with 0 and 1 instead of choices. A frozen column's children have its shares of the factor as it is:
    /// `share·(1-t) + share·t`.
    fn split(&self, goes_left: bool, frozen: bool) -> Split {
        let (left, right) = (f64::from(u8::from(goes_left)), f64::from(u8::from(!goes_left)));
        let (live, frozen) = (f64::from(u8::from(!frozen)), f64::from(u8::from(frozen)));
        let above = live * self.above + frozen;
        let (left_z, right_z) = (above * self.left_share, above * (1.0 - self.left_share));
        Split {
            left_z,
            left_o: live * left + frozen * left_z,
            right_z,
            right_o: live * right + frozen * right_z,
            by: live * (left * right_z - right * left_z),
            above,
        }
    }
}

impl Split {
    /// At each point 1 divided by the factor that the column has already.
    fn per_factor<const Q: usize>(&self, rule: &Rule<Q>) -> [f64; Q] {
        let mut per = [0.0; Q];
        for ((per, s), t) in per.iter_mut().zip(&rule.s).zip(&rule.t) {
            *per = 1.0 / (self.above * s + t);
        }
        per
    }
}

fn times<const Q: usize>(numbers: &mut [f64; Q], by: &[f64; Q]) {
    numbers.iter_mut().zip(by).for_each(|(number, by)| *number *= by);
}
