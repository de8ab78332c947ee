//! Which deployments a call may go to, and in which order they are tried.

use aigate_contract::{Call, Money, Narrowing, Task};
use rand::{Rng, seq::SliceRandom};

use super::Candidate;
use crate::config::document::Strategy;

/// The candidates that `call` may go to, first choice first.
pub(super) fn line_up<'a, T: Task>(
    strategy: Strategy,
    candidates: &'a [Candidate<T>],
    call: &Call<T>,
) -> Vec<&'a Candidate<T>> {
    let willing = |candidate: &&Candidate<T>| !(candidate.target.fallback && call.trail.refuses_degraded);
    let mut line: Vec<_> = candidates.iter().filter(willing).collect();
    match call.trail.narrowing() {
        Narrowing::None => {}
        Narrowing::Local => line.retain(|candidate| candidate.local),
        Narrowing::Cheapest => keep_cheapest(&mut line, call),
    }
    match strategy {
        Strategy::Order => {}
        Strategy::Weighted => by_chance(&mut line),
        Strategy::Fastest => by_speed(&mut line),
        Strategy::Cheapest => by_cost(&mut line, call),
    }
    line
}

/// Those with the lowest cost that is known; none when none is known.
fn keep_cheapest<T: Task>(line: &mut Vec<&Candidate<T>>, call: &Call<T>) {
    let costs: Vec<_> = line.iter().map(|candidate| expected(candidate, call)).collect();
    let lowest = costs.iter().flatten().min().copied();
    let mut costs = costs.into_iter();
    line.retain(|_| costs.next().flatten().is_some_and(|cost| Some(cost) == lowest));
}

fn expected<T: Task>(candidate: &Candidate<T>, call: &Call<T>) -> Option<Money> {
    candidate.expected.as_ref()?.cost(call)
}

/// Drawn in proportion to the weights, again and again. Those with weight zero come last, as they stand.
fn by_chance<T: Task>(line: &mut Vec<&Candidate<T>>) {
    let mut left = std::mem::take(line);
    while !left.is_empty() {
        let total: u64 = left.iter().map(|candidate| u64::from(candidate.weight)).sum();
        let mut drawn = if total == 0 { 0 } else { rand::rng().random_range(0..total) };
        let place = left.iter().position(|candidate| match drawn.checked_sub(u64::from(candidate.weight)) {
            Some(rest) if total > 0 => {
                drawn = rest;
                false
            }
            _ => true,
        });
        line.push(left.remove(place.unwrap_or(0)));
    }
}

/// First the better of two that are drawn by chance, then the others by what they cost in time, those that rest behind
/// the rest, stand-ins at the end as they stand.
///
/// Not the best of all: many calls at once, here and in other replicas, would all see the same one as the best.
fn by_speed<T: Task>(line: &mut Vec<&Candidate<T>>) {
    let (mut usual, stand_ins): (Vec<_>, Vec<_>) =
        std::mem::take(line).into_iter().partition(|candidate| !candidate.target.fallback);
    // So that equals get equal shares.
    usual.shuffle(&mut rand::rng());
    let mut ranked: Vec<_> = usual.into_iter().map(|candidate| (candidate.load.rank(), candidate)).collect();
    ranked.sort_by(|(one, _), (other, _)| {
        one.rests.cmp(&other.rests).then_with(|| one.cost.total_cmp(&other.cost))
    });
    let awake = ranked.iter().filter(|(rank, _)| !rank.rests).count();
    if awake > 2 {
        let one = rand::rng().random_range(0..awake);
        let other = (one + rand::rng().random_range(1..awake)) % awake;
        let better = ranked.remove(one.min(other));
        ranked.insert(0, better);
    }
    for (_, candidate) in ranked.iter().skip(1) {
        candidate.load.pass();
    }
    line.extend(ranked.into_iter().map(|(_, candidate)| candidate));
    line.extend(stand_ins);
}

/// The lowest expected cost first; then those whose cost is not known, then stand-ins, both as they stand.
fn by_cost<T: Task>(line: &mut [&Candidate<T>], call: &Call<T>) {
    line.sort_by_cached_key(|candidate| {
        let cost = if candidate.target.fallback { None } else { expected(candidate, call) };
        (candidate.target.fallback, cost.is_none(), cost)
    });
}
