//! `LinearClassifier` and `LinearRegressor`.

use super::super::attributes::Attributes;
use super::super::value::{Outcome, Value};
use super::classes::{Second, Transform, decided};
use super::{Compiled, Run, real};

/// One sum per target: `intercept + coefficients · row`.
struct Sums {
    /// Those of the targets one after the other.
    coefficients: Vec<f64>,
    intercepts: Vec<f64>,
    targets: usize,
}

impl Sums {
    fn new(coefficients: Vec<f64>, intercepts: Vec<f64>, targets: usize) -> Outcome<Self> {
        if targets == 0 || !coefficients.len().is_multiple_of(targets) {
            return Err(format!("{} coefficients are not those of {targets} targets", coefficients.len()));
        }
        if !intercepts.is_empty() && intercepts.len() != targets {
            return Err(format!("{} intercepts are not those of {targets} targets", intercepts.len()));
        }
        Ok(Self { coefficients, intercepts, targets })
    }

    fn of(&self, row: &[f64]) -> Vec<f64> {
        let one = |target: usize| {
            let coefficients = &self.coefficients[target * row.len()..(target + 1) * row.len()];
            let sum: f64 = coefficients.iter().zip(row).map(|(by, x)| by * x).sum();
            sum + self.intercepts.get(target).copied().unwrap_or_default()
        };
        (0..self.targets).map(one).collect()
    }

    fn fits(&self, width: usize) -> Outcome<()> {
        let wanted = self.coefficients.len() / self.targets;
        if width == wanted && width > 0 {
            Ok(())
        } else {
            Err(format!("it wants {wanted} columns but gets {width}"))
        }
    }
}

pub(super) fn classifier(attributes: &Attributes<'_>) -> Outcome<Compiled> {
    let labels =
        attributes.labels("classlabels_strings", "classlabels_ints")?.ok_or("it has no class labels")?;
    // How it was trained; the sums say the same.
    attributes.int("multi_class", 0);
    let transform = Transform::of(attributes)?;
    let (coefficients, intercepts) = (attributes.floats("coefficients")?, attributes.floats("intercepts")?);
    let single = labels.len() == 2 && intercepts.len() == 1;
    let sums = Sums::new(coefficients, intercepts, if single { 1 } else { labels.len() })?;
    let named = labels.clone();
    let run = Box::new(move |inputs: &super::Inputs<'_>| {
        let (element, numbers, rows, width) = inputs.rows()?;
        sums.fits(width)?;
        let of_row = |row| match sums.of(row).as_slice() {
            [sum] if single => transform.both(*sum, Second::Opposite).to_vec(),
            sums => transform.apply(sums),
        };
        let scores = numbers.chunks_exact(width).flat_map(of_row).collect();
        decided(&labels, real(element), scores, rows)
    });
    Ok(Compiled { run, labels: Some(named), levels: None })
}

pub(super) fn regressor(attributes: &Attributes<'_>) -> Outcome<Run> {
    let targets = usize::try_from(attributes.int("targets", 1)).unwrap_or(0);
    let transform = Transform::of(attributes)?;
    let sums = Sums::new(attributes.floats("coefficients")?, attributes.floats("intercepts")?, targets)?;
    Ok(Box::new(move |inputs| {
        let (element, numbers, rows, width) = inputs.rows()?;
        sums.fits(width)?;
        let results = numbers.chunks_exact(width).flat_map(|row| transform.apply(&sums.of(row))).collect();
        Ok(vec![Value::numbers(real(element), vec![rows, targets], results)?])
    }))
}
