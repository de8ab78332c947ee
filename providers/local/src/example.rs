//! A request that a model answers: typical values, for people who want to try.

use aigate_tabular::{
    artefact::Artefact,
    prepare::Block,
    schema::{Feature, Kind},
};
use serde_json::{Value, json};

use crate::signature::input;

/// One row of typical values as a request of the Open Inference Protocol: medians, and the first level of each category.
pub(crate) fn example(artefact: &Artefact) -> Value {
    let features = artefact.schema.features.iter().zip(&artefact.encoder.blocks);
    let tensors: Vec<Value> = features
        .map(|(feature, block)| {
            let datatype = input(feature).datatype;
            json!({ "name": feature.name, "shape": [1], "datatype": datatype, "data": [typical(feature, block)] })
        })
        .collect();
    json!({ "inputs": tensors })
}

fn typical(feature: &Feature, block: &Block) -> Value {
    match (&feature.kind, block) {
        (Kind::Category { levels }, _) => levels.first().map_or(Value::Null, |level| level.as_str().into()),
        #[expect(clippy::cast_possible_truncation, reason = "a median of whole numbers")]
        (Kind::Integer, Block::Number { fill, .. }) if !feature.nullable => (fill.round() as i64).into(),
        (_, Block::Number { fill, .. }) => (*fill).into(),
        (_, Block::Category { .. }) => Value::Null,
    }
}
