//! Tensors to the columns that a model reads.

use aigate_contract::{
    Error, ErrorKind, Result,
    predict::{PredictRequest, Scalar, Tensor},
};
use aigate_tabular::{
    schema::{Feature, Schema},
    table::{Column, Table},
};

/// The request's rows, with the model's features as columns. The edge has checked the request against the signature.
pub(crate) fn table(schema: &Schema, request: &PredictRequest) -> Result<Table> {
    let rows = request.rows();
    let mut names = Vec::with_capacity(schema.features.len());
    let mut columns = Vec::with_capacity(schema.features.len());
    for feature in &schema.features {
        let column = match request.input(&feature.name) {
            Some(tensor) => column(feature, tensor)?,
            None if feature.nullable => missing(feature, rows),
            None => {
                let message = format!("the input `{}` is missing", feature.name);
                return Err(Error::new(ErrorKind::Invalid, message).with_param(&feature.name));
            }
        };
        names.push(feature.name.clone());
        columns.push(column);
    }
    Ok(Table { names, columns, rows })
}

fn column(feature: &Feature, tensor: &Tensor) -> Result<Column> {
    let wrong = || {
        let message = format!("the input `{}` is of the datatype {}", feature.name, tensor.datatype());
        Error::new(ErrorKind::Invalid, message).with_param(&feature.name)
    };
    if feature.kind.is_number() {
        let number = |scalar| match scalar {
            Scalar::Real(value) => Some(value),
            // Whole numbers beyond 2⁵³ are rounded, as they were in training.
            #[expect(clippy::cast_precision_loss, reason = "as in training, where numbers are FP64 too")]
            Scalar::Int(value) => Some(value as f64),
            Scalar::Uint(value) => Some(value as f64),
            _ => None,
        };
        return tensor.data.iter().map(number).collect::<Option<_>>().map(Column::Numbers).ok_or_else(wrong);
    }
    let word = |scalar| match scalar {
        Scalar::Bytes([]) => Some(None),
        Scalar::Bytes(text) => Some(Some(std::str::from_utf8(text).ok()?.to_owned())),
        _ => None,
    };
    tensor.data.iter().map(word).collect::<Option<_>>().map(Column::Words).ok_or_else(wrong)
}

fn missing(feature: &Feature, rows: usize) -> Column {
    if feature.kind.is_number() {
        Column::Numbers(vec![f64::NAN; rows])
    } else {
        Column::Words(vec![None; rows])
    }
}
