//! A trained model over the rows of a [`Matrix`]: what is computed when a row is scored.

use serde::{Deserialize, Serialize};

use crate::Matrix;

/// A trained model. `raw` is the number that contributions add up to; `score` is what callers get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// From `raw` to `score`.
    pub link: Link,
    /// What computes `raw`.
    pub form: Form,
}

/// From a raw number to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The score is the raw number: regression, and forests, whose raw number is a probability already.
    Identity,
    /// The raw number is the log odds of the score.
    Logistic,
}

/// What computes the raw number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum Form {
    /// `intercept + weights · x`.
    Linear(Linear),
    /// A support vector machine with a radial kernel.
    Kernel(Kernel),
    /// A sum of trees: one tree, a forest, or boosted trees.
    Trees(Trees),
}

/// `raw = intercept + weights · x`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// One per column of the matrix.
    pub weights: Vec<f64>,
    /// Added to the sum.
    pub intercept: f64,
    /// The columns' means in the training data: a contribution is measured from there.
    pub means: Vec<f64>,
}

/// `raw = slope * (intercept + Σ coefficient_i * exp(-gamma * |x - vector_i|²)) + shift`; slope and shift are Platt's
/// scaling to log odds for classes, 1 and 0 for numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// The support vectors.
    pub vectors: Vec<Vec<f64>>,
    /// One per support vector.
    pub coefficients: Vec<f64>,
    /// Added to the sum.
    pub intercept: f64,
    /// Width of the kernel.
    pub gamma: f64,
    /// Platt's slope.
    pub slope: f64,
    /// Platt's shift.
    pub shift: f64,
    /// At most 100 rows of the training data: a contribution is measured from their mean score.
    pub background: Vec<Vec<f64>>,
}

/// `raw = base + factor * Σ tree(x)`: factor is 1/count for a forest, 1 for boosting (the rate is in the leaves).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    /// Added to the sum.
    pub base: f64,
    /// Times the sum.
    pub factor: f64,
    /// The trees.
    pub trees: Vec<Tree>,
}

/// A binary tree; node 0 is its root. At an inner node, `x[feature] <= threshold` goes left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// The matrix column that an inner node asks for; -1 at a leaf.
    pub feature: Vec<i32>,
    /// What an inner node compares with; 0 at a leaf.
    pub threshold: Vec<f64>,
    /// The left child; the right child is the one after it. 0 at a leaf.
    pub left: Vec<u32>,
    /// What a leaf gives; at an inner node the mean of what is below.
    pub value: Vec<f64>,
    /// The weight of training rows that passed the node.
    pub cover: Vec<f64>,
}

/// Rows that are scored together: a tree is read once for all of them.
const TOGETHER: usize = 64;
/// Trees, or rows, that are walked in step.
const LANES: usize = 8;

impl Model {
    /// The raw number of a row, which has one number per column of the training matrix.
    pub fn raw(&self, row: &[f64]) -> f64 {
        match &self.form {
            Form::Linear(linear) => linear.raw(row),
            Form::Kernel(kernel) => kernel.raw(row),
            Form::Trees(trees) => trees.raw(row),
        }
    }

    /// The score of a row: the probability of the positive class, or the number.
    pub fn score(&self, row: &[f64]) -> f64 {
        self.link.apply(self.raw(row))
    }

    /// Whether all of its numbers are finite.
    pub(crate) fn is_finite(&self) -> bool {
        let all = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        match &self.form {
            Form::Linear(linear) => {
                linear.intercept.is_finite() && all(&linear.weights) && all(&linear.means)
            }
            Form::Kernel(kernel) => {
                all(&[kernel.intercept, kernel.gamma, kernel.slope, kernel.shift])
                    && all(&kernel.coefficients)
            }
            Form::Trees(trees) => {
                let tree = |tree: &Tree| all(&tree.threshold) && all(&tree.value) && all(&tree.cover);
                all(&[trees.base, trees.factor]) && trees.trees.iter().all(tree)
            }
        }
    }

    /// The score of each row, the same as [`Model::score`] gives, in less time.
    pub fn scores(&self, x: &Matrix) -> Vec<f64> {
        match &self.form {
            Form::Trees(trees) => trees.raws(x).into_iter().map(|raw| self.link.apply(raw)).collect(),
            _ => x.iter().map(|row| self.score(row)).collect(),
        }
    }
}

impl Link {
    /// The score of a raw number.
    pub fn apply(self, raw: f64) -> f64 {
        match self {
            Self::Identity => raw,
            Self::Logistic => logistic(raw),
        }
    }
}

/// From log odds to a probability, without overflow.
pub(crate) fn logistic(raw: f64) -> f64 {
    if raw >= 0.0 {
        1.0 / (1.0 + (-raw).exp())
    } else {
        let odds = raw.exp();
        odds / (1.0 + odds)
    }
}

impl Linear {
    fn raw(&self, row: &[f64]) -> f64 {
        self.intercept + self.weights.iter().zip(row).map(|(weight, value)| weight * value).sum::<f64>()
    }
}

impl Kernel {
    fn raw(&self, row: &[f64]) -> f64 {
        let mut sum = self.intercept;
        for (vector, coefficient) in self.vectors.iter().zip(&self.coefficients) {
            let distance: f64 = vector.iter().zip(row).map(|(a, b)| (a - b) * (a - b)).sum();
            sum += coefficient * (-self.gamma * distance).exp();
        }
        self.slope * sum + self.shift
    }
}

impl Trees {
    fn raw(&self, row: &[f64]) -> f64 {
        let mut sum = 0.0;
        for trees in self.trees.chunks(LANES) {
            let walks = trees.iter().map(|tree| (tree, row));
            walk(walks, |_, value| sum += value);
        }
        self.base + self.factor * sum
    }

    fn raws(&self, x: &Matrix) -> Vec<f64> {
        let mut raws = vec![0.0; x.rows()];
        for (block, sums) in raws.chunks_mut(TOGETHER).enumerate() {
            for tree in &self.trees {
                for (part, sums) in sums.chunks_mut(LANES).enumerate() {
                    let first = block * TOGETHER + part * LANES;
                    let walks = (first..first + sums.len()).map(|row| (tree, x.row(row)));
                    walk(walks, |lane, value| sums[lane] += value);
                }
            }
        }
        raws.iter_mut().for_each(|raw| *raw = self.base + self.factor * *raw);
        raws
    }
}

/// Walks up to `LANES` rows down trees in step, so that one need not wait for another's memory; tells each leaf's value.
fn walk<'a>(walks: impl Iterator<Item = (&'a Tree, &'a [f64])>, mut tell: impl FnMut(usize, f64)) {
    static EMPTY: Tree = Tree::EMPTY;
    let mut lanes: [(&Tree, &[f64], usize); LANES] = [(&EMPTY, &[], 0); LANES];
    let mut count = 0;
    for (lane, (tree, row)) in lanes.iter_mut().zip(walks) {
        *lane = (tree, row, 0);
        count += 1;
    }
    let lanes = &mut lanes[..count];
    let mut moved = true;
    while moved {
        moved = false;
        for (tree, row, at) in lanes.iter_mut() {
            if let Some(next) = tree.next(*at, row) {
                *at = next;
                moved = true;
            }
        }
    }
    for (lane, (tree, _, at)) in lanes.iter().enumerate() {
        tell(lane, tree.value.get(*at).copied().unwrap_or(f64::NAN));
    }
}

impl Tree {
    const EMPTY: Self = Self {
        feature: Vec::new(),
        threshold: Vec::new(),
        left: Vec::new(),
        value: Vec::new(),
        cover: Vec::new(),
    };

    /// The leaf that a row falls into. A column that the row lacks, or `NaN`, goes right.
    pub fn leaf(&self, row: &[f64]) -> usize {
        let mut at = 0;
        while let Some(next) = self.next(at, row) {
            at = next;
        }
        at
    }

    /// The child that a row goes to; none from a leaf. Children come after their parents: every walk ends.
    #[inline]
    fn next(&self, at: usize, row: &[f64]) -> Option<usize> {
        let column = usize::try_from(*self.feature.get(at)?).ok()?;
        let threshold = *self.threshold.get(at)?;
        let left = row.get(column).is_some_and(|value| *value <= threshold);
        let next = *self.left.get(at)? as usize + usize::from(!left);
        (next > at).then_some(next)
    }
}
