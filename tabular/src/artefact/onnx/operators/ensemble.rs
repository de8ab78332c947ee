//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`. Where the specification leaves open how two classes are told from one
//! sum, this does what ONNX Runtime does, which exporters are tested with.

use std::collections::HashMap;

use super::super::attributes::Attributes;
use super::super::value::{Outcome, Value};
use super::classes::{Second, Transform, decided};
use super::{Compiled, Run, real};

struct Ensemble {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    /// What leaves add to which target.
    weights: Vec<(usize, f64)>,
    /// The least number of columns that a row must have.
    width: usize,
    aggregate: Aggregate,
    base: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Node {
    test: Test,
    column: usize,
    threshold: f64,
    /// Whether a missing value counts as yes.
    missing: bool,
    yes: usize,
    /// Of a leaf, the end of its weights, which begin at `yes`.
    no: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Test {
    Leaf,
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Ensemble {
    /// Reads `nodes_*`, and the weights that stand in `prefix_*`.
    fn of(attributes: &Attributes<'_>, prefix: &str, targets: usize) -> Outcome<Self> {
        let (trees, ids) = (attributes.ints("nodes_treeids"), attributes.ints("nodes_nodeids"));
        let count = trees.len();
        let columns = attributes.indices("nodes_featureids")?;
        let thresholds = attributes.floats("nodes_values")?;
        let (yes, no) = (attributes.ints("nodes_truenodeids"), attributes.ints("nodes_falsenodeids"));
        let tests = attributes.words("nodes_modes")?;
        let mut missing = attributes.ints("nodes_missing_value_tracks_true");
        missing.resize(if missing.is_empty() { count } else { missing.len() }, 0);
        let lengths =
            [ids.len(), columns.len(), thresholds.len(), yes.len(), no.len(), tests.len(), missing.len()];
        if lengths.iter().any(|length| *length != count) || count == 0 {
            return Err(format!("its lists of nodes have {count}, {lengths:?} entries"));
        }
        let places: HashMap<(i64, i64), usize> = trees.iter().copied().zip(ids).zip(0..).collect();
        if places.len() != count {
            return Err("two nodes of a tree have the same number".to_owned());
        }
        let (weights, spans) = weights(attributes, prefix, targets, &places)?;
        let mut ensemble = Self {
            nodes: Vec::with_capacity(count),
            roots: Vec::new(),
            weights,
            width: 0,
            aggregate: Aggregate::of(attributes)?,
            base: attributes.floats("base_values")?,
        };
        let mut has_parent = vec![false; count];
        for node in 0..count {
            let test = Test::of(&tests[node])?;
            let (first, last) = if test == Test::Leaf {
                spans.get(&node).copied().unwrap_or_default()
            } else {
                let child = |id: i64| {
                    places
                        .get(&(trees[node], id))
                        .copied()
                        .ok_or_else(|| format!("node {node} has no child {id}"))
                };
                let children = (child(yes[node])?, child(no[node])?);
                for child in [children.0, children.1] {
                    if std::mem::replace(&mut has_parent[child], true) {
                        return Err(format!("node {child} has two parents"));
                    }
                }
                ensemble.width = ensemble.width.max(columns[node].saturating_add(1));
                children
            };
            let (column, threshold, missing) = (columns[node], thresholds[node], missing[node] != 0);
            ensemble.nodes.push(Node { test, column, threshold, missing, yes: first, no: last });
        }
        // Nodes without a parent; a circle has none, and nothing leads into it.
        ensemble.roots = (0..count).filter(|node| !has_parent[*node]).collect();
        Ok(ensemble)
    }

    fn trees(&self) -> usize {
        self.roots.len()
    }

    /// For each target the sum of its trees; none where no leaf has one.
    fn sums(&self, row: &[f64], targets: usize) -> Vec<Option<f64>> {
        let mut sums = vec![None; targets];
        for root in &self.roots {
            let mut node = &self.nodes[*root];
            while node.test != Test::Leaf {
                node = &self.nodes[if node.passes(row[node.column]) { node.yes } else { node.no }];
            }
            for (target, weight) in &self.weights[node.yes..node.no] {
                let sum = &mut sums[*target];
                *sum = Some(sum.map_or(*weight, |sum: f64| match self.aggregate {
                    Aggregate::Sum | Aggregate::Average => sum + weight,
                    Aggregate::Min => sum.min(*weight),
                    Aggregate::Max => sum.max(*weight),
                }));
            }
        }
        if self.aggregate == Aggregate::Average {
            sums.iter_mut().flatten().for_each(|sum| *sum /= self.trees() as f64);
        }
        sums
    }

    fn fits(&self, width: usize) -> Outcome<()> {
        if width >= self.width && width > 0 {
            Ok(())
        } else {
            Err(format!("it asks for {} columns but gets {width}", self.width))
        }
    }
}

/// The weights leaf by leaf, and for each leaf where its weights begin and end.
type Weights = (Vec<(usize, f64)>, HashMap<usize, (usize, usize)>);

fn weights(
    attributes: &Attributes<'_>,
    prefix: &str,
    targets: usize,
    places: &HashMap<(i64, i64), usize>,
) -> Outcome<Weights> {
    let (trees, nodes) =
        (attributes.ints(&format!("{prefix}_treeids")), attributes.ints(&format!("{prefix}_nodeids")));
    let (ids, values) =
        (attributes.indices(&format!("{prefix}_ids"))?, attributes.floats(&format!("{prefix}_weights"))?);
    if [nodes.len(), ids.len(), values.len()] != [trees.len(); 3] {
        return Err("its lists of weights are not equally long".to_owned());
    }
    let mut each = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let gone = || format!("weight {at} belongs to a node that is not there");
        if *id >= targets {
            return Err(format!("weight {at} is for target {id} of {targets}"));
        }
        each.push((*places.get(&(trees[at], nodes[at])).ok_or_else(gone)?, (*id, values[at])));
    }
    each.sort_by_key(|(node, _)| *node);
    let mut spans = HashMap::new();
    for (at, (node, _)) in each.iter().enumerate() {
        spans.entry(*node).or_insert((at, at)).1 = at + 1;
    }
    Ok((each.into_iter().map(|(_, weight)| weight).collect(), spans))
}

impl Test {
    fn of(mode: &str) -> Outcome<Self> {
        Ok(match mode {
            "LEAF" => Self::Leaf,
            "BRANCH_LEQ" => Self::AtMost,
            "BRANCH_LT" => Self::Below,
            "BRANCH_GTE" => Self::AtLeast,
            "BRANCH_GT" => Self::Above,
            "BRANCH_EQ" => Self::Equal,
            "BRANCH_NEQ" => Self::NotEqual,
            other => return Err(format!("the test `{other}` is not known")),
        })
    }
}

impl Node {
    fn passes(&self, x: f64) -> bool {
        let passes = match self.test {
            Test::Leaf => false,
            Test::AtMost => x <= self.threshold,
            Test::Below => x < self.threshold,
            Test::AtLeast => x >= self.threshold,
            Test::Above => x > self.threshold,
            Test::Equal => x == self.threshold,
            Test::NotEqual => x != self.threshold,
        };
        passes || (self.missing && x.is_nan())
    }
}

impl Aggregate {
    fn of(attributes: &Attributes<'_>) -> Outcome<Self> {
        match attributes.word("aggregate_function", "SUM")?.as_str() {
            "SUM" => Ok(Self::Sum),
            "AVERAGE" => Ok(Self::Average),
            "MIN" => Ok(Self::Min),
            "MAX" => Ok(Self::Max),
            other => Err(format!("the aggregate `{other}` is not known")),
        }
    }
}

pub(super) fn classifier(attributes: &Attributes<'_>) -> Outcome<Compiled> {
    let labels =
        attributes.labels("classlabels_strings", "classlabels_int64s")?.ok_or("it has no class labels")?;
    let transform = Transform::of(attributes)?;
    let ensemble = Ensemble::of(attributes, "class", labels.len())?;
    let classes = labels.len();
    let first_only = ensemble.weights.iter().all(|(class, _)| *class == ensemble.weights[0].0);
    // One sum tells both classes.
    let single = classes == 2 && first_only;
    let second = if ensemble.weights.iter().all(|(_, weight)| *weight >= 0.0) {
        Second::Rest
    } else {
        Second::Opposite
    };
    if !single && !ensemble.base.is_empty() && ensemble.base.len() != classes {
        return Err(format!("{} base values are not those of {classes} classes", ensemble.base.len()));
    }
    let named = labels.clone();
    let run = Box::new(move |inputs: &super::Inputs<'_>| {
        let (element, numbers, rows, width) = inputs.rows()?;
        ensemble.fits(width)?;
        let base = |class: usize| ensemble.base.get(class).copied().unwrap_or_default();
        let of_row = |row| {
            let sums = ensemble.sums(row, classes);
            if single {
                // Of two base values the second is meant, of one the only one.
                let sum: f64 = sums.iter().flatten().sum();
                return transform.both(sum + base(ensemble.base.len().saturating_sub(1)), second).to_vec();
            }
            let sums = sums.iter().enumerate().map(|(class, sum)| sum.unwrap_or_default() + base(class));
            transform.apply(&sums.collect::<Vec<_>>())
        };
        let scores = numbers.chunks_exact(width).flat_map(of_row).collect();
        decided(&labels, real(element), scores, rows)
    });
    Ok(Compiled { run, labels: Some(named), levels: None })
}

pub(super) fn regressor(attributes: &Attributes<'_>) -> Outcome<Run> {
    let targets = usize::try_from(attributes.int("n_targets", 1)).unwrap_or(0);
    if targets == 0 || targets > 10_000 {
        return Err(format!("{targets} targets are not supported"));
    }
    let transform = Transform::of(attributes)?;
    let ensemble = Ensemble::of(attributes, "target", targets)?;
    if !ensemble.base.is_empty() && ensemble.base.len() != targets {
        return Err(format!("{} base values are not those of {targets} targets", ensemble.base.len()));
    }
    Ok(Box::new(move |inputs| {
        let (element, numbers, rows, width) = inputs.rows()?;
        ensemble.fits(width)?;
        let of_row = |row| {
            let sums = ensemble.sums(row, targets).into_iter().enumerate();
            let base = |target: usize| ensemble.base.get(target).copied().unwrap_or_default();
            transform
                .apply(&sums.map(|(target, sum)| sum.unwrap_or_default() + base(target)).collect::<Vec<_>>())
        };
        let results = numbers.chunks_exact(width).flat_map(of_row).collect();
        Ok(vec![Value::numbers(real(element), vec![rows, targets], results)?])
    }))
}
