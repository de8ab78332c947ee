//! Whether algorithms find what is in tables that are known to the last digit, and what scikit-learn finds.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Algorithm, Data, FitError, Settings, Work, fit};
use crate::Matrix;
use crate::model::{Form, Kernel, Linear, Model, Trees};
use crate::progress::Unwatched;

mod invariants;
mod refusals;

/// A table made for a test.
#[derive(Clone, Debug)]
struct Made {
    x: Matrix,
    y: Vec<f64>,
    work: Work,
}

impl Made {
    fn new(rows: usize, width: usize, seed: u64, work: Work, outcome: impl Fn(&[f64], f64) -> f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let data: Vec<f64> = (0..rows * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let y = data.chunks_exact(width).map(|row| outcome(row, rng.random())).collect();
        Self { x: Matrix::new(data, width), y, work }
    }

    /// One where a point is in a circle, except for one row in ten.
    fn circle(rows: usize, seed: u64) -> Self {
        Self::new(rows, 4, seed, Work::Classes, |row, chance| {
            f64::from(u8::from((row[0].hypot(row[1]) < 0.8) != (chance < 0.1)))
        })
    }

    /// A curved surface with a little noise.
    fn surface(rows: usize, seed: u64) -> Self {
        Self::new(rows, 4, seed, Work::Numbers, |row, chance| {
            10.0 + (3.0 * row[0]).sin() + row[1] * row[2] + 0.1 * (chance - 0.5)
        })
    }

    /// The 24 rows that scikit-learn was shown.
    fn shown(work: Work) -> Self {
        let row = |at: u32| [f64::from(at * 7 % 11) / 5.0 - 1.0, f64::from(at * 5 % 13) / 6.0 - 1.0];
        let classes = |at: u32| {
            let [a, b] = row(at);
            f64::from(u8::from((a * a + b > 0.2) != at.is_multiple_of(9)))
        };
        let numbers = |at: u32| (2.0 * row(at)[0]).sin() + row(at)[1];
        let y = (0..24).map(|at| if work == Work::Classes { classes(at) } else { numbers(at) }).collect();
        Self { x: Matrix::new((0..24).flat_map(row).collect(), 2), y, work }
    }

    fn data(&self) -> Data<'_> {
        Data { x: &self.x, y: &self.y, weights: None, work: self.work }
    }

    fn weighted<'a>(&'a self, weights: &'a [f64]) -> Data<'a> {
        Data { weights: Some(weights), ..self.data() }
    }

    fn fit(&self, algorithm: Algorithm, settings: &Settings) -> Model {
        fitted(algorithm, &self.data(), settings)
    }

    /// The share of pairs of rows from both classes that a model puts in the right order.
    fn auc(&self, model: &Model) -> f64 {
        let scores = model.scores(&self.x);
        let of =
            |class| scores.iter().zip(&self.y).filter(move |(_, y)| **y == class).map(|(score, _)| *score);
        let pairs = of(1.0).flat_map(|one| of(0.0).map(move |other| (one, other)));
        let right =
            |(one, other): (f64, f64)| if one == other { 0.5 } else { f64::from(u8::from(one > other)) };
        let (sum, count) = pairs.fold((0.0, 0.0), |(sum, count), pair| (sum + right(pair), count + 1.0));
        sum / count
    }

    fn rmse(&self, model: &Model) -> f64 {
        let squares =
            model.scores(&self.x).iter().zip(&self.y).map(|(score, y)| (score - y).powi(2)).sum::<f64>();
        (squares / self.y.len() as f64).sqrt()
    }
}

fn fitted(algorithm: Algorithm, data: &Data<'_>, settings: &Settings) -> Model {
    fit(algorithm, data, settings, &Unwatched).expect("data that can be learned from")
}

fn settings() -> Settings {
    let mut settings = Settings { threads: 2, trees: 25, seed: 7, ..Settings::default() };
    settings.boosting.rounds = 30;
    settings.boosting.rate = 0.2;
    settings
}

fn linear(model: &Model) -> &Linear {
    let Form::Linear(linear) = &model.form else { panic!("not linear: {model:?}") };
    linear
}

fn kernel(model: &Model) -> &Kernel {
    let Form::Kernel(kernel) = &model.form else { panic!("no kernel: {model:?}") };
    kernel
}

fn trees(model: &Model) -> &Trees {
    let Form::Trees(trees) = &model.form else { panic!("no trees: {model:?}") };
    trees
}

/// A kernel's value before Platt's scaling.
fn decision(model: &Model, row: &[f64]) -> f64 {
    (model.raw(row) - kernel(model).shift) / kernel(model).slope
}

fn close(found: f64, wanted: f64, within: f64) {
    assert!((found - wanted).abs() <= within, "{found} is not within {within} of {wanted}");
}

fn weights() -> Vec<f64> {
    (0..24).map(|at| f64::from(1 + at % 3)).collect()
}

#[test]
fn linear_regression_finds_the_weights_that_made_the_table() {
    let made = Made::new(200, 3, 1, Work::Numbers, |row, _| 5.0 + 2.0 * row[0] - 3.0 * row[1]);
    let model = made.fit(Algorithm::Linear, &settings());
    let found = linear(&model);
    close(found.intercept, 5.0, 1e-4);
    found.weights.iter().zip([2.0, -3.0, 0.0]).for_each(|(found, wanted)| close(*found, wanted, 1e-4));
}

#[test]
fn linear_regression_finds_the_ridge_that_scikit_learn_finds() {
    let model = Made::shown(Work::Numbers).fit(Algorithm::Linear, &settings());
    let found = linear(&model);
    close(found.intercept, 0.02097074094333814, 1e-9);
    close(found.weights[0], 1.1697610214476464, 1e-9);
    close(found.weights[1], 1.0397049658138804, 1e-9);
}

#[test]
fn logistic_regression_with_weights_finds_what_scikit_learn_finds() {
    let (made, weights) = (Made::shown(Work::Classes), weights());
    let model = fitted(Algorithm::Linear, &made.weighted(&weights), &settings());
    let found = linear(&model);
    close(found.intercept, 1.25471686, 1e-6);
    close(found.weights[0], 0.13273991349349876, 1e-6);
    close(found.weights[1], 1.5778255989259782, 1e-6);
}

#[test]
fn logistic_regression_copes_with_equal_columns_and_classes_that_a_line_parts() {
    let data = (0..40).flat_map(|at| [f64::from(at), f64::from(at), 1.0]).collect();
    let y = (0..40).map(|at| f64::from(u8::from(at >= 20))).collect();
    let made = Made { x: Matrix::new(data, 3), y, work: Work::Classes };
    let model = made.fit(Algorithm::Linear, &settings());
    let found = linear(&model);
    close(found.weights[0], found.weights[1], 1e-9);
    close(found.weights[2], 0.0, 1e-9);
    assert_eq!(made.auc(&model), 1.0);
}

#[test]
fn support_vectors_give_the_decisions_that_scikit_learn_gives() {
    let made = Made::shown(Work::Classes);
    let mut settings = settings();
    settings.svm.tolerance = 1e-8;
    let model = made.fit(Algorithm::Svm, &settings);
    close(kernel(&model).gamma, 1.2178977402875355, 1e-12);
    let wanted = [0.4072653759, 0.4840855695, 1.1536645936, 1.0, 0.8370328965, 1.0];
    for (row, wanted) in made.x.iter().zip(wanted) {
        close(decision(&model, row), wanted, 1e-6);
    }
}

#[test]
fn weighted_support_vectors_give_the_decisions_that_scikit_learn_gives() {
    let (made, weights) = (Made::shown(Work::Classes), weights());
    let mut settings = settings();
    settings.svm.tolerance = 1e-8;
    settings.svm.gamma = Some(0.7);
    let model = fitted(Algorithm::Svm, &made.weighted(&weights), &settings);
    let wanted = [0.0660575562, 0.5254634390, 1.3038712729, 1.0, 0.8570755303, 1.1280529730];
    for (row, wanted) in made.x.iter().zip(wanted) {
        close(decision(&model, row), wanted, 1e-6);
    }
}

#[test]
fn support_vectors_for_numbers_give_what_scikit_learn_gives_for_scaled_outcomes() {
    let made = Made::shown(Work::Numbers);
    let mut settings = settings();
    settings.svm.tolerance = 1e-8;
    let model = made.fit(Algorithm::Svm, &settings);
    let wanted = [-1.7878855504, 0.4463275792, 0.0622620074, 0.2497254072, 0.5800885803, 0.0005243236];
    for (row, wanted) in made.x.iter().zip(wanted) {
        close(model.score(row), wanted, 1e-6);
    }
}

#[test]
fn platt_scaling_gives_probabilities_that_come_true_on_new_rows() {
    let model = Made::circle(400, 1).fit(Algorithm::Svm, &settings());
    let new = Made::circle(1000, 2);
    let scores: Vec<(f64, f64)> = model.scores(&new.x).into_iter().zip(new.y).collect();
    for (low, high) in [(0.0, 0.5), (0.5, 1.0)] {
        let (sum, true_ones, count) = scores
            .iter()
            .filter(|(score, _)| (low..high).contains(score))
            .fold((0.0, 0.0, 0.0), |(sum, ones, count), (score, y)| (sum + score, ones + y, count + 1.0));
        close(sum / count, true_ones / count, 0.1);
    }
}

#[test]
fn a_tree_asks_in_the_middle_of_the_gap() {
    let y = vec![1.0, 1.0, 1.0, 5.0, 5.0, 5.0];
    let made = Made { x: Matrix::new(vec![0.0, 1.0, 2.0, 6.0, 7.0, 8.0], 1), y, work: Work::Numbers };
    let mut settings = settings();
    settings.tree.leaf = 1.0;
    let model = made.fit(Algorithm::Tree, &settings);
    let tree = &trees(&model).trees[0];
    assert_eq!((tree.feature[0], tree.threshold[0]), (0, 4.0));
    assert_eq!((tree.value.as_slice(), tree.cover.as_slice()), (&[3.0, 1.0, 5.0][..], &[6.0, 3.0, 3.0][..]));
}

#[test]
fn a_tree_finds_an_exclusive_or_whose_first_question_gains_nothing() {
    let data = vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let made = Made { x: Matrix::new(data, 2), y: vec![0.0, 1.0, 1.0, 0.0], work: Work::Classes };
    let mut settings = settings();
    settings.tree.leaf = 1.0;
    assert_eq!(made.fit(Algorithm::Tree, &settings).scores(&made.x), made.y);
}

#[test]
fn every_algorithm_but_the_linear_one_finds_a_circle() {
    let (made, new) = (Made::circle(600, 1), Made::circle(400, 2));
    // One row in ten is wrong: nothing can order more than about nine pairs in ten.
    for (algorithm, least) in [
        (Algorithm::Tree, 0.82),
        (Algorithm::Svm, 0.84),
        (Algorithm::Forest, 0.84),
        (Algorithm::Boosting, 0.82),
    ] {
        let model = made.fit(algorithm, &settings());
        assert!(new.auc(&model) > least, "{algorithm:?}: {}", new.auc(&model));
        assert!(model.scores(&new.x).iter().all(|score| (0.0..=1.0).contains(score)));
    }
    assert!(new.auc(&made.fit(Algorithm::Linear, &settings())) < 0.6);
}

#[test]
fn every_algorithm_but_the_linear_one_finds_a_curved_surface() {
    let (made, new) = (Made::surface(600, 1), Made::surface(400, 2));
    // The outcome's deviation is 0.8, the noise's 0.03.
    for (algorithm, most) in
        [(Algorithm::Tree, 0.4), (Algorithm::Svm, 0.15), (Algorithm::Forest, 0.3), (Algorithm::Boosting, 0.2)]
    {
        let model = made.fit(algorithm, &settings());
        assert!(new.rmse(&model) < most, "{algorithm:?}: {}", new.rmse(&model));
    }
    assert!(new.rmse(&made.fit(Algorithm::Linear, &settings())) > 0.3);
}
