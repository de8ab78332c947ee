//! Support vector machines with a radial kernel, for classes and for numbers.
//!
//! Classes get probabilities by Platt's scaling: a logistic curve over decision values of rows that were held out, one
//! part of the rows after another. Numbers are learned in standard deviations of the outcome.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::check::{Cases, at_most};
use super::{FitError, Settings, SvmSettings, Work};
use crate::model::{Form, Kernel, Link, Model};
use crate::progress::Progress;
use gram::Gram;
use platt::platt;
use smo::{Dual, Solution, solve};

mod gram;
mod platt;
mod smo;

/// Beyond, the search would take hours.
const ROWS: usize = 50_000;
/// Parts of the rows that are held out in turn for Platt's scaling.
const PARTS: usize = 5;
/// Rows that contributions are measured from.
const BACKGROUND: usize = 100;

pub(super) fn fit(
    cases: &Cases<'_>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Model, FitError> {
    let rows = cases.rows();
    at_most(rows, ROWS).map_err(|most| FitError::TooManyRows { rows, most })?;
    let svm = &settings.svm;
    let gamma = svm.gamma.map_or_else(|| scale(cases), Ok)?;
    let gram = Gram::new(&cases.x, gamma);
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let background = background(cases, &mut rng);
    let (link, found, slope, shift) = match cases.work {
        Work::Classes => {
            let (found, slope, shift) = classes(cases, svm, &gram, &mut rng, progress)?;
            (Link::Logistic, found, slope, shift)
        }
        Work::Numbers => (Link::Identity, numbers(cases, svm, &gram, progress)?, 1.0, 0.0),
    };
    let vectors: Vec<usize> = (0..rows).filter(|row| found.coefficients[*row] != 0.0).collect();
    let kernel = Kernel {
        coefficients: vectors.iter().map(|row| found.coefficients[*row]).collect(),
        vectors: vectors.iter().map(|row| cases.x.row(*row).to_vec()).collect(),
        intercept: found.intercept,
        gamma,
        slope,
        shift,
        background,
    };
    Ok(Model { link, form: Form::Kernel(kernel) })
}

/// 1 / (columns * variance of the matrix); 1 where all numbers are equal.
fn scale(cases: &Cases<'_>) -> Result<f64, FitError> {
    let width = cases.x.width() as f64;
    let all = cases.weight() * width;
    let rows = || cases.x.iter().zip(cases.weights.iter());
    let mean = rows().map(|(row, weight)| weight * row.iter().sum::<f64>()).sum::<f64>() / all;
    let square = |value: &f64| (value - mean) * (value - mean);
    let variance =
        rows().map(|(row, weight)| weight * row.iter().map(square).sum::<f64>()).sum::<f64>() / all;
    let gamma = if variance > 0.0 { 1.0 / (width * variance) } else { 1.0 };
    if gamma.is_finite() && gamma > 0.0 { Ok(gamma) } else { Err(FitError::Numerical("the kernel's width")) }
}

fn background(cases: &Cases<'_>, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let mut rows = sample(rng, cases.rows(), cases.rows().min(BACKGROUND)).into_vec();
    rows.sort_unstable();
    rows.into_iter().map(|row| cases.x.row(row).to_vec()).collect()
}

fn classes(
    cases: &Cases<'_>,
    settings: &SvmSettings,
    gram: &Gram<'_>,
    rng: &mut ChaCha8Rng,
    progress: &dyn Progress,
) -> Result<(Solution, f64, f64), FitError> {
    let parts = parts(cases, rng)?;
    progress.begin("searching for support vectors", PARTS as u64 + 1);
    // Without a held-out part: all rows.
    let run = |held_out: Option<usize>| {
        let costs = (0..cases.rows()).map(|row| {
            let out = held_out == Some(parts[row]);
            if out { 0.0 } else { settings.cost * cases.weights[row] }
        });
        let dual = Dual::classes(&cases.y, costs.collect());
        let solution = solve(gram, &dual, settings.tolerance);
        progress.advance(1);
        solution
    };
    let count = parts.iter().max().map_or(0, |last| last + 1);
    let mut runs: Vec<Solution> = (0..=count)
        .into_par_iter()
        .map(|part| run((part < count).then_some(part)))
        .collect::<Result<_, _>>()?;
    let found = runs.pop().ok_or(FitError::NoRows)?;
    let values: Vec<f64> = parts.iter().enumerate().map(|(row, part)| runs[*part].values[row]).collect();
    let (slope, shift) = platt(&values, &cases.y, &cases.weights);
    Ok((found, slope, shift))
}

/// Which part each row is held out with: each has its share of both classes.
fn parts(cases: &Cases<'_>, rng: &mut ChaCha8Rng) -> Result<Vec<usize>, FitError> {
    let of = |class: f64| (0..cases.rows()).filter(move |row| cases.y[*row] == class).collect::<Vec<_>>();
    let classes = [of(0.0), of(1.0)];
    let found = classes[0].len().min(classes[1].len());
    if found < 2 {
        return Err(FitError::TooFewOfAClass { found, least: 2 });
    }
    let mut parts = vec![0; cases.rows()];
    for mut rows in classes {
        rows.shuffle(rng);
        rows.into_iter().enumerate().for_each(|(at, row)| parts[row] = at % PARTS.min(found));
    }
    Ok(parts)
}

fn numbers(
    cases: &Cases<'_>,
    settings: &SvmSettings,
    gram: &Gram<'_>,
    progress: &dyn Progress,
) -> Result<Solution, FitError> {
    progress.begin("searching for support vectors", 1);
    let mean = cases.mean();
    let squares =
        cases.y.iter().zip(cases.weights.iter()).map(|(y, weight)| weight * (y - mean) * (y - mean));
    let deviation = (squares.sum::<f64>() / cases.weight()).sqrt();
    let unit = if deviation > 0.0 { deviation } else { 1.0 };
    if !(unit.is_finite() && mean.is_finite()) {
        return Err(FitError::Numerical("the outcomes' deviation"));
    }
    let scaled: Vec<f64> = cases.y.iter().map(|y| (y - mean) / unit).collect();
    let costs = cases.weights.iter().map(|weight| settings.cost * weight).collect();
    let mut found = solve(gram, &Dual::numbers(&scaled, costs, settings.epsilon), settings.tolerance)?;
    found.coefficients.iter_mut().for_each(|coefficient| *coefficient *= unit);
    found.intercept = found.intercept * unit + mean;
    progress.advance(1);
    Ok(found)
}
