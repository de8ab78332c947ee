//! Sessions on a tiny model: what is remembered between turns, what ends an answer, and how soon it can be stopped.

#![cfg(test)]

#[path = "session/tiny.rs"]
mod tiny;

use std::sync::{Arc, atomic::AtomicBool};

use aigate_neural::{
    chat::{AnswerError, Ask, ChatModel, End, Outcome, Session},
    sample::Settings,
    template::Prompt,
};
use serde_json::json;

const CONTEXT: usize = 128;

fn session() -> Session {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), tiny::model(512)).unwrap();
    Session::new(Arc::new(ChatModel::open(file.path()).unwrap()), CONTEXT, 2)
}

fn ask(session: &Session, text: &str) -> Ask {
    let messages = json!([{ "role": "user", "content": text }]);
    let now = std::time::SystemTime::UNIX_EPOCH;
    let prompt = Prompt { messages: &messages, tools: None, thinking: None, now };
    let settings = Settings {
        temperature: 0.0,
        top_p: None,
        top_k: None,
        min_p: None,
        seed: None,
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
        // It never ends by itself.
        bias: vec![(2, -100.0)],
        logprobs: None,
    };
    Ask {
        prompt: session.model().prompt(&prompt).unwrap().ids,
        most: 20,
        stop: Vec::new(),
        settings,
        constraint: None,
        spoken: Vec::new(),
    }
}

fn answer(session: &mut Session, ask: Ask) -> (String, Outcome) {
    let mut text = String::new();
    let outcome = session.answer(ask, &AtomicBool::new(false), &mut |step| {
        text.push_str(&step.text);
        true
    });
    (text, outcome.unwrap())
}

#[test]
fn a_prompt_that_begins_like_the_last_conversation_is_computed_from_where_it_differs() {
    let (mut warm, mut cold) = (session(), session());
    let first = ask(&warm, "what is new?");
    let length = first.prompt.len();
    let (_, outcome) = answer(&mut warm, first);
    assert_eq!((outcome.fresh, outcome.reused), (length, 0));
    let second = || ask(&cold, "what is old?");
    let (text, outcome) = answer(&mut warm, second());
    // A byte a token, but a space is three of them (U+2581), and the beginning one more.
    let same = "user: what is ".replace(' ', "___").len() + 1;
    assert_eq!((outcome.reused, outcome.fresh), (same, length - same));
    let second = second();
    assert_eq!(text, answer(&mut cold, second).0, "what is remembered changes nothing");
}

#[test]
fn the_answer_ends_at_its_bound_at_the_context_s_end_and_before_a_stop_string() {
    let mut session = session();
    let bounded = ask(&session, "hello");
    let (text, outcome) = answer(&mut session, bounded);
    assert_eq!((outcome.end, outcome.output), (End::Length, 20));

    let endless = Ask { most: usize::MAX, ..ask(&session, "hello") };
    let prompt = endless.prompt.len();
    let (_, outcome) = answer(&mut session, endless);
    assert_eq!((outcome.end, outcome.output), (End::Length, CONTEXT - prompt));

    let piece: String = text.chars().skip(5).take(3).collect();
    let stopping = Ask { stop: vec![piece.clone()], ..ask(&session, "hello") };
    let (before, outcome) = answer(&mut session, stopping);
    assert_eq!(before, text.split_once(piece.as_str()).unwrap().0);
    assert_eq!(outcome.end, End::Stop(piece));
}

#[test]
fn nobody_computes_another_token_once_the_answer_is_stopped_or_enough_is_heard() {
    let mut session = session();
    let stop = AtomicBool::new(false);
    let mut heard = 0;
    let endless = Ask { most: usize::MAX, ..ask(&session, "abc") };
    let outcome = session.answer(endless, &stop, &mut |_| {
        heard += 1;
        stop.store(heard == 3, std::sync::atomic::Ordering::Relaxed);
        true
    });
    assert_eq!((outcome, heard), (Err(AnswerError::Stopped), 3));

    let mut heard = 0;
    let endless = Ask { most: usize::MAX, ..ask(&session, "abc") };
    let outcome = session.answer(endless, &AtomicBool::new(false), &mut |_| {
        heard += 1;
        heard < 3
    });
    assert_eq!((outcome.unwrap().end, heard), (End::Enough, 3));

    let asked = ask(&session, "a prompt of which nothing is computed");
    let stopped = session.answer(asked, &AtomicBool::new(true), &mut |_| true);
    assert_eq!(stopped, Err(AnswerError::Stopped));
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_with_both_lengths() {
    let mut session = session();
    let long = ask(&session, &"x".repeat(300));
    let refused = session.answer(long, &AtomicBool::new(false), &mut |_| true).unwrap_err();
    let AnswerError::Failed(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains("the context 128"), "{why}");
}

#[test]
fn a_file_that_is_cut_or_lacks_a_tensor_is_refused_by_name() {
    let whole = tiny::model(512);
    let file = tempfile::NamedTempFile::new().unwrap();
    for length in [0, 3, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(file.path(), &whole[..length]).unwrap();
        let why = ChatModel::open(file.path()).unwrap_err();
        assert!(why.contains(&file.path().display().to_string()), "{why}");
    }

    let place = whole.windows(19).position(|window| window == b"blk.0.attn_q.weight").unwrap();
    let mut other = whole.clone();
    other[place + 6..place + 12].copy_from_slice(b"strang");
    std::fs::write(file.path(), &other).unwrap();
    let why = ChatModel::open(file.path()).unwrap_err();
    assert!(why.contains("lacks the tensor blk.0.attn_q.weight"), "{why}");
}
