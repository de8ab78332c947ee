//! The model behind every simulated cloud: from a conversation to an answer, without any protocol.
//!
//! The last user text decides. Plain: `SIM {cloud} heard: {text}`. Lines of it steer: `call: NAME({json})` calls an
//! offered tool, `finish: WORD` ends with that word. Words in it steer: `filter-me`, `filter-output`, `no-usage`,
//! `cached-prompt`, `think`. One word is one token.

pub(crate) mod schema;
pub(crate) mod vector;

use serde_json::{Map, Value, value::RawValue};

/// What the model is given.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    /// Words of all texts.
    pub(crate) words: u64,
    /// The texts of the last user message, joined by a space.
    pub(crate) heard: String,
    /// What is to be said of each picture in the last user message.
    pub(crate) images: Vec<String>,
    /// Tool results, in the order of the calls, if the conversation ends with them.
    pub(crate) results: Option<Vec<String>>,
    /// Names of the tools on offer.
    pub(crate) tools: Vec<String>,
    pub(crate) choice: Choice,
    /// Whether at most one tool may be called.
    pub(crate) one_call: bool,
    pub(crate) format: Format,
    pub(crate) max_words: Option<u64>,
    pub(crate) stops: Vec<String>,
    /// How many answers; 0 is 1.
    pub(crate) choices: u32,
}

/// Which tools may or must be called.
#[derive(Debug, Default)]
pub(crate) enum Choice {
    #[default]
    Auto,
    Never,
    /// Some tool.
    Any,
    /// One of these.
    Only(Vec<String>),
    /// These may be called, but need not.
    Among(Vec<String>),
}

/// The form of the answer.
#[derive(Debug, Default)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Schema(Value),
}

/// What the model says.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) answers: Vec<Spoken>,
    /// What it consumed, unless that is to be left out.
    pub(crate) usage: Option<Usage>,
    /// Whether it thought first.
    pub(crate) thought: bool,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) text: String,
    pub(crate) calls: Vec<Call>,
    pub(crate) end: End,
}

/// A tool call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// A JSON object.
    pub(crate) arguments: Box<RawValue>,
}

/// Why an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Stop,
    Length,
    StopSequence,
    Calls,
    Filtered,
    /// A word that the caller asked for.
    Word(String),
}

/// What an answer consumed, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// All input, the cached part among it.
    pub(crate) input: u64,
    /// The answer, without the reasoning.
    pub(crate) output: u64,
    pub(crate) cached: u64,
    pub(crate) reasoning: u64,
}

/// How long a model thinks, in tokens; the words that show it are [`THOUGHT`].
const REASONING: u64 = 3;

/// What it thinks.
pub(crate) const THOUGHT: &str = "thinking it over";

impl Prompt {
    /// Counts a text that is not the user's last.
    pub(crate) fn count(&mut self, text: &str) {
        self.words += words(text);
    }

    /// Another text of the last user message.
    pub(crate) fn hear(&mut self, text: &str) {
        if !self.heard.is_empty() {
            self.heard.push(' ');
        }
        self.heard.push_str(text);
    }

    /// A picture in the last user message.
    pub(crate) fn see(&mut self, media_type: &str, bytes: usize) {
        self.images.push(format!("[{media_type} {bytes} bytes]"));
    }

    /// Whether the content filter refuses it.
    pub(crate) fn is_filtered(&self) -> bool {
        self.heard.contains("filter-me")
    }
}

/// Answers.
pub(crate) fn play(cloud: &str, prompt: &Prompt) -> Play {
    let calls = calls(prompt);
    let answers: Vec<_> = if calls.is_empty() {
        (0..prompt.choices.clamp(1, 128)).map(|index| spoken(cloud, prompt, index)).collect()
    } else {
        let end = wanted_end(prompt).unwrap_or(End::Calls);
        (0..prompt.choices.clamp(1, 128))
            .map(|_| Spoken { text: String::new(), calls: calls.clone(), end: end.clone() })
            .collect()
    };
    let thought = prompt.heard.contains("think");
    let usage = (!prompt.heard.contains("no-usage")).then(|| Usage {
        input: prompt.words,
        output: answers.iter().map(Spoken::words).sum(),
        cached: if prompt.heard.contains("cached-prompt") { prompt.words.min(2) } else { 0 },
        reasoning: if thought { REASONING } else { 0 },
    });
    Play { answers, usage, thought }
}

fn spoken(cloud: &str, prompt: &Prompt, index: u32) -> Spoken {
    let mut text = match &prompt.format {
        Format::Schema(schema) => schema::example(schema).to_string(),
        Format::Json => {
            let heard = Map::from_iter([("heard".to_owned(), Value::from(prompt.heard.as_str()))]);
            Value::Object(heard).to_string()
        }
        Format::Text => said(cloud, prompt, index),
    };
    let mut end = End::Stop;
    if prompt.heard.contains("filter-output") {
        keep_words(&mut text, 2);
        end = End::Filtered;
    }
    let stop = prompt.stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop)).min();
    if let Some(stop) = stop {
        text.truncate(stop);
        end = End::StopSequence;
    }
    if prompt.max_words.is_some_and(|most| words(&text) > most) {
        keep_words(&mut text, prompt.max_words.unwrap_or_default());
        end = End::Length;
    }
    Spoken { text, calls: Vec::new(), end: wanted_end(prompt).unwrap_or(end) }
}

fn said(cloud: &str, prompt: &Prompt, index: u32) -> String {
    let mut text = match &prompt.results {
        Some(results) => format!("SIM {cloud} results: {}", results.join("; ")),
        None => format!("SIM {cloud} heard: {}", prompt.heard),
    };
    for image in &prompt.images {
        text.push(' ');
        text.push_str(image);
    }
    if index > 0 {
        text.push_str(&format!(" #{index}"));
    }
    text
}

/// The end that a line `finish: WORD` asks for.
fn wanted_end(prompt: &Prompt) -> Option<End> {
    let word = prompt.heard.lines().find_map(|line| line.trim().strip_prefix("finish:"))?;
    let word = word.split_whitespace().next()?;
    Some(End::Word(word.to_owned()))
}

/// The calls that the last user text asks for, or that the choice forces.
fn calls(prompt: &Prompt) -> Vec<Call> {
    if prompt.results.is_some() || matches!(prompt.choice, Choice::Never) {
        return Vec::new();
    }
    let allowed = |name: &str| match &prompt.choice {
        Choice::Only(names) | Choice::Among(names) => names.iter().any(|allowed| allowed == name),
        _ => true,
    };
    let offered = |name: &str| prompt.tools.iter().any(|tool| tool == name) && allowed(name);
    let mut calls: Vec<_> = prompt
        .heard
        .lines()
        .filter_map(call_line)
        .filter(|call| offered(&call.name))
        .take(if prompt.one_call { 1 } else { 64 })
        .collect();
    if calls.is_empty() && matches!(prompt.choice, Choice::Any | Choice::Only(_)) {
        let forced = prompt.tools.iter().find(|name| allowed(name));
        let empty = serde_json::from_str("{}").ok();
        calls.extend(forced.zip(empty).map(|(name, arguments)| Call { name: name.clone(), arguments }));
    }
    calls
}

/// Reads `call: NAME({json})`.
fn call_line(line: &str) -> Option<Call> {
    let call = line.trim().strip_prefix("call:")?.trim();
    let (name, arguments) = call.strip_suffix(')')?.split_once('(')?;
    let object: Map<String, Value> = serde_json::from_str(arguments).ok()?;
    let arguments = serde_json::value::to_raw_value(&object).ok()?;
    Some(Call { name: name.trim().to_owned(), arguments })
}

impl Spoken {
    /// Its length in tokens.
    fn words(&self) -> u64 {
        words(&self.text) + self.calls.iter().map(|call| 1 + words(call.arguments.get())).sum::<u64>()
    }
}

impl Call {
    /// Its arguments in two pieces, as streams give them.
    pub(crate) fn halves(&self) -> (&str, &str) {
        let text = self.arguments.get();
        let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.split_at_checked(middle).unwrap_or((text, ""))
    }
}

pub(crate) fn words(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX)
}

/// The words of a text, each with the white space before it; together they are the text.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at_checked(first_piece(rest)).unwrap_or((rest, ""));
        rest = after;
        Some(piece)
    })
}

/// Where the first word ends; white space at the very end belongs to the last word.
fn first_piece(text: &str) -> usize {
    let word = text.len() - text.trim_start().len();
    let end = text.get(word..).and_then(|rest| rest.find(char::is_whitespace)).map(|end| word + end);
    match end {
        Some(end) if text.get(end..).is_some_and(|rest| !rest.trim().is_empty()) => end,
        _ => text.len(),
    }
}

fn keep_words(text: &mut String, count: u64) {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let kept: usize = pieces(text).take(count).map(str::len).sum();
    let kept = text.get(..kept).map_or(0, |kept| kept.trim_end().len());
    text.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(heard: &str) -> Prompt {
        Prompt { heard: heard.to_owned(), words: words(heard), ..Prompt::default() }
    }

    fn first(prompt: &Prompt) -> Spoken {
        play("x", prompt).answers.into_iter().next().unwrap()
    }

    #[test]
    fn a_text_is_echoed_and_counted() {
        let play = play("aws", &prompt("one two cached-prompt think"));
        assert_eq!(play.answers[0].text, "SIM aws heard: one two cached-prompt think");
        assert_eq!(play.usage, Some(Usage { input: 4, output: 7, cached: 2, reasoning: 3 }));
        assert_eq!(super::play("aws", &prompt("no-usage")).usage, None);
    }

    #[test]
    fn pieces_are_words_and_together_the_text() {
        for text in ["", " ", "a", " a b\n c  ", "ä ö", "a  "] {
            assert_eq!(pieces(text).collect::<String>(), text);
        }
        assert_eq!(pieces("SIM x: a\nb ").collect::<Vec<_>>(), ["SIM", " x:", " a", "\nb "]);
    }

    #[test]
    fn call_lines_call_offered_tools_in_order() {
        let mut prompt = prompt("go\ncall: b({\"x\": 1})\ncall: a({})\ncall: c({})\ncall: a(no)");
        prompt.tools = vec!["a".into(), "b".into()];
        let spoken = first(&prompt);
        let names: Vec<_> =
            spoken.calls.iter().map(|call| (call.name.as_str(), call.arguments.get())).collect();
        assert_eq!(names, [("b", r#"{"x":1}"#), ("a", "{}")]);
        assert_eq!((spoken.text.as_str(), spoken.end), ("", End::Calls));
        prompt.choice = Choice::Never;
        assert!(first(&prompt).calls.is_empty());
        prompt.choice = Choice::Only(vec!["a".into()]);
        assert_eq!(first(&prompt).calls.len(), 1);
        prompt.heard = "nothing".into();
        assert_eq!(first(&prompt).calls[0].name, "a");
    }

    #[test]
    fn answers_are_cut_by_stops_lengths_and_filters() {
        let mut short = prompt("one two three");
        short.max_words = Some(4);
        assert_eq!((first(&short).text.as_str(), first(&short).end), ("SIM x heard: one", End::Length));
        short.max_words = Some(6);
        assert_eq!(first(&short).end, End::Stop);
        short.stops = vec!["two".into()];
        assert_eq!(
            (first(&short).text.as_str(), first(&short).end),
            ("SIM x heard: one ", End::StopSequence)
        );
        let filtered = first(&prompt("filter-output please"));
        assert_eq!((filtered.text.as_str(), filtered.end), ("SIM x", End::Filtered));
        assert_eq!(first(&prompt("a\nfinish: odd")).end, End::Word("odd".into()));
    }

    #[test]
    fn several_answers_differ() {
        let mut prompt = prompt("hi");
        prompt.choices = 2;
        let texts: Vec<_> = play("x", &prompt).answers.into_iter().map(|spoken| spoken.text).collect();
        assert_eq!(texts, ["SIM x heard: hi", "SIM x heard: hi #1"]);
    }

    #[test]
    fn results_are_repeated_in_order() {
        let mut prompt = prompt("hi");
        prompt.results = Some(vec!["4".into(), "5".into()]);
        assert_eq!(first(&prompt).text, "SIM x results: 4; 5");
    }
}
