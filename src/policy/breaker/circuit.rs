//! The state machine of a circuit breaker. Pure but for the clock and whom it tells; its deadline only ever moves forward.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::BreakerPlan;

/// How many of the last outcomes are remembered: one bit each.
const WINDOW: u32 = 32;
/// How many outcomes it takes to judge by the ratio.
const ENOUGH: u32 = 16;

/// Trips whose ends differ by less are the same: what was told comes back later by the time that telling took.
const SAME: Duration = Duration::from_millis(500);

/// The circuit of one deployment.
pub struct Circuit {
    plan: BreakerPlan,
    state: Mutex<State>,
    tell: Option<Tell>,
}

/// Told of each trip of a circuit, and for how long it is.
pub type Tell = Box<dyn Fn(Trip, Duration) + Send + Sync>;

/// Why a deployment is left alone, as replicas tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// It kept failing: afterwards it is probed.
    Open,
    /// It asked for patience.
    Asked,
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuit")
            .field("plan", &self.plan)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    /// Calls are refused before this moment.
    open_until: Option<Instant>,
    /// The provider asked for patience until this moment. Unlike an opening it ends by itself, without a probe.
    patient_until: Option<Instant>,
    /// Whether the probe is under way.
    probing: bool,
    /// How often it opened since the last success of a probe.
    openings: u32,
    /// Failures in a row.
    in_a_row: u32,
    /// The last outcomes, newest in the lowest bit; 1 is a failure.
    outcomes: u32,
    /// How many outcomes `outcomes` holds.
    seen: u32,
    /// Until when replicas leave it alone, by the last trip that was told or heard. Kept when a probe has closed it: a trip that
    /// is heard again says nothing new.
    tripped_until: Option<Instant>,
}

/// What became of a call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The deployment works.
    Success,
    /// It failed; when it says to come back later, it is left alone at least until then.
    Failure(Option<Duration>),
    /// It asked for patience, and said for how long.
    AskedToWait(Duration),
    /// Nothing was learned about it.
    Unknown,
}

/// Why no call goes through, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The circuit is open.
    Open(Duration),
    /// The provider asked for patience.
    Asked(Duration),
}

/// How a circuit stands, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// One call may try.
    HalfOpen,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(plan: BreakerPlan) -> Self {
        Self::build(plan, None)
    }

    /// A closed circuit that tells of its own trips.
    pub fn telling(plan: BreakerPlan, tell: Tell) -> Self {
        Self::build(plan, Some(tell))
    }

    fn build(plan: BreakerPlan, tell: Option<Tell>) -> Self {
        let state = State {
            open_until: None,
            patient_until: None,
            probing: false,
            openings: 0,
            in_a_row: 0,
            outcomes: 0,
            seen: 0,
            tripped_until: None,
        };
        Self { plan, state: Mutex::new(state), tell }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// May a call go through? `Ok(true)` makes it the probe. An `urgent` call, which has nowhere else to go, may be the probe
    /// of an open circuit before its time; still there is one at a time.
    ///
    /// # Errors
    /// How long the circuit stays open, and why.
    pub fn ask(&self, urgent: bool) -> Result<bool, Refusal> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(until) = state.patient_until.filter(|until| now < *until) {
            return Err(Refusal::Asked(until - now));
        }
        let Some(until) = state.open_until else { return Ok(false) };
        if now < until && (state.probing || !urgent) {
            return Err(Refusal::Open(until - now));
        }
        if state.probing {
            // The probe will tell soon; nothing better is known than the shortest opening.
            return Err(Refusal::Open(self.plan.open));
        }
        state.probing = true;
        Ok(true)
    }

    /// Hears what became of a call.
    pub fn tell(&self, verdict: Verdict, probe: bool) {
        let trip = self.judge(&mut self.state(), verdict, probe);
        if let (Some((trip, wait)), Some(tell)) = (trip, &self.tell) {
            tell(trip, wait);
        }
    }

    /// What others should hear of: only what leaves it alone for longer than they know.
    fn judge(&self, state: &mut State, verdict: Verdict, probe: bool) -> Option<(Trip, Duration)> {
        if probe {
            state.probing = false;
        }
        let (open, patient) = (state.open_until, state.patient_until);
        match verdict {
            Verdict::Unknown => {}
            Verdict::Success => {
                // Calls let through before the circuit opened say nothing about now.
                if probe {
                    state.close();
                }
                if state.open_until.is_none() {
                    state.in_a_row = 0;
                    state.note(0);
                }
            }
            Verdict::Failure(retry_after) => {
                if let Some(wait) = retry_after.filter(|wait| !wait.is_zero()) {
                    state.be_patient(wait.min(self.plan.max_open));
                }
                state.in_a_row = state.in_a_row.saturating_add(1);
                state.note(1);
                let closed = state.open_until.is_none();
                if probe || (closed && (state.in_a_row >= self.plan.failures || self.too_many(state))) {
                    let doubled = self.plan.open.saturating_mul(1 << state.openings.min(16));
                    state.openings = state.openings.saturating_add(1);
                    state.open_for(doubled.min(self.plan.max_open));
                }
            }
            // Says when it will serve again: to wait is enough, there is nothing to find out by a probe.
            Verdict::AskedToWait(wait) => {
                state.be_patient(wait.min(self.plan.max_open));
                if probe {
                    state.close();
                }
            }
        }
        let opened = state.open_until.filter(|until| open.is_none_or(|before| *until > before));
        let asked = state.patient_until.filter(|until| patient.is_none_or(|before| *until > before));
        let (trip, until) = match (opened, asked) {
            (Some(opened), asked) if asked.is_none_or(|asked| asked <= opened) => (Trip::Open, opened),
            (_, asked) => (Trip::Asked, asked?),
        };
        state.is_news(until).then(|| (trip, until.saturating_duration_since(Instant::now())))
    }

    /// Hears that another replica leaves the deployment alone until then: so does this one, within `max_open`. Nothing has failed
    /// here: no failure is counted, nobody is told, and what is known already changes nothing.
    pub fn hear(&self, trip: Trip, until: Instant) {
        let mut state = self.state();
        let now = Instant::now();
        if until <= now || !state.is_news(until) {
            return;
        }
        let wait = (until - now).min(self.plan.max_open);
        match trip {
            Trip::Open => state.open_for(wait),
            Trip::Asked => state.be_patient(wait),
        }
    }

    /// How the circuit stands now.
    pub fn standing(&self) -> Standing {
        let state = self.state();
        if state.patient_until.is_some_and(|until| Instant::now() < until) {
            return Standing::Open;
        }
        match state.open_until {
            None => Standing::Closed,
            Some(until) if Instant::now() < until => Standing::Open,
            Some(_) => Standing::HalfOpen,
        }
    }

    fn too_many(&self, state: &State) -> bool {
        let failed = (state.outcomes & state.mask()).count_ones();
        // Counts up to 32 are exact in f32.
        #[expect(clippy::cast_precision_loss, reason = "counts up to 32")]
        let ratio = failed as f32 / state.seen.max(1) as f32;
        state.seen >= ENOUGH && ratio >= self.plan.failure_ratio
    }
}

impl State {
    fn note(&mut self, failed: u32) {
        self.outcomes = (self.outcomes << 1) | failed;
        self.seen = (self.seen + 1).min(WINDOW);
    }

    fn mask(&self) -> u32 {
        if self.seen >= WINDOW { u32::MAX } else { (1 << self.seen) - 1 }
    }

    /// The deployment works again.
    fn close(&mut self) {
        self.open_until = None;
        self.openings = 0;
        self.in_a_row = 0;
        self.seen = 0;
    }

    /// Whether a trip that ends then is another one than the last. Remembers it.
    fn is_news(&mut self, until: Instant) -> bool {
        let news = self.tripped_until.is_none_or(|known| until > known + SAME);
        if news {
            self.tripped_until = Some(until);
        }
        news
    }

    /// Never shortens the patience asked for.
    fn be_patient(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        self.patient_until = Some(self.patient_until.map_or(until, |before| before.max(until)));
    }

    /// Never shortens an opening.
    fn open_for(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        self.open_until = Some(self.open_until.map_or(until, |before| before.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::testing::plan;

    const FAILED: Verdict = Verdict::Failure(None);

    /// For how many seconds calls are refused.
    fn wait(circuit: &Circuit) -> Option<u64> {
        circuit.ask(false).err().map(|(Refusal::Open(wait) | Refusal::Asked(wait))| wait.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn failures_spread_among_successes_open_it_by_their_ratio() {
        let circuit = Circuit::new(plan().breaker);
        for _ in 0..7 {
            circuit.tell(FAILED, false);
            circuit.tell(Verdict::Success, false);
        }
        assert_eq!(circuit.standing(), Standing::Closed);
        circuit.tell(Verdict::Success, false);
        circuit.tell(FAILED, false);
        assert_eq!(circuit.standing(), Standing::Open, "8 of 16 failed");
    }

    #[tokio::test(start_paused = true)]
    async fn the_opening_doubles_while_probes_fail_and_starts_anew_after_a_success() {
        let circuit = Circuit::new(plan().breaker);
        (0..5).for_each(|_| circuit.tell(FAILED, false));
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(wait(&circuit), Some(seconds));
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(circuit.ask(false), Ok(true));
            circuit.tell(FAILED, true);
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(circuit.ask(false), Ok(true));
        circuit.tell(Verdict::Success, true);
        (0..5).for_each(|_| circuit.tell(FAILED, false));
        assert_eq!(wait(&circuit), Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_says_when_to_come_back_is_left_alone_until_then() {
        let circuit = Circuit::new(plan().breaker);
        circuit.tell(Verdict::AskedToWait(Duration::from_secs(17)), false);
        assert_eq!(wait(&circuit), Some(17));
        circuit.tell(Verdict::AskedToWait(Duration::from_secs(1)), false);
        assert_eq!(wait(&circuit), Some(17), "never shortened");
        circuit.tell(Verdict::Failure(Some(Duration::from_secs(9000))), false);
        assert_eq!(wait(&circuit), Some(60), "within max_open");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((circuit.ask(false), circuit.ask(false)), (Ok(false), Ok(false)), "no probe is needed");
        circuit.tell(Verdict::Failure(Some(Duration::ZERO)), false);
        assert_eq!(circuit.ask(false), Ok(false), "no wait is no patience");
    }

    #[tokio::test(start_paused = true)]
    async fn an_urgent_call_probes_an_open_circuit_before_its_time_and_one_at_a_time() {
        let circuit = Circuit::new(plan().breaker);
        (0..5).for_each(|_| circuit.tell(FAILED, false));
        assert!(circuit.ask(false).is_err());
        assert_eq!(circuit.ask(true), Ok(true));
        assert!(circuit.ask(true).is_err(), "one is trying");
        circuit.tell(Verdict::Success, true);
        assert_eq!(circuit.ask(false), Ok(false));
    }

    type Told = std::sync::Arc<Mutex<Vec<(Trip, u64)>>>;

    /// A circuit, and what it told.
    fn telling() -> (Circuit, Told) {
        let told = Told::default();
        let heard = std::sync::Arc::clone(&told);
        let tell = move |trip, wait: Duration| heard.lock().unwrap().push((trip, wait.as_secs()));
        (Circuit::telling(plan().breaker, Box::new(tell)), told)
    }

    fn after(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn each_trip_is_told_once_and_its_echo_changes_nothing() {
        let (circuit, told) = telling();
        (0..9).for_each(|_| circuit.tell(FAILED, false));
        assert_eq!(*told.lock().unwrap(), [(Trip::Open, 5)]);
        let echo = after(5) + Duration::from_millis(40);
        circuit.hear(Trip::Open, echo);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(circuit.ask(false), Ok(true), "not prolonged");
        circuit.hear(Trip::Open, echo);
        circuit.tell(FAILED, true);
        circuit.hear(Trip::Open, after(10));
        (0..3).for_each(|_| circuit.tell(Verdict::AskedToWait(Duration::from_secs(30)), false));
        assert_eq!(*told.lock().unwrap(), [(Trip::Open, 5), (Trip::Open, 10), (Trip::Asked, 30)]);
        circuit.tell(Verdict::AskedToWait(Duration::from_secs(9000)), false);
        assert_eq!(told.lock().unwrap().last(), Some(&(Trip::Asked, 60)), "within max_open");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trip_of_another_replica_is_heeded_then_probed_and_passed_on_to_nobody() {
        let (circuit, told) = telling();
        circuit.hear(Trip::Open, after(20));
        assert_eq!((wait(&circuit), circuit.standing()), (Some(20), Standing::Open));
        circuit.hear(Trip::Open, after(7));
        assert_eq!(wait(&circuit), Some(20), "never shortened");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(circuit.standing(), Standing::HalfOpen);
        assert_eq!(circuit.ask(false), Ok(true));
        assert!(circuit.ask(false).is_err(), "one probe");
        assert!(told.lock().unwrap().is_empty());
        circuit.tell(FAILED, true);
        assert_eq!(
            *told.lock().unwrap(),
            [(Trip::Open, 5)],
            "its own first opening: the other's counts for nothing"
        );
        circuit.hear(Trip::Open, after(9000));
        assert_eq!(wait(&circuit), Some(60), "within max_open");
    }

    #[tokio::test(start_paused = true)]
    async fn who_knows_better_by_a_probe_does_not_hear_the_same_trip_again() {
        let (circuit, _) = telling();
        let until = after(30);
        circuit.hear(Trip::Open, until);
        assert_eq!(circuit.ask(true), Ok(true), "an urgent call may try");
        circuit.tell(Verdict::Success, true);
        circuit.hear(Trip::Open, until + Duration::from_millis(3));
        assert_eq!(circuit.ask(false), Ok(false));
        circuit.hear(Trip::Open, after(40));
        assert_eq!(wait(&circuit), Some(40), "another trip");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_that_another_replica_was_asked_for_ends_by_itself() {
        let (circuit, told) = telling();
        circuit.hear(Trip::Asked, after(20));
        assert_eq!(circuit.ask(true), Err(Refusal::Asked(Duration::from_secs(20))));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!((circuit.ask(false), circuit.ask(false)), (Ok(false), Ok(false)), "no probe is needed");
        circuit.hear(Trip::Asked, after(0));
        assert_eq!(circuit.standing(), Standing::Closed);
        assert!(told.lock().unwrap().is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Hear(u64),
        Ask,
        Tell(Verdict),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Ask),
            2 => Just(Step::Tell(Verdict::Success)),
            4 => proptest::option::of(0u64..100).prop_map(|s| Step::Tell(Verdict::Failure(s.map(Duration::from_secs)))),
            1 => Just(Step::Tell(Verdict::Unknown)),
            2 => (0u64..30).prop_map(Step::Wait),
            1 => (0u64..100).prop_map(Step::Hear),
        ]
    }

    proptest! {
        #[test]
        fn there_is_never_a_second_probe_and_an_opening_never_shortens(steps in proptest::collection::vec(step(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let circuit = Circuit::new(plan().breaker);
                let mut flying: Vec<bool> = Vec::new();
                let mut refused_until: Option<Instant> = None;
                for step in steps {
                    match step {
                        Step::Ask => match circuit.ask(false) {
                            Ok(probe) => {
                                if !probe { refused_until = None; }
                                if let Some(until) = refused_until { assert!(Instant::now() >= until); }
                                flying.push(probe);
                                assert!(flying.iter().filter(|probe| **probe).count() <= 1);
                            }
                            Err(Refusal::Open(wait)) if circuit.standing() == Standing::Open => {
                                let until = Instant::now() + wait;
                                if let Some(before) = refused_until { assert!(until >= before); }
                                refused_until = Some(until);
                            }
                            Err(Refusal::Asked(_)) => {}
                            Err(_) => assert!(flying.contains(&true), "half open refuses only beside its probe"),
                        },
                        Step::Tell(verdict) => if let Some(probe) = flying.pop() {
                            if probe && verdict == Verdict::Success { refused_until = None; }
                            circuit.tell(verdict, probe);
                        },
                        Step::Hear(seconds) => circuit.hear(Trip::Open, Instant::now() + Duration::from_secs(seconds)),
                        Step::Wait(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
                    }
                }
            });
        }
    }
}
