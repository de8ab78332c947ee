//! Answers of `generateContent`, whole and streamed.
//!
//! Vertex leaves zeros out, as protocol buffers do: the first candidate has no `index` there.
//!
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse>

use serde::Serialize;
use serde_json::value::RawValue;

use super::House;
use crate::{
    answer::{Answer, Events, Framing, JSON, Stream, Whole},
    script::{End, Play, Spoken, THOUGHT, Usage, pieces, words},
};

/// What every reply tells.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) house: House,
    pub(super) model: &'a str,
    pub(super) id: String,
    pub(super) time: String,
    /// Log probabilities, with so many alternatives.
    pub(super) logprobs: Option<usize>,
    /// Whether thoughts are shown.
    pub(super) thoughts: bool,
    pub(super) prompt_words: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_feedback: Option<Feedback>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_metadata: Option<Tokens>,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_time: Option<&'a str>,
    response_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_logprobs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs_result: Option<Logprobs<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    role: &'static str,
    parts: Vec<Part<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    /// Only the Gemini API gives ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: &'static str,
    block_reason_message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logprobs<'a> {
    top_candidates: Vec<Top<'a>>,
    chosen_candidates: Vec<Chosen<'a>>,
}

#[derive(Serialize)]
struct Top<'a> {
    candidates: Vec<Chosen<'a>>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Chosen<'a> {
    token: &'a str,
    token_id: usize,
    log_probability: f64,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    prompt_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_token_count: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    thoughts_token_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cached_content_token_count: u64,
    total_token_count: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Told<'_> {
    pub(super) fn whole(&self, play: &Play) -> Answer {
        let candidates = play.answers.iter().enumerate().map(|(index, spoken)| {
            let finish = Some(finish(&spoken.end));
            let mut candidate = self.candidate(index, self.parts(index, spoken), finish);
            self.add_logprobs(&mut candidate, &spoken.text);
            candidate
        });
        let reply = self.reply(candidates.collect(), play.usage.map(Tokens::from));
        Whole { content_type: "application/json; charset=UTF-8", ..Whole::json(200, &reply) }.into()
    }

    /// No candidates: the filter refused the prompt.
    pub(super) fn blocked(&self, play: &Play) -> Answer {
        Whole::json(200, &self.feedback(play)).into()
    }

    pub(super) fn stream(&self, play: &Play, blocked: bool, framing: Framing) -> Answer {
        let mut events = Events::new(framing);
        if blocked {
            events.final_is_next();
            events.json(&self.feedback(play));
        } else {
            let last = play.answers.len().saturating_sub(1);
            for (index, spoken) in play.answers.iter().enumerate() {
                self.speak(&mut events, play, index, spoken, index == last);
            }
        }
        let content_type = if framing == Framing::Array { JSON } else { "text/event-stream" };
        Stream::new(content_type, events).into()
    }

    /// One answer, a word in each event; the last word comes with the reason why it ends.
    fn speak(&self, events: &mut Events, play: &Play, index: usize, spoken: &Spoken, last_answer: bool) {
        let usage = |output: Option<u64>| {
            let so_far = Usage { input: self.prompt_words, output: output?, ..Usage::default() };
            play.usage.is_some().then(|| Tokens::from(so_far))
        };
        let mut said = 0;
        if self.thoughts {
            let part = Part { text: Some(THOUGHT), thought: Some(true), function_call: None };
            let candidate = self.candidate(index, vec![part], None);
            events.json(&self.reply(vec![candidate], usage(Some(0))));
        }
        let mut pieces = pieces(&spoken.text).peekable();
        while let Some(piece) = pieces.next() {
            said += words(piece);
            if pieces.peek().is_none() {
                self.close(events, play, index, spoken, piece, last_answer);
                return;
            }
            let part = Part { text: Some(piece), ..Part::default() };
            let mut candidate = self.candidate(index, vec![part], None);
            self.add_logprobs(&mut candidate, piece);
            events.json(&self.reply(vec![candidate], usage(Some(said))));
        }
        self.close(events, play, index, spoken, "", last_answer);
    }

    /// The last event of one answer.
    fn close(
        &self,
        events: &mut Events,
        play: &Play,
        index: usize,
        spoken: &Spoken,
        piece: &str,
        last: bool,
    ) {
        let parts = match spoken.calls.is_empty() {
            true => vec![Part { text: Some(piece), ..Part::default() }],
            false => self.calls(index, spoken).collect(),
        };
        let mut candidate = self.candidate(index, parts, Some(finish(&spoken.end)));
        self.add_logprobs(&mut candidate, piece);
        if last {
            events.final_is_next();
        }
        events.json(&self.reply(vec![candidate], play.usage.filter(|_| last).map(Tokens::from)));
    }

    fn reply<'a>(&'a self, candidates: Vec<Candidate<'a>>, usage_metadata: Option<Tokens>) -> Reply<'a> {
        Reply {
            candidates,
            prompt_feedback: None,
            usage_metadata,
            model_version: self.model,
            create_time: (self.house == House::Vertex).then_some(self.time.as_str()),
            response_id: &self.id,
        }
    }

    fn feedback(&self, play: &Play) -> Reply<'_> {
        let message = "The prompt is blocked because it may be unsafe.";
        let feedback = Feedback { block_reason: "SAFETY", block_reason_message: message };
        let usage = play.usage.map(|usage| Tokens {
            candidates_token_count: None,
            thoughts_token_count: 0,
            total_token_count: usage.input,
            ..Tokens::from(usage)
        });
        Reply { prompt_feedback: Some(feedback), ..self.reply(Vec::new(), usage) }
    }

    fn candidate<'a>(
        &self,
        index: usize,
        parts: Vec<Part<'a>>,
        finish_reason: Option<&'a str>,
    ) -> Candidate<'a> {
        Candidate {
            content: Content { role: "model", parts },
            finish_reason,
            index: (index > 0 || self.house == House::Gemini).then_some(index),
            avg_logprobs: None,
            logprobs_result: None,
        }
    }

    fn parts<'a>(&'a self, index: usize, spoken: &'a Spoken) -> Vec<Part<'a>> {
        let thought =
            self.thoughts.then_some(Part { text: Some(THOUGHT), thought: Some(true), function_call: None });
        let text = spoken.calls.is_empty().then_some(Part { text: Some(&spoken.text), ..Part::default() });
        thought.into_iter().chain(text).chain(self.calls(index, spoken)).collect()
    }

    fn calls<'a>(&'a self, index: usize, spoken: &'a Spoken) -> impl Iterator<Item = Part<'a>> {
        spoken.calls.iter().enumerate().map(move |(at, call)| {
            let id = (self.house == House::Gemini).then(|| format!("call-{}-{index}-{at}", self.id));
            let call = Call { id, name: &call.name, args: &call.arguments };
            Part { function_call: Some(call), ..Part::default() }
        })
    }

    fn add_logprobs<'a>(&self, candidate: &mut Candidate<'a>, text: &'a str) {
        let Some(alternatives) = self.logprobs.filter(|_| !text.is_empty()) else { return };
        let chosen: Vec<_> = pieces(text)
            .enumerate()
            .map(|(token_id, token)| Chosen { token, token_id, log_probability: -0.5 })
            .collect();
        let top = |chosen: &Chosen<'a>| Top { candidates: vec![*chosen; alternatives] };
        candidate.avg_logprobs = Some(-0.5);
        candidate.logprobs_result =
            Some(Logprobs { top_candidates: chosen.iter().map(top).collect(), chosen_candidates: chosen });
    }
}

fn finish(end: &End) -> &str {
    match end {
        End::Stop | End::StopSequence | End::Calls => "STOP",
        End::Length => "MAX_TOKENS",
        End::Filtered => "SAFETY",
        End::Word(word) => word,
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_token_count: usage.input,
            candidates_token_count: Some(usage.output),
            thoughts_token_count: usage.reasoning,
            cached_content_token_count: usage.cached,
            total_token_count: usage.input + usage.output + usage.reasoning,
        }
    }
}
