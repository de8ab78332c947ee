//! What is told of changes, and that secrets are not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn changed_added_and_removed_values_are_told_by_path() {
    let old = json!({
        "server": {"listen": "127.0.0.1:8080", "max_connections": 10_000},
        "models": {"assistant": {"timeouts": {"attempt": "2m"}}},
        "log": {"calls": true, "level": "info"},
    });
    let new = json!({
        "server": {"listen": "0.0.0.0:8080", "max_connections": 500},
        "models": {"assistant": {"timeouts": {"attempt": "30s"}}},
        "log": {"calls": false},
        "cache": {"max_bytes": "1GiB", "models": []},
        "state": {},
    });
    assert_eq!(
        diff(&old, &new),
        [
            "cache.max_bytes: set to 1GiB",
            "cache.models: set to []",
            "log.calls: true -> false",
            "log.level: removed, was info",
            "models.assistant.timeouts.attempt: 2m -> 30s",
            "server.listen: 127.0.0.1:8080 -> 0.0.0.0:8080",
            "server.max_connections: 10000 -> 500",
            "state: set to {}",
        ]
    );
}

#[test]
fn entries_with_names_of_their_own_are_told_as_a_whole() {
    let old = json!({"keys": {"old": {"hash": "sha256:1"}, "token": {"hash": "sha256:1", "models": ["a"]}}});
    let new = json!({
        "keys": {"credit": {"hash": "sha256:2"}, "token": {"hash": "sha256:1", "models": ["a", "b"]}},
        "providers": {"azure-weu": {"kind": "azure", "api_key": "k"}},
        "models": {"gpt-4.1": {"task": "chat"}},
        "jwt": {"login": {"issuer": "https://login"}},
    });
    assert_eq!(
        diff(&old, &new),
        [
            "jwt.login: new issuer of tokens",
            "keys.credit: new key",
            "keys.old: removed",
            "keys.token.models: added b at place 2",
            "models.\"gpt-4.1\": new model",
            "providers.azure-weu: new provider",
        ]
    );
}

fn deployments(list: &[(&str, &str, u32)]) -> Value {
    let deployment = |(provider, target, weight): &(&str, &str, u32)| json!({"provider": provider, "target": target, "weight": weight});
    json!({"models": {"assistant": {"deployments": list.iter().map(deployment).collect::<Vec<_>>()}}})
}

#[test]
fn deployments_are_matched_by_provider_and_target() {
    let old = deployments(&[("azure", "gpt", 1), ("aws", "claude", 1), ("old", "x", 1)]);
    let new = deployments(&[("aws", "claude", 3), ("azure", "gpt", 1), ("google-eu", "gemini-2.5-flash", 1)]);
    assert_eq!(
        diff(&old, &new),
        [
            "models.assistant.deployments: removed old/x",
            "models.assistant.deployments: added google-eu/gemini-2.5-flash at place 3",
            "models.assistant.deployments: order changed: azure/gpt, aws/claude -> aws/claude, azure/gpt",
            "models.assistant.deployments[aws/claude].weight: 1 -> 3",
        ]
    );
}

#[test]
fn a_deployment_that_stands_twice_is_told_by_its_number() {
    let old = deployments(&[("azure", "gpt", 1), ("azure", "gpt", 2)]);
    let new = deployments(&[("azure", "gpt", 1), ("azure", "gpt", 5)]);
    assert_eq!(diff(&old, &new), ["models.assistant.deployments[azure/gpt #2].weight: 2 -> 5"]);
    let new = deployments(&[("azure", "gpt", 1)]);
    assert_eq!(diff(&old, &new), ["models.assistant.deployments: removed azure/gpt #2"]);
}

#[test]
fn lists_without_names_are_shown_whole() {
    let (old, new) = (json!({"a": {"x": [[1], [2]]}}), json!({"a": {"x": [[1], [3]]}}));
    assert_eq!(diff(&old, &new), ["a.x: [[1], [2]] -> [[1], [3]]"]);
    let (old, new) = (
        json!({"a": {"x": [{"name": "age", "datatype": "INT64"}]}}),
        json!({"a": {"x": [{"name": "age", "datatype": "FP64"}]}}),
    );
    assert_eq!(diff(&old, &new), ["a.x[age].datatype: INT64 -> FP64"]);
}

#[test]
fn what_looks_the_same_and_is_not_is_still_told() {
    let told = |old: Value, new: Value| diff(&json!({"a": {"x": old}}), &json!({"a": {"x": new}})).join("; ");
    assert_eq!(told(json!("1"), json!(1)), "a.x: the text 1 -> the number 1");
    assert_eq!(told(json!(1), json!(1.0)), "a.x: 1 -> 1.0");
    assert_eq!(
        told(json!("a".repeat(100)), json!("a".repeat(101))),
        "a.x: changed, a text too long to show where"
    );
    assert_eq!(told(json!(null), json!({})), "a.x: null -> {}");
    assert_eq!(diff(&json!({"a": {"x": null}}), &json!({"a": {}})), ["a.x: removed, was null"]);
    assert_eq!(diff(&json!(1), &json!(2)), ["1 -> 2"]);
}

#[test]
fn a_text_cannot_forge_a_line_of_the_log() {
    let lines = diff(&json!({"a": {"b\nx": ""}}), &json!({"a": {"b\nx": " two\nlines"}}));
    assert_eq!(lines, [r#"a."b\nx": "" -> " two\nlines""#]);
}

#[test]
fn more_than_two_hundred_lines_are_counted() {
    let many =
        |n: u32| json!({"a": (0..250).map(|key| (format!("k{key}"), json!(n))).collect::<Map<_, _>>()});
    let lines = diff(&many(1), &many(2));
    assert_eq!(lines.len(), 201);
    assert_eq!(lines[200], "and 50 more");
}

#[test]
fn secrets_are_told_by_name_only() {
    let old = json!({"providers": {"azure": {"api_key": "one", "session_token": "a", "token_url": "https://a"}}, "operations": {"key": "sha256:1"}});
    let new = json!({"providers": {"azure": {"api_key": "two", "client_secret": "b", "token_url": "https://b"}}, "operations": {"key": "sha256:2"}});
    assert_eq!(
        diff(&old, &new),
        [
            "operations.key: changed (secret)",
            "providers.azure.api_key: changed (secret)",
            "providers.azure.client_secret: set (secret)",
            "providers.azure.session_token: removed (secret)",
            "providers.azure.token_url: https://a -> https://b",
        ]
    );
}

#[test]
fn keys_that_only_sound_like_secrets_are_shown() {
    let plain = [
        "token_limit_field",
        "max_tokens",
        "tokens",
        "keys",
        "token_file",
        "name",
        "tokens_per_minute",
        "target",
    ];
    for name in plain {
        let table = |value: u32| json!({"a": {name: value}});
        assert_eq!(diff(&table(1), &table(2)), [format!("a.{name}: 1 -> 2")]);
    }
}

#[test]
fn users_passwords_and_queries_of_urls_are_left_out() {
    let told = |old: &str, new: &str| {
        diff(&json!({"shared": {"redis": old}}), &json!({"shared": {"redis": new}})).join("; ")
    };
    assert_eq!(
        told("redis://:p@ss/w@one:6379/0", "rediss://u:hunter2@two:6379/0"),
        "shared.redis: redis://***@one:6379/0 -> rediss://***@two:6379/0"
    );
    assert_eq!(told("redis://u:a@one", "redis://u:b@one"), "shared.redis: changed, a text with a secret");
    assert_eq!(told("u:a@proxy:80", "https://h/x?sig=abc"), "shared.redis: ***@proxy:80 -> https://h/x?***");
    assert_eq!(told("u:a@h http://x", "u:b@h, ws://x"), "shared.redis: ***@h http://x -> ***@h, ws://x");
    assert_eq!(told("a@bank.com", "b@bank.com"), "shared.redis: a@bank.com -> b@bank.com");
}

/// Names as configurations have them, secret ones among them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("models".to_owned()),
        Just("keys".to_owned()),
        Just("deployments".to_owned()),
        Just("provider".to_owned()),
        Just("target".to_owned()),
        Just("name".to_owned()),
        "[a-c. ]{0,2}",
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        Just(json!(1.0)),
        "[a-c]{0,2}".prop_map(Value::from),
        "a{78,84}".prop_map(Value::from),
        "(https://)?[a:]{0,2}@?[a-b]".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Nothing a tree is made of holds these characters.
const SECRET: &str = "XyzzyQ";

/// The tree with a secret in every place where one is expected.
fn with_secrets(tree: &Value, name: &str, secret: &str) -> Value {
    match tree {
        Value::Object(fields) => {
            let mut fields: Map<String, Value> = fields
                .iter()
                .map(|(field, value)| (field.clone(), with_secrets(value, name, secret)))
                .collect();
            fields.insert(name.to_owned(), json!(secret));
            fields.insert("proxy".to_owned(), json!(format!("http://user:{secret}@proxy:8080/")));
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(|item| with_secrets(item, name, secret)).collect(),
        plain => plain.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_told_of_equals_and_something_of_all_others(a in tree(), b in tree()) {
        prop_assert_eq!(diff(&a, &a), Vec::<String>::new());
        let lines = diff(&a, &b);
        prop_assert_eq!(lines.is_empty(), a == b);
        prop_assert!(lines.iter().all(|line| !line.contains('\n')));
    }

    #[test]
    fn a_secret_is_never_shown(
        a in tree(),
        b in tree(),
        name in prop::sample::select(vec!["api_key", "client_secret", "password", "session_token", "X-Api-Key", "hash", "external_id"]),
        secret in "[@/:? a]{0,3}",
    ) {
        let root = |tree: &Value, secret: &str| json!({"providers": {"p": with_secrets(tree, name, secret)}, "list": [with_secrets(tree, name, secret)]});
        let (one, two) = (format!("{SECRET}{secret}{SECRET}"), format!("{secret}{SECRET}"));
        for (old, new) in [(root(&a, &one), root(&b, &two)), (root(&a, &one), root(&a, &two)), (root(&a, &one), b.clone()), (a.clone(), root(&b, &two))] {
            for line in diff(&old, &new) {
                prop_assert!(!line.contains(SECRET), "{}", line);
            }
        }
    }
}
