//! The body's bytes are the same for the same request: Bedrock's prompt cache looks for them.

use aigate_contract::{Chat, Serve};
use serde_json::json;

use crate::testing::{Answer, chat, keys, played};

#[tokio::test]
async fn a_request_with_tools_is_the_same_byte_for_byte_each_time() {
    let properties: serde_json::Map<_, _> = (0..30)
        .map(|number| (format!("field{number}"), json!({"type": "string", "description": "d"})))
        .collect();
    let parameters = json!({"type": "object", "properties": properties});
    let body = json!({
        "model": "m",
        "messages": [{"role": "user", "content": "ü \u{1f600} \"quoted\" \\ back"}],
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}],
    });
    let answer = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}}, "stopReason": "end_turn",
    });
    let (aws, bedrock) = played(keys(), (0..4).map(|_| Answer::json(200, &answer)));
    for _ in 0..4 {
        aws.serve(chat::<Chat>("amazon.nova-lite-v1:0", &body, false)).await.unwrap();
    }
    let asked = bedrock.asked();
    assert!(asked.iter().all(|one| one.body == asked[0].body));
    assert_eq!(asked[0].json()["messages"][0]["content"][0]["text"], "ü \u{1f600} \"quoted\" \\ back");
}
