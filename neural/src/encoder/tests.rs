//! A tiny model made here, whole and damaged. Its vectors against sentence-transformers': tests/encoder.rs.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const HIDDEN: usize = 8;
const WORDS: [&str; 8] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "text", "##s"];

/// A folder with a BERT of one layer.
fn model() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path();
    fs::create_dir(path.join("1_Pooling")).expect("a folder");
    put(
        path,
        "1_Pooling/config.json",
        &json!({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": true}),
    );
    let modules =
        [("", "models.Transformer"), ("1_Pooling", "models.Pooling"), ("2_Normalize", "models.Normalize")];
    let modules =
        modules.map(|(path, kind)| json!({"path": path, "type": format!("sentence_transformers.{kind}")}));
    put(path, "modules.json", &json!(modules));
    put(
        path,
        "config.json",
        &json!({
            "model_type": "bert", "vocab_size": WORDS.len(), "hidden_size": HIDDEN, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16, "type_vocab_size": 2,
        }),
    );
    put(path, "sentence_bert_config.json", &json!({"max_seq_length": 6, "do_lower_case": false}));
    put(path, "tokenizer_config.json", &json!({"do_lower_case": true, "tokenizer_class": "BertTokenizer"}));
    fs::write(path.join("vocab.txt"), WORDS.join("\n")).expect("vocab.txt");
    fs::write(
        path.join("model.safetensors"),
        safetensors(&shapes(), |at| ((at * 37) % 19) as f32 / 19.0 - 0.5),
    )
    .expect("weights");
    folder
}

fn put(folder: &Path, name: &str, value: &Value) {
    fs::write(folder.join(name), value.to_string()).expect("a file");
}

/// Changes one setting of a file.
fn set(folder: &Path, file: &str, name: &str, value: Value) {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_else(|_| "{}".into());
    let mut settings: Value = serde_json::from_str(&text).expect("JSON");
    settings[name] = value;
    put(folder, file, &settings);
}

fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    let mut add = |name: &str, shape: &[usize]| shapes.push((name.to_owned(), shape.to_vec()));
    for (table, rows) in [("word", WORDS.len()), ("position", 16), ("token_type", 2)] {
        add(&format!("embeddings.{table}_embeddings.weight"), &[rows, HIDDEN]);
    }
    let layer = "encoder.layer.0";
    for (name, outputs, inputs) in [
        ("attention.self.query", HIDDEN, HIDDEN),
        ("attention.self.key", HIDDEN, HIDDEN),
        ("attention.self.value", HIDDEN, HIDDEN),
        ("attention.output.dense", HIDDEN, HIDDEN),
        ("intermediate.dense", 12, HIDDEN),
        ("output.dense", HIDDEN, 12),
    ] {
        add(&format!("{layer}.{name}.weight"), &[outputs, inputs]);
        add(&format!("{layer}.{name}.bias"), &[outputs]);
    }
    for norm in ["embeddings".into(), format!("{layer}.attention.output"), format!("{layer}.output")] {
        add(&format!("{norm}.LayerNorm.weight"), &[HIDDEN]);
        add(&format!("{norm}.LayerNorm.bias"), &[HIDDEN]);
    }
    shapes
}

fn safetensors(shapes: &[(String, Vec<usize>)], number: impl Fn(usize) -> f32) -> Vec<u8> {
    let (mut header, mut values) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in shapes {
        let start = values.len();
        values.extend((0..shape.iter().product()).flat_map(|at| number(at).to_le_bytes()));
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, values.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &values].concat()
}

fn refusal(folder: &TempDir) -> String {
    Encoder::open(folder.path()).expect_err("refused")
}

#[test]
fn a_model_gives_unit_vectors_that_depend_on_the_text() {
    let folder = model();
    let encoder = Encoder::open(folder.path()).expect("a model");
    let threads = Threads::new(2).expect("threads");
    let inputs = ["a text", "Texts", ""].map(|text| encoder.tokenize(text).expect("a text"));
    assert_eq!(inputs[0].ids, [2, 5, 6, 3]);
    assert_eq!(inputs[1].ids, [2, 6, 7, 3]);
    assert_eq!(inputs[2].ids, [2, 3]);
    let vectors = encoder.embed(&threads, &inputs, &|| false).expect("vectors");
    for vector in &vectors {
        assert_eq!(vector.len(), encoder.dimensions());
        assert!((vector.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert!(vectors[0] != vectors[1] && vectors[1] != vectors[2]);
    assert_eq!(encoder.embed(&threads, &[], &|| false), Ok(Vec::new()));
}

#[test]
fn a_text_longer_than_the_model_reads_is_cut_where_its_files_say_and_the_caller_is_told() {
    let folder = model();
    let cut = Encoder::open(folder.path()).expect("a model").tokenize("text a a a a a").expect("a text");
    assert_eq!((cut.ids, cut.truncated), (vec![2, 6, 5, 5, 5, 3], true));
    set(folder.path(), "tokenizer_config.json", "truncation_side", json!("left"));
    let cut = Encoder::open(folder.path()).expect("a model").tokenize("text a a a a a").expect("a text");
    assert_eq!((cut.ids, cut.truncated), (vec![2, 5, 5, 5, 5, 3], true));
}

#[test]
fn inputs_that_do_not_fit_the_model_are_refused() {
    let folder = model();
    let encoder = Encoder::open(folder.path()).expect("a model");
    let threads = Threads::new(1).expect("a thread");
    assert!(
        encoder.tokenize_ids(&[8]).expect_err("refused").contains("token 8 is not in the model's vocabulary")
    );
    for ids in [vec![], vec![5; 7], vec![u32::MAX]] {
        let made_up = Tokens { ids, truncated: false };
        assert!(matches!(encoder.embed(&threads, &[made_up], &|| false), Err(EmbedError::Input(_))));
    }
}

#[test]
fn weights_that_overflow_are_told_and_not_answered() {
    let folder = model();
    fs::write(folder.path().join("model.safetensors"), safetensors(&shapes(), |_| f32::INFINITY))
        .expect("weights");
    let encoder = Encoder::open(folder.path()).expect("a model");
    let input = [encoder.tokenize("a").expect("a text")];
    let found = encoder.embed(&Threads::new(1).expect("a thread"), &input, &|| false);
    assert_eq!(found, Err(EmbedError::NotFinite(0)));
}

#[test]
fn settings_that_change_the_result_and_are_not_understood_are_refused_by_name() {
    let cases = [
        (
            "config.json",
            "model_type",
            json!("modernbert"),
            "models of type modernbert are not read, only bert, roberta",
        ),
        (
            "config.json",
            "position_embedding_type",
            json!("relative_key"),
            "`position_embedding_type` = \"relative_key\"",
        ),
        ("config.json", "is_decoder", json!(true), "`is_decoder` = true"),
        ("config.json", "hidden_act", json!("silu"), "activation `silu` is not known"),
        ("config.json", "quantization_config", json!({}), "`quantization_config`"),
        ("config.json", "num_attention_heads", json!(3), "3 heads do not share 8"),
        ("config.json", "vocab_size", json!(-1), "`vocab_size` = -1 is not a whole number"),
        ("config.json", "hidden_size", json!(1u64 << 31), "1_Pooling"),
        (
            "config.json",
            "num_hidden_layers",
            json!(2),
            "tensor `encoder.layer.1.attention.self.query.weight` is missing",
        ),
        ("config.json", "vocab_size", json!(9), "has shape [8, 8]; the settings ask for [9, 8]"),
        ("sentence_bert_config.json", "query_length", json!(3), "`query_length` is not known"),
        ("sentence_bert_config.json", "max_seq_length", json!(2), "2 tokens leave none"),
        (
            "1_Pooling/config.json",
            "pooling_mode_median_tokens",
            json!(true),
            "`pooling_mode_median_tokens` is not known",
        ),
        ("1_Pooling/config.json", "pooling_mode", json!("median"), "pooling mode \"median\" is not known"),
        ("1_Pooling/config.json", "word_embedding_dimension", json!(9), "`word_embedding_dimension` = 9"),
        ("config_sentence_transformers.json", "default_prompt_name", json!("query"), "has no text `query`"),
        ("config_sentence_transformers.json", "truncate_dim", json!(4), "`truncate_dim` is not known"),
        ("tokenizer_config.json", "never_split", json!(["a"]), "`never_split`"),
        ("tokenizer_config.json", "truncation_side", json!("middle"), "`truncation_side` = middle"),
        ("tokenizer_config.json", "tokenizer_class", json!("MPNetTokenizer"), "no tokenizer.json"),
    ];
    for (file, name, value, wanted) in cases {
        let folder = model();
        set(folder.path(), file, name, value);
        let found = refusal(&folder);
        assert!(found.contains(wanted), "{file}, {name}: {found}");
    }
}

#[test]
fn modules_that_are_not_read_are_refused_by_name() {
    for (kind, path, wanted) in [
        ("sentence_transformers.models.LSTM", "2_LSTM", "type LSTM"),
        ("custom_code.Module", "2_Module", "code of its own"),
        ("sentence_transformers.models.Dense", "../elsewhere", "inside the folder"),
        ("sentence_transformers.models.Dense", "2_Dense", "2_Dense/config.json is missing"),
    ] {
        let folder = model();
        let modules = [("", "models.Transformer"), ("1_Pooling", "models.Pooling")]
            .map(|(path, kind)| json!({"path": path, "type": format!("sentence_transformers.{kind}")}));
        let all: Vec<Value> = modules.into_iter().chain([json!({"path": path, "type": kind})]).collect();
        put(folder.path(), "modules.json", &json!(all));
        let found = refusal(&folder);
        assert!(found.contains(wanted), "{kind}: {found}");
    }
}

#[test]
fn weights_that_are_damaged_or_something_else_are_refused_with_the_reason() {
    let whole = safetensors(&shapes(), |_| 0.5);
    let header = |json: &str| [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    let cases: [(Vec<u8>, &str); 9] = [
        (whole[..whole.len() - 5].to_vec(), "ends 5 bytes before the end of its tensors"),
        ([&whole[..], &[0; 3]].concat(), "3 bytes follow its last tensor"),
        (whole[..100].to_vec(), "ends inside its header"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "Git LFS pointer"),
        (b"<!DOCTYPE html>".to_vec(), "HTML"),
        (b"PK\x03\x04aaaaaaaa".to_vec(), "zip archive"),
        (Vec::new(), "is empty"),
        (
            header(
                r#"{"a": {"dtype": "F32", "shape": [4294967295, 4294967295, 9], "data_offsets": [0, 4]}}"#,
            ),
            "damaged",
        ),
        (
            header(r#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [18446744073709551608, 0]}}"#),
            "damaged",
        ),
    ];
    for (bytes, wanted) in cases {
        let folder = model();
        fs::write(folder.path().join("model.safetensors"), bytes).expect("weights");
        let found = refusal(&folder);
        assert!(found.contains(wanted), "{found} does not say: {wanted}");
    }
}

#[test]
fn a_pickle_is_refused_and_the_error_says_what_would_be_right() {
    let folder = model();
    fs::rename(folder.path().join("model.safetensors"), folder.path().join("pytorch_model.bin"))
        .expect("renamed");
    let found = refusal(&folder);
    assert!(found.contains("runs code") && found.contains("model.safetensors"), "{found}");
}

#[test]
fn a_tensor_of_another_type_is_refused_with_its_name() {
    let folder = model();
    let file = folder.path().join("model.safetensors");
    let bytes = fs::read(&file).expect("weights");
    let at = bytes.windows(5).position(|bytes| bytes == b"\"F32\"").expect("a type");
    fs::write(&file, [&bytes[..at], b"\"I32\"", &bytes[at + 5..]].concat()).expect("weights");
    let found = refusal(&folder);
    assert!(found.contains("has type I32; the types read are F32, F16 and BF16"), "{found}");
}

#[test]
fn a_folder_without_modules_is_averaged_and_says_so() {
    let folder = model();
    fs::remove_file(folder.path().join("modules.json")).expect("removed");
    assert!(Encoder::open(folder.path()).expect("a model").assumes_mean());
}

#[test]
fn the_estimate_counts_every_number_and_refuses_sizes_that_no_memory_holds() {
    let folder = model();
    let numbers: usize = shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let estimate = Encoder::estimate(folder.path(), 2).expect("an estimate");
    let types = 2 * HIDDEN; // Added to the positions, not kept.
    assert_eq!(estimate.weights, 4 * (numbers - types) as u64);
    assert!(estimate.scratch > 4 * (BATCH * HIDDEN * 4) as u64);
    for name in
        ["vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings"]
    {
        set(folder.path(), "config.json", name, json!(1u64 << 31));
    }
    assert!(Encoder::estimate(folder.path(), 2).expect_err("refused").contains("fits no memory"));
}

#[test]
fn a_tokenizer_that_is_damaged_is_refused() {
    let words: Value = WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let tokenizer = |part: &str, value: Value| {
        let mut tokenizer = json!({
            "version": "1.0", "added_tokens": [], "normalizer": {"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null, "truncation": null,
            "padding": null, "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": words},
        });
        tokenizer[part] = value;
        tokenizer.to_string()
    };
    let template = |single: Value| json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}});
    let special =
        json!([{"SpecialToken": {"id": "[X]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
    let cases = [
        ("{".to_owned(), "not a valid JSON object"),
        ("version https://git-lfs.github.com/spec/v1".to_owned(), "Git LFS pointer"),
        (tokenizer("model", json!({"type": "WordPiece"})), "cannot be read"),
        (tokenizer("model", json!({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})), "cannot be read"),
        (tokenizer("post_processor", template(special)), "no ids for the special token `[X]`"),
        (tokenizer("post_processor", template(json!([]))), "does not have the text A once"),
        (
            tokenizer("post_processor", template(json!([{"Sequence": {"id": "A", "type_id": 1}}]))),
            "other types than 0",
        ),
        (
            tokenizer("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
            "cannot be read",
        ),
        (
            tokenizer(
                "normalizer",
                json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": false}),
            ),
            "`lowercase` = false contradicts `do_lower_case`",
        ),
    ];
    for (text, wanted) in cases {
        let folder = model();
        fs::write(folder.path().join("tokenizer.json"), &text).expect("tokenizer.json");
        let found = refusal(&folder);
        assert!(found.contains(wanted), "{text}: {found}");
    }
    let folder = model();
    fs::write(folder.path().join("tokenizer.json"), tokenizer("version", json!("1.0")))
        .expect("tokenizer.json");
    let encoder = Encoder::open(folder.path()).expect("a whole one is read");
    assert_eq!(encoder.tokenize("texts").expect("a text").ids, [6, 7]);
}
