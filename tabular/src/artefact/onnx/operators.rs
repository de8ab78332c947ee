//! The operators of tabular models: the part of the two ONNX operator sets that exports of scikit-learn, `LightGBM` and `XGBoost`
//! use, and what small networks need. <https://github.com/onnx/onnx/blob/main/docs/Operators.md>,
//! <https://github.com/onnx/onnx/blob/main/docs/Operators-ml.md>.

use super::attributes::{Attributes, Labels};
use super::value::{Element, Outcome, Value};

mod arithmetic;
mod classes;
mod encoding;
mod ensemble;
mod linear;
mod matrix;
mod reduce;
mod scaling;
mod shape;
mod support;

/// What an operator does with its inputs.
pub(super) type Run = Box<dyn Fn(&Inputs<'_>) -> Outcome<Vec<Value>> + Send + Sync>;

/// The inputs of one run; one that is left out is none.
pub(super) struct Inputs<'a>(pub(super) &'a [Option<&'a Value>]);

/// An operator that is ready to run.
pub(super) struct Compiled {
    pub(super) run: Run,
    /// The classes it decides between.
    pub(super) labels: Option<Labels>,
    /// The words it knows.
    pub(super) levels: Option<Vec<String>>,
}

/// From a node's attributes.
pub(super) fn compile(
    domain: &str,
    name: &str,
    version: i64,
    attributes: &Attributes<'_>,
) -> Outcome<Compiled> {
    match domain {
        "ai.onnx.ml" => learned(name, attributes),
        "" => general(name, version, attributes).map(Compiled::from),
        other => Err(format!("the operator set `{other}` is not supported")),
    }
}

fn learned(name: &str, attributes: &Attributes<'_>) -> Outcome<Compiled> {
    match name {
        "ArrayFeatureExtractor" => Ok(shape::extract_features().into()),
        "Binarizer" => Ok(scaling::binarizer(attributes).into()),
        "CategoryMapper" => encoding::category_mapper(attributes),
        "Imputer" => scaling::imputer(attributes).map(Compiled::from),
        "LabelEncoder" => encoding::label_encoder(attributes),
        "LinearClassifier" => linear::classifier(attributes),
        "LinearRegressor" => linear::regressor(attributes).map(Compiled::from),
        "Normalizer" => scaling::normalizer(attributes).map(Compiled::from),
        "OneHotEncoder" => encoding::one_hot(attributes),
        "SVMClassifier" => support::classifier(attributes),
        "SVMRegressor" => support::regressor(attributes).map(Compiled::from),
        "Scaler" => scaling::scaler(attributes).map(Compiled::from),
        "TreeEnsembleClassifier" => ensemble::classifier(attributes),
        "TreeEnsembleRegressor" => ensemble::regressor(attributes).map(Compiled::from),
        "ZipMap" => {
            let labels = attributes.labels("classlabels_strings", "classlabels_int64s")?;
            Ok(Compiled { labels, ..shape::identity().into() })
        }
        other => Err(unknown(other)),
    }
}

fn general(name: &str, version: i64, attributes: &Attributes<'_>) -> Outcome<Run> {
    if let Some(run) = arithmetic::compile(name, version, attributes)? {
        return Ok(run);
    }
    match name {
        "ArgMax" => reduce::arg_max(attributes),
        "Cast" => shape::cast(attributes),
        "Concat" => shape::concat(attributes),
        "ConstantOfShape" => shape::constant_of_shape(attributes),
        "Flatten" => shape::flatten(attributes),
        "Gather" => shape::gather(attributes),
        "Gemm" => matrix::gemm(attributes),
        "Identity" => Ok(shape::identity()),
        "MatMul" => Ok(matrix::mat_mul()),
        "Reshape" => shape::reshape(attributes),
        "Shape" => Ok(shape::shape()),
        "Softmax" => reduce::softmax(version, attributes),
        "Squeeze" => Ok(shape::squeeze(attributes)),
        "Transpose" => shape::transpose(attributes),
        "Unsqueeze" => Ok(shape::unsqueeze(attributes)),
        _ => reduce::compile(name, attributes)?.ok_or_else(|| unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    format!("the operator `{name}` is not supported")
}

/// The value of a `Constant`.
pub(super) fn constant(attributes: &Attributes<'_>) -> Outcome<Value> {
    if let Some(tensor) = attributes.tensor("value")? {
        return Ok(tensor);
    }
    let single = |element, number| Value::numbers(element, Vec::new(), vec![number]);
    if attributes.has("value_float") {
        return single(Element::Float, attributes.float("value_float", 0.0));
    }
    if attributes.has("value_int") {
        return single(Element::Int, attributes.int("value_int", 0) as f64);
    }
    if attributes.has("value_ints") {
        let ints = attributes.ints("value_ints");
        return Value::numbers(Element::Int, vec![ints.len()], ints.iter().map(|int| *int as f64).collect());
    }
    if attributes.has("value_floats") {
        let floats = attributes.floats("value_floats")?;
        return Value::numbers(Element::Float, vec![floats.len()], floats);
    }
    Err("it has no value of a known kind".to_owned())
}

impl Inputs<'_> {
    pub(super) fn get(&self, index: usize) -> Outcome<&Value> {
        self.maybe(index).ok_or_else(|| format!("its input {index} is missing"))
    }

    pub(super) fn maybe(&self, index: usize) -> Option<&Value> {
        self.0.get(index).copied().flatten()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().copied().flatten()
    }

    /// The first input as rows of numbers: its element, its numbers, and how many rows and columns there are.
    pub(super) fn rows(&self) -> Outcome<(Element, &[f64], usize, usize)> {
        let value = self.get(0)?;
        let ((element, numbers), (rows, width)) = (value.as_numbers()?, value.rows());
        Ok((element, numbers, rows, width))
    }
}

impl From<Run> for Compiled {
    fn from(run: Run) -> Self {
        Self { run, labels: None, levels: None }
    }
}

/// The element of what is computed from numbers: learned operators give floats, except for doubles.
fn real(element: Element) -> Element {
    if element == Element::Double { Element::Double } else { Element::Float }
}

/// An axis, counted from the end where negative.
fn axis(axis: i64, dims: usize) -> Outcome<usize> {
    let from_start = if axis < 0 { axis + i64::try_from(dims).unwrap_or(i64::MAX) } else { axis };
    let found = usize::try_from(from_start).ok().filter(|axis| *axis < dims);
    found.ok_or_else(|| format!("there is no axis {axis} of {dims}"))
}
