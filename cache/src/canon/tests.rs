use proptest::prelude::*;
use serde_json::json;

use super::*;

fn canon(json: &str) -> Vec<u8> {
    let mut canon = Canon::with_capacity(0);
    canon.json(json);
    canon.out
}

#[test]
fn neither_white_space_nor_order_nor_escapes_matter() {
    let a = r#"{"b":[1,{"y":null,"x":"é\n\"/"}],"a":{}}"#;
    let b = " { \"a\" : { } ,\n\t\"b\" : [ 1 , {\"\\u0078\":\"\\u00e9\\u000a\\u0022\\/\", \"y\":null} ] } ";
    assert_eq!(canon(a), canon(b));
}

#[test]
fn what_differs_in_anything_else_is_different() {
    let all = [
        "1",
        "1.0",
        "\"1\"",
        "[1]",
        "[[1]]",
        "[1,1]",
        "[[1],1]",
        "[1,[1]]",
        "null",
        "\"null\"",
        "true",
        "{}",
        "[]",
        "\"\"",
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":1,"b":1}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":2,"a":1}"#,
        r#"{"a":[]}"#,
        r#"{"a":{}}"#,
        r#"["a",{}]"#,
        r#"["ab",""]"#,
        r#"["a","b"]"#,
        r#""\ud800""#,
        r#""\ud801""#,
        r#""\\ud800""#,
        "18446744073709551616",
        "18446744073709551617",
        "1e400",
    ];
    for (place, a) in all.iter().enumerate() {
        for b in &all[place + 1..] {
            assert_ne!(canon(a), canon(b), "{a} and {b}");
        }
    }
}

#[test]
fn the_order_of_a_schema_s_properties_matters() {
    let schema = |properties: &str| canon(&format!(r#"{{"schema":{{"properties":{properties}}}}}"#));
    assert_ne!(schema(r#"{"a":{},"b":{}}"#), schema(r#"{"b":{},"a":{}}"#));
    assert_eq!(schema(r#"{"a":{"x":1,"y":2}}"#), schema(r#"{"a":{"y":2,"x":1}}"#));
}

#[test]
fn what_is_deeper_than_is_read_is_equal_only_to_itself() {
    let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(canon(&deep("1")), canon(&deep("1")));
    assert_ne!(canon(&deep("1")), canon(&deep("2")));
    assert_ne!(canon(&deep("1")), canon(&deep(" 1")));
}

#[test]
fn a_table_is_the_same_in_any_order() {
    let table = |json: Value| {
        let mut canon = Canon::with_capacity(0);
        canon.table(json.as_object().unwrap());
        canon.out
    };
    let (a, b) = (json!({"a": 1, "b": {"c": 2, "d": 3}}), json!({"b": {"d": 3, "c": 2}, "a": 1}));
    assert_eq!(table(a.clone()), table(b));
    assert_ne!(table(a), table(json!({"a": 1, "b": {"c": 2}, "d": 3})));
}

/// Few different values, so that equal ones come up.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i32).prop_map(Value::from),
        "[ab\"\\\\\u{e9}\n]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab\"]{0,1}", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Writes a value with white space, escapes and the fields in reverse order.
fn scrambled(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[ {}\n]", items.iter().map(scrambled).collect::<Vec<_>>().join(" , "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|a, b| b.0.cmp(a.0));
            let fields =
                fields.into_iter().map(|(name, value)| format!("{} :\t{}", escaped(name), scrambled(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join("\r\n,"))
        }
        Value::String(text) => escaped(text),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let letters: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    format!("\"{letters}\"")
}

proptest! {
    #[test]
    fn the_same_value_is_the_same_however_it_is_written(value in value()) {
        prop_assert_eq!(canon(&value.to_string()), canon(&scrambled(&value)));
    }

    #[test]
    fn two_values_are_the_same_only_if_they_are_equal(a in value(), b in value()) {
        prop_assert_eq!(canon(&a.to_string()) == canon(&scrambled(&b)), a == b);
    }

    #[test]
    fn no_text_panics_and_each_is_equal_to_itself(text in "[\\[\\]{}\":,a1 \\\\]{0,12}") {
        prop_assert_eq!(canon(&text), canon(&text));
    }
}
