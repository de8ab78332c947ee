//! What a graph is asked and what it answers, by its own words and by those of the file beside it.

use serde::Deserialize;

use super::OnnxError;
use super::graph::{Graph, Input};
use super::value::{Content, Element};
use crate::schema::{Feature, Kind, OutcomeKind};

/// What a file `MODEL.onnx.json` may say about the model beside it. All of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sidecar {
    /// What callers call the model; by default the file's name without `.onnx`.
    pub name: Option<String>,
    /// The model's version; by default the graph's, if it has one.
    pub version: Option<String>,
    /// What is predicted; by default `outcome`.
    pub target: Option<String>,
    /// The features in the order of the graph's columns.
    pub features: Option<Vec<SidecarFeature>>,
    /// The two classes in the order of the output's columns; by default as the graph names them.
    pub classes: Option<[String; 2]>,
    /// Which class scores are the probability of; by default the second.
    pub positive: Option<String>,
    /// A score of at least this much is a positive answer.
    pub threshold: Option<f64>,
    /// The graph's output that has the scores; by default the only one that can.
    pub output: Option<String>,
}

/// A feature in a [`Sidecar`]: its name, or what is known about it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum SidecarFeature {
    /// Its name.
    Name(String),
    /// As in a model's schema.
    Feature(Feature),
}

/// The output that has the scores, what they are of, and of two classes the column of the positive one.
pub(super) fn scores(
    graph: &Graph,
    sidecar: &Sidecar,
) -> Result<(usize, OutcomeKind, Option<usize>), OnnxError> {
    let names = || graph.outputs.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut candidates = graph.outputs.iter().filter(|(name, place)| match &sidecar.output {
        Some(wanted) => name == wanted,
        None => !graph.is_label(*place),
    });
    let (found, more) = (candidates.next(), candidates.next());
    let Some((_, output)) = found.filter(|_| more.is_none()) else {
        let reason = match &sidecar.output {
            Some(wanted) => format!("there is no output `{wanted}`; there are {}", names()),
            None => format!("name the output with the scores as `output`: there are {}", names()),
        };
        return Err(OnnxError::Sidecar(reason));
    };
    let classes = match (&sidecar.classes, graph.labels(*output)) {
        (Some(classes), _) => classes.to_vec(),
        (None, Some(labels)) => labels.names(),
        (None, None) if sidecar.positive.is_some() => {
            return Err(OnnxError::Sidecar("`positive` needs `classes`: the graph names none".to_owned()));
        }
        (None, None) => return Ok((*output, OutcomeKind::Number, None)),
    };
    let [first, second] = classes.as_slice() else {
        return Err(OnnxError::Model(format!("it has {} classes; only two are supported", classes.len())));
    };
    if first == second {
        return Err(OnnxError::Sidecar(format!("both classes are `{first}`")));
    }
    let column = match &sidecar.positive {
        None => 1,
        Some(positive) if positive == second => 1,
        Some(positive) if positive == first => 0,
        Some(other) => {
            return Err(OnnxError::Sidecar(format!(
                "`positive` is `{other}`, but the classes are `{first}` and `{second}`"
            )));
        }
    };
    let (negative, positive) = if column == 1 { (first, second) } else { (second, first) };
    let kind = OutcomeKind::Classes { negative: negative.clone(), positive: positive.clone() };
    Ok((*output, kind, Some(column)))
}

pub(super) fn features(graph: &Graph, told: Option<Vec<SidecarFeature>>) -> Result<Vec<Feature>, OnnxError> {
    let mut features = Vec::new();
    for input in &graph.inputs {
        let width = match (input.width, &told) {
            (Some(width), _) => width,
            (None, Some(told)) if graph.inputs.len() == 1 => told.len(),
            (None, _) => {
                let name = &input.name;
                return Err(OnnxError::Sidecar(format!(
                    "the input `{name}` has any number of columns: name them as `features`"
                )));
            }
        };
        let name =
            |column: usize| if width == 1 { input.name.clone() } else { format!("{}_{column}", input.name) };
        features.extend((0..width).map(|column| feature(graph, input, name(column))));
    }
    if let Some(told) = told {
        if told.len() != features.len() {
            let (told, right) = (told.len(), features.len());
            return Err(OnnxError::Sidecar(format!("`features` names {told}, but the graph has {right}")));
        }
        for (feature, told) in features.iter_mut().zip(told) {
            match told {
                SidecarFeature::Name(name) => feature.name = name,
                SidecarFeature::Feature(told) if told.kind.is_number() == feature.kind.is_number() => {
                    *feature = told
                }
                SidecarFeature::Feature(told) => {
                    let kind = if feature.kind.is_number() { "numbers" } else { "words" };
                    return Err(OnnxError::Sidecar(format!(
                        "the feature `{}` has {kind} in the graph",
                        told.name
                    )));
                }
            }
        }
    }
    let mut names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    names.sort_unstable();
    match names.array_windows().find(|[one, other]| one == other) {
        Some([name, _]) => Err(OnnxError::Sidecar(format!("two features are named `{name}`"))),
        None if features.is_empty() => Err(OnnxError::Model("it has no inputs".to_owned())),
        None => Ok(features),
    }
}

fn feature(graph: &Graph, input: &Input, name: String) -> Feature {
    let (kind, nullable) = match input.content {
        Content::Words => {
            (Kind::Category { levels: graph.levels(input).unwrap_or_default().to_vec() }, false)
        }
        Content::Numbers(Element::Float | Element::Double) => (Kind::Real, true),
        Content::Numbers(Element::Int | Element::Bool) => (Kind::Integer, false),
    };
    Feature { name, kind, nullable }
}
