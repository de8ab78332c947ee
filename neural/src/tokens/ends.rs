//! Which tokens end an answer. Files name some of them; others are known by their texts, as in llama.cpp.

use super::vocabulary::Vocabulary;
use crate::gguf::Metadata;

/// Keys of tokens that end an answer.
const KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Texts of tokens that end an answer in every vocabulary that has them.
const TEXTS: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Marks of code completion: the key that may name the token, the texts it is known by, and whether it ends an answer.
const COMPLETION: [(&str, &[&str], bool); 6] = [
    (
        "tokenizer.ggml.fim_pre_token_id",
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
        false,
    ),
    (
        "tokenizer.ggml.fim_suf_token_id",
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
        false,
    ),
    (
        "tokenizer.ggml.fim_mid_token_id",
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
        false,
    ),
    ("tokenizer.ggml.fim_pad_token_id", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"], true),
    (
        "tokenizer.ggml.fim_rep_token_id",
        &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
        true,
    ),
    ("tokenizer.ggml.fim_sep_token_id", &["<|file_sep|>"], true),
];

/// The sorted ids of the tokens that end an answer. Tokens known by their texts are control tokens from now on,
/// whatever the file says of them.
pub(super) fn find(metadata: &Metadata, vocabulary: &mut Vocabulary) -> Result<Vec<u32>, String> {
    let mut ends = Vec::new();
    for (key, texts, ends_answer) in COMPLETION {
        let id = match vocabulary.id(metadata, key)? {
            Some(id) => Some(id),
            None => {
                let found = texts.iter().find_map(|text| vocabulary.find(text));
                found.inspect(|id| vocabulary.make_control(*id))
            }
        };
        ends.extend(id.filter(|_| ends_answer));
    }
    for text in TEXTS {
        if let Some(id) = vocabulary.find(text).filter(|_| !is_text(text, vocabulary)) {
            vocabulary.make_control(id);
            ends.extend((!goes_on(text, vocabulary)).then_some(id));
        }
    }
    for key in KEYS {
        ends.extend(vocabulary.id(metadata, key)?);
    }
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}

/// Gemma 4's `</s>` is HTML.
fn is_text(text: &str, vocabulary: &Vocabulary) -> bool {
    text == "</s>" && vocabulary.find("<|tool_response>").is_some()
}

/// Where an answer has several messages, `<|end|>` ends one of them.
fn goes_on(text: &str, vocabulary: &Vocabulary) -> bool {
    let has = |text| vocabulary.find(text).is_some();
    let calls = has("<|call|>") || has("<|calls|>");
    text == "<|end|>" && calls && (has("<|return|>") || has("<|flush|>"))
}
