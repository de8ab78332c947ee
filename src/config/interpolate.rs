//! `${VARIABLE}` and `${VARIABLE:-default}` in the config's texts.

use aigate_contract::settings::Fault;
use serde_json::Value;

/// Fills in every variable of what stands at `path`. A variable that is not set and has no default is a fault; `$${` is a plain `${`.
pub(super) fn interpolate(
    value: &mut Value,
    path: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<Fault>,
) {
    walk(value, path, lookup, faults);
}

fn walk(value: &mut Value, path: &str, lookup: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<Fault>) {
    match value {
        Value::String(text) if text.contains("${") => match fill(text, lookup) {
            Ok(filled) => *text = filled,
            Err(why) => faults.push(Fault::at(path, why)),
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{path}[{index}]"), lookup, faults);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(field, &path, lookup, faults);
            }
        }
        _ => {}
    }
}

fn fill(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = inner
            .find('}')
            .ok_or_else(|| "`${` without its `}` (write `$${` for a plain `${`)".to_owned())?;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("`${{{name}}}` is not a variable's name: letters, digits and `_` only"));
        }
        match (lookup(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(format!("the environment variable `{name}` is not set")),
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_with_home(text: &str) -> Result<String, String> {
        fill(text, &|name| (name == "HOME").then(|| "/h".to_owned()))
    }

    #[test]
    fn variables_defaults_and_escapes_are_filled_in() {
        assert_eq!(fill_with_home("a${HOME}b${NONE:-c}").unwrap(), "a/hbc");
        assert_eq!(fill_with_home("$${HOME} $5").unwrap(), "${HOME} $5");
        assert_eq!(fill_with_home("ä$${x}ö").unwrap(), "ä${x}ö");
    }

    #[test]
    fn an_unset_variable_an_open_brace_and_a_strange_name_are_faults() {
        assert!(fill_with_home("${NONE}").unwrap_err().contains("NONE"));
        assert!(fill_with_home("${HOME").unwrap_err().contains('}'));
        assert!(fill_with_home("${a b}").is_err());
    }
}
