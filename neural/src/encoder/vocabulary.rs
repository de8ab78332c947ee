//! Text to token ids, as the model's `tokenizer.json` says: <https://huggingface.co/docs/tokenizers/index>.
//!
//! Truncation, padding and special tokens are done here: each text has its own length, and the most tokens are the model's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::layout::Layout;
use super::settings::{self, Settings};
use super::specials::Specials;

/// The longest tokenizer file that is read, in bytes; those of 250,000 tokens have 17 million.
const LARGEST: u64 = 256 << 20;

/// Token ids of one text, with the special ones that the model wants around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids of the model's vocabulary.
    pub ids: Vec<u32>,
    /// Whether the text was longer than the model reads, and its end (or its beginning, where the model's files say so)
    /// is not among the ids.
    pub truncated: bool,
}

/// The tokenizer of one model.
#[derive(Debug)]
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    /// Ids below are rows of the model's table.
    size: usize,
    /// Most tokens of a text, special ones included.
    longest: usize,
    specials: Specials,
    keeps_end: bool,
    prompt: String,
}

impl Vocabulary {
    /// `size`: rows of the model's table of words; `positions`: the most tokens that have a position.
    pub(super) fn open(layout: &Layout, size: usize, positions: usize) -> Result<Vocabulary, String> {
        let folder = &layout.transformer;
        let settings = Settings::read(&folder.join("tokenizer_config.json"))?;
        let (tokenizer, specials) = tokenizer(folder, settings.as_ref(), layout.lower_case)?;
        let longest = longest(layout, settings.as_ref(), positions)?;
        if longest <= specials.before.len() + specials.after.len() {
            return Err(format!("{}: {longest} tokens leave none for a text", folder.display()));
        }
        let keeps_end =
            match settings.as_ref().map(|settings| settings.text("truncation_side")).transpose()?.flatten() {
                None | Some("right") => false,
                Some("left") => true,
                Some(other) => {
                    return Err(format!("{}: `truncation_side` = {other} is not known", folder.display()));
                }
            };
        let prompt = layout.prompt.clone();
        Ok(Vocabulary { tokenizer, size, longest, specials, keeps_end, prompt })
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn tokenize(&self, text: &str) -> Result<Tokens, String> {
        let text = format!("{}{text}", self.prompt);
        let encoding = guarded(|| self.tokenizer.encode_fast(text, false));
        self.surround(encoding.map_err(|error| format!("the text cannot be tokenized: {error}"))?.get_ids())
    }

    pub(super) fn tokenize_ids(&self, ids: &[u32]) -> Result<Tokens, String> {
        match self.prompt.is_empty() {
            true => self.surround(ids),
            false => {
                Err("this model puts a text of its own before each input: send text, not token ids".into())
            }
        }
    }

    fn surround(&self, ids: &[u32]) -> Result<Tokens, String> {
        let Specials { before, after } = &self.specials;
        let room = self.longest - before.len() - after.len();
        let truncated = ids.len() > room;
        let kept = match truncated {
            false => ids,
            true if self.keeps_end => &ids[ids.len() - room..],
            true => &ids[..room],
        };
        let ids = [before, kept, after].concat();
        self.check(&ids)?;
        Ok(Tokens { ids, truncated })
    }

    /// Refuses what the model has no vectors for.
    pub(super) fn check(&self, ids: &[u32]) -> Result<(), String> {
        let (size, longest) = (self.size, self.longest);
        if let Some(id) = ids.iter().find(|id| **id as usize >= size) {
            return Err(format!(
                "token {id} is not in the model's vocabulary: its ids are 0 to {}",
                size - 1
            ));
        }
        match ids.len() {
            0 => Err("the input has no tokens".into()),
            count if count > longest => {
                Err(format!("the input has {count} tokens; the model reads at most {longest}"))
            }
            _ => Ok(()),
        }
    }
}

fn tokenizer(
    folder: &Path,
    settings: Option<&Settings>,
    lower_case: bool,
) -> Result<(Tokenizer, Specials), String> {
    let file = folder.join("tokenizer.json");
    let mut value = match settings::read_small(&file, LARGEST)? {
        Some(bytes) => parse(&file, &bytes)?,
        None => from_vocabulary(folder, settings)?,
    };
    agree(&value, settings).map_err(|problem| format!("{}: {problem}", file.display()))?;
    let specials = Specials::new(value.get("post_processor").unwrap_or(&Value::Null));
    let specials = specials.map_err(|problem| format!("{}: {problem}", file.display()))?;
    for done_here in ["truncation", "padding", "post_processor", "decoder"] {
        value.insert(done_here.into(), Value::Null);
    }
    if lower_case {
        let then = value.get("normalizer").filter(|then| !then.is_null());
        let both: Vec<_> = [json!({"type": "Lowercase"})].into_iter().chain(then.cloned()).collect();
        value.insert("normalizer".into(), json!({"type": "Sequence", "normalizers": both}));
    }
    let bytes = serde_json::to_vec(&value).map_err(|error| error.to_string())?;
    let tokenizer = guarded(|| Tokenizer::from_bytes(bytes));
    let tokenizer = tokenizer.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok((tokenizer, specials))
}

/// Runs the tokenizers library, which panics on some damaged files: that is an error like its others.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizers library fails on this file".into()),
    }
}

fn parse(file: &Path, bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(format!(
            "{} is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
            file.display()
        ));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| format!("{} is not a valid JSON object: {error}", file.display()))
}

/// BERT's tokenizer from its list of words, one a line: what transformers makes of a folder without tokenizer.json.
fn from_vocabulary(folder: &Path, settings: Option<&Settings>) -> Result<Map<String, Value>, String> {
    let file = folder.join("vocab.txt");
    let bytes = settings::read_small(&file, LARGEST)?
        .ok_or_else(|| format!("{} has neither tokenizer.json nor vocab.txt", folder.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", file.display()))?;
    let class = class(settings)?.unwrap_or("BertTokenizer");
    if !matches!(class, "BertTokenizer" | "DistilBertTokenizer") {
        return Err(format!("{} has no tokenizer.json, which a {class} needs here", folder.display()));
    }
    if let Some(settings) = settings {
        settings.must_be("do_basic_tokenize", &json!(true))?;
        settings.must_be("never_split", &json!([]))?;
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let words: Map<String, Value> = text
        .split('\n')
        .enumerate()
        .map(|(id, word)| (word.trim_end_matches('\r').to_owned(), json!(id)))
        .collect();
    let special = |name: &str, default: &'static str| -> Result<(String, Value), String> {
        let content = settings
            .and_then(|settings| settings.get(name))
            .map(|token| token.get("content").unwrap_or(token));
        let content = content.and_then(Value::as_str).unwrap_or(default);
        let id = words.get(content).ok_or_else(|| format!("{} has no line {content}", file.display()))?;
        Ok((content.to_owned(), id.clone()))
    };
    let (unknown, separator, padding) =
        (special("unk_token", "[UNK]")?, special("sep_token", "[SEP]")?, special("pad_token", "[PAD]")?);
    let (class, mask) = (special("cls_token", "[CLS]")?, special("mask_token", "[MASK]")?);
    let added: Vec<Value> = [&padding, &unknown, &class, &separator, &mask]
        .map(|(content, id)| {
            json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false})
        })
        .into();
    let [lower_case, chinese] =
        [("do_lower_case", true), ("tokenize_chinese_chars", true)].map(|(name, default)| {
            settings.map_or(Ok(None), |settings| settings.flag(name)).map(|is| is.unwrap_or(default))
        });
    let strip_accents = settings.map_or(Ok(None), |settings| settings.flag("strip_accents"))?;
    let value = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": chinese?,
            "strip_accents": strip_accents, "lowercase": lower_case?},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": separator, "cls": class},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": unknown.0, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": words},
    });
    match value {
        Value::Object(value) => Ok(value),
        _ => Err("not an object".into()),
    }
}

/// The class that transformers would use, without the mark of its Rust twin.
fn class(settings: Option<&Settings>) -> Result<Option<&str>, String> {
    let class = settings.map_or(Ok(None), |settings| settings.text("tokenizer_class"))?;
    Ok(class.map(|class| class.strip_suffix("Fast").unwrap_or(class)))
}

/// For some classes transformers lets tokenizer_config.json, or the class's defaults, win over tokenizer.json: refuses
/// files that contradict each other there.
fn agree(value: &Map<String, Value>, settings: Option<&Settings>) -> Result<(), String> {
    let part = |part: &str, kind: &str| {
        let part = value.get(part)?;
        let parts = part.get("normalizers").or_else(|| part.get("pretokenizers")).and_then(Value::as_array);
        let parts = parts.map_or(std::slice::from_ref(part), Vec::as_slice);
        parts.iter().find(|part| part.get("type").and_then(Value::as_str) == Some(kind))
    };
    let pairs: &[(&str, &str, Value)] = match class(settings)? {
        Some("BertTokenizer" | "DistilBertTokenizer" | "MPNetTokenizer") => &[
            ("lowercase", "do_lower_case", json!(true)),
            ("strip_accents", "strip_accents", Value::Null),
            ("handle_chinese_chars", "tokenize_chinese_chars", json!(true)),
        ],
        Some("RobertaTokenizer") => &[("add_prefix_space", "add_prefix_space", json!(false))],
        _ => return Ok(()),
    };
    let Some(part) = part("normalizer", "BertNormalizer").or_else(|| part("pre_tokenizer", "ByteLevel"))
    else {
        return Ok(());
    };
    for (here, there, default) in pairs {
        let wanted = settings.and_then(|settings| settings.get(there)).unwrap_or(default);
        if let Some(found) = part.get(here).filter(|found| *found != wanted) {
            return Err(format!(
                "`{here}` = {found} contradicts `{there}` of tokenizer_config.json, which is {wanted} (perhaps by default)"
            ));
        }
    }
    Ok(())
}

/// Most tokens of a text: what the files say, and never more than have a position.
fn longest(layout: &Layout, settings: Option<&Settings>, positions: usize) -> Result<usize, String> {
    let limit = match (layout.longest, settings) {
        (Some(longest), _) => longest as f64,
        // Files without a limit have 1e30 here.
        (None, Some(settings)) => settings.number("model_max_length")?.unwrap_or(f64::INFINITY),
        (None, None) => f64::INFINITY,
    };
    match limit {
        limit if limit >= positions as f64 => Ok(positions),
        limit if limit >= 1.0 => Ok(limit as usize),
        limit => Err(format!("{}: texts of {limit} tokens cannot be", layout.transformer.display())),
    }
}
