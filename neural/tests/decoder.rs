//! Decoders and tokenizers beside llama.cpp: tiny files of each family and each format, made and answered by
//! `tests/clients/neural/{make_gguf,expect_gguf}.py`. `cargo xtask test` makes them and names their folder.

#![cfg(test)]

use std::{fs, path::PathBuf, sync::atomic::AtomicBool};

use aigate_neural::{
    chat::ChatModel,
    decoder::{Cache, Workspace},
    kernels::Team,
    template::Prompt,
    tokens::Specials,
};
use serde_json::Value;

/// How far a log probability may be from llama.cpp's with the same kind of cache, beyond what llama.cpp is from itself when its
/// cache or its way of attention is another: activations are rounded to eight bits before each product, so that the last bit
/// of a sum becomes visible behind a few layers.
const TOLERANCE: f32 = 0.01;

/// The same for prompts of one token, in the median.
const ONE_TOKEN: f32 = 0.01;

struct Case {
    name: String,
    model: ChatModel,
    expected: Value,
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(std::env::var("AIGATE_TEST_GGUF").expect("AIGATE_TEST_GGUF names a folder"));
    let mut cases = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".expected.json") else { continue };
        let model = ChatModel::open(&folder.join(format!("{name}.gguf"))).unwrap();
        let expected = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        cases.push(Case { name: name.to_owned(), model, expected });
    }
    assert!(!cases.is_empty(), "{} has no expectations", folder.display());
    cases
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    logits.iter().map(|logit| logit - most - sum.ln() as f32).collect()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|one| one.as_f64().unwrap() as f32).collect()
}

/// The largest difference.
fn distance(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
#[ignore = "needs llama.cpp's answers: `cargo xtask test` makes them"]
fn log_probabilities_are_those_of_llama_cpp_and_greedy_text_is_the_same_for_200_tokens() {
    let (team, stop) = (Team::new(2), AtomicBool::new(false));
    let mut faults = Vec::new();
    for Case { name, model, expected } in &cases() {
        let decoder = model.decoder();
        let mut cache = Cache::new(decoder.shape(), 1024);
        let mut workspace = Workspace::default();
        let runs = &expected["runs"];
        let (same, others) = (&runs["f16"], [&runs["f32"], &runs["default"]]);
        let own = |pick: &dyn Fn(&Value) -> Value| {
            let ours = numbers(&pick(same));
            others.iter().map(|other| distance(&ours, &numbers(&pick(other)))).fold(TOLERANCE, f32::max)
        };

        // Over one token attention sums nothing: most prompts of one token meet no rounding that falls otherwise.
        let mut far: Vec<f32> = Vec::new();
        for (token, theirs) in ids(&expected["singles"]).iter().zip(same["singles"].as_array().unwrap()) {
            cache.truncate(0);
            let logits = decoder.forward(&team, &mut cache, &mut workspace, &[*token], &stop).unwrap();
            far.push(distance(&log_softmax(logits), &numbers(theirs)));
        }
        far.sort_by(f32::total_cmp);
        let median = far[far.len() / 2];
        if median > ONE_TOKEN {
            faults.push(format!("{name}: prompts of one token are {median} off in the median"));
        }

        cache.truncate(0);
        let long = ids(&expected["long"]);
        let logits = decoder.forward(&team, &mut cache, &mut workspace, &long, &stop).unwrap();
        let far = distance(&log_softmax(logits), &numbers(&same["long"]));
        let allowed = 1.5 * own(&|run| run["long"].clone());
        if far > allowed {
            faults.push(format!("{name}: {far} off after the long prompt, {allowed} is allowed"));
        }

        cache.truncate(0);
        let masked = ids(&expected["masked"]);
        let greedy = ids(&same["greedy"]["ids"]);
        let gaps = numbers(&same["greedy"]["gaps"]);
        let mut next = ids(&expected["prompt"]);
        let allowed = 1.5 * own(&|run| run["logprobs"][0].clone());
        for (place, theirs) in greedy.iter().enumerate() {
            let logits = decoder.forward(&team, &mut cache, &mut workspace, &next, &stop).unwrap();
            if let Some(theirs) = same["logprobs"].get(place) {
                let far = distance(&log_softmax(logits), &numbers(theirs));
                // Later places have seen other tokens where llama.cpp's runs part.
                if far > 2.0 * allowed {
                    faults.push(format!("{name}: {far} off at place {place}, {allowed} is allowed"));
                    break;
                }
            }
            let free = logits.iter().enumerate().filter(|(id, _)| !masked.contains(&(*id as u32)));
            let best = free.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
            if best != *theirs && gaps[place] > allowed {
                faults.push(format!(
                    "{name}: another token at place {place}, where the gap is {}",
                    gaps[place]
                ));
                break;
            }
            next = vec![*theirs];
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
#[ignore = "needs llama.cpp's answers: `cargo xtask test` makes them"]
fn token_ids_and_prompts_are_those_of_llama_cpp() {
    for Case { name, model, expected } in &cases() {
        let tokenizer = model.tokenizer();
        for one in expected["tokenizer"].as_array().unwrap() {
            let text = one["text"].as_str().unwrap();
            let specials = if one["special"] == true { Specials::Parse } else { Specials::Plain };
            let mut ours = tokenizer.encode(text, specials).unwrap();
            if one["bos"] == true && tokenizer.adds_bos() {
                ours.insert(0, tokenizer.bos().unwrap());
            }
            assert_eq!(ours, ids(&one["ids"]), "{name}: {text:?}");
        }
        for chat in expected["chat"].as_array().unwrap() {
            let now = std::time::SystemTime::UNIX_EPOCH;
            let prompt = Prompt { messages: &chat["messages"], tools: None, thinking: None, now };
            assert_eq!(model.prompt(&prompt).unwrap().ids, ids(&chat["ids"]), "{name}: {}", chat["prompt"]);
        }
    }
}
