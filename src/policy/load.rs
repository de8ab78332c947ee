//! How fast a deployment answers and how busy it is, learned from the calls it gets: what `fastest` and hedging go by.
//!
//! A deployment's **cost** is its latency × (calls in flight there + 1), in seconds; a stream's latency ends with its first
//! chunk. The latency is a peak-EWMA: a slower answer counts at once, a faster one little by little, two thirds of the way
//! in ten seconds. Three rules keep the numbers honest:
//!
//! - What was not asked for a while fades, so that one that has recovered is found again: to a third after ten seconds *and*
//!   twenty calls that went elsewhere. A slow deployment is neither asked every few milliseconds under load nor every second
//!   time when calls are rare. Being asked ends the fading: it costs one call and not a stampede.
//! - A failure that blames the provider counts as a latency four times as long: one that fails fast is not fast.
//! - One that asks to be left alone, or is left alone, rests: it stands behind the others until then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aigate_contract::{End, Error, ErrorKind, Tend};
use tokio::time::Instant;

/// In this time an old latency loses all but a third (1/e) of its weight.
const DECAY: Duration = Duration::from_secs(10);
/// So many calls must go to others before an unasked deployment's latency fades to a third (1/e).
const PASSES: f64 = 20.0;
/// The latency, in seconds, of one that was asked and has never answered.
const UNKNOWN: f64 = 1.0;
/// How many times as long the latency counts after a failure.
const PENALTY: f64 = 4.0;
/// No latency counts for more, in seconds; nothing rests for longer.
const WORST: f64 = 60.0;
/// So many recent answer times are remembered.
const RECENT: usize = 128;
/// Fewer answer times tell no percentile.
const ENOUGH: usize = 16;

/// What is known of one deployment at one task. Shared by all who call it; outlives a configuration.
#[derive(Debug, Default)]
pub struct Load(Mutex<Numbers>);

/// How a deployment compares with others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    /// Whether it is to be left alone for now.
    pub rests: bool,
    /// Its latency × (calls in flight + 1), in seconds; zero for one that was never asked.
    pub cost: f64,
}

#[derive(Debug, Default)]
struct Numbers {
    /// The peak-EWMA of the latency, in seconds.
    latency: Option<f64>,
    /// When the latency was last changed.
    heard: Option<Instant>,
    /// When it last failed.
    failed: Option<Instant>,
    /// When it was last asked, or told something of its latency: since then it fades.
    fresh: Option<Instant>,
    /// How many calls went to others since then.
    passed: u32,
    /// Calls that have not ended.
    in_flight: u32,
    /// Until when it is to be left alone.
    rests_until: Option<Instant>,
    /// The last answer times, in no order.
    recent: Vec<Duration>,
    /// Which of them is overwritten next.
    oldest: usize,
}

impl Load {
    /// A call is sent to the deployment. Whoever sends it tells the guard what became of it.
    pub fn ask(self: &Arc<Self>) -> Asked {
        let now = Instant::now();
        let mut numbers = self.numbers();
        numbers.in_flight += 1;
        numbers.refresh(now);
        Asked { load: Arc::clone(self), begun: now, heard: false }
    }

    /// A call that the deployment could have had goes to another one first.
    pub fn pass(&self) {
        let mut numbers = self.numbers();
        numbers.passed = numbers.passed.saturating_add(1);
    }

    /// How the deployment compares with others.
    pub fn rank(&self) -> Rank {
        let (now, numbers) = (Instant::now(), self.numbers());
        Rank { rests: numbers.rests_until.is_some_and(|until| now < until), cost: numbers.cost(now) }
    }

    /// The time within which `share` (0 to 1) of its recent answers came; `None` when too few have come to tell.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let mut recent = self.numbers().recent.clone();
        if recent.len() < ENOUGH {
            return None;
        }
        let rank = (recent.len() as f64 * share).ceil() as usize;
        let place = rank.clamp(1, recent.len()) - 1;
        Some(*recent.select_nth_unstable(place).1)
    }

    /// It had not answered after `elapsed`, when another deployment had. Without this the percentile would know only the
    /// answers that were waited for, and shrink from hedge to hedge.
    pub fn outrun(&self, elapsed: Duration) {
        self.numbers().remember(elapsed);
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn cost(&self, now: Instant) -> f64 {
        let Some(fresh) = self.fresh else { return 0.0 };
        let fading = (now - fresh).div_duration_f64(DECAY).min(f64::from(self.passed) / PASSES);
        self.latency.unwrap_or(UNKNOWN) * (-fading).exp() * (f64::from(self.in_flight) + 1.0)
    }

    fn answered(&mut self, elapsed: Duration, now: Instant) {
        let new = elapsed.as_secs_f64();
        let latency = match (self.latency, self.heard) {
            (Some(old), Some(heard)) if new < old => {
                let kept = (-(now - heard).div_duration_f64(DECAY)).exp();
                old * kept + new * (1.0 - kept)
            }
            _ => new,
        };
        self.set(latency, now);
        self.remember(elapsed);
    }

    /// It takes at least this long.
    fn at_least(&mut self, elapsed: Duration, now: Instant) {
        let least = elapsed.as_secs_f64();
        if least > self.latency.unwrap_or(UNKNOWN) {
            self.set(least, now);
        }
    }

    fn punish(&mut self, begun: Instant, elapsed: Duration, now: Instant) {
        // Calls that were under way when it last failed tell the same story again.
        if self.failed.is_none_or(|last| begun >= last) {
            let latency = self.latency.unwrap_or(UNKNOWN).max(elapsed.as_secs_f64());
            self.set(latency * PENALTY, now);
        }
        self.failed = Some(now);
    }

    fn set(&mut self, latency: f64, now: Instant) {
        self.latency = Some(latency.min(WORST));
        self.heard = Some(now);
        self.refresh(now);
    }

    fn refresh(&mut self, now: Instant) {
        self.fresh = Some(now);
        self.passed = 0;
    }

    fn remember(&mut self, elapsed: Duration) {
        if self.recent.len() < RECENT {
            self.recent.push(elapsed);
        } else if let Some(oldest) = self.recent.get_mut(self.oldest) {
            *oldest = elapsed;
            self.oldest = (self.oldest + 1) % RECENT;
        }
    }
}

/// A call at a deployment, which counts as in flight until this is dropped. Dropped without a verdict, the caller has left
/// or another deployment was faster: then it is known to take at least that long.
#[derive(Debug)]
#[must_use = "dropping it says that the call was given up"]
pub struct Asked {
    load: Arc<Load>,
    begun: Instant,
    heard: bool,
}

impl Asked {
    /// It answered, whole or with a stream's first chunk. The call is in flight until the answer's end.
    pub fn answered(mut self) -> Self {
        self.heard = true;
        let now = Instant::now();
        self.load.numbers().answered(now - self.begun, now);
        self
    }

    /// It failed, or the gateway refused to ask it. What is wrong with the request says nothing of the deployment.
    pub fn failed(mut self, error: &Error) {
        self.heard = true;
        self.blame(error, self.begun.elapsed());
    }

    fn blame(&self, error: &Error, elapsed: Duration) {
        let (kind, now) = (error.kind(), Instant::now());
        let mut numbers = self.load.numbers();
        if kind.blames_provider() {
            numbers.punish(self.begun, elapsed, now);
        } else if kind == ErrorKind::Deadline {
            numbers.at_least(elapsed, now);
        }
        if let Some(wait) = error.retry_after().filter(|_| kind.fails_over()) {
            numbers.rests_until = Some(now + wait.min(Duration::from_secs_f64(WORST)));
        }
    }
}

/// Stays with an answer to its end.
impl Tend for Asked {
    fn end(self, end: End<'_>) {
        if let End::Failed(error) = end {
            // How long a stream went on before it broke says nothing of its first chunk.
            self.blame(error, Duration::ZERO);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut numbers = self.load.numbers();
        if !self.heard {
            numbers.at_least(now - self.begun, now);
        }
        numbers.in_flight = numbers.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    fn load() -> Arc<Load> {
        Arc::default()
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    async fn answer(load: &Arc<Load>, after: Duration) {
        let asked = load.ask();
        sleep(after).await;
        drop(asked.answered());
    }

    fn near(cost: f64, expected: f64) {
        assert!((cost - expected).abs() < expected * 0.02, "{cost} is not about {expected}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slower_answer_counts_at_once_and_a_faster_one_little_by_little() {
        let load = load();
        answer(&load, millis(100)).await;
        answer(&load, millis(900)).await;
        near(load.rank().cost, 0.9);
        answer(&load, millis(100)).await;
        // A hundredth of the time constant: a hundredth of the way down.
        near(load.rank().cost, 0.892);
        for _ in 0..300 {
            answer(&load, millis(100)).await;
        }
        near(load.rank().cost, 0.1 + 0.8 * (-3.01_f64).exp());
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_in_flight_adds_the_latency_once_more() {
        let load = load();
        answer(&load, millis(200)).await;
        let calls = [load.ask(), load.ask(), load.ask()];
        near(load.rank().cost, 0.8);
        drop(calls);
        near(load.rank().cost, 0.2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_never_asked_is_worth_one_call_and_not_a_stampede() {
        let load = load();
        assert_eq!(load.rank().cost, 0.0);
        let first = load.ask();
        near(load.rank().cost, 2.0 * UNKNOWN);
        drop(first.answered());
    }

    #[tokio::test(start_paused = true)]
    async fn fading_takes_both_time_and_calls() {
        let load = load();
        answer(&load, millis(500)).await;
        advance(DECAY * 6).await;
        near(load.rank().cost, 0.5);
        for _ in 0..40 {
            load.pass();
        }
        near(load.rank().cost, 0.5 * (-2_f64).exp());
        for _ in 0..4000 {
            load.pass();
        }
        near(load.rank().cost, 0.5 * (-6_f64).exp());
        let asked = load.ask();
        near(load.rank().cost, 2.0 * 0.5);
        drop(asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_counts_as_a_latency_four_times_as_long_and_a_burst_of_them_counts_once() {
        let load = load();
        answer(&load, millis(50)).await;
        let burst = [load.ask(), load.ask(), load.ask()];
        advance(millis(1)).await;
        for asked in burst {
            asked.failed(&Error::new(ErrorKind::Unavailable, "x"));
        }
        near(load.rank().cost, 0.2);
        for _ in 0..20 {
            load.ask().failed(&Error::new(ErrorKind::Malformed, "x"));
        }
        near(load.rank().cost, WORST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_breaks_is_a_failure_and_the_time_it_went_on_is_not_its_latency() {
        let load = load();
        let asked = load.ask();
        advance(millis(100)).await;
        let stream = asked.answered();
        advance(Duration::from_secs(30)).await;
        stream.end(End::Failed(&Error::new(ErrorKind::Interrupted, "cut")));
        near(load.rank().cost, 0.4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_the_request_says_nothing_of_the_deployment() {
        let load = load();
        answer(&load, millis(50)).await;
        for kind in [ErrorKind::Invalid, ErrorKind::Unsupported, ErrorKind::Filtered, ErrorKind::Overloaded] {
            load.ask().failed(&Error::new(kind, "x"));
        }
        near(load.rank().cost, 0.05);
        assert!(!load.rank().rests);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deployment_that_asks_to_be_left_alone_rests_until_then() {
        let load = load();
        let refused = Error::new(ErrorKind::AskedToWait, "x").with_retry_after(Duration::from_secs(3));
        load.ask().failed(&refused);
        advance(millis(2_999)).await;
        assert!(load.rank().rests);
        advance(millis(1)).await;
        assert!(!load.rank().rests);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_tells_that_the_deployment_takes_at_least_as_long() {
        let load = load();
        answer(&load, millis(50)).await;
        let asked = load.ask();
        advance(millis(20)).await;
        drop(asked);
        near(load.rank().cost, 0.05);
        let asked = load.ask();
        advance(millis(700)).await;
        drop(asked);
        near(load.rank().cost, 0.7);
        let late = load.ask();
        advance(millis(800)).await;
        late.failed(&Error::new(ErrorKind::Deadline, "x"));
        near(load.rank().cost, 0.8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_percentile_needs_sixteen_answers_and_knows_the_last_ones_only() {
        let load = load();
        for time in 1..16 {
            answer(&load, millis(time)).await;
        }
        assert_eq!(load.percentile(0.95), None);
        answer(&load, millis(16)).await;
        assert_eq!(load.percentile(0.95), Some(millis(16)));
        assert_eq!(load.percentile(0.5), Some(millis(8)));
        assert_eq!(load.percentile(0.0), Some(millis(1)));
        for _ in 0..RECENT {
            load.outrun(millis(70));
        }
        assert_eq!(load.percentile(0.0), Some(millis(70)));
    }
}
