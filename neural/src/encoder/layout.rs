//! The folder of a sentence-transformers model: <https://sbert.net/docs/sentence_transformer/usage/custom_models.html>.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::settings::{self, Settings};

/// What a folder's files say beside the transformer's own settings.
#[derive(Debug)]
pub(super) struct Layout {
    /// Where the transformer's `config.json`, weights and tokenizer lie.
    pub(super) transformer: PathBuf,
    /// Most tokens of a text, specials included, where the files say so.
    pub(super) longest: Option<usize>,
    pub(super) lower_case: bool,
    /// The folder of the pooling's settings; `None` for a plain transformer without modules, whose tokens are averaged.
    pub(super) pooling: Option<PathBuf>,
    /// What follows the pooling, in order.
    pub(super) after: Vec<Module>,
    /// Put before each text.
    pub(super) prompt: String,
}

#[derive(Debug)]
pub(super) enum Module {
    /// A linear layer, with its folder.
    Dense(PathBuf),
    Normalize,
}

/// Names that the transformer's module gave its settings over the years; the first that is there counts.
const MODULE_SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

impl Layout {
    pub(super) fn read(folder: &Path) -> Result<Layout, String> {
        let modules = modules(folder)?;
        let [transformer, rest @ ..] = modules.as_slice() else {
            return Err(format!("{} lists no modules", folder.join("modules.json").display()));
        };
        if transformer.0 != "Transformer" {
            return Err(unknown(folder, &transformer.0, "the first must be Transformer"));
        }
        let (pooling, rest) = match rest {
            [(kind, path), rest @ ..] if kind == "Pooling" => (Some(path.clone()), rest),
            [(kind, _), ..] => return Err(unknown(folder, kind, "the second must be Pooling")),
            [] => (None, rest),
        };
        let (longest, lower_case) = transformer_settings(&transformer.1)?;
        Ok(Layout {
            transformer: transformer.1.clone(),
            longest,
            lower_case,
            pooling,
            after: rest.iter().map(|(kind, path)| after(folder, kind, path)).collect::<Result<_, _>>()?,
            prompt: prompt(folder)?,
        })
    }
}

/// Kind and folder of each module; a folder without modules.json is a plain transformer.
fn modules(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let file = folder.join("modules.json");
    let Some(value) = settings::read_json(&file)? else {
        return Ok(vec![("Transformer".into(), folder.to_owned())]);
    };
    let list = value.as_array().ok_or_else(|| format!("{} is not a JSON list", file.display()))?;
    list.iter().map(|module| one_module(folder, module)).collect()
}

fn one_module(folder: &Path, module: &Value) -> Result<(String, PathBuf), String> {
    let at = |problem: &str| format!("{}: {problem}: {module}", folder.join("modules.json").display());
    let kind = module.get("type").and_then(Value::as_str).ok_or_else(|| at("a module without `type`"))?;
    let path = module.get("path").and_then(Value::as_str).ok_or_else(|| at("a module without `path`"))?;
    let kind = kind.strip_prefix("sentence_transformers.").and_then(|kind| kind.rsplit('.').next());
    let kind = kind.ok_or_else(|| at("a module that is code of its own cannot be read"))?;
    if module.get("kwargs").is_some_and(|kwargs| *kwargs != json!([])) {
        return Err(at("a module with `kwargs` cannot be read"));
    }
    if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(at("a module's path must stay inside the folder"));
    }
    Ok((kind.to_owned(), folder.join(path)))
}

fn after(folder: &Path, kind: &str, path: &Path) -> Result<Module, String> {
    match kind {
        "Dense" => Ok(Module::Dense(path.to_owned())),
        "Normalize" => {
            if let Some(settings) = Settings::read(&path.join("config.json"))? {
                settings.only(&["module_input_name", "module_output_name"])?;
                settings.must_be("module_input_name", &json!("sentence_embedding"))?;
                settings.must_be("module_output_name", &json!("sentence_embedding"))?;
            }
            Ok(Module::Normalize)
        }
        _ => Err(unknown(folder, kind, "after Pooling there may be Dense and Normalize")),
    }
}

fn unknown(folder: &Path, kind: &str, known: &str) -> String {
    format!("{}: a module of type {kind} is not read here; {known}", folder.join("modules.json").display())
}

/// Most tokens, and whether texts are made lower case.
fn transformer_settings(folder: &Path) -> Result<(Option<usize>, bool), String> {
    for name in MODULE_SETTINGS {
        let Some(settings) = Settings::read(&folder.join(name))? else { continue };
        settings.only(&[
            "max_seq_length",
            "do_lower_case",
            "model_args",
            "tokenizer_args",
            "config_args",
            "transformer_task",
            "modality_config",
            "module_output_name",
            "processing_kwargs",
            // How the tokens lie in memory there; the result is the same.
            "unpad_inputs",
        ])?;
        for name in ["model_args", "tokenizer_args", "config_args", "processing_kwargs"] {
            settings.must_be(name, &json!({}))?;
        }
        settings.must_be("transformer_task", &json!("feature-extraction"))?;
        settings.must_be("module_output_name", &json!("token_embeddings"))?;
        let text = json!({"text": {"method": "forward", "method_output_name": "last_hidden_state"}});
        settings.must_be("modality_config", &text)?;
        return Ok((settings.size("max_seq_length")?, settings.flag("do_lower_case")?.unwrap_or(false)));
    }
    Ok((None, false))
}

/// The text that the model's files ask to put before every text, or nothing.
fn prompt(folder: &Path) -> Result<String, String> {
    let Some(settings) = Settings::read(&folder.join("config_sentence_transformers.json"))? else {
        return Ok(String::new());
    };
    settings.only(&["__version__", "prompts", "default_prompt_name", "similarity_fn_name", "model_type"])?;
    settings.must_be("model_type", &json!("SentenceTransformer"))?;
    let Some(name) = settings.text("default_prompt_name")? else { return Ok(String::new()) };
    let prompt = settings.get("prompts").and_then(|prompts| prompts.get(name)).and_then(Value::as_str);
    let prompt = prompt.ok_or_else(|| format!("{}: `prompts` has no text `{name}`", settings.file()))?;
    Ok(prompt.to_owned())
}
