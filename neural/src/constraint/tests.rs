//! Random schemas and random logits: whatever comes out parses and validates.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::sample::{Sampler, Settings};

const END: u32 = 0;
const MARKER: u32 = 1;

/// Control tokens, all bytes, and pieces as tokenizers have them.
fn vocabulary() -> (Vocabulary, Vec<Vec<u8>>) {
    let mut pieces: Vec<Vec<u8>> = vec![b"<|end|>".to_vec(), b"[TOOL_CALLS]".to_vec()];
    pieces.extend((0..=255u8).map(|byte| vec![byte]));
    let longer = [
        "\": ",
        "\", \"",
        "{\"",
        "\"}",
        "}}",
        "[[",
        "]]",
        "]}",
        "},{",
        "\n  ",
        "    ",
        "e9",
        "e99",
        "E+",
        "00000",
        "999",
        "1.5",
        "-",
        "true",
        "false",
        "null",
        "name",
        "arguments",
        "<tool_call>",
        "</tool_call>",
        "\\u",
        "\\n",
        "ä",
        "日本",
        "\":{\"",
        "<|",
    ];
    pieces.extend(longer.iter().map(|text| text.as_bytes().to_vec()));
    let vocabulary = Vocabulary::new(pieces.clone(), &|token| token < 2, vec![END]).unwrap();
    (vocabulary, pieces)
}

/// Generates with random logits until the constraint ends the text. After `patience` tokens, those that close
/// things get likelier, so that texts end.
fn generate(
    constraint: &mut Constraint,
    pieces: &[Vec<u8>],
    seed: u64,
    patience: usize,
) -> Result<Vec<u32>, String> {
    let settings = Settings {
        temperature: 1.0,
        top_p: None,
        top_k: None,
        min_p: None,
        seed: Some(seed),
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
        bias: Vec::new(),
        logprobs: None,
    };
    let mut sampler = Sampler::new(settings, pieces.len())?;
    let mut random = rand_chacha::ChaCha12Rng::seed_from_u64(seed);
    let mut tokens = Vec::new();
    for step in 0..4000 {
        if constraint.is_finished() {
            return Ok(tokens);
        }
        let mut logits: Vec<f32> = (0..pieces.len()).map(|_| random.random_range(-4.0..4.0)).collect();
        // Not at every step: an email address may go on with braces for ever.
        if step > patience && random.random() {
            for (logit, piece) in logits.iter_mut().zip(pieces) {
                *logit += if piece.iter().all(|byte| b"}]\"".contains(byte)) { 20.0 } else { 0.0 };
            }
            logits[END as usize] += 25.0;
        }
        let mask = constraint.mask()?;
        let token = sampler.pick(&logits, Some(&mask))?.token;
        assert!(mask.allows(token));
        constraint.accept(token)?;
        if token == END {
            return Ok(tokens);
        }
        tokens.push(token);
    }
    Err("no end after 4000 tokens".into())
}

fn text(tokens: &[u32], pieces: &[Vec<u8>]) -> String {
    String::from_utf8(tokens.iter().flat_map(|token| pieces[*token as usize].clone()).collect()).unwrap()
}

fn check(schema: &Value, seed: u64) -> String {
    let (vocabulary, pieces) = vocabulary();
    let mut constraint = Constraint::schema(&vocabulary, schema).unwrap();
    let tokens =
        generate(&mut constraint, &pieces, seed, 120).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let text = text(&tokens, &pieces);
    let value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{schema}: {text:?}: {error}"));
    let validator = jsonschema::validator_for(schema).unwrap();
    assert!(validator.is_valid(&value), "{schema}: {text:?}");
    text
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        Just(json!({"type": "null"})),
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "number"})),
        Just(json!({"type": "integer"})),
        Just(json!({"type": ["string", "null"], "maxLength": 20})),
        (0u8..5, 0u8..5).prop_map(|(least, more)| json!({"type": "string", "minLength": least, "maxLength": least + more})),
        (-50i32..50, 0i32..50).prop_map(|(low, more)| json!({"type": "integer", "minimum": low, "maximum": low + more})),
        (-50i32..50, 1i32..50).prop_map(|(low, more)| {
            json!({"type": "number", "exclusiveMinimum": f64::from(low) / 4.0, "maximum": f64::from(low + more) / 4.0})
        }),
        (1u8..9).prop_map(|step| json!({"type": "integer", "multipleOf": step})),
        (-9i8..9).prop_map(|low| json!({"type": "integer", "exclusiveMinimum": low, "multipleOf": 3})),
        (-9i8..9).prop_map(|high| json!({"type": "number", "exclusiveMaximum": f64::from(high) / 8.0})),
        Just(json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.3})),
        Just(json!({"type": "number", "multipleOf": 0.25})),
        prop::sample::select(vec!["^[a-z]{2,4}$", "^\\d+-\\w$", "[aeiou]", "^(ab|cd)*$", "^x+y$"])
            .prop_map(|pattern| json!({"type": "string", "pattern": pattern})),
        prop::sample::select(FORMATS.to_vec()).prop_map(|format| json!({"type": "string", "format": format})),
        Just(json!({"enum": ["a", "b c", "\"", "ä\n", 1, 2.5, -0.25, null, true, [1, "x"], {"k": [], "l": {"m": null}}]})),
        any::<i32>().prop_map(|value| json!({"const": value})),
    ]
}

const FORMATS: [&str; 6] = ["date", "date-time", "uuid", "ipv4", "email", "duration"];

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        let fields = prop::collection::vec((prop::sample::select(vec!["a", "b", "c d", "\"e\"", "日", "n/m"]), inner.clone()), 0..4);
        prop_oneof![
            (inner.clone(), 0u8..3, 0u8..3).prop_map(|(items, least, more)| {
                json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})
            }),
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(|list| json!({"type": "array", "prefixItems": list, "items": false})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|options| json!({"anyOf": options})),
            (fields, any::<u8>(), any::<bool>()).prop_map(|(fields, which, open)| {
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                let required: std::collections::BTreeSet<&str> =
                    names.iter().enumerate().filter(|(at, _)| which >> at & 1 == 1).map(|(_, name)| *name).collect();
                let properties: serde_json::Map<String, Value> =
                    fields.iter().map(|(name, one)| ((*name).to_owned(), one.clone())).collect();
                json!({"type": "object", "properties": properties, "required": required, "additionalProperties": open})
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_logits_write_what_a_random_schema_takes(schema in schema(), seed in any::<u64>()) {
        check(&schema, seed);
    }

    #[test]
    fn random_logits_write_an_object_in_json_mode(seed in any::<u64>()) {
        let (vocabulary, pieces) = vocabulary();
        let tokens = generate(&mut Constraint::json_object(&vocabulary).unwrap(), &pieces, seed, 200).unwrap();
        let text = text(&tokens, &pieces);
        prop_assert!(serde_json::from_str::<serde_json::Map<String, Value>>(&text).is_ok(), "{text:?}");
    }

    #[test]
    fn a_random_value_for_a_schema_never_panics(text in "[{}\\[\\]\"a-z:,0-9$]{0,40}", keyword in "[a-zA-Z$]{2,12}") {
        let (vocabulary, _) = vocabulary();
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = Constraint::schema(&vocabulary, &value);
            let _ = Constraint::schema(&vocabulary, &json!({(keyword): value}));
        }
    }
}

#[test]
fn references_and_alternatives_are_enforced() {
    let tree = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": "#/$defs/node",
        "$defs": {"node": {
            "type": "object",
            "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["value", "next"],
            "additionalProperties": false,
        }},
    });
    let shape = json!({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind", "x"]},
        {"type": "object", "properties": {"kind": {"const": "b"}, "y": {"type": "string"}}, "required": ["kind"]},
    ]});
    let parts = json!({"allOf": [
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"maximum": 5}, "b": {"type": "string"}}, "required": ["b"]},
    ]});
    let counts = json!({"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": false,
        "minProperties": 1, "maxProperties": 3});
    for seed in 0..12 {
        for schema in [&tree, &shape, &parts, &counts] {
            check(schema, seed);
        }
    }
}

#[test]
fn what_cannot_be_enforced_is_refused_by_name() {
    let (vocabulary, _) = vocabulary();
    let cases = [
        (json!({"type": "array", "uniqueItems": true}), "the keyword uniqueItems at /uniqueItems"),
        (json!({"properties": {"a": {"not": {}}}}), "the keyword not at /properties/a/not"),
        (json!({"type": "string", "nullable": true}), "nullable"),
        (json!({"x-guidance": {"lenient": true}}), "x-guidance"),
        (json!({"if": {}, "then": {}}), "the keyword if"),
        (json!({"type": "string", "format": "unknown"}), "format \"unknown\""),
        (json!({"type": "integer", "minimum": 1e300}), "at /minimum"),
        (json!({"const": 12345678901234567890u64}), "12345678901234567890"),
        (json!({"$ref": "https://example.com/x"}), "example.com"),
        (json!({"$ref": "#/$defs/x"}), "#/$defs/x"),
        (
            json!({"$ref": "#/$defs/x", "$defs": {"x": {"contains": {}}}}),
            "the keyword contains at /$defs/x/contains",
        ),
        (json!({"$schema": "http://json-schema.org/draft-04/schema#"}), "draft-04"),
        (json!({"type": "object", "minProperties": 3}), "minProperties"),
        (json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}), "oneOf"),
        (json!({"type": "string", "pattern": "(?=a)b"}), ""),
        (json!({"type": "integer", "multipleOf": 0}), "above 0"),
        (json!({"type": "integer", "minimum": 5, "maximum": 3}), ""),
        (json!({"enum": ["\u{1}"]}), "control character"),
        (json!({"items": [{}]}), "at /items"),
        (json!(false), "false"),
        (json!(1), "must be an object"),
    ];
    for (schema, part) in cases {
        let error = Constraint::schema(&vocabulary, &schema).map(drop).expect_err(&schema.to_string());
        assert!(error.contains(part), "{schema}: {error}");
    }
}

#[test]
fn nested_schemas_and_texts_are_bounded() {
    let (vocabulary, pieces) = vocabulary();
    let deep = (0..100).fold(json!({"type": "null"}), |inner, _| json!({"items": inner}));
    assert!(Constraint::schema(&vocabulary, &deep).map(drop).unwrap_err().contains("64 deep"));

    // A model that only ever opens arrays or counts on is brought to an end.
    let bracket = u32::from(b'[') + 2;
    let nine = u32::from(b'9') + 2;
    for (schema, favourite, most) in [(json!({}), bracket, 64), (json!({"type": "number"}), nine, 24)] {
        let mut constraint = Constraint::schema(&vocabulary, &schema).unwrap();
        let mut count = 0;
        while constraint.mask().unwrap().allows(favourite) {
            constraint.accept(favourite).unwrap();
            count += 1;
        }
        assert_eq!(count, most, "{schema}");
        let mut constraint = constraint;
        generate(&mut constraint, &pieces, 1, 0).unwrap();
    }
}

#[test]
fn blanks_do_not_run_on() {
    let (vocabulary, _) = vocabulary();
    let mut constraint = Constraint::json_object(&vocabulary).unwrap();
    let token = |byte: u8| u32::from(byte) + 2;
    assert!(!constraint.mask().unwrap().allows(token(b' ')));
    constraint.accept(token(b'{')).unwrap();
    constraint.accept(token(b'\n')).unwrap();
    let mut blanks = 0;
    while constraint.mask().unwrap().allows(token(b' ')) {
        constraint.accept(token(b' ')).unwrap();
        blanks += 1;
        assert!(!constraint.mask().unwrap().allows(token(b'\n')));
    }
    assert_eq!(blanks, 16);
}

#[test]
fn a_token_that_is_not_allowed_is_refused() {
    let (vocabulary, _) = vocabulary();
    let mut constraint = Constraint::json_object(&vocabulary).unwrap();
    assert!(constraint.accept(u32::from(b'x') + 2).is_err());
    let mut constraint = Constraint::json_object(&vocabulary).unwrap();
    assert!(constraint.accept(MARKER).is_err());
    let mut constraint = Constraint::json_object(&vocabulary).unwrap();
    assert!(constraint.accept(1_000_000).is_err());
    let mut constraint = Constraint::json_object(&vocabulary).unwrap();
    assert!(constraint.accept(END).is_err());
}

#[test]
fn a_finished_text_takes_only_the_end() {
    let (vocabulary, _) = vocabulary();
    let mut constraint = Constraint::json_object(&vocabulary).unwrap();
    for byte in b"{}" {
        assert!(!constraint.is_finished());
        constraint.accept(u32::from(*byte) + 2).unwrap();
    }
    assert!(constraint.is_finished());
    assert_eq!(constraint.mask().unwrap().tokens().collect::<Vec<_>>(), [END]);
    constraint.accept(END).unwrap();
    assert!(constraint.accept(u32::from(b' ') + 2).is_err());
}

#[test]
fn a_vocabulary_without_an_end_is_refused() {
    let none = |_| false;
    assert!(Vocabulary::new(vec![b"a".to_vec()], &none, vec![]).is_err());
    assert!(Vocabulary::new(vec![b"a".to_vec()], &none, vec![1]).is_err());
    assert!(Vocabulary::new(vec![], &none, vec![0]).is_err());
}

fn tools() -> Value {
    json!([
        {"type": "function", "function": {"name": "look-up", "parameters": {
            "type": "object", "properties": {"city": {"$ref": "#/$defs/city"}}, "required": ["city"],
            "additionalProperties": false, "$defs": {"city": {"enum": ["Rome", "Bern"]}}}}},
        {"type": "function", "function": {"name": "now"}},
        {"type": "function", "function": {"name": "add", "parameters": {"properties": {"n": {"type": "integer"}}}}},
    ])
}

#[test]
fn random_logits_write_tool_calls_that_are_read_back_and_validate() {
    let (vocabulary, pieces) = vocabulary();
    for style in [Style::Hermes, Style::Llama, Style::Mistral] {
        for (seed, name) in (0..24).zip([None, Some("add"), Some("look-up")].into_iter().cycle()) {
            let calls = Calls { name, several: seed % 2 == 0 };
            let mut constraint = Constraint::tool_calls(&vocabulary, style, &tools(), calls).unwrap();
            let tokens = generate(&mut constraint, &pieces, seed, 40).unwrap();
            if style == Style::Mistral {
                assert_eq!(tokens[0], MARKER);
            }
            let text = text(&tokens, &pieces);
            let names = ["look-up", "now", "add"].map(String::from).to_vec();
            let mut parser = crate::tools::Parser::new(style, names);
            let parts = [parser.push(&text), parser.finish()].concat();
            assert!(!parts.is_empty() && (calls.several || parts.len() == 1), "{text:?}");
            for part in parts {
                let crate::tools::Part::Call { name: called, arguments } = part else {
                    panic!("{text:?}: {part:?}")
                };
                assert!(name.is_none_or(|name| name == called));
                let arguments: Value = serde_json::from_str(&arguments).unwrap();
                let tools = tools();
                let tool = tools
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|tool| tool["function"]["name"] == *called)
                    .unwrap();
                match tool["function"].get("parameters") {
                    None => assert_eq!(arguments, json!({})),
                    Some(schema) => assert!(jsonschema::is_valid(schema, &arguments), "{text:?}"),
                }
            }
        }
    }
}

#[test]
fn tools_that_cannot_be_called_are_refused() {
    let (vocabulary, _) = vocabulary();
    let any = Calls { name: None, several: false };
    let refused = |tools: &Value, calls| {
        Constraint::tool_calls(&vocabulary, Style::Hermes, tools, calls).map(drop).unwrap_err()
    };
    assert!(refused(&tools(), Calls { name: Some("gone"), several: false }).contains("\"gone\""));
    let with =
        |name: &str, parameters: Value| json!([{"function": {"name": name, "parameters": parameters}}]);
    assert!(refused(&with("a", json!({"type": "string"})), any).contains("the parameters of the tool a"));
    assert!(refused(&with("a", json!({"not": {}})), any).contains("the tool a: the keyword not"));
    assert!(refused(&with("a \"b", json!({})), any).contains("characters"));
    assert!(refused(&json!([]), any).contains("not empty"));
}

#[test]
fn sequences_may_move_between_threads_and_share_a_vocabulary() {
    fn moves<T: Send>() {}
    fn shares<T: Send + Sync>() {}
    moves::<Constraint>();
    moves::<Sampler>();
    shares::<Vocabulary>();
    shares::<Mask>();
    shares::<crate::template::Template>();
}
