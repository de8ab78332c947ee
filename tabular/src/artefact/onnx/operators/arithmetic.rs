//! Operators that treat every element by itself, with broadcasting where there are several inputs.

use super::super::attributes::Attributes;
use super::super::value::{Data, Element, MOST, Outcome, Value};
use super::{Inputs, Run};

type One = Box<dyn Fn(f64) -> f64 + Send + Sync>;
type Two = fn(f64, f64) -> f64;

/// An operator by its name; none if it is not one of these.
pub(super) fn compile(name: &str, version: i64, attributes: &Attributes<'_>) -> Outcome<Option<Run>> {
    if let Some(two) = arithmetic(name) {
        before_seven(version)?;
        // `Sum`, `Min` and `Max` take any number of inputs.
        return Ok(Some(Box::new(move |inputs| fold(inputs, two))));
    }
    if let Some(two) = comparison(name) {
        before_seven(version)?;
        return Ok(Some(Box::new(move |inputs| {
            Ok(vec![combine(inputs.get(0)?, inputs.get(1)?, Some(Element::Bool), two)?])
        })));
    }
    match name {
        "Where" => Ok(Some(Box::new(choose))),
        "Equal" => Ok(Some(Box::new(equal))),
        "IsNaN" => Ok(Some(each(|x| f64::from(u8::from(x.is_nan())), Some(Element::Bool)))),
        _ => Ok(single(name, attributes)?.map(|one| each(one, None))),
    }
}

fn before_seven(version: i64) -> Outcome<()> {
    if version < 7 {
        Err("operator sets before version 7 broadcast in another way".to_owned())
    } else {
        Ok(())
    }
}

fn arithmetic(name: &str) -> Option<Two> {
    Some(match name {
        "Add" | "Sum" => |x, y| x + y,
        "Sub" => |x, y| x - y,
        "Mul" => |x, y| x * y,
        "Div" => |x, y| x / y,
        "Pow" => f64::powf,
        "Min" => |x, y| if x.is_nan() || x < y { x } else { y },
        "Max" => |x, y| if x.is_nan() || x > y { x } else { y },
        _ => return None,
    })
}

fn comparison(name: &str) -> Option<Two> {
    Some(match name {
        "Less" => |x, y| f64::from(u8::from(x < y)),
        "LessOrEqual" => |x, y| f64::from(u8::from(x <= y)),
        "Greater" => |x, y| f64::from(u8::from(x > y)),
        "GreaterOrEqual" => |x, y| f64::from(u8::from(x >= y)),
        "And" => |x, y| f64::from(u8::from(x != 0.0 && y != 0.0)),
        "Or" => |x, y| f64::from(u8::from(x != 0.0 || y != 0.0)),
        _ => return None,
    })
}

fn single(name: &str, attributes: &Attributes<'_>) -> Outcome<Option<One>> {
    let one: fn(f64) -> f64 = match name {
        "Abs" => f64::abs,
        "Ceil" => f64::ceil,
        "Exp" => f64::exp,
        "Floor" => f64::floor,
        "Log" => f64::ln,
        "Neg" => |x| -x,
        "Not" => |x| f64::from(u8::from(x == 0.0)),
        "Reciprocal" => |x| 1.0 / x,
        "Relu" => |x| if x < 0.0 { 0.0 } else { x },
        "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "Sign" => |x| if x == 0.0 { 0.0 } else { x.signum() },
        "Softplus" => |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
        "Sqrt" => f64::sqrt,
        "Tanh" => f64::tanh,
        "LeakyRelu" => {
            let alpha = attributes.float("alpha", f64::from(0.01_f32));
            return Ok(Some(Box::new(move |x| if x < 0.0 { alpha * x } else { x })));
        }
        "Elu" => {
            let alpha = attributes.float("alpha", 1.0);
            return Ok(Some(Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })));
        }
        _ => return Ok(None),
    };
    Ok(Some(Box::new(one)))
}

fn each(one: impl Fn(f64) -> f64 + Send + Sync + 'static, result: Option<Element>) -> Run {
    Box::new(move |inputs| {
        let value = inputs.get(0)?;
        let (element, numbers) = value.as_numbers()?;
        let numbers = numbers.iter().map(|number| one(*number)).collect();
        Ok(vec![Value::numbers(result.unwrap_or(element), value.dims.clone(), numbers)?])
    })
}

fn fold(inputs: &Inputs<'_>, two: Two) -> Outcome<Vec<Value>> {
    let mut sum = inputs.get(0)?.clone();
    for value in inputs.all().skip(1) {
        sum = combine(&sum, value, None, two)?;
    }
    Ok(vec![sum])
}

fn combine(one: &Value, other: &Value, result: Option<Element>, two: Two) -> Outcome<Value> {
    let ((element, ones), (_, others)) = (one.as_numbers()?, other.as_numbers()?);
    let dims = broadcast(&one.dims, &other.dims)?;
    let numbers = match (places(&one.dims, &dims), places(&other.dims, &dims)) {
        (None, None) => ones.iter().zip(others).map(|(x, y)| two(*x, *y)).collect(),
        (first, second) => {
            let size = dims.iter().product();
            let place =
                |places: &Option<Vec<usize>>, at: usize| places.as_ref().map_or(at, |places| places[at]);
            (0..size).map(|at| two(ones[place(&first, at)], others[place(&second, at)])).collect()
        }
    };
    Value::numbers(result.unwrap_or(element), dims, numbers)
}

fn equal(inputs: &Inputs<'_>) -> Outcome<Vec<Value>> {
    let (one, other) = (inputs.get(0)?, inputs.get(1)?);
    let (Data::Words(ones), Data::Words(others)) = (&one.data, &other.data) else {
        return Ok(vec![combine(one, other, Some(Element::Bool), |x, y| f64::from(u8::from(x == y)))?]);
    };
    let dims = broadcast(&one.dims, &other.dims)?;
    let (first, second) = (all_places(&one.dims, &dims), all_places(&other.dims, &dims));
    let same = first.iter().zip(&second).map(|(x, y)| f64::from(u8::from(ones[*x] == others[*y])));
    Ok(vec![Value::numbers(Element::Bool, dims, same.collect())?])
}

fn choose(inputs: &Inputs<'_>) -> Outcome<Vec<Value>> {
    let (condition, yes, no) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
    let dims = broadcast(&broadcast(&condition.dims, &yes.dims)?, &no.dims)?;
    let (_, conditions) = condition.as_numbers()?;
    let at = all_places(&condition.dims, &dims);
    let (yes_at, no_at) = (all_places(&yes.dims, &dims), all_places(&no.dims, &dims));
    let pick = |index: usize| conditions[at[index]] != 0.0;
    let data = match (&yes.data, &no.data) {
        (Data::Numbers(element, yes), Data::Numbers(_, no)) => {
            let each = (0..at.len()).map(|i| if pick(i) { yes[yes_at[i]] } else { no[no_at[i]] });
            Data::Numbers(*element, each.collect())
        }
        (Data::Words(yes), Data::Words(no)) => {
            let each =
                (0..at.len()).map(|i| if pick(i) { yes[yes_at[i]].clone() } else { no[no_at[i]].clone() });
            Data::Words(each.collect())
        }
        _ => return Err("it chooses between words and numbers".to_owned()),
    };
    Ok(vec![Value { dims, data }])
}

/// The shape of what two shapes give together: lengths count from the last; 1 stretches.
fn broadcast(one: &[usize], other: &[usize]) -> Outcome<Vec<usize>> {
    let most = one.len().max(other.len());
    let from_end = |dims: &[usize], back: usize| dims.len().checked_sub(back).map_or(1, |index| dims[index]);
    let dim = |back: usize| match (from_end(one, back), from_end(other, back)) {
        (x, y) if x == y => Ok(x),
        (1, x) | (x, 1) => Ok(x),
        _ => Err(format!("the shapes {one:?} and {other:?} do not fit each other")),
    };
    let dims = (1..=most).rev().map(dim).collect::<Outcome<Vec<usize>>>()?;
    let size = dims.iter().try_fold(1_usize, |size, dim| size.checked_mul(*dim));
    if size.is_some_and(|size| size <= MOST) {
        Ok(dims)
    } else {
        Err(format!("a value of the shape {dims:?} has more than {MOST} elements"))
    }
}

/// For each element of a broadcast shape, which element of the smaller shape it is; none if they are the same.
fn places(dims: &[usize], wide: &[usize]) -> Option<Vec<usize>> {
    (dims != wide).then(|| all_places(dims, wide))
}

fn all_places(dims: &[usize], wide: &[usize]) -> Vec<usize> {
    // The last axis first: how far one step leads in the smaller shape.
    let mut places = vec![0];
    let mut stride = 1;
    for back in 1..=wide.len() {
        let length = dims.len().checked_sub(back).map_or(1, |index| dims[index]);
        let step = if length == 1 { 0 } else { stride };
        let count = wide[wide.len() - back];
        places = (0..count).flat_map(|at| places.iter().map(move |place| place + at * step)).collect();
        stride *= length;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::{all_places, broadcast};

    #[test]
    fn lengths_of_one_stretch_and_others_must_agree() {
        assert_eq!(broadcast(&[2, 1], &[3]), Ok(vec![2, 3]));
        assert_eq!(broadcast(&[], &[2, 2]), Ok(vec![2, 2]));
        assert!(broadcast(&[2], &[3]).is_err());
        assert!(broadcast(&[1 << 20, 1], &[1 << 20]).is_err());
        assert_eq!(all_places(&[2, 1], &[2, 3]), [0, 0, 0, 1, 1, 1]);
        assert_eq!(all_places(&[3], &[2, 3]), [0, 1, 2, 0, 1, 2]);
        assert_eq!(all_places(&[2, 1, 2], &[2, 2, 2]), [0, 1, 0, 1, 2, 3, 2, 3]);
        assert_eq!(all_places(&[], &[2]), [0, 0]);
    }
}
