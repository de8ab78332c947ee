use aigate_contract::{Facts, Usage};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn reply(json: &Value) -> ChatReply {
    let usage = json
        .get("usage")
        .filter(|usage| !usage.is_null())
        .map(|_| Usage { output: Some(3), ..Usage::default() });
    ChatReply { json: json.to_string().into(), facts: Facts { usage, ..Facts::default() } }
}

fn chunk(json: Value) -> ChatChunk {
    ChatChunk { json: json.to_string().into(), finish: Vec::new(), usage: None, usage_only: false }
}

fn parse(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

fn told(json: &Value) -> Vec<Value> {
    chunks_of(&reply(json)).unwrap().iter().map(|chunk| parse(&chunk.json)).collect()
}

/// A delta of the first choice.
fn delta(delta: Value) -> ChatChunk {
    chunk(json!({"id": "i", "choices": [{"index": 0, "delta": delta}]}))
}

fn end() -> ChatChunk {
    chunk(json!({"id": "i", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
}

fn message(deltas: &[Value]) -> Option<Value> {
    let chunks: Vec<_> = deltas.iter().cloned().map(delta).chain([end()]).collect();
    whole_of(&chunks).map(|reply| parse(&reply.json)["choices"][0]["message"].take())
}

/// Without the fields that are `null`: to say so and to say nothing is the same.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(said.map(|(name, value)| (name, bare(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(bare).collect(),
        other => other,
    }
}

fn full() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt", "system_fingerprint": "fp",
        "service_tier": "default", "extra": {"a": [1.5, 1e30]},
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant", "content": "Hé\n\"you\"", "reasoning_content": "hm", "refusal": null,
                    "annotations": [{"type": "url_citation"}], "audio": null
                },
                "logprobs": {"content": [{"token": "H", "logprob": -0.1, "bytes": [72], "top_logprobs": []}], "refusal": null},
                "finish_reason": "stop", "content_filter_results": {"hate": {"filtered": false}}
            },
            {
                "index": 1,
                "message": {
                    "role": "assistant", "content": null, "annotations": [],
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}, "more": {"s": 1}}
                    ]
                },
                "logprobs": null, "finish_reason": "tool_calls"
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    })
}

#[test]
fn a_whole_answer_is_told_in_chunks_as_openai_streams_it() {
    let told = told(&full());
    for chunk in &told {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(
            (&chunk["id"], &chunk["model"], &chunk["created"]),
            (&json!("chatcmpl-1"), &json!("gpt"), &json!(1_700_000_000))
        );
        assert_eq!((&chunk["system_fingerprint"], &chunk["extra"]), (&json!("fp"), &full()["extra"]));
    }
    let choices: Vec<&Value> = told.iter().filter_map(|chunk| chunk["choices"].get(0)).collect();
    let deltas: Vec<&Value> = choices.iter().map(|choice| &choice["delta"]).collect();
    assert_eq!(
        deltas,
        [
            &json!({"role": "assistant", "content": ""}),
            &json!({"reasoning_content": "hm"}),
            &json!({"content": "Hé\n\"you\""}),
            &json!({"annotations": [{"type": "url_citation"}]}),
            &json!({}),
            &json!({"role": "assistant", "content": null}),
            &json!({"annotations": []}),
            &json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}),
            &json!({"tool_calls": [{"index": 1, "id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}, "more": {"s": 1}}]}),
            &json!({}),
        ]
    );
    assert_eq!(choices[2]["logprobs"], full()["choices"][0]["logprobs"]);
    assert_eq!(
        (&choices[4]["finish_reason"], &choices[4]["content_filter_results"]["hate"]["filtered"]),
        (&json!("stop"), &json!(false))
    );
    assert_eq!(
        choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(),
        [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    );
    assert_eq!((&told[10]["choices"], &told[10]["usage"]), (&json!([]), &full()["usage"]));
}

#[test]
fn chunks_say_what_the_policies_need_to_know() {
    let chunks = chunks_of(&reply(&full())).unwrap();
    let mut facts = Facts::default();
    chunks.iter().for_each(|chunk| facts.absorb(chunk));
    assert_eq!(facts.finish, [FinishReason::Stop, FinishReason::ToolCalls]);
    assert_eq!(facts.usage.unwrap().output, Some(3));
    assert!(chunks[10].usage_only && chunks[..10].iter().all(|chunk| !chunk.usage_only));
}

#[test]
fn a_whole_answer_comes_back_from_its_chunks() {
    let back = whole_of(&chunks_of(&reply(&full())).unwrap()).unwrap();
    assert_eq!(bare(parse(&back.json)), bare(full()));
    assert_eq!(back.facts.finish, [FinishReason::Stop, FinishReason::ToolCalls]);
    assert_eq!(back.facts.usage.unwrap().output, Some(3));
}

#[test]
fn the_logprobs_of_an_answer_without_text_are_told_at_its_end() {
    let mut whole = full();
    whole["choices"][1]["logprobs"] = json!({"content": [{"token": "x"}]});
    assert_eq!(told(&whole)[9]["choices"][0]["logprobs"], whole["choices"][1]["logprobs"]);
    let back = whole_of(&chunks_of(&reply(&whole)).unwrap()).unwrap();
    assert_eq!(bare(parse(&back.json)), bare(whole));
}

#[test]
fn what_is_no_completion_is_not_told() {
    let mut content = full();
    content["choices"][0]["message"]["content"] = json!([{"type": "text"}]);
    for other in
        [json!({}), json!([]), json!({"choices": [{}]}), json!({"object": "list", "choices": []}), content]
    {
        assert!(chunks_of(&reply(&other)).is_none(), "{other}");
    }
    let twice = ChatReply { json: "{\"choices\":[],\"choices\":[]}".into(), facts: Facts::default() };
    assert!(chunks_of(&twice).is_none());
}

#[test]
fn texts_and_arguments_are_joined_and_calls_found_by_their_index() {
    let message = message(&[
        json!({"role": "assistant", "content": "", "refusal": null}),
        json!({"reasoning": "a", "content": null}),
        json!({"reasoning": "b"}),
        json!({"tool_calls": [{"index": 1, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
        json!({"tool_calls": [{"index": 1, "function": {"arguments": "{\"x\""}}, {"index": 2, "id": "c2", "function": {"name": "g"}}]}),
        json!({"role": "assistant", "tool_calls": [{"index": 1, "id": "", "function": {"arguments": ":1}", "name": "f"}}]}),
    ]);
    let expected = json!({
        "role": "assistant", "content": null, "refusal": null, "reasoning": "ab",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
            {"id": "c2", "function": {"name": "g", "arguments": ""}},
        ]
    });
    assert_eq!(message.unwrap(), expected);
}

#[test]
fn azure_s_empty_beginnings_and_openai_s_padding_are_passed_over() {
    let whole = whole_of(&[
        chunk(
            json!({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [1]}),
        ),
        chunk(json!({"id": "i", "created": 5, "model": "m", "obfuscation": "x", "choices": [
            {"index": 0, "delta": {"content": "a"}, "content_filter_results": {}, "logprobs": null}]})),
        chunk(json!({"id": "i", "created": 5, "model": "m", "obfuscation": "yy", "usage": null, "choices": [
            {"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": {"hate": 1}}]})),
        chunk(json!({"id": "i", "created": 5, "model": "m", "choices": [], "usage": {"total_tokens": 1}})),
    ]);
    let expected = json!({
        "id": "i", "object": "chat.completion", "created": 5, "model": "m", "prompt_filter_results": [1],
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": "a", "refusal": null}, "logprobs": null,
            "finish_reason": "stop", "content_filter_results": {"hate": 1}
        }],
        "usage": {"total_tokens": 1}
    });
    assert_eq!(parse(&whole.unwrap().json), expected);
}

#[test]
fn what_cannot_be_put_together_faithfully_is_not_put_together() {
    let call = |call: Value| json!({"tool_calls": [call]});
    for deltas in [
        vec![json!({"content": 1})],
        vec![json!({"content": [{"type": "text"}]})],
        vec![json!({"role": "assistant"}), json!({"role": "tool"})],
        vec![json!({"thinking": "a"}), json!({"thinking": "a"})],
        vec![json!({"audio": {"data": "a"}}), json!({"audio": {"data": "b"}})],
        vec![call(json!({"id": "a", "function": {"name": "f"}}))],
        vec![call(json!({"index": 0, "function": {"name": "f"}}))],
        vec![call(json!({"index": 0, "id": "a"}))],
        vec![
            call(json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}})),
            call(json!({"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}})),
        ],
        vec![call(json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": {}}}))],
    ] {
        assert!(message(&deltas).is_none(), "{deltas:?}");
    }
    assert!(message(&[json!({"content": "a"})]).is_some());
    for chunks in [
        vec![],
        vec![delta(json!({"content": "a"}))],
        vec![end(), chunk(json!({"id": "j", "choices": []}))],
        vec![end(), chunk(json!({"error": {"message": "m"}}))],
        vec![end(), chunk(json!({"object": "chat.completion", "choices": []}))],
        vec![end(), chunk(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}))],
        vec![end(), chunk(json!({"choices": [{"index": 0, "delta": {}, "logprobs": {"content": 1}}]}))],
        vec![end(), chunk(json!({"choices": [{"index": 1, "delta": {"content": "b"}}]}))],
        vec![end(), ChatChunk { json: "{".into(), ..end() }],
    ] {
        assert!(whole_of(&chunks).is_none(), "{chunks:?}");
    }
}

fn tool_call() -> impl Strategy<Value = Value> {
    ("[a-z]{1,4}", "[a-z]{1,4}", ".{0,8}", any::<bool>()).prop_map(|(id, name, text, custom)| {
        if custom {
            json!({"id": id, "type": "custom", "custom": {"name": name, "input": text}})
        } else {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": text}})
        }
    })
}

fn some(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::from)
}

fn choice() -> impl Strategy<Value = Value> {
    let texts = (prop::option::of(".{1,12}"), prop::option::of(".{0,5}"), prop::option::of(".{1,5}"));
    let calls = prop::collection::vec(tool_call(), 0..3);
    let logprobs =
        prop::option::of(prop::collection::vec(any::<f64>().prop_filter("JSON", |n| n.is_finite()), 0..3));
    let more = prop::option::of(prop_oneof![
        Just(json!([])),
        Just(json!({"a": 1})),
        Just(json!(0)),
        Just(json!("x"))
    ]);
    (texts, calls, logprobs, more, prop::sample::select(vec!["stop", "length", "tool_calls"])).prop_map(
        |((content, reasoning, refusal), calls, logprobs, more, finish)| {
            let calls = if calls.is_empty() { Value::Null } else { calls.into() };
            // Where no tool is called, some text is there, if an empty one.
            let content = if calls.is_null() { some(content.or(Some(String::new()))) } else { some(content) };
            let reasoning = if calls.is_null() { some(reasoning) } else { Value::Null };
            let tokens = |tokens: Vec<f64>| tokens.into_iter().map(|n| json!({"token": "t", "logprob": n}));
            let logprobs = logprobs.map(|all| json!({"content": tokens(all).collect::<Vec<_>>(), "refusal": null}));
            json!({
                "message": {
                    "role": "assistant", "content": content, "reasoning_content": reasoning, "refusal": some(refusal),
                    "tool_calls": calls, "annotations": more.clone(),
                },
                "logprobs": logprobs, "finish_reason": finish, "stop_reason": more,
            })
        },
    )
}

fn completion() -> impl Strategy<Value = Value> {
    (prop::collection::vec(choice(), 1..4), any::<bool>(), ".{1,8}", any::<u32>()).prop_map(
        |(mut choices, usage, id, created)| {
            for (index, choice) in choices.iter_mut().enumerate() {
                choice["index"] = json!(index);
            }
            let usage = usage.then(|| json!({"total_tokens": 3}));
            json!({"id": id, "object": "chat.completion", "created": created, "model": "m", "choices": choices, "usage": usage})
        },
    )
}

/// The same stream, its texts in pieces of one letter.
fn letter_by_letter(chunks: &[ChatChunk]) -> Vec<ChatChunk> {
    let mut finer = Vec::new();
    for chunk in chunks {
        let json = parse(&chunk.json);
        let text = json["choices"][0]["delta"].as_object().and_then(|delta| match delta.iter().next() {
            Some((name, Value::String(text))) if delta.len() == 1 && !text.is_empty() => {
                Some((name.clone(), text.clone()))
            }
            _ => None,
        });
        let Some((name, text)) = text.filter(|(name, _)| TEXTS.contains(&name.as_str())) else {
            finer.push(chunk.clone());
            continue;
        };
        for (place, letter) in text.chars().enumerate() {
            let mut json = json.clone();
            json["choices"][0]["delta"] =
                Value::Object(Map::from_iter([(name.clone(), letter.to_string().into())]));
            if place > 0 {
                json["choices"][0]["logprobs"] = Value::Null;
            }
            finer.push(ChatChunk { json: json.to_string().into(), ..chunk.clone() });
        }
    }
    finer
}

proptest! {
    #[test]
    fn any_completion_comes_back_from_its_chunks_however_fine(whole in completion()) {
        let chunks = chunks_of(&reply(&whole)).unwrap();
        prop_assert_eq!(bare(parse(&whole_of(&chunks).unwrap().json)), bare(whole.clone()));
        let finer = whole_of(&letter_by_letter(&chunks)).unwrap();
        prop_assert_eq!(bare(parse(&finer.json)), bare(whole));
    }

    #[test]
    fn the_chunks_texts_joined_are_the_content(whole in completion()) {
        let told = told(&whole);
        for (index, choice) in whole["choices"].as_array().unwrap().iter().enumerate() {
            let of_this = told.iter().filter_map(|chunk| chunk["choices"].get(0)).filter(|told| told["index"] == index);
            let text: String = of_this.filter_map(|told| told["delta"]["content"].as_str().map(str::to_owned)).collect();
            prop_assert_eq!(text, choice["message"]["content"].as_str().unwrap_or(""));
        }
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\":,a1 ]{0,40}") {
        let _ = chunks_of(&ChatReply { json: text.clone().into(), facts: Facts::default() });
        let _ = whole_of(&[ChatChunk { json: text.into(), finish: Vec::new(), usage: None, usage_only: false }]);
    }
}
