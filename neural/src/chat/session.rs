//! One conversation at a time on one model: prompt in, text out, token by token.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{ChatModel, stops::Stops};
use crate::{
    constraint::Constraint,
    decoder::{Cache, Stopped, Workspace},
    kernels::Team,
    sample::{Picked, Sampler, Settings},
    tokens,
};

/// A place at which one answer after the other is computed. Keeps the keys and values of the last conversation, so that its
/// next turn, or another one with the same beginning, computes what is new only.
#[derive(Debug)]
pub struct Session {
    model: Arc<ChatModel>,
    team: Team,
    cache: Cache,
    workspace: Workspace,
    /// The tokens whose keys and values are in the cache.
    seen: Vec<u32>,
}

/// What is asked of a session.
#[derive(Debug)]
pub struct Ask {
    /// The prompt: at least one token, all of the vocabulary, fewer than the session's context.
    pub prompt: Vec<u32>,
    /// The most tokens of the answer. The context is a bound as well.
    pub most: usize,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// How tokens are picked.
    pub settings: Settings,
    /// What the text has to look like.
    pub constraint: Option<Constraint>,
    /// Control tokens whose texts belong to the answer: those that mark tool calls or thoughts. All others are no text.
    pub spoken: Vec<String>,
}

/// Some text of the answer.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// The text; never a part of a character.
    pub text: String,
    /// The tokens that made it up, where log probabilities are asked for.
    pub tokens: Vec<Told>,
}

/// A token, with the probabilities at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What it stands for.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// The most probable tokens at its place: what they stand for, and the logarithms of their probabilities.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The model was done.
    Turn,
    /// This stop string came.
    Stop(String),
    /// There was no room for more tokens.
    Length,
    /// Who listens has heard enough.
    Enough,
}

/// What an answer was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// Prompt tokens that were computed.
    pub fresh: usize,
    /// Prompt tokens that were there from before.
    pub reused: usize,
    /// Tokens of the answer, the one that ended the turn included.
    pub output: usize,
}

/// Why there is no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// Nobody waits for it any more.
    Stopped,
    /// It cannot be computed; says why.
    Failed(String),
}

impl From<Stopped> for AnswerError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<String> for AnswerError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Session {
    /// A session for conversations of up to `context` tokens on `threads` threads.
    pub fn new(model: Arc<ChatModel>, context: usize, threads: usize) -> Self {
        let cache = Cache::new(model.decoder().shape(), context);
        Self { model, team: Team::new(threads), cache, workspace: Workspace::default(), seen: Vec::new() }
    }

    /// The most tokens of a conversation.
    pub fn context(&self) -> usize {
        self.cache.capacity()
    }

    /// Its model.
    pub fn model(&self) -> &Arc<ChatModel> {
        &self.model
    }

    /// Answers. Text is handed to `give` as it comes; it says whether more is wanted.
    ///
    /// # Errors
    /// When `stop` was set, within a token's time (a layer's, in a prompt), or when a token cannot be picked.
    pub fn answer(
        &mut self,
        ask: Ask,
        stop: &AtomicBool,
        give: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Outcome, AnswerError> {
        let Ask { prompt, most, stop: stops, settings, mut constraint, spoken } = ask;
        self.check(&prompt)?;
        let logprobs = settings.logprobs.is_some();
        let mut sampler = Sampler::new(settings, self.model.decoder().vocabulary())?;
        let reused = self.recall(&prompt);
        let mut writer = Writer { spoken, ..Writer::new(stops, logprobs) };
        let mut next = prompt[reused..].to_vec();
        let mut output = 0;
        let end = loop {
            let model = Arc::clone(&self.model);
            let logits = Self::compute(
                &model,
                &self.team,
                &mut self.cache,
                &mut self.workspace,
                &mut self.seen,
                &next,
                stop,
            )?;
            let mask = constraint.as_mut().map(Constraint::mask).transpose()?;
            let picked = sampler.pick(logits, mask.as_ref())?;
            output += 1;
            if model.tokenizer().ends_turn(picked.token) {
                break End::Turn;
            }
            let token = picked.token;
            if let Some(end) = writer.write(&model, picked, give) {
                break end;
            }
            if let Some(constraint) = &mut constraint {
                constraint.accept(token)?;
                if constraint.is_finished() {
                    break End::Turn;
                }
            }
            if output >= most || self.seen.len() + 1 >= self.cache.capacity() {
                break End::Length;
            }
            if stop.load(Ordering::Relaxed) {
                return Err(AnswerError::Stopped);
            }
            next = vec![token];
        };
        if matches!(end, End::Turn | End::Length) {
            writer.finish(give);
        }
        Ok(Outcome { end, fresh: prompt.len() - reused, reused, output })
    }

    fn check(&self, prompt: &[u32]) -> Result<(), String> {
        let vocabulary = self.model.decoder().vocabulary();
        if let Some(token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
            return Err(format!("there is no token {token}: the vocabulary has {vocabulary}"));
        }
        match prompt.len() {
            0 => Err("the prompt has no tokens".to_owned()),
            length if length >= self.cache.capacity() => {
                Err(format!("the prompt has {length} tokens, the context {}", self.cache.capacity()))
            }
            _ => Ok(()),
        }
    }

    /// Keeps what the cache has in common with the prompt, and says how many tokens that are. The last one is computed in
    /// any case: its logits are needed.
    fn recall(&mut self, prompt: &[u32]) -> usize {
        let same = self.seen.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = same.min(prompt.len() - 1);
        self.seen.truncate(kept);
        self.cache.truncate(kept);
        kept
    }

    fn compute<'w>(
        model: &ChatModel,
        team: &Team,
        cache: &mut Cache,
        workspace: &'w mut Workspace,
        seen: &mut Vec<u32>,
        tokens: &[u32],
        stop: &AtomicBool,
    ) -> Result<&'w [f32], Stopped> {
        let logits = model.decoder().forward(team, cache, workspace, tokens, stop)?;
        seen.extend_from_slice(tokens);
        Ok(logits)
    }
}

/// Turns tokens into text, and holds back what may become a stop string.
struct Writer {
    stops: Stops,
    decoder: tokens::Decoder,
    logprobs: bool,
    told: Vec<Told>,
    spoken: Vec<String>,
}

impl Writer {
    fn new(stops: Vec<String>, logprobs: bool) -> Self {
        Self {
            stops: Stops::new(stops),
            decoder: tokens::Decoder::default(),
            logprobs,
            told: Vec::new(),
            spoken: Vec::new(),
        }
    }

    /// Returns why the answer ends, if it does: a stop string came, or nobody wants more.
    fn write(
        &mut self,
        model: &ChatModel,
        picked: Picked,
        give: &mut dyn FnMut(Step) -> bool,
    ) -> Option<End> {
        let tokenizer = model.tokenizer();
        let piece = tokenizer.piece(picked.token);
        if self.logprobs {
            let top = picked.top.iter().map(|(token, logprob)| (tokenizer.piece(*token).to_vec(), *logprob));
            let logprob = picked.logprob.unwrap_or(f32::NEG_INFINITY);
            self.told.push(Told { bytes: piece.to_vec(), logprob, top: top.collect() });
        }
        let spoken = |text: &String| text.as_bytes() == piece;
        let silent = tokenizer.is_control(picked.token) && !self.spoken.iter().any(spoken);
        let text = if silent { String::new() } else { self.decoder.push(piece) };
        let released = self.stops.push(&text);
        let whole = !self.stops.holds() && !self.decoder.holds();
        if !released.text.is_empty() || (whole && !self.told.is_empty()) {
            // Of a token whose text is held back in part, the whole is told with the rest.
            let tokens =
                if whole || released.stopped.is_some() { mem::take(&mut self.told) } else { Vec::new() };
            if !give(Step { text: released.text, tokens }) {
                return Some(End::Enough);
            }
        }
        released.stopped.map(End::Stop)
    }

    fn finish(&mut self, give: &mut dyn FnMut(Step) -> bool) {
        let rest = mem::take(&mut self.decoder).finish();
        let mut text = self.stops.push(&rest).text;
        text.push_str(&self.stops.finish());
        if !text.is_empty() || !self.told.is_empty() {
            give(Step { text, tokens: mem::take(&mut self.told) });
        }
    }
}
