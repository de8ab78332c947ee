//! Rules of the house that a tool can check.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | "shared" | ".git") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Where the workspace's crates are, beside the program itself.
const CRATES: &[&str] =
    &["cache", "hub", "journal", "keys", "limits", "neural", "prices", "providers", "replicas", "tabular"];

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let mut found = Vec::new();
    // Whatever crates there are or will be.
    sources(&root(), &mut found);
    for folder in ["src", "tests", "benches", "xtask/src"].iter().chain(CRATES) {
        assert!(found.iter().any(|path| path.starts_with(root().join(folder))), "{folder} was not looked at");
    }
    let long: Vec<String> = found
        .iter()
        .map(|path| (path, std::fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 600)
        .map(|(path, lines)| format!("{} has {lines}", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

/// The aigate crates that a crate depends on, tests aside.
fn dependencies(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("providers").join(name).join("Cargo.toml")).unwrap();
    let normal = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap().to_owned();
    normal
        .lines()
        .filter_map(|line| line.strip_prefix("aigate-"))
        .map(|line| line.split(['.', ' ']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn dependencies_point_one_way_and_the_simulator_knows_no_provider() {
    assert_eq!(dependencies("contract"), [""; 0]);
    assert_eq!(dependencies("transport"), ["contract"]);
    assert_eq!(dependencies("sim"), [""; 0]);
    for library in ["../hub", "../journal", "../neural", "../replicas", "../tabular"] {
        assert_eq!(dependencies(library), [""; 0], "{library}");
    }
    for policy in ["../cache", "../limits", "../prices"] {
        assert_eq!(dependencies(policy), ["contract"], "{policy}");
    }
    assert_eq!(dependencies("../keys"), ["contract", "transport"]);
    assert_eq!(dependencies("local"), ["contract", "hub", "neural", "tabular"]);
    for provider in ["google", "aws", "openai"] {
        assert_eq!(dependencies(provider), ["contract", "transport"], "{provider}");
    }
    assert_eq!(dependencies("azure"), ["contract", "openai", "transport"]);
}
