//! From the tensors of each family, by their names in transformers, to the network.

use super::attention::{Attention, Distances};
use super::config::{Config, Family};
use super::network::{Layer, Network, Norm};
use super::product::Panels;
use super::weights::Weights;

/// The names of a layer's tensors; `{}` is the layer.
struct Names {
    layer: &'static str,
    query: &'static str,
    key: &'static str,
    value: &'static str,
    output: &'static str,
    output_norm: &'static str,
    up: &'static str,
    down: &'static str,
    down_norm: &'static str,
}

const BERT: Names = Names {
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    output_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    down_norm: "output.LayerNorm",
};

const DISTILBERT: Names = Names {
    layer: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    output: "attention.out_lin",
    output_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    down_norm: "output_layer_norm",
};

const MPNET: Names = Names {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    output: "attention.attn.o",
    output_norm: "attention.LayerNorm",
    ..BERT
};

/// Reads all tensors that the model's output needs. `longest` bounds the tokens of a text.
pub(super) fn network(config: &Config, weights: &mut Weights, longest: usize) -> Result<Network, String> {
    let hidden = config.hidden;
    let names = match config.family {
        Family::Bert | Family::Roberta => BERT,
        Family::DistilBert => DISTILBERT,
        Family::MpNet => MPNET,
    };
    let layers = (0..config.layers).map(|index| layer(config, weights, &names, index));
    Ok(Network {
        hidden,
        inner: config.inner,
        epsilon: config.epsilon,
        activation: config.activation,
        padding: config.padding,
        layers: layers.collect::<Result<_, _>>()?,
        words: weights.read("embeddings.word_embeddings.weight", &[config.vocabulary, hidden])?,
        positions: positions(config, weights)?,
        norm: norm(weights, "embeddings.LayerNorm", hidden)?,
        attention: Attention {
            hidden,
            heads: config.heads,
            distances: match config.family {
                Family::MpNet => Some(distances(config, weights, longest)?),
                Family::Bert | Family::Roberta | Family::DistilBert => None,
            },
        },
    })
}

/// How many numbers [`network`] keeps; `None` where no memory could hold them.
pub(super) fn numbers(config: &Config, longest: usize) -> Option<usize> {
    let Config { hidden, inner, .. } = config;
    let attention = hidden.checked_add(1)?.checked_mul(hidden.checked_mul(4)?)?;
    let feed_forward =
        hidden.checked_mul(*inner)?.checked_mul(2)?.checked_add(hidden.checked_add(*inner)?)?;
    let layer = attention.checked_add(feed_forward)?.checked_add(hidden.checked_mul(4)?)?;
    let tables = config.vocabulary.checked_add(config.positions)?.checked_add(2)?.checked_mul(*hidden)?;
    let distances = match config.family {
        Family::MpNet => longest.checked_mul(2)?.checked_mul(config.heads)?,
        Family::Bert | Family::Roberta | Family::DistilBert => 0,
    };
    layer.checked_mul(config.layers)?.checked_add(tables)?.checked_add(distances)
}

fn layer(config: &Config, weights: &mut Weights, names: &Names, index: usize) -> Result<Layer, String> {
    let (hidden, inner) = (config.hidden, config.inner);
    let named = |name: &str| format!("{}.{index}.{name}", names.layer);
    let (mut values, mut bias) = (Vec::new(), Vec::new());
    for name in [names.query, names.key, names.value] {
        values.extend(weights.read(&format!("{}.weight", named(name)), &[hidden, hidden])?);
        bias.extend(weights.read(&format!("{}.bias", named(name)), &[hidden])?);
    }
    Ok(Layer {
        queries_keys_values: Panels::new(&values, hidden * 3, &bias),
        output: linear(weights, &named(names.output), hidden, hidden)?,
        output_norm: norm(weights, &named(names.output_norm), hidden)?,
        up: linear(weights, &named(names.up), inner, hidden)?,
        down: linear(weights, &named(names.down), hidden, inner)?,
        down_norm: norm(weights, &named(names.down_norm), hidden)?,
    })
}

/// A linear layer with a bias.
fn linear(weights: &mut Weights, name: &str, outputs: usize, inputs: usize) -> Result<Panels, String> {
    let values = weights.read(&format!("{name}.weight"), &[outputs, inputs])?;
    let bias = weights.read(&format!("{name}.bias"), &[outputs])?;
    Ok(Panels::new(&values, outputs, &bias))
}

fn norm(weights: &mut Weights, name: &str, width: usize) -> Result<Norm, String> {
    let weight = weights.read(&format!("{name}.weight"), &[width])?;
    Ok(Norm { weight, bias: weights.read(&format!("{name}.bias"), &[width])? })
}

/// The table of positions with the first token type's vector added to each: every token of a text has that type.
fn positions(config: &Config, weights: &mut Weights) -> Result<Vec<f32>, String> {
    let hidden = config.hidden;
    let mut positions = weights.read("embeddings.position_embeddings.weight", &[config.positions, hidden])?;
    if let Some(types) = config.types {
        let types = weights.read("embeddings.token_type_embeddings.weight", &[types, hidden])?;
        for row in positions.chunks_exact_mut(hidden) {
            for (value, kind) in row.iter_mut().zip(&types) {
                *value += kind;
            }
        }
    }
    Ok(positions)
}

fn distances(config: &Config, weights: &mut Weights, longest: usize) -> Result<Distances, String> {
    let shape = [Distances::BUCKETS, config.heads];
    let table = weights.read("encoder.relative_attention_bias.weight", &shape)?;
    Ok(Distances::new(&table, config.heads, longest))
}
