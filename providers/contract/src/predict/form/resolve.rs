//! The check of a declaration against the model's signature.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AnswerForm, BodyForm, Cell, Form, FormConfig, Place, Routing, RowForm};
use crate::{
    predict::{Datatype, Output, Signature},
    settings::Fault,
};

impl FormConfig {
    /// Checks the declaration against the model's signature; `default` is the provider's usual body.
    ///
    /// # Errors
    /// Every fault, at its key.
    pub fn resolve(&self, signature: &Signature, default: Option<BodyForm>) -> Result<Form, Vec<Fault>> {
        let mut faults = Vec::new();
        let Some(body) = self.body.or(default) else {
            let message = "is not set: one of csv, json, json_lines, oip, instances, input_data";
            return Err(vec![Fault::at("body", message)]);
        };
        let answer = self.answer.unwrap_or(match body {
            BodyForm::Csv => AnswerForm::Csv,
            BodyForm::JsonLines => AnswerForm::JsonLines,
            BodyForm::Oip => AnswerForm::Oip,
            BodyForm::Json | BodyForm::Instances | BodyForm::InputData => AnswerForm::Json,
        });
        self.check_inert(body, answer, &mut faults);
        let mut known = match body {
            BodyForm::Oip => tensors(signature),
            _ => columns(signature, &mut faults),
        };
        for (position, cell) in known.iter_mut().enumerate() {
            cell.position = position;
        }
        let cells = self.cells(&known, &mut faults);
        let default_rows = match body {
            BodyForm::Json | BodyForm::Instances => "/predictions",
            _ => "",
        };
        let answer_rows = self.answer_rows.as_deref().unwrap_or(default_rows);
        check_pointer("answer_rows", answer_rows, &mut faults);
        let places = self.places(signature, answer, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Form {
            body,
            rows: self.rows.unwrap_or_default(),
            rows_field: self.rows_field.clone().unwrap_or_else(|| "instances".to_owned()),
            header: self.header,
            cells,
            features: known.len(),
            answer,
            answer_rows: answer_rows.to_owned(),
            places,
            routing: Routing {
                variant: self.variant.clone(),
                target_model: self.target_model.clone(),
                inference_component: self.inference_component.clone(),
                azureml_deployment: self.azureml_deployment.clone(),
                path: self.path.clone(),
                host: self.host.clone(),
            },
        })
    }

    fn cells(&self, known: &[Cell], faults: &mut Vec<Fault>) -> Vec<Cell> {
        let mut cells = self.chosen(known, faults);
        let keys = (self.names.keys().map(|name| ("names", name)))
            .chain(self.datatypes.keys().map(|name| ("datatypes", name)))
            .chain(self.codes.keys().map(|name| ("codes", name)));
        for (key, name) in keys.filter(|(_, name)| !cells.iter().any(|cell| cell.name == **name)) {
            faults.push(Fault::at(format!("{key}.{name}"), no_input(name, known)));
        }
        for cell in &mut cells {
            self.complete(cell, faults);
        }
        for (index, cell) in cells.iter().enumerate() {
            if cells.iter().take(index).any(|other| other.name == cell.name) {
                let message = format!("two features have the name `{}`", cell.name);
                faults.push(Fault::at("names", message));
            }
        }
        cells
    }

    /// The features that are sent, in order.
    fn chosen(&self, known: &[Cell], faults: &mut Vec<Fault>) -> Vec<Cell> {
        if self.features.is_empty() {
            return known.to_vec();
        }
        let mut cells: Vec<Cell> = Vec::with_capacity(self.features.len());
        for (index, name) in self.features.iter().enumerate() {
            let key = || format!("features[{index}]");
            match known.iter().find(|cell| cell.name == *name) {
                Some(cell) if cells.contains(cell) => {
                    faults.push(Fault::at(key(), format!("`{name}` stands twice")));
                }
                Some(cell) => cells.push(cell.clone()),
                None => faults.push(Fault::at(key(), no_input(name, known))),
            }
        }
        cells
    }

    /// What the deployment calls a feature, and as what it wants it.
    fn complete(&self, cell: &mut Cell, faults: &mut Vec<Fault>) {
        let name = cell.name.clone();
        let text = cell.datatype == Datatype::Bytes;
        if let Some(codes) = self.codes.get(&name) {
            check_codes(&name, codes, text, faults);
            cell.codes.clone_from(codes);
        }
        if let Some(datatype) = self.datatypes.get(&name) {
            let wrong = match text {
                _ if self.codes.contains_key(&name) => Some("has no effect beside the feature's `codes`"),
                true if *datatype != Datatype::Bytes => Some("a text becomes another value by `codes` alone"),
                _ => None,
            };
            faults.extend(wrong.map(|why| Fault::at(format!("datatypes.{name}"), why)));
            cell.datatype = *datatype;
        }
        if let Some(other) = self.names.get(&name) {
            cell.name.clone_from(other);
        }
    }

    fn places(&self, signature: &Signature, answer: AnswerForm, faults: &mut Vec<Fault>) -> Vec<Place> {
        let names: Vec<&str> = signature.outputs.iter().map(|output| output.name.as_str()).collect();
        for name in self.outputs.keys().filter(|name| !names.contains(&name.as_str())) {
            let message = format!("`{name}` is not an output of the model: there are {}", names.join(", "));
            faults.push(Fault::at(format!("outputs.{name}"), message));
        }
        let alone = signature.outputs.iter().filter(|output| !output.on_request).count() == 1;
        let mut places: Vec<Place> = Vec::new();
        for output in &signature.outputs {
            let key = format!("outputs.{}", output.name);
            let at = match self.outputs.get(&output.name) {
                Some(at) => at.clone(),
                None if output.on_request => continue,
                None if answer == AnswerForm::Oip => output.name.clone(),
                None if alone && self.outputs.is_empty() => String::new(),
                None => {
                    faults.push(Fault::at(
                        key,
                        "is not set: where in a row's item of the answer does it stand?",
                    ));
                    continue;
                }
            };
            check_place(&key, output, &at, answer, faults);
            if answer == AnswerForm::Oip && places.iter().any(|place| place.at == at) {
                faults.push(Fault::at(key, format!("the tensor `{at}` is another output already")));
            }
            places.push(Place { output: output.clone(), at });
        }
        places
    }

    /// Keys that the form of the body or the answer leaves without effect.
    fn check_inert(&self, body: BodyForm, answer: AnswerForm, faults: &mut Vec<Fault>) {
        let json = matches!(body, BodyForm::Json | BodyForm::JsonLines | BodyForm::Instances);
        let oip = body == BodyForm::Oip;
        let nameless = match body {
            BodyForm::Csv => !self.header,
            BodyForm::Json | BodyForm::JsonLines | BodyForm::Instances => self.rows != Some(RowForm::Object),
            BodyForm::Oip | BodyForm::InputData => false,
        };
        let inert = [
            (
                "rows",
                self.rows.is_some() && !json,
                "belongs to a body of JSON rows: it says how they are written",
            ),
            (
                "rows_field",
                self.rows_field.is_some() && body != BodyForm::Json,
                "belongs to `body = \"json\"`",
            ),
            ("header", self.header && body != BodyForm::Csv, "belongs to `body = \"csv\"`"),
            (
                "names",
                !self.names.is_empty() && nameless,
                "has no effect where the body has no names: it has with `rows = \"object\"`, `header = true`",
            ),
            ("features", !self.features.is_empty() && oip, "has no meaning where tensors are sent by name"),
            ("codes", !self.codes.is_empty() && oip, "has no meaning where tensors are sent as they are"),
            (
                "datatypes",
                !self.datatypes.is_empty() && oip,
                "has no meaning where tensors are sent as they are",
            ),
            (
                "answer_rows",
                self.answer_rows.is_some() && answer != AnswerForm::Json,
                "belongs to an answer in JSON",
            ),
            (
                "answer",
                oip != (answer == AnswerForm::Oip),
                "`oip` is the answer to the body `oip`, and to no other",
            ),
        ];
        faults.extend(
            inert.into_iter().filter(|(_, wrong, _)| *wrong).map(|(key, _, why)| Fault::at(key, why)),
        );
    }
}

fn no_input(name: &str, known: &[Cell]) -> String {
    let names: Vec<&str> = known.iter().map(|cell| cell.name.as_str()).collect();
    format!("`{name}` is not an input of the model: there are {}", names.join(", "))
}

/// One cell for each input, which is sent as it is.
fn tensors(signature: &Signature) -> Vec<Cell> {
    signature.inputs.iter().map(|input| cell(input, 0, input.name.clone())).collect()
}

/// One cell for each column of each input, under the caller's names.
fn columns(signature: &Signature, faults: &mut Vec<Fault>) -> Vec<Cell> {
    let mut cells = Vec::new();
    for input in &signature.inputs {
        let Some(width) = input.row_width() else {
            let (name, shape) = (&input.name, &input.shape);
            let message = format!(
                "the input `{name}` with the shape {shape:?} has no fixed number of columns: only `oip` can carry it"
            );
            faults.push(Fault::at("body", message));
            continue;
        };
        for column in 0..width {
            let name = match input.columns.get(column) {
                Some(name) => name.clone(),
                None if width == 1 => input.name.clone(),
                None => format!("{}[{column}]", input.name),
            };
            cells.push(cell(input, column, name));
        }
    }
    cells
}

fn cell(input: &crate::predict::Input, column: usize, name: String) -> Cell {
    Cell {
        input: input.name.clone(),
        column,
        position: 0,
        name,
        datatype: input.datatype,
        codes: BTreeMap::new(),
        nullable: input.nullable,
    }
}

fn check_codes(name: &str, codes: &BTreeMap<String, Value>, text: bool, faults: &mut Vec<Fault>) {
    let key = format!("codes.{name}");
    if !text {
        faults.push(Fault::at(&*key, "stands for texts, and the input's datatype is not BYTES"));
    }
    if codes.is_empty() {
        faults.push(Fault::at(&*key, "is empty: leave it out, or give a value for each text"));
    }
    for (text, _) in codes.iter().filter(|(_, value)| value.is_array() || value.is_object()) {
        faults.push(Fault::at(format!("{key}.{text}"), "is not a number, a text or a truth value"));
    }
}

fn check_place(key: &str, output: &Output, at: &str, answer: AnswerForm, faults: &mut Vec<Fault>) {
    match answer {
        AnswerForm::Oip if at.is_empty() => {
            faults.push(Fault::at(key, "is empty: the tensor's name is wanted"))
        }
        AnswerForm::Oip => {}
        AnswerForm::JsonLines if at.contains("/*") => {
            faults.push(Fault::at(
                key,
                "`*` stands for the rows of one JSON document; here each row is a document",
            ));
        }
        AnswerForm::Json | AnswerForm::JsonLines => {
            if at.matches("/*").count() > 1 || at.split('/').any(|step| step.starts_with('*') && step != "*")
            {
                faults.push(Fault::at(
                    key,
                    format!("`{at}`: `*` stands once and alone between two `/`: it is the row"),
                ));
            }
            check_pointer(key, at, faults);
        }
        AnswerForm::Csv => {
            let column = at.strip_prefix('/').is_some_and(|column| column.parse::<u16>().is_ok());
            if !at.is_empty() && !column {
                let message = format!(
                    "`{at}` is not a column of a CSV line: the first is `/0`, the line itself is empty"
                );
                faults.push(Fault::at(key, message));
            }
            if output.shape.len() > 2 && output.shape.iter().skip(1).any(|dimension| *dimension < 0) {
                faults.push(Fault::at(key, "several dimensions without sizes cannot stand in a CSV line"));
            }
        }
    }
}

/// <https://www.rfc-editor.org/rfc/rfc6901>
fn check_pointer(key: &str, pointer: &str, faults: &mut Vec<Fault>) {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let message = format!("`{pointer}` is not a JSON pointer: begin with `/`, or leave it empty");
        faults.push(Fault::at(key, message));
    }
    if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        let message =
            format!("`{pointer}` is not a JSON pointer: `~` is written `~0`, `/` within a name `~1`");
        faults.push(Fault::at(key, message));
    }
}
