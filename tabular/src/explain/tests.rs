//! Contributions against their definition: the sum over all subsets of the other players.

use super::{Direction, Explainer, importance, reasons};
use crate::Matrix;
use crate::model::{Form, Kernel, Linear, Link, Model, Tree, Trees};
use crate::prepare::{Block, Encoder};
use crate::schema::{Feature, Kind, Outcome, OutcomeKind, Schema};
use crate::table::{Column, Table};

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, most: usize) -> usize {
        (self.part() * most as f64) as usize
    }

    fn row(&mut self, width: usize) -> Vec<f64> {
        (0..width).map(|_| self.part()).collect()
    }
}

fn number() -> Block {
    Block::Number { fill: 0.0, center: 0.0, scale: 1.0, indicator: false }
}

fn numbers(width: usize) -> Encoder {
    Encoder { blocks: vec![number(); width] }
}

fn model(form: Form) -> Model {
    Model { link: Link::Identity, form }
}

/// A tree whose questions repeat columns, and whose covers add up.
fn tree(dice: &mut Dice, width: usize, depth: usize) -> Tree {
    let mut tree = Tree::default();
    let mut pending = vec![(0, 0, 1000.0)];
    let add = |tree: &mut Tree, cover: f64| {
        tree.feature.push(-1);
        tree.threshold.push(0.0);
        tree.left.push(0);
        tree.value.push(0.0);
        tree.cover.push(cover);
    };
    add(&mut tree, 1000.0);
    while let Some((node, level, cover)) = pending.pop() {
        tree.value[node] = dice.part() * 10.0 - 5.0;
        if level == depth || (level > 1 && dice.below(6) == 0) {
            continue;
        }
        tree.feature[node] = i32::try_from(dice.below(width)).unwrap();
        tree.threshold[node] = dice.part();
        let left = tree.feature.len();
        tree.left[node] = u32::try_from(left).unwrap();
        let share = 0.05 + 0.9 * dice.part();
        add(&mut tree, cover * share);
        add(&mut tree, cover * (1.0 - share));
        pending.push((left, level + 1, cover * share));
        pending.push((left + 1, level + 1, cover * (1.0 - share)));
    }
    tree
}

/// The worth of a tree where only the columns of `known` are known.
fn worth(tree: &Tree, node: usize, row: &[f64], known: u32) -> f64 {
    let Ok(column) = usize::try_from(tree.feature[node]) else { return tree.value[node] };
    let left = tree.left[node] as usize;
    if known & (1 << column) != 0 {
        return worth(tree, if row[column] <= tree.threshold[node] { left } else { left + 1 }, row, known);
    }
    let part = |child: usize| tree.cover[child] / tree.cover[node] * worth(tree, child, row, known);
    part(left) + part(left + 1)
}

/// Shapley values of a game of `players`, by definition.
fn shapley(players: usize, worth: impl Fn(u32) -> f64) -> Vec<f64> {
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let all = u32::try_from(players).unwrap();
    let value = |player: u32| {
        let others = (0..1_u32 << all).filter(|set| set & (1 << player) == 0);
        others
            .map(|set| {
                let size = set.count_ones();
                let weight = factorial(size) * factorial(all - size - 1) / factorial(all);
                weight * (worth(set | 1 << player) - worth(set))
            })
            .sum()
    };
    (0..all).map(value).collect()
}

fn assert_close(found: &[f64], right: &[f64]) {
    assert_eq!(found.len(), right.len());
    for (found, right) in found.iter().zip(right) {
        assert!((found - right).abs() < 1e-9 * right.abs().max(1.0), "{found} instead of {right}");
    }
}

#[test]
fn contributions_to_trees_are_shapley_values_by_their_definition() {
    let mut dice = Dice(7);
    for depth in [0, 1, 2, 3, 5, 9] {
        let width = 6;
        let trees = vec![tree(&mut dice, width, depth), tree(&mut dice, width, depth)];
        let form = Trees { base: 0.25, factor: 0.5, trees };
        let explainer = Explainer::new(&model(Form::Trees(form.clone())), &numbers(width));
        for _ in 0..10 {
            let row = dice.row(width);
            let of =
                |known| form.trees.iter().map(|tree| worth(tree, 0, &row, known)).sum::<f64>() * 0.5 + 0.25;
            let found = explainer.contributions(&row);
            assert_close(&found.values, &shapley(width, of));
            assert_close(&[found.base, found.raw], &[of(0), of(u32::MAX)]);
            assert_close(&[found.base + found.values.iter().sum::<f64>()], &[found.raw]);
            assert!(found.exact);
        }
    }
}

#[test]
fn columns_of_one_feature_are_summed() {
    let mut dice = Dice(3);
    let levels = vec!["a".to_owned(), "b".to_owned()];
    let category = Block::Category { levels, other: true, missing: false };
    let encoder = Encoder { blocks: vec![number(), category, number()] };
    let model = model(Form::Trees(Trees { base: 0.0, factor: 1.0, trees: vec![tree(&mut dice, 5, 6)] }));
    let row = dice.row(5);
    let apart = Explainer::new(&model, &numbers(5)).contributions(&row).values;
    let together = Explainer::new(&model, &encoder).contributions(&row).values;
    assert_close(&together, &[apart[0], apart[1] + apart[2] + apart[3], apart[4]]);
}

#[test]
fn contributions_to_a_kernel_machine_are_shapley_values_by_their_definition() {
    let mut dice = Dice(11);
    let levels = vec!["a".to_owned(), "b".to_owned()];
    let category = Block::Category { levels, other: false, missing: false };
    let encoder = Encoder { blocks: vec![number(), category, number(), number(), number()] };
    let mut background: Vec<Vec<f64>> = (0..4).map(|_| dice.row(6)).collect();
    let row = dice.row(6);
    // A feature that is the same in both has no part.
    background[0][0] = row[0];
    let kernel = Kernel {
        vectors: (0..7).map(|_| dice.row(6)).collect(),
        coefficients: dice.row(7).iter().map(|part| part - 0.5).collect(),
        intercept: 0.3,
        gamma: 1.7,
        slope: -2.0,
        shift: 0.1,
        background: background.clone(),
    };
    let raw = |row: &[f64]| {
        let each = kernel.vectors.iter().zip(&kernel.coefficients).map(|(vector, coefficient)| {
            let distance: f64 = vector.iter().zip(row).map(|(v, x)| (v - x).powi(2)).sum();
            coefficient * (-kernel.gamma * distance).exp()
        });
        kernel.slope * (kernel.intercept + each.sum::<f64>()) + kernel.shift
    };
    let columns = encoder.features();
    let of = |known: u32| {
        let mixed = |other: &Vec<f64>| {
            let pick =
                |column: usize| if known & (1 << columns[column]) == 0 { other[column] } else { row[column] };
            raw(&(0..6).map(pick).collect::<Vec<f64>>())
        };
        background.iter().map(mixed).sum::<f64>() / background.len() as f64
    };
    let found = Explainer::new(&model(Form::Kernel(kernel.clone())), &encoder).contributions(&row);
    assert_close(&found.values, &shapley(5, of));
    assert_close(&[found.base, found.raw], &[of(0), raw(&row)]);
}

#[test]
fn contributions_to_a_linear_model_are_weights_times_distances() {
    let linear = Linear { weights: vec![2.0, -3.0], intercept: 1.0, means: vec![0.5, 1.0] };
    let found = Explainer::new(&model(Form::Linear(linear)), &numbers(2)).contributions(&[1.0, 2.0]);
    assert_close(&found.values, &[1.0, -3.0]);
    assert_close(&[found.base, found.raw], &[-1.0, -3.0]);
}

#[test]
fn a_chain_of_hundreds_of_questions_still_adds_up() {
    let (depth, width) = (500, 300);
    let mut dice = Dice(5);
    let mut tree = Tree::default();
    for question in 0..depth {
        // The left child is a leaf, the right one asks on.
        let node = 2 * question;
        tree.feature.extend([i32::try_from(question % width).unwrap(), -1]);
        tree.threshold.extend([dice.part(), 0.0]);
        tree.left.extend([u32::try_from(node + 1).unwrap(), 0]);
        tree.value.extend([0.0, dice.part()]);
        tree.cover.extend([1000.0 - question as f64, 1.0]);
    }
    // Each pair is (inner node, its left leaf); the right child follows the leaf, as wanted. One leaf ends the chain.
    tree.feature.push(-1);
    tree.threshold.push(0.0);
    tree.left.push(0);
    tree.value.push(9.0);
    tree.cover.push(1000.0 - depth as f64);
    let model = model(Form::Trees(Trees { base: 0.0, factor: 1.0, trees: vec![tree] }));
    let found = Explainer::new(&model, &numbers(width)).contributions(&vec![1.0; width]);
    assert!(!found.exact);
    assert!((found.raw - 9.0).abs() < 1e-12);
    assert!((found.base + found.values.iter().sum::<f64>() - found.raw).abs() < 1e-6);
}

#[test]
fn a_row_of_another_width_has_no_contributions() {
    let linear = Linear { weights: vec![2.0, -3.0], intercept: 1.0, means: vec![0.5, 1.0] };
    let found = Explainer::new(&model(Form::Linear(linear)), &numbers(2)).contributions(&[1.0]);
    assert!(found.raw.is_nan() && found.values.iter().all(|value| value.is_nan()));
}

fn schema() -> Schema {
    let feature = |name: &str, kind| Feature { name: name.to_owned(), kind, nullable: true };
    Schema {
        features: vec![
            feature("age", Kind::Integer),
            feature("job", Kind::Category { levels: vec!["clerk".to_owned(), "none".to_owned()] }),
            feature("amount", Kind::Real),
        ],
        outcome: Outcome { column: "bad".to_owned(), kind: OutcomeKind::Number },
    }
}

#[test]
fn reasons_are_the_features_that_moved_the_score_in_the_adverse_direction() {
    let table = Table {
        names: vec!["job".to_owned(), "age".to_owned(), "amount".to_owned()],
        columns: vec![
            Column::Words(vec![Some("clerk".to_owned()), None]),
            Column::Numbers(vec![1.0, 44.0]),
            Column::Numbers(vec![1.0, f64::NAN]),
        ],
        rows: 2,
    };
    let values = vec![0.5, -0.25, 0.75];
    let contributions = super::Contributions { base: 0.0, raw: 1.0, values, exact: true };
    let found = reasons(&schema(), &table, 1, &contributions, Direction::High, 5);
    let words: Vec<&str> = found.iter().map(|reason| reason.words.as_str()).collect();
    assert_eq!(
        words,
        [
            "amount is missing, which raised the raw score by 0.750",
            "age is 44, which raised the raw score by 0.500"
        ]
    );
    assert_eq!((found[1].rank, found[1].value.as_deref()), (2, Some("44")));
    let found = reasons(&schema(), &table, 0, &contributions, Direction::Low, 5);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].words, "job is clerk, which lowered the raw score by 0.250");
    assert_eq!(reasons(&schema(), &table, 0, &contributions, Direction::High, 1).len(), 1);
}

#[test]
fn importance_is_the_mean_absolute_contribution_in_descending_order() {
    let linear = Linear { weights: vec![1.0, -3.0, 0.0, 0.0], intercept: 0.0, means: vec![0.0; 4] };
    let levels = vec!["clerk".to_owned(), "none".to_owned()];
    let category = Block::Category { levels, other: false, missing: false };
    let explainer =
        Explainer::new(&model(Form::Linear(linear)), &Encoder { blocks: vec![number(), category, number()] });
    let sample = Matrix::new(vec![1.0, 1.0, 0.0, 5.0, -3.0, 0.0, 1.0, 5.0], 4);
    let found = importance(&explainer, &schema(), &sample);
    assert_eq!(found, [("age".to_owned(), 2.0), ("job".to_owned(), 1.5), ("amount".to_owned(), 0.0)]);
    assert_eq!(importance(&explainer, &schema(), &Matrix::new(Vec::new(), 4)), []);
}
