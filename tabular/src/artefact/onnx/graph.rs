//! A graph of operators: compiled once, run for each table.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::attributes::{Attributes, Labels};
use super::operators::{self, Inputs, Run};
use super::value::{Content, Outcome, Value};
use super::wire;

/// More nodes are taken for damage.
const MOST_NODES: usize = 100_000;

/// A graph that is ready to run.
pub(super) struct Graph {
    pub(super) inputs: Vec<Input>,
    /// What it can be asked for, and where that is.
    pub(super) outputs: Vec<(String, usize)>,
    steps: Vec<Step>,
    /// One per value of the graph: those that are the same in every run.
    constants: Vec<Option<Value>>,
}

/// What a graph wants to be given.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) content: Content,
    /// Its last length; none if that is open. 1 for values without lengths beyond the first.
    pub(super) width: Option<usize>,
    pub(super) place: usize,
    /// How many lengths it has.
    pub(super) dims: usize,
}

struct Step {
    /// For messages.
    name: String,
    operator: String,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    run: Run,
    labels: Option<Labels>,
    /// Words it knows, if it encodes words.
    levels: Option<Vec<String>>,
}

impl Graph {
    pub(super) fn new(model: &wire::Model) -> Outcome<Self> {
        let graph = model.graph.as_ref().ok_or("it has no graph")?;
        if let Some(function) = model.functions.first() {
            return Err(format!("it has a function of its own, `{}`, which is not supported", function.name));
        }
        if !graph.sparse.is_empty() {
            return Err("it has sparse numbers, which are not supported".to_owned());
        }
        if graph.nodes.len() > MOST_NODES {
            return Err(format!("it has {} nodes, more than {MOST_NODES}", graph.nodes.len()));
        }
        let mut builder = Builder::default();
        for tensor in &graph.initializers {
            let value = Value::decode(tensor).map_err(|reason| format!("`{}`: {reason}", tensor.name))?;
            builder.constant(&tensor.name, value);
        }
        let inputs = graph.inputs.iter().filter(|input| !builder.places.contains_key(input.name.as_str()));
        let inputs: Vec<_> = inputs.collect();
        let inputs = inputs.into_iter().map(|input| builder.input(input)).collect::<Outcome<_>>()?;
        let versions = model.versions();
        for node in &graph.nodes {
            let what = format!("operator `{}` (node `{}`)", node.operator, node.name);
            builder.node(node, &versions).map_err(|reason| format!("{what}: {reason}"))?;
        }
        let output = |output: &wire::ValueInfo| {
            let place = builder.places.get(output.name.as_str());
            let place = place.ok_or_else(|| format!("nothing computes the output `{}`", output.name))?;
            Ok((output.name.clone(), *place))
        };
        let outputs = graph.outputs.iter().map(output).collect::<Outcome<_>>()?;
        Ok(Self { inputs, outputs, steps: builder.steps, constants: builder.constants })
    }

    /// The value at `wanted`, given one value per input.
    pub(super) fn run(&self, given: Vec<Value>, wanted: usize) -> Outcome<Value> {
        let mut values: Vec<Option<Value>> = vec![None; self.constants.len()];
        for (input, value) in self.inputs.iter().zip(given) {
            values[input.place] = Some(value);
        }
        for step in &self.steps {
            let found = |place: &Option<usize>| {
                place.and_then(|place| values[place].as_ref().or(self.constants[place].as_ref()))
            };
            let inputs: Vec<Option<&Value>> = step.inputs.iter().map(found).collect();
            let results = (step.run)(&Inputs(&inputs))
                .map_err(|reason| format!("operator `{}` (node `{}`): {reason}", step.operator, step.name))?;
            for (place, result) in step.outputs.iter().zip(results) {
                if let Some(place) = place {
                    values[*place] = Some(result);
                }
            }
        }
        let value = values.get_mut(wanted).and_then(Option::take);
        value
            .or_else(|| self.constants.get(wanted).cloned().flatten())
            .ok_or_else(|| "it has no result".to_owned())
    }

    /// The classes whose probabilities an output has: those of the nearest operator behind it that names some.
    pub(super) fn labels(&self, output: usize) -> Option<&Labels> {
        let mut wanted = HashSet::from([output]);
        for step in self.steps.iter().rev() {
            if step.outputs.iter().flatten().any(|place| wanted.contains(place)) {
                if step.labels.is_some() {
                    return step.labels.as_ref();
                }
                wanted.extend(step.inputs.iter().flatten());
            }
        }
        None
    }

    /// Whether an output is the labels that an operator chose, not its scores.
    pub(super) fn is_label(&self, output: usize) -> bool {
        let mut wanted = output;
        // Every step reads what steps before it gave.
        for step in self.steps.iter().rev() {
            if !step.outputs.iter().flatten().any(|place| *place == wanted) {
                continue;
            }
            match (step.operator.as_str(), step.inputs.first().copied().flatten()) {
                (operator, Some(before)) if MOVES.contains(&operator) => wanted = before,
                ("ArrayFeatureExtractor" | "LabelEncoder" | "ArgMax", _) => return true,
                ("ZipMap", _) => return false,
                _ => return step.labels.is_some() && step.outputs.first() == Some(&Some(wanted)),
            }
        }
        false
    }

    /// The words that are known to the first operator that does more with an input of one column than move it.
    pub(super) fn levels(&self, input: &Input) -> Option<&[String]> {
        let mut moved = vec![input.place];
        for step in &self.steps {
            if step.inputs.first().copied().flatten().is_some_and(|place| moved.contains(&place)) {
                if step.levels.is_some() {
                    return step.levels.as_deref();
                }
                let moves = MOVES.contains(&step.operator.as_str())
                    || ["Gather", "ArrayFeatureExtractor"].contains(&step.operator.as_str());
                if moves && input.width == Some(1) {
                    moved.extend(step.outputs.iter().flatten());
                }
            }
        }
        None
    }
}

/// Operators whose output has the elements of their first input, as they are.
const MOVES: [&str; 5] = ["Cast", "Flatten", "Identity", "Reshape", "Squeeze"];

#[derive(Default)]
struct Builder<'a> {
    places: HashMap<&'a str, usize>,
    constants: Vec<Option<Value>>,
    steps: Vec<Step>,
}

impl<'a> Builder<'a> {
    fn place(&mut self, name: &'a str) -> usize {
        let place = self.constants.len();
        self.constants.push(None);
        self.places.insert(name, place);
        place
    }

    fn constant(&mut self, name: &'a str, value: Value) {
        let place = self.place(name);
        self.constants[place] = Some(value);
    }

    fn input(&mut self, input: &'a wire::ValueInfo) -> Outcome<Input> {
        let name = input.name.clone();
        let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
        let tensor = tensor.ok_or_else(|| format!("the input `{name}` is not a tensor"))?;
        let content =
            Content::of(tensor.element).map_err(|reason| format!("the input `{name}`: {reason}"))?;
        let shape = tensor.shape.as_ref().map(|shape| shape.dims.as_slice()).unwrap_or_default();
        let width = match shape {
            [] | [_] => Some(1),
            [_, width] => {
                width.value.and_then(|width| usize::try_from(width).ok()).filter(|width| *width > 0)
            }
            _ => {
                return Err(format!(
                    "the input `{name}` has {} dimensions; rows of a table have 2",
                    shape.len()
                ));
            }
        };
        if width > Some(100_000) {
            return Err(format!("the input `{name}` has more than 100000 columns"));
        }
        Ok(Input { content, width, place: self.place(&input.name), dims: shape.len(), name })
    }

    fn node(&mut self, node: &'a wire::Node, versions: &HashMap<&str, i64>) -> Outcome<()> {
        let domain = wire::domain(&node.domain);
        let version = *versions
            .get(domain)
            .ok_or_else(|| format!("no version of the operator set `{domain}` is named"))?;
        let attributes = Attributes::new(node);
        if (domain, node.operator.as_str()) == ("", "Constant") {
            let value = operators::constant(&attributes)?;
            attributes.all_read()?;
            let output = node.outputs.first().ok_or("it has no output")?;
            self.constant(output, value);
            return Ok(());
        }
        let compiled = operators::compile(domain, &node.operator, version, &attributes)?;
        attributes.all_read()?;
        let input = |name: &'a String| match name.as_str() {
            "" => Ok(None),
            name => self
                .places
                .get(name)
                .copied()
                .map(Some)
                .ok_or_else(|| format!("nothing computes its input `{name}`")),
        };
        let inputs = node.inputs.iter().map(input).collect::<Outcome<Vec<_>>>()?;
        let output = |name: &'a String| (!name.is_empty()).then(|| self.place(name));
        let outputs = node.outputs.iter().map(output).collect();
        let labels = compiled.labels.or_else(|| self.constant_labels(node, &inputs));
        let (name, operator) = (node.name.clone(), node.operator.clone());
        self.steps.push(Step {
            name,
            operator,
            inputs,
            outputs,
            run: compiled.run,
            labels,
            levels: compiled.levels,
        });
        Ok(())
    }

    /// Labels that are picked out of a constant.
    fn constant_labels(&self, node: &wire::Node, inputs: &[Option<usize>]) -> Option<Labels> {
        if node.operator != "ArrayFeatureExtractor" {
            return None;
        }
        let value = self.constants.get((*inputs.first()?)?)?.as_ref()?;
        match &value.data {
            super::value::Data::Words(words) => Some(Labels::Words(words.clone())),
            super::value::Data::Numbers(super::value::Element::Int, _) => {
                value.as_ints().ok().map(Labels::Ints)
            }
            super::value::Data::Numbers(..) => None,
        }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operators: Vec<&str> = self.steps.iter().map(|step| step.operator.as_str()).collect();
        f.debug_struct("Graph")
            .field("inputs", &self.inputs)
            .field("operators", &operators)
            .finish_non_exhaustive()
    }
}
