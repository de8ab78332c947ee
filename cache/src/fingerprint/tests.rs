use aigate_contract::predict::{Data, Wanted};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const SCOPE: Scope<'static> = Scope { tenant: Tenant::Named("t"), model: "m", settings: b"1" };

fn chat(fields: &str) -> ChatRequest {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{fields}}}"#);
    ChatRequest::parse(Bytes::from(body)).unwrap()
}

fn of_chat(fields: &str) -> Fingerprint {
    Fingerprint::of::<Chat>(&SCOPE, &chat(fields))
}

fn predict() -> PredictRequest {
    PredictRequest {
        model: "m".into(),
        version: None,
        id: Some("1".into()),
        parameters: json!({"a": 1, "b": 2}).as_object().unwrap().clone(),
        inputs: vec![Tensor::new("x", vec![2, 1], Data::Fp32(vec![0.0, f32::NAN])).unwrap()],
        outputs: Vec::new(),
        binary_output: false,
    }
}

#[test]
fn whole_and_streamed_calls_are_equal() {
    let streamed = chat(r#","stream":true,"stream_options":{"include_usage":true}"#);
    assert_eq!(Fingerprint::of::<ChatStream>(&SCOPE, &streamed), of_chat(""));
    assert_eq!(of_chat(r#","stream":false"#), of_chat(""));
}

#[test]
fn the_order_of_the_body_s_fields_does_not_matter_and_the_model_is_the_scope_s() {
    let body = r#" {"messages": [{"content":"hi", "role":"user"}], "model":"alias"}"#;
    let request = ChatRequest::parse(Bytes::from(body)).unwrap();
    assert_eq!(Fingerprint::of::<Chat>(&SCOPE, &request), of_chat(""));
}

#[test]
fn each_field_that_may_change_the_answer_matters_also_those_that_aigate_does_not_know() {
    for field in [
        r#","temperature":0"#,
        r#","seed":1"#,
        r#","n":2"#,
        r#","max_tokens":1"#,
        r#","max_completion_tokens":1"#,
        r#","tools":[{"type":"function","function":{"name":"f"}}]"#,
        r#","response_format":{"type":"json_object"}"#,
        r#","nobody_knows":{"a":1}"#,
        r#","user":"u""#,
        r#","metadata":{"a":"b"}"#,
        r#","store":true"#,
        r#","safety_identifier":"s""#,
        r#","service_tier":"flex""#,
        r#","cache_salt":"s""#,
    ] {
        assert_ne!(of_chat(field), of_chat(""), "{field}");
    }
    assert_eq!(of_chat(r#","prompt_cache_key":"k","prompt_cache_retention":"24h""#), of_chat(""));
}

#[test]
fn embeddings_differ_by_input_encoding_and_dimensions() {
    let of = |fields: &str| {
        let body = Bytes::from(format!(r#"{{"model":"m",{fields}}}"#));
        Fingerprint::of::<Embed>(&SCOPE, &EmbedRequest::parse(body).unwrap())
    };
    let all = [
        r#""input":"a""#,
        r#""input":["b"]"#,
        r#""input":"a","encoding_format":"base64""#,
        r#""input":"a","dimensions":3"#,
    ];
    for (place, a) in all.iter().enumerate() {
        assert!(all[place + 1..].iter().all(|b| of(a) != of(b)), "{a}");
    }
    assert_eq!(of(r#""input":["a","b"]"#), of(r#""input" : [ "a" , "b" ]"#));
}

#[test]
fn predictions_differ_by_every_bit_but_not_by_the_caller_s_id() {
    let of = |request: &PredictRequest| Fingerprint::of::<Predict>(&SCOPE, request);
    let before = of(&predict());
    let same: [fn(&mut PredictRequest); 3] = [
        |request| request.id = None,
        |request| request.model = "alias".into(),
        |request| request.parameters = json!({"b": 2, "a": 1}).as_object().unwrap().clone(),
    ];
    for (place, change) in same.into_iter().enumerate() {
        let mut request = predict();
        change(&mut request);
        assert_eq!(of(&request), before, "change {place}");
    }
    let other: [fn(&mut PredictRequest); 12] = [
        |request| request.version = Some(String::new()),
        |request| request.parameters.clear(),
        |request| request.inputs[0].name = "y".into(),
        |request| request.inputs[0].shape = vec![2],
        |request| request.inputs[0].data = Data::Fp32(vec![-0.0, f32::NAN]),
        |request| request.inputs[0].data = Data::Fp32(vec![0.0, f32::from_bits(f32::NAN.to_bits() + 1)]),
        |request| request.inputs[0].data = Data::Int32(vec![0, f32::NAN.to_bits().cast_signed()]),
        |request| {
            request.inputs[0].parameters.insert("p".into(), json!(1));
        },
        |request| request.inputs.push(request.inputs[0].clone()),
        |request| {
            request.outputs.push(Wanted { name: "o".into(), binary: None, parameters: Default::default() })
        },
        |request| request.binary_output = true,
        |request| request.inputs.clear(),
    ];
    for (place, change) in other.into_iter().enumerate() {
        let mut request = predict();
        change(&mut request);
        assert_ne!(of(&request), before, "change {place}");
    }
}

#[test]
fn the_split_of_texts_into_elements_matters() {
    let of = |texts: &[&'static [u8]]| {
        let data = Data::Bytes(texts.iter().map(|text| Bytes::from_static(text)).collect());
        let inputs = vec![Tensor::new("x", vec![texts.len()], data).unwrap()];
        Fingerprint::of::<Predict>(&SCOPE, &PredictRequest { inputs, ..predict() })
    };
    assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
}

#[test]
fn a_chat_is_deterministic_only_when_its_caller_says_so_and_nothing_looks_elsewhere() {
    let says = |fields: &str| Chat::deterministic(&chat(fields));
    assert!(says(r#","temperature":0"#));
    assert!(says(r#","temperature":0.0,"n":1,"user":"u","top_k":1,"logit_bias":{}"#));
    assert!(says(r#","temperature":0,"tools":[{"type":"function","function":{"name":"f"}}]"#));
    assert!(!says(""));
    assert!(!says(r#","temperature":null"#));
    assert!(!says(r#","temperature":0.1"#));
    assert!(!says(r#","temperature":0,"n":2"#));
    assert!(!says(r#","temperature":0,"web_search_options":{}"#));
    assert!(!says(r#","temperature":0,"tools":[{"type":"web_search"}]"#));
    let picture = |url: &str| {
        let part = format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
        let body =
            format!(r#"{{"model":"m","temperature":0,"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        ChatStream::deterministic(&ChatRequest::parse(Bytes::from(body)).unwrap())
    };
    assert!(picture("data:image/png;base64,AA=="));
    assert!(!picture("https://example.com/now.png"));
}

#[test]
fn a_tenant_without_a_name_is_not_the_public() {
    let of = |tenant| Fingerprint::of::<Chat>(&Scope { tenant, ..SCOPE }, &chat(""));
    assert_ne!(of(Tenant::Named("")), of(Tenant::Public));
    assert_ne!(of(Tenant::Named("-")), of(Tenant::Public));
}

#[test]
fn it_is_written_in_hexadecimal_digits() {
    assert_eq!(Fingerprint([0xab; 32]).to_string(), "ab".repeat(32));
}

/// Names that invite confusion.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c:/]{1,3}", Just("chat".to_owned()), Just("-".to_owned())]
}

fn tenant(name: &Option<String>) -> Tenant<'_> {
    name.as_deref().map_or(Tenant::Public, Tenant::Named)
}

proptest! {
    #[test]
    fn no_tenants_models_settings_or_tasks_share(
        a in (prop::option::of(name()), name(), name()),
        b in (prop::option::of(name()), name(), name()),
        input in ".{0,12}",
    ) {
        let scope = |(by, model, settings): &(Option<String>, String, String)| {
            let (by, model, settings) = (by.clone(), model.clone(), settings.clone());
            move |request: &dyn Fn(&Scope<'_>) -> Fingerprint| {
                request(&Scope { tenant: tenant(&by), model: &model, settings: settings.as_bytes() })
            }
        };
        let messages = json!([{"role": "user", "content": input}]);
        // A body that both tasks take.
        let body = Bytes::from(json!({"model": "m", "messages": messages, "input": input}).to_string());
        let chat = ChatRequest::parse(body.clone()).unwrap();
        let embed = EmbedRequest::parse(body).unwrap();
        let of_chat = |scope: &Scope<'_>| Fingerprint::of::<Chat>(scope, &chat);
        let of_embed = |scope: &Scope<'_>| Fingerprint::of::<Embed>(scope, &embed);
        let of_predict = |scope: &Scope<'_>| Fingerprint::of::<Predict>(scope, &predict());
        prop_assert_eq!(scope(&a)(&of_chat) == scope(&b)(&of_chat), a == b);
        prop_assert_eq!(scope(&a)(&of_predict) == scope(&b)(&of_predict), a == b);
        prop_assert_ne!(scope(&a)(&of_chat), scope(&b)(&of_embed));
        prop_assert_ne!(scope(&a)(&of_chat), scope(&b)(&of_predict));
        prop_assert_ne!(scope(&a)(&of_embed), scope(&b)(&of_predict));
    }

    #[test]
    fn two_chats_are_equal_only_if_they_say_the_same(a in ".{0,6}", b in ".{0,6}", nested in any::<bool>()) {
        let of = |text: &str| {
            let content = if nested { json!([{"type": "text", "text": text}]) } else { json!(text) };
            let body = json!({"model": "m", "messages": [{"role": "user", "content": content}]}).to_string();
            Fingerprint::of::<Chat>(&SCOPE, &ChatRequest::parse(Bytes::from(body)).unwrap())
        };
        prop_assert_eq!(of(&a) == of(&b), a == b);
    }
}
