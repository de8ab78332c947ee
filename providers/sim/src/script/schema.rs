//! Makes a value that fits a JSON schema, in the spelling of JSON Schema or of Google.

use serde_json::{Map, Value, json};

/// The deepest nesting of the value; schemas may refer to themselves.
const DEEPEST: usize = 16;

/// The most values made for one schema.
const MOST: usize = 4096;

/// The example for a schema: `simulated`, 1, 0.5, true, lists of one, first choices, all properties.
pub(crate) fn example(schema: &Value) -> Value {
    Maker { root: schema, left: MOST }.make(schema, DEEPEST)
}

struct Maker<'a> {
    root: &'a Value,
    left: usize,
}

impl Maker<'_> {
    fn make(&mut self, schema: &Value, depth: usize) -> Value {
        let (Some(depth), Some(left)) = (depth.checked_sub(1), self.left.checked_sub(1)) else {
            return Value::Null;
        };
        self.left = left;
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|list| list.first()) {
            return first.clone();
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let root = self.root;
            let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            return target.map_or(Value::Null, |target| self.make(target, depth));
        }
        for any in ["anyOf", "any_of", "oneOf", "allOf"] {
            if let Some(first) = schema.get(any).and_then(Value::as_array).and_then(|list| list.first()) {
                return self.make(first, depth);
            }
        }
        match kind(schema).as_deref() {
            Some("string") => json!("simulated"),
            Some("integer") => json!(1),
            Some("number") => json!(0.5),
            Some("boolean") => json!(true),
            Some("array") => {
                let item = schema.get("items").map(|items| self.make(items, depth));
                Value::Array(item.into_iter().collect())
            }
            Some("object") => self.object(schema, depth),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let made =
            properties.into_iter().flatten().map(|(name, schema)| (name.clone(), self.make(schema, depth)));
        Value::Object(made.collect::<Map<_, _>>())
    }
}

/// The type that a schema names, or shows by its other words.
fn kind(schema: &Value) -> Option<String> {
    let named = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    };
    let shown = || {
        let has = |word| schema.get(word).is_some();
        if has("properties") { Some("object") } else { has("items").then_some("array") }
    };
    named.or_else(shown).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_schema_has_its_example() {
        let schema = json!({
            "type": "object",
            "properties": {
                "s": {"type": "STRING"}, "i": {"type": ["null", "integer"]}, "n": {"type": "number"},
                "b": {"type": "boolean"}, "a": {"type": "array", "items": {"$ref": "#/$defs/e"}},
                "c": {"const": 7}, "u": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "o": {"properties": {}}
            },
            "$defs": {"e": {"enum": ["red", "blue"]}}
        });
        let expected = json!({
            "s": "simulated", "i": 1, "n": 0.5, "b": true, "a": ["red"], "c": 7, "u": true, "o": {}
        });
        assert_eq!(example(&schema), expected);
    }

    #[test]
    fn schemas_without_end_are_bounded() {
        let wide: Map<_, _> = (0..50).map(|i| (i.to_string(), json!({"$ref": "#"}))).collect();
        let schema = json!({"type": "object", "properties": wide});
        assert!(example(&schema).is_object());
    }
}
