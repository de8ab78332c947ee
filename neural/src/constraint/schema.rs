//! A strict reading of JSON Schema: what the grammar engine enforces wholly passes, the rest is refused by
//! name.
//!
//! Enforced: `type`, `enum`, `const`, `anyOf`, `allOf`, `oneOf` (where the options exclude one another by
//! their types or by constants), `$ref` into the schema itself, `properties`, `required`,
//! `additionalProperties`, `patternProperties`, `minProperties`, `maxProperties`, `items`, `prefixItems`,
//! `minItems`, `maxItems`, `minLength`, `maxLength`, `pattern`, `format`, `minimum`, `maximum`,
//! `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`. Annotations pass.
//!
//! Numbers are meant as the doubles that readers make of them: an exclusive bound becomes the nearest double
//! within it, and with `multipleOf` a number stays where doubles hold every integer.

use serde_json::{Map, Value, json};

/// Keywords that hold a schema, a list of schemas, or schemas by name.
const ONE: [&str; 2] = ["additionalProperties", "items"];
const LISTS: [&str; 4] = ["anyOf", "allOf", "oneOf", "prefixItems"];
const NAMED: [&str; 4] = ["$defs", "definitions", "patternProperties", "properties"];
const NUMBERS: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const COUNTS: [&str; 6] =
    ["minProperties", "maxProperties", "minItems", "maxItems", "minLength", "maxLength"];
const OTHERS: [&str; 7] = ["type", "enum", "const", "$ref", "required", "pattern", "format"];
/// Say nothing about what is valid.
const ANNOTATIONS: [&str; 8] =
    ["$comment", "default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"];
const FORMATS: [&str; 10] =
    ["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];
/// The drafts whose supported keywords mean the same.
const DRAFTS: [&str; 4] = [
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];
/// Beyond this a double no longer holds every integer, and a bound would not be the one that was written.
const LARGEST: f64 = 9_007_199_254_740_991.0;
/// A bound nearer to zero than this would need more digits than numbers get.
const SMALLEST: f64 = 1e-12;
/// The longest count of a string's, array's or object's parts that is taken on.
const MOST: u64 = 1 << 20;
/// How deep the schema itself nests.
const DEPTH: usize = super::guard::DEPTH as usize;

/// Checks a schema and returns it as the grammar engine takes it.
pub(super) fn compile(schema: &Value) -> Result<Value, String> {
    let mut root = rooted(schema)?;
    let mut places = Vec::new();
    collect(&root, String::new(), 0, &mut places)?;
    for (at, schema) in &places {
        check(schema, at, &places)?;
    }
    let places: Vec<String> = places.into_iter().map(|(at, _)| at).collect();
    for at in places {
        if let Some(Value::Object(schema)) = root.pointer_mut(&at) {
            bound(schema);
        }
    }
    if let Value::Object(object) = &mut root {
        // White space that ends, and no `\u` escapes, by which a name could be written twice.
        let options = json!({"whitespace_pattern": " |\\n {0,16}", "json_allowed_escapes": "nrbtf\\\""});
        object.insert("x-guidance".into(), options);
    }
    Ok(root)
}

/// The root without what only a root has.
fn rooted(schema: &Value) -> Result<Value, String> {
    let mut object = match schema {
        Value::Object(object) => object.clone(),
        Value::Bool(true) => Map::new(),
        Value::Bool(false) => return Err("the schema is false, nothing validates against it".into()),
        _ => return Err("the schema must be an object".into()),
    };
    if let Some(draft) = object.remove("$schema") {
        let known = draft.as_str().is_some_and(|draft| DRAFTS.contains(&draft.trim_end_matches('#')));
        if !known {
            return Err(format!("$schema is {draft}, it must be one of {}", DRAFTS.join(", ")));
        }
    }
    object.remove("$id");
    Ok(Value::Object(object))
}

/// All schemas within a schema, it itself first, with the JSON pointers to them.
fn collect<'a>(
    schema: &'a Value,
    at: String,
    depth: usize,
    places: &mut Vec<(String, &'a Value)>,
) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("the schema nests more than {DEPTH} deep at {at}"));
    }
    places.push((at.clone(), schema));
    let object = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(object) => object,
        _ => return Err(format!("a schema must be an object or a boolean, at {}", shown(&at))),
    };
    for (keyword, value) in object {
        let keyword = keyword.as_str();
        let at = format!("{at}/{keyword}");
        if ONE.contains(&keyword) {
            collect(value, at, depth + 1, places)?;
        } else if LISTS.contains(&keyword) {
            let list = value.as_array().filter(|list| !list.is_empty());
            let list =
                list.ok_or_else(|| format!("the value at {at} must be a list of schemas, not empty"))?;
            for (index, one) in list.iter().enumerate() {
                collect(one, format!("{at}/{index}"), depth + 1, places)?;
            }
        } else if NAMED.contains(&keyword) {
            let named =
                value.as_object().ok_or_else(|| format!("the value at {at} must be an object of schemas"))?;
            for (name, one) in named {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(one, format!("{at}/{name}"), depth + 1, places)?;
            }
        }
    }
    Ok(())
}

/// Checks the keywords of one schema, without those of the schemas in it.
fn check(schema: &Value, at: &str, places: &[(String, &Value)]) -> Result<(), String> {
    let Value::Object(object) = schema else { return Ok(()) };
    for (keyword, value) in object {
        let keyword = keyword.as_str();
        let at = format!("{at}/{keyword}");
        let wrong = |right: &str| format!("the value at {at} must be {right}");
        match keyword {
            "multipleOf" if number(value, &at)? <= 0.0 => return Err(wrong("above 0")),
            "const" => constant(value, &at, 0)?,
            "enum" => {
                let values = value.as_array().filter(|list| !list.is_empty());
                let values = values.ok_or_else(|| wrong("a list of values, not empty"))?;
                values.iter().try_for_each(|one| constant(one, &at, 0))?;
            }
            "$ref" => reference(value, &at, places)?,
            "format" if !value.as_str().is_some_and(|format| FORMATS.contains(&format)) => {
                return Err(format!(
                    "the format {value} at {at} is not supported, supported are {}",
                    FORMATS.join(", ")
                ));
            }
            _ if NUMBERS.contains(&keyword) => drop(number(value, &at)?),
            _ if COUNTS.contains(&keyword) => {
                value
                    .as_u64()
                    .filter(|count| *count <= MOST)
                    .ok_or_else(|| wrong(&format!("a count of at most {MOST}")))?;
            }
            _ if [ONE.as_slice(), &LISTS, &NAMED, &OTHERS, &ANNOTATIONS]
                .iter()
                .any(|list| list.contains(&keyword)) => {}
            _ => return Err(format!("the keyword {keyword} at {at} is not supported")),
        }
    }
    fewest(object, at)
}

/// A name may come twice among the names that the schema does not list, and would count twice.
fn fewest(object: &Map<String, Value>, at: &str) -> Result<(), String> {
    let required = object.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    let fewest = object.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
    let closed = object.get("additionalProperties") == Some(&Value::Bool(false));
    if fewest <= required as u64 + 1 || (closed && !object.contains_key("patternProperties")) {
        return Ok(());
    }
    Err(format!("minProperties at {} is supported up to one more than the required properties", shown(at)))
}

fn reference(value: &Value, at: &str, places: &[(String, &Value)]) -> Result<(), String> {
    let pointer = value.as_str().and_then(|text| text.strip_prefix('#'));
    // The engine reads names in a reference as they stand.
    let known =
        |pointer: &&str| !pointer.contains(['~', '%']) && places.iter().any(|(place, _)| place == pointer);
    match pointer.filter(known) {
        Some(_) => Ok(()),
        None => Err(format!(
            "the reference {value} at {at} must be # or #/.. to a schema in this one, without ~ and %"
        )),
    }
}

/// Sets the bounds of numbers as doubles have them.
fn bound(schema: &mut Map<String, Value>) {
    for (exclusive, inclusive, up) in
        [("exclusiveMinimum", "minimum", true), ("exclusiveMaximum", "maximum", false)]
    {
        let Some(bound) = schema.shift_remove(exclusive).and_then(|bound| bound.as_f64()) else { continue };
        let within = match (bound, up) {
            (0.0, true) => SMALLEST,
            (0.0, false) => -SMALLEST,
            (_, true) => bound.next_up(),
            (_, false) => bound.next_down(),
        };
        let other = schema.get(inclusive).and_then(Value::as_f64).unwrap_or(within);
        schema.insert(inclusive.into(), if up { within.max(other) } else { within.min(other) }.into());
    }
    if schema.contains_key("multipleOf") {
        schema.entry("minimum").or_insert((-LARGEST).into());
        schema.entry("maximum").or_insert(LARGEST.into());
    }
}

/// A constant's parts must be such that the engine writes exactly them.
fn constant(value: &Value, at: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("the value at {at} nests more than {DEPTH} deep"));
    }
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(_) => number(value, at).map(drop),
        Value::String(text) => writable(text, at),
        Value::Array(list) => list.iter().try_for_each(|one| constant(one, at, depth + 1)),
        Value::Object(object) => object
            .iter()
            .try_for_each(|(name, one)| writable(name, at).and_then(|()| constant(one, at, depth + 1))),
    }
}

fn number(value: &Value, at: &str) -> Result<f64, String> {
    let number = value.as_f64().ok_or_else(|| format!("the value at {at} must be a number"))?;
    if number.abs() <= LARGEST && (number == 0.0 || number.abs() >= SMALLEST) {
        Ok(number)
    } else {
        Err(format!(
            "the number {value} at {at} is not supported, its size must be 0 or {SMALLEST} to {LARGEST}"
        ))
    }
}

/// Control characters that JSON can only write as `\u`, which the engine is told not to write.
fn writable(text: &str, at: &str) -> Result<(), String> {
    let short = |character| matches!(character, '\n' | '\r' | '\t' | '\u{8}' | '\u{c}');
    match text.chars().find(|one| (*one < ' ' || *one == '\u{7f}') && !short(*one)) {
        None => Ok(()),
        Some(one) => Err(format!("the control character {one:?} in the text at {at} is not supported")),
    }
}

fn shown(at: &str) -> &str {
    if at.is_empty() { "its root" } else { at }
}
