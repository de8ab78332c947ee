//! Whatever order a caller's messages have, Converse's rules hold.

use aigate_contract::{Chat, ErrorKind};
use aws_sdk_bedrockruntime::types::{ConversationRole, Message};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    chat::request::translate,
    testing::{chat, fetcher},
};

/// What a caller may say next.
#[derive(Clone, Debug)]
enum Step {
    System,
    User,
    Assistant,
    /// So many calls, whose results come in this order, with a user's word between the first two of them or not.
    Calls {
        count: usize,
        reversed: bool,
        interrupted: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::System),
        Just(Step::User),
        Just(Step::Assistant),
        (1..4_usize, any::<bool>(), any::<bool>()).prop_map(|(count, reversed, interrupted)| Step::Calls {
            count,
            reversed,
            interrupted
        }),
    ]
}

fn messages(steps: &[Step]) -> Vec<Value> {
    let mut messages = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::System => messages.push(json!({"role": "system", "content": "rules"})),
            Step::User => messages.push(json!({"role": "user", "content": "question"})),
            Step::Assistant => messages.push(json!({"role": "assistant", "content": "answer"})),
            Step::Calls { count, reversed, interrupted } => {
                let mut ids: Vec<String> = (0..*count).map(|call| format!("{number}-{call}")).collect();
                let function = json!({"name": "f", "arguments": "{}"});
                let calls: Vec<Value> = ids
                    .iter()
                    .map(|id| json!({"id": id, "type": "function", "function": function}))
                    .collect();
                messages.push(json!({"role": "assistant", "content": "", "tool_calls": calls}));
                if *reversed {
                    ids.reverse();
                }
                for (index, id) in ids.iter().enumerate() {
                    if index == 1 && *interrupted {
                        messages.push(json!({"role": "user", "content": "hurry"}));
                    }
                    messages.push(json!({"role": "tool", "tool_call_id": id, "content": "result"}));
                }
            }
        }
    }
    messages
}

async fn translated(messages: &[Value]) -> Vec<Message> {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let call = chat::<Chat>("m.x", &json!({"model": "m", "messages": messages, "tools": tools}), false);
    translate(&call, &fetcher()).await.unwrap().messages
}

fn calls(message: &Message) -> Vec<&str> {
    message
        .content
        .iter()
        .filter_map(|block| block.as_tool_use().ok())
        .map(|call| call.tool_use_id())
        .collect()
}

fn results(message: &Message) -> Vec<&str> {
    message
        .content
        .iter()
        .map_while(|block| block.as_tool_result().ok())
        .map(|result| result.tool_use_id())
        .collect()
}

proptest! {
    #[test]
    fn roles_alternate_and_every_result_stands_first_in_the_turn_after_its_call(
        steps in proptest::collection::vec(step(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let messages = messages(&steps);
        let turns = runtime.block_on(translated(&messages));
        for pair in turns.windows(2) {
            prop_assert_ne!(&pair[0].role, &pair[1].role);
        }
        let mut seen = 0;
        for (index, turn) in turns.iter().enumerate() {
            prop_assert!(!turn.content.is_empty());
            let mut wanted = calls(turn);
            if wanted.is_empty() {
                continue;
            }
            prop_assert_eq!(&turn.role, &ConversationRole::Assistant);
            let mut found = results(&turns[index + 1]);
            seen += found.len();
            wanted.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, wanted);
        }
        let said = messages.iter().filter(|message| message["role"] == "tool").count();
        prop_assert_eq!(seen, said);
        let all = turns.iter().flat_map(|turn| &turn.content).filter(|block| block.is_tool_result()).count();
        prop_assert_eq!(all, said);
    }
}

#[tokio::test]
async fn a_result_without_its_call_is_refused_by_name() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let asked = json!({"role": "assistant", "tool_calls": [call]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    for (messages, at) in [
        (vec![result("a")], "messages[0].tool_call_id"),
        (vec![asked.clone(), result("b")], "messages[1].tool_call_id"),
        (vec![asked.clone(), result("a"), result("a")], "messages[2].tool_call_id"),
        (
            vec![
                asked.clone(),
                json!({"role": "user", "content": "u"}),
                json!({"role": "assistant", "content": "z"}),
                result("a"),
            ],
            "messages[3].tool_call_id",
        ),
    ] {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let body = json!({"model": "m", "messages": messages, "tools": tools});
        let error = translate(&chat::<Chat>("m.x", &body, false), &fetcher()).await.unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::Invalid, Some(at)));
    }
}

#[tokio::test]
async fn documents_get_neutral_names_unlike_each_other() {
    let file = |name: Value| json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": name}});
    let parts = [file(json!("my_report  (v1).pdf")), file(json!("my report (v1).pdf")), file(Value::Null)];
    let messages = [json!({"role": "user", "content": parts})];
    let turns = translated(&messages).await;
    let names: Vec<&str> =
        turns[0].content.iter().map(|block| block.as_document().unwrap().name.as_str()).collect();
    assert_eq!(names, ["my report (v1)", "my report (v1) (2)", "document"]);
}
