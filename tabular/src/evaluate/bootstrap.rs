//! How sure a figure is: it is computed again for rows drawn anew, with putting back.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Estimate, EvalOptions, Interval};
use crate::metrics::quantile;

/// The figures of rows as they are, and their intervals. `figures` is given how often each row counts.
pub(super) fn estimates<const N: usize>(
    rows: usize,
    options: &EvalOptions,
    mut figures: impl FnMut(&[u32]) -> [Option<f64>; N],
) -> [Option<Estimate>; N] {
    let mut counts = vec![1; rows];
    let whole = figures(&counts);
    let mut draws: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(options.resamples));
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    // One row drawn again and again says nothing of how sure a figure is.
    let resamples = if rows > 1 { options.resamples } else { 0 };
    for _ in 0..resamples {
        draw(&mut random, &mut counts);
        for (draws, figure) in draws.iter_mut().zip(figures(&counts)) {
            draws.extend(figure);
        }
    }
    let mut draws = draws.into_iter();
    whole.map(|value| {
        let interval = draws.next().and_then(|draws| interval(draws, resamples));
        Some(Estimate { value: value?, interval })
    })
}

/// Draws as many rows as there are.
fn draw(random: &mut ChaCha8Rng, counts: &mut [u32]) {
    counts.fill(0);
    // Four bytes of randomness are half the work of eight.
    match u32::try_from(counts.len()) {
        Ok(rows) => (0..rows).for_each(|_| counts[random.random_range(0..rows) as usize] += 1),
        Err(_) => (0..counts.len()).for_each(|_| counts[random.random_range(0..counts.len())] += 1),
    }
}

fn interval(mut draws: Vec<f64>, resamples: usize) -> Option<Interval> {
    if resamples == 0 || draws.len() * 2 < resamples {
        return None;
    }
    draws.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&draws, 0.025), high: quantile(&draws, 0.975) })
}
