//! How each `tokenizer.ggml.pre` splits texts into words. The names and the patterns are those of llama.cpp's
//! `llama-vocab.cpp`, which has them from the models' own tokenizers; look-aheads are written as sets and as [`Runs`].

use super::split::{Rule, Runs};

/// How a tokenizer prepares a text for merging.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pre {
    pub(super) rules: &'static [Rule],
    pub(super) units: Units,
    /// Whether a word that is a token is not taken apart.
    pub(super) keeps_words: bool,
    /// Whether the tokenizer adds a first token where the file does not say.
    pub(super) adds_bos: bool,
}

/// The smallest pieces that merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    /// Bytes, which tokens spell in GPT-2's alphabet.
    Bytes,
    /// Characters, with a stand-in for the space; those that are no tokens become tokens of bytes.
    Characters,
}

const PLAIN: Pre = Pre { rules: &[GPT_2], units: Units::Bytes, keeps_words: false, adds_bos: false };
const DIGITS: Pre = Pre { rules: &[DIGIT, GPT_2], ..PLAIN };
const LLAMA_3: Pre = Pre { rules: &[in_line(THREE_DIGITS)], ..PLAIN };
const QWEN_2: Pre = Pre { rules: &[in_line(ONE_DIGIT)], ..PLAIN };
const DEEPSEEK_3: Pre = Pre {
    rules: &[whole(r"\p{N}{1,3}"), whole("[一-龥\u{3040}-ゟ゠-ヿ]+"), in_line(DEEPSEEK_WORDS)],
    ..PLAIN
};
const GPT_4O: Pre = Pre { rules: &[in_line(GPT_4O_WORDS)], ..PLAIN };
const BLOOM: Pre = Pre { rules: &[whole(BLOOM_WORDS)], ..PLAIN };
const BAILING: Pre = Pre { rules: &[in_line(BAILING_WORDS)], ..PLAIN };
const DEFAULT: Pre =
    Pre { rules: &[whole(r"[\p{P}$+<=>\^~|]+"), GPT_2, whole(r"\p{N}+"), whole("[0-9][0-9][0-9]")], ..PLAIN };

/// By name: the values of `tokenizer.ggml.pre`.
const NAMED: &[(&[&str], Pre)] = &[
    (&["default"], DEFAULT),
    (
        &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
        ],
        PLAIN,
    ),
    (&["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"], DIGITS),
    (
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        Pre { keeps_words: true, adds_bos: true, ..LLAMA_3 },
    ),
    (&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], LLAMA_3),
    (
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        QWEN_2,
    ),
    (&["qwen35"], Pre { rules: &[in_line(QWEN_35_WORDS)], ..PLAIN }),
    (&["ufakzeka"], Pre { rules: &[in_line(UFAKZEKA_WORDS)], ..PLAIN }),
    (&["laguna"], Pre { rules: &[LINES, in_line(ONE_DIGIT)], ..PLAIN }),
    (&["seed-coder"], Pre { rules: &[in_line(SEED_WORDS)], ..PLAIN }),
    (&["minicpm5"], Pre { rules: &[whole(r"\p{N}{1,3}"), in_line(ALL_DIGITS)], keeps_words: true, ..PLAIN }),
    (&["bailingmoe", "bailingmoe2", "llada-moe"], BAILING),
    (&["tekken"], Pre { rules: &[in_line(TEKKEN_WORDS)], keeps_words: true, adds_bos: true, ..PLAIN }),
    (&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], GPT_4O),
    (&["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], DEEPSEEK_3),
    (
        &["deepseek-coder"],
        Pre {
            rules: &[
                whole(r"[\r\n]"),
                whole(r"\s?\p{L}+"),
                whole(r"\s?\p{P}+"),
                whole("[[一-龥\u{800}-一가-\u{d7ff}]&&\\S]+"),
                DIGIT,
            ],
            ..PLAIN
        },
    ),
    (&["falcon"], Pre { rules: &[whole(r"[\p{P}$+<=>\^~|`]+"), GPT_2, whole("[0-9][0-9][0-9]")], ..PLAIN }),
    (&["bloom", "poro-chat", "gpt3-finnish"], BLOOM),
    (&["viking"], Pre { rules: &[whole(BLOOM_WORDS), DIGIT], ..PLAIN }),
    (&["gemma4"], Pre { rules: &[LINES], units: Units::Characters, keeps_words: false, adds_bos: true }),
];

/// The preparation for a model and the value of `tokenizer.ggml.pre`; `gemma4` has its own.
pub(super) fn find(model: &str, name: Option<&str>) -> Result<Pre, String> {
    let name = if model == "gemma4" { "gemma4" } else { name.unwrap_or("default") };
    let found = NAMED.iter().find(|(names, _)| names.contains(&name)).map(|(_, pre)| *pre);
    match found {
        // GPT-2's alphabet spells the tokens of the one model and characters those of the other.
        Some(pre) if (pre.units == Units::Characters) == (model == "gemma4") => Ok(pre),
        _ => Err(format!(
            "this program does not know how \"{name}\" (tokenizer.ggml.pre) splits texts for {model}"
        )),
    }
}

/// All values of `tokenizer.ggml.pre` for the model `gpt2`.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().filter(|(_, pre)| pre.units == Units::Bytes).flat_map(|(names, _)| names.iter().copied())
}

const fn whole(pattern: &'static str) -> Rule {
    Rule { pattern, runs: Runs::Whole }
}

const fn in_line(pattern: &'static str) -> Rule {
    Rule { pattern, runs: Runs::LeaveInLine }
}

const DIGIT: Rule = whole(r"\p{N}");
const LINES: Rule = whole(r"[^\n]+|\n+");
const GPT_2: Rule =
    Rule { pattern: r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+", runs: Runs::Leave };

/// The end that most patterns share: marks, lines' ends, other white space.
macro_rules! with_ends {
    ($($start:tt)+) => {
        concat!($($start)+, r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+")
    };
}

/// English contractions, in any case.
macro_rules! contractions {
    () => {
        r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
    };
}

const UFAKZEKA_WORDS: &str = with_ends!(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}");
const ONE_DIGIT: &str = with_ends!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}");
const THREE_DIGITS: &str = with_ends!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}");
const ALL_DIGITS: &str = with_ends!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+");
const QWEN_35_WORDS: &str = concat!(
    contractions!(),
    r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
);
const SEED_WORDS: &str =
    concat!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+");
const BAILING_WORDS: &str = concat!(
    r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])",
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+"
);
const TEKKEN_WORDS: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
);
const GPT_4O_WORDS: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+(?:",
    contractions!(),
    r")?|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*(?:",
    contractions!(),
    r")?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
);
const DEEPSEEK_WORDS: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+"
);
const BLOOM_WORDS: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
