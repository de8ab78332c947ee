//! Every shipped file loads; every faulty file gives the message that stands beside it.

use std::path::{Path, PathBuf};

use aigate::config::{Source, check, load, report, schema};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_faulty_file_gives_the_message_beside_it() {
    for file in files("faults", "toml") {
        let outcome = load(&Source::File(file.clone())).and_then(check);
        let said = report(&outcome.expect_err(&format!("{} has faults", file.display())));
        let said = said.replace(&folder("faults").display().to_string(), "FOLDER");
        let beside = file.with_extension("txt");
        if std::env::var_os("AIGATE_BLESS").is_some() {
            std::fs::write(&beside, format!("{said}\n")).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(said, expected.trim_end(), "{}", file.display());
    }
}

#[test]
fn every_example_fits_the_schema_and_has_no_faults_but_secrets_that_are_not_set() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for file in files("examples", "toml") {
        let text = std::fs::read_to_string(&file).unwrap();
        let tree: serde_json::Value = config::Config::builder()
            .add_source(config::File::from_str(&text, config::FileFormat::Toml))
            .build()
            .unwrap()
            .try_deserialize()
            .unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&tree).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", file.display());
        // The examples name variables; with values in their place they must be right.
        let filled = fill(&text);
        if let Err(faults) = load(&Source::Text(filled)).and_then(check) {
            panic!("{}:\n{}", file.display(), report(&faults));
        }
    }
}

#[test]
fn the_readme_s_configuration_has_no_faults() {
    let readme = std::fs::read_to_string(folder("../README.md")).unwrap();
    let snippets: Vec<&str> =
        readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!snippets.is_empty());
    for snippet in snippets {
        if let Err(faults) = load(&Source::Text(fill(snippet))).and_then(check) {
            panic!("{snippet}\n{}", report(&faults));
        }
    }
}

/// Puts a value in the place of every `${VARIABLE}`.
fn fill(text: &str) -> String {
    let mut parts = text.split("${");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push_str("some-value");
        out.push_str(part.split_once('}').unwrap().1);
    }
    out
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let model = serde_json::json!({ "task": "chat", "deployments": [{ "provider": "a", "target": "b" }] });
    assert!(validator.is_valid(&serde_json::json!({ "models": { "m": model } })));
    for wrong in [
        serde_json::json!({ "modles": {} }),
        serde_json::json!({ "server": { "lisen": "127.0.0.1:1" } }),
        serde_json::json!({ "models": { "m": { "task": "sing", "deployments": [] } } }),
        serde_json::json!({ "providers": { "p": { "kind": "openai", "api_kye": "x" } } }),
        serde_json::json!({ "providers": { "p": { "kind": "oracle" } } }),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn the_reference_names_every_key_of_the_schema() {
    let reference = std::fs::read_to_string(folder("default.toml")).unwrap();
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut keys: Vec<String> = Vec::new();
    for definition in definitions
        .values()
        .chain(schema["$defs"]["ProviderConfig"]["oneOf"].as_array().into_iter().flatten())
    {
        keys.extend(
            definition["properties"]
                .as_object()
                .into_iter()
                .flat_map(|properties| properties.keys().cloned()),
        );
    }
    assert!(keys.len() > 60, "{}", keys.len());
    // As whole words: `key` is not named by `api_key`.
    let words: Vec<&str> = reference.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<&String> = keys.iter().filter(|key| !words.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "config/default.toml does not name {missing:?}");
}

#[test]
fn no_damage_to_a_file_makes_the_check_panic() {
    let text = std::fs::read_to_string(files("examples", "toml")[0].clone()).unwrap();
    let bytes = text.as_bytes();
    for place in (0..bytes.len()).step_by(23) {
        for wrong in [b'"', b'[', b'=', b'\n', b'$', b'0'] {
            let mut damaged = bytes.to_vec();
            damaged[place] = wrong;
            if let Ok(damaged) = String::from_utf8(damaged) {
                let _ = load(&Source::Text(damaged)).map(check);
            }
        }
    }
}
