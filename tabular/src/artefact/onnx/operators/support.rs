//! `SVMClassifier` of two classes, and `SVMRegressor`.

use super::super::attributes::Attributes;
use super::super::value::{Outcome, Value};
use super::classes::{Transform, decided};
use super::{Compiled, Run, real};

/// `rho + Σ coefficient · kernel(row, vector)`.
struct Machine {
    kernel: Kernel,
    vectors: Vec<f64>,
    coefficients: Vec<f64>,
    rho: f64,
    width: usize,
}

#[derive(Clone, Copy)]
enum Kernel {
    Linear,
    Poly { gamma: f64, added: f64, degree: f64 },
    Radial { gamma: f64 },
    Sigmoid { gamma: f64, added: f64 },
}

impl Kernel {
    fn of(attributes: &Attributes<'_>) -> Outcome<Self> {
        let parameters = attributes.floats("kernel_params")?;
        let kind = attributes.word("kernel_type", "LINEAR")?;
        Ok(match (kind.as_str(), parameters.as_slice()) {
            ("LINEAR", _) => Self::Linear,
            ("POLY", &[gamma, added, degree]) => Self::Poly { gamma, added, degree },
            ("RBF", &[gamma, ..]) => Self::Radial { gamma },
            ("SIGMOID", &[gamma, added, ..]) => Self::Sigmoid { gamma, added },
            (other, given) => {
                return Err(format!("the kernel `{other}` with {} parameters is not known", given.len()));
            }
        })
    }

    fn of_pair(self, x: &[f64], v: &[f64]) -> f64 {
        let dot = || x.iter().zip(v).map(|(x, v)| x * v).sum::<f64>();
        match self {
            Self::Linear => dot(),
            Self::Poly { gamma, added, degree } => (gamma * dot() + added).powf(degree),
            Self::Radial { gamma } => {
                (-gamma * x.iter().zip(v).map(|(x, v)| (x - v) * (x - v)).sum::<f64>()).exp()
            }
            Self::Sigmoid { gamma, added } => (gamma * dot() + added).tanh(),
        }
    }
}

impl Machine {
    fn of(attributes: &Attributes<'_>) -> Outcome<Self> {
        let (vectors, coefficients) =
            (attributes.floats("support_vectors")?, attributes.floats("coefficients")?);
        let [rho] = attributes.floats("rho")?[..] else {
            return Err("it has several decisions; only two classes are supported".to_owned());
        };
        let width = vectors.len().checked_div(coefficients.len()).unwrap_or(0);
        if width == 0 || width * coefficients.len() != vectors.len() {
            let (numbers, count) = (vectors.len(), coefficients.len());
            return Err(format!("{numbers} numbers are not those of {count} support vectors"));
        }
        Ok(Self { kernel: Kernel::of(attributes)?, vectors, coefficients, rho, width })
    }

    /// One decision per row.
    fn decisions<'a>(&'a self, numbers: &'a [f64], width: usize) -> Outcome<impl Iterator<Item = f64> + 'a> {
        if width != self.width {
            return Err(format!("it wants {} columns but gets {width}", self.width));
        }
        Ok(numbers.chunks_exact(width).map(|row| {
            let vectors = self.vectors.chunks_exact(self.width).zip(&self.coefficients);
            self.rho + vectors.map(|(vector, by)| by * self.kernel.of_pair(row, vector)).sum::<f64>()
        }))
    }
}

pub(super) fn classifier(attributes: &Attributes<'_>) -> Outcome<Compiled> {
    let labels =
        attributes.labels("classlabels_strings", "classlabels_ints")?.ok_or("it has no class labels")?;
    if labels.len() != 2 {
        return Err(format!("it has {} classes; only two are supported", labels.len()));
    }
    if Transform::of(attributes)? != Transform::None {
        return Err("a transform of its scores is not supported".to_owned());
    }
    attributes.ints("vectors_per_class");
    let machine = Machine::of(attributes)?;
    let ([a], [b]) = (&attributes.floats("prob_a")?[..], &attributes.floats("prob_b")?[..]) else {
        return Err("it gives no probabilities; train it with probability=True".to_owned());
    };
    let (a, b, named) = (*a, *b, labels.clone());
    let run = Box::new(move |inputs: &super::Inputs<'_>| {
        let (element, numbers, rows, width) = inputs.rows()?;
        // Platt's scaling gives the probability of the first class.
        let both = |decision: f64| coupled((1.0 / (1.0 + (a * decision + b).exp())).clamp(1e-7, 1.0 - 1e-7));
        let scores = machine.decisions(numbers, width)?.flat_map(both).collect();
        decided(&labels, real(element), scores, rows)
    });
    Ok(Compiled { run, labels: Some(named), levels: None })
}

/// The two probabilities that `libsvm`, and so scikit-learn and ONNX Runtime, give where the first class has probability `r`: by
/// the iteration for many classes (Wu, Lin and Weng 2004, algorithm 2), which ends within 0.0025 of a fixed point.
fn coupled(r: f64) -> [f64; 2] {
    let s = 1.0 - r;
    let q = [[s * s, -r * s], [-r * s, r * r]];
    let mut p = [0.5, 0.5];
    for _ in 0..100 {
        let mut slope = [0, 1].map(|t| q[t][0] * p[0] + q[t][1] * p[1]);
        let mut level = p[0] * slope[0] + p[1] * slope[1];
        if slope.iter().all(|slope| (slope - level).abs() < 0.0025) {
            break;
        }
        for t in [0, 1] {
            let step = (level - slope[t]) / q[t][t];
            p[t] += step;
            let sum = 1.0 + step;
            level = (level + step * (step * q[t][t] + 2.0 * slope[t])) / (sum * sum);
            slope = [0, 1].map(|j| (slope[j] + step * q[t][j]) / sum);
            p = p.map(|p| p / sum);
        }
    }
    p
}

pub(super) fn regressor(attributes: &Attributes<'_>) -> Outcome<Run> {
    if attributes.int("one_class", 0) != 0 {
        return Err("finding outliers is not supported".to_owned());
    }
    if Transform::of(attributes)? != Transform::None {
        return Err("a transform of its results is not supported".to_owned());
    }
    attributes.int("n_supports", 0);
    let machine = Machine::of(attributes)?;
    Ok(Box::new(move |inputs| {
        let (element, numbers, rows, width) = inputs.rows()?;
        let results = machine.decisions(numbers, width)?.collect();
        Ok(vec![Value::numbers(real(element), vec![rows, 1], results)?])
    }))
}
