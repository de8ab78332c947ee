//! From the vectors of a text's tokens to the text's vector: pooling, linear layers, normalisation.

use std::path::Path;

use serde_json::json;

use super::layout::{Layout, Module};
use super::product::{Panels, Tiles};
use super::settings::Settings;
use super::vector::Activation;
use super::weights::Weights;

/// Everything after the transformer.
#[derive(Debug)]
pub(super) struct Head {
    pooling: Vec<Pool>,
    after: Vec<Step>,
    dimensions: usize,
}

/// Several are put one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    First,
    Largest,
    Mean,
    /// The sum divided by the square root of the number of tokens.
    MeanOfRoot,
    /// The mean with the weights 1, 2, 3, ...
    WeightedMean,
    Last,
}

#[derive(Debug)]
enum Step {
    Dense {
        panels: Panels,
        inputs: usize,
        activation: Activation,
    },
    /// To length one.
    Normalize,
}

/// Names in the settings since version 6 and before it, in the order in which the older ones are put together.
const POOLS: [(&str, &str, Pool); 6] = [
    ("cls", "pooling_mode_cls_token", Pool::First),
    ("max", "pooling_mode_max_tokens", Pool::Largest),
    ("mean", "pooling_mode_mean_tokens", Pool::Mean),
    ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", Pool::MeanOfRoot),
    ("weightedmean", "pooling_mode_weightedmean_tokens", Pool::WeightedMean),
    ("lasttoken", "pooling_mode_lasttoken", Pool::Last),
];

impl Head {
    /// `hidden`: the width of a token's vector.
    pub(super) fn read(layout: &Layout, hidden: usize) -> Result<Head, String> {
        let pooling = match &layout.pooling {
            Some(folder) => pooling(folder, hidden, &layout.prompt)?,
            None => vec![Pool::Mean],
        };
        let mut dimensions = hidden * pooling.len();
        let mut after = Vec::new();
        for module in &layout.after {
            after.push(match module {
                Module::Dense(folder) => dense(folder, &mut dimensions)?,
                Module::Normalize => Step::Normalize,
            });
        }
        Ok(Head { pooling, after, dimensions })
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vector of a text from those of its tokens (at least one), row by row.
    pub(super) fn apply(&self, tokens: &[f32], hidden: usize) -> Vec<f32> {
        let mut vector: Vec<f32> = self.pooling.iter().flat_map(|pool| pool.apply(tokens, hidden)).collect();
        for step in &self.after {
            step.apply(&mut vector);
        }
        vector
    }
}

impl Pool {
    fn apply(self, tokens: &[f32], hidden: usize) -> Vec<f32> {
        let count = (tokens.len() / hidden) as f32;
        match self {
            Pool::First => tokens[..hidden].to_vec(),
            Pool::Last => tokens[tokens.len() - hidden..].to_vec(),
            Pool::Largest => fold(tokens, hidden, f32::NEG_INFINITY, |_, largest, value| largest.max(value)),
            Pool::Mean => fold(tokens, hidden, 0.0, |_, sum, value| sum + value / count),
            Pool::MeanOfRoot => fold(tokens, hidden, 0.0, |_, sum, value| sum + value / count.sqrt()),
            Pool::WeightedMean => {
                let all = count * (count + 1.0) / 2.0;
                fold(tokens, hidden, 0.0, |row, sum, value| sum + value * ((row + 1) as f32 / all))
            }
        }
    }
}

fn fold(tokens: &[f32], hidden: usize, first: f32, join: impl Fn(usize, f32, f32) -> f32) -> Vec<f32> {
    let mut vector = vec![first; hidden];
    for (index, row) in tokens.chunks_exact(hidden).enumerate() {
        for (sum, value) in vector.iter_mut().zip(row) {
            *sum = join(index, *sum, *value);
        }
    }
    vector
}

impl Step {
    fn apply(&self, vector: &mut Vec<f32>) {
        match self {
            Step::Dense { panels, inputs, activation } => {
                let mut tiles = Tiles::default();
                tiles.set(vector, *inputs, *inputs);
                let mut out = vec![0.0; panels.outputs()];
                panels.multiply(&tiles, &mut out, panels.outputs(), *activation);
                *vector = out;
            }
            Step::Normalize => {
                let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|value| *value /= length.max(1e-12));
            }
        }
    }
}

fn pooling(folder: &Path, hidden: usize, prompt: &str) -> Result<Vec<Pool>, String> {
    let settings = Settings::required(&folder.join("config.json"))?;
    let mut known = vec!["word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt"];
    known.extend(POOLS.iter().map(|(_, flag, _)| *flag));
    settings.only(&known)?;
    for name in ["word_embedding_dimension", "embedding_dimension"] {
        settings.must_be(name, &json!(hidden))?;
    }
    if !prompt.is_empty() && settings.flag("include_prompt")? == Some(false) {
        return Err(format!(
            "{}: `include_prompt` = false with a default prompt is not supported",
            settings.file()
        ));
    }
    let pools = match settings.get("pooling_mode") {
        Some(modes) => named_pools(&settings, modes)?,
        None => flagged_pools(&settings)?,
    };
    match pools.is_empty() {
        true => Err(format!("{} names no way of pooling", settings.file())),
        false => Ok(pools),
    }
}

fn named_pools(settings: &Settings, modes: &serde_json::Value) -> Result<Vec<Pool>, String> {
    let modes = modes.as_array().map_or(std::slice::from_ref(modes), Vec::as_slice);
    let pool = |mode: &serde_json::Value| {
        let known = POOLS.iter().find(|(name, ..)| mode.as_str() == Some(name));
        known.map(|(.., pool)| *pool).ok_or_else(|| {
            let names = POOLS.map(|(name, ..)| name).join(", ");
            format!("{}: pooling mode {mode} is not known, only {names}", settings.file())
        })
    };
    modes.iter().map(pool).collect()
}

fn flagged_pools(settings: &Settings) -> Result<Vec<Pool>, String> {
    let mut pools = Vec::new();
    for (_, flag, pool) in POOLS {
        if settings.flag(flag)?.unwrap_or(pool == Pool::Mean) {
            pools.push(pool);
        }
    }
    Ok(pools)
}

fn dense(folder: &Path, dimensions: &mut usize) -> Result<Step, String> {
    let settings = Settings::required(&folder.join("config.json"))?;
    settings.only(&[
        "in_features",
        "out_features",
        "bias",
        "activation_function",
        "module_input_name",
        "module_output_name",
        "use_residual",
    ])?;
    settings.must_be("module_input_name", &json!("sentence_embedding"))?;
    settings.must_be("module_output_name", &json!("sentence_embedding"))?;
    settings.must_be("use_residual", &json!(false))?;
    settings.must_be("in_features", &json!(*dimensions))?;
    let inputs = std::mem::replace(dimensions, settings.required_size(&["out_features"])?);
    let mut weights = Weights::open(folder, "")?;
    let values = weights.read("linear.weight", &[*dimensions, inputs])?;
    let bias = match settings.flag("bias")? {
        Some(false) => vec![0.0; *dimensions],
        Some(true) | None => weights.read("linear.bias", &[*dimensions])?,
    };
    let activation = dense_activation(&settings)?;
    Ok(Step::Dense { panels: Panels::new(&values, *dimensions, &bias), inputs, activation })
}

fn dense_activation(settings: &Settings) -> Result<Activation, String> {
    match settings.text("activation_function")?.unwrap_or("torch.nn.modules.activation.Tanh") {
        "torch.nn.modules.activation.Tanh" => Ok(Activation::Tanh),
        "torch.nn.modules.activation.ReLU" => Ok(Activation::Relu),
        "torch.nn.modules.activation.GELU" => Ok(Activation::Gelu),
        "torch.nn.modules.linear.Identity" => Ok(Activation::Identity),
        other => Err(format!(
            "{}: activation `{other}` is not known, only torch's Tanh, ReLU, GELU and Identity",
            settings.file()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_pooling_gives_its_own_vector() {
        let tokens = [1.0, -2.0, 3.0, 4.0, 5.0, -6.0];
        let cases = [
            (Pool::First, [1.0, -2.0]),
            (Pool::Last, [5.0, -6.0]),
            (Pool::Largest, [5.0, 4.0]),
            (Pool::Mean, [3.0, -4.0 / 3.0]),
            (Pool::MeanOfRoot, [9.0 / 3f32.sqrt(), -4.0 / 3f32.sqrt()]),
            (Pool::WeightedMean, [22.0 / 6.0, -2.0]),
        ];
        for (pool, wanted) in cases {
            for (found, wanted) in pool.apply(&tokens, 2).iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-6, "{pool:?}: {found}, not {wanted}");
            }
        }
    }
}
