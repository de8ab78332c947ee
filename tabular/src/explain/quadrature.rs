//! Shapley weights as an integral: `k! (n-1-k)! / n! = ∫₀¹ tᵏ (1-t)ⁿ⁻¹⁻ᵏ dt`.
//!
//! In a game whose worth is a product (a leaf of a tree is reached if every question on its way is answered so; a radial
//! kernel is the product of its features' kernels), the sum over all subsets of the other players becomes the integral of one
//! product, `∏ (t·in_j + (1-t)·out_j)`: a polynomial, which Gauss-Legendre integrates without error with half as many points
//! as it has factors. All terms keep their sign and size, so nothing cancels.

/// The most points of a rule: exact for products of [`MOST_FACTORS`] factors.
const MOST_POINTS: usize = 64;

/// How many players a product may have to be integrated without error.
pub(super) const MOST_FACTORS: usize = 2 * MOST_POINTS;

/// Points and weights of a Gauss-Legendre rule over 0 to 1.
#[derive(Clone, Debug)]
pub(super) struct Rule<const Q: usize> {
    /// The points.
    pub(super) t: [f64; Q],
    /// One less each point.
    pub(super) s: [f64; Q],
    /// The weights; they add up to 1.
    pub(super) weight: [f64; Q],
}

/// Work that wants a rule of a size known to the compiler, so that its inner loops become vector instructions.
pub(super) trait Integrate {
    fn with<const Q: usize>(self, rule: &Rule<Q>);
}

/// The size of the rule used for products of so many players.
pub(super) fn points(players: usize) -> usize {
    const SIZES: [usize; 9] = [1, 2, 3, 4, 6, 8, 12, 16, 32];
    let fewest = players.div_ceil(2);
    SIZES.into_iter().find(|size| *size >= fewest).unwrap_or(MOST_POINTS)
}

/// Does the work with the rule of [`points`] points.
pub(super) fn integrate(points: usize, work: impl Integrate) {
    match points {
        0 | 1 => work.with(&Rule::<1>::new()),
        2 => work.with(&Rule::<2>::new()),
        3 => work.with(&Rule::<3>::new()),
        4 => work.with(&Rule::<4>::new()),
        5 | 6 => work.with(&Rule::<6>::new()),
        7 | 8 => work.with(&Rule::<8>::new()),
        9..=12 => work.with(&Rule::<12>::new()),
        13..=16 => work.with(&Rule::<16>::new()),
        17..=32 => work.with(&Rule::<32>::new()),
        _ => work.with(&Rule::<MOST_POINTS>::new()),
    }
}

impl<const Q: usize> Rule<Q> {
    /// Newton's method on the Legendre polynomial, from the usual first guess.
    fn new() -> Self {
        let mut rule = Self { t: [0.5; Q], s: [0.5; Q], weight: [0.0; Q] };
        for (index, t) in rule.t.iter_mut().enumerate() {
            let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (Q as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..8 {
                let value;
                (value, slope) = legendre(Q, x);
                x -= value / slope;
            }
            *t = f64::midpoint(1.0, x);
            rule.s[index] = f64::midpoint(1.0, -x);
            rule.weight[index] = 1.0 / ((1.0 - x * x) * slope * slope);
        }
        rule
    }
}

/// The Legendre polynomial of a degree of 1 or more, and its slope, at `x` within -1 to 1, both excluded.
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for n in 2..=degree {
        let n = n as f64;
        (before, value) = (value, ((2.0 * n - 1.0) * x * value - (n - 1.0) * before) / n);
    }
    (value, degree as f64 * (x * value - before) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::{Integrate, MOST_POINTS, Rule, integrate, points};

    struct Powers;

    impl Integrate for Powers {
        fn with<const Q: usize>(self, rule: &Rule<Q>) {
            for power in 0..2 * Q {
                let terms = rule.t.iter().zip(&rule.weight);
                let sum: f64 = terms.map(|(t, weight)| weight * t.powi(i32::try_from(power).unwrap())).sum();
                assert!((sum - 1.0 / (power as f64 + 1.0)).abs() < 1e-14, "{Q} points, power {power}: {sum}");
            }
        }
    }

    #[test]
    fn a_rule_of_n_points_integrates_powers_up_to_two_n_less_one() {
        (1..=MOST_POINTS).for_each(|points| integrate(points, Powers));
    }

    #[test]
    fn there_are_points_enough_for_the_players() {
        for players in 0..=2 * MOST_POINTS {
            assert!(2 * points(players) >= players, "{players}");
        }
        assert_eq!(points(1000), MOST_POINTS);
    }
}
