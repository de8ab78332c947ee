//! A limit that several keys share: one flood must not starve the others.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::Rate;

/// Who used and who asked for how much of a shared limit lately, and how much of it must therefore stay for others.
///
/// A key may always use its fair share: the capacity divided by the keys that are active. It may use more, as long as what the other
/// active keys still claim stays in the limit; a key claims what it asked for lately, up to its fair share, less what it used.
/// So a key that is alone gets everything, and what the others leave goes to those who want more.
///
/// A judgement, not an account: it forgets exponentially and reckons in floating point. The limit's own gauge stays exact.
#[derive(Clone, Debug)]
pub struct Fair {
    keys: HashMap<Arc<str>, Share>,
    /// The name under which all keys beyond [`KEYS`] share one share.
    rest: Arc<str>,
    measure: Measure,
    /// The claims of all keys, each as of when it was last looked at.
    claimed: f64,
    /// The largest single ask that someone still claims.
    largest: f64,
    /// When all were looked at.
    renewed: Instant,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
struct Measure {
    /// What can be used in a time constant, or at once.
    capacity: f64,
    /// What the gauge can hold in store.
    store: f64,
    /// The time constant of forgetting, in seconds.
    constant: f64,
    /// Whether use is forgotten with time (of a rate), or ends (of places).
    flows: bool,
}

/// One key's share.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// Used lately; of places: held now.
    used: f64,
    /// Asked for lately; of places: the most that it would have held lately.
    asked: f64,
    /// The largest single ask lately, and when it came.
    largest: f64,
    largest_at: Instant,
    /// What it claims of the limit beyond what it used.
    claim: f64,
    /// When the numbers were so.
    at: Instant,
    /// When it last asked.
    seen: Instant,
}

/// Keys that are told apart.
const KEYS: usize = 1_024;
/// What a key is believed to want, as a multiple of what it asked for lately.
const HEADROOM: f64 = 1.25;
/// A key that was silent for so many time constants is forgotten; so is its largest ask.
const SILENCE: f64 = 2.0;
/// All claims are reckoned anew so many times in a time constant …
const RENEWALS: f64 = 20.0;
/// … but after at least and at most so many seconds, as long as someone asks.
const RENEW_AFTER: (f64, f64) = (0.02, 1.0);
/// Time constant of places: calls last for seconds.
const PLACES_CONSTANT: f64 = 10.0;

impl Fair {
    /// For a rate. What is recent depends on it: a period, or the time in which an empty bucket fills, if that is longer.
    pub fn of_rate(rate: Rate, now: Instant) -> Self {
        let (amount, store, period) =
            (rate.amount() as f64, rate.burst() as f64, rate.period().as_secs_f64());
        let constant = period.max(store * period / amount);
        Self::new(Measure { capacity: amount * constant / period, store, constant, flows: true }, now)
    }

    /// For places. Recent is ten seconds.
    pub fn of_places(all: u32, now: Instant) -> Self {
        let all = f64::from(all);
        Self::new(Measure { capacity: all, store: all, constant: PLACES_CONSTANT, flows: false }, now)
    }

    fn new(measure: Measure, now: Instant) -> Self {
        Self { keys: HashMap::new(), rest: Arc::from(""), measure, claimed: 0.0, largest: 0.0, renewed: now }
    }

    /// Notes that `who` asks for `amount`, and says how much it must leave for others: nothing, while it is below its fair share.
    ///
    /// Never more than half of what the gauge can store, or the largest ask that someone still claims: what is kept for a key that
    /// has gone must not keep others out, and a key that asks for much at once must find as much.
    pub fn ask(&mut self, who: &Arc<str>, amount: u64, now: Instant) -> u64 {
        self.renew(now);
        let seat = self.seat(who);
        if !self.keys.contains_key(&seat) {
            self.keys.insert(Arc::clone(&seat), Share::new(now));
        }
        let measure = self.measure;
        let share = self.change(&seat, now, |share| share.ask_for(amount as f64, now, &measure));
        if share.is_none_or(|share| share.used < self.fair()) {
            return 0;
        }
        let most = (self.measure.store / 2.0).max(self.largest);
        self.claimed.min(most).round() as u64
    }

    /// Notes that `who`, who has asked, uses `amount`.
    pub fn used(&mut self, who: &Arc<str>, amount: u64, now: Instant) {
        self.change(&self.seat(who), now, |share| share.used += amount as f64);
    }

    /// Notes that `who` did not use `amount` after all, or has ended using it.
    pub fn unused(&mut self, who: &Arc<str>, amount: u64, now: Instant) {
        // It may have begun in the common seat and got one of its own since.
        let own = self.keys.get(who).is_some_and(|share| share.used > 0.0);
        let seat = Arc::clone(if own { who } else { &self.rest });
        self.change(&seat, now, |share| share.used = (share.used - amount as f64).max(0.0));
    }

    /// Takes an ask back: the call was not sent, because another limit refused it, so that `who` could not have used it.
    pub fn unask(&mut self, who: &Arc<str>, amount: u64, now: Instant) {
        self.change(&self.seat(who), now, |share| share.asked = (share.asked - amount as f64).max(0.0));
    }

    /// A fair share.
    fn fair(&self) -> f64 {
        self.measure.capacity / self.keys.len().max(1) as f64
    }

    /// The name under which `who` is known.
    fn seat(&self, who: &Arc<str>) -> Arc<str> {
        Arc::clone(if self.keys.len() < KEYS || self.keys.contains_key(who) { who } else { &self.rest })
    }

    /// Changes the share of a seat, if it is still remembered, and the sum of claims with it.
    fn change(&mut self, seat: &Arc<str>, now: Instant, change: impl FnOnce(&mut Share)) -> Option<Share> {
        let fair = self.fair();
        let share = self.keys.get_mut(seat)?;
        let before = share.claim;
        share.forget(now, &self.measure);
        change(share);
        share.claim(fair, self.measure.flows);
        self.claimed += share.claim - before;
        self.largest = self.largest.max(share.lump());
        Some(*share)
    }

    /// Forgets silent keys and reckons all claims anew, when it is time.
    fn renew(&mut self, now: Instant) {
        let pause = (self.measure.constant / RENEWALS).clamp(RENEW_AFTER.0, RENEW_AFTER.1);
        if now.saturating_duration_since(self.renewed) < Duration::from_secs_f64(pause) {
            return;
        }
        self.renewed = now;
        let measure = self.measure;
        self.keys.retain(|_, share| share.is_active(now, &measure));
        let fair = self.fair();
        (self.claimed, self.largest) = (0.0, 0.0);
        for share in self.keys.values_mut() {
            share.forget(now, &measure);
            share.claim(fair, measure.flows);
            self.claimed += share.claim;
            self.largest = self.largest.max(share.lump());
        }
    }
}

impl Measure {
    /// Whether what happened then is forgotten now.
    fn is_silence(&self, then: Instant, now: Instant) -> bool {
        now.saturating_duration_since(then).as_secs_f64() >= SILENCE * self.constant
    }
}

impl Share {
    fn new(now: Instant) -> Self {
        Self { used: 0.0, asked: 0.0, largest: 0.0, largest_at: now, claim: 0.0, at: now, seen: now }
    }

    fn ask_for(&mut self, amount: f64, now: Instant, measure: &Measure) {
        self.asked = if measure.flows { self.asked + amount } else { self.asked.max(self.used + amount) };
        if amount >= self.largest || measure.is_silence(self.largest_at, now) {
            (self.largest, self.largest_at) = (amount, now);
        }
        self.seen = self.seen.max(now);
    }

    fn forget(&mut self, now: Instant, measure: &Measure) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let left = (-passed / measure.constant).exp();
        self.asked *= left;
        if measure.flows {
            self.used *= left;
        }
        self.at = self.at.max(now);
    }

    fn claim(&mut self, fair: f64, flows: bool) {
        let wanted = self.asked * HEADROOM;
        let claim = if self.used >= fair {
            0.0
        } else if flows {
            // Room for one more ask, even if it is larger than a fair share, until the last is forgotten.
            let next = self.largest.min(self.asked * SILENCE.exp());
            ((wanted + next).min(fair) - self.used).max(next)
        } else {
            self.asked.min(fair) - self.used
        };
        self.claim = claim.max(0.0);
    }

    /// The largest ask that it still claims.
    fn lump(&self) -> f64 {
        self.largest.min(self.claim)
    }

    fn is_active(&self, now: Instant, measure: &Measure) -> bool {
        !measure.is_silence(self.seen, now) || (!measure.flows && self.used > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of a hundred a second.
    fn fair() -> (Fair, Instant) {
        let now = Instant::now();
        (Fair::of_rate(Rate::parse("100/s burst 100", Unit::Tokens).unwrap(), now), now)
    }

    fn take(fair: &mut Fair, who: &Arc<str>, amount: u64, now: Instant) -> u64 {
        let keep = fair.ask(who, amount, now);
        fair.used(who, amount, now);
        keep
    }

    #[test]
    fn no_more_than_so_many_keys_are_told_apart() {
        let (mut fair, now) = fair();
        for number in 0..5_000 {
            take(&mut fair, &Arc::from(format!("key {number}")), 1, now);
        }
        assert_eq!(fair.keys.len(), KEYS + 1);
        assert_eq!(fair.keys[""].used, 5_000.0 - KEYS as f64);
    }

    #[test]
    fn a_silent_key_is_forgotten_and_the_share_of_the_others_grows() {
        let (mut fair, now) = fair();
        let (stays, leaves) = (Arc::from("stays"), Arc::from("leaves"));
        take(&mut fair, &leaves, 30, now);
        take(&mut fair, &stays, 1, now);
        assert_eq!(fair.fair(), 50.0);
        take(&mut fair, &stays, 1, now + 2 * SECOND);
        assert_eq!((fair.keys.len(), fair.fair()), (1, 100.0));
    }

    #[test]
    fn an_ask_that_another_limit_refused_keeps_nothing_from_others() {
        let (mut fair, now) = fair();
        let (refused, flood) = (Arc::from("refused"), Arc::from("flood"));
        for _ in 0..40 {
            take(&mut fair, &refused, 1, now);
        }
        take(&mut fair, &flood, 60, now);
        for _ in 0..40 {
            fair.unused(&refused, 1, now);
        }
        assert_eq!(fair.ask(&flood, 1, now), 50, "what it asked for and did not use it still claims");
        for _ in 0..40 {
            fair.unask(&refused, 1, now);
        }
        assert_eq!(fair.ask(&flood, 1, now), 0);
    }

    #[test]
    fn a_place_taken_in_the_common_seat_is_released_wherever_its_key_sits_then() {
        let now = Instant::now();
        let mut fair = Fair::of_places(10_000, now);
        let keys: Vec<Arc<str>> = (0..=KEYS).map(|number| Arc::from(format!("key {number}"))).collect();
        keys.iter().for_each(|key| _ = take(&mut fair, key, 1, now));
        let late = &keys[KEYS];
        assert_eq!(fair.keys[""].used, 1.0);
        // All others leave; the late one takes a second place, in a seat of its own, and releases both.
        keys[..KEYS].iter().for_each(|key| fair.unused(key, 1, now));
        let later = now + 60 * SECOND;
        take(&mut fair, late, 1, later);
        assert_eq!(fair.keys[late].used, 1.0);
        fair.unused(late, 1, later);
        fair.unused(late, 1, later);
        assert!(fair.keys.values().all(|share| share.used == 0.0), "{fair:?}");
    }
}
