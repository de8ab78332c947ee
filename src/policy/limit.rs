//! What the caller may consume, and what all callers may consume of a model: taken before the call, settled when it has ended,
//! however it ends.
//!
//! Stands beneath the cache, so that what is kept costs nothing, and above failover: a call counts once, however many
//! deployments it takes.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use aigate_contract::{
    Call, End, Error, ErrorKind, Expected, Facts, Money, Narrowing, Result, Task, Tend, Trail,
};
use tower::Service;

use super::{Answer, Upstream};
use crate::{
    allowance::{Callers, Consumed, Forecast, Hold, Keeper, No, Ration, Want, consumed},
    config::document::OnExceeded,
};

/// Keeps calls within the limits and budgets of their callers and their model.
#[derive(Clone, Debug)]
pub struct Limit<S> {
    inner: S,
    scope: Arc<Scope>,
}

/// The limits of one model's calls.
#[derive(Debug)]
pub struct Scope {
    /// What the model's callers may consume together.
    pub model: Vec<Arc<Ration>>,
    /// What each caller may consume.
    pub callers: Arc<Callers>,
    /// Who keeps the limits.
    pub keeper: Arc<Keeper>,
    /// What a call will consume.
    pub forecast: Forecast,
}

impl<S> Limit<S> {
    /// Keeps calls to `inner` within `scope`.
    pub fn new(inner: S, scope: Arc<Scope>) -> Self {
        Self { inner, scope }
    }
}

/// What a call holds of its limits until it has ended.
struct Holding {
    scope: Arc<Scope>,
    trail: Arc<Trail>,
    hold: Option<Hold>,
    /// Budgets that are spent, and count on.
    overdrawn: Vec<Arc<Ration>>,
    expected: Expected,
    /// How many answers are wanted at once.
    choices: u64,
}

impl<T: Task, S: Upstream<T>> Service<Call<T>> for Limit<S> {
    type Response = T::Response;
    type Error = Error;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T>) -> Answer<T> {
        let rations = self.scope.rations(&call.trail);
        if rations.is_empty() {
            return Box::pin(self.inner.call(call));
        }
        let (scope, mut inner) = (Arc::clone(&self.scope), self.inner.clone());
        Box::pin(async move {
            let mut holding = scope.take::<T>(rations, &call).await?;
            match inner.call(call).await {
                Ok(answer) => Ok(T::tend(answer, holding)),
                Err(error) => {
                    holding.failed();
                    Err(error)
                }
            }
        })
    }
}

impl Scope {
    fn rations(&self, trail: &Trail) -> Vec<Arc<Ration>> {
        self.callers.of(trail.caller.as_deref()).chain(&self.model).cloned().collect()
    }

    async fn take<T: Task>(self: Arc<Self>, rations: Vec<Arc<Ration>>, call: &Call<T>) -> Result<Holding> {
        let reckoned = self.forecast.of(call, &rations);
        let who = call.trail.caller.as_ref().map(|caller| &caller.name);
        let (mut left, mut overdrawn) = (rations, Vec::new());
        let hold = loop {
            let wants = left.iter().map(|ration| Want::new(ration, &reckoned)).collect();
            match self.keeper.reserve(wants, who).await {
                Ok(hold) => break hold,
                Err(no) => {
                    let spent =
                        no.budget().filter(|ration| ration.on_exceeded != OnExceeded::Refuse).cloned();
                    let Some(spent) = spent else {
                        let standings = left.iter().filter_map(|ration| ration.told());
                        no.standing()
                            .into_iter()
                            .chain(standings)
                            .for_each(|standing| call.trail.note_standing(standing));
                        return Err(refuse(&no));
                    };
                    call.trail.warn(no.to_string());
                    call.trail.narrow(narrowing(&spent, call.trail.narrowing()));
                    left.retain(|ration| !Arc::ptr_eq(ration, &spent));
                    overdrawn.push(spent);
                }
            }
        };
        hold.standings().into_iter().for_each(|standing| call.trail.note_standing(standing));
        for ration in left.iter().filter(|ration| ration.limit.warns()) {
            call.trail.warn(format!("{} is nearly spent", ration.limit.name()));
        }
        let trail = Arc::clone(&call.trail);
        let choices = reckoned.demand.choices.max(1);
        Ok(Holding { scope: self, trail, hold: Some(hold), overdrawn, expected: reckoned.expected, choices })
    }
}

/// Of two budgets that are spent, the stricter one narrows the call.
fn narrowing(spent: &Ration, before: Narrowing) -> Narrowing {
    match (spent.on_exceeded, before) {
        (OnExceeded::Local, _) | (_, Narrowing::Local) => Narrowing::Local,
        _ => Narrowing::Cheapest,
    }
}

fn refuse(no: &No) -> Error {
    let kind = match no {
        No::Unknown => ErrorKind::LimitsUnknown,
        No::Denied { .. } if no.budget().is_some() => ErrorKind::OverBudget,
        No::Denied { .. } => ErrorKind::Limited,
    };
    Error::new(kind, no.to_string()).with_retry_after(no.retry_after())
}

impl Holding {
    /// The call has ended: with an answer, in its midst, or because its caller left.
    fn settle(&mut self, facts: Option<&Facts>) {
        let Some(hold) = self.hold.take() else { return };
        let usage = facts.map(|facts| consumed(facts, self.expected));
        if let Some(output) = facts.and_then(|facts| facts.usage.as_ref()?.output) {
            self.scope.forecast.saw_output(output / self.choices);
        }
        let (money, is_all) = self.trail.cost();
        // What is not known in full is held to have cost what was expected, or what is known if that is more.
        let money = if is_all { Consumed::exactly(money) } else { Consumed::at_least(money) };
        self.book(money.money);
        hold.settle(Consumed { usage, ..money });
    }

    /// No deployment answered: what the attempts did cost is spent, the rest is given back.
    fn failed(&mut self) {
        let Some(hold) = self.hold.take() else { return };
        let asked = self
            .trail
            .attempts()
            .iter()
            .any(|attempt| attempt.failure.as_ref().is_none_or(|failure| !failure.kind.is_own_refusal()));
        let (money, _) = self.trail.cost();
        self.book(Some(money));
        hold.failed(asked.then_some(money));
    }

    fn book(&self, money: Option<Money>) {
        for ration in &self.overdrawn {
            self.scope.keeper.book(ration, money.unwrap_or(Money::ZERO));
        }
    }
}

impl Tend for Holding {
    fn end(mut self, end: End<'_>) {
        match end {
            End::Complete(facts) | End::Abandoned(facts) => self.settle(Some(facts)),
            // A stream that broke: its attempt is in the trail with what it cost, or is held to have cost what was expected.
            End::Failed(_) => self.settle(None),
        }
    }
}

impl Drop for Holding {
    /// The caller left before there was an answer.
    fn drop(&mut self) {
        self.settle(None);
    }
}
