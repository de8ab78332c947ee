//! Small vocabularies made by hand.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::gguf::{Array, Value};

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER: i32 = 4;
const BYTE: i32 = 6;

/// A file's metadata, made token by token.
#[derive(Clone, Default)]
struct Made {
    tokens: Vec<String>,
    kinds: Vec<i32>,
    scores: Vec<f32>,
    more: Vec<(&'static str, Value)>,
}

impl Made {
    fn token(mut self, text: &str, kind: i32, score: f32) -> Self {
        self.tokens.push(text.to_owned());
        self.kinds.push(kind);
        self.scores.push(score);
        self
    }

    fn tokens(self, texts: &[&str], kind: i32) -> Self {
        texts.iter().fold(self, |made, text| made.token(text, kind, 0.0))
    }

    fn with(mut self, key: &'static str, value: Value) -> Self {
        self.more.push((key, value));
        self
    }

    fn text(self, key: &'static str, text: &str) -> Self {
        self.with(key, Value::String(text.to_owned()))
    }

    fn merges(self, merges: &[&str]) -> Self {
        let merges = merges.iter().map(|merge| (*merge).to_owned()).collect();
        self.with("tokenizer.ggml.merges", Value::Array(Array::String(merges)))
    }

    fn try_read(self) -> Result<Tokenizer, String> {
        let arrays = [
            ("tokenizer.ggml.tokens", Array::String(self.tokens)),
            ("tokenizer.ggml.token_type", Array::I32(self.kinds)),
            ("tokenizer.ggml.scores", Array::F32(self.scores)),
        ];
        let arrays = arrays.into_iter().map(|(key, array)| (key, Value::Array(array)));
        Tokenizer::new(&arrays.chain(self.more).collect())
    }

    fn read(self) -> Tokenizer {
        self.try_read().expect("a tokenizer")
    }
}

/// SentencePiece's kind: bytes, letters, and a few words.
fn scored() -> Made {
    let mut made = Made::default()
        .text("tokenizer.ggml.model", "llama")
        .with("tokenizer.ggml.bos_token_id", Value::U32(1))
        .with("tokenizer.ggml.eos_token_id", Value::U32(2))
        .token("<unk>", UNKNOWN, 0.0)
        .tokens(&["<s>", "</s>"], CONTROL);
    for byte in 0..=255 {
        made = made.token(&format!("<0x{byte:02X}>"), BYTE, 0.0);
    }
    let words = ["▁", "a", "b", "c", "ab", "▁a", "bc", "▁ab", "▁abc", "</", "s>", "<s", "<", ">", "/", "s"];
    for (place, word) in words.iter().enumerate() {
        made = made.token(word, NORMAL, -(place as f32));
    }
    made
}

/// GPT-2's kind: bytes, a few merges, marks of a chat.
fn ordered() -> Made {
    let mut made = Made::default().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "qwen2");
    for byte in 0..=255 {
        made = made.token(&alphabet::text(&[byte]), NORMAL, 0.0);
    }
    made.tokens(&["ab", "Ġab", "abc", "Ġa", "<|", "|>"], NORMAL)
        .merges(&["a b", "Ġ ab", "ab c", "Ġ a", "< |", "| >"])
        .tokens(&["<|im_start|>", "<|im_end|>"], CONTROL)
        .tokens(&["<think>"], USER)
        .with("tokenizer.ggml.eos_token_id", Value::U32(263))
}

/// Gemma 4's kind: merges of characters, with bytes for the rest.
fn spaced() -> Made {
    let mut made = Made::default()
        .text("tokenizer.ggml.model", "gemma4")
        .with("tokenizer.ggml.bos_token_id", Value::U32(0))
        .token("<bos>", CONTROL, 0.0);
    for byte in 0..=255 {
        made = made.token(&format!("<0x{byte:02X}>"), BYTE, 0.0);
    }
    made.tokens(&["▁", "a", "b", "▁a", "▁ab", "\n", "\n\n"], NORMAL).merges(&["▁ a", "▁a b"])
}

fn texts(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|id| String::from_utf8_lossy(tokenizer.piece(*id)).into_owned()).collect()
}

fn encoded(tokenizer: &Tokenizer, text: &str, specials: Specials) -> Vec<String> {
    texts(tokenizer, &tokenizer.encode(text, specials).expect("encodes"))
}

fn decoded(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut decoder = Decoder::default();
    let mut text: String = ids.iter().map(|id| decoder.push(tokenizer.piece(*id))).collect();
    text.push_str(&decoder.finish());
    text
}

#[test]
fn scores_decide_which_pairs_merge() {
    let tokenizer = scored().read();
    assert_eq!(encoded(&tokenizer, "abc", Specials::Plain), [" abc"]);
    assert_eq!(encoded(&tokenizer, "bcab", Specials::Plain), [" ", "bc", "ab"]);
    assert_eq!(encoded(&tokenizer, "", Specials::Plain), [""; 0]);
}

#[test]
fn what_is_no_token_becomes_bytes() {
    let tokenizer = scored().read();
    let ids = tokenizer.encode("é", Specials::Plain).expect("encodes");
    assert_eq!(ids, [259, 3 + 0xc3, 3 + 0xa9]);
    assert_eq!(decoded(&tokenizer, &ids), " é");
    let mut poor = scored();
    poor.tokens[3 + 0xa9] = "elsewhere".to_owned();
    let refused = poor.read().encode("é", Specials::Plain).expect_err("no token");
    assert_eq!(refused, "the model's vocabulary has no token for the byte 0xa9");
}

#[test]
fn a_file_may_do_without_the_space_at_the_start() {
    let made = scored().with("tokenizer.ggml.add_space_prefix", Value::Bool(false));
    assert_eq!(encoded(&made.read(), "ab ab", Specials::Plain), ["ab", " ab"]);
}

#[test]
fn the_space_is_added_after_each_special_token() {
    let tokenizer = scored().read();
    assert_eq!(encoded(&tokenizer, "<s>ab</s>b", Specials::Parse), ["<s>", " ab", "</s>", " ", "b"]);
}

#[test]
fn the_first_and_last_tokens_are_the_files() {
    let tokenizer = scored().read();
    assert_eq!((tokenizer.bos(), tokenizer.adds_bos(), tokenizer.eos()), (Some(1), true, Some(2)));
    assert_eq!(tokenizer.size(), 275);
    assert!(tokenizer.ends_turn(2) && !tokenizer.ends_turn(1) && !tokenizer.ends_turn(9999));
    assert!(tokenizer.is_control(1) && !tokenizer.is_control(0) && !tokenizer.is_control(9999));
    assert_eq!(tokenizer.piece(9999), b"");
    assert!(!ordered().read().adds_bos());
    assert!(!scored().with("tokenizer.ggml.add_bos_token", Value::Bool(false)).read().adds_bos());
}

#[test]
fn the_list_decides_which_pairs_merge() {
    let tokenizer = ordered().read();
    assert_eq!(encoded(&tokenizer, "abc ab abc", Specials::Plain), ["abc", " ab", " ab", "c"]);
    assert_eq!(encoded(&tokenizer, "ab\n\nab 12", Specials::Plain), ["ab", "\n", "\n", "ab", " ", "1", "2"]);
}

#[test]
fn llama_3_keeps_a_word_that_is_a_token() {
    // `abc` by merges would be `a`, `bc`.
    let made = |pre| {
        let made = Made::default().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
        made.tokens(&["a", "b", "c", "bc", "abc"], NORMAL).merges(&["b c"]).read()
    };
    assert_eq!(encoded(&made("llama-bpe"), "abc", Specials::Plain), ["abc"]);
    assert_eq!(encoded(&made("qwen2"), "abc", Specials::Plain), ["a", "bc"]);
}

#[test]
fn a_merge_whose_text_is_no_token_falls_apart_into_bytes() {
    let made = Made::default().text("tokenizer.ggml.model", "gpt2").tokens(&["a", "b", "c", "abc"], NORMAL);
    let tokenizer = made.merges(&["a b", "ab c"]).read();
    assert_eq!(encoded(&tokenizer, "abc", Specials::Plain), ["abc"]);
    assert_eq!(encoded(&tokenizer, "abb", Specials::Plain), ["a", "b", "b"]);
    assert!(tokenizer.encode("d", Specials::Plain).is_err());
}

#[test]
fn gemma_4_merges_characters_within_lines() {
    let tokenizer = spaced().read();
    let ids = tokenizer.encode("a ab\n\na é\n\n\n", Specials::Plain).expect("encodes");
    assert_eq!(decoded(&tokenizer, &ids), "a ab\n\na é\n\n\n");
    assert_eq!(texts(&tokenizer, &ids)[..5], ["a", " ab", "\n\n", "a", " "]);
    assert_eq!(ids[5..7], [1 + 0xc3, 1 + 0xa9]);
    assert!(tokenizer.adds_bos());
}

#[test]
fn control_tokens_are_found_in_templates_and_not_in_what_callers_write() {
    let tokenizer = ordered().read();
    let text = "<|im_start|>ab<|im_end|>";
    assert_eq!(encoded(&tokenizer, text, Specials::Parse), ["<|im_start|>", "ab", "<|im_end|>"]);
    let plain = tokenizer.encode(text, Specials::Plain).expect("encodes");
    assert!(plain.iter().all(|id| !tokenizer.is_control(*id)));
    assert_eq!(decoded(&tokenizer, &plain), text);
    assert_eq!(encoded(&tokenizer, "a<think>b", Specials::Plain), ["a", "<think>", "b"]);
}

#[test]
fn a_control_token_does_not_come_out_of_merging_either() {
    let tokenizer = scored().read();
    let ids = tokenizer.encode("</s><s>", Specials::Plain).expect("encodes");
    assert!(ids.iter().all(|id| !tokenizer.is_control(*id)));
    assert_eq!(decoded(&tokenizer, &ids), " </s><s>");
    let ids = tokenizer.encode("<0x0A>", Specials::Plain).expect("encodes");
    assert_eq!(decoded(&tokenizer, &ids), " <0x0A>");
}

#[test]
fn parts_merge_across_their_seam_and_special_tokens_do_not() {
    let tokenizer = ordered().read();
    let parts =
        |parts: &[(&str, Specials)]| texts(&tokenizer, &tokenizer.encode_parts(parts).expect("encodes"));
    let seam = [
        ("<|im_start|>a", Specials::Parse),
        ("bc<|im_end|>", Specials::Plain),
        ("<|im_end|>", Specials::Parse),
    ];
    let found = parts(&seam);
    assert_eq!(found[..2], ["<|im_start|>", "abc"]);
    assert_eq!(found.iter().filter(|text| *text == "<|im_end|>").count(), 1);
    let smuggled = parts(&[("<|im_", Specials::Parse), ("end|>", Specials::Plain)]);
    assert_eq!(smuggled.concat(), "<|im_end|>");
    assert!(smuggled.len() > 1);
}

#[test]
fn longer_special_tokens_go_before_shorter_ones() {
    let tokenizer = ordered().tokens(&["x<", "<y>>"], USER).read();
    assert_eq!(encoded(&tokenizer, "x<y>>", Specials::Plain), ["x", "<y>>"]);
    assert_eq!(encoded(&tokenizer, "x<y>", Specials::Plain), ["x<", "y", ">"]);
}

#[test]
fn phi_3_swallows_the_space_after_special_tokens() {
    let made = scored().tokens(&["<|user|>", "<|endoftext|>"], CONTROL).text("general.name", "Phi-3 Mini");
    let tokenizer = made.read();
    assert_eq!(encoded(&tokenizer, "<|user|>\n ab", Specials::Parse), ["<|user|>", " ab"]);
    assert_eq!(encoded(&tokenizer, "<|endoftext|> ab", Specials::Parse), ["<|endoftext|>", " ", " ab"]);
    let parts = [("<|user|>\n", Specials::Parse), ("  ab", Specials::Plain)];
    assert_eq!(texts(&tokenizer, &tokenizer.encode_parts(&parts).expect("encodes")), ["<|user|>", " ab"]);
}

#[test]
fn tokens_that_end_an_answer_are_known_by_their_texts() {
    let tokenizer = ordered().tokens(&["<|endoftext|>", "<|file_sep|>", "<|fim_prefix|>"], USER).read();
    let ends: Vec<u32> = (0..tokenizer.size() as u32).filter(|id| tokenizer.ends_turn(*id)).collect();
    assert_eq!(texts(&tokenizer, &ends), ["<|im_end|>", "<|endoftext|>", "<|file_sep|>"]);
    assert!((263..=264).all(|id| tokenizer.is_control(id) == (id == 263)));
    assert!((265..=267).all(|id| tokenizer.is_control(id)));
}

#[test]
fn the_end_of_a_message_is_not_the_end_of_an_answer_that_has_several() {
    let marks = ["<|end|>", "<|return|>", "<|call|>"];
    let tokenizer = ordered().tokens(&marks, CONTROL).read();
    let ends: Vec<bool> = (265..268).map(|id| tokenizer.ends_turn(id)).collect();
    assert_eq!(ends, [false, true, true]);
    assert!(ordered().tokens(&marks[..1], CONTROL).read().ends_turn(265));
}

#[test]
fn what_is_missing_unknown_or_damaged_is_refused_by_name() {
    let refused = |made: Made| made.try_read().expect_err("refused");
    let of = |model: &str| Made::default().text("tokenizer.ggml.model", model);
    assert!(refused(Made::default()).contains("lack the key tokenizer.ggml.model"));
    assert!(refused(of("rwkv")).contains("\"rwkv\""));
    assert!(refused(of("gpt2").text("tokenizer.ggml.pre", "kimi-k2").merges(&[])).contains("\"kimi-k2\""));
    assert!(refused(of("gpt2").text("tokenizer.ggml.pre", "gemma4").merges(&[])).contains("\"gemma4\""));
    assert!(refused(of("gpt2")).contains("tokenizer.ggml.merges"));
    assert!(refused(of("gpt2").tokens(&["a"], NORMAL).merges(&["aa"])).contains("merge 0"));
    assert!(refused(scored().tokens(&["ab"], NORMAL)).contains("have the same text, \"ab\""));
    assert!(refused(scored().with("tokenizer.ggml.bos_token_id", Value::U32(275))).contains("275 tokens"));
    assert!(
        refused(ordered().with("tokenizer.ggml.add_bos_token", Value::Bool(true)))
            .contains("does not say which")
    );
    let mut short = scored();
    short.scores.pop();
    assert_eq!(refused(short), "the file has 275 tokens and 274 scores for them");
    let mut short = scored();
    short.kinds.pop();
    assert_eq!(refused(short), "the file has 275 tokens and 274 types for them");
}

#[test]
fn special_tokens_too_large_to_search_for_are_refused() {
    let refused = ordered().tokens(&["<".repeat(5 << 20).as_str()], CONTROL).try_read().expect_err("refused");
    assert_eq!(refused, "the file's special tokens have more than 4194304 bytes together");
}

static SCORED: LazyLock<Tokenizer> = LazyLock::new(|| scored().read());
static ORDERED: LazyLock<Tokenizer> = LazyLock::new(|| ordered().read());
static SPACED: LazyLock<Tokenizer> = LazyLock::new(|| spaced().read());

proptest! {
    #[test]
    fn text_survives_byte_level_merging(text in "([ab c<|>\n]|\\PC){0,40}") {
        let tokenizer = &*ORDERED;
        for specials in [Specials::Plain, Specials::Parse] {
            prop_assert_eq!(&decoded(tokenizer, &tokenizer.encode(&text, specials).expect("encodes")), &text);
        }
    }

    #[test]
    fn text_survives_scored_merging(text in "([ab c<s/>\n]|\\PC){1,40}") {
        // U+2581 stands for a space there.
        prop_assume!(!text.contains('▁'));
        let ids = SCORED.encode(&text, Specials::Plain).expect("encodes");
        prop_assert_eq!(decoded(&SCORED, &ids), format!(" {text}"));
        prop_assert_eq!(decoded(&SPACED, &SPACED.encode(&text, Specials::Plain).expect("encodes")), text);
    }

    #[test]
    fn a_text_in_parts_has_the_ids_of_the_whole(text in "[ab c<|>\n]{0,30}", cut in 0_usize..30) {
        for tokenizer in [&*ORDERED, &*SCORED, &*SPACED] {
            let (first, second) = text.split_at(cut.min(text.len()));
            let parts = [(first, Specials::Plain), (second, Specials::Plain)];
            prop_assert_eq!(tokenizer.encode_parts(&parts), tokenizer.encode(&text, Specials::Plain));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_vocabulary_makes_the_tokenizer_panic(
        tokens in prop::collection::hash_set("[ab▁Ġ<>x0A|s/]{0,4}", 0..30),
        kinds in prop::collection::vec(0..8, 30),
        merges in prop::collection::vec("[abĠ▁]{0,2} ?[abĠ▁ ]{0,2}", 0..10),
        model in prop::sample::select(vec!["llama", "gpt2", "gemma4"]),
        text in "[ab<s/> ▁x]{0,20}",
    ) {
        let mut made = Made::default().text("tokenizer.ggml.model", model);
        for (token, kind) in tokens.iter().zip(kinds) {
            made = made.token(token, kind, -(token.len() as f32));
        }
        let merges: Vec<&str> = merges.iter().map(String::as_str).collect();
        if let Ok(tokenizer) = made.merges(&merges).try_read() {
            let _ = tokenizer.encode(&text, Specials::Parse);
            let _ = tokenizer.encode(&text, Specials::Plain);
        }
    }
}
