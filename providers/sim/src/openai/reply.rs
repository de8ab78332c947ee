//! Chat answers in OpenAI's form, whole and streamed.
//!
//! <https://platform.openai.com/docs/api-reference/chat/object>

use serde::Serialize;
use serde_json::{Value, json};

use super::House;
use crate::{
    answer::{Events, Framing, Stream, Whole},
    script::{Call, End, Play, Spoken, Usage, pieces},
};

/// What the request wants of the reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    /// Log probabilities, with so many alternatives.
    pub(super) logprobs: Option<usize>,
    /// The usage in a stream.
    pub(super) usage: bool,
}

/// What every reply tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) house: House,
    pub(super) model: &'a str,
    pub(super) number: u64,
    pub(super) created: u64,
    pub(super) wants: Wants,
}

#[derive(Serialize)]
struct Reply<'a, C> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    system_fingerprint: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Tokens>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_filter_results: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_filter_results: Option<Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    annotations: [&'a str; 0],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_filter_results: Option<Value>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall<'a>; 1]>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Logprobs<'a> {
    content: Vec<Logprob<'a>>,
    refusal: Option<&'a str>,
}

#[derive(Serialize)]
struct Logprob<'a> {
    token: &'a str,
    logprob: f64,
    bytes: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<Vec<Logprob<'a>>>,
}

#[derive(Clone, Copy, Serialize)]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Clone, Copy, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl Told<'_> {
    pub(super) fn whole(&self, play: &Play) -> Whole {
        let choices: Vec<_> =
            play.answers.iter().enumerate().map(|(index, spoken)| self.choice(index, spoken)).collect();
        let id = self.id();
        let mut reply = self.reply(&id, "chat.completion", &choices);
        reply.usage = play.usage.map(|usage| Some(usage.into()));
        if self.house.filters {
            reply.prompt_filter_results = Some(prompt_filters());
        }
        Whole::json(200, &reply)
    }

    pub(super) fn stream(&self, play: &Play) -> Stream {
        let mut events = Events::new(Framing::Sse("\n"));
        let id = self.id();
        if self.house.filters {
            events.json(&json!({
                "choices": [], "created": 0, "id": "", "model": "", "object": "",
                "prompt_filter_results": prompt_filters(),
            }));
        }
        for (index, spoken) in play.answers.iter().enumerate() {
            self.begin(&mut events, &id, index, spoken);
            for piece in pieces(&spoken.text) {
                let delta = Delta { content: Some(piece), ..Delta::default() };
                self.chunk(&mut events, &id, index, delta, None, self.logprobs(piece));
            }
            for (at, call) in spoken.calls.iter().enumerate() {
                self.call(&mut events, &id, index, at, call);
            }
            self.chunk(&mut events, &id, index, Delta::default(), Some(finish(&spoken.end)), None);
        }
        if let Some(usage) = play.usage.filter(|_| self.wants.usage) {
            let mut reply = self.reply::<ChunkChoice<'_>>(&id, "chat.completion.chunk", &[]);
            reply.usage = Some(Some(usage.into()));
            events.json(&reply);
        }
        events.final_is_next();
        events.word("[DONE]");
        Stream::new("text/event-stream; charset=utf-8", events)
    }

    fn begin(&self, events: &mut Events, id: &str, index: usize, spoken: &Spoken) {
        let content = spoken.calls.is_empty().then_some("");
        let delta = Delta { role: Some("assistant"), content, ..Delta::default() };
        self.chunk(events, id, index, delta, None, None);
    }

    /// A call in three chunks: its name, then its arguments in halves.
    fn call(&self, events: &mut Events, id: &str, index: usize, at: usize, call: &Call) {
        let (first, second) = call.halves();
        let named = ToolCall {
            index: Some(at),
            id: Some(self.call_id(index, at)),
            kind: Some("function"),
            function: Function { name: Some(&call.name), arguments: "" },
        };
        let more = |arguments| ToolCall {
            index: Some(at),
            id: None,
            kind: None,
            function: Function { name: None, arguments },
        };
        for call in [named, more(first), more(second)] {
            let delta = Delta { tool_calls: Some([call]), ..Delta::default() };
            self.chunk(events, id, index, delta, None, None);
        }
    }

    fn chunk(
        &self,
        events: &mut Events,
        id: &str,
        index: usize,
        delta: Delta<'_>,
        finish_reason: Option<&str>,
        logprobs: Option<Logprobs<'_>>,
    ) {
        let spoken = delta.content.is_some_and(|content| !content.is_empty());
        let content_filter_results = match (self.house.filters, finish_reason) {
            (false, _) => None,
            (true, Some("content_filter")) => Some(filters(true)),
            (true, _) if spoken => Some(filters(false)),
            (true, _) => Some(json!({})),
        };
        let choices = [ChunkChoice { index, delta, logprobs, finish_reason, content_filter_results }];
        let mut reply = self.reply(id, "chat.completion.chunk", &choices);
        if self.wants.usage {
            // Streams that end with the usage say in every other chunk that it is yet to come.
            reply.usage = Some(None);
        }
        events.json(&reply);
    }

    fn reply<'a, C>(&'a self, id: &'a str, object: &'static str, choices: &'a [C]) -> Reply<'a, C> {
        Reply {
            id,
            object,
            created: self.created,
            model: self.model,
            choices,
            service_tier: (!self.house.azure).then_some("default"),
            system_fingerprint: "fp_sim",
            usage: None,
            prompt_filter_results: None,
        }
    }

    fn choice<'a>(&self, index: usize, spoken: &'a Spoken) -> Choice<'a> {
        let calls = spoken.calls.iter().enumerate().map(|(at, call)| ToolCall {
            index: None,
            id: Some(self.call_id(index, at)),
            kind: Some("function"),
            function: Function { name: Some(&call.name), arguments: call.arguments.get() },
        });
        let content = spoken.calls.is_empty().then_some(spoken.text.as_str());
        let filtered = spoken.end == End::Filtered;
        Choice {
            index,
            message: Message {
                role: "assistant",
                content,
                refusal: None,
                annotations: [],
                tool_calls: calls.collect(),
            },
            logprobs: content.and_then(|text| self.logprobs(text)),
            finish_reason: finish(&spoken.end),
            content_filter_results: self.house.filters.then(|| filters(filtered)),
        }
    }

    fn logprobs<'a>(&self, text: &'a str) -> Option<Logprobs<'a>> {
        let alternatives = self.wants.logprobs?;
        let one = |token: &'a str, top| Logprob {
            token,
            logprob: -0.5,
            bytes: token.as_bytes(),
            top_logprobs: top,
        };
        let content = pieces(text).map(|token| {
            let top = (0..alternatives).map(|_| one(token, None)).collect();
            one(token, Some(top))
        });
        Some(Logprobs { content: content.collect(), refusal: None })
    }

    fn id(&self) -> String {
        format!("chatcmpl-sim{}", self.number)
    }

    fn call_id(&self, index: usize, at: usize) -> String {
        format!("call_sim{}_{index}_{at}", self.number)
    }
}

fn finish(end: &End) -> &str {
    match end {
        End::Stop | End::StopSequence => "stop",
        End::Length => "length",
        End::Calls => "tool_calls",
        End::Filtered => "content_filter",
        End::Word(word) => word,
    }
}

/// Azure's verdict on an answer.
fn filters(filtered: bool) -> Value {
    let safe = json!({"filtered": false, "severity": "safe"});
    let hate = if filtered { json!({"filtered": true, "severity": "high"}) } else { safe.clone() };
    json!({"hate": hate, "self_harm": safe, "sexual": safe, "violence": safe})
}

/// Azure's verdict on a prompt.
fn prompt_filters() -> Value {
    let mut results = filters(false);
    if let Some(results) = results.as_object_mut() {
        results.insert("jailbreak".to_owned(), json!({"filtered": false, "detected": false}));
    }
    json!([{"prompt_index": 0, "content_filter_results": results}])
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let completion = usage.output + usage.reasoning;
        Self {
            prompt_tokens: usage.input,
            completion_tokens: completion,
            total_tokens: usage.input + completion,
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached, audio_tokens: 0 },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.reasoning,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
        }
    }
}
