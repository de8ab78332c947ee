//! Picks the next token from a model's logits.
//!
//! The steps, in the order of llama.cpp's default chain: logit bias, frequency and presence penalties
//! (OpenAI's definition, over the tokens generated so far), the constraint's mask, top-k, top-p, min-p,
//! temperature, draw. Top-p and min-p therefore see the distribution at temperature 1. Temperature 0 is
//! greedy: the highest logit after bias, penalties and mask, the lowest id among equals.
//!
//! Nothing here sorts the vocabulary: every filter is a cut found by selection in linear time, and the draw
//! walks the tokens in the order of their ids, so that a seed gives the same tokens whatever the selection
//! did.

mod filter;

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::constraint::Mask;
use filter::{Candidate, mass, min_p, order, top_k, top_p};

/// How the next token is chosen. `None` leaves a step out.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Divides the logits before the draw; 0 picks the most probable token.
    pub temperature: f32,
    /// Keep the most probable tokens until their mass reaches this, above 0 and at most 1.
    pub top_p: Option<f32>,
    /// Keep this many of the most probable tokens, at least 1.
    pub top_k: Option<u32>,
    /// Keep tokens at least this probable relative to the most probable one, 0 to 1.
    pub min_p: Option<f32>,
    /// The same seed, settings and logits give the same tokens. Without one a seed is drawn.
    pub seed: Option<u64>,
    /// Taken from a token's logit once for each time that it was generated.
    pub frequency_penalty: f32,
    /// Taken from a token's logit once if it was generated at all.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens.
    pub bias: Vec<(u32, f32)>,
    /// Report log probabilities: of the picked token and of this many of the most probable ones.
    pub logprobs: Option<usize>,
}

/// One sequence's sampler: it remembers what was generated and where its random numbers stand.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    seed: u64,
    generator: ChaCha12Rng,
    counts: HashMap<u32, u32>,
    /// The logits after bias, penalties and mask; what may not be picked is minus infinity.
    work: Vec<f32>,
    candidates: Vec<Candidate>,
}

/// A picked token.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// The token's id.
    pub token: u32,
    /// The natural logarithm of its probability in the model's own distribution (softmax of the unmodified
    /// logits, before bias, penalties, mask and temperature); `None` unless the settings ask for it.
    pub logprob: Option<f32>,
    /// The most probable tokens of that distribution, best first, with their log probabilities.
    pub top: Vec<(u32, f32)>,
}

impl Sampler {
    /// A sampler for a vocabulary of so many tokens. Refuses settings that mean nothing, by name.
    pub fn new(settings: Settings, vocabulary: usize) -> Result<Sampler, String> {
        settings.check(vocabulary)?;
        let seed = settings.seed.unwrap_or_else(rand::random);
        Ok(Sampler {
            seed,
            generator: ChaCha12Rng::seed_from_u64(seed),
            counts: HashMap::new(),
            work: vec![0.0; vocabulary],
            candidates: Vec::new(),
            settings,
        })
    }

    /// The seed in use: the one in the settings, or the one that was drawn.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Picks a token from `logits` (one for each token of the vocabulary) among those that `allowed` allows,
    /// and counts it as generated. Fails when a logit is not finite or nothing is allowed.
    pub fn pick(&mut self, logits: &[f32], allowed: Option<&Mask>) -> Result<Picked, String> {
        self.prepare(logits, allowed)?;
        let best = self.best()?;
        let token = if self.settings.temperature == 0.0 { best.token } else { self.draw(best) };
        *self.counts.entry(token).or_insert(0) += 1;
        let (logprob, top) = match self.settings.logprobs {
            None => (None, Vec::new()),
            Some(count) => filter::log_probabilities(logits, token, count),
        };
        Ok(Picked { token, logprob, top })
    }

    fn prepare(&mut self, logits: &[f32], allowed: Option<&Mask>) -> Result<(), String> {
        if logits.len() != self.work.len() {
            return Err(format!("{} logits for a vocabulary of {} tokens", logits.len(), self.work.len()));
        }
        if let Some(token) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(format!("the logit of token {token} is {}, not a finite number", logits[token]));
        }
        self.work.copy_from_slice(logits);
        for &(token, bias) in &self.settings.bias {
            self.work[token as usize] += bias;
        }
        let (frequency, presence) = (self.settings.frequency_penalty, self.settings.presence_penalty);
        if frequency != 0.0 || presence != 0.0 {
            for (&token, &count) in &self.counts {
                self.work[token as usize] -= count as f32 * frequency + presence;
            }
        }
        allowed.map_or(Ok(()), |mask| mask.apply(&mut self.work))
    }

    fn best(&self) -> Result<Candidate, String> {
        let mut best = Candidate { logit: f32::NEG_INFINITY, token: 0 };
        for (token, &logit) in (0u32..).zip(&self.work) {
            if logit > best.logit {
                best = Candidate { logit, token };
            }
        }
        if best.logit == f32::NEG_INFINITY {
            return Err("the constraint allows none of the vocabulary's tokens".into());
        }
        Ok(best)
    }

    fn draw(&mut self, best: Candidate) -> u32 {
        let cut = self.cut(best);
        self.candidates.clear();
        let kept = (0u32..).zip(&self.work).map(|(token, &logit)| Candidate { logit, token });
        self.candidates.extend(kept.filter(|one| one.logit > f32::NEG_INFINITY && order(one, &cut).is_le()));
        // The weights replace the logits; the best token's is 1, so that their sum is at least 1.
        let mut total = 0.0f64;
        for one in &mut self.candidates {
            one.logit = ((one.logit - best.logit) / self.settings.temperature).exp();
            total += f64::from(one.logit);
        }
        let mut left = self.generator.random::<f64>() * total;
        for one in &self.candidates {
            left -= f64::from(one.logit);
            if left < 0.0 {
                return one.token;
            }
        }
        // Rounding may leave a crumb after the last token.
        best.token
    }

    /// The last token, in falling order of logits, that the filters keep.
    fn cut(&mut self, best: Candidate) -> Candidate {
        let last = Candidate { logit: f32::NEG_INFINITY, token: u32::MAX };
        let Settings { top_k: k, top_p: p, min_p: least, .. } = self.settings;
        let k = k.map(|k| k as usize).filter(|k| *k < self.work.len());
        let p = p.filter(|p| *p < 1.0);
        let mut cut = least.map_or(last, |least| min_p(best, least));
        if k.is_some() || p.is_some() {
            let kept = self.nucleus(best, k, p);
            if let Some(nucleus) = self.candidates[..kept].iter().max_by(|a, b| order(a, b)) {
                cut = if order(nucleus, &cut).is_lt() { *nucleus } else { cut };
            }
        }
        cut
    }

    /// Moves the tokens that top-k and then top-p keep to the front of the candidates and returns how many
    /// there are.
    fn nucleus(&mut self, best: Candidate, k: Option<usize>, p: Option<f32>) -> usize {
        let share = f64::from(p.unwrap_or(1.0));
        match k {
            Some(k) => {
                self.shortlist(best, |listed| listed.len() >= k);
                let kept = top_k(&mut self.candidates, k);
                let kept = &mut self.candidates[..kept];
                let target = share * mass(kept, best);
                if p.is_some() { top_p(kept, best, target) } else { kept.len() }
            }
            None => {
                let whole: f64 = self.work.iter().map(|logit| f64::from((logit - best.logit).exp())).sum();
                self.shortlist(best, |listed| mass(listed, best) >= share * whole);
                top_p(&mut self.candidates, best, share * whole)
            }
        }
    }

    /// Lists the tokens whose logits are near the best one's: as many as are enough, so that selection seldom
    /// sees them all.
    fn shortlist(&mut self, best: Candidate, enough: impl Fn(&[Candidate]) -> bool) {
        for width in [4.0, 8.0, 16.0, f32::INFINITY] {
            let least = (best.logit - width).max(f32::MIN);
            let all = (0u32..).zip(&self.work).map(|(token, &logit)| Candidate { logit, token });
            self.candidates.clear();
            self.candidates.extend(all.filter(|one| one.logit >= least));
            if enough(&self.candidates) {
                return;
            }
        }
    }
}

impl Settings {
    fn check(&self, vocabulary: usize) -> Result<(), String> {
        let within = |name: &str, value: f32, good: bool, right: &str| {
            if good { Ok(()) } else { Err(format!("{name} is {value}, it must be {right}")) }
        };
        let finite = |name: &str, value: f32| within(name, value, value.is_finite(), "a finite number");
        let temperature = self.temperature;
        within("temperature", temperature, temperature.is_finite() && temperature >= 0.0, "0 or more")?;
        if let Some(p) = self.top_p {
            within("top_p", p, p > 0.0 && p <= 1.0, "above 0 and at most 1")?;
        }
        if let Some(p) = self.min_p {
            within("min_p", p, (0.0..=1.0).contains(&p), "between 0 and 1")?;
        }
        if self.top_k == Some(0) {
            return Err("top_k is 0, it must be at least 1".into());
        }
        finite("frequency_penalty", self.frequency_penalty)?;
        finite("presence_penalty", self.presence_penalty)?;
        for &(token, bias) in &self.bias {
            finite("a logit bias", bias)?;
            if token as usize >= vocabulary {
                return Err(format!(
                    "a logit bias names token {token}, the vocabulary has {vocabulary} tokens"
                ));
            }
        }
        match self.logprobs {
            Some(count) if count > vocabulary => {
                Err(format!("{count} log probabilities asked for, the vocabulary has {vocabulary} tokens"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
