//! Answers of containers.

use std::fmt::Write as _;

use serde_json::json;

use super::{
    Container, Failure, Media, Result,
    oip::OUTPUT,
    read::{Question, Shape},
};
use crate::{answer::Whole, scorer::Score};

pub(super) fn answer(
    container: &Container<'_>,
    media: Media,
    question: &Question,
    scores: &[Score],
) -> Result<Whole> {
    let numbers = || scores.iter().map(|score| score.score);
    if matches!(question.shape, Shape::Tensors { .. }) && media != Media::Json {
        return Err(Failure::new(406, "the Open Inference Protocol is answered by application/json"));
    }
    let body = match (media, &question.shape) {
        (Media::Csv, _) => return Ok(Whole::new(200, "text/csv; charset=utf-8", text(numbers(), "", ""))),
        (Media::Lines, _) => {
            return Ok(Whole::new(200, "application/jsonlines", text(numbers(), "{\"score\":", "}")));
        }
        (Media::Json, Shape::Objects) => {
            let objects: Vec<_> = numbers().map(|score| json!({"score": score})).collect();
            json!({"predictions": objects})
        }
        (Media::Json, Shape::Numbers) => json!({"predictions": numbers().collect::<Vec<_>>()}),
        (Media::Json, Shape::Bare) => json!(numbers().collect::<Vec<_>>()),
        (Media::Json, Shape::Tensors { id }) => {
            let data: Vec<_> = numbers().collect();
            let output = json!({"name": OUTPUT, "datatype": "FP64", "shape": [data.len()], "data": data});
            let mut body = json!({"model_name": container.model, "model_version": "1", "outputs": [output]});
            if let (Some(id), Some(body)) = (id, body.as_object_mut()) {
                body.insert("id".to_owned(), json!(id));
            }
            body
        }
    };
    Ok(Whole::json(200, &body))
}

/// One line for each number.
fn text(numbers: impl Iterator<Item = f64>, before: &str, after: &str) -> String {
    numbers.fold(String::new(), |mut text, number| {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{before}{number}{after}");
        text
    })
}
