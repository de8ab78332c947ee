//! The configuration's JSON Schema, from the types that read it.

use serde_json::Value;

use super::document::Document;

/// The JSON Schema of the configuration file (draft 2020-12).
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), "aigate configuration".into());
        // Every section has its defaults in the program, so none is required in the file.
        object.remove("required");
    }
    for section in
        ["Server", "Operations", "Log", "Telemetry", "CacheStore", "Prices", "Shared", "StateFile", "Reload"]
    {
        if let Some(Value::Object(section)) = schema.pointer_mut(&format!("/$defs/{section}")) {
            section.remove("required");
        }
    }
    schema
}

/// The keys known in the table at `path` (key names; list indices are left out).
pub(super) fn known_keys(schema: &Value, path: &[String]) -> Vec<String> {
    let mut here = vec![schema];
    for step in path {
        let next = here.iter().flat_map(|node| resolve(schema, node)).flat_map(|node| children(node, step));
        here = next.collect();
    }
    let mut names: Vec<String> = here
        .iter()
        .flat_map(|node| resolve(schema, node))
        .filter_map(|node| node.get("properties")?.as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A schema node with its references and alternatives followed.
fn resolve<'a>(root: &'a Value, node: &'a Value) -> Vec<&'a Value> {
    let mut out = vec![node];
    if let Some(target) = node.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
        out.extend(root.pointer(target).into_iter().flat_map(|node| resolve(root, node)));
    }
    for list in ["oneOf", "anyOf", "allOf"] {
        let nodes = node.get(list).and_then(Value::as_array).into_iter().flatten();
        out.extend(nodes.flat_map(|node| resolve(root, node)));
    }
    if let Some(items) = node.get("items") {
        out.extend(resolve(root, items));
    }
    out
}

fn children<'a>(node: &'a Value, step: &str) -> Option<&'a Value> {
    node.get("properties")
        .and_then(|properties| properties.get(step))
        .or_else(|| node.get("additionalProperties"))
}
