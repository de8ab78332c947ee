//! Google's own schema form: a part of OpenAPI's, which refuses other words.
//!
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Schema>

use serde_json::Value;

use crate::answer::{Refusal, Result};

const WORDS: [&str; 23] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "default",
    "items",
    "minItems",
    "maxItems",
    "enum",
    "properties",
    "propertyOrdering",
    "required",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "additionalProperties",
];

const TYPES: [&str; 7] = ["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];

/// Google takes its field names in snake case as well.
fn camel(word: &str) -> String {
    let mut parts = word.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut name, part| {
        let mut letters = part.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

/// Refuses words that Google does not know; `at` names the schema's place.
pub(super) fn check(schema: &Value, at: &str) -> Result<()> {
    let fields = schema.as_object().ok_or_else(|| Refusal::at(at, format!("Invalid value at '{at}'.")))?;
    for (word, value) in fields {
        let here = || format!("{at}.{word}");
        match (camel(word).as_str(), value) {
            ("type", Value::String(name)) if TYPES.contains(&name.to_ascii_uppercase().as_str()) => {}
            ("type", _) => return Err(Refusal::at(here(), format!("Invalid value at '{}'.", here()))),
            ("items", inner) => check(inner, &here())?,
            ("properties", Value::Object(properties)) => {
                for (name, inner) in properties {
                    check(inner, &format!("{}[{name}]", here()))?;
                }
            }
            ("anyOf", Value::Array(all)) => {
                for inner in all {
                    check(inner, &here())?;
                }
            }
            ("enum", Value::Array(all)) if all.iter().all(Value::is_string) => {}
            ("properties" | "anyOf" | "enum", _) => {
                return Err(Refusal::at(here(), format!("Invalid value at '{}'.", here())));
            }
            (word, _) if WORDS.contains(&word) => {}
            (word, _) => {
                let message = format!(
                    "Invalid JSON payload received. Unknown name \"{word}\" at '{at}': Cannot find field."
                );
                return Err(Refusal::at(at, message));
            }
        }
    }
    Ok(())
}
