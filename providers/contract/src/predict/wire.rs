//! Requests as the deployment's declared form wants them, and answers read back into tensors.
//!
//! The forms belong to no one cloud: CSV, JSON, JSON Lines, rows in Vertex AI's and MLflow's JSON, and the Open
//! Inference Protocol itself.

mod answer;
mod column;
mod features;
mod rows;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde_json::{Map, Value};

use self::features::Features;
use super::{AnswerForm, BodyForm, Form, PredictReply, PredictRequest, Tensor};
use crate::{Call, Error, ErrorKind, Predict, Result};

/// A body in its deployment's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes.
    pub body: Bytes,
    /// Its media type.
    pub content_type: &'static str,
    /// The media type of the answer that is wanted.
    pub accept: &'static str,
}

impl Form {
    /// The deployment's names of the features, in its order.
    pub fn row_names(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(|cell| cell.name.as_str())
    }

    /// Refuses, or drops as configured, what the form has no place for: an output that the deployment does not give,
    /// and the protocol's parameters where neither the protocol itself nor `instances` carries them.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], naming `outputs` or the parameter.
    pub fn admit(&self, call: &Call<Predict>) -> Result<()> {
        let request = &call.request;
        let given = |name: &str| self.places.iter().any(|place| place.output.name == name);
        for wanted in request.outputs.iter().filter(|wanted| !given(&wanted.name)) {
            call.unsupported("outputs", &format!("the deployment does not give `{}`", wanted.name))?;
        }
        if !request.outputs.is_empty() && !request.outputs.iter().any(|wanted| given(&wanted.name)) {
            return Err(Error::unsupported(
                "outputs",
                "the deployment gives none of those that are asked for",
            ));
        }
        if self.body == BodyForm::Oip {
            return Ok(());
        }
        if self.body != BodyForm::Instances {
            refuse_parameters(call, &request.parameters, "the request")?;
        }
        for tensor in &request.inputs {
            refuse_parameters(call, &tensor.parameters, &tensor.name)?;
        }
        for wanted in &request.outputs {
            refuse_parameters(call, &wanted.parameters, &wanted.name)?;
        }
        Ok(())
    }

    /// The request in the deployment's form.
    ///
    /// # Errors
    /// Names the input: [`ErrorKind::Unsupported`] when a value cannot be written as the form declares (a text without a
    /// code, a number that its datatype cannot hold), [`ErrorKind::Invalid`] when the request does not fit the model's
    /// signature.
    pub fn encode(&self, request: &PredictRequest) -> Result<Encoded> {
        let body = match self.body {
            BodyForm::Oip => self.encode_oip(request)?,
            _ => self.encode_rows(&Features::of(self, request)?, request)?,
        };
        let content_type = match self.body {
            BodyForm::Csv => "text/csv",
            BodyForm::JsonLines => "application/jsonlines",
            BodyForm::Json | BodyForm::Oip | BodyForm::Instances | BodyForm::InputData => "application/json",
        };
        let accept = match self.answer {
            AnswerForm::Csv => "text/csv",
            AnswerForm::JsonLines => "application/jsonlines",
            AnswerForm::Json | AnswerForm::Oip => "application/json",
        };
        Ok(Encoded { body: body.into(), content_type, accept })
    }

    /// The answer to a call: what [`Form::decode`] reads, `more` outputs that the provider read itself, and the declared
    /// version. Where a server of the Open Inference Protocol names a version of its own, that is told beside it.
    ///
    /// # Errors
    /// As [`Form::decode`] and [`PredictReply::new`].
    pub fn reply(
        &self,
        call: &Call<Predict>,
        body: &Bytes,
        json_length: Option<usize>,
        more: Vec<Tensor>,
    ) -> Result<PredictReply> {
        let mut outputs = self.decode(&call.request, body, json_length)?;
        outputs.extend(more);
        let version = call.target.version.as_deref().unwrap_or_default();
        let mut reply = PredictReply::new(&call.request, version, outputs)?;
        if self.answer == AnswerForm::Oip
            && let Some(told) = PredictReply::read_version(body, json_length)
        {
            reply.parameters.insert("upstream_model_version".to_owned(), told.into());
        }
        Ok(reply)
    }

    /// The outputs of an answer that the request wants, in the signature's order. `json_length` is the answer's header
    /// `Inference-Header-Content-Length`, which only the Open Inference Protocol has.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`], saying where: the answer is not in its form, has another number of rows than were sent,
    /// or a value that the output's datatype or shape cannot hold.
    pub fn decode(
        &self,
        request: &PredictRequest,
        body: &Bytes,
        json_length: Option<usize>,
    ) -> Result<Vec<Tensor>> {
        let places = self.places.iter().filter(|place| request.wants(&place.output)).collect();
        let rows = request.rows();
        let read = match self.answer {
            AnswerForm::Csv => answer::csv(places, rows, body),
            AnswerForm::Json => answer::json(places, rows, &self.answer_rows, body),
            AnswerForm::JsonLines => answer::json_lines(places, rows, body),
            AnswerForm::Oip => answer::oip(places, rows, body, json_length),
        };
        read.map_err(|why| {
            Error::new(ErrorKind::Malformed, format!("the deployment's answer does not fit: {why}"))
        })
    }

    fn encode_rows(&self, features: &Features<'_>, request: &PredictRequest) -> Result<Vec<u8>> {
        match self.body {
            BodyForm::Csv => rows::csv(features, self.header),
            BodyForm::JsonLines => rows::json_lines(features, self.rows),
            BodyForm::InputData => rows::input_data(features),
            BodyForm::Instances => rows::json(features, self.rows, "instances", &request.parameters),
            BodyForm::Json | BodyForm::Oip => rows::json(features, self.rows, &self.rows_field, &Map::new()),
        }
    }

    fn encode_oip(&self, request: &PredictRequest) -> Result<Vec<u8>> {
        let name = |input: &str| {
            let cell = self.cells.iter().find(|cell| cell.input == input);
            cell.map_or_else(|| input.to_owned(), |cell| cell.name.clone())
        };
        let wanted = |name: &str| {
            let place = self.places.iter().find(|place| place.output.name == name);
            place.map(|place| place.at.clone())
        };
        request.write_renamed(name, wanted).map_err(|error| {
            let wrong = Error::new(ErrorKind::Unsupported, error.message);
            match error.param {
                Some(param) => wrong.with_param(param),
                None => wrong,
            }
        })
    }
}

fn refuse_parameters(call: &Call<Predict>, parameters: &Map<String, Value>, of: &str) -> Result<()> {
    for name in parameters.keys() {
        let why = format!("a parameter of {of}, which the deployment's form has no place for");
        call.unsupported(name, &why)?;
    }
    Ok(())
}
