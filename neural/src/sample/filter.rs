//! The filters: each finds which tokens stay in linear time.

use std::cmp::Ordering;

/// A token that may be picked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) logit: f32,
    pub(super) token: u32,
}

/// Falling logits, then rising ids: a total order, so that every filter keeps the same tokens on every run.
pub(super) fn order(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// Moves the `k` first in [`order`] to the front and returns how many there are.
pub(super) fn top_k(candidates: &mut [Candidate], k: usize) -> usize {
    if k < candidates.len() {
        candidates.select_nth_unstable_by(k, order);
    }
    k.min(candidates.len())
}

/// The sum of the tokens' probabilities, that of the best one taken as 1.
pub(super) fn mass(candidates: &[Candidate], best: Candidate) -> f64 {
    candidates.iter().map(|one| f64::from((one.logit - best.logit).exp())).sum()
}

/// Moves the fewest tokens whose mass reaches `target` to the front and returns how many there are, at least
/// one. Halves the range by selection until one token is left: about two passes in all.
pub(super) fn top_p(candidates: &mut [Candidate], best: Candidate, target: f64) -> usize {
    let (mut low, mut high, mut before) = (0, candidates.len(), 0.0);
    while high - low > 1 {
        let half = (high - low) / 2;
        let range = &mut candidates[low..high];
        range.select_nth_unstable_by(half, order);
        let front = mass(&range[..half], best);
        if before + front >= target {
            high = low + half;
        } else {
            before += front;
            low += half;
        }
    }
    low + 1
}

/// The last place in [`order`] whose probability is at least `least` of the best one's.
pub(super) fn min_p(best: Candidate, least: f32) -> Candidate {
    Candidate { logit: best.logit + least.ln(), token: u32::MAX }
}

/// The log probability of `token` and the `count` highest ones, of the softmax of `logits` (all finite).
pub(super) fn log_probabilities(logits: &[f32], token: u32, count: usize) -> (Option<f32>, Vec<(u32, f32)>) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = logits.iter().map(|logit| f64::from((logit - highest).exp())).sum::<f64>();
    let total = f64::from(highest) + sum.ln();
    let logarithm = |logit: f32| (f64::from(logit) - total) as f32;
    let mut top: Vec<Candidate> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0u32..).zip(logits) {
        let full = top.len() == count;
        if !full || top.last().is_some_and(|last| logit > last.logit) {
            let at = top.partition_point(|one| one.logit >= logit);
            top.insert(at, Candidate { logit, token });
            top.truncate(count);
        }
    }
    let top = top.into_iter().map(|one| (one.token, logarithm(one.logit))).collect();
    (logits.get(token as usize).map(|&logit| logarithm(logit)), top)
}
