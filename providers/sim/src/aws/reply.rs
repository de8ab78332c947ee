//! Answers of Converse, whole and streamed.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>

use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::frame;
use crate::{
    answer::{Events, Framing, Stream, Whole},
    script::{End, Play, Spoken, THOUGHT, Usage, pieces},
};

/// What a guardrail says instead of the model.
const BLOCKED: &str = "Sorry, the model cannot answer this question.";

/// What every reply tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) number: u64,
    /// Whether a guardrail stepped in.
    pub(super) blocked: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    output: Output<'a>,
    stop_reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
    metrics: Metrics,
}

#[derive(Serialize)]
struct Output<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Block<'a> {
    Text(&'a str),
    ToolUse(ToolUse<'a>),
    ReasoningContent(Reasoning),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    tool_use_id: String,
    name: &'a str,
    input: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    reasoning_text: ReasoningText,
}

#[derive(Serialize)]
struct ReasoningText {
    text: &'static str,
    signature: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Delta<D> {
    delta: D,
    content_block_index: usize,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    latency_ms: u64,
}

const METRICS: Metrics = Metrics { latency_ms: 1 };

#[derive(Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
    metrics: Metrics,
}

impl Told {
    pub(super) fn whole(&self, play: &Play) -> Whole {
        let mut content = Vec::new();
        let mut stop_reason = "guardrail_intervened";
        if self.blocked {
            content.push(Block::Text(BLOCKED));
        } else if let Some(spoken) = play.answers.first() {
            if play.thought {
                let reasoning_text = ReasoningText { text: THOUGHT, signature: "c2ltdWxhdGVk" };
                content.push(Block::ReasoningContent(Reasoning { reasoning_text }));
            }
            if !spoken.text.is_empty() {
                content.push(Block::Text(&spoken.text));
            }
            content.extend(spoken.calls.iter().enumerate().map(|(at, call)| {
                let tool_use_id = self.call_id(at);
                Block::ToolUse(ToolUse { tool_use_id, name: &call.name, input: &call.arguments })
            }));
            stop_reason = stop(&spoken.end);
        }
        let message = Message { role: "assistant", content };
        let usage = play.usage.map(|usage| self.tokens(usage));
        Whole::json(200, &Reply { output: Output { message }, stop_reason, usage, metrics: METRICS })
    }

    pub(super) fn stream(&self, play: &Play) -> Stream {
        let mut events = Events::new(Framing::Frames);
        frame::event(&mut events, "messageStart", &json!({"role": "assistant"}));
        let mut stop_reason = "guardrail_intervened";
        if self.blocked {
            text(&mut events, 0, BLOCKED);
        } else if let Some(spoken) = play.answers.first() {
            self.speak(&mut events, play, spoken);
            stop_reason = stop(&spoken.end);
        }
        events.final_is_next();
        frame::event(&mut events, "messageStop", &json!({"stopReason": stop_reason}));
        let usage = play.usage.map(|usage| self.tokens(usage));
        frame::event(&mut events, "metadata", &Metadata { usage, metrics: METRICS });
        Stream::new("application/vnd.amazon.eventstream", events)
    }

    /// The blocks of an answer: text starts without a start event, tool calls with one.
    fn speak(&self, events: &mut Events, play: &Play, spoken: &Spoken) {
        let mut block = 0;
        if play.thought {
            for delta in [json!({"text": THOUGHT}), json!({"signature": "c2ltdWxhdGVk"})] {
                let delta = json!({"reasoningContent": delta});
                frame::event(events, "contentBlockDelta", &Delta { delta, content_block_index: block });
            }
            stop_block(events, block);
            block += 1;
        }
        if !spoken.text.is_empty() {
            text(events, block, &spoken.text);
            block += 1;
        }
        for (at, call) in spoken.calls.iter().enumerate() {
            let start = json!({
                "start": {"toolUse": {"toolUseId": self.call_id(at), "name": call.name}},
                "contentBlockIndex": block,
            });
            frame::event(events, "contentBlockStart", &start);
            let (first, second) = call.halves();
            for input in [first, second] {
                let delta = json!({"toolUse": {"input": input}});
                frame::event(events, "contentBlockDelta", &Delta { delta, content_block_index: block });
            }
            stop_block(events, block);
            block += 1;
        }
    }

    fn call_id(&self, at: usize) -> String {
        format!("tooluse_sim{}_{at}", self.number)
    }

    /// The cached part does not count among the input tokens here; the reasoning counts among the output.
    fn tokens(&self, usage: Usage) -> Tokens {
        let output = if self.blocked { 0 } else { usage.output + usage.reasoning };
        let cached = (usage.cached > 0).then_some(usage.cached);
        Tokens {
            input_tokens: usage.input.saturating_sub(usage.cached),
            output_tokens: output,
            total_tokens: usage.input + output,
            cache_read_input_tokens: cached,
            cache_write_input_tokens: cached.map(|_| 0),
        }
    }
}

fn text(events: &mut Events, block: usize, said: &str) {
    for piece in pieces(said) {
        let delta = Delta { delta: Text { text: piece }, content_block_index: block };
        frame::event(events, "contentBlockDelta", &delta);
    }
    stop_block(events, block);
}

fn stop_block(events: &mut Events, block: usize) {
    frame::event(events, "contentBlockStop", &json!({"contentBlockIndex": block}));
}

fn stop(end: &End) -> &str {
    match end {
        End::Stop => "end_turn",
        End::Length => "max_tokens",
        End::StopSequence => "stop_sequence",
        End::Calls => "tool_use",
        End::Filtered => "content_filtered",
        End::Word(word) => word,
    }
}
