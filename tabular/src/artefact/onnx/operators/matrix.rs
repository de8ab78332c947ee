//! Products of matrices.

use super::super::attributes::Attributes;
use super::super::value::{MOST, Outcome, Value};
use super::Run;

/// `MatMul` of two matrices.
pub(super) fn mat_mul() -> Run {
    Box::new(|inputs| {
        let (a, b) = (inputs.get(0)?, inputs.get(1)?);
        Ok(vec![product(a, b, false, false, 1.0)?])
    })
}

/// `alpha · A · B + beta · C`.
pub(super) fn gemm(attributes: &Attributes<'_>) -> Outcome<Run> {
    let (alpha, beta) = (attributes.float("alpha", 1.0), attributes.float("beta", 1.0));
    let (turn_a, turn_b) = (attributes.int("transA", 0) != 0, attributes.int("transB", 0) != 0);
    Ok(Box::new(move |inputs| {
        let product = product(inputs.get(0)?, inputs.get(1)?, turn_a, turn_b, alpha)?;
        let Some(c) = inputs.maybe(2) else { return Ok(vec![product]) };
        let (element, numbers) = product.as_numbers()?;
        let (_, added) = c.as_numbers()?;
        let (rows, width) = product.rows();
        // C is stretched to the product's shape: along rows, columns, or both.
        let (step_row, step_column) = match c.dims.as_slice() {
            [] | [1] | [1, 1] => (0, 0),
            [columns] | [1, columns] if *columns == width => (0, 1),
            [all, 1] if *all == rows => (1, 0),
            [all, columns] if (*all, *columns) == (rows, width) => (width, 1),
            other => return Err(format!("the shape {other:?} cannot be added to {:?}", product.dims)),
        };
        let place = |at: usize| at / width * step_row + at % width * step_column;
        let sums = numbers.iter().enumerate().map(|(at, number)| number + beta * added[place(at)]).collect();
        Ok(vec![Value::numbers(element, product.dims.clone(), sums)?])
    }))
}

fn product(a: &Value, b: &Value, turn_a: bool, turn_b: bool, alpha: f64) -> Outcome<Value> {
    let ((element, left), (_, right)) = (a.as_numbers()?, b.as_numbers()?);
    let (&[a_rows, a_columns], &[b_rows, b_columns]) = (a.dims.as_slice(), b.dims.as_slice()) else {
        return Err("only matrices of two dimensions can be multiplied".to_owned());
    };
    let (rows, inner) = if turn_a { (a_columns, a_rows) } else { (a_rows, a_columns) };
    let (same, columns) = if turn_b { (b_columns, b_rows) } else { (b_rows, b_columns) };
    if inner != same {
        return Err(format!("the shapes {:?} and {:?} cannot be multiplied", a.dims, b.dims));
    }
    if rows.saturating_mul(columns) > MOST {
        return Err(format!("its result has more than {MOST} elements"));
    }
    let at_a = |row: usize, k: usize| left[if turn_a { k * a_columns + row } else { row * a_columns + k }];
    let at_b =
        |k: usize, column: usize| right[if turn_b { column * b_columns + k } else { k * b_columns + column }];
    let mut numbers = vec![0.0; rows * columns];
    for row in 0..rows {
        for k in 0..inner {
            let by = alpha * at_a(row, k);
            for column in 0..columns {
                numbers[row * columns + column] += by * at_b(k, column);
            }
        }
    }
    Value::numbers(element, vec![rows, columns], numbers)
}
