//! `config.json` of the families that are read: <https://huggingface.co/docs/transformers/main_classes/configuration>.
//!
//! Settings that transformers does not read for a family change nothing there, nor here; those that it reads and that
//! would change the result are understood or refused.

use std::path::Path;

use serde_json::json;

use super::settings::Settings;
use super::vector::Activation;

/// Models of one set of tensor names and one kind of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Bert,
    /// Also XLM-RoBERTa and CamemBERT. Positions are counted from the padding token's id on.
    Roberta,
    DistilBert,
    /// Positions like RoBERTa's, and a learned bias for the distance of two tokens.
    MpNet,
}

/// Sizes and options of a model.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) family: Family,
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Width of the feed-forward layer.
    pub(super) inner: usize,
    /// Rows of the table of positions, some of which may never be used.
    pub(super) positions: usize,
    /// Rows of the table of token types, of which the first is used.
    pub(super) types: Option<usize>,
    pub(super) activation: Activation,
    pub(super) epsilon: f32,
    /// Where positions are counted from the padding token's id on: that id.
    pub(super) padding: Option<u32>,
}

const READ: &str = "bert, roberta, xlm-roberta, camembert, distilbert, mpnet";

impl Config {
    pub(super) fn read(folder: &Path) -> Result<Config, String> {
        if folder.join("adapter_config.json").exists() {
            return Err(format!(
                "{} holds an adapter (adapter_config.json): merge it into the model's weights and save those",
                folder.display()
            ));
        }
        let settings = Settings::required(&folder.join("config.json"))?;
        let config = Config::new(&settings)?;
        config.check(&settings)?;
        Ok(config)
    }

    fn new(settings: &Settings) -> Result<Config, String> {
        let name = settings.text("model_type")?;
        let name = name.ok_or_else(|| format!("{} does not have `model_type`", settings.file()))?;
        let family = Family::named(name)
            .ok_or_else(|| format!("{}: models of type {name} are not read, only {READ}", settings.file()))?;
        refuse_what_changes_results(settings)?;
        let distil = family == Family::DistilBert;
        let activation = settings.text(if distil { "activation" } else { "hidden_act" })?.unwrap_or("gelu");
        let epsilon = if distil { None } else { settings.number("layer_norm_eps")? };
        let types = matches!(family, Family::Bert | Family::Roberta).then_some(&["type_vocab_size"]);
        let padding = settings.get("pad_token_id").and_then(|id| id.as_u64()).unwrap_or(1);
        Ok(Config {
            family,
            vocabulary: settings.required_size(&["vocab_size"])?,
            hidden: settings.required_size(&["hidden_size", "dim"])?,
            layers: settings.required_size(&["num_hidden_layers", "n_layers"])?,
            heads: settings.required_size(&["num_attention_heads", "n_heads"])?,
            inner: settings.required_size(&["intermediate_size", "hidden_dim"])?,
            positions: settings.required_size(&["max_position_embeddings"])?,
            types: types.map(|names| settings.required_size(names)).transpose()?,
            activation: named_activation(activation)
                .map_err(|problem| format!("{}: {problem}", settings.file()))?,
            epsilon: epsilon.unwrap_or(1e-12) as f32,
            padding: match family {
                Family::Bert | Family::DistilBert => None,
                Family::Roberta => {
                    Some(u32::try_from(padding).map_err(|_| {
                        format!("{}: `pad_token_id` = {padding} is no token", settings.file())
                    })?)
                }
                Family::MpNet => Some(1),
            },
        })
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        let Config { hidden, heads, positions, .. } = self;
        if hidden % heads != 0 {
            return Err(format!(
                "{}: {heads} heads do not share {hidden} hidden values evenly",
                settings.file()
            ));
        }
        if self.longest() == 0 {
            return Err(format!("{}: {positions} positions leave none for a token", settings.file()));
        }
        Ok(())
    }

    /// The most tokens that have a position each.
    pub(super) fn longest(&self) -> usize {
        let unused = self.padding.map_or(0, |padding| padding as usize + 1);
        self.positions.saturating_sub(unused)
    }
}

impl Family {
    fn named(model_type: &str) -> Option<Family> {
        Some(match model_type {
            "bert" => Family::Bert,
            "roberta" | "xlm-roberta" | "camembert" => Family::Roberta,
            "distilbert" => Family::DistilBert,
            "mpnet" => Family::MpNet,
            _ => return None,
        })
    }

    /// What stands before the names of the tensors when the model was saved with a head.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Family::Bert => "bert.",
            Family::Roberta => "roberta.",
            Family::DistilBert => "distilbert.",
            Family::MpNet => "mpnet.",
        }
    }
}

fn refuse_what_changes_results(settings: &Settings) -> Result<(), String> {
    settings.must_be("position_embedding_type", &json!("absolute"))?;
    settings.must_be("is_decoder", &json!(false))?;
    settings.must_be("is_encoder_decoder", &json!(false))?;
    settings.must_be("add_cross_attention", &json!(false))?;
    settings.must_be("pruned_heads", &json!({}))?;
    settings.must_be("relative_attention_num_buckets", &json!(32))?;
    for name in ["quantization_config", "auto_map"] {
        if settings.get(name).is_some() {
            return Err(format!("{}: models with `{name}` are not read", settings.file()));
        }
    }
    Ok(())
}

fn named_activation(name: &str) -> Result<Activation, String> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        _ => {
            Err(format!("activation `{name}` is not known, only gelu, gelu_new, gelu_pytorch_tanh and relu"))
        }
    }
}
