//! On a model's worker: from the wish to the prompt, from tokens to what is said.

use std::{sync::atomic::AtomicBool, time::SystemTime};

use aigate_contract::{
    Call, Error, ErrorKind, FinishReason, Result, Task, Usage,
    chat::{ChatRequest, Content},
};
use aigate_neural::{
    chat::{AnswerError, Ask, ChatModel, End, Session, Step, Tokens},
    constraint::{Calls, Constraint},
    template::Prompt,
    tools::{Parser, Part, Style, Thoughts},
};
use serde_json::Value;

use super::{
    Said, logprobs,
    wish::{Form, Wish},
};

/// Answers, and hands on what is said. Returns when all is said or nobody listens any more.
pub(super) fn speak<T: Task<Request = ChatRequest>>(
    session: &mut Session,
    call: &Call<T>,
    wish: Wish,
    stop: &AtomicBool,
    say: &dyn Fn(Said),
) -> Result<()> {
    let model = std::sync::Arc::clone(session.model());
    too_long(session, call)?;
    check_bias(&model, &wish)?;
    let style = style(&model, call, &wish)?;
    let tools = wish.tools.as_ref().filter(|_| style.is_some());
    let prompt = Prompt {
        messages: &wish.messages,
        tools,
        thinking: thinking(&model, call, &wish)?,
        now: SystemTime::now(),
    };
    // The template's own words: roles out of turn, and the like.
    let prompt = model
        .prompt(&prompt)
        .map_err(|why| Error::new(ErrorKind::Unsupported, why).with_param("messages"))?;
    fits(session, &prompt)?;
    tell_what_is_left_out(call, &wish, &prompt)?;
    let mut usage = Usage::default();
    for choice in 0..wish.choices {
        let mut settings = wish.settings.clone();
        settings.seed = settings.seed.map(|seed| seed.wrapping_add(u64::from(choice)));
        let mut teller = Teller {
            choice,
            thoughts: prompt.thoughts.clone(),
            parser: tools.zip(style).map(|(tools, style)| Parser::new(style, names(tools))),
            called: 0,
            one_call: !wish.parallel,
            only_calls: wish.must_call.is_some(),
            say,
        };
        let ask = Ask {
            prompt: prompt.ids.clone(),
            most: wish.most,
            // They end the text, and a call that has to be made is none.
            stop: if wish.must_call.is_some() { Vec::new() } else { wish.stop.clone() },
            settings,
            constraint: constraint(&model, &wish, style)?,
            spoken: spoken(style, prompt.thoughts.is_some()),
        };
        let outcome = match session.answer(ask, stop, &mut |step| teller.step(step)) {
            Ok(outcome) => outcome,
            Err(AnswerError::Stopped) => return Ok(()),
            Err(AnswerError::Failed(why)) => return Err(Error::new(ErrorKind::Internal, why)),
        };
        let called = teller.finish();
        let reason = match outcome.end {
            End::Length => FinishReason::Length,
            _ if called > 0 => FinishReason::ToolCalls,
            End::Turn | End::Stop(_) | End::Enough => FinishReason::Stop,
        };
        say(Said::Finish { choice, reason });
        // The prompt is the same for all choices.
        usage.fresh_input.get_or_insert(outcome.fresh as u64);
        usage.cached_read.get_or_insert(outcome.reused as u64);
        usage.output = Some(usage.output.unwrap_or(0) + outcome.output as u64);
    }
    say(Said::Done(usage));
    Ok(())
}

fn style<T: Task<Request = ChatRequest>>(
    model: &ChatModel,
    call: &Call<T>,
    wish: &Wish,
) -> Result<Option<Style>> {
    if wish.tools.is_some() && model.style().is_none() {
        call.unsupported("tools", "the model's chat template takes none in a form that is understood")?;
    }
    let said_before = wish.messages.as_array().is_some_and(|messages| {
        messages.iter().any(|message| message.get("tool_calls").is_some() || message["role"] == "tool")
    });
    if said_before && model.style().is_none() {
        return Err(Error::unsupported(
            "messages",
            "the model's chat template has no place for calls of tools",
        ));
    }
    Ok(model.style().filter(|_| wish.tools.is_some()))
}

/// Whether the model is to think first. An answer of a given form begins at once.
fn thinking<T: Task<Request = ChatRequest>>(
    model: &ChatModel,
    call: &Call<T>,
    wish: &Wish,
) -> Result<Option<bool>> {
    let knows = model.template().source().contains("enable_thinking");
    let formed = wish.must_call.is_some() || !matches!(wish.form, Form::Text);
    if knows && wish.thinking == Some(true) {
        // It thinks or does not; how hard, nobody can say.
        call.leave_out("reasoning_effort");
    }
    match wish.thinking {
        Some(_) if !knows => {
            call.unsupported("reasoning_effort", "the model's chat template has no switch for thinking")?;
            Ok(None)
        }
        Some(true) if formed => {
            call.unsupported("reasoning_effort", "an answer of a given form begins without thoughts")?;
            Ok(Some(false))
        }
        wanted => Ok(wanted.or((knows && formed).then_some(false))),
    }
}

/// Refuses early what cannot fit, before much is made of it: no token stands for so many bytes on average.
fn too_long<T: Task<Request = ChatRequest>>(session: &Session, call: &Call<T>) -> Result<()> {
    const BYTES_A_TOKEN: usize = 256;
    let texts = call.request.messages.iter().flat_map(|message| &message.content).flat_map(Content::texts);
    let (length, context) = (texts.map(str::len).sum::<usize>(), session.context());
    if length <= context * BYTES_A_TOKEN {
        return Ok(());
    }
    let message =
        format!("the conversation has {length} bytes, and the model's context here is {context} tokens");
    Err(Error::new(ErrorKind::TooLarge, message).with_param("messages"))
}

fn check_bias(model: &ChatModel, wish: &Wish) -> Result<()> {
    let vocabulary = model.decoder().vocabulary();
    match wish.settings.bias.iter().find(|(token, _)| *token as usize >= vocabulary) {
        Some((token, _)) => {
            let message =
                format!("`logit_bias` names the token {token}; the model's vocabulary has {vocabulary}");
            Err(Error::new(ErrorKind::Invalid, message).with_param("logit_bias"))
        }
        None => Ok(()),
    }
}

/// Templates may pass over what is said (a system message that stands alone, a text beside tool calls) without a word.
fn tell_what_is_left_out<T: Task<Request = ChatRequest>>(
    call: &Call<T>,
    wish: &Wish,
    prompt: &Tokens,
) -> Result<()> {
    for (index, message) in wish.messages.as_array().into_iter().flatten().enumerate() {
        let text = |field: &str| message.get(field).and_then(Value::as_str).unwrap_or_default().trim();
        let said = text("content");
        // Thoughts of earlier turns are left out on purpose, and tools' results may be written as JSON.
        let checked = message["role"] != "tool" && !said.contains("</think>");
        if checked && !prompt.text.contains(said) {
            call.unsupported(
                &format!("messages[{index}].content"),
                "the model's chat template leaves it out",
            )?;
        }
        if message["role"] != "tool" && !prompt.text.contains(text("name")) {
            call.leave_out("messages[].name");
        }
    }
    Ok(())
}

fn fits(session: &Session, prompt: &Tokens) -> Result<()> {
    let (length, context) = (prompt.ids.len(), session.context());
    if length < context {
        return Ok(());
    }
    let message = format!("the conversation has {length} tokens, and the model's context here is {context}");
    Err(Error::new(ErrorKind::TooLarge, message).with_param("messages"))
}

fn constraint(model: &ChatModel, wish: &Wish, style: Option<Style>) -> Result<Option<Constraint>> {
    let internal = |why: String| Error::new(ErrorKind::Internal, why);
    let vocabulary = || model.vocabulary().map_err(internal);
    if let (Some(must), Some(style), Some(tools)) = (&wish.must_call, style, &wish.tools) {
        let calls = Calls { name: must.name.as_deref(), several: wish.parallel };
        let constraint = Constraint::tool_calls(vocabulary()?, style, tools, calls);
        return constraint.and_then(begun).map(Some).map_err(invalid_tools);
    }
    match &wish.form {
        Form::Text => Ok(None),
        Form::Object => Constraint::json_object(vocabulary()?).map(Some).map_err(internal),
        Form::Schema(schema) => Constraint::schema(vocabulary()?, schema)
            .and_then(begun)
            .map(Some)
            .map_err(|why| Error::unsupported("response_format.json_schema.schema", &why)),
    }
}

/// A constraint under which an answer can begin: a schema that refers only to itself allows none.
fn begun(mut constraint: Constraint) -> std::result::Result<Constraint, String> {
    let none = |why: String| format!("no answer can begin as it says ({why}): does it refer only to itself?");
    constraint.mask().map_err(none)?;
    Ok(constraint)
}

fn names(tools: &Value) -> Vec<String> {
    let name = |tool: &Value| tool.pointer("/function/name").and_then(Value::as_str).map(str::to_owned);
    tools.as_array().into_iter().flatten().filter_map(name).collect()
}

fn invalid_tools(why: String) -> Error {
    Error::unsupported("tools", &why)
}

/// Control tokens whose texts tell calls and thoughts from the rest.
fn spoken(style: Option<Style>, thinks: bool) -> Vec<String> {
    let calls = style.map(Style::markers).unwrap_or_default().iter();
    let thoughts = ["<think>", "</think>"].iter().filter(|_| thinks);
    calls.chain(thoughts).map(|text| (*text).to_owned()).collect()
}

/// Takes an answer's text apart and hands the parts on.
struct Teller<'a> {
    choice: u32,
    thoughts: Option<Thoughts>,
    parser: Option<Parser>,
    called: u32,
    one_call: bool,
    /// Whether the answer is nothing but calls.
    only_calls: bool,
    say: &'a dyn Fn(Said),
}

impl Teller<'_> {
    /// Returns whether more is wanted.
    fn step(&mut self, step: Step) -> bool {
        let probabilities = (!step.tokens.is_empty()).then(|| logprobs(&step.tokens));
        let parts = match &mut self.thoughts {
            Some(thoughts) => thoughts.push(&step.text),
            None => vec![Part::Text(step.text)],
        };
        self.tell(parts, probabilities)
    }

    fn tell(&mut self, parts: Vec<Part>, mut probabilities: Option<Value>) -> bool {
        for part in parts {
            let parts = match (part, &mut self.parser) {
                (Part::Text(text), Some(parser)) => parser.push(&text),
                (part, _) => vec![part],
            };
            for part in parts {
                if self.one_call && self.called > 0 {
                    return false;
                }
                self.part(part, &mut probabilities);
            }
        }
        // Of tokens that became a call, or part of what is held back.
        if probabilities.is_some() {
            self.part(Part::Text(String::new()), &mut probabilities);
        }
        !(self.one_call && self.called > 0)
    }

    fn part(&mut self, part: Part, probabilities: &mut Option<Value>) {
        let choice = self.choice;
        match part {
            // A call that was cut off is no text; why it ends says that it was cut.
            Part::Text(_) if self.only_calls && probabilities.is_none() => {}
            Part::Text(text) => {
                let text = if self.only_calls { String::new() } else { text };
                let logprobs = probabilities.take();
                if !text.is_empty() || logprobs.is_some() {
                    (self.say)(Said::Text { choice, text, logprobs });
                }
            }
            Part::Reasoning(text) => (self.say)(Said::Reasoning { choice, text }),
            Part::Call { name, arguments } => {
                self.called += 1;
                (self.say)(Said::ToolCall { choice, name, arguments });
            }
        }
    }

    /// The rest. Returns how many tools were called.
    fn finish(mut self) -> u32 {
        if let Some(thoughts) = self.thoughts.take() {
            self.tell(thoughts.finish(), None);
        }
        if let Some(parser) = self.parser.take() {
            self.tell(parser.finish(), None);
        }
        self.called
    }
}
