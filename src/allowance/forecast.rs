//! What a call will consume, reckoned before it is sent: good for reservations, never for bills.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aigate_contract::{Call, Demand, Expected, Facts, Money, Task, Usage};
use aigate_limits::Unit;
use aigate_prices::Price;
use bpe_openai::Tokenizer;

use super::Ration;

/// Reckons what calls of one model will consume.
#[derive(Debug)]
pub struct Forecast {
    tokens: Tokens,
    /// The prices of all deployments that may answer.
    prices: Vec<Arc<Price>>,
    output: Arc<RecentOutput>,
}

/// What a call will consume. What no limit asked for is zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reckoned {
    /// As far as the request tells by itself.
    pub demand: Demand,
    /// Tokens.
    pub expected: Expected,
    /// The most that it will cost at any of the deployments.
    pub cost: Money,
}

/// Tokens of the model's recent answers, on average, in sixteenths of a token: what is expected of a caller who does not bound
/// them.
#[derive(Debug)]
pub struct RecentOutput(AtomicU64);

/// What is expected before any answer was seen.
const FIRST_GUESS: u64 = 500;
/// Texts longer than this are counted up to here and the rest is taken to be alike: counting takes 0.1 ms for each 2,000 tokens.
const COUNTED: usize = 64 * 1024;
/// What a message or an input costs beyond its text.
const BESIDES: u64 = 4;
/// What a picture costs about: the same at most providers for a screen-sized one.
const PICTURE: u64 = 1_000;

enum Tokens {
    /// A tokenizer that is known. Its tables take tens of megabytes: they are made when somebody counts.
    Exact(fn() -> &'static Tokenizer),
    /// Four bytes a token.
    Bytes,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact(_) => "Exact",
            Self::Bytes => "Bytes",
        })
    }
}

impl Default for RecentOutput {
    fn default() -> Self {
        Self(AtomicU64::new(FIRST_GUESS * 16))
    }
}

impl RecentOutput {
    /// An answer had so many tokens.
    pub fn saw(&self, tokens: u64) {
        // A lost update among several at once does no harm to an average.
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before - before / 16 + tokens.min(1 << 40), Ordering::Relaxed);
    }

    fn expected(&self) -> u64 {
        self.0.load(Ordering::Relaxed).div_ceil(16)
    }
}

impl Forecast {
    /// For a model whose first deployment is called `target`.
    pub fn new(target: &str, prices: Vec<Arc<Price>>, output: Arc<RecentOutput>) -> Self {
        Self { tokens: Tokens::of(target), prices, output }
    }

    /// What a call will consume, as far as these limits need to know it. To count tokens takes longer than all the rest: it is
    /// done once for a call, and only where a limit counts tokens or money.
    pub fn of<T: Task>(&self, call: &Call<T>, rations: &[Arc<Ration>]) -> Reckoned {
        let unit = |ration: &Arc<Ration>| ration.limit.unit();
        let money = rations.iter().any(|ration| unit(ration) == Unit::Money);
        if !money && !rations.iter().any(|ration| unit(ration) == Unit::Tokens) {
            let demand = T::demand(&call.request, &mut |_| {});
            return Reckoned { demand, ..Reckoned::default() };
        }
        let mut reckoned = self.tokens(call);
        if money {
            // Nobody knows yet whether it goes through a prompt cache, where the first time is dearer.
            let usage = Usage { cached_read: None, cache_write: None, ..reckoned.usage() };
            // What a price wants to know and nobody can tell before the call is not reserved, but settled.
            let bounds = self.prices.iter().filter_map(|price| price.bound(&usage).ok());
            reckoned.cost = bounds.max().unwrap_or(Money::ZERO);
        }
        reckoned
    }

    /// What a call will cost at the only deployment, as far as its price goes; `None` where that cannot be known.
    pub fn cost<T: Task>(&self, call: &Call<T>) -> Option<Money> {
        let [price] = self.prices.as_slice() else { return None };
        price.bound(&self.tokens(call).usage()).ok()
    }

    /// Makes ready what counting tokens takes, so that no call waits for it.
    pub fn prepare(&self) {
        if let Tokens::Exact(tokenizer) = self.tokens {
            tokenizer();
        }
    }

    fn tokens<T: Task>(&self, call: &Call<T>) -> Reckoned {
        if let Some(expected) = call.trail.expected() {
            let demand = T::demand(&call.request, &mut |_| {});
            return Reckoned { demand, expected, ..Reckoned::default() };
        }
        let mut text_tokens = 0_u64;
        let demand = T::demand(&call.request, &mut |text| text_tokens += self.tokens.count(text));
        let choices = demand.choices.max(1);
        let output = match (demand.answers_in_tokens, demand.max_output) {
            (false, _) => 0,
            (true, Some(most)) => most.saturating_mul(choices),
            (true, None) => self.output.expected().saturating_mul(choices),
        };
        let input = text_tokens
            .saturating_add(demand.tokens)
            .saturating_add(demand.texts.saturating_mul(BESIDES))
            .saturating_add(demand.images.saturating_mul(PICTURE));
        let expected = Expected { input, output };
        call.trail.expect(expected);
        Reckoned { demand, expected, ..Reckoned::default() }
    }

    /// What an answer did cost at the only deployment; `None` where that is not known.
    pub fn bill(&self, usage: &Usage) -> Option<Money> {
        match self.prices.as_slice() {
            [price] => price.cost(usage).ok(),
            _ => None,
        }
    }

    /// Remembers how long an answer was.
    pub fn saw_output(&self, tokens: u64) {
        self.output.saw(tokens);
    }
}

/// What an answer consumed: as the provider told; of a stream that was left, what had arrived; else what was expected.
pub fn consumed(facts: &Facts, expected: Expected) -> Usage {
    let arrived = (facts.streamed.chunks > 0).then(|| facts.streamed.tokens());
    facts.usage.clone().unwrap_or_else(|| Usage {
        fresh_input: Some(expected.input),
        output: arrived.or(Some(expected.output)),
        ..Usage::default()
    })
}

impl Reckoned {
    /// As usage, of which nothing comes from a provider's prompt cache or goes into it.
    fn usage(&self) -> Usage {
        let some = |count: u64| (count > 0).then_some(count);
        let Demand { rows, characters, images, answers_in_tokens, .. } = self.demand;
        Usage {
            fresh_input: some(self.expected.input),
            cached_read: Some(0),
            cache_write: Some(0),
            output: answers_in_tokens.then_some(self.expected.output),
            rows: some(rows),
            characters: some(characters),
            images: some(images),
            ..Usage::default()
        }
    }
}

impl Tokens {
    /// The tokenizer of a model, by its provider's name for it. A name that tells nothing is reckoned by bytes.
    fn of(target: &str) -> Self {
        let name = target.rsplit('/').next().unwrap_or(target).to_ascii_lowercase();
        let begins = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
        if begins(&["gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "gpt-oss", "o1", "o3", "o4", "chatgpt-4o"]) {
            Self::Exact(bpe_openai::o200k_base)
        } else if begins(&["gpt-4", "gpt-3.5", "gpt-35", "text-embedding-3", "text-embedding-ada-002"]) {
            Self::Exact(bpe_openai::cl100k_base)
        } else {
            Self::Bytes
        }
    }

    fn count(&self, text: &str) -> u64 {
        match self {
            Self::Bytes => (text.len() as u64).div_ceil(4),
            Self::Exact(tokenizer) if text.len() <= COUNTED => tokenizer().count(text) as u64,
            Self::Exact(tokenizer) => {
                let end = (0..=COUNTED).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0);
                let counted = tokenizer().count(text.get(..end).unwrap_or_default()) as u64;
                counted.saturating_mul(text.len() as u64) / (end.max(1) as u64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aigate_contract::{Chat, chat::ChatRequest};

    use super::*;

    fn expected(target: &str, body: &'static str) -> Expected {
        let request = ChatRequest::parse(body.as_bytes().into()).unwrap();
        Forecast::new(target, Vec::new(), Arc::default()).tokens(&call(request)).expected
    }

    fn call(request: ChatRequest) -> Call<Chat> {
        Call { request: Arc::new(request), ..crate::policy::testing::call() }
    }

    #[test]
    fn tokens_come_from_the_model_s_own_tokenizer_where_it_is_known() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"antidisestablishmentarianism"}],"max_tokens":7,"n":2}"#;
        assert_eq!(expected("gpt-4.1-mini", body), Expected { input: 6 + 4, output: 14 });
        assert_eq!(expected("gemini-2.5-flash", body), Expected { input: 7 + 4, output: 14 });
    }

    #[test]
    fn without_a_bound_the_recent_answers_tell_how_long_the_next_will_be() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let request = ChatRequest::parse(body.as_bytes().into()).unwrap();
        let forecast = Forecast::new("x", Vec::new(), Arc::default());
        let output = || forecast.tokens(&call(request.clone())).expected.output;
        assert_eq!(output(), FIRST_GUESS);
        (0..200).for_each(|_| forecast.saw_output(10));
        assert!((10..12).contains(&output()));
    }

    #[test]
    fn a_long_text_is_counted_in_part() {
        let text = "word ".repeat(100_000);
        let exact = bpe_openai::o200k_base().count(&text) as u64;
        let told = Tokens::of("gpt-4o").count(&text);
        assert!(told.abs_diff(exact) * 100 < exact, "{told} {exact}");
    }
}
