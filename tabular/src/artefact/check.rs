//! Whether the parts of a model file fit each other, so that nothing that scores a row has to ask again.

use super::{Artefact, ArtefactError};
use crate::model::{Form, Kernel, Linear, Model, Tree, Trees};
use crate::prepare::{Block, Encoder};
use crate::schema::{Kind, OutcomeKind, Schema};

/// A tree may ask this many questions in a row. Scoring and explaining walk that deep.
pub(super) const DEEPEST: usize = 512;

/// More features, levels, or columns than this are taken for damage.
const WIDEST: usize = 1_000_000;

type Checked = Result<(), ArtefactError>;

pub(super) fn check(artefact: &Artefact) -> Checked {
    schema(&artefact.schema)?;
    encoder(&artefact.schema, &artefact.encoder)?;
    model(&artefact.model, artefact.encoder.width())?;
    finite("threshold", [artefact.threshold])?;
    finite("importance", artefact.importance.iter().map(|(_, value)| *value))?;
    if artefact.name.is_empty() {
        return wrong("name", "it is empty");
    }
    if matches!(artefact.schema.outcome.kind, OutcomeKind::Classes { .. })
        && !(0.0..=1.0_f64.next_up()).contains(&artefact.threshold)
    {
        return wrong("threshold", format!("{} is not between 0 and 1", artefact.threshold));
    }
    Ok(())
}

fn schema(schema: &Schema) -> Checked {
    if schema.features.is_empty() {
        return wrong("schema.features", "there is none");
    }
    let mut names: Vec<&str> = schema.features.iter().map(|feature| feature.name.as_str()).collect();
    names.push(&schema.outcome.column);
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
        return wrong("schema", format!("the name `{name}` is there twice"));
    }
    for (index, feature) in schema.features.iter().enumerate() {
        if let Kind::Category { levels } = &feature.kind {
            distinct(&format!("schema.features[{index}].levels"), levels)?;
        }
    }
    match &schema.outcome.kind {
        OutcomeKind::Classes { negative, positive } if negative == positive => {
            wrong("schema.outcome", format!("both classes are `{positive}`"))
        }
        OutcomeKind::Classes { .. } | OutcomeKind::Number => Ok(()),
    }
}

fn encoder(schema: &Schema, encoder: &Encoder) -> Checked {
    if encoder.blocks.len() != schema.features.len() {
        let (blocks, features) = (encoder.blocks.len(), schema.features.len());
        return wrong("encoder.blocks", format!("there are {blocks} for {features} features"));
    }
    for (index, (feature, block)) in schema.features.iter().zip(&encoder.blocks).enumerate() {
        let part = format!("encoder.blocks[{index}]");
        match block {
            Block::Number { fill, center, scale, .. } => {
                if !feature.kind.is_number() {
                    return wrong(part, format!("it encodes numbers, but `{}` has words", feature.name));
                }
                finite(&part, [*fill, *center, *scale])?;
                if *scale == 0.0 {
                    return wrong(part, "its scale is 0");
                }
            }
            Block::Category { levels, .. } => {
                if feature.kind.is_number() {
                    return wrong(part, format!("it encodes words, but `{}` has numbers", feature.name));
                }
                distinct(&part, levels)?;
            }
        }
    }
    match encoder.width() {
        0 => wrong("encoder", "it gives no columns"),
        1..=WIDEST => Ok(()),
        wide => wrong("encoder", format!("it gives {wide} columns, more than {WIDEST}")),
    }
}

fn distinct(part: &str, levels: &[String]) -> Checked {
    let mut sorted: Vec<&String> = levels.iter().collect();
    sorted.sort_unstable();
    match sorted.array_windows().find(|[one, other]| one == other) {
        Some([level, _]) => wrong(part, format!("the level `{level}` is there twice")),
        None => Ok(()),
    }
}

fn model(model: &Model, width: usize) -> Checked {
    match &model.form {
        Form::Linear(form) => linear(form, width),
        Form::Kernel(form) => kernel(form, width),
        Form::Trees(form) => trees(form, width),
    }
}

fn linear(linear: &Linear, width: usize) -> Checked {
    let part = "model.form.linear";
    same(part, "weights", linear.weights.len(), width)?;
    same(part, "means", linear.means.len(), width)?;
    finite(part, linear.weights.iter().chain(&linear.means).copied().chain([linear.intercept]))
}

fn kernel(kernel: &Kernel, width: usize) -> Checked {
    let part = "model.form.kernel";
    same(part, "coefficients", kernel.coefficients.len(), kernel.vectors.len())?;
    if kernel.background.is_empty() {
        return wrong(part, "it has no background rows");
    }
    for row in kernel.vectors.iter().chain(&kernel.background) {
        same(part, "numbers in a row", row.len(), width)?;
        finite(part, row.iter().copied())?;
    }
    let single = [kernel.intercept, kernel.gamma, kernel.slope, kernel.shift];
    finite(part, kernel.coefficients.iter().copied().chain(single))?;
    if kernel.gamma < 0.0 { wrong(part, format!("its gamma {} is negative", kernel.gamma)) } else { Ok(()) }
}

fn trees(trees: &Trees, width: usize) -> Checked {
    let part = "model.form.trees";
    finite(part, [trees.base, trees.factor])?;
    if trees.trees.is_empty() {
        return wrong(part, "there is no tree");
    }
    let mut each = trees.trees.iter().enumerate();
    each.try_for_each(|(index, one)| tree(one, width, &format!("{part}.trees[{index}]")))
}

/// Children stand after their parent, and every node but the first is the child of exactly one: so there is no cycle, nothing
/// is shared, and nothing is out of reach.
fn tree(tree: &Tree, width: usize, part: &str) -> Checked {
    let nodes = tree.feature.len();
    if nodes == 0 {
        return wrong(part, "it has no nodes");
    }
    same(part, "thresholds", tree.threshold.len(), nodes)?;
    same(part, "left children", tree.left.len(), nodes)?;
    same(part, "values", tree.value.len(), nodes)?;
    same(part, "covers", tree.cover.len(), nodes)?;
    finite(part, tree.threshold.iter().chain(&tree.value).chain(&tree.cover).copied())?;
    if let Some(cover) = tree.cover.iter().find(|cover| **cover < 0.0) {
        return wrong(part, format!("a cover is negative: {cover}"));
    }
    // For each node, how many questions are asked before it; 0 for "no parent seen yet".
    let mut depth = vec![0_usize; nodes];
    for node in 0..nodes {
        let here = depth[node];
        if (here == 0) != (node == 0) {
            return wrong(part, format!("node {node} is not below a node before it"));
        }
        if tree.feature[node] < 0 {
            continue;
        }
        if usize::try_from(tree.feature[node]).map_or(true, |column| column >= width) {
            return wrong(part, format!("node {node} asks for column {} of {width}", tree.feature[node]));
        }
        if here >= DEEPEST {
            return wrong(part, format!("it is deeper than {DEEPEST} questions"));
        }
        let left = usize::try_from(tree.left[node]).unwrap_or(usize::MAX);
        if left <= node || left >= nodes - 1 {
            return wrong(
                part,
                format!("node {node} has the children {left} and {}", left.saturating_add(1)),
            );
        }
        for child in [left, left + 1] {
            if std::mem::replace(&mut depth[child], here + 1) != 0 {
                return wrong(part, format!("node {child} has two parents"));
            }
        }
    }
    Ok(())
}

fn same(part: &str, what: &str, found: usize, right: usize) -> Checked {
    if found == right { Ok(()) } else { wrong(part, format!("{found} {what} instead of {right}")) }
}

fn finite(part: &str, numbers: impl IntoIterator<Item = f64>) -> Checked {
    match numbers.into_iter().find(|number| !number.is_finite()) {
        None => Ok(()),
        Some(number) => wrong(part, format!("{number} is not a finite number")),
    }
}

fn wrong(part: impl Into<String>, reason: impl Into<String>) -> Checked {
    Err(ArtefactError::inconsistent(part, reason))
}
